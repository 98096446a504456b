"""An agent's events outlive a database that is locked, gone or read-only, and a process's death."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoint.agents.eventlog import AgentLog, written
from endpoint.agents.events import WorkModeChanged
from endpoint.agents.keeping import Kept, Write
from endpoint.agents.model import AgentId
from endpoint.app import journal as journal_module
from endpoint.app.agentlogs import AgentJournal
from endpoint.errors import StorageError
from endpoint.legs.base import DeviceId
from endpoint.storage.agentlogs import StoredAgentLogs
from endpoint.storage.database import Database, sqlite_url

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANNA = AgentId("1001")
SOON_S = 1.0
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.05)
    monkeypatch.setattr(journal_module, "FAREWELL_S", 0.2)


def next_write(log: AgentLog) -> Write:
    event = WorkModeChanged(agent=log.agent, device=DeviceId("6001"), mode=0)
    line = written(log.append(event, NOON))
    return Write(Kept(agent=log.agent, number=log.last, session=None), (line,))


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def gone(file: Path) -> Iterator[None]:
    away = file.with_name("away")
    os.rename(file, away)
    yield
    os.rename(away, file)


@contextmanager
def refused(file: Path) -> Iterator[None]:
    """The table has no place for any line."""
    with closing(sqlite3.connect(file)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON agent_event "
            "BEGIN SELECT RAISE(ROLLBACK, 'never'); END"
        )
        other.commit()
    yield
    with closing(sqlite3.connect(file)) as other:
        other.execute("DROP TRIGGER no")
        other.commit()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[AgentJournal, StoredAgentLogs]]:
    async with Database(sqlite_url(directory / "endpoint.sqlite3")) as database:
        logs = StoredAgentLogs(database)
        async with AgentJournal(logs, directory / "unwritten") as journal:
            yield journal, logs


@pytest.mark.parametrize("trouble", [locked, gone])
async def test_what_is_put_while_the_database_fails_is_done_at_once_and_in_it_later(
    tmp_path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    async with opened(tmp_path) as (journal, logs):
        log = AgentLog(ANNA)
        await journal.put(next_write(log))
        assert await journal.settled(PATIENCE_S)
        with trouble(tmp_path / "endpoint.sqlite3"):
            async with asyncio.timeout(SOON_S * 10):
                for _ in range(20):
                    await journal.put(next_write(log))
            async with asyncio.timeout(PATIENCE_S):
                while not journal.trouble:
                    assert not await journal.settled(0.1)
            assert journal.waiting == 20
        assert await journal.settled(PATIENCE_S)
        assert [line.number for line in await logs.lines(ANNA, 0, 99)] == list(range(1, 22))
        assert journal.trouble == ""


async def test_a_process_that_was_killed_before_the_database_had_it_has_lost_nothing(
    tmp_path: Path,
) -> None:
    log = AgentLog(ANNA)
    async with opened(tmp_path) as (journal, _):
        await journal.put(next_write(log))
        assert await journal.settled(PATIENCE_S)
        with locked(tmp_path / "endpoint.sqlite3"):
            for _ in range(3):
                await journal.put(next_write(log))
            left = (tmp_path / "unwritten").read_bytes()
    (tmp_path / "unwritten").write_bytes(left)
    async with opened(tmp_path) as (journal, logs):
        (kept,) = await journal.sessions()
        assert kept.number == 4
        assert [line.number for line in await journal.lines(ANNA, 0, 99)] == [1, 2, 3, 4]
        assert await journal.settled(PATIENCE_S)
        assert [line.number for line in await logs.lines(ANNA, 0, 99)] == [1, 2, 3, 4]


async def test_what_the_database_will_never_take_is_put_aside_and_keeps_no_other_waiting(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (journal, logs):
        log = AgentLog(ANNA)
        with refused(tmp_path / "endpoint.sqlite3"):
            await journal.put(next_write(log))
            assert await journal.settled(PATIENCE_S)
        await journal.put(next_write(log))
        assert await journal.settled(PATIENCE_S)
        assert [line.number for line in await logs.lines(ANNA, 0, 99)] == [2]
        assert b'"1001"' in (tmp_path / "unwritten.refused").read_bytes()


async def test_reading_old_lines_from_a_database_that_fails_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path) as (journal, _):
        await journal.put(next_write(AgentLog(ANNA)))
        assert await journal.settled(PATIENCE_S)
        with gone(tmp_path / "endpoint.sqlite3"), pytest.raises(StorageError, match="put it back"):
            await journal.lines(ANNA, 0, 99)


async def test_lines_are_deleted_when_they_are_too_old(tmp_path: Path) -> None:
    async with opened(tmp_path) as (journal, _):
        log = AgentLog(ANNA)
        await journal.put(next_write(log))
        assert await journal.settled(PATIENCE_S)

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            later = datetime(2026, 12, 1, tzinfo=UTC)
            expiring = group.create_task(journal.expire(1, lambda: later))
            while await journal.oldest(ANNA):
                await asyncio.wait((expiring,), timeout=0.01)
            expiring.cancel()
