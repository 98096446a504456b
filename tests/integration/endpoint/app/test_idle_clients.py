"""S8: very many connections that say nothing keep nobody out, and are closed."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from pathlib import Path

import pytest

from endpoint.app import certificates
from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.storage.extensions import Extension
from signaling.sip.auth import DigestCredentials
from signaling.sip.uri import Uri
from signaling.user_agent import Account, Registered, UserAgent
from tests.integration.descriptors import need_descriptors

from .conftest import PASSWORD, configuration

pytestmark = pytest.mark.integration

SOURCES = [f"127.0.0.{number}" for number in range(10, 20)]
IDLE = 1000
MORE = 500
"""Descriptors beside those of both ends: its own, and what the endpoint keeps for calls."""


async def test_s8_a_thousand_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    need_descriptors(2 * IDLE + MORE)
    config = configuration(tmp_path / "state", http={"header_timeout_s": 5})
    async with Endpoint(config) as endpoint, asyncio.TaskGroup() as watching:
        realm, port = config.sip.realm, endpoint.http.port
        await add_extension(endpoint.extensions, realm, Extension("6001"), PASSWORD)
        trust = certificates.client_context(endpoint.certificate.authority)
        sources = itertools.islice(itertools.cycle(SOURCES), IDLE)
        idle = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            for source in sources
        ]

        async def closed(reader: asyncio.StreamReader) -> None:
            with suppress(ConnectionError):
                assert await reader.read() == b""

        ends = [watching.create_task(closed(reader)) for reader, _ in idle]
        url = f"https://localhost:{port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:
            assert (await client.health()).ok
        async with UserAgent() as phone:
            phone.connect("server", endpoint.wss_url, trust)
            account = Account(
                name="6001",
                aor=Uri("sip", "6001", host="127.0.0.1"),
                credentials=DigestCredentials("6001", password=PASSWORD),
                connection="server",
            )
            async with asyncio.timeout(20):
                assert isinstance(await phone.register(account).outcome(), Registered)
        async with asyncio.timeout(60):
            await asyncio.wait(ends)
        for _, writer in idle:
            writer.close()
