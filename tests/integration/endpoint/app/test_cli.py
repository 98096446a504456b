"""The command line as scripts see it: JSON, exit codes, nothing secret shown."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from endpoint import __version__
from endpoint.app.exitcodes import ExitCode

from .commandline import invoke as run

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of its own, free ports, no configuration file."""
    for name in list(os.environ):
        if name.startswith("AGENT_ENDPOINT_"):
            monkeypatch.delenv(name)
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("AGENT_ENDPOINT_STATE__DIRECTORY", str(state))
    for port in ("HTTP__PORT", "HTTP__PLAIN_PORT", "SIP__PORT"):
        monkeypatch.setenv(f"AGENT_ENDPOINT_{port}", "0")
    monkeypatch.chdir(tmp_path)
    return state


def shown(result: Result) -> Any:
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def test_an_extension_is_added_listed_and_removed() -> None:
    added = run(
        "extension", "add", "6001", "--generate", "--name", "Ann", "--alias", "4000", "--json"
    )
    assert added.exit_code == ExitCode.OK
    assert len(shown(added)["password"]) == 20
    assert not shown(added)["weak"]
    (one,) = shown(run("extension", "list", "--json"))["extensions"]
    assert (one["number"], one["aliases"], one["display_name"]) == ("6001", ["4000"], "Ann")
    assert run("extension", "remove", "6001").exit_code == ExitCode.OK
    assert run("extension", "remove", "6001").exit_code == ExitCode.STORAGE
    assert shown(run("extension", "list", "--json"))["extensions"] == []


def test_a_password_is_kept_nowhere(surroundings: Path) -> None:
    added = run("extension", "add", "6001", "--password-stdin", "--json", given=PASSWORD + "\n")
    assert added.exit_code == ExitCode.OK
    assert PASSWORD not in added.output
    for path in surroundings.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    with sqlite3.connect(surroundings / "endpoint.sqlite3") as database:
        rows = database.execute("SELECT algorithm, length(ha1) FROM credential").fetchall()
    database.close()
    assert sorted(rows) == [("MD5", 32), ("SHA-256", 64), ("SHA-512-256", 64)]


def test_a_weak_password_is_said_and_will_not_do_in_the_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added = run("extension", "add", "6001", "--password-stdin", given="6001\n")
    assert added.exit_code == ExitCode.OK
    assert "weak" in added.output
    monkeypatch.setenv("AGENT_ENDPOINT_HOST", "0.0.0.0")
    refused = run("serve", "--json")
    assert refused.exit_code == ExitCode.CONFIGURATION
    (mistake,) = shown(refused)["mistakes"]
    assert mistake.endswith("run: agent-endpoint extension add 6001 --generate --replace")


@pytest.mark.parametrize("arguments", [("6001",), ("60 01", "--generate")])
def test_a_wrong_command_line_is_usage(arguments: tuple[str, ...]) -> None:
    assert run("extension", "add", *arguments).exit_code == ExitCode.USAGE


def test_a_number_that_is_taken_is_refused_unless_replaced() -> None:
    assert run("extension", "add", "6001", "--generate").exit_code == ExitCode.OK
    again = run("extension", "add", "6001", "--generate", "--json")
    assert again.exit_code == ExitCode.FAILED
    assert shown(again)["ok"] is False
    assert "--replace" in shown(again)["text"]
    assert run("extension", "add", "6001", "--generate", "--replace").exit_code == ExitCode.OK


def test_the_version_is_an_option_too() -> None:
    assert run("--version").stdout.strip() == __version__


def test_the_token_is_printed_and_made_anew(surroundings: Path) -> None:
    token = shown(run("token", "--json"))["token"]
    assert run("token").stdout.strip() == token
    assert (surroundings / "token").read_text().strip() == token
    assert shown(run("token", "--new", "--json"))["token"] != token


def test_a_configured_token_is_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__TOKEN", "configured-token-of-some-length")
    assert run("token").stdout.strip() == "configured-token-of-some-length"
    assert run("token", "--new").exit_code == ExitCode.CONFIGURATION


def test_config_show_tells_where_each_value_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[sip]\nrealm = "example"\n[http]\ntoken = "canary-canary-canary"\n')
    result = run("config", "show", "--config", str(file), "--json")
    values = {one["key"]: one for one in shown(result)["values"]}
    assert values["sip.realm"] == {"key": "sip.realm", "value": "example", "from": str(file)}
    assert values["http.port"]["from"] == "AGENT_ENDPOINT_HTTP__PORT"
    assert values["media.port_first"]["from"] == "default"
    assert "canary" not in result.output


