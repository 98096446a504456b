"""The directory's things as lines of CSV: what is in each column, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from endpoint.app.csvtable import CsvRefused, read, written
from endpoint.app.gathering import entry_of
from endpoint.gateways.native import directorymessages as wire

PASSWORD = "password"
"""A column of agents that is read and never written."""
_LIST = "; "


class _Unfit(ValueError):
    """What a cell should have held."""


def _number(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def _flag(value: Any) -> str:
    return "yes" if value else "no"


def _read_flag(cell: str) -> bool:
    known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if cell.lower() not in known:
        raise _Unfit("yes or no")
    return known[cell.lower()]


def _read_whole(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise _Unfit("a whole number") from None


def _read_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise _Unfit("a number, with a point") from None


def _read_list(cell: str) -> list[str]:
    return [each.strip() for each in cell.split(";") if each.strip()]


def _levels(value: Any) -> str:
    return _LIST.join(f"{each['skill']}:{each['level']}" for each in value)


def _read_levels(cell: str) -> list[dict[str, Any]]:
    return [level_of(each) for each in _read_list(cell)]


def level_of(text: str) -> dict[str, Any]:
    """`sales:9`, or `sales`. Raises ValueError with what was expected."""
    skill, colon, level = text.partition(":")
    if colon and not level.strip().isdecimal():
        raise _Unfit("codes and levels, as sales:9; english:3")
    return {"skill": skill.strip(), **({"level": int(level)} if colon else {})}


@dataclass(frozen=True, slots=True)
class Form:
    """How values are written, and read."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]
    """Raises _Unfit."""


_TEXT = Form(str, str)
_NUMBER = Form(_number, _read_number)
_WHOLE = Form(_number, _read_whole)
_FLAG = Form(_flag, _read_flag)
_TEXTS = Form(_LIST.join, _read_list)
_LEVELS = Form(_levels, _read_levels)


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    field: str
    """Of the entry; below another one as `overflow.queue`."""
    form: Form = _TEXT


COLUMNS: dict[str, dict[str, Column]] = {
    "agents": {
        "id": Column("id"),
        "name": Column("name"),
        "department": Column("department"),
        "role": Column("role"),
        "supervises": Column("supervises", _TEXTS),
        "skills": Column("skills", _LEVELS),
        "wrap_up_s": Column("wrap_up_s", _NUMBER),
        "devices": Column("devices", _TEXTS),
        "enabled": Column("enabled", _FLAG),
        "dials_for_skill": Column("dials_for_skill", _FLAG),
    },
    "skills": {"code": Column("code"), "name": Column("name")},
    "queues": {
        "code": Column("code"),
        "name": Column("name"),
        "skills": Column("skills", _LEVELS),
        "priority": Column("priority", _WHOLE),
        "ring_s": Column("ring_s", _NUMBER),
        "rest_s": Column("rest_s", _NUMBER),
        "no_answer": Column("no_answer"),
        "no_answer_reason": Column("no_answer_reason"),
        "overflow_after_s": Column("overflow.after_s", _NUMBER),
        "overflow_waiting": Column("overflow.waiting", _WHOLE),
        "overflow_queue": Column("overflow.queue"),
        "overflow_device": Column("overflow.device"),
        "announce_every_s": Column("announce_every_s", _NUMBER),
        "announce_wait": Column("announce_wait", _FLAG),
        "music": Column("music"),
        "call_back": Column("call_back", _FLAG),
        "most_waiting": Column("most_waiting", _WHOLE),
        "enabled": Column("enabled", _FLAG),
    },
    "modes": {
        "code": Column("code", _WHOLE),
        "name": Column("name"),
        "basic": Column("basic"),
        "skill": Column("skill"),
        "visible": Column("visible", _FLAG),
        "position": Column("position", _WHOLE),
    },
    "reasons": {
        "code": Column("code"),
        "name": Column("name"),
        "visible": Column("visible", _FLAG),
    },
}


