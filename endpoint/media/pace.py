"""Under load, packets are read by the beat: to be woken for each costs more than the packet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from endpoint.media.readers import Readers

_LOOK_S: Final = 0.25
_PACKETS_A_SECOND: Final = 50
_WANTED: Final = 2.0
"""Packets a beat: it is no longer than it need be."""
_WORTH_WAITING: Final = 1.5


class Pace:
    """Has audio read once a beat while each brings several packets: `with Pace(…):`.

    It holds the loop up for that, which only a process may do that has nothing but audio to do.
    With few streams, and where the work of a beat fills it, nothing ever waits.
    """

    def __init__(
        self,
        shortest_s: float,
        longest_s: float,
        streams: Callable[[], int],
        readers: Readers,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shortest_s = self._beat_s = shortest_s
        self._longest_s = longest_s
        self._streams = streams
        self._readers = readers
        self._clock = clock
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._is_beating = False
        self._due = 0.0
        self._looking: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._longest_s > 0:
            self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_beating = False
        self._readers.asked_by_loop(True)
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        """Streams come and go with calls: now and then is often enough."""
        self._looking = self._loop.call_later(_LOOK_S, self._look)
        was_beating = self._is_beating
        packets_a_second = self._streams() * _PACKETS_A_SECOND
        self._is_beating = packets_a_second * self._longest_s >= _WORTH_WAITING
        if self._is_beating:
            wanted_s = _WANTED / packets_a_second
            self._beat_s = min(max(wanted_s, self._shortest_s), self._longest_s)
        if self._is_beating is not was_beating:
            self._readers.asked_by_loop(was_beating)
            self._beat()

    def _beat(self) -> None:
        if not self._is_beating:
            return
        now = self._clock()
        if now < self._due:
            self._sleep(self._due - now)
        self._due = max(self._due, now) + self._beat_s
        self._readers.read()
        self._loop.call_soon(self._beat)
