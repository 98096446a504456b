"""The directory of agents, skills, queues, work modes and leave reasons, in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from endpoint.agents.directory import Contents
from endpoint.agents.directoryrules import TYPES, Item, Kind, items_of, key_of, with_items
from endpoint.agents.model import Agent, AgentId
from endpoint.errors import StorageError
from endpoint.storage.database import Database
from endpoint.storage.schema import (
    AgentRow,
    AgentSkillRow,
    LeaveReasonRow,
    QueueRow,
    SkillRow,
    WorkModeRow,
)

log = structlog.get_logger(__name__)

Row = type[AgentRow] | type[SkillRow] | type[QueueRow] | type[WorkModeRow] | type[LeaveReasonRow]

_ROWS: dict[Kind, tuple[Row, str]] = {
    Kind.SKILLS: (SkillRow, "code"),
    Kind.AGENTS: (AgentRow, "number"),
    Kind.QUEUES: (QueueRow, "code"),
    Kind.MODES: (WorkModeRow, "code"),
    Kind.REASONS: (LeaveReasonRow, "code"),
}
"""What points to others comes after them; with the column that tells one from another."""


class StoredDirectory:
    """The directory of one tenant; implements `DirectoryStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> tuple[Contents, Mapping[AgentId, str]]:
        """See `DirectoryStore`. What can't be understood, as made by hand, is told and left out."""
        async with self._database.session() as session:
            found = {kind: await self._read(session, row) for kind, (row, _) in _ROWS.items()}
            skills = await self._skills_of_agents(session)
        hashes: dict[AgentId, str] = {}
        for agent in found[Kind.AGENTS]:
            agent["id"] = agent.pop("number")
            agent["skills"] = skills.get(agent["id"], [])
            if (password := agent.pop("password")) is not None:
                hashes[agent["id"]] = password
        contents = Contents()
        for kind, rows in found.items():
            contents = with_items(contents, kind, _understood(rows, TYPES[kind]))
        return contents, hashes

    async def save(self, before: Contents, after: Contents, hashes: Mapping[AgentId, str]) -> None:
        """See `DirectoryStore`."""
        try:
            async with self._database.session() as session:
                for kind in reversed(_ROWS):
                    await self._forget(session, kind, before, after)
                for kind in _ROWS:
                    await self._keep(session, kind, before, after)
                await self._keep_skills(session, before, after)
                for agent, password in hashes.items():
                    await self._set_password(session, agent, password)
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StorageError(_CHANGED_MEANWHILE) from error
            raise

    async def rehash(self, agent: AgentId, before: str, after: str) -> None:
        """See `DirectoryStore`."""
        async with self._database.session() as session:
            await session.execute(
                update(AgentRow)
                .where(
                    AgentRow.tenant_id == self._tenant,
                    AgentRow.number == agent,
                    AgentRow.password == before,
                )
                .values(password=after)
            )

    @property
    def _tenant(self) -> int:
        return self._database.tenant_id

    async def _read(self, session: AsyncSession, row: Row) -> list[dict[str, Any]]:
        columns = [each for each in row.__table__.columns if each.name not in ("id", "tenant_id")]
        found = await session.execute(select(*columns).where(row.tenant_id == self._tenant))
        return [dict(each) for each in found.mappings()]

    async def _skills_of_agents(self, session: AsyncSession) -> dict[str, list[dict[str, Any]]]:
        found = await session.execute(
            select(AgentRow.number, SkillRow.code, AgentSkillRow.level)
            .join(AgentRow, AgentRow.id == AgentSkillRow.agent_id)
            .join(SkillRow, SkillRow.id == AgentSkillRow.skill_id)
            .where(AgentSkillRow.tenant_id == self._tenant)
        )
        skills: dict[str, list[dict[str, Any]]] = {}
        for number, code, level in found:
            skills.setdefault(number, []).append({"skill": code, "level": level})
        return skills

    async def _forget(
        self, session: AsyncSession, kind: Kind, before: Contents, after: Contents
    ) -> None:
        """Rows of what is there no more; an agent's skills go where they differ, and come again."""
        row, key = _ROWS[kind]
        left = {key_of(item): item for item in items_of(after, kind)}
        gone = [item for item in items_of(before, kind) if key_of(item) not in left]
        if gone:
            keys = [_columns(item)[key] for item in gone]
            await session.execute(
                delete(row).where(row.tenant_id == self._tenant, getattr(row, key).in_(keys))
            )
        if kind is Kind.AGENTS:
            numbers = [agent.id for agent, _ in _other_skills(before, after)]
            agents = select(AgentRow.id).where(
                AgentRow.tenant_id == self._tenant, AgentRow.number.in_(numbers)
            )
            await session.execute(
                delete(AgentSkillRow).where(
                    AgentSkillRow.tenant_id == self._tenant, AgentSkillRow.agent_id.in_(agents)
                )
            )

    async def _keep(
        self, session: AsyncSession, kind: Kind, before: Contents, after: Contents
    ) -> None:
        row, key = _ROWS[kind]
        known = {key_of(item): item for item in items_of(before, kind)}
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for item in items_of(after, kind):
            columns = _columns(item)
            if (was := known.get(key_of(item))) is None:
                new.append({"tenant_id": self._tenant, **columns})
            elif was != item:
                changed.append({"known": columns[key], **columns})
        if changed:
            await self._ids(session, getattr(row, key), [each["known"] for each in changed])
            # All by one statement: one each would take seconds of thousands.
            table = row.metadata.tables[row.__tablename__]
            of_its_key = table.c.tenant_id == self._tenant, table.c[key] == bindparam("known")
            await session.execute(update(table).where(*of_its_key), changed)
        if new:
            await session.execute(insert(row), new)

    async def _keep_skills(self, session: AsyncSession, before: Contents, after: Contents) -> None:
        wanted = [(agent, each) for agent, each in _other_skills(before, after) if each]
        if not wanted:
            return
        agents = await self._ids(session, AgentRow.number, [agent.id for agent, _ in wanted])
        codes = {each.skill for _, skills in wanted for each in skills}
        skills = await self._ids(session, SkillRow.code, sorted(codes))
        rows = [
            {
                "tenant_id": self._tenant,
                "agent_id": agents[agent.id],
                "skill_id": skills[each.skill],
                "level": each.level,
            }
            for agent, of_agent in wanted
            for each in of_agent
        ]
        await session.execute(insert(AgentSkillRow), rows)

    async def _ids(self, session: AsyncSession, key: Any, keys: Sequence[Any]) -> dict[Any, int]:
        """Of rows that must be there."""
        row = key.class_
        found = await session.execute(
            select(key, row.id).where(row.tenant_id == self._tenant, key.in_(keys))
        )
        ids = {each[0]: each[1] for each in found}
        if len(ids) < len(set(keys)):
            raise StorageError(_CHANGED_MEANWHILE)
        return ids

    async def _set_password(self, session: AsyncSession, agent: AgentId, password: str) -> None:
        changed = await session.scalars(
            update(AgentRow)
            .where(AgentRow.tenant_id == self._tenant, AgentRow.number == agent)
            .values(password=password)
            .returning(AgentRow.id)
        )
        if changed.first() is None:
            raise StorageError(_CHANGED_MEANWHILE)


_CHANGED_MEANWHILE = (
    "somebody else has changed the directory in the database meanwhile; nothing was kept. Where an "
    "endpoint runs, ask that, or start it again"
)


def _other_skills(before: Contents, after: Contents) -> list[tuple[Agent, tuple[Any, ...]]]:
    """Agents whose skills are others than before, with those that they have now."""
    known = {agent.id: agent.skills for agent in before.agents}
    return [
        (agent, agent.skills) for agent in after.agents if agent.skills != known.get(agent.id, ())
    ]


def _columns(item: Item) -> dict[str, Any]:
    columns: dict[str, Any] = msgspec.to_builtins(item)
    if isinstance(item, Agent):
        columns["number"] = columns.pop("id")
        del columns["skills"]
    return columns


def _understood(rows: Sequence[dict[str, Any]], kind: type[Item]) -> list[Item]:
    items: list[Item] = []
    for row in rows:
        try:
            items.append(msgspec.convert(row, kind))
        except msgspec.ValidationError as error:
            name = row.get("id", row.get("code"))
            log.error("left out of the directory", kind=kind.__name__, name=name, why=str(error))
    return items
