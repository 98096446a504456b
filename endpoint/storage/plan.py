"""Rules of the dial plan, in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Result, delete, insert, select
from sqlalchemy.exc import IntegrityError

from endpoint.callcontrol.dialplan import Rule
from endpoint.errors import StorageError
from endpoint.storage.database import Database
from endpoint.storage.schema import PlanRuleRow


class StoredPlanRules:
    """The rules of one tenant; implements `PlanRules`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[Rule]:
        """See `PlanRules`."""
        async with self._database.session() as session:
            # Not as objects, which would be made here, as would be all that a session executes.
            connection, table = await session.connection(), PlanRuleRow.__table__
            columns = [table.c[name] for name in Rule.__slots__]
            found = await connection.execute(
                select(*columns).where(table.c.tenant_id == self._database.tenant_id)
            )
            return await asyncio.to_thread(_rules, found)

    async def add(self, rule: Rule) -> bool:
        """See `PlanRules`."""
        try:
            async with self._database.session() as session:
                session.add(self._row(rule))
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def change(self, name: str, rule: Rule) -> bool | None:
        """See `PlanRules`."""
        try:
            async with self._database.session() as session:
                row = await session.scalar(
                    select(PlanRuleRow).where(
                        PlanRuleRow.tenant_id == self._database.tenant_id, PlanRuleRow.name == name
                    )
                )
                if row is None:
                    return None
                for column, value in _columns(rule).items():
                    setattr(row, column, value)
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def remove(self, name: str) -> bool:
        """See `PlanRules`."""
        async with self._database.session() as session:
            removed = await session.scalars(
                delete(PlanRuleRow)
                .where(PlanRuleRow.tenant_id == self._database.tenant_id, PlanRuleRow.name == name)
                .returning(PlanRuleRow.id)
            )
            return removed.first() is not None

    async def replace(self, rules: Sequence[Rule]) -> None:
        """See `PlanRules`."""
        tenant = self._database.tenant_id
        async with self._database.session() as session:
            await session.execute(delete(PlanRuleRow).where(PlanRuleRow.tenant_id == tenant))
            if rules:
                rows = [{"tenant_id": tenant, **_columns(rule)} for rule in rules]
                await session.execute(insert(PlanRuleRow), rows)

    def _row(self, rule: Rule) -> PlanRuleRow:
        return PlanRuleRow(tenant_id=self._database.tenant_id, **_columns(rule))


def _rules(found: Result[Any]) -> list[Rule]:
    """In a thread: of thousands it takes the loop for too long."""
    rules = [msgspec.convert(dict(each), Rule) for each in found.mappings()]
    # Not by the database: it has an order of letters of its own.
    return sorted(rules, key=lambda rule: (rule.position, rule.name))


def _columns(rule: Rule) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(rule)
    return plain
