"""What is stored comes back, and tenants and numbers stay apart: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, ConnectionRecord, Ending
from endpoint.errors import StorageError
from endpoint.legs.base import Cause, DeviceId, InteractionId, LegRole, Side
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import Database
from endpoint.storage.extensions import Credential, Extension, Extensions

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def credential(username: str, algorithm: str = "MD5") -> Credential:
    return Credential(username, "agent-endpoint", algorithm, "0" * 32)


async def execute(database: Database, statement: str) -> None:
    async with database.session() as session:
        await session.execute(text(statement))


async def test_an_extension_is_found_by_its_user_name_and_realm(database: Database) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001"), [credential("6001"), credential("6001", "SHA-256")])
    assert await extensions.lookup("6001", "agent-endpoint") == [
        ("MD5", "0" * 32),
        ("SHA-256", "0" * 32),
    ]
    assert await extensions.lookup("6001", "elsewhere") == []
    assert await extensions.lookup("6002", "agent-endpoint") == []


async def test_an_alias_leads_to_its_extension(database: Database) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001", aliases=("4000", "4001")), [credential("6001")])
    assert await extensions.resolve("4001") == "6001"
    assert await extensions.resolve("6001") == "6001"
    assert await extensions.resolve("5000") is None
    assert [extension.aliases for extension in await extensions.all()] == [("4000", "4001")]


class Busy(Database):
    """Its first transaction takes for ever."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.transactions = 0
        self.is_busy = asyncio.Event()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        self.transactions += 1
        if self.transactions == 1:
            self.is_busy.set()
            await asyncio.Event().wait()
        async with super().session() as session:
            yield session


async def test_all_who_ask_for_a_number_meanwhile_are_answered_at_once(
    database: Database, url: str
) -> None:
    """Also where whoever asked for them gives up; what is stored by then is seen."""
    extensions = Extensions(database)
    await extensions.add(Extension("6001", aliases=("4000",)), [credential("6001")])
    busy = Busy(url)
    busy.tenant_id = database.tenant_id
    asked = Extensions(busy)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asked.resolve("6001"))
        await busy.is_busy.wait()
        numbers = ["4000", "6001", "6002", "5000"] * 10
        others = [group.create_task(asked.resolve(number)) for number in numbers]
        await asyncio.sleep(0)
        await extensions.add(Extension("6002"), [credential("6002")])
        first.cancel()
    assert [other.result() for other in others] == ["6001", "6001", "6002", None] * 10
    assert busy.transactions <= 3
    await busy.dispose()


@pytest.mark.parametrize(
    "second",
    [Extension("6001"), Extension("4000"), Extension("6002", aliases=("6001",))],
    ids=["same number", "number is an alias", "alias is a number"],
)
async def test_a_number_belongs_to_one_extension(database: Database, second: Extension) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001", aliases=("4000",)), [credential("6001")])
    with pytest.raises(StorageError, match="taken"):
        await extensions.add(second, [credential(second.number)])
    assert [extension.number for extension in await extensions.all()] == ["6001"]


async def test_replacing_an_extension_leaves_nothing_of_the_old_one(database: Database) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001", aliases=("4000",), weak=True), [credential("6001")])
    new = Credential("6001", "agent-endpoint", "MD5", "1" * 32)
    await extensions.add(Extension("6001"), [new], replace=True)
    assert await extensions.lookup("6001", "agent-endpoint") == [("MD5", "1" * 32)]
    assert await extensions.resolve("4000") is None
    assert not (await extensions.all())[0].weak


async def test_removing_an_extension_takes_its_credentials_along(database: Database) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001"), [credential("6001")])
    assert await extensions.remove("6001")
    assert await extensions.lookup("6001", "agent-endpoint") == []
    assert not await extensions.remove("6001")


async def test_a_credential_cannot_point_into_another_tenant(database: Database) -> None:
    await Extensions(database).add(Extension("6001"), [])
    async with database.session() as session:
        await session.execute(text("INSERT INTO tenant (id, name) VALUES (99, 'other')"))
    with pytest.raises(StorageError) as refused:
        await execute(
            database,
            "INSERT INTO alias (tenant_id, extension_id, number) SELECT 99, id, '1' FROM extension",
        )
    assert isinstance(refused.value.__cause__, IntegrityError)


def record(call: str, started_at: datetime = NOON) -> CallRecord:
    ending = Ending(Cause.NORMAL, Side.DEVICE, DeviceId("10086"), q850=16)
    return CallRecord(
        interaction=InteractionId("i1"),
        call=CallId(call),
        direction=CallDirection.OUTBOUND,
        calling=DeviceId("6001"),
        called=DeviceId("10086"),
        started_at=started_at,
        delivered_at=started_at + timedelta(seconds=1),
        established_at=None,
        ended_at=started_at + timedelta(seconds=9),
        ending=ending,
        connections=(
            ConnectionRecord(
                DeviceId("6001"), LegRole.STATION, failed=False, ending=ending, media_confirmed=True
            ),
        ),
    )


async def test_a_call_record_comes_back_as_it_was_written(database: Database) -> None:
    records = StoredCallRecords(database)
    await records.write(record("i1.1"))
    later = record("i2.1", NOON + timedelta(hours=1))
    await records.write(later)
    assert list(await records.latest()) == [later, record("i1.1")]
    assert list(await records.latest(limit=1)) == [later]


async def test_the_record_keeps_the_data_of_the_call(database: Database) -> None:
    records = StoredCallRecords(database)
    written = replace(record("i1-1"), data={"order": "4711", "note": "é"})
    await records.write(written)
    assert list(await records.latest()) == [written]


async def test_a_call_has_exactly_one_record(database: Database) -> None:
    records = StoredCallRecords(database)
    assert await records.write(record("i1.1")) == {"i1.1"}
    second = replace(record("i1.1"), called=DeviceId("10010"))
    assert await records.write(second, record("i2.1"), record("i2.1")) == {"i2.1"}
    kept = {each.call: each for each in await records.latest()}
    assert kept == {CallId("i1.1"): record("i1.1"), CallId("i2.1"): record("i2.1")}


async def test_what_was_stored_is_there_after_a_restart(database: Database, url: str) -> None:
    for _ in range(2):
        async with Database(url) as database:
            extensions = Extensions(database)
            if await extensions.remove("6001"):
                break
            await extensions.add(Extension("6001"), [])
    else:
        pytest.fail("the extension was gone after a restart")


async def test_many_extensions_come_in_at_once_or_none(database: Database) -> None:
    """Aliases may change hands; who brings no credentials keeps its own."""
    extensions = Extensions(database)
    await extensions.add(Extension("6001", "Desk", ("4000",)), [credential("6001")])
    changes: list[tuple[Extension, list[Credential] | None, bool]] = [
        (Extension("6001", "Front desk", ("4001",)), None, False),
        (Extension("6002", "Lab", ("4000",)), [credential("6002")], True),
    ]
    await extensions.bring(changes)
    found = await extensions.all()
    assert [(each.number, each.display_name, each.aliases, each.weak) for each in found] == [
        ("6001", "Front desk", ("4001",), False),
        ("6002", "Lab", ("4000",), True),
    ]
    assert await extensions.lookup("6001", "agent-endpoint")
    again = [(Extension("6003"), [credential("6003")], False)]
    with pytest.raises(StorageError):
        await extensions.bring([*again, (Extension("6004", aliases=("4000",)), [], False)])
    assert await extensions.all() == found
    await extensions.bring([(Extension("6002"), [credential("6002")], False)])
    assert [(each.number, each.weak) for each in await extensions.all()][1] == ("6002", False)