def test_config_show_cuts_no_key_and_no_value_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__ORIGINS", '["https://crm.a-long-name.example.com"]')
    values = shown(run("config", "show", "--json"))["values"]
    lines = run("config", "show").stdout.splitlines()
    assert {value["key"] for value in values} <= {line.split(" ")[0] for line in lines}
    assert max(map(len, lines)) <= 80
    whole = "".join("".join(lines).split())
    assert '["https://crm.a-long-name.example.com"]' in whole
    assert "←AGENT_ENDPOINT_HTTP__ORIGINS" in whole


def test_config_check_tells_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[http]\nprot = 1\n[sip]\nrealm = 5\n")
    refused = run("config", "check", "--config", str(file), "--json")
    assert refused.exit_code == ExitCode.CONFIGURATION
    assert len(shown(refused)["mistakes"]) == 2
    assert run("config", "check").exit_code == ExitCode.OK


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("hang-up", "6001"),
        ("hold", "6001"),
        ("press", "6001", "1"),
        ("transfer", "6001", "6002"),
        ("swap", "6001"),
        ("monitor", "7001", "6001"),
    ],
    ids=lambda command: command[0],
)
def test_without_an_endpoint_that_runs_it_is_unreachable(command: tuple[str, ...]) -> None:
    for _ in range(2):  # never run before; and not running now
        refused = run(*command, "--json")
        assert refused.exit_code == ExitCode.UNREACHABLE
        assert shown(refused)["error"] == "unreachable"
        run("token")


