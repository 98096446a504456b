"""The unit of systemd: it runs what is there, with settings that are some."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from endpoint.app.cli import app
from endpoint.app.config import PREFIX
from endpoint.app.settings import Config

pytestmark = pytest.mark.unit

UNIT = Path(__file__).parents[2] / "docker" / "agent-endpoint.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_its_commands_are_those_of_the_program(service: configparser.SectionProxy) -> None:
    for key in ("ExecStartPre", "ExecStart"):
        program, *words = shlex.split(service[key])
        assert Path(program).name == "agent-endpoint"
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0
    assert shlex.split(service["ExecStart"])[1] == "serve"


def test_its_variables_are_settings(service: configparser.SectionProxy) -> None:
    for variable in service["Environment"].split():
        name, _, value = variable.partition("=")
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        Config.model_validate({section: {key: value}})


def test_it_waits_for_calls_to_drain(service: configparser.SectionProxy) -> None:
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > Config().calls.drain_timeout_s + 10


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_it(tmp_path: Path) -> None:
    """But for what is not on this machine: the program, its user."""
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/agent-endpoint/bin/agent-endpoint", "/bin/true")
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
