"""A registration survives: outages, changed addresses, passwords and nonces; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import pytest

from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials, ha1
from signaling.sip.uri import Uri
from signaling.transport.memory import MemoryNetwork, MemoryTransport
from signaling.user_agent import (
    Account,
    Registered,
    Registration,
    RegistrationEvent,
    RegistrationFailed,
    RegistrationState,
    UserAgent,
    UserAgentConfig,
)
from tests.integration.signaling.stage import REALM

pytestmark = pytest.mark.scenario

SERVER = Uri("sip", host="192.0.2.1", port=5060)
PHONE = "192.0.2.9"
INSTANCE = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"


@dataclass
class Passwords:
    """Of 6001; who runs the server may change it."""

    password: str = "first"

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        return [(name, ha1(username, realm, self.password, name)) for name in ("SHA-256", "MD5")]


@dataclass
class World:
    network: MemoryNetwork
    exit: AsyncExitStack
    passwords: Passwords = field(default_factory=Passwords)
    server: SipServer = field(init=False)
    agent: UserAgent = field(init=False)
    transport: MemoryTransport = field(init=False)
    _place: MemoryTransport | None = None

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def start_server(self) -> None:
        """A server that knows nobody yet, in the place of the one before."""
        if self._place is not None:
            await self._place.close()
        config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(random=Random(1)))
        self.server = await self.exit.enter_async_context(SipServer(config, self.passwords))
        agent = self.server.user_agent
        self._place = self.network.attach("net", SERVER.host, 5060, agent)
        agent.attach(self._place)

    def kill_server(self) -> None:
        self.network.drop = lambda packet: SERVER.host in (packet.source[0], packet.destination[0])

    async def server_is_back(self) -> None:
        self.network.drop = None
        await self.start_server()

    def register(self, instance: str | None = None) -> Registration:
        return self.agent.register(
            Account(
                name="6001",
                aor=Uri("sip", "6001", host="example.com"),
                credentials=DigestCredentials("6001", password="first"),
                registrar=SERVER,
                expires_s=120,
                instance=instance,
            )
        )

    async def told(self) -> RegistrationEvent:
        return await anext(self.agent.registration_events())

    def asked(self) -> list[float]:
        """REGISTERs so far."""
        return [
            packet.index
            for packet in self.network.sent
            if packet.octets.startswith(b"REGISTER") and packet.source[0] == PHONE
        ]

    def is_bound(self) -> bool:
        return len(self.server.targets("6001")) == 1


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(MemoryNetwork(latency_s=0.01), stack)
        await made.start_server()
        made.agent = await stack.enter_async_context(
            UserAgent(UserAgentConfig(name="phone", random=Random(2)))
        )
        made.transport = made.network.attach("phone", PHONE, 5060, made.agent)
        made.agent.attach(made.transport)
        yield made


@pytest.mark.parametrize("instance", [None, INSTANCE], ids=["plain", "outbound"])
@pytest.mark.parametrize("outage_s", [3, 30, 600])
async def test_f1_a_server_that_was_killed_has_the_phone_again(
    world: World, outage_s: int, instance: str | None
) -> None:
    """And has lost all bindings. Told once that it is gone, once that it is back, in this order."""
    world.register(instance)
    assert isinstance(await world.told(), Registered)
    world.kill_server()
    await asyncio.sleep(outage_s)
    await world.server_is_back()
    back_at = world.now
    await anext(world.server.registrations())
    # By the refresh where nothing was noticed, else after the pause and timer F of a last try.
    assert world.now - back_at <= 110
    await asyncio.sleep(3600)
    assert world.is_bound()
    world.agent._accounts.events.close()
    kinds = [type(event) async for event in world.agent.registration_events()]
    assert kinds in ([], [RegistrationFailed, Registered])
    assert (outage_s < 600) or kinds


async def test_pauses_while_the_server_is_gone_double_up_to_30_s(world: World) -> None:
    world.register()
    assert isinstance(await world.told(), Registered)
    world.kill_server()
    await asyncio.sleep(110)
    before = len(world.asked())
    await asyncio.sleep(3600)
    # Each try takes 32 s (timer F, 11 datagrams), each pause 15 to 30 s once it has grown.
    tries = (len(world.asked()) - before) / 11
    assert 3600 / (32 + 30) <= tries <= 3600 / (32 + 15) + 4


async def test_a_password_that_was_changed_is_told_once_and_not_tried_for_ever(
    world: World,
) -> None:
    registration = world.register()
    assert isinstance(await world.told(), Registered)
    world.passwords.password = "second"
    failed = await world.told()
    assert isinstance(failed, RegistrationFailed)
    assert (failed.status, failed.fatal) == (403, True)
    asked = len(world.asked())
    await asyncio.sleep(86_400)
    assert len(world.asked()) == asked
    assert registration.state is RegistrationState.FAILED
    world.passwords.password = "first"
    registration.retry()
    assert isinstance(await world.told(), Registered)


async def test_nonces_that_the_server_does_not_know_any_more_are_no_failure(world: World) -> None:
    """After a restart, with another secret, each is stale."""
    world.register()
    assert isinstance(await world.told(), Registered)
    for _ in range(5):
        await world.start_server()
        await asyncio.sleep(120)
        assert world.is_bound()
    world.agent._accounts.events.close()
    assert [event async for event in world.agent.registration_events()] == []


async def test_a_telephone_that_moves_is_bound_where_it_is(world: World) -> None:
    """Another address of ours over UDP; the old binding is taken back."""
    world.register()
    assert isinstance(await world.told(), Registered)
    await world.transport.close()
    moved = world.network.attach("phone", "192.0.2.77", 5060, world.agent)
    world.agent._layer._transports["phone"] = moved
    await asyncio.sleep(120)
    told = await world.told()
    assert isinstance(told, Registered)
    assert told.contact.host == "192.0.2.77"
    assert [phone.uri.host for phone in world.server.targets("6001")] == ["192.0.2.77"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_connection_that_comes_again_does_not_mend_a_password(
    world: World, times: int
) -> None:
    """Else a flapping server would lock the account."""
    registration = world.register()
    assert isinstance(await world.told(), Registered)
    world.passwords.password = "second"
    assert isinstance(await world.told(), RegistrationFailed)
    asked = len(world.asked())
    for _ in range(times):
        assert registration.flow is not None
        registration.flow_available(registration.flow)
        await asyncio.sleep(60)
    assert len(world.asked()) == asked
