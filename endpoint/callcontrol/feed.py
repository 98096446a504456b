"""The stream of events: numbered, kept for a while, read by any number of readers.

One bounded history serves every reader; a reader is only a place in it. So a slow reader costs
nothing, and one that falls out of the history is told so instead of being fed a gap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from endpoint.callcontrol.events import Event, NumberedEvent
from endpoint.errors import EndpointError


class EventsMissed(EndpointError):
    """The next event that a reader wants is not kept any more: take a snapshot, then read on."""

    def __init__(self, wanted: int, oldest: int) -> None:
        super().__init__(f"event {wanted} is not kept; the oldest that is has number {oldest}")
        self.wanted = wanted
        """The number asked for."""
        self.oldest = oldest
        """The oldest number that can be read, or that will come next when none is kept."""


class Subscription:
    """One reader's place in the stream: an async iterator that waits for what comes next.

    Leaving it needs nothing. One task at a time may wait.
    """

    def __init__(self, feed: EventFeed, after: int) -> None:
        self._feed = feed
        self._read = after

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> NumberedEvent:
        """The next event, as soon as there is one; the iteration ends when the feed is closed.

        Raises: EventsMissed.
        """
        while self._feed.last_number == self._read:
            if self._feed.is_closed:
                raise StopAsyncIteration
            await self._feed.wait()
        event = self._feed.kept(self._read + 1)
        self._read = event.number
        return event

    def __repr__(self) -> str:
        return f"<Subscription read {self._read} of {self._feed.last_number}>"


class EventFeed:
    """Numbers events, keeps the last `history` of them and wakes the readers."""

    def __init__(self, history: int) -> None:
        self._kept: deque[NumberedEvent] = deque(maxlen=history)
        self._news = asyncio.Event()
        self.last_number = 0
        """The number of the newest event; 0 before the first."""
        self.is_closed = False
        """No more events will come."""

    def publish(self, event: Event, at: datetime) -> NumberedEvent:
        """Give an event its number and wake every reader."""
        self.last_number += 1
        numbered = NumberedEvent(self.last_number, at, event)
        self._kept.append(numbered)
        self._wake()
        return numbered

    def subscribe(self, after: int | None = None) -> Subscription:
        """Read what comes, or first what came behind number `after`.

        Raises: EventsMissed, if that is not kept, or `after` has not happened in this run.
        """
        if after is None:
            after = self.last_number
        elif not self._oldest - 1 <= after <= self.last_number:
            raise EventsMissed(after + 1, self._oldest)
        return Subscription(self, after)

    def kept(self, number: int) -> NumberedEvent:
        """The event of that number.

        Raises: EventsMissed.
        """
        if not self._oldest <= number <= self.last_number:
            raise EventsMissed(number, self._oldest)
        return self._kept[number - self._oldest]

    async def wait(self) -> None:
        """Return at the next event, or when the feed closes."""
        await self._news.wait()

    def close(self) -> None:
        """End every reader's iteration once it has read what is there."""
        self.is_closed = True
        self._wake()

    @property
    def _oldest(self) -> int:
        return self.last_number - len(self._kept) + 1

    def _wake(self) -> None:
        self._news.set()
        if not self.is_closed:
            self._news = asyncio.Event()
