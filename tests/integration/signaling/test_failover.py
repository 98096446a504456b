"""Where a domain's first server does not answer, the next is taken (RFC 3263 §4.3)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from signaling.errors import TransportError
from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.liveness import PeerDown
from signaling.sip.message import Request
from signaling.sip.stack import Direction
from signaling.sip.transaction import TimerSettings
from signaling.sip.uri import Uri
from signaling.transport.locating import Naptr, Srv
from signaling.transport.websocket import WebSocketSettings
from signaling.user_agent import (
    Account,
    Answer,
    Answered,
    InviteRequest,
    InviteSession,
    OutOfDialogRequest,
    Progress,
    Registered,
    RegistrationFailed,
    TransportSettings,
    UserAgent,
    UserAgentConfig,
)
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.stage import (
    ANSWER,
    OFFER,
    REALM,
    USERS,
    StaticCredentials,
    ending,
    next_event,
    until,
    within,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HOST = "127.0.0.1"
PROMPT = TimerSettings(t1_s=0.02)
"""Requests that nobody answers fail after 1.28 s: a machine that halts for a moment may not."""
ME, DOMAIN = NameAddr("", Uri("sip", "6001", host="example.com")), "example.com"


@dataclass
class Zone:
    """The servers of example.com, in order: ports of loopback."""

    ports: list[int] = field(default_factory=list)
    invited: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Ports that the phone has sent an INVITE to."""
    is_broken: bool = False

    def note(self, direction: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if octets.startswith(b"INVITE "):
            self.invited.put_nowait(flow.port)

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        return []

    async def srv(self, name: str) -> Sequence[Srv]:
        if name not in (f"_sip._udp.{DOMAIN}", f"_sip._tcp.{DOMAIN}"):
            return []
        return [Srv(order, 1, port, "host.example.com") for order, port in enumerate(self.ports)]

    async def addresses(self, host: str) -> Sequence[str]:
        if self.is_broken:
            raise ValueError("a fault of the resolver")
        return [HOST]


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.fixture
async def phone(zone: Zone) -> AsyncIterator[UserAgent]:
    config = UserAgentConfig(
        timers=PROMPT,
        transport=TransportSettings(
            resolver=zone, websocket=WebSocketSettings(first_delay_s=0.02, maximum_delay_s=0.05)
        ),
        close_timeout_s=0.5,
    )
    async with UserAgent(config, trace=zone.note) as agent:
        await agent.listen_udp(HOST, 0)
        yield agent


@contextlib.asynccontextmanager
async def registrar(zone: Zone, transport: str) -> AsyncIterator[SipServer]:
    """One more server of the domain."""
    async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as server:
        listen = server.listen_udp if transport == "udp" else server.listen_tcp
        zone.ports.append((await listen(HOST, 0))[1])
        yield server


@contextlib.asynccontextmanager
async def other(zone: Zone, status: int | None = None) -> AsyncIterator[UserAgent]:
    """A server that takes calls; with a status it refuses whatever comes."""

    async def refuse(request: Request, flow: Flow) -> Answer:
        assert status is not None
        return Answer(status)

    config = UserAgentConfig(
        trusted_peers=(HOST,), allow=("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS")
    )
    async with UserAgent(config, handler=refuse if status else None) as agent:
        zone.ports.append((await agent.listen_udp(HOST, 0))[1])
        yield agent


@contextlib.contextmanager
def silence(zone: Zone) -> Iterator[None]:
    """A server that takes everything and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((HOST, 0))
        zone.ports.append(mute.getsockname()[1])
        yield


def register(phone: UserAgent, transport: str) -> None:
    phone.register(
        Account(
            name="6001",
            aor=ME.uri,
            credentials=DigestCredentials("6001", password=USERS["6001"]),
            registrar=Uri.parse(f"sip:{DOMAIN};transport={transport}"),
        )
    )


def call(phone: UserAgent) -> InviteSession:
    target = Uri.parse(f"sip:10086@{DOMAIN};transport=udp")
    return phone.invite(InviteRequest(target, ME, NameAddr("", target), sdp=OFFER))


async def test_a_phone_registers_at_the_next_where_the_first_takes_no_connection(
    zone: Zone, phone: UserAgent, unused_tcp_port: int
) -> None:
    zone.ports.append(unused_tcp_port)
    async with registrar(zone, "tcp") as server:
        register(phone, "tcp")
        assert isinstance(await within(phone.registration_events()), Registered)
        assert len(server.targets("6001")) == 1


async def test_a_phone_registers_at_the_next_where_the_first_is_silent(
    zone: Zone, phone: UserAgent
) -> None:
    with silence(zone):
        async with registrar(zone, "udp") as server:
            register(phone, "udp")
            assert isinstance(await within(phone.registration_events()), Registered)
            assert len(server.targets("6001")) == 1


async def test_a_phone_registers_at_the_next_where_the_first_is_overloaded(
    zone: Zone, phone: UserAgent
) -> None:
    async with other(zone, 503), registrar(zone, "udp") as server:
        register(phone, "udp")
        assert isinstance(await within(phone.registration_events()), Registered)
        assert len(server.targets("6001")) == 1


async def test_a_refusal_is_no_reason_to_ask_the_next(zone: Zone, phone: UserAgent) -> None:
    async with other(zone, 403), registrar(zone, "udp"):
        register(phone, "udp")
        event = await within(phone.registration_events())
        assert isinstance(event, RegistrationFailed)
        assert (event.status, event.fatal) == (403, True)


async def test_a_phone_moves_on_when_its_registrar_goes_and_is_told_of_it(
    zone: Zone, phone: UserAgent
) -> None:
    async with registrar(zone, "tcp") as first:
        register(phone, "tcp")
        assert isinstance(await within(phone.registration_events()), Registered)
        assert len(first.targets("6001")) == 1
        async with registrar(zone, "tcp") as second:
            await first.user_agent._layer.close()
            await until(phone.registration_events(), Registered)
            assert len(second.targets("6001")) == 1


async def test_where_none_answers_it_is_told_once_and_all_are_tried_again(
    zone: Zone, phone: UserAgent, unused_tcp_port_factory
) -> None:
    zone.ports += [unused_tcp_port_factory(), unused_tcp_port_factory()]
    register(phone, "tcp")
    event = await within(phone.registration_events())
    assert isinstance(event, RegistrationFailed)
    assert isinstance(event.error, TransportError)
    async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as server:
        await server.listen_tcp(HOST, zone.ports[1])
        assert isinstance(await within(phone.registration_events()), Registered)


@pytest.mark.parametrize("failure", ["silent", "overloaded"])
async def test_a_call_goes_to_the_next_and_the_caller_sees_one_call(
    zone: Zone, phone: UserAgent, failure: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if failure == "silent":
            stack.enter_context(silence(zone))
        else:
            await stack.enter_async_context(other(zone, 503))
        called = await stack.enter_async_context(other(zone))
        placed = call(phone)
        ringing = await within(called.invitations())
        ringing.ring()
        assert isinstance(await next_event(placed), Progress)
        ringing.accept(ANSWER)
        assert isinstance(await next_event(placed), Answered)
        placed.bye()
        await ending(ringing)
        assert [place.port for place in await ways(phone)] == zone.ports[::-1], "and is preferred"


async def ways(phone: UserAgent) -> Sequence[Flow]:
    """Where calls would go, in order."""
    found = await phone._layer.ways_to(Uri.parse(f"sip:{DOMAIN};transport=udp"))
    flows = []
    while found.has_more:
        flows.append(await found.next())
    return flows


async def test_a_call_that_rings_stays_where_it_is(zone: Zone, phone: UserAgent) -> None:
    async with other(zone) as first, other(zone) as second:
        placed = call(phone)
        ringing = await within(first.invitations())
        ringing.ring()
        assert isinstance(await next_event(placed), Progress)
        ringing.reject(503)
        assert (await ending(placed)).status == 503
        assert second.sessions() == []


async def test_a_call_that_nobody_takes_ends_as_the_last_says(zone: Zone, phone: UserAgent) -> None:
    async with other(zone, 503), other(zone, 503):
        assert (await ending(call(phone))).status == 503


async def test_a_call_is_taken_back_while_the_next_way_is_tried(
    zone: Zone, phone: UserAgent
) -> None:
    with silence(zone), silence(zone):
        placed = call(phone)
        async with asyncio.timeout(PATIENCE_S):
            while await zone.invited.get() != zone.ports[1]:
                pass
        placed.hang_up()
        ended = await ending(placed)
        assert (ended.by_remote, ended.status) == (False, 487)


async def test_a_fault_in_finding_a_way_ends_that_call_alone(zone: Zone, phone: UserAgent) -> None:
    async with other(zone) as called:
        placed = call(phone)
        ringing = await within(called.invitations())
        zone.is_broken = True
        assert (await ending(call(phone))).status == 503
        down = await within(phone.watch(Uri.parse(f"sip:{DOMAIN}")).events())
        assert isinstance(down, PeerDown)
        assert "a fault of the resolver" in down.text
        ringing.accept(ANSWER)
        assert isinstance(await next_event(placed), Answered)


async def test_a_request_goes_to_the_next_too(zone: Zone, phone: UserAgent) -> None:
    with silence(zone):
        async with other(zone):
            target = Uri.parse(f"sip:{DOMAIN};transport=udp")
            options = OutOfDialogRequest(method="OPTIONS", target=target, from_=ME, to=ME)
            done = await phone.request(options)
            assert done.status == 200
