"""Every mistake of a configuration in one go, each once, in words that are no programmer's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from endpoint.app.config import load
from endpoint.app.mistakes import mistake
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("home")]

FILE = "(agent-endpoint.toml)"


def told(text: str = "") -> list[str]:
    Path("agent-endpoint.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(files=True)
    return sorted(refused.value.mistakes)


def test_kinds_relations_files_and_what_is_there_twice_are_told_together() -> None:
    mistakes = told(
        """
        sip.port = "many"
        [[account]]
        device = "6001"
        server = "pbx.example.com"
        password_file = "nowhere"
        [[account]]
        device = "6001"
        server = "sip:pbx.example.com"
        password = "x"
        [[station]]
        device = "6002"
        kind = "beep"
        [[station]]
        device = "6002"
        kind = "tone"
        [[trunk]]
        name = "carrier"
        account = "7000"
        [[trunk]]
        name = "carrier"
        peers = ["203.0.113.10"]
        """
    )
    expected = [
        f"account {FILE}: found 6001 twice, expected each device once",
        f"account.0.password_file {FILE}: found ",
        f"account.0.server {FILE}: 'pbx.example.com': expected wss://",
        f"sip.port {FILE}: found 'many', expected a whole number",
        f"station {FILE}: found 6002 twice, expected each device once",
        f"station.0.kind {FILE}: found 'beep', expected 'tone', 'file', 'sound' or 'program'",
        f"trunk {FILE}: found carrier twice, expected each name once",
        f"trunk.0.account {FILE}: found '7000', expected the device of an [[account]]",
        f"trunk.1.peers.0.uri {FILE}: found '203.0.113.10', expected sip:host",
    ]
    assert len(mistakes) == len(expected)
    for line, beginning in zip(mistakes, expected, strict=True):
        assert line.startswith(beginning)


def test_a_variable_that_can_not_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what hangs on it is not told: the trunk's account may be in there."""
    for name, value in {
        "ACCOUNT": '[{"device": "6001"',
        "CALLS__AUTO_ANSWER_DEVICES": "{",
        "HTTP__PORT": "99999",
        "MEDIA__ICE_RELAY_ONLY": "true",
        "MEDIA__ICE_SERVERS": "turn:turn.example.com",
        "TRUNK": '[{"name": "carrier", "account": "6001", "most_calls": 0}]',
    }.items():
        monkeypatch.setenv(f"AGENT_ENDPOINT_{name}", value)
    assert told() == [
        "AGENT_ENDPOINT_ACCOUNT: found something else, expected a JSON list",
        "AGENT_ENDPOINT_CALLS__AUTO_ANSWER_DEVICES: found '{', expected a JSON object",
        "AGENT_ENDPOINT_MEDIA__ICE_SERVERS: found something else, expected a JSON list",
        "http.port (AGENT_ENDPOINT_HTTP__PORT): found '99999', expected at most 65535",
        "trunk.0.most_calls (AGENT_ENDPOINT_TRUNK): found 0, expected at least 1",
    ]


def test_a_file_that_can_not_be_read_hides_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__KEY", "key.pem")
    monkeypatch.setenv("AGENT_ENDPOINT_SIP__PORT", "many")
    toml, port = told("[http\n")
    assert toml.startswith("agent-endpoint.toml: expected TOML: ")
    assert port == "sip.port (AGENT_ENDPOINT_SIP__PORT): found 'many', expected a whole number"


def test_one_host_for_all_sections_is_one_mistake() -> None:
    (host,) = told('host = "not a host"\n')
    assert host == (
        f"host {FILE}: found 'not a host', expected an address or a host name, as 0.0.0.0"
    )


ENTRIES: dict[str, dict[str, Any]] = {
    "account": {"device": "6001", "server": "sip:pbx", "password": "x"},
    "station": {"device": "6001", "kind": "tone"},
    "trunk": {"name": "carrier", "peers": ["sip:203.0.113.10"]},
    "media.ice_servers": {"url": "stun:stun.example.com"},
}
WRONG: list[object] = [
    True,
    -1,
    10**9,
    1.5,
    float("nan"),
    "",
    "\n",
    "x" * 400,
    [],
    [1],
    {},
    {"a": 1},
]


def keys(model: type[BaseModel], *path: str) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*path, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, *path, name)


def written(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def wrong_configurations() -> Iterator[dict[str, Any]]:
    for value in WRONG:
        for path in keys(Config):
            yield written(path, value)
        for table, entry in ENTRIES.items():
            for key in [*Config.model_fields, *_fields(table)]:
                yield written(tuple(table.split(".")), [{**entry, key: value}])


def _fields(table: str) -> list[str]:
    names = {
        "account": ("expires_s", "media", "ca", "pin", "certificate", "outbound", "password"),
        "station": ("frequency_hz", "path", "kind"),
        "trunk": ("order", "outgoing", "numbers", "most_calls", "codecs", "domain", "networks"),
    }
    return [*names.get(table, ()), *ENTRIES[table]]


def test_nobody_reads_the_words_of_a_programmer() -> None:
    lines = set()
    for given in wrong_configurations():
        try:
            Config.model_validate(given)
        except ValidationError as error:
            lines |= {mistake(Config, fault, {}) for fault in error.errors()}
    assert len(lines) > 500
    bad = re.compile(
        r"Input|should|\bvalid\b|instance|String|List|dict\b|pattern|None|True|Value e"
    )
    assert [line for line in lines if re.search(bad, line)] == []
