"""Requests that are too large for a datagram go by TCP, where the far end takes it (§18.1.1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.stack import Direction
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Answered,
    Confirmed,
    InviteRequest,
    InviteSession,
    Progress,
    UserAgent,
    UserAgentConfig,
)
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.stage import ANSWER, OFFER, ending, next_event, within
from tests.interop.peers.process import free_port

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HOST = "127.0.0.1"
LARGE = OFFER + b"".join(b"a=candidate:%d 1 UDP 1 192.0.2.1 9 typ host\r\n" % n for n in range(30))
UDP, TCP = TransportKind.UDP, TransportKind.TCP


@dataclass
class Pair:
    """A caller by UDP, and whom it calls."""

    caller: UserAgent
    called: UserAgent
    port: int
    sent: list[tuple[str, TransportKind]] = field(default_factory=list)
    """Requests of the caller, and by what they went."""

    def note(self, direction: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if direction is Direction.SENT and not octets.startswith(b"SIP/"):
            self.sent.append((octets.split(b" ", 1)[0].decode(), flow.transport))

    def call(self, sdp: bytes | None) -> InviteSession:
        target = Uri("sip", "6001", host=HOST, port=self.port)
        me = NameAddr("", Uri("sip", "me", host=HOST))
        return self.caller.invite(InviteRequest(target, me, NameAddr("", target), sdp=sdp))

    async def talk(self, sdp: bytes) -> None:
        """Place a call, talk, hang up."""
        placed = self.call(sdp)
        ringing = await within(self.called.invitations())
        assert ringing.sdp == sdp
        ringing.accept(ANSWER)
        assert isinstance(await next_event(placed), Answered)
        assert isinstance(await next_event(ringing), Confirmed)
        placed.bye()
        assert (await ending(ringing)).by_remote


@contextlib.asynccontextmanager
async def pair(*, tcp: bool) -> AsyncIterator[Pair]:
    config = UserAgentConfig(trusted_peers=(HOST,))
    notes: list[Pair] = []
    async with (
        UserAgent(config, trace=lambda *message: notes[0].note(*message)) as caller,
        UserAgent(config) as called,
    ):
        await caller.listen_udp(HOST, 0)
        _, port = await called.listen_udp(HOST, free_port())
        if tcp:
            await called.listen_tcp(HOST, port)
        notes.append(Pair(caller, called, port))
        yield notes[0]


async def test_an_invite_over_1300_octets_goes_by_tcp() -> None:
    async with pair(tcp=True) as ends:
        await ends.talk(LARGE)
        assert ends.sent == [("INVITE", TCP), ("ACK", UDP), ("BYE", UDP)]


async def test_a_small_one_goes_by_udp() -> None:
    async with pair(tcp=True) as ends:
        await ends.talk(OFFER)
        assert ends.sent == [("INVITE", UDP), ("ACK", UDP), ("BYE", UDP)]


async def test_who_takes_no_tcp_gets_the_datagram_and_is_not_asked_again_soon() -> None:
    async with pair(tcp=False) as ends:
        await ends.talk(LARGE)
        await ends.talk(LARGE)
        again = [("INVITE", UDP), ("ACK", UDP), ("BYE", UDP)]
        assert ends.sent == [("INVITE", TCP), *again, *again]


@pytest.mark.parametrize("tcp", [True, False], ids=["by TCP", "by UDP to who takes no TCP"])
async def test_so_does_an_ack_that_answers_a_late_offer(tcp: bool) -> None:
    async with pair(tcp=tcp) as ends:
        placed = ends.call(None)
        ringing = await within(ends.called.invitations())
        ringing.accept(OFFER)
        assert isinstance(await next_event(placed), Answered)
        placed.accept(LARGE)
        confirmed = await next_event(ringing)
        assert isinstance(confirmed, Confirmed)
        assert ringing.sdp == LARGE
        assert [way for method, way in ends.sent if method == "ACK"] == (
            [TCP] if tcp else [TCP, UDP]
        )
        placed.bye()
        await ending(ringing)


async def test_its_cancel_goes_the_same_way() -> None:
    """RFC 3261 §9.1."""
    async with pair(tcp=True) as ends:
        placed = ends.call(LARGE)
        ringing = await within(ends.called.invitations())
        ringing.ring()
        assert isinstance(await next_event(placed), Progress)
        placed.cancel()
        assert (await ending(ringing)).by_remote
        assert [way for method, way in ends.sent if method == "CANCEL"] == [TCP]


async def test_a_connection_that_is_lost_while_it_rings_is_no_reason_to_ring_again() -> None:
    async with pair(tcp=True) as ends:
        placed = ends.call(LARGE)
        ringing = await within(ends.called.invitations())
        ringing.ring()
        assert isinstance(await next_event(placed), Progress)
        await ends.called._layer._streams.close()
        assert (await ending(placed)).status == 503
        assert [method for method, _ in ends.sent] == ["INVITE"]
        with contextlib.suppress(LocalProtocolError):
            ringing.reject(487)
        await asyncio.wait_for(ending(ringing), PATIENCE_S)
