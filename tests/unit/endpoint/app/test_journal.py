"""A call's record is on the disk before its end is told, and comes into the database once."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from endpoint.app import journal as journal_module
from endpoint.app.journal import RecordJournal
from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, Ending
from endpoint.errors import StorageError
from endpoint.legs.base import Cause, DeviceId, InteractionId, Side
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import Database, sqlite_url

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PATIENCE_S = 30.0


def record(call: str) -> CallRecord:
    return CallRecord(
        interaction=InteractionId("i1"),
        call=CallId(call),
        direction=CallDirection.OUTBOUND,
        calling=DeviceId("6001"),
        called=DeviceId("10086"),
        started_at=NOON,
        delivered_at=None,
        established_at=None,
        ended_at=NOON,
        ending=Ending(Cause.NORMAL, Side.DEVICE),
        connections=(),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "endpoint.sqlite3"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    async with Database(sqlite_url(file)) as database:
        yield database


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.01)
    monkeypatch.setattr(journal_module, "FAREWELL_S", 0.2)


class Desk:
    """A journal that writes into the database, and its file."""

    def __init__(self, database: Database, path: Path) -> None:
        self.records = StoredCallRecords(database)
        self.journal = RecordJournal(self.records, path)
        self.path = path

    async def kept(self) -> list[str]:
        return sorted(each.call for each in await self.records.latest())

    async def settled(self) -> list[str]:
        assert await self.journal.settled(PATIENCE_S)
        return await self.kept()

    def in_file(self) -> int:
        return self.path.read_bytes().count(b"\n")


@asynccontextmanager
async def open_desk(database: Database, directory: Path) -> AsyncIterator[Desk]:
    desk = Desk(database, directory / "unwritten")
    async with desk.journal:
        yield desk


async def rename(database: Database, before: str, after: str) -> None:
    async with database.session() as session:
        await session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


async def test_a_record_is_on_the_disk_at_once_and_in_the_database_soon(
    database: Database, tmp_path: Path
) -> None:
    async with open_desk(database, tmp_path) as desk:
        await asyncio.gather(*(desk.journal.write(record(f"i{n}-1")) for n in range(120)))
        assert len(await desk.settled()) == 100  # as many as `latest` tells
    assert desk.in_file() == 0
    async with open_desk(database, tmp_path) as desk:
        assert desk.journal.waiting == 0


async def test_records_that_the_database_does_not_take_wait_and_come_in_later(
    database: Database, tmp_path: Path
) -> None:
    async with open_desk(database, tmp_path) as desk:
        await desk.journal.write(record("i1-1"))
        await desk.settled()
        await rename(database, "call_record", "away")
        with capture_logs() as logs:
            await desk.journal.write(record("i2-1"))
            await desk.journal.write(record("i3-1"))
            assert not await desk.journal.settled(0.3)
        assert [each["event"] for each in logs if each["log_level"] == "error"] == [
            "the database takes nothing"
        ]
        assert desk.journal.waiting == 2
        assert "call_record" in desk.journal.trouble
        await rename(database, "away", "call_record")
        assert await desk.settled() == ["i1-1", "i2-1", "i3-1"]
    assert desk.journal.trouble == ""


async def test_what_an_earlier_run_has_left_comes_in_at_the_next(
    database: Database, tmp_path: Path
) -> None:
    """Once each: some of it was in the database already. A line that a crash has cut is told."""
    await rename(database, "call_record", "away")
    with capture_logs():
        async with open_desk(database, tmp_path) as desk:
            for number in (1, 2, 3):
                await desk.journal.write(record(f"i{number}-1"))
    assert desk.in_file() == 3
    with desk.path.open("ab") as cut:
        cut.write(b'{"cut')
    await rename(database, "away", "call_record")
    await StoredCallRecords(database).write(record("i1-1"))
    with capture_logs() as logs:
        async with open_desk(database, tmp_path) as desk:
            await desk.journal.write(record("i4-1"))
            assert await desk.settled() == ["i1-1", "i2-1", "i3-1", "i4-1"]
    assert desk.in_file() == 0
    assert "a line can't be read" in [each["event"] for each in logs]


async def test_one_record_that_is_refused_for_ever_keeps_no_other_waiting(
    database: Database, tmp_path: Path
) -> None:
    async with database.session() as session:
        await session.execute(
            text(
                "CREATE TRIGGER no BEFORE INSERT ON call_record WHEN NEW.call = 'bad-1' "
                "BEGIN SELECT RAISE(ABORT, 'never'); END"
            )
        )
    async with open_desk(database, tmp_path) as desk:
        with capture_logs() as logs:
            names = ("i1-1", "bad-1", "i2-1")
            await asyncio.gather(*(desk.journal.write(record(name)) for name in names))
            assert await desk.settled() == ["i1-1", "i2-1"]
    refused = [each for each in logs if each["event"] == "the database refuses it"]
    assert [each["call"] for each in refused] == ["bad-1"]
    aside = tmp_path / "unwritten.refused"
    assert b'"bad-1"' in aside.read_bytes()
    assert aside.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_taken_away_takes_no_record_with_it(
    database: Database, file: Path, tmp_path: Path
) -> None:
    """SQLite would write on into a file that nobody finds again."""
    away = tmp_path / "away"
    async with open_desk(database, tmp_path) as desk:
        await desk.journal.write(record("i1-1"))
        await desk.settled()
        os.rename(file, away)
        with capture_logs():
            await desk.journal.write(record("i2-1"))
            assert not await desk.journal.settled(0.3)
        assert "put it back" in desk.journal.trouble
        os.rename(away, file)
        assert await desk.settled() == ["i1-1", "i2-1"]


async def test_another_file_in_its_place_is_used_where_it_is_ours(
    database: Database, file: Path, tmp_path: Path
) -> None:
    """As after a backup was brought back while we run."""
    backup = tmp_path / "backup"
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    async with open_desk(database, tmp_path) as desk:
        await desk.journal.write(record("i1-1"))
        await desk.settled()
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        shutil.copy(backup, file)
        await desk.journal.write(record("i2-1"))
        assert await desk.settled() == ["i2-1"]
    with closing(sqlite3.connect(file)) as found:
        assert found.execute("SELECT call FROM call_record").fetchall() == [("i2-1",)]


async def test_somebody_who_keeps_the_database_locked_keeps_no_call_waiting(
    database: Database, file: Path, tmp_path: Path
) -> None:
    async with open_desk(database, tmp_path) as desk:
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            with capture_logs():
                for number in range(20):
                    await desk.journal.write(record(f"i{number}-1"))
                assert not await desk.journal.settled(1.5)
            assert desk.in_file() == 20
        assert len(await desk.settled()) == 20


async def test_a_place_where_nothing_can_be_written_is_told(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "unwritten").mkdir()
    with pytest.raises(StorageError, match=r"unwritten.*call records go there"):
        async with open_desk(database, tmp_path):
            pass


class Slow(StoredCallRecords):
    """Has no time for more than three at once."""

    async def write(self, *records: CallRecord) -> set[CallId]:
        if len(records) > 3:
            raise StorageError("the database did not answer in time")
        return await super().write(*records)


async def test_a_database_that_is_too_slow_for_many_gets_fewer_at_once(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path / "unwritten")
    desk.journal = RecordJournal(Slow(database), desk.path)
    with capture_logs():
        async with desk.journal:
            await asyncio.gather(*(desk.journal.write(record(f"i{n}-1")) for n in range(40)))
            assert len(await desk.settled()) == 40
