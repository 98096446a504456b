"""Where in a TOML file something stands: tomllib reads values, and forgets their lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

Path = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\[?(?P<name>[^\]]+)\]\]?\s*(#.*)?$")
_PART = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")
_QUOTED = re.compile(r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#.*')


class Places:
    """The lines of the keys and tables of a file that tomllib has read without a mistake."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        table: Path = ()
        lines = text.splitlines()
        at = 0
        while at < len(lines):
            line, number = lines[at], at + 1
            at += 1
            if header := _HEADER.match(line):
                table = _parts(header["name"])[0]
                self._keep(table, number)
                continue
            key, rest = _parts(line)
            if not key or not rest.startswith("="):
                continue
            self._keep((*table, *key), number)
            value = rest[1:]
            while at < len(lines) and _is_open(value):
                value += "\n" + lines[at]
                at += 1

    def line(self, path: Sequence[str]) -> int:
        """The line of a key, else of the nearest table around it; 1 where there is none."""
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(tuple(path[:length]))) is not None:
                return line
        return 1

    def _keep(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _parts(text: str) -> tuple[Path, str]:
    """A dotted key at the beginning of a text, and what comes after it."""
    found: list[str] = []
    at = 0
    while match := _PART.match(text, at):
        found.append(match[1].strip("\"'"))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(found), text[at:]


def _is_open(value: str) -> bool:
    """Whether a value goes on in the next line: a bracket or a text of several lines is open."""
    depth = at = 0
    while at < len(value):
        match = _QUOTED.match(value, at)
        if match is None:
            depth += (value[at] in "[{") - (value[at] in "]}")
            at += 1
            continue
        at = match.end()
        if match[0] in ('"""', "'''"):
            end = value.find(match[0], at)
            if end < 0:
                return True
            at = end + 3
    return depth > 0
