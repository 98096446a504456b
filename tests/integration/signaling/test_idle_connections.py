"""S8: a thousand connections that say nothing keep no phone out, and are closed."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import pytest

from signaling.server import SipServerConfig
from signaling.sip.flow import TransportKind
from signaling.transport.stream import StreamSettings
from signaling.user_agent import Answered, TransportSettings, UserAgentConfig
from tests.integration.descriptors import need_descriptors
from tests.integration.signaling.stage import (
    ANSWER,
    REALM,
    STREAMS,
    Stage,
    ending,
    next_event,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SOURCES = [f"127.0.1.{number}" for number in range(1, 51)]
EACH = 20
"""As many as one address may hold."""
MORE = 500
"""Descriptors beside those of both ends."""


@pytest.mark.parametrize("kind", STREAMS)
async def test_s8_a_thousand_idle_connections_keep_no_phone_out(
    kind: TransportKind, server_context: ssl.SSLContext, trusting_context: ssl.SSLContext
) -> None:
    need_descriptors(2 * EACH * len(SOURCES) + MORE)
    limits = StreamSettings(idle_timeout_s=4.0, header_timeout_s=4.0)
    transport = TransportSettings(stream=limits)
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(transport=transport))
    async with Stage(server_context, trusting_context, config) as stage:
        port = stage.tcp_port if kind is TransportKind.TCP else stage.tls_port
        idle = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            for source in SOURCES
            for _ in range(EACH)
        ]
        phone = await (await stage.phone("6001", kind)).registered()
        placed = stage.call("6001")
        ringing = await phone.invitation()
        ringing.accept(ANSWER)
        assert isinstance(await next_event(placed), Answered)

        async def closed(reader: asyncio.StreamReader) -> None:
            with suppress(ConnectionError):
                assert await reader.read() == b""

        async with asyncio.timeout(60), asyncio.TaskGroup() as waiting:
            for reader, _ in idle:
                waiting.create_task(closed(reader))
        for _, writer in idle:
            writer.close()
        placed.bye()
        assert (await ending(ringing)).by_remote
