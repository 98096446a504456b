"""The database: SQLite in a file unless a URL says PostgreSQL; its schema is alembic's."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, event, inspect, make_url, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from endpoint import plaintext
from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.errors import StorageError
from endpoint.storage.schema import Base, TenantRow

BUSY_TIMEOUT_MS = 1000
"""How long SQLite waits for another writer."""
ANSWER_TIMEOUT_S = 1.5
"""How long anything may take that the database is asked while calls wait for it."""
PATIENT_TIMEOUT_S = 15.0
"""The same where no call does: in commands, and until an endpoint has begun."""
LOOKED_THROUGH_BYTES = 100 * 2**20
"""Up to this size a file is looked through at the start; of a larger one what calls need."""
HEAD = "head"
"""The schema that this program needs."""
_MIGRATING = 0x61656D69
"""Of PostgreSQL's advisory locks the one that whoever migrates holds."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did."""

    before: str | None
    """None where there was no schema."""
    after: str


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database: `async with Database(url) as database`.

    Opening brings SQLite's schema up to date. PostgreSQL's is only checked: migrating it is an
    operator's decision (`migrate`). Raises `StorageError` for what can't be reached or is not ours.
    """

    def __init__(self, url: str, tenant: str = DEFAULT_TENANT) -> None:
        """`tenant`: whose rows are asked for. The default one is made where it is missing."""
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
            self._engine = create_async_engine(
                parsed, pool_pre_ping=not self.sqlite, json_serializer=_json
            )
        except (NoSuchModuleError, ModuleNotFoundError, SQLAlchemyError) as error:
            raise StorageError(
                f"no driver for this database ({error}); for PostgreSQL: "
                "pip install 'agent-endpoint[postgres]'"
            ) from error
        # Whoever writes or asks, and whatever a far end said: no database is given what is no text.
        event.listen(self._engine.sync_engine, "before_cursor_execute", _clean, retval=True)
        if self.sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self.errors = 0
        """Times that it refused, or could not be reached."""
        self.tenant = tenant
        """The one that this process serves."""
        self.tenant_id = 0
        """Its id; known once open."""
        self.domain: str | None = None
        """Of its addresses in SIP, where it has one; known once open."""
        self.answer_timeout_s = PATIENT_TIMEOUT_S
        """How long anything may take that it is asked: whoever waits for it is told then."""
        self._opened: tuple[int, int] | None = None
        """Which file it was, by device and inode."""
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Database:
        try:
            if self.sqlite:
                await self._check_whole()
                await self.migrate()
            await self._open()
        except BaseException:
            await self._engine.dispose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engine.dispose()

    @property
    def url(self) -> URL:
        """Where it is, with the password."""
        return self._engine.url

    @property
    def file(self) -> Path | None:
        """Of SQLite; None where it is none, or in memory."""
        name = self._engine.url.database
        return Path(name) if self.sqlite and name and name != ":memory:" else None

    async def migrate(self, to: str = HEAD) -> Migrated:
        """Bring the schema to a revision, by default this program's; it need not be open.

        Whole or not at all, also where we are killed in it. Back to an older one loses what the
        older has no place for. Raises `StorageError`, also where the schema is not ours.
        """
        if self.file is not None:
            # SQLite would make it readable for all; its journal files take this file's mode.
            async with _mapped_errors():
                await asyncio.to_thread(self.file.touch, mode=0o600)
        async with _mapped_errors(), self._engine.connect() as connection:
            if self.sqlite:
                # A table that is altered is copied and dropped: its rows' children must not go with
                # it. Only outside of a transaction can this be said.
                await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            try:
                migrated = await connection.run_sync(_migrate, to)
                if self.sqlite:
                    await _check_references(connection)
                await connection.commit()
            finally:
                await connection.rollback()
                if self.sqlite:
                    await connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        return migrated

    async def dispose(self) -> None:
        """Let go of connections, where the database was upgraded without being opened."""
        await self._engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back on an error. Raises `StorageError`.

        Also where it takes too long, or went into a file that is not there any more.
        """
        try:
            async with _mapped_errors(), asyncio.timeout(self.answer_timeout_s):
                if self._identity() != self._opened:
                    await self._open_again()
                async with self._sessions.begin() as session:
                    yield session
                if self._identity() != self._opened:
                    raise StorageError(f"the database {self.file} was taken away")
        except StorageError:
            self.errors += 1
            raise

    async def ask(self) -> None:
        """See whether it answers. Raises `StorageError`."""
        async with self.session() as session:
            await session.execute(select(TenantRow.id).limit(1))

    async def _open(self) -> None:
        self._opened = self._identity()
        await self._check_schema()
        await self._find_tenant()

    async def _open_again(self) -> None:
        """Another file is in its place: SQLite would write on into the one that is gone."""
        async with self._opening:
            if self._identity() == self._opened:
                return
            if self._identity() is None:
                raise StorageError(f"the database {self.file} is gone; put it back")
            await self._engine.dispose()
            before, self._opened = self._opened, self._identity()
            try:
                await self._check_schema()
            except StorageError:
                self._opened = before
                raise
            await self._find_tenant()

    def _identity(self) -> tuple[int, int] | None:
        """Which file there is; None where there is none, or where it is no file."""
        if (file := self.file) is None:
            return None
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    async def _check_whole(self) -> None:
        """Refuse a file that is damaged. Raises `StorageError`."""
        file = self.file
        if file is None or not file.exists() or not (size := file.stat().st_size):
            return
        what = "1" if size <= LOOKED_THROUGH_BYTES else "'extension'"
        try:
            async with self.connection() as connection:
                found = (await connection.execute(text(f"PRAGMA quick_check({what})"))).scalar()
            if found != "ok":
                raise StorageError(str(found))
        except StorageError as error:
            if isinstance(error.__cause__, OperationalError):
                raise  # it is locked, or can't be opened
            raise StorageError(
                f"the database {file} is damaged: {error}. Bring a backup back (agent-endpoint db "
                "restore FILE), or move it away with its -wal and -shm: then serve makes an empty "
                "one. Call records that it has not taken yet wait in the state directory"
            ) from error

    async def _check_schema(self) -> None:
        async with _mapped_errors(), self._engine.connect() as connection:
            found = await connection.run_sync(found_revision)
        if found != head():
            raise StorageError(
                f"the database has schema {found or 'none'}, this program needs {head()}; "
                "run: agent-endpoint db migrate"
            )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """For who looks at the database itself, of whatever schema. Raises `StorageError`."""
        async with _mapped_errors(), self._engine.connect() as connection:
            yield connection

    async def _find_tenant(self) -> None:
        async with self.session() as session:
            row = await session.scalar(select(TenantRow).where(TenantRow.name == self.tenant))
            if row is None and self.tenant != DEFAULT_TENANT:
                # Made here, a mistake of writing would be a customer's world that is empty.
                raise StorageError(
                    f"the database has no tenant {self.tenant!r}; see tenant.name, or run: "
                    f"agent-endpoint db tenant add {self.tenant}"
                )
            if row is None:
                row = TenantRow(name=self.tenant)
                session.add(row)
                await session.flush()
            self.tenant_id, self.domain = row.id, row.domain


