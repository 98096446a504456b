"""Keys of earlier versions: each is taken under its new name, with a warning, or refused with why.

A key is never passed over: whoever wrote it would believe that it holds. What can be said of it is
here; a key that there never was is a mistake like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from endpoint.app.files import Tree
from endpoint.app.mistakes import place


@dataclass(frozen=True, slots=True)
class Renamed:
    """The same, under another name."""

    key: str
    """Dotted, in the same or another section."""
    value: Callable[[Any], Any] = lambda value: value
    """What is written there for what was written here."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such thing any more."""

    text: str
    """What holds in its place, and what to do."""


OLD_KEYS: Mapping[str, Renamed | Gone] = {
    "media.cpu": Renamed("media.cpus", lambda cpu: [cpu]),
    "calls.digit_duration_ms": Gone("digits are sent for 100 ms each: remove it"),
    "calls.digit_gap_ms": Gone("60 ms are between digits: remove it"),
}


def renewed(
    written: Tree, origins: dict[str, str], mistakes: list[str], warnings: list[str]
) -> Tree:
    """What was written, by the names of today; `origins` learns those."""
    today = {
        name: dict(value) if isinstance(value, dict) else value for name, value in written.items()
    }
    for old, now in OLD_KEYS.items():
        section, _, name = old.partition(".")
        table = today.get(section)
        if not isinstance(table, dict) or name not in table:
            continue
        value = table.pop(name)
        where = place(old, origins)
        if isinstance(now, Gone):
            mistakes.append(f"{old}{where}: there is no such setting any more; {now.text}")
            continue
        new_section, _, new_name = now.key.partition(".")
        new_table = today.setdefault(new_section, {})
        if not isinstance(new_table, dict):
            continue  # that is told of anyway
        if new_name in new_table:
            mistakes.append(f"{old}{where}: it is {now.key} now, which is written too: remove it")
            continue
        new_table[new_name] = now.value(value)
        if old in origins:
            origins[now.key] = origins[old]
        warnings.append(f"{old}{where} is called {now.key} now; it holds, write it so")
    return today
