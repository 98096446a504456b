"""The logs of agents, and their sessions: what the roster keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache

import msgspec
import structlog
from sqlalchemy import Insert, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from endpoint.agents.eventlog import Line
from endpoint.agents.keeping import Kept, KeptSession, Write
from endpoint.agents.model import AgentId
from endpoint.storage.calls import refusing
from endpoint.storage.database import Database
from endpoint.storage.schema import AgentEventRow, AgentSessionRow

log = structlog.get_logger(__name__)

EXPIRED_AT_ONCE = 2000
"""Lines that are deleted in one transaction: nobody is to wait for it."""


class StoredAgentLogs:
    """Those of one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.stored: Callable[[AgentId, int], None] = lambda agent, number: None
        """Told up to where an agent's log is in the database."""

    async def write(self, *writes: Write) -> None:
        """Keep lines, and the sessions that they tell of: all or none. Twice is as once.

        Raises `StorageError`; `RecordRefused` where one of them will never be kept.
        """
        tenant = self._database.tenant_id
        lines = [
            {
                "tenant_id": tenant,
                "agent": write.kept.agent,
                "number": line.number,
                "at": line.at,
                "kind": line.kind,
                "fields": line.fields,
            }
            for write in writes
            for line in write.lines
        ]
        latest = {write.kept.agent: write.kept for write in writes}
        sessions = [
            {
                "tenant_id": tenant,
                "agent": kept.agent,
                "number": kept.number,
                "device": None if kept.session is None else kept.session.device,
                "session": None if kept.session is None else msgspec.to_builtins(kept.session),
            }
            for kept in latest.values()
        ]
        adding, putting = _statements(self._database.sqlite)
        with refusing():
            async with self._database.session() as session:
                if lines:
                    await session.execute(adding, lines)
                await session.execute(putting, sessions)
        for agent, kept in latest.items():
            self.stored(agent, kept.number)

    async def sessions(self) -> list[Kept]:
        """Every agent that has ever logged on. Raises `StorageError`."""
        query = select(AgentSessionRow).where(AgentSessionRow.tenant_id == self._database.tenant_id)
        async with self._database.session() as session:
            return [_kept(row) for row in await session.scalars(query)]

    async def lines(self, agent: AgentId, after: int, limit: int) -> Sequence[Line]:
        """Lines of a log behind a number, in order. Raises `StorageError`."""
        query = (
            select(AgentEventRow)
            .where(
                AgentEventRow.tenant_id == self._database.tenant_id,
                AgentEventRow.agent == agent,
                AgentEventRow.number > after,
            )
            .order_by(AgentEventRow.number)
            .limit(limit)
        )
        async with self._database.session() as session:
            return [
                Line(row.number, row.at, row.kind, row.fields)
                for row in await session.scalars(query)
            ]

    async def states(
        self, agent: AgentId, kinds: Sequence[str], since: datetime, until: datetime
    ) -> Sequence[Line]:
        """Lines of these kinds in a time, and the last before, in order. Raises `StorageError`."""
        own = select(AgentEventRow).where(
            AgentEventRow.tenant_id == self._database.tenant_id,
            AgentEventRow.agent == agent,
            AgentEventRow.kind.in_(kinds),
        )
        before = own.where(AgentEventRow.at < since).order_by(AgentEventRow.number.desc()).limit(1)
        during = own.where(AgentEventRow.at >= since, AgentEventRow.at < until)
        async with self._database.session() as session:
            rows = [
                *await session.scalars(before),
                *await session.scalars(during.order_by(AgentEventRow.number)),
            ]
            return [Line(row.number, row.at, row.kind, row.fields) for row in rows]

    async def oldest(self, agent: AgentId) -> int:
        """The number of a log's oldest line; 0: there is none. Raises `StorageError`."""
        query = select(func.min(AgentEventRow.number)).where(
            AgentEventRow.tenant_id == self._database.tenant_id, AgentEventRow.agent == agent
        )
        async with self._database.session() as session:
            return await session.scalar(query) or 0

    async def expire(self, before: datetime) -> int:
        """Delete some of the lines that are older; how many. Raises `StorageError`."""
        old = (
            select(AgentEventRow.id)
            .where(AgentEventRow.tenant_id == self._database.tenant_id, AgentEventRow.at < before)
            .order_by(AgentEventRow.at)
            .limit(EXPIRED_AT_ONCE)
        )
        async with self._database.session() as session:
            ids = list(await session.scalars(old))
            if ids:
                await session.execute(delete(AgentEventRow).where(AgentEventRow.id.in_(ids)))
        return len(ids)


@cache
def _statements(is_sqlite: bool) -> tuple[Insert, Insert]:
    """Adds lines, puts sessions. Made once: each copies all columns, in a ring of references."""
    dialect = sqlite if is_sqlite else postgresql
    adding = dialect.insert(AgentEventRow).on_conflict_do_nothing(
        index_elements=["tenant_id", "agent", "number"]
    )
    putting = dialect.insert(AgentSessionRow)
    putting = putting.on_conflict_do_update(
        index_elements=["tenant_id", "agent"],
        set_={name: putting.excluded[name] for name in ("number", "device", "session")},
        where=AgentSessionRow.number <= putting.excluded["number"],
    )
    return adding, putting


def _kept(row: AgentSessionRow) -> Kept:
    agent = AgentId(row.agent)
    session: KeptSession | None = None
    if row.session is not None:
        try:
            session = msgspec.convert(row.session, KeptSession)
        except msgspec.ValidationError as error:
            log.error("a session can't be read: log on again", agent=agent, reason=str(error))
    return Kept(agent=agent, number=row.number, session=session)
