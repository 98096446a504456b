"""What an operator asks of a database: is it sound, a copy of it, that copy back again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from endpoint.errors import StorageError
from endpoint.storage.database import Database, found_revision, head, revisions
from endpoint.storage.schema import Base

_FEW_BYTES = 100 * 1024 * 1024
"""With less room than this a busy day may not fit any more."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What `examine` found."""

    kind: str
    """`sqlite` or `postgresql`."""
    schema: str | None
    """The revision that is there; None: none."""
    needs: str
    """The revision that this program needs."""
    rows: dict[str, int] = field(default_factory=dict)
    """By table."""
    size_bytes: int = 0
    """Of all of it."""
    free_bytes: int | None = None
    """Of the disk that it is on; None where that is another machine's."""
    faults: list[str] = field(default_factory=list)
    """What is wrong, with what to do; none where it is sound."""


async def examine(database: Database) -> Findings:
    """Look at a database, of whatever schema, without changing it. Raises `StorageError`."""
    file = database.file
    if file is not None and not file.exists():
        raise StorageError(f"there is no database at {file}; make it: agent-endpoint db init")
    async with database.connection() as connection:
        schema = await connection.run_sync(found_revision)
        rows = await connection.run_sync(_counts)
        faults = await _sqlite_faults(connection) if database.sqlite else []
        size = await _size(connection, database.sqlite)
    if schema != head():
        before = f"the schema is {schema or 'none'}, this program needs {head()}"
        faults.append(f"{before}; run: agent-endpoint db migrate")
    free = None
    if file is not None:
        free = shutil.disk_usage(file.absolute().parent).free
        if free < _FEW_BYTES:
            faults.append(f"{free // 2**20} MiB are left on its disk; make room")
    return Findings(
        "sqlite" if database.sqlite else "postgresql", schema, head(), rows, size, free, faults
    )


def _counts(connection: Connection) -> dict[str, int]:
    there = set(inspect(connection).get_table_names())
    return {
        name: connection.scalar(select(func.count()).select_from(table)) or 0
        for name, table in sorted(Base.metadata.tables.items())
        if name in there
    }


async def _sqlite_faults(connection: AsyncConnection) -> list[str]:
    said = (await connection.execute(text("PRAGMA integrity_check(5)"))).scalars().all()
    if list(said) != ["ok"]:
        # Whatever else would be found follows from that.
        cure = "bring back a backup: agent-endpoint db restore FILE"
        return [f"it is damaged ({said[0]}); {cure}"]
    faults = []
    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).fetchall()
    if broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        faults.append(f"{len(broken)} rows of {tables} belong to rows that are not there")
    return faults


async def _size(connection: AsyncConnection, sqlite: bool) -> int:
    asked = (
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if sqlite
        else "SELECT pg_database_size(current_database())"
    )
    return int((await connection.execute(text(asked))).scalar_one())


async def backup(database: Database, target: Path) -> None:
    """Copy a database into a new file, also while it is served. Raises `StorageError`.

    Of SQLite the copy is a database again, of one moment; of PostgreSQL it is `pg_dump`'s.
    """
    temporary = await asyncio.to_thread(_begun, target)
    try:
        if database.sqlite:
            await asyncio.to_thread(_copy_sqlite, _there(database), temporary)
        else:
            await _run_tool(
                "pg_dump", database.url, "--format=custom", "--no-owner", "--file", str(temporary)
            )
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


async def restore(database: Database, source: Path) -> None:
    """Put a backup in place of the database; nobody may be using it. Raises `StorageError`.

    All or nothing. Its schema may be older: `migrate` or the next start brings it up to date.
    """
    if database.sqlite:
        target = database.file
        if target is None:
            raise StorageError("a database in memory can't be restored")
        await asyncio.to_thread(_replace_sqlite, source, target)
        return
    await _run_tool(
        "pg_restore",
        database.url,
        *("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"),
        *("--dbname", str(database.url.database)),
        str(source),
    )


def _there(database: Database) -> Path:
    """The file of a SQLite database."""
    if database.file is None or not database.file.exists():
        raise StorageError(f"there is no database at {database.file}")
    return database.file


def _begun(target: Path) -> Path:
    """A new file beside the target, for its owner alone: it is as good as the passwords."""
    if target.exists():
        raise StorageError(f"{target} is there already; name a new file")
    return _private(target)


def _private(target: Path) -> Path:
    temporary = target.with_name(target.name + ".new")
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror}") from error
    return temporary


def _copy_sqlite(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as from_,
            closing(sqlite3.connect(target)) as to,
        ):
            from_.backup(to)
            to.execute("PRAGMA journal_mode=DELETE")  # one file, that can be carried away
            (said,) = to.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{source} can't be copied: {error}") from error
    if said != "ok":
        raise StorageError(f"{source} is damaged: {said}")


def _replace_sqlite(source: Path, target: Path) -> None:
    if not source.is_file():
        raise StorageError(f"there is no backup at {source}")
    temporary = _private(target)
    try:
        _copy_sqlite(source, temporary)
        with closing(sqlite3.connect(temporary)) as copy:
            try:
                (found,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
            except (sqlite3.Error, TypeError) as error:
                raise StorageError(f"{source} is no backup of agent-endpoint: {error}") from error
        if found not in revisions():
            raise StorageError(f"{source} has schema {found}, that a newer agent-endpoint made")
        # The old one's journal belongs to the old one: it would be written into the new one.
        for suffix in ("-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        temporary.rename(target)
    except OSError as error:
        raise StorageError(f"{target} can't be replaced: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


async def _run_tool(program: str, url: URL, *arguments: str) -> None:
    """Run a tool of PostgreSQL's; the password goes where no other user of this machine sees it."""
    found = shutil.which(program)
    if found is None:
        raise StorageError(f"{program} is not installed (Debian: apt install postgresql-client)")
    query = url.query
    host, port = url.host or query.get("host"), url.port or query.get("port")
    named = {
        "PGHOST": host,
        "PGPORT": port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("ssl"),
    }
    surroundings = os.environ | {name: str(value) for name, value in named.items() if value}
    process = await asyncio.create_subprocess_exec(
        found,
        *arguments,
        env=surroundings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise StorageError(f"{program} failed: {lines[-1] if lines else process.returncode}")
