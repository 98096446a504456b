"""What is open now, in a file that the next process finds if this one dies.

A line is appended at each change: a write into the kernel's memory, which outlives us however we
die (not the machine: that would cost a disk's time in every call). A line that was cut is passed
over. Where nothing is open the file is emptied.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from endpoint.plaintext import clean, encode

log = structlog.get_logger(__name__)

V = TypeVar("V")

_LEAST_BYTES = 1_000_000
"""Below this the file is not worth being written anew."""


class _Line(msgspec.Struct, omit_defaults=True):
    key: str
    value: msgspec.Raw = msgspec.Raw()
    """Nothing: it is over."""


class OpenState(Generic[V]):
    """Values by key: `with OpenState(path, kind).opened()`. A fault is logged, not raised."""

    def __init__(self, path: Path, kind: type[V]) -> None:
        self._path = path
        self._kind = kind
        self._lines: dict[str, bytes] = {}
        """What is open, as written."""
        self._open_bytes = 0
        """Of these lines."""
        self._written = 0
        self._file = -1
        self._is_broken = False
        self.left: Mapping[str, V] = {}
        """What the process before us has left open; `drop` what is done with."""
        self.last_sign = datetime.now(UTC)
        """When that process wrote last, or showed that it lives."""

    def __repr__(self) -> str:
        return f"<OpenState {self._path.name} {len(self._lines)} open>"

    def __len__(self) -> int:
        return len(self._lines)

    @contextmanager
    def opened(self) -> Iterator[OpenState[V]]:
        """Read what was left, and go on from there."""
        self._read()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._rewrite()
            yield self
        finally:
            os.close(self._file)
            self._file = -1

    def put(self, key: str, value: V) -> None:
        """Something is open, or has changed. It is safe when this returns."""
        line = encode(_Line(clean(key), msgspec.Raw(encode(value))))
        self._keep(key, line)
        self._append(line)

    def drop(self, key: str) -> None:
        """It is over."""
        if key not in self._lines:
            return
        self._keep(key, None)
        if self._lines or not self._rewrite():
            self._append(encode(_Line(clean(key))))

    def show_life(self) -> None:
        """Say that what is open was open until now."""
        if self._lines and self._file >= 0:
            os.utime(self._file)

    def _keep(self, key: str, line: bytes | None) -> None:
        self._open_bytes -= len(self._lines.get(key, b""))
        if line is None:
            self._lines.pop(key, None)
        else:
            self._lines[key] = line
            self._open_bytes += len(line)

    def _append(self, line: bytes) -> None:
        if self._file < 0:
            return
        self._written += len(line) + 1
        if self._written > max(_LEAST_BYTES, 4 * self._open_bytes) and self._rewrite():
            return
        with self._told():
            # In front, so that a line that was cut spoils no other.
            _write_all(self._file, b"\n" + line)

    def _rewrite(self) -> bool:
        """Leave what is open, and nothing else. Where there is no room, all stays as it is."""
        if self._file < 0:
            return True
        content = b"".join(b"\n" + line for line in self._lines.values())
        self._written = len(content)
        with self._told():
            if content:
                self._replace(content)
            else:
                os.ftruncate(self._file, 0)
            return True
        return False

    def _replace(self, content: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _write_all(file, content)
            new.rename(self._path)
        except OSError:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file = file

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed(error)
        else:
            self._is_broken = False

    def _failed(self, error: OSError) -> None:
        """Calls go on without it; it is said once."""
        if not self._is_broken:
            log.error("what is open can't be noted", file=str(self._path), reason=str(error))
        self._is_broken = True

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
            self.last_sign = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(error)
            return
        left: dict[str, V] = {}
        for text in filter(None, content.split(b"\n")):
            try:
                line = msgspec.json.decode(text, type=_Line)
                if not bytes(line.value):
                    left.pop(line.key, None)
                    self._keep(line.key, None)
                    continue
                left[line.key] = msgspec.json.decode(line.value, type=self._kind)
                self._keep(line.key, text)
            except msgspec.MsgspecError as error:
                log.warning("a line can't be read", file=str(self._path), reason=str(error))
        self.left = left


def _write_all(file: int, octets: bytes) -> None:
    """A full disk may take a part, and refuses the rest when it is asked again."""
    while octets:
        octets = octets[os.write(file, octets) :]
