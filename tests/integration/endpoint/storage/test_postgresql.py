"""The same storage on PostgreSQL: its own cluster on a Unix socket, thrown away afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, Ending
from endpoint.errors import StorageError
from endpoint.legs.base import Cause, DeviceId, InteractionId, Side
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import Database
from endpoint.storage.extensions import Credential, Extension, Extensions
from endpoint.storage.schema import Base

pytestmark = pytest.mark.integration

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


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a cluster that is ours alone."""
    user = _user()
    if not BINARIES or user is None:
        text = "PostgreSQL's server is not installed, or there is no user to run it"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
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


@pytest.fixture
async def database(server: str) -> AsyncIterator[Database]:
    upgrade = Database(server)
    await upgrade.upgrade()
    await upgrade.dispose()
    async with Database(server) as database:
        yield database


async def test_an_operator_upgrades_it_and_is_told_how(server: str) -> None:
    with pytest.raises(StorageError, match="agent-endpoint database upgrade"):
        async with Database(server):
            pass


async def test_extensions_are_kept_apart_by_number(database: Database) -> None:
    extensions = Extensions(database)
    credential = Credential("6001", "agent-endpoint", "MD5", "0" * 32)
    await extensions.add(Extension("6001", aliases=("4000",)), [credential])
    assert await extensions.lookup("6001", "agent-endpoint") == [("MD5", "0" * 32)]
    assert await extensions.resolve("4000") == "6001"
    with pytest.raises(StorageError, match="taken"):
        await extensions.add(Extension("4000"), [])
    await extensions.add(Extension("6001"), [credential], replace=True)
    assert await extensions.remove("6001")
    assert await extensions.all() == []


async def test_a_record_keeps_its_moments_and_is_the_only_one(database: Database) -> None:
    began = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
    record = CallRecord(
        interaction=InteractionId("i1"),
        call=CallId("i1-1"),
        direction=CallDirection.INBOUND,
        calling=DeviceId("1" * 200),
        called=DeviceId("6001"),
        started_at=began,
        delivered_at=None,
        established_at=None,
        ended_at=began,
        ending=Ending(Cause.BUSY, Side.DEVICE, sip_status=486, q850=17),
        connections=(),
    )
    records = StoredCallRecords(database)
    await records.write(record)
    assert await records.latest() == [record]
    with pytest.raises(StorageError, match="has a record already"):
        await records.write(record)


async def test_the_migrations_make_what_the_models_say(database: Database, server: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_async_engine(server.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_server_that_is_not_there_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        async with Database("postgresql://nobody@/none?host=/nowhere"):
            pass
