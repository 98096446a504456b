"""An ordered queue of events with an end, read by `async for`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class Mailbox(AsyncIterator[T]):
    """Put from the event loop, read by one reader; reading ends when all was read after `close`."""

    def __init__(self, limit: int | None = None) -> None:
        self._letters: deque[T] = deque(maxlen=limit)  # past the limit the oldest goes
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, letter: T) -> None:
        """Add one; dropped after `close`."""
        if not self._closed:
            self._letters.append(letter)
            self._wake.set()

    def close(self) -> None:
        """No more will come."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[T]:
        """Everything put, in order, as it comes."""
        return self

    async def __anext__(self) -> T:
        """The next one. Cancelling is safe: nothing is lost."""
        while not self._letters:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._letters.popleft()
