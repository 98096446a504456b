"""What pages are told of each act, as tests have seen it: a section of a document.

The document is written anew by `WRITE_DOCUMENTS=1 pytest` of the test that fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endpoint.gateways.basiccall.names import UNTOLD, CommandName, EventName, State

DOCUMENT = Path(__file__).parents[5] / "docs" / "reference" / "basiccall-walk.md"


def told(events: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Events by their names; where the state changes, that: `=7`. What is repeated is there once.

    The countdown goes on for as long as nobody ends it: it belongs to what has begun it.
    """
    words: list[str] = []
    for each in events:
        name = each["event"]
        state, code = each["agentInfos"].get("agentState"), each["errorCode"]
        word = f"={state}" if name == "StateChange" else f"{name}({code})" if code else name
        is_begun = words and (words[-1] == "=19" or words[-1] == "WorkModeChange")
        if words[-1:] != [word] and (word != "WrapupTick" or is_begun):
            words.append(word)
    return tuple(words)


@dataclass(frozen=True, slots=True)
class Row:
    """An act, and what came of it."""

    act: str
    before: int | None
    """The state of the page that it was done at; None: it was done at none."""
    told: Mapping[str, tuple[str, ...]]
    """By page; of those that were told anything."""
    page: str
    hears: str

    def written(self) -> str:
        own = _shown(self.told.get(self.page, ()))
        others = " · ".join(
            f"{page}: {_shown(words)}" for page, words in self.told.items() if page != self.page
        )
        at = "" if self.before is None else f"{self.before} {_name(self.before)}"
        return f"| {_quoted(self.act)} | {at} | {own} | {others} | {self.hears} |\n"


@dataclass
class Book:
    """Rows in their order."""

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[str, int, str, str]] = field(default_factory=list)
    """Act, state, `errorCode`, event."""

    def acts(self) -> str:
        """By command, in the order of their names; what no page does is last. Nothing twice."""
        order = [str(each) for each in CommandName]

        def place(row: Row) -> int:
            word = row.act.split()[0]
            return order.index(word) if word in order else len(order)

        rows = sorted((row for row in self.rows if row.told or row.page), key=place)
        return _HEAD + "".join(dict.fromkeys(row.written() for row in rows))

    def refusals(self) -> str:
        """What was not done."""
        lines = [
            f"| {_quoted(act)} | {before} {_name(before)} | `{code}` | {event} |\n"
            for act, before, code, event in self.refused
        ]
        head = "| command | in | `errorCode` | event |\n|---|---|---|---|\n"
        return head + "".join(dict.fromkeys(lines))

    def events(self) -> str:
        """Each event that there is, with what has brought it."""
        by: dict[str, list[str]] = {}
        for row in self.rows:
            for words in row.told.values():
                for word in words:
                    name = "StateChange" if word[0] == "=" else word.partition("(")[0]
                    by.setdefault(name, []).append(_quoted(row.act))
        for act, _, _, event in self.refused:
            by.setdefault(event.strip("`").partition("(")[0], []).append(_quoted(act))
        silent = [each for each in EventName if each not in by]
        assert not silent, f"no test has brought {', '.join(silent)}"
        lines = []
        for name in EventName:
            acts = list(dict.fromkeys(by[name]))
            more = ["…"] if len(acts) > _FEW else []
            lines.append(f"| `{name}` | {' · '.join([*acts[:_FEW], *more])} |\n")
        lines += [f"| `{name}` | never: {why} |\n" for name, why in UNTOLD.items()]
        return "| event | is told by, among others |\n|---|---|\n" + "".join(lines)


_FEW = 4
_HEAD = "| act | in | its page is told | other pages | who hears whom |\n|---|---|---|---|---|\n"


def _shown(words: Iterable[str]) -> str:
    return " ".join(f"**{word[1:]}**" if word[0] == "=" else f"`{word}`" for word in words) or "–"


def _name(state: int) -> str:
    return State(state).name.lower().replace("_", " ")


def _quoted(act: str) -> str:
    return f"`{act}`" if act[0].isupper() else act


def compare(section: str, found: str) -> None:
    """With what the document says; written there where that is wanted."""
    begin, end = f"<!-- {section}: begin -->\n", f"<!-- {section}: end -->"
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    written, _, after = rest.partition(end)
    if os.environ.get("WRITE_DOCUMENTS"):
        DOCUMENT.write_text(before + begin + found + end + after, encoding="utf-8")
    else:
        assert written == found, f"{DOCUMENT.name} is not what was seen: WRITE_DOCUMENTS=1 pytest"
