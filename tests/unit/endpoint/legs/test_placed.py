"""Legs that we place: one phone, several phones, no phone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitDetected,
    FarEndHold,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegId,
    LegReleased,
    LegRole,
    PlaceLeg,
    Side,
)
from endpoint.legs.leg import LegSettings
from endpoint.media import messages as m
from signaling.errors import CertificateRefused, TransportError
from signaling.sdp.description import Direction
from signaling.user_agent import Answered, InfoReceived, Progress, Reinvited
from tests.unit.endpoint.legs.fakes import (
    BROWSERS_FLOW,
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

LEG = LegId("b")


def place(device: str = "10086", *, calling: str = "6001", **facts: Any) -> PlaceLeg:
    return PlaceLeg(
        leg=LEG,
        interaction=InteractionId("i"),
        device=DeviceId(device),
        role=LegRole.LINE,
        calling=DeviceId(calling),
        **facts,
    )


async def ringing(desk: Desk, **facts: Any) -> FakeSession:
    """A leg that rings at one phone."""
    desk.server.add_phone("10086")
    desk.exchange.place(place(**facts))
    session = await desk.session()
    session.tell(Progress(180, "Ringing"))
    assert await desk.next() == LegAlerting(LEG)
    return session


def offer_of(session: FakeSession) -> bytes:
    assert session.invitation is not None
    assert session.invitation.sdp is not None
    return session.invitation.sdp


async def test_a_phone_rings_and_answers(desk: Desk) -> None:
    session = await ringing(desk, calling_name="Agent\r\nEvil: 1")
    assert session.invitation is not None
    assert str(session.invitation.target) == "sip:10086@198.51.100.9"
    assert str(session.invitation.to) == "<sip:10086@example.test>"
    assert str(session.invitation.from_) == '"AgentEvil: 1" <sip:6001@example.test>'
    assert not session.invitation.headers
    session.tell(Answered(far_answer(offer_of(session))))
    assert await desk.next() == LegAnswered(LEG)
    (opened,) = desk.media.all(m.OpenRtpPort)
    (remote,) = desk.media.all(m.SetRemote)
    assert (remote.port, remote.host, remote.rtp_port) == (opened.port, "198.51.100.9", 30000)
    assert [codec.encoding for codec in remote.send] == ["PCMU", "PCMA", "TELEPHONE-EVENT"]
    assert remote.sending
    assert remote.receiving
    session.end()
    assert await desk.next() == LegReleased(LEG, Cause.NORMAL, Side.DEVICE)
    await desk.settle()


async def test_a_phone_of_ours_is_shown_who_is_transferred_to_it(desk: Desk) -> None:
    facts = {"calling": "900", "calling_name": "Customer", "on_behalf_of": DeviceId("+4989123")}
    session = await ringing(desk, **facts)
    assert session.invitation is not None
    assert str(session.invitation.from_) == '"Customer" <sip:+4989123@example.test>'
    desk.exchange.release(LEG, Cause.CANCELLED)
    assert await desk.next() == LegReleased(LEG, Cause.CANCELLED, Side.ENDPOINT)


async def test_the_port_is_open_before_the_phone_rings(desk: Desk) -> None:
    session = await ringing(desk)
    (opened,) = desk.media.all(m.OpenRtpPort)
    assert "m=audio 20000 RTP/AVP" in offer_of(session).decode()
    assert opened.rtp_timeout_s == 30.0
    desk.exchange.release(LEG, Cause.CANCELLED)
    assert await session.until("hang_up") == ("hang_up", 487, 16)
    assert await desk.next() == LegReleased(LEG, Cause.CANCELLED, Side.ENDPOINT)
    assert opened.port not in desk.media.open_ports
    await desk.settle()


@pytest.mark.parametrize(
    ("status", "cause"), [(486, Cause.BUSY), (603, Cause.DECLINED), (480, Cause.NO_ANSWER)]
)
async def test_a_phone_refuses(desk: Desk, status: int, cause: Cause) -> None:
    session = await ringing(desk)
    session.end(status=status, reason_text="No")
    assert await desk.next() == LegReleased(LEG, cause, Side.DEVICE, status, None, "No")
    await desk.settle()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TransportError("refused"), Cause.UNREACHABLE),
        (CertificateRefused("expired"), Cause.CERTIFICATE_REFUSED),
    ],
)
async def test_the_way_to_the_phone_fails(desk: Desk, error: TransportError, cause: Cause) -> None:
    desk.server.add_phone("10086")
    desk.exchange.place(place())
    (await desk.session()).end(status=503, reason_text=str(error), error=error)
    assert await desk.next() == LegReleased(LEG, cause, Side.NETWORK, 503, None, str(error))
    await desk.settle()


@pytest.mark.parametrize(
    ("device", "cause", "status"),
    [("6002", Cause.NOT_REGISTERED, 480), ("nobody", Cause.UNKNOWN_DEVICE, 404)],
)
async def test_a_device_without_a_phone(desk: Desk, device: str, cause: Cause, status: int) -> None:
    desk.exchange.place(place(device))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert (released.cause, released.sip_status) == (cause, status)
    assert not desk.media.all(m.OpenRtpPort)
    await desk.settle()


async def test_all_phones_ring_and_the_first_answer_wins(desk: Desk) -> None:
    desk.server.add_phone("10086", "198.51.100.8")
    first = await ringing(desk)
    second = await desk.session()
    opened = desk.media.all(m.OpenRtpPort)
    assert [offer_of(each).count(b"m=audio") for each in (first, second)] == [1, 1]
    assert offer_of(first) != offer_of(second)
    second.tell(Answered(far_answer(offer_of(second), rtp_port=30002)))
    assert await desk.next() == LegAnswered(LEG)
    assert first.did == [("hang_up", 487, 16)]
    remote = desk.media.all(m.SetRemote)[-1]
    assert (remote.port, remote.rtp_port) == (opened[1].port, 30002)
    assert opened[0].port not in desk.media.open_ports
    first.tell(Answered(far_answer(offer_of(first))))  # crossed our CANCEL: the stack ends it
    second.end()
    assert isinstance(await desk.next(), LegReleased)
    await desk.settle()
    assert len(desk.media.all(m.SetRemote)) == 1


async def test_the_refusal_that_says_most_is_told_when_all_have_refused(desk: Desk) -> None:
    desk.server.add_phone("10086", "198.51.100.8")
    first = await ringing(desk)
    second = await desk.session()
    first.end(status=486, reason_text="Busy Here")
    second.end(status=503, reason_text="Broken")
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert (released.cause, released.sip_status) == (Cause.BUSY, 486)
    await desk.settle()


async def test_one_phone_declines_for_all(desk: Desk) -> None:
    desk.server.add_phone("10086", "198.51.100.8")
    first = await ringing(desk)
    second = await desk.session()
    first.end(status=603, reason_text="Decline")
    await second.until("hang_up")
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.DECLINED
    await desk.settle()


async def test_early_media_is_heard_and_its_answer_stands(desk: Desk) -> None:
    desk.server.add_phone("10086")
    desk.exchange.place(place())
    session = await desk.session()
    answer = far_answer(offer_of(session))
    session.tell(Progress(183, "Session Progress", answer))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    assert len(desk.media.all(m.SetRemote)) == 1
    session.tell(Answered(answer))
    assert await desk.next() == LegAnswered(LEG)
    assert len(desk.media.all(m.SetRemote)) == 2
    session.end()
    await desk.next()
    await desk.settle()


async def test_who_answers_may_be_another_browser_than_was_heard_early(desk: Desk) -> None:
    """A proxy rang two by our one offer; ICE begins anew with the one that answered."""
    desk.server.add_phone("10086", flow=BROWSERS_FLOW)
    desk.exchange.place(place())
    session = await desk.session()
    early, answer = (far_answer(offer_of(session), security=browser(o)) for o in ("AA", "BB"))
    session.tell(Progress(183, "Session Progress", early))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    session.tell(Answered(answer))
    assert await desk.next() == LegAnswered(LEG)
    async with asyncio.timeout(WAIT_S):
        offer = await session.offers.get()
    assert ice_in(offer) != ice_in(offer_of(session))
    session.answers.put_nowait((200, far_answer(offer, security=browser("BB"))))
    session.tell(Reinvited(far_offer(security=browser("BB"))))
    await session.until("answer_reinvite")
    heard, *_, talking = desk.media.all(m.SetWebRtcRemote)
    assert (heard.ufrag, talking.ufrag) == ("farAA", "farBB")
    session.end()
    assert isinstance(await desk.next(), LegReleased)
    await desk.settle()


async def test_early_media_may_be_offered_anew_while_the_phone_rings(desk: Desk) -> None:
    """By UPDATE; the answer to it stands when the phone is picked up."""
    session = await ringing(desk)
    early = far_answer(offer_of(session))
    session.tell(Progress(183, "Session Progress", early, fork="a"))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    moved = far_offer(rtp_port=30002)
    session.tell(Reinvited(moved, fork="a"))
    _, answer, fork = await session.until("answer_reinvite")
    assert (direction_in(answer), fork) == (Direction.SENDRECV, "a")
    session.tell(Answered(moved, fork="a"))
    assert await desk.next() == LegAnswered(LEG)
    assert [remote.rtp_port for remote in desk.media.all(m.SetRemote)] == [30000, 30002]


async def test_another_far_end_may_answer_than_offered_anew(desk: Desk) -> None:
    session = await ringing(desk)
    session.tell(Progress(183, "Session Progress", far_answer(offer_of(session)), fork="a"))
    session.tell(Reinvited(far_offer(rtp_port=30002), fork="a"))
    session.tell(Answered(far_answer(offer_of(session), rtp_port=30004), fork="b"))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    assert await desk.next() == LegAnswered(LEG)
    assert [remote.rtp_port for remote in desk.media.all(m.SetRemote)] == [30000, 30002, 30004]


async def test_an_offer_of_a_phone_that_rings_may_be_of_no_use(desk: Desk) -> None:
    session = await ringing(desk)
    session.tell(Reinvited(far_offer(codecs=()), fork="a"))
    assert await session.until("reject_reinvite") == ("reject_reinvite", 488, "a")
    session.tell(Answered(far_answer(offer_of(session)), fork="a"))
    assert await desk.next() == LegAnswered(LEG)


async def test_a_phone_that_rings_with_early_media_can_be_held_where_it_takes_update(
    desk: Desk,
) -> None:
    session = await ringing(desk)
    session.tell(Progress(183, "Session Progress", far_answer(offer_of(session))))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    desk.exchange.hold(LEG)
    assert await desk.next() == FarEndHold(LEG, True, accepted=False)
    session.takes_update = True
    desk.exchange.hold(LEG)
    async with asyncio.timeout(WAIT_S):
        offer = await session.offers.get()
    assert direction_in(offer) is Direction.SENDONLY
    session.answers.put_nowait((200, far_answer(offer)))
    assert await desk.next() == FarEndHold(LEG, True, accepted=True, sip_status=200)


async def test_when_the_phone_that_is_heard_refuses_the_next_one_is_heard_or_ring_back(
    desk: Desk,
) -> None:
    for host in ("198.51.100.7", "198.51.100.8", "198.51.100.9"):
        desk.server.add_phone("10086", host)
    desk.exchange.place(place())
    first, second, third = [await desk.session() for _ in range(3)]
    first.tell(Progress(183, "Session Progress", far_answer(offer_of(first))))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    second.tell(Progress(183, "Progress", far_answer(offer_of(second), rtp_port=30002)))
    third.tell(Progress(180, "Ringing"))
    first.end(status=486)
    assert await desk.next() == LegAlerting(LEG)
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    assert desk.media.all(m.SetRemote)[-1].rtp_port == 30002
    second.end(status=486)
    assert await desk.next() == LegAlerting(LEG)
    third.tell(Answered(far_answer(offer_of(third), rtp_port=30004)))
    assert await desk.next() == LegAnswered(LEG)
    assert desk.media.all(m.SetRemote)[-1].rtp_port == 30004


async def test_a_phone_rung_anew_is_not_heard_until_it_answers(desk: Desk) -> None:
    session = await ringing(desk)
    session.tell(Progress(183, "Session Progress", far_answer(offer_of(session))))
    assert await desk.next() == LegAlerting(LEG, early_media=True)
    desk.exchange.answer(LEG)
    assert await desk.next() == LegAlerting(LEG)


@pytest.mark.parametrize("sdp", [None, b"nonsense", far_offer(codecs=())])
async def test_an_answer_that_can_not_be_used_ends_the_leg(desk: Desk, sdp: bytes | None) -> None:
    session = await ringing(desk)
    session.tell(Answered(sdp))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert (released.cause, released.released_by) == (Cause.INCOMPATIBLE_MEDIA, Side.ENDPOINT)
    assert session.did == [("hang_up", 488, 88)]
    await desk.settle()


async def test_a_station_is_asked_to_pick_up_by_itself(desk: Desk) -> None:
    session = await ringing(desk, auto_answer=True)
    assert session.invitation is not None
    headers = dict(session.invitation.headers)
    assert headers["Call-Info"].endswith(";answer-after=0")
    assert "info=alert-autoanswer" in headers["Alert-Info"]
    session.end(status=486)
    await desk.next()
    await desk.settle()


async def test_to_pick_up_a_phone_it_is_rung_anew(desk: Desk) -> None:
    first = await ringing(desk)
    desk.exchange.answer(LEG)
    second = await desk.session()
    assert first.did == [("hang_up", 487, 16)]
    assert second.invitation is not None
    assert dict(second.invitation.headers)["Answer-Mode"] == "Auto"
    first_port, second_port = [opened.port for opened in desk.media.all(m.OpenRtpPort)]
    assert first_port not in desk.media.open_ports
    assert second_port in desk.media.open_ports
    second.tell(Progress(180, "Ringing"))
    second.tell(Answered(far_answer(offer_of(second))))
    assert await desk.next() == LegAnswered(LEG)
    second.end()
    await desk.next()
    await desk.settle()


async def test_a_media_plane_without_ports_refuses_the_leg(desk: Desk) -> None:
    desk.media.refuse.add(m.OpenRtpPort)
    desk.server.add_phone("10086")
    desk.exchange.place(place())
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.OVERLOAD
    assert desk.server.sessions.empty()
    await desk.settle()
    desk.media.asked = [c for c in desk.media.asked if not isinstance(c, m.OpenRtpPort)]


async def test_a_phone_for_which_no_port_opens_leaves_the_others_to_ring(desk: Desk) -> None:
    """As where a browser's port needs a TURN server that is dead."""
    desk.media.refuse.add(m.OpenWebRtcPort)
    desk.server.add_phone("10086", flow=BROWSERS_FLOW)
    session = await ringing(desk)
    session.end(status=486)
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.BUSY
    await desk.settle()
    desk.media.asked = [c for c in desk.media.asked if not isinstance(c, m.OpenWebRtcPort)]


