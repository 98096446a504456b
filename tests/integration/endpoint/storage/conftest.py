"""Each test of storage runs on SQLite and on PostgreSQL, each time in an empty database."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.schema import TenantRow

ROOT = 0
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _user() -> str | None:
    """Whom PostgreSQL runs as: it refuses root."""
    if os.getuid() != ROOT:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a cluster that is ours alone, thrown away afterwards."""
    user = _user()
    if not BINARIES or user is None:
        text = "PostgreSQL's server is not installed, or there is no user to run it"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    binaries = BINARIES[-1]
    # Not below tmp_path: that is closed to the user who runs it. Short: it holds a Unix socket.
    directory = Path(tempfile.mkdtemp(prefix="ae-pg-"))
    shutil.chown(directory, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, *arguments],
            cwd=directory,
            check=True,
            capture_output=True,
            timeout=60,
            # Named where it is right already, it would need a privilege.
            user=user if os.getuid() == ROOT else None,
        )

    data = str(directory / "data")
    try:
        run("initdb", "--pgdata", data, "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        options = f"-c listen_addresses= -c fsync=off -c unix_socket_directories={directory}"
        log = str(directory / "log")
        run("pg_ctl", "--pgdata", data, "--log", log, "--options", options, "--wait", "start")
        try:
            yield f"postgresql://{user}@/postgres?host={directory}"
        finally:
            run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "endpoint.sqlite3")
    server: str = request.getfixturevalue("postgresql")
    await emptied(server)
    return server


async def emptied(url: str) -> None:
    """Take everything out of a database of PostgreSQL."""
    database = Database(url)
    async with database.connection() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
        await connection.commit()
    await database.dispose()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Of this program's schema, open."""
    database = Database(url)
    if not database.sqlite:  # which is migrated when it is opened
        await database.migrate()
    async with database:
        yield database


@pytest.fixture
async def elsewhere(database: Database) -> AsyncIterator[Database]:
    """The same database, opened for another tenant."""
    async with Database(database.url.render_as_string(hide_password=False)) as other:
        async with other.session() as session:
            tenant = TenantRow(name="elsewhere")
            session.add(tenant)
            await session.flush()
            other.tenant_id = tenant.id
        yield other
