"""Slow and greedy clients lose their connections; the others never notice."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from endpoint.app.guard import ConnectionGuard, GuardLimits

pytestmark = pytest.mark.unit


class Transport(asyncio.Transport):
    """A connection from an address, that remembers its end."""

    def __init__(self, source: str) -> None:
        super().__init__(extra={"peername": (source, 1)})
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()

    def pause_reading(self) -> None:
        """It is always so."""


class Inner(asyncio.Protocol):
    """What the guard protects."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append("made")

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append("lost")


class Connection:
    """One connection through a guard."""

    def __init__(self, guard: ConnectionGuard, source: str = "192.0.2.1") -> None:
        self.inner = Inner()
        self.transport = Transport(source)
        self.protocol = guard.around(lambda: self.inner)()
        self.protocol.connection_made(self.transport)


def guard(*, total: int = 10, each: int = 3, header_timeout_s: float = 0.02) -> ConnectionGuard:
    return ConnectionGuard(GuardLimits(total, each, header_timeout_s))


async def test_what_is_admitted_reaches_the_protocol_inside() -> None:
    connection = Connection(guard())
    connection.protocol.data_received(b"GET /")
    connection.protocol.connection_lost(None)
    assert connection.inner.seen == ["made", b"GET /", "lost"]


async def test_a_client_that_never_asks_is_cut_off() -> None:
    connection = Connection(guard())
    async with asyncio.timeout(5):
        await connection.transport.aborted.wait()


async def test_a_byte_now_and_then_is_no_request() -> None:
    connection = Connection(guard())
    async with asyncio.timeout(5):
        while not connection.transport.aborted.is_set():
            connection.protocol.data_received(b"x")
            await asyncio.sleep(0.005)


async def test_a_client_that_asked_may_stay() -> None:
    watched = guard()
    asked, silent = Connection(watched), Connection(watched)
    watched.request_began(asked.transport)
    async with asyncio.timeout(5):
        await silent.transport.aborted.wait()
    assert not asked.transport.aborted.is_set()


async def test_one_source_can_not_take_all_connections() -> None:
    watched = guard(header_timeout_s=60)
    first = [Connection(watched, "192.0.2.66") for _ in range(4)]
    assert [one.transport.aborted.is_set() for one in first] == [False, False, False, True]
    assert first[-1].inner.seen == []
    assert not Connection(watched, "192.0.2.1").transport.aborted.is_set()


async def test_a_place_is_free_again_when_its_connection_ends() -> None:
    watched = guard(each=1, header_timeout_s=60)
    first = Connection(watched)
    refused = Connection(watched)
    refused.protocol.connection_lost(None)
    assert watched.connections == 1
    first.protocol.connection_lost(None)
    assert watched.connections == 0
    assert not Connection(watched).transport.aborted.is_set()


async def test_there_is_a_limit_over_all_sources() -> None:
    watched = guard(total=2, header_timeout_s=60)
    all_of_them = [Connection(watched, f"192.0.2.{n}") for n in range(3)]
    assert [one.transport.aborted.is_set() for one in all_of_them] == [False, False, True]


async def test_a_process_without_room_takes_no_connection() -> None:
    watched = ConnectionGuard(GuardLimits(10, 10, 60), lambda: False)
    assert Connection(watched).transport.aborted.is_set()
    assert watched.connections == 0


async def test_who_comes_when_it_has_ended_is_not_left_open() -> None:
    async with guard() as ended:
        pass
    late = Connection(ended)
    assert late.transport.aborted.is_set()
    assert late.inner.seen == []


async def test_a_handshake_that_has_not_begun_when_it_ends_leaves_nothing_open() -> None:
    async with guard() as ended:
        inner, transport = Inner(), Transport("192.0.2.1")
        protocol = ended.around(lambda: inner, ssl.create_default_context())()
        protocol.connection_made(transport)
    assert transport.aborted.is_set()
    assert inner.seen == []


async def test_one_ipv6_network_is_one_source() -> None:
    watched = guard(each=2, header_timeout_s=60)
    hosts = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    refused = [Connection(watched, host).transport.aborted.is_set() for host in hosts]
    assert refused == [False, False, True, False]
