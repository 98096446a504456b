"""Transfers at the legs: REFERs of phones, REFERs of ours, and INVITEs that replace a call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    InteractionId,
    LegAnswered,
    LegId,
    PlaceLeg,
    TransferAsked,
    TransferOutcome,
)
from endpoint.legs.base import LegRole as Role
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, ReferCompleted, Referred
from tests.unit.endpoint.legs.fakes import WAIT_S, Desk, FakeSession, far_answer, far_offer

pytestmark = pytest.mark.unit


@dataclass
class Recipient:
    """A REFER at its SIP end: remembers what it was answered."""

    refer_to: Uri = field(default_factory=lambda: Uri("sip", "6002", host="example.test"))
    replaces: Any = None
    referred_by: Any = None
    said: list[str] = field(default_factory=list)
    refused: asyncio.Event = field(default_factory=asyncio.Event)

    def accept(self, *, now: float) -> None:
        self.said.append("202")

    def refuse(self, status: int, reason: str | None, *, now: float) -> None:
        self.said.append(f"refused {status}")
        self.refused.set()

    def progress(self, status: int, *, now: float) -> None:
        self.said.append(f"notify {status}")

    def complete(self, status: int, reason: str, *, now: float) -> None:
        self.said.append(f"last notify {status}")

    def referred(self, replaced: FakeSession | None = None) -> Referred:
        return Referred(cast("Any", self), cast("Any", self), cast("Any", replaced))

    def now(self) -> float:
        return 0.0

    def drain(self) -> None: ...


async def answered(desk: Desk, **caller: Any) -> tuple[LegId, FakeSession]:
    """Somebody has called us, and was answered."""
    session = FakeSession(sdp=far_offer(), **caller)
    return await desk.answered(session), session


async def test_a_phone_of_ours_asks_for_a_transfer_and_is_told(desk: Desk) -> None:
    leg, session = await answered(desk, user="6001")
    recipient = Recipient()
    session.tell(recipient.referred())
    assert await desk.next() == TransferAsked(leg, DeviceId("6002"))
    for status in (100, 180, 200):
        desk.exchange.tell_transfer(leg, status)
    assert recipient.said == ["202", "notify 180", "last notify 200"]


async def test_a_phone_that_has_hung_up_is_told(desk: Desk) -> None:
    leg, session = await answered(desk, user="6001")
    recipient = Recipient()
    session.tell(recipient.referred())
    await desk.next()
    desk.exchange.tell_transfer(leg, 100)
    session.end()
    await desk.next()
    desk.exchange.tell_transfer(leg, 486)
    assert recipient.said == ["202", "last notify 486"]


async def test_s12_an_outside_caller_has_nobody_called(desk: Desk) -> None:
    _, session = await answered(desk)
    recipient = Recipient()
    session.tell(recipient.referred())
    async with asyncio.timeout(WAIT_S):
        await recipient.refused.wait()
    assert recipient.said == ["refused 603"]


async def test_two_legs_of_a_phone_are_brought_together_by_their_calls(desk: Desk) -> None:
    leg, session = await answered(desk, user="6001")
    other, consulted = await answered(desk, user="6001")
    recipient = Recipient(replaces="a Replaces")
    session.tell(recipient.referred(replaced=consulted))
    assert await desk.next() == TransferAsked(leg, DeviceId("6002"), other)


async def test_our_refer_goes_to_the_far_ends_domain_and_its_outcome_is_told(desk: Desk) -> None:
    leg, session = await answered(desk)
    desk.exchange.refer(leg, DeviceId("6002"))
    _, refer_to, referred_by = await session.until("refer")
    assert refer_to == "<sip:6002@example.test>"
    assert referred_by == "<sip:6001@example.test>"
    session.referring.deliver(ReferCompleted(603, "Decline"))
    assert await desk.next() == TransferOutcome(leg, 603, Cause.DECLINED, "Decline")


async def test_our_refer_names_the_call_that_is_to_be_taken_over(desk: Desk) -> None:
    leg, session = await answered(desk)
    other, consulted = await answered(desk, caller="10010")
    desk.exchange.refer(leg, DeviceId("10010"), other)
    _, refer_to, _ = await session.until("refer")
    replaces = f"{consulted.id}%3Bto-tag%3D1%3Bfrom-tag%3D2"
    assert refer_to == f"<sip:10010@example.test?Replaces={replaces}>"
    session.referring.deliver(ReferCompleted(200, "OK"))
    assert await desk.next() == TransferOutcome(leg, 200, Cause.NORMAL, "OK")


async def test_a_far_end_that_tells_nothing_has_not_done_it(desk: Desk) -> None:
    leg, session = await answered(desk)
    desk.exchange.refer(leg, DeviceId("6002"))
    await session.until("refer")
    session.referring.deliver(ReferCompleted(None))
    told = await desk.next()
    assert isinstance(told, TransferOutcome)
    assert (told.sip_status, told.cause) == (None, Cause.NETWORK_FAILURE)


async def test_a_leg_that_ends_waits_for_no_outcome(desk: Desk) -> None:
    leg, session = await answered(desk)
    desk.exchange.refer(leg, DeviceId("6002"))
    await session.until("refer")
    desk.exchange.release(leg, Cause.NORMAL)
    async with asyncio.timeout(WAIT_S):
        await desk.exchange.wait_idle()


async def test_who_comes_for_the_place_of_a_call_names_its_leg(desk: Desk) -> None:
    leg, session = await answered(desk)
    newcomer = FakeSession(sdp=far_offer(), caller="10010")
    newcomer.replaces = session
    event = await desk.offered(newcomer)
    assert event.replaces == leg


async def test_who_comes_for_the_place_of_nobody_is_refused(desk: Desk) -> None:
    newcomer = FakeSession(sdp=far_offer())
    newcomer.replaces = FakeSession()
    desk.server.offered.put(newcomer)
    assert (await newcomer.until("hang_up"))[1] == 481


async def test_whom_somebody_is_sent_to_is_told_by_whom(desk: Desk) -> None:
    desk.server.add_phone("6002")
    desk.exchange.place(
        PlaceLeg(
            LegId("c"),
            InteractionId("i"),
            DeviceId("6002"),
            Role.LINE,
            DeviceId("6001"),
            referred_by=DeviceId("6001"),
        )
    )
    session = await desk.session()
    assert session.invitation is not None
    assert dict(session.invitation.headers)["Referred-By"].startswith("<sip:6001@")
    session.tell(Answered(far_answer(session.invitation.sdp)))
    assert await desk.next() == LegAnswered(LegId("c"))
