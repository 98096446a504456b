"""F5: the database is read-only, or away, while it is served: a phone's calls go on."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import asyncpg
import pytest

from endpoint.app import certificates
from endpoint.callcontrol.commands import ClearConnection, HoldCall, MakeCall, RetrieveCall
from endpoint.callcontrol.events import Established, Held, Retrieved
from endpoint.callcontrol.model import CallId
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native.planmessages import PlanRule
from endpoint.legs.base import DeviceId
from endpoint.storage.database import Database

from .desk import Desk
from .peers.baresip import Baresip
from .peers.postgres import Postgres

pytestmark = pytest.mark.interop

AGENT, PHONE = DeviceId("6001"), DeviceId("7001")
AGENT_HZ, PHONE_HZ = 1400, 1010
PATIENCE_S = 60.0


def desk(directory: Path, database: str = "") -> Desk:
    return Desk(
        directory / "state",
        extensions=[PHONE],
        stations={AGENT: AGENT_HZ},
        settings={"database": {"url": database}} if database else {},
    )


@asynccontextmanager
async def client_of(endpoint: Desk) -> AsyncIterator[EndpointClient]:
    trust: ssl.SSLContext = certificates.client_context(endpoint.ca_file)
    url = f"https://localhost:{endpoint.endpoint.http.port}"
    async with EndpointClient(url, endpoint.endpoint.token, ssl_context=trust) as client:
        yield client


async def answered(endpoint: Desk, phone: Baresip) -> CallId:
    """The agent calls the phone, and they talk."""
    made = await endpoint.do(MakeCall(AGENT, PHONE))
    await phone.ringing()
    await phone.accept()
    await endpoint.event(Established, device=PHONE, call=made.call)
    return made.call


async def they_hear_each_other(endpoint: Desk, phone: Baresip) -> None:
    assert await phone.heard() == {AGENT_HZ}
    assert await endpoint.heard(AGENT) == {PHONE_HZ}


async def refused(client: EndpointClient, name: str) -> None:
    """What must be written is answered with an error, and does not count."""
    with pytest.raises(RequestRefused) as error:
        await client.add_plan_rule(PlanRule(name=name, pattern="_0X.", action="refuse"))
    assert error.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(RequestRefused) as error:
        await client.change_plan_rule("before", PlanRule("before", "_1X.", action="refuse"))
    assert error.value.status == HTTPStatus.SERVICE_UNAVAILABLE


async def calls_go_on(
    endpoint: Desk, fault: AbstractAsyncContextManager[None], *, readable: bool, says: str
) -> None:
    """One that is up is held, resumed and ends; the next is made; both records come in later."""
    journal = endpoint.endpoint.journal
    async with endpoint.telephone(PHONE, PHONE_HZ) as phone, client_of(endpoint) as client:
        await client.add_plan_rule(PlanRule("before", "_0X.", action="refuse"))
        calls = [await answered(endpoint, phone)]
        async with fault:
            await they_hear_each_other(endpoint, phone)
            await endpoint.do(HoldCall(AGENT))
            await endpoint.event(Held, device=AGENT)
            assert AGENT_HZ not in await phone.heard()
            await refused(client, "meanwhile")
            await endpoint.do(RetrieveCall(AGENT))
            await endpoint.event(Retrieved, device=AGENT)
            await they_hear_each_other(endpoint, phone)
            await endpoint.do(ClearConnection(AGENT))
            await endpoint.cleared(call=calls[0])
            await phone.closed()
            calls.append(await answered(endpoint, phone))
            await phone.hang_up()
            await endpoint.cleared(call=calls[1])
            async with asyncio.timeout(PATIENCE_S):
                while not (alarms := (await client.health()).alarms):
                    assert not await journal.settled(0.1)
            assert says in alarms[0]
            assert journal.waiting == 2
            if readable:
                assert (await client.records()).records == []
            else:
                with pytest.raises(RequestRefused) as error:
                    await client.records()
                assert error.value.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert await journal.settled(PATIENCE_S)
        assert {each.call for each in (await client.records()).records} == set(calls)
        assert (await client.health()).alarms == []
        (rule,) = (await client.plan()).rules
        assert (rule.name, rule.pattern) == ("before", "_0X.")


@asynccontextmanager
async def unwritable(file: Path) -> AsyncIterator[None]:
    """As where the kernel makes a failing file system read-only: also whoever has it open."""
    # The third file, -shm, is memory that readers write too.
    files = [path for path in (file, Path(f"{file}-wal")) if path.exists()]

    def may_change(sign: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["chattr", f"{sign}i", *files], check=False, capture_output=True, text=True
        )

    if (done := may_change("+")).returncode:
        pytest.skip(f"no file can be made immutable here: {done.stderr.strip()}")
    try:
        yield
    finally:
        may_change("-")


@asynccontextmanager
async def taken_away(file: Path) -> AsyncIterator[None]:
    away = file.with_name("away")
    await asyncio.to_thread(file.rename, away)
    yield
    await asyncio.to_thread(away.rename, file)


@asynccontextmanager
async def standby(postgres: Postgres) -> AsyncIterator[None]:
    """As where it is the primary no longer: it takes no writes."""
    connection = await asyncpg.connect(postgres.url)
    try:
        for read_only in ("on", "off"):
            await connection.execute(
                f"ALTER DATABASE postgres SET default_transaction_read_only = {read_only}"
            )
            # Others are told by beginning anew.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if read_only == "on":
                yield
    finally:
        await connection.close()


@asynccontextmanager
async def stopped(postgres: Postgres) -> AsyncIterator[None]:
    await postgres.stop()
    yield
    await postgres.start()


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """On a disk: in memory a file is written on by who has it open, whatever its flags say."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory)


async def test_f5_a_file_that_can_not_be_written_any_more(on_disk: Path) -> None:
    async with desk(on_disk) as endpoint:
        fault = unwritable(endpoint.endpoint.state.database)
        await calls_go_on(endpoint, fault, readable=True, says="become read-only")


async def test_f5_a_file_that_is_taken_away(tmp_path: Path) -> None:
    async with desk(tmp_path) as endpoint:
        fault = taken_away(endpoint.endpoint.state.database)
        await calls_go_on(endpoint, fault, readable=False, says="put it back")


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    async with Postgres(tmp_path / "postgres") as server:
        database = Database(server.url)
        await database.migrate()
        await database.dispose()
        yield server


@pytest.mark.soak
async def test_f5_postgresql_that_takes_no_writes(postgres: Postgres, tmp_path: Path) -> None:
    async with desk(tmp_path, postgres.url) as endpoint:
        fault = standby(postgres)
        await calls_go_on(endpoint, fault, readable=True, says="name its primary")


async def test_f5_postgresql_that_is_stopped(postgres: Postgres, tmp_path: Path) -> None:
    async with desk(tmp_path, postgres.url) as endpoint:
        await calls_go_on(endpoint, stopped(postgres), readable=False, says="Connect call failed")
