"""Which tenants the database has. The one thing in it that belongs to none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.errors import StorageError
from endpoint.storage.database import Database
from endpoint.storage.schema import Base, TenantRow

_AT_ONCE = 500
"""So many rows go in one transaction: who else writes waits for no more."""


class TenantKept(StorageError):
    """A tenant that can't be removed; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer's world."""

    name: str
    domain: str | None = None
    """Of its addresses in SIP."""


class Tenants:
    """All of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Tenant]:
        """By name. Raises `StorageError`, as all of these do."""
        async with self._database.session() as session:
            found = await session.execute(
                select(TenantRow.name, TenantRow.domain).order_by(TenantRow.name)
            )
            return [Tenant(name, domain) for name, domain in found]

    async def add(self, tenant: Tenant) -> bool:
        """False where the name or the domain is another's already."""
        try:
            async with self._database.session() as session:
                session.add(TenantRow(name=tenant.name, domain=tenant.domain))
        except StorageError as error:
            return _taken(error)
        return True

    async def change(self, name: str, domain: str | None) -> bool | None:
        """Give one another domain. None where there is none; False where it is another's."""
        try:
            async with self._database.session() as session:
                row = await session.scalar(select(TenantRow).where(TenantRow.name == name))
                if row is None:
                    return None
                row.domain = domain
        except StorageError as error:
            return _taken(error)
        return True

    async def content(self, name: str) -> Mapping[str, int]:
        """How many rows it has, by table; of tables where it has none, nothing."""
        counts: dict[str, int] = {}
        async with self._database.session() as session:
            for table in _tables():
                asked = (
                    select(func.count()).select_from(table).where(table.c.tenant_id == _id(name))
                )
                if rows := await session.scalar(asked):
                    counts[table.name] = rows
        return counts

    async def remove(self, name: str, *, with_content: bool = False) -> bool:
        """False where there is none. Raises `TenantKept`: it is not empty, or the default one.

        Where we are killed in it some of its content is left: it can be removed again.
        """
        if name == DEFAULT_TENANT:
            raise TenantKept(f"{name} is the tenant that is always there")
        content = {} if with_content else await self.content(name)
        if content:
            told = ", ".join(f"{rows} of {table}" for table, rows in content.items())
            raise TenantKept(
                f"tenant {name} is not empty ({told}); --with-content (REST: ?content=true) "
                "removes all of it for ever"
            )
        for table in _tables():
            some = select(table.c.id).where(table.c.tenant_id == _id(name)).limit(_AT_ONCE)
            gone = _AT_ONCE
            while gone == _AT_ONCE:
                async with self._database.session() as session:
                    done = await session.execute(delete(table).where(table.c.id.in_(some)))
                    gone = done.rowcount  # type: ignore[attr-defined]  # of what changes rows
        async with self._database.session() as session:
            done = await session.execute(delete(TenantRow).where(TenantRow.name == name))
            return bool(done.rowcount)  # type: ignore[attr-defined]  # the same


def _tables() -> list[Any]:
    """Those whose rows are a tenant's, each before what it points to."""
    return [table for table in reversed(Base.metadata.sorted_tables) if "tenant_id" in table.c]


def _id(name: str) -> Any:
    return select(TenantRow.id).where(TenantRow.name == name).scalar_subquery()


def _taken(error: StorageError) -> bool:
    if isinstance(error.__cause__, IntegrityError):
        return False
    raise error
