"""Stations without signalling."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitsSent,
    FarEndHold,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegId,
    LegReleased,
    LegRole,
    MediaConfirmed,
    PlaceLeg,
    Route,
    Side,
    Source,
)
from endpoint.legs.station import FileStation
from endpoint.media import messages as m
from tests.unit.endpoint.legs.fakes import Desk, FakeSession, far_offer

pytestmark = pytest.mark.unit

LEG = LegId("a")
CALL = InteractionId("i")
DEVICE = DeviceId("6001")


def place(*, auto_answer: bool = False) -> PlaceLeg:
    return PlaceLeg(LEG, CALL, DEVICE, LegRole.STATION, DeviceId("10086"), auto_answer=auto_answer)


async def test_a_station_picks_up_by_itself(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE, file="/speech.wav"))
    desk.exchange.place(place())
    assert await desk.next() == LegAlerting(LEG)
    assert await desk.next() == LegAnswered(LEG)
    assert await desk.next() == MediaConfirmed(LEG)
    (player,) = desk.media.all(m.OpenFilePlayer)
    assert (player.path, player.loop) == ("/speech.wav", True)
    desk.exchange.release(LEG, Cause.NORMAL)
    assert await desk.next() == LegReleased(LEG, Cause.NORMAL, Side.ENDPOINT)
    await desk.settle()


async def test_a_station_that_waits_is_answered_by_a_command(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE, answer_after_s=None))
    desk.exchange.place(place())
    assert await desk.next() == LegAlerting(LEG)
    desk.exchange.answer(LEG)
    assert await desk.next() == LegAnswered(LEG)


async def test_a_station_that_waits_picks_up_when_a_command_dials_for_it(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE, answer_after_s=None))
    desk.exchange.place(place(auto_answer=True))
    assert await desk.next() == LegAlerting(LEG)
    assert await desk.next() == LegAnswered(LEG)


async def test_a_station_takes_every_command(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE))
    desk.exchange.place(place())
    for _ in range(3):
        await desk.next()
    desk.exchange.hold(LEG)
    desk.exchange.resume(LEG)
    desk.exchange.send_digits(LEG, "1")
    desk.exchange.alert(LEG)
    assert await desk.next() == FarEndHold(LEG, True, True)
    assert await desk.next() == FarEndHold(LEG, False, True)
    assert await desk.next() == DigitsSent(LEG, "1")


async def test_a_station_is_heard_at_its_player_and_hears_at_its_sink(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE))
    desk.server.offered.put(FakeSession(sdp=far_offer()))
    other = (await desk.next()).leg
    desk.exchange.place(place())
    for _ in range(3):
        await desk.next()
    desk.exchange.set_routes(
        CALL, [Route(LEG, other), Route(other, LEG, -6.0), Route(Source.MUSIC_ON_HOLD, other)]
    )
    routes = desk.media.all(m.SetRoutes)[-1]
    (opened,) = desk.media.all(m.OpenRtpPort)
    (mouth,) = [each for each in desk.media.all(m.OpenPlayer) if each.port.startswith(LEG)]
    (ears,) = desk.media.all(m.OpenSink)
    assert routes.group == CALL
    assert [(route.source, route.sink, route.gain_db) for route in routes.routes] == [
        (mouth.port, opened.port, 0.0),
        (opened.port, ears.port, -6.0),
        ("sound.moh", opened.port, 0.0),
    ]


async def test_a_registered_phone_comes_before_the_station(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE))
    desk.server.add_phone(DEVICE)
    desk.exchange.place(place())
    session = await desk.session()
    session.end(status=486)
    await desk.next()


async def test_a_station_whose_file_is_missing_is_released_and_leaves_nothing(desk: Desk) -> None:
    desk.media.refuse.add(m.StartListening)
    desk.exchange.set_station(FileStation(DEVICE))
    desk.exchange.place(place())
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.UNREACHABLE
    await desk.settle()


async def test_a_station_rings_for_as_long_as_its_caller_asks(desk: Desk) -> None:
    desk.exchange.set_station(FileStation(DEVICE, answer_after_s=None))
    desk.exchange.place(replace(place(auto_answer=True), answer_after_s=0.05))
    assert await desk.next() == LegAlerting(LEG)
    assert await desk.next() == LegAnswered(LEG)
