"""What a command line got wrong, gathered: all of it is told at once, and not the first alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from endpoint.gateways.native import directorymessages as wire

_LONG: Final = re.compile("Expected `str` of length <= ([0-9]+)")


@dataclass(frozen=True, slots=True)
class Unread:
    """In the place of a value that can't be read."""

    found: str
    expected: str


def number(text: str) -> float | Unread:
    """A number; for options that would end the command by themselves."""
    try:
        return float(text)
    except ValueError:
        return Unread(text, "a number, with a point")


def whole(text: str) -> int | Unread:
    """A whole one."""
    try:
        return int(text)
    except ValueError:
        return Unread(text, "a whole number")


def one_of(*words: str) -> Callable[[str], str | Unread]:
    """One of a choice."""

    def chosen(text: str) -> str | Unread:
        return text if text in words else Unread(text, f"one of {', '.join(words)}")

    return chosen


def entry_of(
    kind: str, plain: Mapping[str, Any], *, strict: bool = True
) -> tuple[wire.Entry | None, dict[str, str]]:
    """The entry, with the default in place of what it can't hold, and all that, by its path.

    None where that is what it is known by.
    """
    wrong: dict[str, str] = {}
    kept, key = dict(plain), "id" if kind == "agents" else "code"
    while True:
        try:
            return msgspec.convert(kept, wire.ENTRIES[kind], strict=strict), wrong
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at ")
            said = path.strip("`").removeprefix("$").lstrip(".")
            wrong[said] = _in_words(text, kind, said)
            field = top(said)
            if field == key or kept.pop(field, None) is None:
                return None, wrong


def top(path: str) -> str:
    """The field of an entry that a path leads into: `skills` of `skills[0].level`."""
    return path.partition(".")[0].partition("[")[0]


_WITH = {"role": ("supervises",), "no_answer": ("no_answer_reason",)}
"""What is judged by another field; of one that can't be read nothing is known."""


def judged_wrongly(path: str, wrong: Mapping[str, str]) -> bool:
    """Whether a rule speaks of what it can't know, as the value was wrong before."""
    unread = {top(each) for each in wrong}
    return top(path) in unread or any(top(path) in _WITH.get(each, ()) for each in unread)


def _in_words(text: str, kind: str, path: str) -> str:
    """What msgspec says, as we say it where there is a choice."""
    schema = msgspec.json.schema(wire.ENTRIES[kind])["$defs"][wire.ENTRIES[kind].__name__]
    choice = schema["properties"].get(path, {}).get("enum")
    if choice:
        found = text.removeprefix("Invalid enum value ")
        return f"found {found}, expected one of {', '.join(choice)}"
    if (long := _LONG.fullmatch(text)) is not None:
        return f"found more, expected up to {long[1]} characters"
    return text
