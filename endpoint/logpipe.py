"""Standard output and error that nobody waits for: who reads the log may stop to.

A pipe that is full blocks whoever writes into it, and a log is written by those that move calls. So
a thread writes, and what it can't get rid of is held, up to a bound; then it is dropped and
counted.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HELD_BYTES = 1_000_000
"""So much waits for a reader at most; a line that is longer than what is left of it is dropped."""
_FAREWELL_S = 1.0
"""So long the end of a process waits for what is held."""

_pipes: list[LogPipe] = []


class LogPipe(io.BufferedIOBase):
    """What is written here goes to a descriptor when that takes it. Each write is a line.

    Args:
        descriptor: stays open, whatever happens here.
        told: how many lines were dropped, when the descriptor takes some again. In the thread.
        held_bytes: how much waits for it at most.
    """

    def __init__(
        self,
        descriptor: int,
        told: Callable[[int], object],
        held_bytes: int = HELD_BYTES,
    ) -> None:
        super().__init__()
        self.dropped = 0
        """Lines, since the beginning."""
        self._descriptor = descriptor
        self._told = told
        self._held_bytes = held_bytes
        self._changes = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._held = 0
        self._untold = 0
        threading.Thread(target=self._pass_on, name="log", daemon=True).start()

    # -- as a file ------------------------------------------------------------------------------

    def writable(self) -> bool:
        """It is."""
        return True

    @property
    def name(self) -> int:
        """As other files of a descriptor have it."""
        return self._descriptor

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether somebody sits there."""
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer) -> int:
        """Never blocks and never raises."""
        line = bytes(data)
        with self._changes:
            if self._held + len(line) > self._held_bytes:
                self._drop(1)
            else:
                self._lines.append(line)
                self._held += len(line)
                self._changes.notify_all()
        return len(line)

    def written(self, within_s: float) -> bool:
        """Wait until nothing is held. False: it still is."""
        with self._changes:
            return self._changes.wait_for(lambda: not self._held, within_s)

    # -- in the thread --------------------------------------------------------------------------

    def _pass_on(self) -> None:
        while True:
            with self._changes:
                self._changes.wait_for(lambda: self._lines)
                line = self._lines.popleft()
            is_written = self._write_out(line)
            with self._changes:
                self._held -= len(line)
                if not is_written:
                    self._drop(1)
                untold = self._untold if is_written and self._held <= self._held_bytes // 2 else 0
                self._untold -= untold
                self._changes.notify_all()
            if untold:
                self._told(untold)

    def _write_out(self, line: bytes) -> bool:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever started us has it so
                select.select([], [self._descriptor], [])
            except OSError:  # nobody will ever read it
                return False
        return True

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines


def _say(lines: int) -> None:
    sys.stderr.write(f"{lines} lines were dropped, as nobody has read them in time\n")


def install(told: Callable[[int], object] = _say) -> None:
    """Let nothing that this process says wait for a reader, from now on.

    told: how many lines of standard error were dropped.
    """
    for name, tell in (("stdout", lambda _: None), ("stderr", told)):
        stream = getattr(sys, name)
        stream.flush()
        try:
            descriptor = stream.fileno()
        except OSError:  # of a program that holds it in memory
            continue
        pipe = LogPipe(descriptor, tell)
        _pipes.append(pipe)
        text = io.TextIOWrapper(pipe, stream.encoding, "backslashreplace", write_through=True)
        setattr(sys, name, text)
    atexit.register(_farewell)


def dropped() -> int:
    """Lines that nobody has read in time, of this process."""
    return sum(pipe.dropped for pipe in _pipes)


def _farewell() -> None:
    for pipe in _pipes:
        pipe.written(_FAREWELL_S)
