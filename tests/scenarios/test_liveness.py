"""A peer is watched by OPTIONS: it goes, comes back, moves; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import pytest

from signaling.sip.uri import Uri
from signaling.transport.memory import MemoryNetwork, MemoryTransport
from signaling.user_agent import (
    LivenessSettings,
    LivenessState,
    PeerDown,
    PeerUp,
    UserAgent,
    UserAgentConfig,
    Watch,
)

pytestmark = pytest.mark.scenario

TRUNK = Uri("sip", host="192.0.2.9", port=5060)
SETTINGS = LivenessSettings(interval_s=30, retry_s=1, timeout_s=4, failures=2)


@dataclass
class World:
    network: MemoryNetwork
    ours: UserAgent
    theirs: UserAgent
    their_transport: MemoryTransport

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def questions(self) -> int:
        return sum(packet.octets.startswith(b"OPTIONS") for packet in self.network.sent)

    def watch(self) -> Watch:
        return self.ours.watch(TRUNK, settings=SETTINGS)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        network = MemoryNetwork(latency_s=0.01)
        agents = []
        transports = []
        for name, host in (("ours", "192.0.2.1"), ("theirs", TRUNK.host)):
            agent = await stack.enter_async_context(
                UserAgent(UserAgentConfig(name=name, random=Random(name)))
            )
            transport = network.attach("net", host, 5060, agent)
            agent.attach(transport)
            agents.append(agent)
            transports.append(transport)
        yield World(network, *agents, transports[1])


async def test_a_peer_goes_and_comes_back_and_each_is_told_once(world: World) -> None:
    watch = world.watch()
    told = watch.events()
    assert await anext(told) == PeerUp(200)
    await asyncio.sleep(300)

    world.network.drop = lambda packet: packet.destination[0] == TRUNK.host
    gone_at = world.now
    event = await anext(told)
    assert isinstance(event, PeerDown)
    assert world.now - gone_at < 36 + 2 * SETTINGS.timeout_s + SETTINGS.retry_s
    assert watch.state is LivenessState.DOWN
    await asyncio.sleep(600)

    world.network.drop = None
    back_at = world.now
    assert await anext(told) == PeerUp(200)
    assert world.now - back_at <= 30 + SETTINGS.timeout_s


async def test_a_probe_that_nobody_waits_for_any_more_is_not_sent_again(world: World) -> None:
    world.network.drop = lambda packet: packet.destination[0] == TRUNK.host
    watch = world.watch()
    assert isinstance(await anext(watch.events()), PeerDown)
    watch.stop()
    await asyncio.sleep(0)
    asked = world.questions()
    await asyncio.sleep(60)
    assert world.questions() == asked
    assert world.ours.transaction_count == 0


async def test_a_peer_that_a_call_failed_at_is_asked_at_once(world: World) -> None:
    watch = world.watch()
    await anext(watch.events())
    asked = world.questions()
    watch.suspect()
    await asyncio.sleep(0.1)
    assert world.questions() == asked + 1


async def test_a_peer_without_a_way_to_it_is_down(world: World) -> None:
    watch = world.ours.watch(Uri("sip", host="2001:db8::1"), settings=SETTINGS)
    event = await anext(watch.events())
    assert isinstance(event, PeerDown)
    assert event.status is None
    assert "2001:db8::1" in event.text


async def test_leaving_asks_no_more_and_waits_for_nobody(world: World) -> None:
    world.network.drop = lambda packet: packet.destination[0] == TRUNK.host
    async with UserAgent(UserAgentConfig(random=Random(1))) as agent:
        agent.attach(world.network.attach("net", "192.0.2.2", 5060, agent))
        watch = agent.watch(TRUNK, settings=SETTINGS)
        await asyncio.sleep(1)
        left_at = world.now
    assert world.now == left_at
    assert [event async for event in watch.events()] == []


async def test_many_peers_are_not_asked_in_step(world: World) -> None:
    for _ in range(20):
        world.watch()
    await asyncio.sleep(1)
    first = len(world.network.sent)
    await asyncio.sleep(29)
    between = len(world.network.sent) - first
    assert 0 < between < 2 * 20
