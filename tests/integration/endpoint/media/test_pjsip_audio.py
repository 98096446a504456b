"""A call's way through the bridge: what comes and goes as L16, and when nothing is passed on."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from endpoint.media.pjsip.audio import FRAME_OCTETS, FRAME_SAMPLES, Channel
from endpoint.media.pjsip.messages import PAYLOAD_TYPE
from endpoint.media.rtp import HEADER, RtpPacket, parse_rtp

if TYPE_CHECKING:
    from endpoint.media.pjsip.library import Library

pytestmark = pytest.mark.integration

CALL, SLOT = 0, 9


class Bridge:
    """The far end says what it hears, as long as its packets come."""

    def __init__(self) -> None:
        self.buffers: list[ctypes.Array[ctypes.c_char]] = []
        self.routes: set[tuple[int, int]] = set()
        self.packets = 0

    def source(self, buffer: ctypes.Array[ctypes.c_char]) -> int:
        self.buffers.append(buffer)
        return len(self.buffers)

    sink = source

    def connect(self, source: int, sink: int) -> None:
        self.routes.add((source, sink))

    def disconnect(self, source: int, sink: int) -> None:
        self.routes.discard((source, sink))

    def slot_of(self, call: int) -> int:
        return SLOT + call

    def packets_of(self, call: int) -> int:
        return self.packets

    def tick(self) -> None:
        played, kept = self.buffers
        kept.raw = played.raw


class Plane:
    """The media plane's end."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.sequence = 0

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def say(self, value: int, port: int, kind: int = PAYLOAD_TYPE) -> None:
        self.sequence += 1
        header = HEADER.pack(0x80, kind, self.sequence, 0, 1)
        audio = np.full(FRAME_SAMPLES, value, ">i2").tobytes()
        self.socket.sendto(header + audio, ("127.0.0.1", port))

    def hears(self) -> RtpPacket | None:
        try:
            return parse_rtp(memoryview(self.socket.recv(2048)))
        except BlockingIOError:
            return None


class Call:
    """A channel in a call, and what is at its ends."""

    def __init__(self, plane: Plane) -> None:
        self.bridge, self.plane = Bridge(), plane
        self.channel = Channel(cast("Library", self.bridge))
        self.port = self.channel.open("127.0.0.1")
        self.channel.face("127.0.0.1", plane.port)
        self.channel.join(CALL)

    def tick(self, *, far_end_sends: bool = True) -> RtpPacket | None:
        self.bridge.packets += far_end_sends
        self.channel.before_tick()
        self.bridge.tick()
        self.channel.after_tick()
        return self.plane.hears()


@pytest.fixture
def call() -> Iterator[Call]:
    plane = Plane()
    with plane.socket:
        made = Call(plane)
        yield made
        made.channel.close()


def sample(packet: RtpPacket | None) -> int:
    assert packet is not None
    assert len(packet.payload) == FRAME_OCTETS
    return int(np.frombuffer(packet.payload, ">i2")[0])


def test_audio_goes_both_ways_in_its_order(call: Call) -> None:
    assert call.bridge.routes == {(1, SLOT), (SLOT, 2)}
    packets = []
    for value in (1000, -2, 30000):
        call.plane.say(value, call.port)
        packets.append(call.tick())
    assert [sample(packet) for packet in packets] == [1000, -2, 30000]
    first, second = packets[0], packets[1]
    assert first is not None
    assert second is not None
    assert (second.sequence - first.sequence) & 0xFFFF == 1
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == FRAME_SAMPLES
    assert (first.marker, second.marker) == (True, False)


def test_what_does_not_come_is_silence_and_what_is_too_much_is_let_go(call: Call) -> None:
    assert sample(call.tick()) == 0
    for value in range(1, 11):
        call.plane.say(value, call.port)
    assert [sample(call.tick()) for _ in range(5)] == [7, 8, 9, 10, 0]


def test_a_far_end_that_has_gone_silent_is_so_for_the_media_plane_too(call: Call) -> None:
    """Else nobody would notice: the bridge has audio in any case."""
    heard = [call.tick(far_end_sends=False) for _ in range(20)]
    assert heard[-1] is None
    again = call.tick()
    assert again is not None
    assert again.marker


def test_nobody_else_is_heard(call: Call) -> None:
    stranger = Plane()
    with stranger.socket:
        stranger.say(5, call.port)
        call.plane.say(6, call.port, kind=0)
        assert sample(call.tick()) == 0


def test_another_call_takes_the_place_of_the_first(call: Call) -> None:
    call.channel.join(CALL + 1)
    assert call.bridge.routes == {(1, SLOT + 1), (SLOT + 1, 2)}


def test_after_a_call_it_is_free_for_another(call: Call) -> None:
    assert not call.channel.is_free
    call.channel.close()
    assert call.channel.is_free
    assert call.tick() is None
