"""Calls between real telephones through the exchange; what is heard is decoded from RTP."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from endpoint.legs.base import (
    Cause,
    DeviceRegistered,
    DigitDetected,
    DigitKind,
    DigitsSent,
    FarEndHold,
    LegAlerting,
    LegAnswered,
    LegHeld,
    LegOffered,
    LegReleased,
    LegRetrieved,
    LegRole,
    MediaConfirmed,
    Route,
    Side,
    Source,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.offered import REFUSALS_SAID
from signaling.sdp.description import Direction
from signaling.sdp.negotiation import PCMA, PCMU
from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import InviteRequest
from tests.integration.endpoint.legs.conftest import Office
from tests.integration.endpoint.legs.phones import (
    PASSWORD,
    WAIT_S,
    Answered,
    Ended,
    Line,
    Progress,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


async def talk(
    office: Office, calling: str = "6001", called: str = "10086", *, websocket: bool = False
) -> tuple[Line, Line]:
    """One calls another, who picks up; both hear each other."""
    agent = await office.phone(calling, websocket=websocket)
    customer = await office.phone(called)
    a = await agent.dial(called)
    b = await customer.rings()
    await b.pick_up()
    answered = await a.until(Answered)
    await a.take_answer(answered.sdp)
    await a.hears(called)
    await b.hears(calling)
    return a, b


async def test_who_calls_in_a_loop_with_what_nobody_can_answer_does_not_fill_the_log(
    office: Office,
) -> None:
    agent, dialled = await office.phone("6001"), 2 * REFUSALS_SAID
    address, flow = NameAddr("", Uri("sip", "6001", host="127.0.0.1")), agent.registration.flow
    assert flow is not None
    with capture_logs() as logs:
        for _ in range(dialled):
            target = Uri("sip", "10086", host="127.0.0.1")
            call = agent.user_agent.invite(
                InviteRequest(
                    target=target,
                    from_=address,
                    to=NameAddr("", target),
                    sdp=b"no description",
                    flow=flow,
                    credentials=DigestCredentials("6001", password=PASSWORD),
                )
            )
            async with asyncio.timeout(WAIT_S):
                async for told in call.events():
                    if isinstance(told, Ended):
                        assert told.status == 488
                        break
    said = sum(each["event"] == "call refused" for each in logs)
    assert REFUSALS_SAID <= said < dialled


@pytest.mark.parametrize("websocket", [False, True], ids=["udp", "ws"])
async def test_two_phones_hear_each_other_until_one_hangs_up(
    office: Office, websocket: bool
) -> None:
    a, b = await talk(office, websocket=websocket)
    operator = office.operator
    assert {(await operator.saw(DeviceRegistered)).device for _ in range(2)} == {"6001", "10086"}
    offered = await operator.saw(LegOffered)
    assert (offered.calling, offered.called, offered.role) == ("6001", "10086", LegRole.STATION)
    await operator.saw(LegAlerting)
    assert {(await operator.saw(MediaConfirmed)).leg for _ in range(2)}
    a.session.bye()
    assert (await b.until(Ended)).by_remote
    await a.until(Ended)
    ends = [await operator.saw(LegReleased) for _ in range(2)]
    assert [(end.cause, end.released_by) for end in ends] == [
        (Cause.NORMAL, Side.DEVICE),
        (Cause.NORMAL, Side.ENDPOINT),
    ]
    await office.idle()


async def test_phones_of_different_codecs_hear_each_other(office: Office) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086")
    agent.codecs, customer.codecs = (PCMU,), (PCMA,)
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    await a.hears("10086")
    await b.hears("6001")


async def test_hold_and_retrieve_by_the_exchange(office: Office) -> None:
    a, b = await talk(office)
    operator = office.operator
    legs = await operator.talk()
    operator.route(legs[0], Route(Source.MUSIC_ON_HOLD, legs[1]))
    office.exchange.hold(legs[1])
    held = asyncio.TaskGroup()
    async with held:
        held.create_task(_answer_one_reinvite(b))
        assert await operator.saw(FarEndHold) == FarEndHold(legs[1], True, True, 200)
        await b.hears("moh")
        await a.hears()
        assert b.reinvites == [Direction.SENDONLY]
        operator.join(*legs)
        office.exchange.resume(legs[1])
        held.create_task(_answer_one_reinvite(b))
        assert await operator.saw(FarEndHold) == FarEndHold(legs[1], False, True, 200)
    await b.hears("6001")
    await a.hears("10086")
    assert b.reinvites == [Direction.SENDONLY, Direction.SENDRECV]


async def test_a_phone_that_refuses_to_be_held_hears_the_music_all_the_same(
    office: Office,
) -> None:
    _, b = await talk(office)
    b.phone.refuse_reinvites = 488
    legs = await office.operator.talk()
    office.operator.route(legs[0], Route(Source.MUSIC_ON_HOLD, legs[1]))
    office.exchange.hold(legs[1])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_answer_one_reinvite(b))
        assert await office.operator.saw(FarEndHold) == FarEndHold(legs[1], True, False, 488)
        await b.hears("moh")


async def test_a_phone_holds_and_retrieves_by_its_own_button(office: Office) -> None:
    a, b = await talk(office)
    caller, called = await office.operator.talk()
    assert await a.reoffer(Direction.SENDONLY) == 200
    assert await office.operator.saw(LegHeld) == LegHeld(caller)
    assert a.agreed is not None
    assert a.agreed.direction is Direction.SENDONLY  # we answered recvonly
    office.operator.route(caller, Route(Source.MUSIC_ON_HOLD, called))
    await b.hears("moh")
    await a.hears()
    assert await a.reoffer(Direction.SENDRECV) == 200
    assert await office.operator.saw(LegRetrieved) == LegRetrieved(caller)
    office.operator.join(caller, called)
    await a.hears("10086")
    await b.hears("6001")


async def test_a_phone_that_moves_to_another_port_is_followed(office: Office) -> None:
    a, b = await talk(office)
    await b.move()
    await b.hears("6001")
    await a.hears("10086")


async def test_digits_both_ways(office: Office) -> None:
    a, b = await talk(office)
    caller, called = await office.operator.talk()
    b.press("12#")
    heard = [await office.operator.saw(DigitDetected) for _ in range(3)]
    assert [(event.leg, event.digit) for event in heard] == [
        (called, "1"),
        (called, "2"),
        (called, "#"),
    ]
    assert await b.session.info("application/dtmf-relay", b"Signal=7\r\nDuration=100\r\n") == 200
    pressed = DigitDetected(called, "7", 100, DigitKind.INFO)
    assert await office.operator.saw(DigitDetected) == pressed
    assert [await a.digit() for _ in range(4)] == ["1", "2", "#", "7"]  # who hears b gets them all
    assert await office.operator.saw(DigitsSent) == DigitsSent(caller, "7")
    office.exchange.send_digits(called, "90*")
    assert [await b.digit() for _ in range(3)] == ["9", "0", "*"]
    assert await office.operator.saw(DigitsSent) == DigitsSent(called, "90*")


@pytest.mark.parametrize(
    ("status", "cause"), [(486, Cause.BUSY), (603, Cause.DECLINED), (480, Cause.NO_ANSWER)]
)
async def test_a_phone_that_refuses_says_why_to_the_caller(
    office: Office, status: int, cause: Cause
) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086")
    a = await agent.dial("10086")
    b = await customer.rings()
    await a.until(Progress)
    b.session.reject(status)
    assert (await a.until(Ended)).status == status
    released = await office.operator.saw(LegReleased)
    assert (released.cause, released.sip_status) == (cause, status)
    await office.idle()


@pytest.mark.parametrize(("number", "status"), [("6002", 480), ("95588", 404)])
async def test_nobody_there(office: Office, number: str, status: int) -> None:
    agent = await office.phone("6001")
    a = await agent.dial(number)
    ended = await a.until(Ended)
    assert ended.status == status
    await office.idle()


async def test_the_caller_gives_up(office: Office) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086")
    a = await agent.dial("10086")
    b = await customer.rings()
    await a.until(Progress)
    a.session.cancel()
    assert (await a.until(Ended)).status == 487
    assert (await b.until(Ended)).by_remote
    released = await office.operator.saw(LegReleased)
    assert (released.cause, released.released_by) == (Cause.CANCELLED, Side.DEVICE)
    await office.idle()


async def test_all_phones_of_a_device_ring_and_one_is_answered(office: Office) -> None:
    agent = await office.phone("6001")
    first = await office.phone("10086", key="first")
    second = await office.phone("10086", key="second", websocket=True)
    a = await agent.dial("10086")
    losing, winning = await first.rings(), await second.rings()
    await winning.pick_up()
    assert (await losing.until(Ended)).by_remote
    await a.take_answer((await a.until(Answered)).sdp)
    await a.hears("10086")
    await winning.hears("6001")


async def test_a_phone_that_rings_is_picked_up_by_command(office: Office) -> None:
    agent = await office.phone("6001")
    leg = office.operator.place("6001", "95588", LegRole.STATION)
    first = await agent.rings()
    assert await office.operator.saw(LegAlerting) == LegAlerting(leg)
    office.exchange.answer(leg)
    assert (await first.until(Ended)).by_remote
    second = await agent.rings()
    assert second.session.request.headers.get("Call-Info").endswith(";answer-after=0")
    await second.pick_up()
    assert await office.operator.saw(LegAnswered) == LegAnswered(leg)
    office.operator.route(leg, Route(Source.MUSIC_ON_HOLD, leg))
    await second.hears("moh")


async def test_early_media_is_heard_before_the_answer(office: Office) -> None:
    customer = await office.phone("10086")
    leg = office.operator.place("10086", "6001")
    b = await customer.rings()
    assert await office.operator.saw(LegAlerting) == LegAlerting(leg)
    await b.open()
    assert b.session.sdp is not None
    answer = await b.answer_to(b.session.sdp)
    b.session.ring(answer)
    assert await office.operator.saw(LegAlerting) == LegAlerting(leg, early_media=True)
    assert await office.operator.saw(MediaConfirmed) == MediaConfirmed(leg)
    b.session.accept(answer)
    assert await office.operator.saw(LegAnswered) == LegAnswered(leg)


async def test_an_invite_without_an_offer(office: Office) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086")
    a = await agent.dial("10086", late_offer=True)
    b = await customer.rings()
    await b.pick_up()
    answered = await a.until(Answered)
    a.session.accept(await a.answer_to(answered.sdp))
    await a.hears("10086")
    await b.hears("6001")


class TestShortSilence:
    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(domain="127.0.0.1", media_timeout_s=1.0)

    async def test_a_phone_that_vanishes_in_the_call_is_released(self, office: Office) -> None:
        a, b = await talk(office)
        _, called = await office.operator.talk()
        b.go_silent()
        released = await office.operator.saw(LegReleased)
        assert (released.leg, released.cause) == (called, Cause.MEDIA_TIMEOUT)
        assert released.released_by is Side.ENDPOINT
        ended = await b.until(Ended)
        assert ended.by_remote
        assert ended.q850 == 102
        await a.until(Ended)
        await office.idle()

    async def test_a_phone_that_holds_may_be_silent(self, office: Office) -> None:
        a, b = await talk(office)
        caller, called = await office.operator.talk()
        assert await b.reoffer(Direction.INACTIVE) == 200
        await office.operator.saw(LegHeld)
        # Another call measures the time: when its phone is missed, so would be the one that holds.
        _, witness = await talk(office, "6002", "10087")
        witness.go_silent()
        await office.operator.saw(LegReleased)
        assert await b.reoffer(Direction.SENDRECV) == 200
        await office.operator.saw(LegRetrieved)
        office.operator.join(caller, called)
        await a.hears("10086")
        await b.hears("6001")


async def _answer_one_reinvite(line: Line) -> None:
    """Serve the phone's end of one re-INVITE."""
    before = len(line.reinvites)
    await line.serve(before + 1)
