"""Says where the control process is held up: while its loop computes, nobody's command is done.

The audio goes on, in the media processes. What has held it up is in the log, by its stack, while it
still does: afterwards nobody knows. How much it has computed meanwhile is told too: little of it
says that the machine had no processor for us, or that a disk was waited for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import PurePath
from time import monotonic, process_time
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)

HELD_UP_S = 0.2
"""A loop that was due so long ago is held up."""
_BEAT_S = 0.1
_FRAMES = 12
"""The innermost of the stack: what is outside of them is the loop's own."""
_PARTS = 3
"""Of a file's path: the packages of ours are no deeper."""


class LoopWatchdog:
    """`with LoopWatchdog(told) as watchdog`, in the running loop that is to be watched.

    told: for how many seconds it was held up, each time, when it goes on.
    """

    def __init__(self, told: Callable[[float], None], held_up_s: float = HELD_UP_S) -> None:
        self._told = told
        self._held_up_s = held_up_s
        self._loop = asyncio.get_running_loop()
        self._thread_of_loop = threading.get_ident()
        self._due = self._spent_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._await_beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_over.set()
        self._thread.join()

    def _await_beat(self) -> None:
        self._spent_s = process_time()
        self._due = monotonic() + _BEAT_S
        self._timer = self._loop.call_later(_BEAT_S, self._beat)

    def _beat(self) -> None:
        """In the loop."""
        late_s = monotonic() - self._due
        if late_s > self._held_up_s:
            log.warning("the event loop was held up", **self._figures(late_s))
            self._told(late_s)
        self._await_beat()

    def _watch(self) -> None:
        """In the thread: each time that it is held up is told once."""
        told = 0.0
        while not self._is_over.wait(_BEAT_S):
            due = self._due
            late_s = monotonic() - due
            if late_s > self._held_up_s and due != told:
                told = due
                stack = _stack_of(self._thread_of_loop)
                log.warning("the event loop is held up", **self._figures(late_s), by=stack)

    def _figures(self, late_s: float) -> dict[str, int]:
        spent_s = process_time() - self._spent_s
        return {"for_ms": round(1000 * late_s), "cpu_ms": round(1000 * spent_s)}


def _stack_of(thread: int) -> str:
    """Where it is, and what called that.

    The frames go with this call: they would keep all that they name.
    """
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    walk = traceback.walk_stack(frame)
    stack = traceback.StackSummary.extract(walk, limit=_FRAMES, lookup_lines=False)
    return " < ".join(_place(each) for each in stack)


def _place(frame: traceback.FrameSummary) -> str:
    file = "/".join(PurePath(frame.filename).parts[-_PARTS:])
    return f"{frame.name} ({file}:{frame.lineno})"
