"""The endpoint on PostgreSQL: the operator upgrades, then everything is as on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.errors import StorageError
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered
from endpoint.storage.database import Database

from .desk import Desk
from .peers.postgres import Postgres
from .peers.sipp import register

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    async with Postgres(tmp_path / "postgres") as database:
        yield database


def desk(postgres: Postgres, directory: Path) -> Desk:
    return Desk(
        directory,
        extensions=["7002"],
        stations={AGENT: 1400, CUSTOMER: 1010},
        settings={"database": {"url": postgres.url}},
    )


async def upgraded(postgres: Postgres) -> None:
    database = Database(postgres.url)
    await database.migrate()
    await database.dispose()


async def test_a_database_that_is_not_ours_yet_names_the_command(
    postgres: Postgres, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="agent-endpoint db migrate"):
        async with desk(postgres, tmp_path / "state"):
            pass


async def test_a_phone_registers_and_a_call_leaves_its_record(
    postgres: Postgres, tmp_path: Path
) -> None:
    await upgraded(postgres)
    async with desk(postgres, tmp_path / "state") as endpoint:
        await register(tmp_path, endpoint.sip, user="7002", password=endpoint.password)
        await endpoint.event(DeviceRegistered, device="7002")

        made = await endpoint.do(MakeCall(AGENT, CUSTOMER))
        await endpoint.event(Established, device=CUSTOMER)
        await endpoint.do(ClearConnection(AGENT))
        await endpoint.cleared()
        assert await endpoint.endpoint.journal.settled(60)
        (record,) = await endpoint.endpoint.records.latest()
        assert (record.call, record.called) == (made.call, CUSTOMER)
        assert record.ending.cause is Cause.NORMAL


async def test_a_name_that_is_no_text_for_the_database_is_nobody(
    postgres: Postgres, tmp_path: Path
) -> None:
    """NUL is legal in a SIP user (RFC 4475 §3.1.1.4), and PostgreSQL refuses it in a text."""
    await upgraded(postgres)
    async with desk(postgres, tmp_path / "state") as endpoint:
        extensions = endpoint.endpoint.extensions
        assert await extensions.lookup("null-\0-null", "agent-endpoint") == []
        assert await extensions.resolve("null-\0-null") is None