@asynccontextmanager
async def _mapped_errors() -> AsyncIterator[None]:
    """The driver's and alembic's errors as ours; a broken constraint stays what it is."""
    try:
        yield
    except DBAPIError as error:
        raise StorageError(f"the database refused: {_in_words(str(error.orig))}") from error
    except TimeoutError as error:
        raise StorageError("the database did not answer in time") from error
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise StorageError(f"the database can't be used: {error}") from error


_CURES = {
    "database is locked": "another program writes to it, and for too long; find it: lsof FILE",
    "file is not a database": "it is another file, or damaged; see database.url, or bring back a "
    "backup: agent-endpoint db restore FILE",
    "malformed": "it is damaged; bring back a backup: agent-endpoint db restore FILE",
    "readonly database": "this user may not write to the file, or to its directory",
    "database or disk is full": "make room where it is kept",
    "disk I/O error": "its disk takes nothing; look at dmesg, whether the file system has failed "
    "or become read-only",
    "read-only transaction": "PostgreSQL takes no writes there: name its primary in database.url",
}


def _in_words(error: str) -> str:
    """A driver's error, with what to do where that is known."""
    cure = next((cure for words, cure in _CURES.items() if words in error), "")
    return f"{error}: {cure}" if cure else error


def _json(value: object) -> str:
    return json.dumps(plaintext.cleaned(value))


def _clean(
    _connection: object,
    _cursor: object,
    statement: str,
    parameters: Any,
    _context: object,
    _executes_many: bool,
) -> tuple[str, Any]:
    return statement, plaintext.cleaned(parameters)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """WAL: readers and a writer work at once. SQLite ignores foreign keys unless asked."""
    cursor = connection.cursor()
    for pragma in (
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",  # what has been committed is on the disk
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


# -- the schema ---------------------------------------------------------------------------------


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", "endpoint.storage:migrations")
    return config


def revisions() -> list[str]:
    """Every schema that there has been, oldest first."""
    script = ScriptDirectory.from_config(_alembic())
    return [each.revision for each in script.walk_revisions()][::-1]


def head() -> str:
    """The schema that this program needs."""
    return revisions()[-1]


def found_revision(connection: Connection) -> str | None:
    """The schema that is there; None where there is none. Raises `StorageError`: it is not ours."""
    found = MigrationContext.configure(connection).get_current_heads()
    known = revisions()
    if not found:
        strange = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        ours = [name for name in strange if name in Base.metadata.tables]
        if ours or (strange and connection.dialect.name == "sqlite"):
            raise StorageError(
                f"the database holds tables that agent-endpoint did not make "
                f"({', '.join((ours or strange)[:3])}); name another one in database.url"
            )
        return None
    if len(found) > 1 or found[0] not in known:
        raise StorageError(
            f"the database has schema {', '.join(found)}, which this program does not know (it "
            f"knows {known[0]} to {known[-1]}): a newer agent-endpoint made it. Run that one; or "
            f"have it go back, if it can: agent-endpoint db migrate --to {known[-1]}; or bring "
            "back a backup: agent-endpoint db restore FILE"
        )
    return found[0]


def _migrate(connection: Connection, to: str) -> Migrated:
    known = revisions()
    wanted = known[-1] if to == HEAD else to
    if wanted not in known:
        raise StorageError(
            f"there is no schema {wanted}; this program knows {known[0]} to {known[-1]}"
        )
    found = found_revision(connection)
    config = _alembic()
    config.attributes["connection"] = connection
    if found is None or known.index(found) < known.index(wanted):
        command.upgrade(config, wanted)
    elif found != wanted:
        command.downgrade(config, wanted)
    return Migrated(found, wanted)


async def _check_references(connection: AsyncConnection) -> None:
    """Raises `StorageError` where a row points to one that is not there."""
    broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).fetchall()
    if broken:
        raise StorageError(
            f"the migration would leave {len(broken)} rows of {broken[0][0]} without what they "
            "belong to; nothing was changed. See: agent-endpoint db check"
        )
