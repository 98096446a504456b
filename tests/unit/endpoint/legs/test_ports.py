"""Routes and ports by the names of the legs."""

from __future__ import annotations

from typing import Any, cast

import pytest

from endpoint.errors import MediaError
from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.legs.base import InteractionId, LegId, Route, Source
from endpoint.legs.ports import LegPorts
from endpoint.media import messages as m
from tests.unit.endpoint.legs.fakes import FakeMedia

pytestmark = pytest.mark.unit

A, B = LegId("a"), LegId("b")
CALL = InteractionId("i")


@pytest.fixture
def media() -> FakeMedia:
    return FakeMedia()


@pytest.fixture
def ports(media: FakeMedia) -> LegPorts:
    return LegPorts(cast("Any", media))


async def open_port(ports: LegPorts, leg: LegId) -> m.PortName:
    end = await ports.open_end(leg, Protection.RTP, controlling=True, rtp_timeout_s=1.0)
    ports.use(leg, end)
    return end.port


def routed(media: FakeMedia) -> set[tuple[str, str]]:
    return {(route.source, route.sink) for route in media.all(m.SetRoutes)[-1].routes}


async def test_a_leg_that_opens_later_joins_its_routes(media: FakeMedia, ports: LegPorts) -> None:
    a = await open_port(ports, A)
    ports.set_routes(CALL, [Route(A, B), Route(B, A), Route(Source.RING_BACK, A)])
    assert routed(media) == {("sound.ringback", a)}
    b = await open_port(ports, B)
    assert routed(media) == {(a, b), (b, a), ("sound.ringback", a)}


async def test_a_leg_is_heard_at_the_end_that_it_uses(media: FakeMedia, ports: LegPorts) -> None:
    """Several phones of a device ring, each with an end; one of them sends early media."""
    ports.set_routes(CALL, [Route(A, B), Route(B, A)])
    b = await open_port(ports, B)
    first, second = [
        await ports.open_end(A, Protection.RTP, controlling=True, rtp_timeout_s=1.0)
        for _ in range(2)
    ]
    ports.use(A, first)
    assert routed(media) == {(first.port, b), (b, first.port)}
    ports.close_end(first)
    ports.close_end(first)
    ports.use(A, second)
    assert routed(media) == {(second.port, b), (b, second.port)}
    assert media.open_ports == {second.port, b}
    assert {ports.leg_of(end) for end in media.open_ports} == {A, B}


async def test_a_port_that_was_closed_is_in_no_route(media: FakeMedia, ports: LegPorts) -> None:
    await open_port(ports, A)
    b = await open_port(ports, B)
    ports.set_routes(CALL, [Route(A, B), Route(Source.BUSY, B)])
    ports.close(A)
    ports.close(A)
    assert media.open_ports == {b}
    assert ports.open_count == 1
    ports.set_routes(CALL, [Route(A, B), Route(Source.BUSY, B)])
    assert routed(media) == {("sound.busy", b)}


async def test_a_port_that_does_not_open_is_forgotten(media: FakeMedia, ports: LegPorts) -> None:
    media.refuse.add(m.OpenRtpPort)
    with pytest.raises(MediaError):
        await open_port(ports, A)
    assert ports.open_count == 0
    with pytest.raises(MediaError):
        await ports.read_statistics(A)


async def test_music_comes_from_a_file_where_there_is_one(media: FakeMedia) -> None:
    ports = LegPorts(cast("Any", media), music_file="/music.wav")
    await ports.open_sounds()
    (player,) = media.all(m.OpenFilePlayer)
    assert (player.port, player.path, player.loop) == ("sound.moh", "/music.wav", True)
    tones = {f"sound.{source}" for source in ("ringback", "busy", "notice", "silence")}
    assert {player.port for player in media.all(m.OpenPlayer)} == tones
    ports.close_sounds()
    assert media.open_ports == set()


async def test_ports_go_on_by_another_name_and_keep_nothing_of_the_old_one(
    media: FakeMedia, ports: LegPorts
) -> None:
    port = await open_port(ports, A)
    ports.set_routes(CALL, [Route(Source.RING_BACK, A)])
    await ports.start_recording(A, "/a.wav")
    ports.rename(A, B)
    assert media.asked[-2:] == [
        m.SetRoutes(group=CALL, routes=[]),
        m.StopRecording(recording=A),
    ]
    assert ports.leg_of(port) == B
    ports.set_routes(CALL, [Route(Source.RING_BACK, B)])
    assert media.asked[-1] == m.SetRoutes(group=CALL, routes=[m.RouteTo("sound.ringback", port)])
    ports.close(A)
    assert ports.open_count == 1
    ports.close(B)
    assert media.asked[-1] == m.ClosePort(port=port)


async def test_recording_goes_by_the_name_of_the_leg(media: FakeMedia, ports: LegPorts) -> None:
    port = await open_port(ports, A)
    await ports.start_recording(A, "/call.wav")
    (started,) = media.all(m.StartRecording)
    assert (started.recording, started.port, started.path) == ("a", port, "/call.wav")
    await ports.stop_recording(A)
    assert media.all(m.StopRecording)[0].recording == "a"
    await ports.read_heard(A, 300)
    assert media.all(m.ReadHeard)[0].last_ms == 300


async def test_a_lost_worker_leaves_nothing_to_close(media: FakeMedia, ports: LegPorts) -> None:
    port = await open_port(ports, A)
    assert ports.leg_of(port) == A
    b = await open_port(ports, B)
    assert ports.lose({port, "another"}) == [A]
    assert ports.leg_of(port) is None
    ports.close(A)
    assert not media.all(m.ClosePort)
    assert (ports.heard_at(A), ports.heard_at(B)) == ("", b)


async def test_an_end_that_outlives_the_leg_is_left_and_keeps_nothing_of_it(
    media: FakeMedia, ports: LegPorts
) -> None:
    end = AudioEnd(cast("Any", media), "browser", Protection.WEBRTC)
    await end.open(controlling=False)
    ports.use(A, end)
    b = await open_port(ports, B)
    ports.set_routes(CALL, [Route(A, B), Route(B, A)])
    assert routed(media) == {("browser", b), (b, "browser")}
    await ports.start_recording(A, "a.wav")
    await ports.read_heard(A, 400)
    ports.close(A)
    assert routed(media) == set()
    assert media.all(m.StopRecording) == [m.StopRecording(recording=A)]
    assert media.open_ports == {"browser", b}
    ports.use(B, end)
    await ports.read_heard(B, 400)
    assert media.all(m.StartListening) == [m.StartListening(port="browser")] * 2
