from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack

import pytest

from endpoint.app.listening import ACCEPTED_AT_A_TIME, listener, port_of

pytestmark = pytest.mark.integration

MANY = 200


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_those_who_come_at_once_wait_and_are_accepted_few_at_a_time() -> None:
    """All of them open at once would leave no descriptor for calls, before one could be refused."""
    open_at_most, closed = 0, 0
    all_closed = asyncio.Event()

    class Refused(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal open_at_most
            open_at_most = max(open_at_most, descriptors())
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal closed
            closed += 1
            if closed == MANY:
                all_closed.set()

    server = await listener(Refused, "a test", "127.0.0.1", 0, "http.port")
    async with server:
        with ExitStack() as lives:
            for _ in range(MANY):  # the loop stands still meanwhile
                address = ("127.0.0.1", port_of(server))
                lives.enter_context(socket.create_connection(address, timeout=0.5))
            before = descriptors()
            await all_closed.wait()

    assert open_at_most - before <= 3 * ACCEPTED_AT_A_TIME
