"""Extensions as lines of CSV: no secret goes out; what comes in is checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from endpoint.app.csvtable import CsvRefused, Line, read, written
from endpoint.app.section import checked_device
from endpoint.storage.extensions import Extension

COLUMNS = ("number", "name", "aliases")
PASSWORD = "password"
"""A column that is read and never written."""
LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class BroughtExtension:
    """One that a file names."""

    extension: Extension
    new: bool
    password: str = field(default="", repr=False)
    """Empty: it keeps the one that it has."""


def exported(extensions: Iterable[Extension]) -> bytes:
    """As a file."""
    rows = [
        {"number": each.number, "name": each.display_name, "aliases": "; ".join(each.aliases)}
        for each in extensions
    ]
    return written(COLUMNS, rows)


def brought(
    octets: bytes, known: Sequence[Extension], *, generate: bool = False
) -> list[BroughtExtension]:
    """What a file says of what is known, and of what is new. Raises CsvRefused.

    A column that is not there leaves what is known as it is. With `generate` new ones need no
    password.
    """
    there = {each.number: each for each in known}
    mistakes: list[str] = []
    found: list[tuple[Line, BroughtExtension]] = []
    for line in read(octets, (*COLUMNS, PASSWORD), ("number",)):
        number = line.cells["number"].strip()
        before = there.get(number)
        name = line.cells.get("name", before.display_name if before else "").strip()
        aliases = before.aliases if before else ()
        if "aliases" in line.cells:
            given = (each.strip() for each in line.cells["aliases"].split(";"))
            aliases = tuple(sorted({each for each in given if each}))
        password = line.cells.get(PASSWORD, "")
        where = f"line {line.number}, column"
        for column, device in (("number", number), *(("aliases", each) for each in aliases)):
            try:
                checked_device(device)
            except ValueError as error:
                mistakes.append(f"{where} {column}: {error}")
        if len(name) > LONGEST_NAME or not name.isprintable():
            mistakes.append(f"{where} name: expected one line of up to {LONGEST_NAME} characters")
        if before is None and not password and not generate:
            said = "found nothing, expected one for a new extension, or --generate"
            mistakes.append(f"{where} {PASSWORD}: {said}")
        extension = Extension(number, name, aliases)
        found.append((line, BroughtExtension(extension, before is None, password)))
    named = {each.extension.number for _, each in found}
    owners = {
        number: f"extension {each.number}"
        for each in known
        if each.number not in named
        for number in (each.number, *each.aliases)
    }
    for line, each in found:
        for number in (each.extension.number, *each.extension.aliases):
            column = "number" if number == each.extension.number else "aliases"
            if (owner := owners.setdefault(number, f"line {line.number}")) != f"line {line.number}":
                mistakes.append(f"line {line.number}, column {column}: {number} is {owner}'s")
    if mistakes:
        raise CsvRefused(mistakes)
    return [each for _, each in found]
