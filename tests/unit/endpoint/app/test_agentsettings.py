"""`[[agent]]` in the configuration: what is taken, what is refused, what becomes of it."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from endpoint.app.config import load
from endpoint.app.facts import outside_accounts, stations
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError
from endpoint.legs.program import ProgramStation
from endpoint.legs.sound import SoundStation
from endpoint.legs.station import FileStation

pytestmark = pytest.mark.unit

SERVER = {"server": "wss://pbx.example.com", "password": "s3cret"}


def config(*agents: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"agent": list(agents), **more})


def station(**facts: Any) -> FileStation | ProgramStation:
    (made,) = stations(config({"device": "6002", **facts}))
    assert isinstance(made, FileStation | ProgramStation)
    return made


def test_an_agent_of_an_outside_server_has_an_account_and_a_station() -> None:
    settings = config({"device": "6002", **SERVER, "domain": "example.com"})
    (account,) = outside_accounts(settings)
    assert (account.device, account.uri) == ("6002", "sip:6002@example.com")
    assert settings.devices_without_phone == ["6002"]


def test_an_agent_of_this_endpoint_has_a_station_alone() -> None:
    assert outside_accounts(config({"device": "6002"})) == []
    silent = station()
    assert isinstance(silent, FileStation)
    assert (silent.file, silent.cadence[0].frequencies_hz, silent.record) == (None, [], None)


def test_what_he_speaks_and_hears_by() -> None:
    tone = station(input="tone:1400", output="file:/tmp/heard.wav", auto_answer=True)
    assert isinstance(tone, FileStation)
    assert tone.cadence[0].frequencies_hz == [1400.0]
    assert (tone.record, tone.answer_after_s) == ("/tmp/heard.wav", 0.0)
    file = station(input="file:/srv/hello.wav")
    assert isinstance(file, FileStation)
    assert (file.file, file.answer_after_s) == ("/srv/hello.wav", None)
    assert station(input="program", output="program") == ProgramStation(file.device)


def test_his_sound_devices_ring_where_he_hears() -> None:
    (sound,) = stations(config({"device": "6002", "input": "Headset", "output": "default"}))
    assert isinstance(sound, SoundStation)
    assert [choice.name for choice in sound.choices.values()] == ["Headset", "default", "default"]
    assert sound.answer_after_s is None


def test_a_remote_agent_speaks_by_his_telephone() -> None:
    settings = config({"device": "RP_13800138000", **SERVER})
    assert (stations(settings), settings.devices_without_phone) == ([], [])
    assert [account.device for account in outside_accounts(settings)] == ["RP_13800138000"]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"input": ""}, "expected the name of a sound device, default or null"),
        ({"input": "tone:20"}, "expected tone: and 50 to 3900 Hz"),
        ({"input": "file:hello.wav"}, "expected file: and a whole path"),
        ({"output": "tone:440"}, "expected a sound device, default or null"),
        (
            {"input": "default", "output": "file:/tmp/a.wav"},
            "output is a file: expected input null",
        ),
        ({"input": "program"}, "expected program for both, or neither"),
        ({"server": "pbx"}, "expected wss://host"),
        ({"server": "wss://pbx"}, "expected exactly one of password and password_file"),
        ({"password": "s3cret"}, "expected server with it"),
        ({"device": "RP_138", "input": "tone:440"}, "expected no input and output"),
    ],
)
def test_what_he_can_not_be(facts: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        config({"device": "6002", **facts})


@pytest.mark.parametrize("table", ["account", "station"])
def test_an_agent_is_no_other_entry_too(table: str) -> None:
    other = {"account": SERVER, "station": {"kind": "tone"}}[table]
    with pytest.raises(ValidationError, match="which is an \\[\\[agent\\]\\] too"):
        config({"device": "6002"}, **{table: [{"device": "6002", **other}]})


def test_his_files_go_by_the_file_that_names_them_and_are_tried(tmp_path: Path) -> None:
    path = tmp_path / "agent-endpoint.toml"
    path.write_text(
        '[[agent]]\ndevice = "6002"\nserver = "wss://pbx"\npassword_file = "6002.secret"\n'
        'input = "file:hello.wav"\noutput = "file:heard.wav"\n'
    )
    with pytest.raises(ConfigurationError) as found:
        load(path, files=True)
    assert len(found.value.mistakes) == 2
    assert any("agent.0.password_file" in one for one in found.value.mistakes)
    assert any("agent.0.input" in one and "hello.wav" in one for one in found.value.mistakes)
    (tmp_path / "6002.secret").write_text("s3cret\n")
    with wave.open(str(tmp_path / "hello.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(320))
    (agent,) = load(path, files=True).config.agent
    assert agent.input == f"file:{tmp_path}/hello.wav"
    assert agent.output == f"file:{tmp_path}/heard.wav"
