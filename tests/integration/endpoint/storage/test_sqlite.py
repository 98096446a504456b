"""What is SQLite's alone: its file."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from endpoint.errors import StorageError
from endpoint.storage.database import Database, sqlite_url

pytestmark = pytest.mark.integration


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "endpoint.sqlite3"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with Database(sqlite_url(path)) as database:
        yield database


async def test_writers_wait_and_readers_do_not(database: Database) -> None:
    async with database.session() as session:
        assert (await session.scalar(text("PRAGMA journal_mode"))) == "wal"
        assert (await session.scalar(text("PRAGMA foreign_keys"))) == 1
        assert (await session.scalar(text("PRAGMA busy_timeout"))) == 1000


@pytest.fixture
def letter(path: Path) -> Path:
    path.write_bytes(b"not a database" * 1000)
    return path


async def test_a_file_that_is_no_database_is_refused(letter: Path) -> None:
    with pytest.raises(StorageError, match="not a database"):
        async with Database(sqlite_url(letter)):
            pass


async def test_a_file_that_it_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What is in it is as good as the passwords."""
    file = tmp_path / "elsewhere.sqlite3"
    before = os.umask(0o022)
    try:
        async with Database(sqlite_url(file)):
            modes = {stat.S_IMODE(each.stat().st_mode) for each in os.scandir(tmp_path)}
    finally:
        os.umask(before)
    assert modes == {0o600}


async def test_a_file_of_another_program_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE invoice (id INTEGER)")
    with pytest.raises(StorageError, match=r"did not make \(invoice\)"):
        async with Database(sqlite_url(path)):
            pass
    with closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("invoice",)]


async def test_a_file_that_somebody_else_keeps_locked_is_said_to_be(path: Path) -> None:
    async with Database(sqlite_url(path)) as database:
        async with database.session() as session:
            await session.execute(text("PRAGMA busy_timeout=0"))
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="another program writes to it"):
                async with database.session() as session:
                    await session.execute(text("UPDATE tenant SET name = 'other'"))


async def test_a_migration_that_would_leave_orphans_changes_nothing(path: Path) -> None:
    database = Database(sqlite_url(path))
    await database.migrate("0001")
    with closing(sqlite3.connect(path)) as raw:  # which heeds no foreign keys
        raw.execute("INSERT INTO alias (tenant_id, extension_id, number) VALUES (1, 77, '4000')")
        raw.commit()
    with pytest.raises(StorageError, match="1 rows of alias"):
        await database.migrate()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        columns = {row[1] for row in raw.execute("PRAGMA table_info(call_record)")}
    assert "data" not in columns
    await database.dispose()


def test_a_file_that_is_damaged_is_refused_and_says_what_to_do(path: Path) -> None:
    asyncio.run(made(path))
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE filler (octets BLOB)")
        database.execute("INSERT INTO filler VALUES (zeroblob(200000))")
        database.commit()
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:100] + bytes(len(whole) - 100)):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"is damaged.*agent-endpoint db restore FILE"):
            asyncio.run(made(path))
    path.write_bytes(whole)
    asyncio.run(made(path))


NOBODY = 65534


def test_a_file_that_may_not_be_written_is_refused() -> None:
    """As whoever may write everything is nobody here, it is opened by another user."""
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from endpoint.errors import StorageError\n"
        "from endpoint.storage.database import Database, sqlite_url\n"
        "async def main(database):\n"
        "    async with database:\n"
        "        pass\n"
        "database = Database(sqlite_url(Path(sys.argv[1])))  # imports what nobody may read\n"
        "if os.getuid() == 0:\n"
        f"    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "try:\n"
        "    asyncio.run(main(database))\n"
        "except StorageError as error:\n"
        "    sys.exit(str(error))\n"
    )
    with tempfile.TemporaryDirectory(prefix="ae-ro-") as directory:
        file = Path(directory) / "endpoint.sqlite3"
        asyncio.run(made(file))
        file.chmod(0o444)
        Path(directory).chmod(0o555)
        opened = subprocess.run(
            [sys.executable, "-c", program, file], check=False, capture_output=True, text=True
        )
        Path(directory).chmod(0o755)
    assert opened.returncode == 1
    assert re.search("readonly database|unable to open database file", opened.stderr)
    assert "Traceback" not in opened.stderr


async def made(file: Path) -> None:
    async with Database(sqlite_url(file)):
        pass
