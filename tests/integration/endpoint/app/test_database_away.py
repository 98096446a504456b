"""Telephones while the database does not answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from endpoint.app.directory import SipUsers
from endpoint.app.enrolment import add_extension
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions
from signaling.server import SipServer, SipServerConfig
from tests.integration.signaling.raw import RawClient

pytestmark = pytest.mark.integration

REALM, PASSWORD = "a.test", "away-4be1-7ZqKx4"


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
