"""Where agents' logs are kept, in memory: it may take its time, and forget what is old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from endpoint.agents.eventlog import Line
from endpoint.agents.keeping import Kept, Write
from endpoint.agents.model import AgentId


class MemoryKeeping:
    """Implements `Keeping`. What is put goes through JSON, as it would on a disk."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        """What is kept."""
        self.stored: Callable[[AgentId, int], None] = lambda agent, number: None
        self.is_slow = False
        """What is put waits until `let_go`."""
        self.disk_is_full = False
        self.forgotten = 0
        """Lines up to this number are too old."""
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    def put(self, write: Write) -> asyncio.Future[None]:
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((msgspec.json.encode(write), written))
        if not self.is_slow:
            self.let_go()
        return written

    def let_go(self) -> None:
        for octets, written in self._waiting:
            if self.disk_is_full:
                written.set_exception(OSError(28, "No space left on device"))
                continue
            write = msgspec.json.decode(octets, type=Write)
            self.writes.append(write)
            written.set_result(None)
            self.stored(write.kept.agent, write.kept.number)
        self._waiting.clear()

    async def lines(self, agent: AgentId, after: int, limit: int) -> Sequence[Line]:
        first = max(after, self.forgotten)
        found = [each for each in self._of(agent) if each.number > first]
        return found[:limit]

    async def oldest(self, agent: AgentId) -> int:
        return next((each.number for each in await self.lines(agent, 0, 1)), 0)

    def left(self) -> list[Kept]:
        """What a process after us would find."""
        return list({write.kept.agent: write.kept for write in self.writes}.values())

    def _of(self, agent: AgentId) -> list[Line]:
        return [line for write in self.writes if write.kept.agent == agent for line in write.lines]
