"""Calls that come in: from a phone of ours, from a trunk, with and without an offer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from endpoint.errors import ConfigurationError
from endpoint.legs.base import (
    Cause,
    DeviceId,
    InteractionId,
    LegAnswered,
    LegHeld,
    LegId,
    LegOffered,
    LegReleased,
    LegRole,
    Side,
)
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import AutoAnswer, LegSettings
from endpoint.media import messages as m
from signaling.sdp.description import Direction
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.message import Headers
from signaling.user_agent import Confirmed, EarlyAnswer
from tests.unit.endpoint.legs.fakes import (
    Desk,
    FakeMedia,
    FakeServer,
    FakeSession,
    direction_in,
    far_answer,
    far_offer,
)

pytestmark = pytest.mark.unit


async def test_a_phone_of_ours_dials(desk: Desk) -> None:
    session = FakeSession(caller="6001", called="10086", sdp=far_offer(), user="6001")
    event = await desk.offered(session)
    assert (event.calling, event.called, event.role) == ("6001", "10086", LegRole.STATION)
    desk.exchange.alert(event.leg)
    await session.until("ring")
    desk.exchange.answer(event.leg)
    _, answer = await session.until("accept")
    assert direction_in(answer) is Direction.SENDRECV
    (remote,) = desk.media.all(m.SetRemote)
    assert remote.rtp_port == 30000
    session.tell(Confirmed())
    assert await desk.next() == LegAnswered(event.leg)
    desk.exchange.release(event.leg, Cause.NORMAL)
    assert await desk.next() == LegReleased(event.leg, Cause.NORMAL, Side.ENDPOINT)
    assert session.did[-1] == ("hang_up", 480, 16)
    await desk.settle()


async def test_a_caller_hears_what_rings_and_its_answer_is_the_same(desk: Desk) -> None:
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    desk.exchange.alert(event.leg)
    desk.exchange.alert(event.leg, early_media=True)
    desk.exchange.answer(event.leg)
    _, answer = await session.until("accept")
    assert session.did == [("ring",), ("ring", answer), ("accept", answer)]
    (remote,) = desk.media.all(m.SetRemote)
    assert remote.rtp_port == 30000
    session.tell(Confirmed())
    assert await desk.next() == LegAnswered(event.leg)


async def test_a_caller_without_an_offer_hears_nothing_that_it_does_not_acknowledge(
    desk: Desk,
) -> None:
    """RFC 3261 §13.2.1: an offer of ours must not get lost."""
    session = FakeSession(sdp=None)
    event = await desk.offered(session)
    desk.exchange.alert(event.leg, early_media=True)
    await session.until("ring")
    assert session.did == [("ring",)]


async def test_somebody_outside_calls(desk: Desk) -> None:
    session = FakeSession(caller="95588", called="6001", sdp=far_offer())
    event = await desk.offered(session)
    assert (event.calling, event.called, event.role) == ("95588", "6001", LegRole.LINE)
    assert event.interaction != (await desk.offered(FakeSession(sdp=far_offer()))).interaction


async def test_the_caller_gives_up(desk: Desk) -> None:
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    session.end(status=487, reason_text="Request Terminated")
    released = await desk.next()
    assert released == LegReleased(
        event.leg, Cause.CANCELLED, Side.DEVICE, 487, None, "Request Terminated"
    )
    await desk.settle()


@pytest.mark.parametrize(
    ("cause", "status", "q850"),
    [(Cause.BUSY, 486, 17), (Cause.DECLINED, 603, 21), (Cause.UNKNOWN_DEVICE, 404, 1)],
)
async def test_a_refusal_says_its_cause(desk: Desk, cause: Cause, status: int, q850: int) -> None:
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    desk.exchange.release(event.leg, cause)
    assert await session.until("hang_up") == ("hang_up", status, q850)
    assert await desk.next() == LegReleased(event.leg, cause, Side.ENDPOINT)
    await desk.settle()


async def test_who_never_confirms_our_answer_could_not_be_reached(desk: Desk) -> None:
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    desk.exchange.answer(event.leg)
    await session.until("accept")
    session.end(status=408, reason_text="no ACK")
    over = LegReleased(event.leg, Cause.UNREACHABLE, Side.NETWORK, 408, text="no ACK")
    assert await desk.next() == over
    await desk.settle()


@pytest.mark.parametrize(
    ("sdp", "warning"),
    [
        (b"nonsense", "399 "),
        (far_offer().replace(b"RTP/AVP", b"RTP/SAVP"), "399 "),
        (far_offer(codecs=()), "305 "),
    ],
)
async def test_audio_that_can_not_be_answered_is_refused_and_nobody_is_told(
    desk: Desk, sdp: bytes, warning: str
) -> None:
    session = FakeSession(sdp=sdp)
    desk.server.offered.put(session)
    assert await session.until("hang_up") == ("hang_up", 488, None)
    ((name, said),) = session.refused_with
    assert (name, said[:4]) == ("Warning", warning)
    await desk.settle()
    await desk.offered(FakeSession(sdp=far_offer()))


async def test_without_a_port_a_call_is_refused(desk: Desk) -> None:
    desk.media.refuse.add(m.OpenRtpPort)
    session = FakeSession(sdp=far_offer())
    desk.server.offered.put(session)
    assert await session.until("hang_up") == ("hang_up", 503, None)
    await desk.settle()
    desk.media.asked = [c for c in desk.media.asked if not isinstance(c, m.OpenRtpPort)]


async def test_a_call_to_nobody_is_refused(desk: Desk) -> None:
    session = FakeSession(called="", sdp=far_offer())
    desk.server.offered.put(session)
    assert await session.until("hang_up") == ("hang_up", 404, None)


async def test_an_invite_without_an_offer_gets_ours_and_answers_in_its_ack(desk: Desk) -> None:
    session = FakeSession(sdp=None)
    event = await desk.offered(session)
    desk.exchange.answer(event.leg)
    _, offer = await session.until("accept")
    assert not desk.media.all(m.SetRemote)
    session.tell(Confirmed(far_answer(offer)))
    assert await desk.next() == LegAnswered(event.leg)
    assert len(desk.media.all(m.SetRemote)) == 1
    session.end()
    await desk.next()
    await desk.settle()


async def test_a_caller_that_acknowledges_ringing_gets_our_offer_with_it(desk: Desk) -> None:
    """The INVITE held none, and the first that is sent reliably must have it."""
    session = FakeSession(sdp=None, rings_reliably=True)
    event = await desk.offered(session)
    desk.exchange.alert(event.leg)
    _, offer = await session.until("ring")
    session.tell(EarlyAnswer(far_answer(offer)))
    desk.exchange.answer(event.leg)
    assert await session.until("accept") == ("accept", offer)
    assert len(desk.media.all(m.SetRemote)) == 1
    session.tell(Confirmed())
    assert await desk.next() == LegAnswered(event.leg)
    session.end()
    await desk.next()
    await desk.settle()


async def test_a_caller_that_acknowledges_without_its_answer_is_let_go(desk: Desk) -> None:
    session = FakeSession(sdp=None, rings_reliably=True)
    event = await desk.offered(session)
    desk.exchange.alert(event.leg)
    session.tell(EarlyAnswer(None))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.INCOMPATIBLE_MEDIA
    await desk.settle()


async def test_an_ack_without_the_answer_that_is_owed_ends_the_leg(desk: Desk) -> None:
    session = FakeSession(sdp=None)
    event = await desk.offered(session)
    desk.exchange.answer(event.leg)
    await session.until("accept")
    session.tell(Confirmed(None))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.INCOMPATIBLE_MEDIA
    await desk.settle()


async def test_a_caller_that_comes_on_hold_is_held_once_answered(desk: Desk) -> None:
    session = FakeSession(sdp=far_offer(Direction.INACTIVE))
    event = await desk.offered(session)
    desk.exchange.answer(event.leg)
    _, answer = await session.until("accept")
    assert direction_in(answer) is Direction.INACTIVE
    session.tell(Confirmed())
    assert await desk.next() == LegAnswered(event.leg)
    assert await desk.next() == LegHeld(event.leg)


async def test_commands_for_legs_that_are_not_there_do_nothing(desk: Desk) -> None:
    nobody = LegId("nobody")
    desk.exchange.alert(nobody)
    desk.exchange.answer(nobody)
    desk.exchange.hold(nobody)
    desk.exchange.resume(nobody)
    desk.exchange.send_digits(nobody, "1")
    desk.exchange.release(nobody, Cause.NORMAL)


async def test_an_answer_that_comes_after_the_caller_has_gone_is_no_fault(desk: Desk) -> None:
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    desk.exchange.answer(event.leg)
    session.end(status=487)
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.CANCELLED
    await desk.settle()


async def test_a_fault_in_one_leg_ends_that_leg_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await desk.offered(FakeSession(sdp=far_offer()))
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    monkeypatch.setattr(session, "ring", lambda: 1 / 0)
    desk.exchange.alert(event.leg)
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert (released.leg, released.cause) == (event.leg, Cause.PROTOCOL_ERROR)
    assert session.did == [("hang_up", 500, 111)]
    desk.exchange.release(other.leg, Cause.NORMAL)
    assert isinstance(await desk.next(), LegReleased)


async def test_a_far_end_that_can_not_be_told_is_told_of_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the end of the leg gets it, also where the stack fails at the farewell."""
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    with monkeypatch.context() as patch:
        patch.setattr(session, "hang_up", lambda status, q850: 1 / 0)
        desk.exchange.release(event.leg, Cause.NORMAL)
        assert await desk.next() == LegReleased(event.leg, Cause.NORMAL, Side.ENDPOINT)


