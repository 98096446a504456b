"""Tenants come and go, with all that is theirs and nothing else: on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.errors import StorageError
from endpoint.storage import tenants as module
from endpoint.storage.database import Database
from endpoint.storage.extensions import Extension, Extensions
from endpoint.storage.tenants import Tenant, TenantKept, Tenants

from .test_migrations import contents, filled

pytestmark = pytest.mark.integration

ACME, GLOBEX = Tenant("acme", "acme.example.com"), Tenant("globex")


async def test_tenants_are_added_changed_and_removed(database: Database) -> None:
    tenants = Tenants(database)
    assert await tenants.all() == [Tenant(DEFAULT_TENANT)]
    assert await tenants.add(ACME)
    assert await tenants.add(GLOBEX)
    assert not await tenants.add(Tenant("acme"))
    assert not await tenants.add(Tenant("initech", "acme.example.com"))
    assert await tenants.all() == [ACME, Tenant(DEFAULT_TENANT), GLOBEX]
    assert await tenants.change("globex", "acme.example.com") is False
    assert await tenants.change("globex", "globex.example.com")
    assert await tenants.change("nobody", None) is None
    assert await tenants.change("acme", None)
    assert not await tenants.remove("nobody")
    assert await tenants.remove("acme")
    assert await tenants.all() == [Tenant(DEFAULT_TENANT), Tenant("globex", "globex.example.com")]


async def test_the_tenant_that_is_always_there_is_not_removed(database: Database) -> None:
    with pytest.raises(TenantKept, match="always there"):
        await Tenants(database).remove(DEFAULT_TENANT, with_content=True)


async def test_one_that_nobody_added_is_not_served(database: Database, url: str) -> None:
    """Else a mistake of writing would be an empty world, that takes a customer's calls."""
    with pytest.raises(StorageError, match=r"no tenant 'amce'.* db tenant add amce"):
        async with Database(url, "amce"):
            pass
    assert await Tenants(database).all() == [Tenant(DEFAULT_TENANT)]


async def test_it_goes_with_all_that_it_has_and_others_keep_theirs(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every table has a row of each of two tenants; also those that are added after this test."""
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    database = Database(url)
    await database.migrate()
    async with database.connection() as connection:
        before = await connection.run_sync(filled)
    tenants = Tenants(database)
    async with database:
        other = next(row["name"] for row in before["tenant"] if row["id"] == 2)
        theirs = {
            table: len([row for row in rows if row.get("tenant_id") == 2])
            for table, rows in before.items()
            if table != "tenant"
        }
        assert all(theirs.values())
        assert await tenants.content(other) == theirs
        with pytest.raises(TenantKept, match=r"not empty .*1 of extension"):
            await tenants.remove(other)
        async with database.connection() as connection:
            assert await connection.run_sync(contents) == before
        assert await tenants.remove(other, with_content=True)
        async with database.connection() as connection:
            after = await connection.run_sync(contents)
    assert after == {
        table: [row for row in rows if row["id" if table == "tenant" else "tenant_id"] != 2]
        for table, rows in before.items()
    }


async def test_who_serves_a_tenant_that_was_removed_is_not_in_the_next_one(
    database: Database, url: str
) -> None:
    tenants = Tenants(database)
    await tenants.add(ACME)
    async with Database(url, "acme") as left:
        await tenants.remove("acme")
        await tenants.add(GLOBEX)
        async with Database(url, "globex") as next_:
            await Extensions(next_).add(Extension("6001", "theirs"), [])
            assert await Extensions(left).all() == []
            with pytest.raises(StorageError):
                await Extensions(left).add(Extension("6002", "nobody's"), [])
            assert [each.number for each in await Extensions(next_).all()] == ["6001"]