@pytest.mark.parametrize(
    ("setting", "kind"), [("HTTP__PORT", socket.SOCK_STREAM), ("SIP__PORT", socket.SOCK_DGRAM)]
)
def test_a_taken_port_is_told_with_its_owner(
    monkeypatch: pytest.MonkeyPatch, setting: str, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv(f"AGENT_ENDPOINT_{setting}", str(port))
        refused = run("serve", "--json")
    assert refused.exit_code == ExitCode.PORT_TAKEN, refused.stdout
    text = shown(refused)["text"]
    assert f"port {port} on 127.0.0.1" in text
    assert f"(pid {os.getpid()})" in text
    assert setting.lower().replace("__", ".") in text


def test_dial_starts_an_endpoint_for_the_call(tmp_path: Path) -> None:
    file = tmp_path / "agent-endpoint.toml"
    file.write_text(
        '[[station]]\ndevice = "6002"\nkind = "tone"\n[[station]]\ndevice = "6003"\nkind = "tone"\n'
    )
    result = run("dial", "6003", "--from", "6002", "--digits", "12", "--duration", "0.2", "--json")
    assert result.exit_code == ExitCode.OK
    told = shown(result)
    assert (told["ok"], told["established"], told["cause"]) == (True, True, "normal")
    assert told["events"][-1] == "CallCleared"
    assert "DigitsGenerated" in told["events"]


def test_what_is_advised_is_for_the_file_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be done to another endpoint: with tenants, to another customer."""
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "acme.toml").write_text('tenant = { name = "acme" }\n')
    named = ("--config", "acme.toml")
    refused = run("skills", "list", *named)
    assert "run: agent-endpoint db tenant add acme" in refused.stderr
    assert "each with --config acme.toml" in refused.stderr
    assert run("db", "tenant", "add", "acme", *named).exit_code == ExitCode.OK
    added = run("agents", "add", "1001", *named).stdout
    assert "agent-endpoint agents password 1001 --generate --config acme.toml" in added
    assert "--config" not in run("agents", "add", "1002").stdout


def test_a_call_says_why_its_sound_devices_are_silent(tmp_path: Path) -> None:
    (tmp_path / "agent-endpoint.toml").write_text(
        'station = [{ device = "6002", kind = "sound", input = "Headset", output = "null" },'
        ' { device = "6003", kind = "tone" }]\n'
    )
    result = run("dial", "6003", "--from", "6002", "--duration", "2")
    assert result.exit_code == ExitCode.OK
    assert "the input of 6002 is not there: Headset (" in result.stdout
    assert "the output of 6002" not in result.stdout


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("dial", "6003", "--from", "6002", "--digits", "12x"), "--digits"),
        (("press", "6002", "12x"), "DIGITS"),
        (("press", "6002", ""), "DIGITS"),
    ],
)
def test_what_is_no_digit_is_refused_before_anything_is_done(
    command: tuple[str, ...], named: str
) -> None:
    result = run(*command)
    assert result.exit_code == ExitCode.USAGE
    assert named in result.stderr
    assert "0-9, *, #, A-D" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--server", "http://pbx.example"), "--server"),
        (("--server", "sip:pbx.example"), "--password-file or --password-stdin"),
        (("--server", "sip:pbx.example", "--expires", "90000"), "--expires"),
    ],
)
def test_register_names_the_option_that_is_wrong(arguments: tuple[str, ...], named: str) -> None:
    given = None if "password" in named else "secret\n"
    stdin = () if given is None else ("--password-stdin",)
    result = run("register", "6001", *arguments, *stdin, given=given)
    assert result.exit_code == ExitCode.USAGE
    assert named in " ".join(result.stderr.replace("│", " ").split())


def test_a_call_that_fails_says_why(tmp_path: Path) -> None:
    file = tmp_path / "agent-endpoint.toml"
    file.write_text('[[station]]\ndevice = "6002"\nkind = "tone"\n')
    result = run("dial", "6999", "--from", "6002", "--json")
    assert result.exit_code == ExitCode.CALL_FAILED
    told = shown(result)
    assert (told["ok"], told["cause"], told["sip_status"]) == (False, "unknown_device", 404)


def test_a_device_without_a_phone_can_not_dial() -> None:
    assert run("extension", "add", "6001", "--generate").exit_code == ExitCode.OK
    result = run("dial", "10086", "--from", "6001", "--wait", "0.1", "--json")
    assert result.exit_code == ExitCode.CALL_FAILED
    assert "did not register" in shown(result)["text"]


def test_nobody_rings() -> None:
    result = run("answer", "6001", "--wait", "0.1", "--json")
    assert result.exit_code == ExitCode.CALL_FAILED


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "agent-endpoint.toml"
    file.write_text('[http]\ntoken = "weak"\n')
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in shown(result)["checks"]}
    assert checks["packages"]["outcome"] == "ok"
    assert checks["media worker"]["outcome"] == "ok"
    assert checks["WebRTC"]["outcome"] == "ok"
    assert checks["WebRTC"]["text"] == "candidates: host"
    assert checks["codecs for telephones"]["text"].startswith("PCMU/8000, PCMA/8000")
    assert "OPUS/48000" in checks["codecs for browsers"]["text"]
    assert checks["credentials"]["cure"] == "agent-endpoint extension add 6001 --generate"
    assert checks["configuration"]["cure"] == "chmod 600 agent-endpoint.toml"
    assert result.exit_code == ExitCode.OK


def test_doctor_fails_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    run("extension", "add", "6001", "--password-stdin", given="6001\n")
    monkeypatch.setenv("AGENT_ENDPOINT_HOST", "0.0.0.0")
    monkeypatch.setenv("AGENT_ENDPOINT_ADVERTISED_HOST", "127.0.0.1")
    monkeypatch.setenv("AGENT_ENDPOINT_SIP__REALM", "another")
    result = run("doctor", "--json")
    assert result.exit_code == ExitCode.FAILED
    failed = {
        (check["name"], check["cure"])
        for check in shown(result)["checks"]
        if check["outcome"] == "failed"
    }
    again = "agent-endpoint extension add 6001 --generate --replace"
    assert ("credentials", again) in failed
    assert ("sip address", "set sip.advertised_host to an address that others reach") in failed


def test_doctor_reads_a_broken_configuration(tmp_path: Path) -> None:
    (tmp_path / "agent-endpoint.toml").write_text("[http]\nprot = 1\n")
    result = run("doctor", "--json")
    assert result.exit_code == ExitCode.FAILED
    assert [check["name"] for check in shown(result)["checks"]] == ["packages", "configuration"]


@pytest.mark.parametrize(
    "command", [("config", "check"), ("serve",), ("dial", "6003", "--from", "6002"), ("doctor",)]
)
def test_a_file_that_is_missing_is_said_alike_by_all_who_would_need_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "agent-endpoint.toml"
    file.write_text('[[station]]\ndevice = "6002"\nkind = "file"\npath = "voice.wav"\n')
    result = run(*command, "--json")
    told = shown(result)
    failed = [check["text"] for check in told.get("checks", []) if check["outcome"] == "failed"]
    (mistake,) = told.get("mistakes", failed)
    assert mistake.startswith("station.0.path (agent-endpoint.toml): found ")
    assert f"'{tmp_path}/voice.wav' (No such file or directory)" in mistake
    expected = ExitCode.FAILED if command == ("doctor",) else ExitCode.CONFIGURATION
    assert result.exit_code == expected


def test_versions() -> None:
    assert shown(run("version", "--json"))["agent-endpoint"]


COMMANDS = (
    *(
        "serve",
        "demo",
        "register",
        "dial",
        "answer",
        "hang-up",
        "hold",
        "retrieve",
        "press",
        "transfer",
    ),
    *(
        "consult",
        "swap",
        "reconnect",
        "conference",
        "add",
        "lend",
        "deflect",
        "mute",
        "unmute",
        "end",
    ),
    *("monitor", "whisper", "barge", "intercept", "park", "pick-up", "data"),
    *("status", "config", "extension", "db", "token", "doctor", "version"),
)


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    assert [command for command in COMMANDS if command not in text] == []
