"""The list of commands: each stands below a heading, once."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from endpoint.app.cli import app
from endpoint.app.overview import HEADINGS

pytestmark = pytest.mark.unit


def test_each_command_has_one_heading() -> None:
    command: Any = typer.main.get_command(app)  # a group, which typer does not say
    listed = [name for names in HEADINGS.values() for name in names]
    assert sorted(listed) == sorted(command.commands)


def test_what_comes_first_is_what_one_begins_with() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    places = [text.index(f" {heading} ") for heading in HEADINGS]
    assert places == sorted(places)
    assert text.index(" demo ") < text.index(" serve ") < text.index(" dial ")
