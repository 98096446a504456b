"""What a command shows steers no terminal, whoever has said it."""

from __future__ import annotations

import pytest
from rich.table import Table
from rich.text import Text

from endpoint.app.output import Output, good

pytestmark = pytest.mark.unit

NAME = "J\x1b]0;owned\x07\x1b[2J\x9b31m\rrg"


def test_a_name_is_shown_without_what_steers(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("caller")
    table.add_row(NAME)
    table.add_row(Text(NAME))
    Output(as_json=False).result(None, table, good(NAME), NAME)
    shown = capsys.readouterr().out
    assert shown.count("owned") == 4
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\r"}


def test_a_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """`queue list` ended in a traceback while such a caller waited."""
    table = Table("caller")
    table.add_row("[/b] :phone:")
    Output(as_json=False).result(None, table, "[red]6001[/]")
    shown = capsys.readouterr().out
    assert "[/b] :phone:" in shown
    assert "[red]6001[/]" in shown


def test_a_screen_has_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = Output(as_json=False)._out
    with screen.capture() as shown:
        screen.print(good(NAME))
    assert shown.get().startswith("\x1b[32m✔")
    assert "\x1b[2J" not in shown.get()
