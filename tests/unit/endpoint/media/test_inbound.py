from __future__ import annotations

import pytest

from endpoint.media.inbound import Inbound
from endpoint.media.messages import PayloadType
from endpoint.media.rtp import HEADER, Forward, RtpPacket, Sender, parse_rtp
from endpoint.media.telephone_event import Digit

pytestmark = pytest.mark.unit

CODECS = [PayloadType(0, "PCMU"), PayloadType(101, "TELEPHONE-EVENT")]


class Owner:
    """Is told, and does nothing."""

    def first_packet(self) -> None: ...
    def codec_changed(self) -> None: ...
    def event_begun(self) -> None: ...
    def digits_heard(self, digits: list[Digit]) -> None: ...
    def rtcp_received(self, datagram: memoryview, now: float) -> None: ...


class Wire:
    """A far end's packets in, what is forwarded of them out."""

    def __init__(self) -> None:
        self.out: list[RtpPacket] = []
        self.sender = Sender()
        self.sender.send = self._sent
        self.inbound = Inbound(Owner())
        self.inbound.receive_into = self._receive_into
        self.inbound.negotiate(CODECS)
        self.inbound.forwards = (Forward(self.sender, {0: 0, 101: 101}),)
        self._datagram = b""

    def receive(self, sequence: int, timestamp: int, kind: int = 0, payload: bytes = b"") -> None:
        """As a socket would say that it can be read."""
        self._datagram = HEADER.pack(0x80, kind, sequence & 0xFFFF, timestamp, 7)
        self._datagram += payload or bytes(160)
        self.inbound.read()

    def _receive_into(self, buffer: bytearray) -> int:
        buffer[: len(self._datagram)] = self._datagram
        return len(self._datagram)

    def _sent(self, packet: bytes | memoryview) -> None:
        parsed = parse_rtp(memoryview(bytes(packet)))
        assert parsed is not None
        self.out.append(parsed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the inbound side reads; a list of one."""
    now = [100.0]
    monkeypatch.setattr("endpoint.media.inbound.monotonic", lambda: now[0])
    return now


def test_a_late_packet_keeps_its_place_however_long_the_route_has_lasted(
    clock: list[float],
) -> None:
    """More than half a round of sequence numbers after the route was set."""
    wire = Wire()
    for number in range(40_000):
        wire.receive(number, number * 160)
    wire.receive(40_001, 40_001 * 160)
    wire.receive(40_000, 40_000 * 160)
    numbers = [packet.sequence for packet in wire.out[-3:]]
    assert [(n - numbers[0]) & 0xFFFF for n in numbers] == [0, 2, 1]


def test_what_follows_a_forwarded_event_does_not_overlap_it(clock: list[float]) -> None:
    """A hold in the middle of a long press: music begins where the press has got to."""
    wire = Wire()
    wire.receive(1, 0)
    clock[0] += 0.02
    for number in range(20):
        event = bytes([5, 10]) + (160 * (number + 1)).to_bytes(2)
        wire.receive(2 + number, 160, 101, event)
        clock[0] += 0.02
    music = parse_rtp(memoryview(wire.sender.frame(0, bytes(160), clock[0])))
    assert music is not None
    assert (music.timestamp - wire.out[-1].timestamp) & 0xFFFFFFFF >= 20 * 160 - 1
