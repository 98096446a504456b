"""F18: the configuration of an earlier version means what it meant, or is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.config import Loaded, load, values
from endpoint.app.oldkeys import OLD_KEYS, Gone, Renamed
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("home")]


def loaded(home: Path, text: str) -> Loaded:
    (home / "agent-endpoint.toml").write_text(text)
    return load()


@pytest.mark.parametrize("key", OLD_KEYS)
def test_no_key_of_an_earlier_version_is_passed_over(home: Path, key: str) -> None:
    section, _, name = key.partition(".")
    text = f"[{section}]\n{name} = 1\n"
    match OLD_KEYS[key]:
        case Renamed():
            (warning,) = loaded(home, text).warnings
            assert warning.startswith(f"{key} (agent-endpoint.toml) is called ")
        case Gone():
            with pytest.raises(ConfigurationError) as refused:
                loaded(home, text)
            (mistake,) = refused.value.mistakes
            assert mistake.startswith(f"{key} (agent-endpoint.toml): there is no such setting")


def test_a_key_of_today_is_no_old_one() -> None:
    for key, now in OLD_KEYS.items():
        section, _, name = key.partition(".")
        assert name not in type(getattr(Config(), section)).model_fields
        if isinstance(now, Renamed):
            section, _, name = now.key.partition(".")
            assert name in type(getattr(Config(), section)).model_fields


def test_what_it_said_holds_under_its_new_name_and_is_told_from_where(home: Path) -> None:
    found = loaded(home, "[media]\ncpu = 3\n")
    assert found.config.media.cpus == [3]
    (cpus,) = [value for value in values(found) if value.key == "media.cpus"]
    assert (cpus.value, cpus.origin) == ([3], "agent-endpoint.toml")


def test_a_variable_of_an_earlier_version_is_heard_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_MEDIA__CPU", "3")
    found = load()
    assert found.config.media.cpus == [3]
    assert found.warnings[0].startswith("media.cpu (AGENT_ENDPOINT_MEDIA__CPU) is called")


def test_old_and_new_together_are_a_mistake(home: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(home, "[media]\ncpu = 3\ncpus = [4]\n")
    assert refused.value.mistakes == [
        "media.cpu (agent-endpoint.toml): it is media.cpus now, which is written too: remove it"
    ]
