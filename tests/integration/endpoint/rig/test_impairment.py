"""The proxy between real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from endpoint.rig.impairment import Address, Impairment, Proxy

pytestmark = pytest.mark.integration


class End:
    """A socket."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)

    @property
    def address(self) -> Address:
        host, port = self.socket.getsockname()
        return host, port

    async def receive(self) -> tuple[bytes, Address]:
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recvfrom(self.socket, 2048)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if is_so():
                return
            await asyncio.sleep(0)


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
        yield End(sockets[0]), End(sockets[1])


async def test_each_end_sees_the_proxy_in_place_of_the_other(ends: tuple[End, End]) -> None:
    near, far = ends
    async with Proxy() as proxy:
        crossing = await proxy.cross(near.address, far.address)
        near.socket.sendto(b"there", crossing.far_address)
        assert await far.receive() == (b"there", crossing.near_address)
        far.socket.sendto(b"back", crossing.near_address)
        assert await near.receive() == (b"back", crossing.far_address)
        crossing.forge_near(b"forged")
        assert await far.receive() == (b"forged", crossing.near_address)
        crossing.forge_far(b"forged")
        assert await near.receive() == (b"forged", crossing.far_address)
        assert (proxy.there.counts.delivered, proxy.back.counts.delivered) == (1, 1)


async def test_an_end_that_is_not_known_is_whoever_sends_first(ends: tuple[End, End]) -> None:
    near, far = ends
    async with Proxy() as proxy:
        crossing = await proxy.cross(far=far.address)
        near.socket.sendto(b"there", crossing.far_address)
        _, seen = await far.receive()
        far.socket.sendto(b"back", seen)
        assert await near.receive() == (b"back", crossing.far_address)


async def test_an_end_that_moves_is_seen_elsewhere_and_hears_nothing_at_its_old_place(
    ends: tuple[End, End],
) -> None:
    near, far = ends
    async with Proxy() as proxy:
        crossing = await proxy.cross(near.address, far.address)
        before = crossing.near_address
        await crossing.move_near("127.0.0.2")
        near.socket.sendto(b"there", crossing.far_address)
        _, seen = await far.receive()
        assert seen == crossing.near_address != before
        assert seen[0] == "127.0.0.2"
        far.socket.sendto(b"lost", before)
        far.socket.sendto(b"back", seen)
        assert await near.receive() == (b"back", crossing.far_address)
        await crossing.move_far()
        far.socket.sendto(b"again", crossing.near_address)
        assert await near.receive() == (b"again", crossing.far_address)


async def test_settings_change_while_it_runs_and_a_delay_keeps_the_order(
    ends: tuple[End, End],
) -> None:
    near, far = ends
    async with Proxy(Impairment(blackhole=True)) as proxy:
        crossing = await proxy.cross(near.address, far.address)
        near.socket.sendto(b"lost", crossing.far_address)
        await until(lambda: proxy.there.counts.lost == 1)
        proxy.change(Impairment(delay_ms=30))
        for number in range(20):
            near.socket.sendto(bytes([number]), crossing.far_address)
        assert [(await far.receive())[0][0] for _ in range(20)] == list(range(20))


async def test_a_proxy_that_closes_takes_what_is_under_way_with_it(ends: tuple[End, End]) -> None:
    near, far = ends
    async with Proxy(Impairment(delay_ms=50)) as proxy:
        crossing = await proxy.cross(near.address, far.address)
        near.socket.sendto(b"late", crossing.far_address)
        await until(lambda: proxy.there.counts.delivered == 1)
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(crossing.far_address)
    asyncio.get_running_loop().call_later(0.06, near.socket.sendto, b"later", far.address)
    assert (await far.receive())[0] == b"later"
