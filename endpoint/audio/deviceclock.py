"""When a sound device hears what it asks for: even steps of its own clock, however it asks."""

from __future__ import annotations

from collections import deque

_WINDOW = 100
"""Blocks: two seconds of 20 ms."""
_STOPPED_S = 0.2
"""A device that is later by more had stopped, and does not catch up."""


class DeviceClock:
    """Times for the blocks that a device takes, which it takes by twos and threes, early and late.

    Each is a whole number of blocks behind the first one, less what the earliest of the last ones
    came before that: so what is due at that time is there whenever the device asks, and the times
    follow a device whose clock is not ours.
    """

    def __init__(self, block_s: float) -> None:
        self._block_s = block_s
        self._blocks = 0
        self._began: float | None = None
        self._offsets: deque[float] = deque(maxlen=_WINDOW)

    def step(self, now: float) -> float:
        """The device takes a block at `now`: when that is heard, by an even clock."""
        if self._began is None:
            self._began = now
        even = self._began + self._blocks * self._block_s
        self._blocks += 1
        if self._offsets and now - even > min(self._offsets) + _STOPPED_S:
            self._offsets.clear()
        self._offsets.append(now - even)
        return even + min(self._offsets)
