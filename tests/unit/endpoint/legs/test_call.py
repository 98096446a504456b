"""A SIP leg in its call: hold, retrieve, digits, silence, a lost worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from endpoint.legs.base import (
    Cause,
    DigitDetected,
    DigitKind,
    DigitsSent,
    FarEndHold,
    LegHeld,
    LegId,
    LegOffered,
    LegReleased,
    LegRetrieved,
    MediaConfirmed,
    MediaInterrupted,
    Side,
)
from endpoint.legs.leg import LegSettings
from endpoint.media import messages as m
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.negotiation import G722, PCMA, PCMU, TELEPHONE_EVENT
from signaling.user_agent import Confirmed, InfoReceived, Refreshed, Reinvited
from tests.unit.endpoint.legs.fakes import (
    WAIT_S,
    Desk,
    FakeSession,
    browser,
    direction_in,
    far_answer,
    far_offer,
    ice_in,
)

pytestmark = pytest.mark.unit


@dataclass
class Call:
    desk: Desk
    session: FakeSession
    leg: LegId

    async def offer(self) -> bytes:
        """The next re-INVITE that the leg sends."""
        async with asyncio.timeout(WAIT_S):
            return await self.session.offers.get()

    def answer(self, status: int, sdp: bytes | None = None) -> None:
        self.session.answers.put_nowait((status, sdp))

    @property
    def port(self) -> m.PortName:
        return self.desk.media.all(m.OpenRtpPort)[-1].port

    @property
    def remote(self) -> m.SetRemote:
        return self.desk.media.all(m.SetRemote)[-1]


@pytest.fixture
async def call(desk: Desk) -> Call:
    """A call that was answered, both ways open."""
    session = FakeSession(sdp=far_offer())
    return Call(desk, session, await desk.answered(session))


def names_in(sdp: bytes) -> list[str]:
    codecs = SessionDescription.parse(sdp).media[0].codecs
    return [codec.encoding for codec in codecs if codec.encoding != TELEPHONE_EVENT]


async def test_hold_and_resume(call: Call) -> None:
    _, first = await call.session.until("accept")
    call.desk.exchange.hold(call.leg)
    offer = await call.offer()
    assert direction_in(offer) is Direction.SENDONLY
    call.answer(200, far_answer(offer))
    assert await call.desk.next() == FarEndHold(call.leg, True, True, 200)
    assert (call.remote.sending, call.remote.receiving) == (True, False)
    call.desk.exchange.resume(call.leg)
    again = await call.offer()
    assert direction_in(again) is Direction.SENDRECV
    call.answer(200, far_answer(again))
    assert await call.desk.next() == FarEndHold(call.leg, False, True, 200)
    assert (call.remote.sending, call.remote.receiving) == (True, True)
    origins = [SessionDescription.parse(sdp).origin for sdp in (first, offer, again)]
    assert [origin.version for origin in origins] == [1, 2, 3]
    assert len({origin.session_id for origin in origins}) == 1


@pytest.mark.parametrize("status", [488, 408, 481, 503])
async def test_a_hold_that_is_refused_is_told_and_stands_on_our_side(
    call: Call, status: int
) -> None:
    call.desk.exchange.hold(call.leg)
    await call.offer()
    call.answer(status)
    assert await call.desk.next() == FarEndHold(call.leg, True, False, status)
    assert len(call.desk.media.all(m.SetRemote)) == 1
    call.session.tell(Reinvited(far_offer()))
    _, answer = await call.session.until("answer_reinvite")
    assert direction_in(answer) is Direction.SENDONLY


async def test_an_answer_to_hold_that_can_not_be_used_is_no_hold(call: Call) -> None:
    call.desk.exchange.hold(call.leg)
    await call.offer()
    call.answer(200, b"nonsense")
    assert await call.desk.next() == FarEndHold(call.leg, True, False, 488)


async def test_hold_and_resume_at_once_are_offered_one_after_the_other(call: Call) -> None:
    call.desk.exchange.hold(call.leg)
    call.desk.exchange.resume(call.leg)
    first = await call.offer()
    assert call.session.offers.empty()
    call.answer(200, far_answer(first))
    second = await call.offer()
    call.answer(200, far_answer(second))
    assert await call.desk.next() == FarEndHold(call.leg, True, True, 200)
    assert await call.desk.next() == FarEndHold(call.leg, False, True, 200)
    assert call.remote.receiving


async def test_who_hangs_up_while_a_hold_waits_is_gone_at_once(call: Call) -> None:
    call.desk.exchange.hold(call.leg)
    await call.offer()
    call.session.end()
    assert await call.desk.next() == LegReleased(call.leg, Cause.NORMAL, Side.DEVICE)
    call.answer(481)
    await call.desk.settle()


async def test_hold_before_the_answer_is_not_accepted(desk: Desk) -> None:
    event = await desk.offered(FakeSession(sdp=far_offer()))
    desk.exchange.hold(event.leg)
    assert await desk.next() == FarEndHold(event.leg, True, False)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [(Direction.SENDONLY, Direction.RECVONLY), (Direction.INACTIVE, Direction.INACTIVE)],
)
async def test_the_phone_holds_and_retrieves(
    call: Call, offered: Direction, answered: Direction
) -> None:
    call.session.tell(Reinvited(far_offer(offered)))
    _, answer = await call.session.until("answer_reinvite")
    assert direction_in(answer) is answered
    assert await call.desk.next() == LegHeld(call.leg)
    assert not call.remote.sending
    call.session.did.clear()
    call.session.tell(Reinvited(far_offer()))
    _, answer = await call.session.until("answer_reinvite")
    assert direction_in(answer) is Direction.SENDRECV
    assert await call.desk.next() == LegRetrieved(call.leg)
    assert call.remote.sending


async def test_what_the_phone_changes_when_its_session_is_refreshed_is_done(call: Call) -> None:
    call.desk.exchange.hold(call.leg)
    offer = await call.offer()
    call.answer(200, far_answer(offer))
    assert await call.desk.next() == FarEndHold(call.leg, True, True, 200)
    before = len(call.desk.media.all(m.SetRemote))
    moved = far_answer(offer, rtp_port=30002)
    call.session.tell(Refreshed(offer, b"nonsense"))
    call.session.tell(Refreshed(offer, moved))
    call.session.tell(InfoReceived("application/dtmf-relay", b"Signal=5\r\nDuration=160"))
    assert await call.desk.next() == DigitDetected(call.leg, "5", 160, DigitKind.INFO)
    assert len(call.desk.media.all(m.SetRemote)) == before + 1
    assert call.remote.rtp_port == 30002


async def test_a_hold_that_the_phone_takes_back_was_none(call: Call) -> None:
    call.session.is_cancelled = True
    call.session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    await call.session.until("answer_reinvite")
    call.session.tell(InfoReceived("application/dtmf", b"5"))
    assert isinstance(await call.desk.next(), DigitDetected)
    assert call.remote.receiving
    assert call.remote.sending


async def test_a_phone_that_holds_is_asked_to_talk_and_says_whether_it_does(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    assert await call.desk.next() == LegHeld(call.leg)
    for answered, event in ((Direction.SENDONLY, LegHeld), (Direction.SENDRECV, LegRetrieved)):
        call.desk.exchange.resume(call.leg)
        offer = await call.offer()
        assert direction_in(offer) is Direction.SENDRECV
        call.answer(200, far_answer(offer, answered))
        assert await call.desk.next() == FarEndHold(call.leg, False, True, 200)
        assert await call.desk.next() == event(call.leg)


async def test_a_phone_that_holds_and_refuses_to_be_asked_holds_on(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    assert await call.desk.next() == LegHeld(call.leg)
    call.desk.exchange.resume(call.leg)
    await call.offer()
    call.answer(488)
    assert await call.desk.next() == FarEndHold(call.leg, False, False, 488)
    assert await call.desk.next() == LegHeld(call.leg)
    call.session.tell(Reinvited(far_offer()))
    assert await call.desk.next() == LegRetrieved(call.leg)


async def test_a_phone_that_answers_our_hold_with_inactive_does_not_hold_us(call: Call) -> None:
    call.desk.exchange.hold(call.leg)
    call.answer(200, far_answer(await call.offer(), Direction.INACTIVE))
    assert await call.desk.next() == FarEndHold(call.leg, True, True, 200)
    assert (call.remote.sending, call.remote.receiving) == (False, False)
    call.desk.exchange.resume(call.leg)
    call.answer(200, far_answer(await call.offer()))
    assert await call.desk.next() == FarEndHold(call.leg, False, True, 200)
    call.session.tell(InfoReceived("application/dtmf", b"1"))
    assert isinstance(await call.desk.next(), DigitDetected)


async def test_the_phone_holds_by_the_null_address(call: Call) -> None:
    call.session.tell(Reinvited(far_offer().replace(b"c=IN IP4 198.51.100.9", b"c=IN IP4 0.0.0.0")))
    assert await call.desk.next() == LegHeld(call.leg)
    assert call.remote.host == "198.51.100.9"
    assert not call.remote.sending


async def test_a_phone_that_moves_is_followed(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(host="203.0.113.5", rtp_port=40000)))
    await call.session.until("answer_reinvite")
    await call.desk.exchange.read_statistics(call.leg)
    assert (call.remote.host, call.remote.rtp_port) == ("203.0.113.5", 40000)


async def test_a_refresh_changes_nothing(call: Call) -> None:
    _, first = await call.session.until("accept")
    call.session.tell(Reinvited(far_offer()))
    _, answer = await call.session.until("answer_reinvite")
    assert answer == first


async def test_a_phone_that_offers_in_another_order_is_forwarded_on(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(codecs=(G722, PCMA, PCMU))))
    _, answer = await call.session.until("answer_reinvite")
    assert names_in(answer) == ["PCMU", "PCMA", "G722"]
    call.desk.exchange.hold(call.leg)
    assert names_in(await call.offer()) == ["PCMU", "PCMA"], "G.722 would be chosen"


async def test_what_is_spoken_stays_where_nobody_else_is_known(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(codecs=(PCMA,))))
    await call.session.until("answer_reinvite")
    call.session.did.clear()
    call.session.tell(Reinvited(far_offer(codecs=(PCMU, PCMA))))
    _, answer = await call.session.until("answer_reinvite")
    assert names_in(answer) == ["PCMA", "PCMU"]


async def test_an_offer_that_can_not_be_answered_leaves_the_call_as_it_is(call: Call) -> None:
    call.session.tell(Reinvited(b"v=0\r\no=- 9 2 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n"))
    assert await call.session.until("reject_reinvite") == ("reject_reinvite", 488)
    assert len(call.desk.media.all(m.SetRemote)) == 1
    said = '304 agent-endpoint "no audio is offered"'
    assert call.session.refused_with == [("Warning", said)]


async def test_a_re_invite_without_an_offer_gets_ours(call: Call) -> None:
    call.session.tell(Reinvited(None))
    _, offer = await call.session.until("answer_reinvite")
    call.session.tell(Confirmed(far_answer(offer, rtp_port=30008)))
    call.session.tell(InfoReceived("application/dtmf", b"1"))
    await call.desk.next()
    assert call.remote.rtp_port == 30008


async def test_digits_of_the_phone_by_either_way(call: Call) -> None:
    call.desk.media.tell(m.DigitReceived(port=call.port, digit="5", duration_ms=120))
    assert await call.desk.next() == DigitDetected(call.leg, "5", 120)
    call.session.tell(InfoReceived("application/dtmf-relay", b"Signal=#\r\nDuration=160"))
    assert await call.desk.next() == DigitDetected(call.leg, "#", 160, DigitKind.INFO)


async def test_digits_to_the_phone(call: Call) -> None:
    call.desk.exchange.send_digits(call.leg, "12#")
    call.desk.exchange.hold(call.leg)
    await call.offer()
    (asked,) = call.desk.media.all(m.SendDigits)
    assert (asked.port, asked.digits) == (call.port, "12#")
    call.desk.media.tell(m.DigitsSent(port=call.port, digits="12#"))
    assert await call.desk.next() == DigitsSent(call.leg, "12#")
    call.answer(200)


@pytest.mark.parametrize("digits", ["", "12x", "1 2"])
async def test_what_is_no_digit_is_not_sent(call: Call, digits: str) -> None:
    call.desk.exchange.send_digits(call.leg, digits)
    assert await call.desk.next() == DigitsSent(call.leg, "")
    assert not call.desk.media.all(m.SendDigits)


async def test_digits_that_the_media_plane_refuses_are_not_sent(call: Call) -> None:
    call.desk.media.refuse.add(m.SendDigits)
    call.desk.exchange.send_digits(call.leg, "1")
    assert await call.desk.next() == DigitsSent(call.leg, "")


async def test_the_first_packet_confirms_the_media_once(call: Call) -> None:
    call.desk.media.tell(m.FirstPacket(port=call.port))
    call.desk.media.tell(m.FirstPacket(port=call.port))
    call.desk.media.tell(m.DigitReceived(port=call.port, digit="1", duration_ms=100))
    assert await call.desk.next() == MediaConfirmed(call.leg)
    assert isinstance(await call.desk.next(), DigitDetected)


class TestLostBrowser:
    """Its network is lost; we have asked it to begin ICE anew."""

    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(goodbye_s=0.2, shutdown_timeout_s=0.0)

    @pytest.fixture
    async def call(self, desk: Desk) -> Call:
        session = FakeSession(sdp=far_offer(security=browser("AA")))
        leg = await desk.answered(session)
        port = desk.media.all(m.OpenWebRtcPort)[-1].port
        desk.media.tell(m.PortFailed(port, m.PortFailure.CONSENT_LOST))
        assert await desk.next() == MediaInterrupted(leg)
        return Call(desk, session, leg)

    @pytest.mark.parametrize("status", [200, 491])
    async def test_a_restart_of_its_own_that_comes_first_is_as_good(
        self, call: Call, status: int
    ) -> None:
        offer = await call.offer()
        call.session.tell(Reinvited(far_offer(security=browser("BB"))))
        await call.session.until("answer_reinvite")
        call.answer(status, far_answer(offer, security=browser("BB")))
        call.desk.exchange.hold(call.leg)
        held = await call.offer()
        call.answer(200, far_answer(held, security=browser("BB")))
        assert await call.desk.next() == FarEndHold(call.leg, True, True, 200)

    async def test_an_offer_of_its_own_that_comes_first_is_answered_and_it_is_asked_again(
        self, call: Call
    ) -> None:
        _, first = await call.session.until("accept")
        offer = await call.offer()
        call.session.tell(Reinvited(far_offer(Direction.SENDONLY, security=browser("AA"))))
        _, answer = await call.session.until("answer_reinvite")
        assert ice_in(answer) == ice_in(first) != ice_in(offer)
        assert await call.desk.next() == LegHeld(call.leg)
        call.answer(200, far_answer(offer, security=browser("AA")))
        again = await call.offer()
        assert ice_in(again) not in (ice_in(first), ice_in(offer))
        call.answer(200, far_answer(again, security=browser("BB")))

    async def test_who_begins_anew_after_its_old_audio_was_closed_has_not_gone(
        self, call: Call
    ) -> None:
        await call.offer()
        port = call.desk.media.all(m.OpenWebRtcPort)[-1].port
        call.desk.media.tell(m.PortFailed(port, m.PortFailure.CLOSED))
        call.session.tell(InfoReceived("application/dtmf", b"5"))
        assert isinstance(await call.desk.next(), DigitDetected)
        call.session.tell(Reinvited(far_offer(security=browser("BB"))))
        await call.session.until("answer_reinvite")
        call.answer(491)
        later = InfoReceived("application/dtmf", b"6")
        asyncio.get_running_loop().call_later(0.4, call.session.tell, later)
        assert isinstance(await call.desk.next(), DigitDetected), "it was released"

    async def test_without_a_new_way_it_is_released(self, call: Call) -> None:
        offer = await call.offer()
        call.answer(200, far_answer(offer, security=browser("AA")))
        released = await call.desk.next()
        assert isinstance(released, LegReleased)
        assert released.cause is Cause.MEDIA_TIMEOUT


async def test_silence_ends_the_leg(call: Call) -> None:
    call.desk.media.tell(m.MediaTimedOut(port=call.port))
    released = await call.desk.next()
    assert isinstance(released, LegReleased)
    assert (released.cause, released.released_by) == (Cause.MEDIA_TIMEOUT, Side.ENDPOINT)
    assert call.session.did[-1] == ("hang_up", 408, 102)


async def test_silence_of_a_held_phone_is_no_fault(call: Call) -> None:
    call.session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    assert await call.desk.next() == LegHeld(call.leg)
    call.desk.media.tell(m.MediaTimedOut(port=call.port))
    call.desk.media.tell(m.DigitReceived(port=call.port, digit="1", duration_ms=100))
    assert isinstance(await call.desk.next(), DigitDetected)


async def test_a_lost_worker_ends_every_leg_and_new_ones_work(call: Call) -> None:
    desk = call.desk
    lost = {leg for leg in desk.media.open_ports if not leg.startswith("sound.")}
    assert lost == {call.port}
    asked = len(desk.media.asked)
    desk.media.die("killed")
    released = await desk.next()
    assert released == LegReleased(call.leg, Cause.MEDIA_LOST, Side.ENDPOINT, text="killed")
    assert call.session.did[-1] == ("hang_up", 500, 41)
    desk.server.offered.put(FakeSession(sdp=far_offer()))
    assert isinstance(await desk.next(), LegOffered)
    # Sounds outlive it, and what is gone need not be closed.
    assert not any(isinstance(a, m.OpenPlayer | m.ClosePort) for a in desk.media.asked[asked:])


class TestShortWaits:
    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(reinvite_timeout_s=0.01, shutdown_timeout_s=0.0)

    async def test_a_re_invite_that_nobody_answers_has_an_outcome(self, call: Call) -> None:
        call.desk.exchange.hold(call.leg)
        assert await call.desk.next() == FarEndHold(call.leg, True, False, 408)
