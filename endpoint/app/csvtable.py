"""Tables as CSV (RFC 4180), for spreadsheets: nothing in them is a formula, and all comes back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from endpoint.errors import EndpointError

_FORMULA = re.compile(r"'*[ \u00a0\u3000]*[=+\-@\t\r\n＝＋－＠]")
"""A spreadsheet computes what begins so, and may so call programs or send what is in it away.

An apostrophe before it makes it text; so what begins with one already is given another.
"""
_SEPARATORS = ",;\t"
"""Spreadsheets of some countries write the second one."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table."""

    number: int
    """In the file, from 1; where it begins, if it has several."""
    cells: Mapping[str, str]
    """By column: those that the file has."""


class CsvRefused(EndpointError):
    """A table that can't be read, with every mistake: line, column, found, expected."""

    def __init__(self, mistakes: Sequence[str], lines: Sequence[Line] = ()) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = list(mistakes)
        self.lines = lines
        """Those that can be read nevertheless, for whoever looks what is wrong with them too."""


def harmless(cell: str) -> str:
    """As text that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def meant(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def row(cells: Iterable[str]) -> bytes:
    """One line, as it is."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(cells)  # ends in CRLF, as RFC 4180 has it
    return text.getvalue().encode(errors="replace")


def written(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """A table with its heading."""
    lines = [row(columns)]
    lines += [row(harmless(each[column]) for column in columns) for each in rows]
    return b"".join(lines)


def read(octets: bytes, columns: Collection[str], needed: Collection[str]) -> list[Line]:
    """The lines of a table whose columns are among these. Raises CsvRefused."""
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = octets[: error.start].count(b"\n") + 1
        raise CsvRefused([f"line {number}: found another encoding, expected UTF-8"]) from None
    heading = text.splitlines()[0] if text.strip() else ""
    separator = max(_SEPARATORS, key=heading.count)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    mistakes: list[str] = []
    found: list[Line] = []
    try:
        begins = 1
        names: list[str] = []
        for cells in lines:
            number, begins = begins, lines.line_num + 1
            if not any(cells):
                continue
            if not names:
                names = [name.strip().lower() for name in cells]
                mistakes += _of_heading(names, columns, needed)
            elif len(cells) > len(names) and any(cells[len(names) :]):
                extra = f"{len(cells)} cells, expected {len(names)}: a cell with {separator!r}"
                mistakes.append(f"line {number}: found {extra} in it stands in quotes")
            else:
                padded = [*cells, *[""] * (len(names) - len(cells))]
                found.append(
                    Line(number, {n: meant(c) for n, c in zip(names, padded, strict=False)})
                )
    except csv.Error as error:
        mistakes.append(f"line {lines.line_num}: {error}; expected CSV, with quotes doubled")
    if not names:
        mistakes.append(f"line 1: found nothing, expected the columns {', '.join(columns)}")
    if mistakes:
        raise CsvRefused(mistakes, found)
    return found


def _of_heading(
    names: Sequence[str], columns: Collection[str], needed: Collection[str]
) -> Iterator[str]:
    for index, name in enumerate(names):
        if name not in columns:
            yield f"line 1: found column {name[:40]!r}, expected one of {', '.join(columns)}"
        elif name in names[:index]:
            yield f"line 1: found column {name} twice, expected it once"
    for name in needed:
        if name not in names:
            yield f"line 1: found no column {name}, expected it"
