"""Where agents' logs are kept: a journal on the disk, and soon after the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from endpoint.agents.attempts import Guesses
from endpoint.agents.directory import Directory
from endpoint.agents.eventlog import Entry, Line, read
from endpoint.agents.keeping import Kept, Write
from endpoint.agents.model import AgentId
from endpoint.agents.roster import Roster
from endpoint.agents.times import STATES
from endpoint.app.journal import Journal
from endpoint.app.rostersettings import AgentsSettings, roster_settings
from endpoint.callcontrol.controller import CallController, Keeper, once
from endpoint.errors import StorageError
from endpoint.legs.base import DeviceId
from endpoint.storage.agentlogs import EXPIRED_AT_ONCE, StoredAgentLogs
from endpoint.storage.database import Database
from signaling.supervision import Supervision

log = structlog.get_logger(__name__)

LINGER_S = 0.2
"""So long the database is left alone between two batches: readers have the newest in memory."""
EXPIRE_EVERY_S = 600.0


class AgentJournal(Journal[Write]):
    """Implements `Keeping`: `async with AgentJournal(logs, path) as journal`."""

    def __init__(self, logs: StoredAgentLogs, path: Path, *, keep: Keeper = once) -> None:
        """Set up; `keep` keeps alive what brings lines into the database."""
        super().__init__(logs, path, Write, "events of agents", keep=keep, linger_s=LINGER_S)
        self._logs = logs

    async def sessions(self) -> list[Kept]:
        """Every agent that has ever logged on, as it was last. Raises `StorageError`."""
        waiting = self.left
        found = {kept.agent: kept for kept in await self._logs.sessions()}
        for write in waiting:
            known = found.get(write.kept.agent)
            if known is None or write.kept.number >= known.number:
                found[write.kept.agent] = write.kept
        return list(found.values())

    async def lines(self, agent: AgentId, after: int, limit: int) -> Sequence[Line]:
        """See `Keeping`. What an earlier run has left may not be in the database yet."""
        waiting = [
            line
            for write in self.left
            if write.kept.agent == agent
            for line in write.lines
            if line.number > after
        ]
        found = {line.number: line for line in await self._logs.lines(agent, after, limit)}
        found |= {line.number: line for line in waiting}
        return [found[number] for number in sorted(found)][:limit]

    async def oldest(self, agent: AgentId) -> int:
        """See `Keeping`."""
        return await self._logs.oldest(agent)

    async def states(self, agent: AgentId, since: datetime, until: datetime) -> list[Entry]:
        """What tells of an agent's states in a time, and the last before. Raises `StorageError`."""
        kinds = [kind.__name__ for kind in STATES]
        waiting = [
            line
            for write in self.left
            if write.kept.agent == agent
            for line in write.lines
            if line.kind in kinds and line.at < until
        ]
        found = {line.number: line for line in await self._logs.states(agent, kinds, since, until)}
        found |= {line.number: line for line in waiting}
        return [read(found[number]) for number in sorted(found)]

    async def expire(self, keep_days: float, clock: Callable[[], datetime]) -> None:
        """Delete lines that are older, a few at a time. Never returns."""
        while True:
            deleted = 0
            try:
                deleted = await self._logs.expire(clock() - timedelta(days=keep_days))
            except StorageError as error:
                log.warning("old events of agents are not deleted", reason=str(error))
            await asyncio.sleep(LINGER_S if deleted == EXPIRED_AT_ONCE else EXPIRE_EVERY_S)


@asynccontextmanager
async def opened_roster(
    database: Database,
    path: Path,
    controller: CallController,
    directory: Directory,
    settings: AgentsSettings,
    *,
    is_ours: Callable[[DeviceId], Awaitable[bool]],
    needs_no_registration: Callable[[DeviceId], bool],
    supervision: Supervision,
    guesses: Guesses,
) -> AsyncIterator[tuple[AgentJournal, Roster]]:
    """The roster over its journal in a file, with all that earlier runs have left.

    Raises `StorageError`.
    """
    logs = StoredAgentLogs(database)
    async with AgentJournal(logs, path, keep=supervision.keep) as journal:
        roster = Roster(
            controller,
            directory,
            journal,
            is_ours=is_ours,
            needs_no_registration=needs_no_registration,
            settings=roster_settings(settings),
            left=await journal.sessions(),
            keep=supervision.keep,
            guesses=guesses,
        )
        logs.stored = roster.stored
        expire = partial(journal.expire, settings.log_days, controller.clock)
        async with roster, asyncio.TaskGroup() as group:
            expiring = group.create_task(supervision.keep("old events of agents", expire))
            try:
                yield journal, roster
            finally:
                expiring.cancel()
