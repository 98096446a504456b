"""What commands that bring a file in have in common: the file, its mistakes, passwords."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from endpoint.app.csvtable import CsvRefused
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Output
from endpoint.app.secrecy import new_password

CsvFile = Annotated[
    Path, typer.Argument(help="CSV with a heading, as `export` prints it; - is standard input.")
]
Only = Annotated[bool, typer.Option("--only", help="Remove those that the file does not name.")]
Check = Annotated[
    bool, typer.Option("--check", help="Say what is wrong with it, and change nothing.")
]
Generate = Annotated[
    bool, typer.Option("--generate", help="Make passwords for who has none; print them once.")
]


@dataclass(frozen=True, slots=True)
class GivenPassword:
    """One that a command was given, or has made."""

    text: str = field(repr=False)
    shown: bool = False
    """Nobody knows it yet."""


def given_octets(file: Path, output: Output) -> bytes:
    """What is in it; else the command ends."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        output.fail(CommandFailed(ExitCode.FAILED, f"{file} can't be read: {error.strerror}"))


def not_taken(file: Path, error: CsvRefused) -> CommandFailed:
    """The end of the command, with every mistake of the file."""
    said = "\n".join(f"{file}, {mistake}" for mistake in error.mistakes)
    return CommandFailed(ExitCode.FAILED, said, {"mistakes": error.mistakes})


def new_passwords(names: Iterable[str]) -> dict[str, str]:
    """A strong one for each."""
    return {name: new_password() for name in names}