@dataclass(frozen=True, slots=True)
class Brought:
    """What a file holds: as many entries as it has lines."""

    entries: list[wire.Entry]
    lines: list[int]
    """Of the file, of each entry."""
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    mistakes: list[str] = field(default_factory=list)
    """Of cells that hold nothing that an entry can."""
    wrong: dict[int, dict[str, str]] = field(default_factory=dict)
    """The same by line and field: an entry has the default in their place."""


def exported(kind: str, entries: Iterable[wire.Entry]) -> bytes:
    """As a file."""
    return written([*COLUMNS[kind]], [_cells(kind, each) for each in entries])


def _cells(kind: str, entry: wire.Entry) -> dict[str, str]:
    plain: dict[str, Any] = msgspec.to_builtins(entry)
    cells = {}
    for name, column in COLUMNS[kind].items():
        above, _, below = column.field.partition(".")
        value = plain[above]
        if below:
            value = None if value is None else value[below]
        cells[name] = "" if value is None else column.form.write(value)
    return cells


def brought(kind: str, octets: bytes, known: Sequence[wire.Entry]) -> Brought:
    """What a file says of what is known, and of what is new; and all that is wrong with it.

    A column that the file has not leaves what is known as it is; an empty cell is the default.
    """
    columns = COLUMNS[kind]
    key = next(iter(columns))
    names = [*columns, PASSWORD] if kind == "agents" else [*columns]
    there = {str(getattr(each, key)): each for each in known}
    found = Brought([], [])
    try:
        lines = read(octets, names, [key])
    except CsvRefused as refused:
        found.mistakes.extend(refused.mistakes)
        lines = [line for line in refused.lines if key in line.cells]
    for line in lines:
        cells = {name: cell.strip() for name, cell in line.cells.items() if name in columns}
        base = there.get(cells[key])
        plain, unread = _plain(
            columns, cells, msgspec.to_builtins(base) if base is not None else {}
        )
        entry, unfit = entry_of(kind, plain) if cells[key] else (None, {})
        found.wrong[line.number] = wrong = {**unread, **unfit}
        found.mistakes.extend(
            f"line {line.number}, column {column_of(kind, at)}: {what}"
            for at, what in wrong.items()
        )
        if entry is None:
            continue
        found.entries.append(entry)
        found.lines.append(line.number)
        if password := line.cells.get(PASSWORD, "") if kind == "agents" else "":
            found.passwords[cells[key]] = password
    return found


def _plain(
    columns: Mapping[str, Column], cells: Mapping[str, str], base: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is said of an entry, and what can't be read, by field."""
    wrong = {}
    for name, cell in cells.items():
        column = columns[name]
        above, _, below = column.field.partition(".")
        try:
            value = column.form.read(cell) if cell else None
        except _Unfit as error:
            wrong[column.field] = f"found {cell[:60]!r}, expected {error}"
            continue
        holder = base
        if below:
            holder = base[above] = dict(base.get(above) or {})
        holder.pop(below or above, None)
        if value is not None:
            holder[below or above] = value
    for above in {column.field.partition(".")[0] for column in columns.values()}:
        if base.get(above) == {} or (
            above == "overflow" and not any((base.get(above) or {}).values())
        ):
            base.pop(above, None)  # nothing of it was said
    if not cells[next(iter(columns))]:
        wrong[next(iter(columns))] = "found nothing, expected it"
    return base, wrong


def column_of(kind: str, path: str) -> str:
    """The column of a field, as `$.skills[0].level` or `$.agents[3].overflow.queue`."""
    said = path.removeprefix("$").removeprefix(f".{kind}").lstrip("[0123456789].")
    for name, column in COLUMNS[kind].items():
        if said == column.field:
            return name
    above = said.partition(".")[0].partition("[")[0]
    return next((n for n, c in COLUMNS[kind].items() if c.field.startswith(above)), above)
