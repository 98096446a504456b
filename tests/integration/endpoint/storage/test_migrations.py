"""Every schema that there has been becomes today's and back, with what is in it; on both databases.

The tables are filled by what they are, so a new migration is covered the day that it is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table

from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.errors import StorageError
from endpoint.storage.database import Database, revisions
from endpoint.storage.schema import Base
from endpoint.storage.upkeep import examine

pytestmark = pytest.mark.integration

ROWS = 3
KNOWN: dict[tuple[str, str], Any] = {
    ("call_record", "direction"): "outbound",
    ("call_record", "ending"): {"cause": "normal", "released_by": "device"},
    ("call_record", "connections"): [],
    ("call_record", "data"): {"order": "4711"},
}
"""Where a migration may look into a value."""

Contents = dict[str, list[dict[str, Any]]]


@pytest.fixture
async def raw(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.dispose()


def reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


def value(table: Table, column: sa.Column[Any], row: int) -> Any:
    if (table.name, column.name, row) == ("tenant", "name", 0):
        return DEFAULT_TENANT
    if (table.name, column.name) in KNOWN:
        return KNOWN[table.name, column.name]
    kind = column.type
    match kind:
        case sa.Boolean():
            return row % 2 == 0
        case sa.Integer():
            return row + 1
        case sa.Numeric() | sa.Float():
            return row + 0.5
        case sa.DateTime():
            zone = UTC if kind.timezone else None
            return datetime(2026, 11, 21, 12, 0, row, tzinfo=zone)
        case sa.JSON():
            return {"row": row}
        case sa.LargeBinary():
            return bytes([row])
        case sa.String():
            return f"{column.name} {row}"[-(kind.length or 99) :]
        case _:
            raise AssertionError(f"{table.name}.{column.name}: no value for {kind!r}")


def filled(connection: Connection) -> Contents:
    """Put rows into each table; a foreign key points to the row of the same number."""
    metadata = reflected(connection)
    for table in metadata.sorted_tables:
        if table.name != "alembic_version":
            rows = [{c.name: value(table, c, row) for c in table.columns} for row in range(ROWS)]
            connection.execute(table.insert(), rows)
    connection.commit()
    return contents(connection)


def contents(connection: Connection) -> Contents:
    return {
        table.name: [
            dict(row._mapping) for row in connection.execute(table.select().order_by(table.c.id))
        ]
        for table in reflected(connection).sorted_tables
        if table.name != "alembic_version"
    }


def assert_kept(before: Contents, after: Contents) -> None:
    """What both schemas have a place for is the same."""
    for name in before.keys() & after.keys():
        assert len(after[name]) == len(before[name]), name
        for old, new in zip(before[name], after[name], strict=True):
            shared = old.keys() & new.keys()
            assert {key: old[key] for key in shared} == {key: new[key] for key in shared}


async def read(database: Database) -> Contents:
    async with database.connection() as connection:
        return await connection.run_sync(contents)


# Each migration of a filled database is in the test after this; all starts are a soak.
@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(
            each, marks=() if each in (revisions()[0], revisions()[-2]) else pytest.mark.soak
        )
        for each in revisions()
    ],
)
async def test_a_filled_database_of_every_schema_is_brought_up_and_opened(
    raw: Database, url: str, revision: str
) -> None:
    await raw.migrate(revision)
    async with raw.connection() as connection:
        before = await connection.run_sync(filled)
    assert all(len(rows) == ROWS for rows in before.values())
    migrated = await raw.migrate()
    assert (migrated.before, migrated.after) == (revision, revisions()[-1])
    assert_kept(before, await read(raw))
    async with Database(url) as database:
        assert database.tenant_id
    assert (await examine(raw)).faults == []


async def test_a_filled_database_goes_back_step_by_step_and_up_again(raw: Database) -> None:
    await raw.migrate()
    async with raw.connection() as connection:
        before = await connection.run_sync(filled)
    for revision in reversed(revisions()):
        await raw.migrate(revision)
        at = await read(raw)
        assert_kept(before, at)
    for revision in revisions():
        await raw.migrate(revision)
        assert_kept(at, await read(raw))
    assert (await examine(raw)).faults == []


async def test_the_migrations_make_what_the_models_say(raw: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    await raw.migrate()
    async with raw.connection() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_newer_schema_is_refused_in_words_and_left_alone(raw: Database, url: str) -> None:
    await raw.migrate()
    async with raw.connection() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.commit()
        before = await connection.run_sync(contents)
    with pytest.raises(StorageError, match=r"schema 9999.*a newer agent-endpoint made it"):
        async with Database(url):
            pass
    with pytest.raises(StorageError, match="a newer agent-endpoint made it"):
        await raw.migrate()
    assert await read(raw) == before


async def test_a_schema_that_there_never_was_is_refused(raw: Database) -> None:
    with pytest.raises(StorageError, match="there is no schema 0000; this program knows 0001 to"):
        await raw.migrate("0000")


async def test_tables_of_ours_that_nobody_migrates_are_refused(raw: Database) -> None:
    """As where somebody copied the tables, and not alembic's."""
    await raw.migrate()
    async with raw.connection() as connection:
        await connection.execute(sa.text("DROP TABLE alembic_version"))
        await connection.commit()
    with pytest.raises(StorageError, match="tables that agent-endpoint did not make"):
        await raw.migrate()