async def test_a_failure_inside_the_exchange_is_not_wrapped() -> None:
    with pytest.raises(ConfigurationError):
        async with LegExchange(cast("Any", FakeServer()), cast("Any", FakeMedia())):
            raise ConfigurationError(["as it is"])


class TestClosing:
    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(shutdown_timeout_s=0.05)

    async def test_leaving_the_exchange_hangs_up(self, desk: Desk) -> None:
        session = FakeSession(sdp=far_offer())
        event = await desk.offered(session)
        await desk.close()
        assert session.did == [("hang_up", 480, 16)]
        assert await desk.next() == LegReleased(event.leg, Cause.NORMAL, Side.ENDPOINT)
        with pytest.raises(StopAsyncIteration):
            await desk.next()
        assert desk.media.open_ports == set()


WISH = (("Call-Info", "<sip:pbx.example>;answer-after=3"),)


class TestAutoAnswer:
    """Whose wish that a device picks up by itself is heard."""

    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        rules = {"6002": AutoAnswer.NEVER, "6003": AutoAnswer.ALWAYS}
        return LegSettings(domain="example.test", shutdown_timeout_s=0.0, auto_answer_devices=rules)

    @pytest.mark.parametrize(
        ("called", "user", "host", "after_s"),
        [
            ("6001", "6009", "192.0.2.9", 3.0),
            ("6001", None, "192.0.2.5", 3.0),
            ("6001", None, "192.0.2.9", None),
            ("6002", "6009", "192.0.2.9", None),
            ("8002", "6009", "192.0.2.9", None),
            ("6002-1", "6009", "192.0.2.9", None),
            ("6003", None, "192.0.2.9", 3.0),
        ],
        ids=["own device", "trusted", "somebody", "never", "an alias", "digits after", "always"],
    )
    async def test_it_is_heard_as_the_device_allows(
        self, desk: Desk, called: str, user: str | None, host: str, after_s: float | None
    ) -> None:
        desk.server.trusted.add("192.0.2.5")
        flow = Flow(TransportKind.UDP, host, 5060, "udp")
        session = FakeSession(called=called, sdp=far_offer(), user=user, flow=flow)
        session.request.headers = Headers(WISH)
        assert (await desk.offered(session)).answer_after_s == after_s

    async def test_nobody_else_waits_until_its_device_is_looked_up(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        is_free = asyncio.Event()

        async def locked(device: DeviceId) -> DeviceId | None:
            await is_free.wait()
            return device

        monkeypatch.setattr(desk.exchange, "_extension", locked)
        wishes, other = FakeSession(sdp=far_offer(), user="6009"), FakeSession(sdp=far_offer())
        wishes.request.headers = Headers(WISH)
        desk.server.offered.put(wishes)
        assert (await desk.offered(other)).answer_after_s is None
        is_free.set()
        event = await desk.next()
        assert isinstance(event, LegOffered)
        assert event.answer_after_s == 3.0


async def test_that_one_phone_was_called_is_forgotten_with_its_interaction(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its GRUU; also where its legs go over to another interaction."""
    monkeypatch.setattr(desk.server, "resolve", lambda uri: ("6001", "urn:uuid:1"))
    narrowed = desk.exchange._registrar._instances
    session = FakeSession(sdp=far_offer())
    event = await desk.offered(session)
    assert narrowed == {event.interaction: ("6001", "urn:uuid:1")}
    desk.exchange.move(event.leg, InteractionId("another"))
    assert narrowed == {}
