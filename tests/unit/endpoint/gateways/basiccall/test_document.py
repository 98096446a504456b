"""The tables of `docs/reference/basiccall.md` are made from code: `python -m` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.gateways.basiccall.buttons import LAYOUT, buttons_of
from endpoint.gateways.basiccall.names import ErrorCode
from endpoint.gateways.basiccall.parameters import Key

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).parents[5] / "docs" / "reference" / "basiccall.md"
HEAD = "| state | | buttons (`functions[].id`) |\n|---|---|---|\n"
BEGIN, END = "<!-- buttons: begin -->\n", "<!-- buttons: end -->"


def made() -> str:
    rows = []
    for state in sorted(LAYOUT):
        buttons = buttons_of(state, supervises=True)
        shown = " · ".join(f"{int(each)} {each.name.lower().replace('_', ' ')}" for each in buttons)
        rows.append(f"| {int(state)} | {state.name.lower().replace('_', ' ')} | {shown or '–'} |\n")
    return HEAD + "".join(rows)


def test_the_buttons_are_those_that_are_shown() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == made(), "write it: python -m this module"


def test_every_parameter_and_error_is_told() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for word in (*Key, *ErrorCode):
        assert word is ErrorCode.SUCC or f"| `{word}` |" in text, word


if __name__ == "__main__":
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(before + begin + made() + END + rest.partition(END)[2], encoding="utf-8")
