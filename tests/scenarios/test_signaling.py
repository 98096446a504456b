"""Server and phones over a network in memory: what takes minutes, and what gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import pytest

from endpoint.rig.impairment import Impairment, Path
from signaling import registrar
from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.transport.memory import MemoryNetwork, MemoryTransport
from signaling.user_agent import (
    Account,
    Answered,
    Confirmed,
    Ended,
    InviteRequest,
    Registered,
    Registration,
    RegistrationFailed,
    UserAgent,
    UserAgentConfig,
)
from tests.integration.signaling.stage import ANSWER, OFFER, REALM, USERS, StaticCredentials

pytestmark = pytest.mark.scenario

SERVER = Uri("sip", host="192.0.2.1", port=5060)


@dataclass
class World:
    network: MemoryNetwork
    server: SipServer
    exit: AsyncExitStack

    async def phone(self, user: str) -> tuple[UserAgent, MemoryTransport]:
        agent = await self.exit.enter_async_context(
            UserAgent(UserAgentConfig(name=user, random=Random(user)))
        )
        transport = self.network.attach(f"phone-{user}", f"192.0.2.{len(user) + 6}", 5060, agent)
        agent.attach(transport)
        return agent, transport


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(random=Random(1)))
        server = await stack.enter_async_context(SipServer(config, StaticCredentials()))
        network = MemoryNetwork(latency_s=0.01)
        server.user_agent.attach(network.attach("net", SERVER.host, 5060, server.user_agent))
        yield World(network, server, stack)


def register(agent: UserAgent, *, expires_s: int = 600, connection: str | None = None):
    return agent.register(
        Account(
            name="6001",
            aor=Uri("sip", "6001", host="example.com"),
            credentials=DigestCredentials("6001", password=USERS["6001"]),
            registrar=SERVER,
            connection=connection,
            expires_s=expires_s,
        )
    )


def call(agent: UserAgent, registration: Registration):
    return agent.invite(
        InviteRequest(
            target=Uri("sip", "10086", host="192.0.2.1", port=5060),
            from_=NameAddr("", Uri("sip", "6001", host="example.com")),
            to=NameAddr("", Uri("sip", "10086", host="example.com")),
            sdp=OFFER,
            flow=registration.flow,
            credentials=DigestCredentials("6001", password=USERS["6001"]),
        )
    )


async def test_a_phone_that_vanishes_expires(world: World):
    agent, transport = await world.phone("6001")
    register(agent, expires_s=600)
    heard = await anext(world.server.registrations())
    assert isinstance(heard, registrar.Registered)
    made_at = asyncio.get_running_loop().time()
    await transport.close()
    heard = await anext(world.server.registrations())
    assert isinstance(heard, registrar.Expired)
    assert asyncio.get_running_loop().time() == pytest.approx(made_at + 600)
    assert world.server.targets("6001") == []


async def test_a_phone_that_stays_is_refreshed_for_ever(world: World):
    """Longer than a nonce lives (300 s), so that refreshes meet `stale` too."""
    agent, _ = await world.phone("6001")
    register(agent, expires_s=600)
    assert isinstance(await anext(agent.registration_events()), Registered)
    await asyncio.sleep(7200)
    assert len(world.server.targets("6001")) == 1
    world.server.user_agent.drain()
    heard = [await anext(world.server.registrations()) for _ in range(10)]
    assert all(isinstance(event, registrar.Registered) for event in heard)


@pytest.mark.parametrize("seed", range(10))
async def test_a_third_of_all_datagrams_may_be_lost(world: World, seed: int):
    chance = Random(seed)
    world.network.drop = lambda packet: chance.random() < 0.33
    agent, _ = await world.phone("6001")
    registration = register(agent)
    assert isinstance(await registration.outcome(), Registered)
    placed = call(agent, registration)
    offered = await anext(world.server.invitations())
    offered.accept(ANSWER)
    assert Answered(ANSWER) in [await anext(placed.events())]
    assert isinstance(await anext(offered.events()), Confirmed)
    placed.bye()
    assert isinstance(await anext(offered.events()), Ended)


@pytest.mark.parametrize("percent", [1, 5, 10])
async def test_f8_every_call_is_set_up_where_datagrams_are_lost(world: World, percent: int):
    """A hundred calls, each up at both ends within the 32 s of RFC 3261, and ended at both."""
    path = Path(Impairment(loss=percent / 100), percent)
    loop = asyncio.get_running_loop()
    world.network.drop = lambda packet: not path.send(packet.octets, loop.time())
    agent, _ = await world.phone("6001")
    registration = register(agent)
    assert isinstance(await registration.outcome(), Registered)
    for _ in range(100):
        async with asyncio.timeout(32):
            placed = call(agent, registration)
            offered = await anext(world.server.invitations())
            offered.accept(ANSWER)
            assert await anext(placed.events()) == Answered(ANSWER)
            assert isinstance(await anext(offered.events()), Confirmed)
        placed.bye()
        assert isinstance(await anext(offered.events()), Ended)
        assert isinstance(await anext(placed.events()), Ended)
    assert path.counts.lost > 4 * percent


async def test_a_server_that_never_answers_is_a_time_out_and_is_tried_again(world: World):
    world.network.drop = lambda packet: True
    agent, _ = await world.phone("6001")
    registration = register(agent)
    failed = await registration.outcome()
    assert isinstance(failed, RegistrationFailed)
    assert (failed.status, failed.fatal) == (408, False)
    assert asyncio.get_running_loop().time() == pytest.approx(32.0, abs=0.5)  # 64 T1, timer F
    world.network.drop = None
    events = agent.registration_events()
    while not isinstance(await anext(events), Registered):
        pass


async def test_a_phone_behind_a_broken_connection_is_gone_at_once(world: World):
    agent, transport = await world.phone("6001")
    register(agent, connection="phone-6001")
    flow = transport.connect(SERVER.host, 5060)
    heard = await anext(world.server.registrations())
    assert isinstance(heard, registrar.Registered)
    (phone,) = world.server.targets("6001")
    assert phone.uri.host.endswith(".invalid")
    assert phone.flow.connection == flow.connection
    transport.disconnect(flow)
    heard = await anext(world.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    assert heard.loss is registrar.Loss.CONNECTION_LOST
    transport.connect(SERVER.host, 5060)
    assert isinstance(await anext(world.server.registrations()), registrar.Registered)


@pytest.mark.parametrize("phone_hangs_up", [True, False])
async def test_a_call_goes_on_over_the_connection_that_its_phone_came_back_by(
    world: World, phone_hangs_up: bool
):
    agent, transport = await world.phone("6001")
    registration = register(agent, connection="phone-6001")
    flow = transport.connect(SERVER.host, 5060)
    await registration.outcome()
    placed = call(agent, registration)
    offered = await anext(world.server.invitations())
    offered.accept(ANSWER)
    assert isinstance(await anext(placed.events()), Answered)
    assert isinstance(await anext(offered.events()), Confirmed)
    transport.disconnect(flow)
    transport.connect(SERVER.host, 5060)
    heard = [type(await anext(world.server.registrations())) for _ in range(3)]
    assert heard[-1] is registrar.Registered
    hangs_up, hears_it = (placed, offered) if phone_hangs_up else (offered, placed)
    hangs_up.bye()
    async with asyncio.timeout(10):
        ended = await anext(hears_it.events())
    assert isinstance(ended, Ended)
    assert ended.by_remote


async def test_a_call_stays_where_it_is_when_another_phone_registers(world: World):
    agent, transport = await world.phone("6001")
    registration = register(agent, connection="phone-6001")
    flow = transport.connect(SERVER.host, 5060)
    await registration.outcome()
    call(agent, registration)
    offered = await anext(world.server.invitations())
    offered.accept(ANSWER)
    assert isinstance(await anext(offered.events()), Confirmed)
    before = offered.flow
    transport.disconnect(flow)
    other, elsewhere = await world.phone("60011")
    again = register(other, connection="phone-60011")
    elsewhere.connect(SERVER.host, 5060)
    assert isinstance(await again.outcome(), Registered)
    assert offered.flow == before


@pytest.mark.parametrize("name", ["\ud800", "a\r\nX: y"], ids=["surrogate", "line end"])
@pytest.mark.parametrize("knows_the_way", [True, False])
async def test_a_call_that_can_not_be_written_down_ends_alone(
    world: World, name: str, knows_the_way: bool
):
    agent, _ = await world.phone("6001")
    registration = register(agent)
    await registration.outcome()
    target = Uri("sip", "10086", host="192.0.2.1", port=5060)
    unfit = agent.invite(
        InviteRequest(
            target=target,
            from_=NameAddr("", Uri("sip", "6001", host="example.com")),
            to=NameAddr(name, target),
            flow=registration.flow if knows_the_way else None,
        )
    )
    ended = await anext(unfit.events())
    assert isinstance(ended, Ended)
    assert ended.error is not None
    assert agent._stack.session_count == 0
    await asyncio.sleep(60)
    assert agent._stack.transaction_count == 0
    call(agent, registration)
    await anext(world.server.invitations())


class SlowOnce(StaticCredentials):
    """A database that does not answer the first question."""

    asked = 0

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return await super().lookup(username, realm)


async def test_a_decision_that_never_comes_keeps_nobody_out_for_ever():
    config = UserAgentConfig(random=Random(1), maximum_pending=1)
    network = MemoryNetwork(latency_s=0.01)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            SipServer(SipServerConfig(realm=REALM, user_agent=config), SlowOnce())
        )
        server.user_agent.attach(network.attach("net", SERVER.host, 5060, server.user_agent))
        agent, _ = await World(network, server, stack).phone("6001")
        register(agent)
        events = agent.registration_events()
        async with asyncio.timeout(300):
            while not isinstance(await anext(events), Registered):
                pass


async def test_a_callee_that_never_answers_is_given_up(world: World):
    """Timer B: no response at all to an INVITE."""
    agent, _ = await world.phone("6001")
    registration = register(agent)
    await registration.outcome()
    world.network.drop = lambda packet: packet.octets.startswith(b"SIP/2.0")
    began = asyncio.get_running_loop().time()
    placed = call(agent, registration)
    ended = await anext(placed.events())
    assert isinstance(ended, Ended)
    assert ended.status == 408
    assert asyncio.get_running_loop().time() - began == pytest.approx(32.0, abs=0.5)
    world.network.drop = None


async def test_hundred_calls_leave_nothing_behind(world: World):
    agent, _ = await world.phone("6001")
    registration = register(agent)
    await registration.outcome()
    agents = agent, world.server.user_agent
    before = [set(one._tasks) for one in agents]
    for _ in range(100):
        placed = call(agent, registration)
        offered = await anext(world.server.invitations())
        offered.ring()
        offered.accept(ANSWER)
        assert [type(await anext(placed.events())) for _ in range(2)][-1] is Answered
        placed.bye()
        while not isinstance(await anext(offered.events()), Ended):
            pass
    await asyncio.sleep(60)
    assert [one._tasks for one in agents] == before, "what keeps the registration alone"
    for one in agents:
        assert one._stack.session_count == 0
        assert one._stack.dialog_count == 0
        assert one._stack.transaction_count == 0
        assert one._sessions == {}
