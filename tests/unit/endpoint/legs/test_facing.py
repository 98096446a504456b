"""Where a leg's port is opened: near to that of whom it talks with."""

from __future__ import annotations

from typing import Any, cast

import pytest

from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegId,
    LegOffered,
    LegReleased,
    LegRole,
    MediaConfirmed,
    PlaceLeg,
)
from endpoint.legs.station import FileStation
from endpoint.media import messages as m
from tests.unit.endpoint.legs.fakes import Desk, FakeMedia, FakeSession, far_offer

pytestmark = pytest.mark.unit

PAGE = DeviceId("6003")
PROFILE = m.SrtpProfile.AES_CM_128_HMAC_SHA1_80


def place(leg: str, interaction: str, device: str, calling: str = "10086") -> PlaceLeg:
    return PlaceLeg(
        LegId(leg),
        InteractionId(interaction),
        DeviceId(device),
        LegRole.LINE,
        DeviceId(calling),
    )


async def offered(desk: Desk, called: str = "6001") -> LegOffered:
    return await desk.offered(FakeSession(called=called, sdp=far_offer()))


async def ring(desk: Desk, request: PlaceLeg) -> m.OpenRtpPort:
    """Place a leg; the port that it has opened then."""
    desk.server.add_phone(request.device)
    desk.exchange.place(request)
    await desk.session()
    return desk.media.all(m.OpenRtpPort)[-1]


async def end(desk: Desk, *legs: LegId) -> None:
    for leg in legs:
        desk.exchange.release(leg, Cause.NORMAL)
        assert isinstance(await desk.next(), LegReleased)


async def test_a_leg_is_opened_near_to_who_is_in_its_interaction(desk: Desk) -> None:
    caller = await offered(desk)
    (first,) = desk.media.all(m.OpenRtpPort)
    assert first.near == ""
    assert (await ring(desk, place("b", caller.interaction, "6001"))).near == first.port
    assert (await ring(desk, place("c", "another", "6002"))).near == ""
    await end(desk, caller.leg, LegId("b"), LegId("c"))


async def test_a_leg_that_was_moved_draws_others_near_where_it_is_now(desk: Desk) -> None:
    caller = await offered(desk)
    (first,) = desk.media.all(m.OpenRtpPort)
    desk.exchange.move(caller.leg, InteractionId("another"))
    assert (await ring(desk, place("b", caller.interaction, "6001"))).near == ""
    assert (await ring(desk, place("c", "another", "6002"))).near == first.port
    await end(desk, caller.leg, LegId("b"), LegId("c"))


async def test_a_station_without_a_phone_hears_near_to_who_is_there(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DeviceId("7000")))
    caller = await offered(desk)
    desk.exchange.place(place("b", caller.interaction, "7000"))
    kinds = [type(await desk.next()) for _ in range(3)]
    assert kinds == [LegAlerting, LegAnswered, MediaConfirmed]
    (first,), (sink,) = desk.media.all(m.OpenRtpPort), desk.media.all(m.OpenSink)
    assert sink.near == first.port
    await end(desk, caller.leg, LegId("b"))


async def test_who_calls_a_page_is_opened_near_to_its_audio(desk: Desk) -> None:
    """That was there before the call."""
    page = AudioEnd(cast("Any", FakeMedia()), "page", Protection.WEBRTC)
    await page.open(controlling=True)
    session, _ = await desk.exchange.browsers.open(PAGE, page.offer().serialise())
    desk.media.tell(m.PortConnected(session.id, PROFILE))
    assert isinstance(await desk.next(), DeviceRegistered)
    caller = await offered(desk, called=PAGE)
    assert desk.media.all(m.OpenRtpPort)[-1].near == session.id
    # And whom it calls, from when it is in the call.
    desk.exchange.place(place("a", "dialled", PAGE))
    assert isinstance(await desk.next(), LegAlerting)
    desk.exchange.answer(LegId("a"))
    assert isinstance(await desk.next(), LegAnswered)
    assert (await ring(desk, place("b", "dialled", "6002", calling=PAGE))).near == session.id
    await end(desk, caller.leg, LegId("a"), LegId("b"))
