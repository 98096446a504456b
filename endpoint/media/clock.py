"""The plane's clock: a tick every 20 ms, only while something needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from endpoint.audio.frame import FRAME_MS

_TICK_S = FRAME_MS / 1000
_MOST_BEHIND = 5


class FrameClock:
    """Calls `tick` every 20 ms from `start` until `stop`, on an absolute schedule.

    A loop that was held up gets its missed ticks at once, up to five; beyond that time is let go.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick from now on, at once where the last tick is long ago.

        Nothing happens if it does already.
        """
        if self._timer is None:
            self._due = max(self._due, self._loop.time())
            self._timer = self._loop.call_at(self._due, self._run)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        behind = self._loop.time() - self._due
        if behind > _MOST_BEHIND * _TICK_S:
            self._due += behind
        self._due += _TICK_S
        # Before the tick, which may stop the clock, or fail: the loop says so, and time goes on.
        self._timer = self._loop.call_at(self._due, self._run)
        self._tick()
