"""A call's record survives a database that is away."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from endpoint.app.journal import RecordJournal
from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, Ending
from endpoint.legs.base import Cause, DeviceId, InteractionId, Side
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import Database, sqlite_url

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


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
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(sqlite_url(tmp_path / "endpoint.sqlite3")) as database:
        yield database


@pytest.fixture
def journal(database: Database, tmp_path: Path) -> RecordJournal:
    return RecordJournal(StoredCallRecords(database), tmp_path / "unwritten")


def append(path: Path, octets: bytes) -> None:
    with path.open("ab") as file:
        file.write(octets)


async def rename(database: Database, before: str, after: str) -> None:
    async with database.session() as session:
        await session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


async def test_records_that_could_not_be_written_are_brought_in_later(
    database: Database, journal: RecordJournal, tmp_path: Path
) -> None:
    await journal.write(record("i1-1"))
    await rename(database, "call_record", "away")
    await journal.write(record("i2-1"))
    await journal.write(record("i3-1"))
    await journal.replay()  # still away
    await rename(database, "away", "call_record")
    await journal.replay()
    kept = await StoredCallRecords(database).latest()
    assert sorted(one.call for one in kept) == ["i1-1", "i2-1", "i3-1"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith("unwritten")]


async def test_a_replay_that_was_cut_short_writes_nothing_twice(
    database: Database, journal: RecordJournal, tmp_path: Path
) -> None:
    await rename(database, "call_record", "away")
    await journal.write(record("i1-1"))
    await rename(database, "away", "call_record")
    await StoredCallRecords(database).write(record("i1-1"))
    append(tmp_path / "unwritten", b'{"cut')
    await journal.replay()
    assert len(await StoredCallRecords(database).latest()) == 1


async def test_nothing_waits_by_default(journal: RecordJournal) -> None:
    await journal.replay()
