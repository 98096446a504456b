"""Telephones while the database does not answer."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.app.directory import SipUsers
from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import MakeCall
from endpoint.callcontrol.events import Established, Failed
from endpoint.legs.base import DeviceId
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions
from signaling.server import SipServer, SipServerConfig
from tests.integration.signaling.raw import RawClient
from tests.interop.peers.process import free_port

from .conftest import configuration

pytestmark = pytest.mark.integration

REALM, PASSWORD = "a.test", "away-4be1-7ZqKx4"
PATIENCE_S = 40.0


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE"])
async def test_a_telephone_is_told_to_ask_again_soon(
    tmp_path: Path, unused_udp_port: int, method: str
) -> None:
    """It was answered 500, as by a fault of ours, and the log had a traceback each time."""
    file = tmp_path / "database.sqlite"
    async with Database(sqlite_url(file)) as database:
        extensions = Extensions(database)
        await add_extension(extensions, REALM, Extension("6001"), PASSWORD)
        async with SipServer(SipServerConfig(realm=REALM), SipUsers(extensions)) as server:
            await server.listen_udp("127.0.0.1", unused_udp_port)
            async with RawClient(unused_udp_port) as client:
                assert (await client.authorised("REGISTER", "6001", PASSWORD)).status == 200
                with sqlite3.connect(file) as other:
                    other.execute("ALTER TABLE credential RENAME TO elsewhere")
                with capture_logs() as logs:
                    response = await client.authorised(method, "6001", PASSWORD)
    assert (response.status, response.headers.get("Retry-After")) == (503, "5")
    assert [entry["event"] for entry in logs] == ["users can't be looked up"]


def rename(endpoint: Endpoint, table: str, name: str) -> None:
    with sqlite3.connect(endpoint.state.database) as other:
        other.execute(f"ALTER TABLE {table} RENAME TO {name}")


def trunk(peer: int) -> dict[str, Any]:
    return {
        "name": "other",
        "peers": [f"sip:127.0.0.1:{peer}"],
        "default_number": "100",
        "options_interval_s": 0,
        "incoming": [{"match": "7*", "to": "6003"}],
        "outgoing": [{"match": "7*"}],
    }


@pytest.mark.parametrize("number", ["RP_7003", "56002"])
async def test_whom_a_number_means_is_known_as_it_was(tmp_path: Path, number: str) -> None:
    """A remote agent was answered 404 or 480, as somebody without a telephone, an alias 404."""
    ours, theirs = free_port(), free_port()
    carrier = configuration(
        tmp_path / "carrier", sip={"port": theirs, "tls": False}, trunk=[trunk(ours)]
    )
    config = configuration(
        tmp_path / "state", sip={"port": ours, "tls": False}, trunk=[trunk(theirs)]
    )
    async with Endpoint(carrier):
        async with Endpoint(config) as before:
            for extension in (Extension("RP_7003"), Extension("6002", aliases=("56002",))):
                await add_extension(before.extensions, config.sip.realm, extension, PASSWORD)
        async with Endpoint(config) as endpoint:
            rename(endpoint, "extension", "elsewhere")
            events = endpoint.controller.subscribe(after=0)
            with capture_logs() as logs:
                await endpoint.controller.submit(MakeCall(DeviceId("6003"), DeviceId(number)))
                async with asyncio.timeout(PATIENCE_S):
                    async for numbered in events:
                        if isinstance(numbered.event, Established | Failed):
                            break
            rename(endpoint, "elsewhere", "extension")
    assert isinstance(numbered.event, Established), numbered
    assert "aliases can't be read" in {entry["event"] for entry in logs}