async def test_early_media_that_the_media_plane_refuses_is_not_heard(desk: Desk) -> None:
    desk.media.refuse.add(m.SetRemote)
    session = await ringing(desk)
    session.tell(Progress(183, "Session Progress", far_answer(offer_of(session))))
    session.tell(Progress(180, "Ringing"))
    session.end(status=486)
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.BUSY
    await desk.settle()


async def test_an_address_that_the_media_plane_refuses_ends_the_leg(desk: Desk) -> None:
    desk.media.refuse.add(m.SetRemote)
    session = await ringing(desk)
    session.tell(Answered(far_answer(offer_of(session))))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.INCOMPATIBLE_MEDIA
    assert session.did == [("hang_up", 488, 88)]
    await desk.settle()


class TestShortWaits:
    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(ring_timeout_s=0.2, shutdown_timeout_s=0.0)

    async def test_nobody_picks_up(self, desk: Desk) -> None:
        session = await ringing(desk)
        released = await desk.next()
        assert isinstance(released, LegReleased)
        assert (released.cause, released.released_by) == (Cause.NO_ANSWER, Side.ENDPOINT)
        assert session.did == [("hang_up", 480, 19)]
        await desk.settle()

    async def test_an_answer_stands_whose_port_is_set_while_the_deadline_passes(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = await ringing(desk)
        at_once = desk.media.request

        async def slow(command: Any) -> Any:
            if isinstance(command, m.SetRemote):
                loop = asyncio.get_running_loop()
                passed = loop.create_future()
                loop.call_later(0.4, passed.set_result, None)
                await passed
            return await at_once(command)

        monkeypatch.setattr(desk.media, "request", slow)
        session.tell(Answered(far_answer(offer_of(session))))
        assert await desk.next() == LegAnswered(LEG)
        session.tell(InfoReceived("application/dtmf", b"1"))
        assert isinstance(await desk.next(), DigitDetected)


async def test_a_phone_is_asked_to_ring_first_and_may_be_picked_up_sooner(desk: Desk) -> None:
    first = await ringing(desk, auto_answer=True, answer_after_s=5.0)
    assert first.invitation is not None
    headers = dict(first.invitation.headers)
    assert headers["Call-Info"].endswith(";answer-after=5")
    assert headers["Alert-Info"].endswith(";delay=5")
    assert "Answer-Mode" not in headers
    desk.exchange.answer(LEG)
    second = await desk.session()
    assert second.invitation is not None
    assert dict(second.invitation.headers)["Answer-Mode"] == "Auto"
    second.end(status=486)
    await desk.next()
    await desk.settle()
