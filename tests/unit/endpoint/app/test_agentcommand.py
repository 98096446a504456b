"""`agent-endpoint agent`: what it refuses, in words, before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from endpoint.app.cli import app
from endpoint.app.exitcodes import ExitCode

pytestmark = pytest.mark.unit

SERVER = ["--sip-ws-server", "wss://pbx.example.com"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("AGENT_PASSWORD", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (SERVER, "give --password-file or $AGENT_PASSWORD"),
        ([*SERVER, "--password-file", "nobody"], "No such file"),
        ([*SERVER, "--input", "tone:1"], "expected tone: and 50 to 3900 Hz"),
        (["--sip-ws-server", "pbx"], "expected wss://host"),
        (["--input", "tone:440"], "are for --sip-ws-server"),
        (["--auto-answer"], "are for --sip-ws-server"),
        ([*SERVER, "--extension", "RP_138"], "expected --config with a [[trunk]]"),
    ],
)
def test_it_says_what_was_expected(
    options: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text.startswith("expected"):
        monkeypatch.setenv("AGENT_PASSWORD", "s3cret-4711")
    result = CliRunner().invoke(app, ["agent", "--extension", "6002", *options])
    said = " ".join(result.output.replace("│", " ").split())
    assert text in said
    assert "s3cret" not in said
    assert result.exit_code == ExitCode.USAGE


def test_without_an_endpoint_that_runs_it_says_how_to_start_one() -> None:
    result = CliRunner().invoke(app, ["agent", "--extension", "6002"])
    assert "start one: agent-endpoint serve" in " ".join(result.output.split())
    assert result.exit_code == ExitCode.UNREACHABLE
