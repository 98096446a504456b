"""The database: SQLite in a file unless a URL says PostgreSQL; its schema is alembic's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from endpoint.errors import StorageError
from endpoint.storage.schema import DEFAULT_TENANT, TenantRow

BUSY_TIMEOUT_MS = 5000
"""How long SQLite waits for another writer."""


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database: `async with Database(url) as database`.

    Opening brings SQLite's schema up to date. PostgreSQL's is only checked: upgrading it is an
    operator's decision (`upgrade`). Raises `StorageError` for what can't be reached or is not ours.
    """

    def __init__(self, url: str) -> None:
        # The drivers are ours to choose: what people paste has none.
        url = re.sub(r"^postgresql(\+asyncpg)?:", "postgresql+asyncpg:", url)
        url = re.sub(r"^sqlite(\+aiosqlite)?:", "sqlite+aiosqlite:", url)
        self.sqlite = url.startswith("sqlite")
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            # What they say may hold a part of the password.
            raise StorageError(
                "the database's URL can't be understood; in a password @ is %40, : is %3A, / is %2F"
            ) from None
        try:
            self._engine = create_async_engine(parsed, pool_pre_ping=not self.sqlite)
        except (NoSuchModuleError, ModuleNotFoundError, SQLAlchemyError) as error:
            raise StorageError(
                f"no driver for this database ({error}); for PostgreSQL: "
                "pip install 'agent-endpoint[postgres]'"
            ) from error
        if self.sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self.tenant_id = 0
        """Of the one tenant that this process serves; known once open."""

    async def __aenter__(self) -> Database:
        try:
            if self.sqlite:
                await self.upgrade()
            await self._check_schema()
            self.tenant_id = await self._tenant(DEFAULT_TENANT)
        except BaseException:
            await self._engine.dispose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engine.dispose()

    async def upgrade(self) -> None:
        """Bring the schema to this program's version; the database need not be open."""
        async with _mapped_errors():
            file = self._engine.url.database
            if self.sqlite and file:
                # SQLite would make it readable for all; its journal files take this file's mode.
                await asyncio.to_thread(Path(file).touch, mode=0o600)
            async with self._engine.begin() as connection:
                await connection.run_sync(_upgrade)

    async def dispose(self) -> None:
        """Let go of connections, where the database was upgraded without being opened."""
        await self._engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back on an error. Raises `StorageError`."""
        async with _mapped_errors(), self._sessions.begin() as session:
            yield session

    async def _check_schema(self) -> None:
        async with _mapped_errors(), self._engine.connect() as connection:
            found, wanted = await connection.run_sync(_revisions)
        if found != wanted:
            raise StorageError(
                f"the database has schema {found or 'none'}, this program needs {wanted}; "
                "run: agent-endpoint database upgrade"
            )

    async def _tenant(self, name: str) -> int:
        async with self.session() as session:
            row = await session.scalar(select(TenantRow).where(TenantRow.name == name))
            if row is None:
                row = TenantRow(name=name)
                session.add(row)
                await session.flush()
            return row.id


@asynccontextmanager
async def _mapped_errors() -> AsyncIterator[None]:
    """The driver's and alembic's errors as ours; a broken constraint stays what it is."""
    try:
        yield
    except DBAPIError as error:
        raise StorageError(f"the database refused: {error.orig}") from error
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise StorageError(f"the database can't be used: {error}") from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """WAL: readers and a writer work at once. SQLite ignores foreign keys unless asked."""
    cursor = connection.cursor()
    for pragma in (
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", "endpoint.storage:migrations")
    return config


def _upgrade(connection: Connection) -> None:
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revisions(connection: Connection) -> tuple[str | None, str | None]:
    """The schema that is there, and the one that this program needs."""
    found = MigrationContext.configure(connection).get_current_revision()
    return found, ScriptDirectory.from_config(_alembic()).get_current_head()
