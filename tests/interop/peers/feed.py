"""What a peer says, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class PeerError(AssertionError):
    """A peer did not do what the test needs; the text holds what it did instead."""


class Feed(Generic[Item]):
    """Everything that a peer said. A reader waits for what it needs; no item is read twice."""

    def __init__(self, name: str) -> None:
        self.items: list[Item] = []
        self._name = name
        self._read = 0
        self._ended: str | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def put(self, item: Item) -> None:
        """Say one more thing."""
        self.items.append(item)
        self._wake()

    def end(self, why: str) -> None:
        """Nothing follows; whoever waits fails at once instead of at its time-out."""
        if self._ended is None:
            self._ended = why
        self._wake()

    async def next(
        self, wanted: Callable[[Item], bool], what: str, *, timeout_s: float = 15.0
    ) -> Item:
        """Return the next item that is wanted; what was said before it is passed over.

        Raises:
            PeerError: it was not said in time, or the peer has ended.
        """
        scanned = self._read
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for index in range(scanned, len(self.items)):
                        if wanted(self.items[index]):
                            self._read = index + 1
                            return self.items[index]
                    scanned = len(self.items)
                    if self._ended is not None:
                        raise PeerError(
                            f"{self._name} ended ({self._ended}), no {what}{self._tail()}"
                        )
                    await self._something_new()
        except TimeoutError:
            raise PeerError(f"{self._name}: no {what} in {timeout_s} s{self._tail()}") from None

    async def _something_new(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _tail(self) -> str:
        return "".join(f"\n  {item}" for item in self.items[-20:])
