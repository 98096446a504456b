"""Says where the control process is held up: while its loop computes, nobody's command is done.

The audio goes on, in the media processes. What has held it up is in the log, by its stack, while it
still does: afterwards nobody knows.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)

HELD_UP_S = 0.2
"""A loop that was due so long ago is held up."""
_BEAT_S = 0.1
_FRAMES = 12
"""The innermost of the stack: what is outside of them is the loop's own."""


class LoopWatchdog:
    """`with LoopWatchdog(told) as watchdog`, in the running loop that is to be watched.

    told: for how many seconds it was held up, each time, when it goes on.
    """

    def __init__(self, told: Callable[[float], None], held_up_s: float = HELD_UP_S) -> None:
        self._told = told
        self._held_up_s = held_up_s
        self._loop = asyncio.get_running_loop()
        self._thread_of_loop = threading.get_ident()
        self._due = 0.0
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
        self._due = monotonic() + _BEAT_S
        self._timer = self._loop.call_later(_BEAT_S, self._beat)

    def _beat(self) -> None:
        """In the loop."""
        late_s = monotonic() - self._due
        if late_s > self._held_up_s:
            log.warning("the event loop was held up", for_ms=round(1000 * late_s))
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
                log.warning("the event loop is held up", for_ms=round(1000 * late_s), by=stack)


def _stack_of(thread: int) -> str:
    """As a traceback has it. The frames go with this call: they would keep all that they name."""
    return "".join(traceback.format_stack(sys._current_frames().get(thread))[-_FRAMES:])
