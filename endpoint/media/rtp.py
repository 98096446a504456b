"""RTP (RFC 3550) without I/O: packets, what is known of a source, what is kept of a sender."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from endpoint.media.quality import Bursts

HEADER: Final = struct.Struct("!BBHII")
"""Flags, marker and payload type, sequence number, timestamp, SSRC (§5.1)."""
HEADER_SIZE: Final = 12
VERSION: Final = 0x80
MARKER: Final = 0x80

_MAX_DROPOUT = 3000
_MAX_MISORDER = 100
_LET_GO_S = 0.1
"""What is later by more is not made up for (see `FrameClock`): it is a pause. A frame that is less
late, and so made up for, counts from when it was due."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """A packet that was found whole."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: memoryview


def parse_rtp(datagram: memoryview) -> RtpPacket | None:
    """Take a packet apart (§5.1, §5.3.1). None for what is not RTP, or is cut short."""
    if len(datagram) <= HEADER_SIZE or datagram[0] & 0xC0 != VERSION:
        return None
    flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(datagram)
    start = HEADER_SIZE + 4 * (flags & 0x0F)
    if flags & 0x10:
        if len(datagram) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4])
    end = len(datagram)
    if flags & 0x20:
        padding = datagram[-1]
        if not padding:
            return None
        end -= padding
    if end <= start:
        return None
    payload = datagram[start:end]
    return RtpPacket(bool(kind & MARKER), kind & 0x7F, sequence, timestamp, ssrc, payload)


class Order(Enum):
    """How a packet's sequence number follows the ones before it (A.1)."""

    NEXT = auto()
    """The newest so far, perhaps after a loss."""
    OLD = auto()
    """Late, or seen before."""
    DOUBTFUL = auto()
    """Far off: a stray packet, or a sender that began anew. The next packet tells which."""
    RESTARTED = auto()
    """The sender has begun anew."""


class Source:
    """What is known of the far end's stream: sequence, loss and jitter (A.1, A.3, A.8).

    `next_sequence` is 65536 after 65535, on purpose: the reader's fast path takes only the packet
    that has this number, so the wrap, as all that is unusual, comes to `receive`.
    """

    __slots__ = (
        "_base",
        "_counted_from",
        "_cycles",
        "_doubtful",
        "_earlier_expected",
        "arrived",
        "bursts",
        "jitter",
        "lost",
        "lost_before",
        "next_sequence",
        "rate_hz",
        "ssrc",
        "timestamp",
    )

    def __init__(self, rate_hz: int = 8000) -> None:
        self.ssrc = -1
        self.next_sequence = -1
        self.timestamp = 0
        """Of the last audio packet."""
        self.arrived = 0.0
        """When that came; 0 while none did."""
        self.jitter = 0.0
        """In timestamp units."""
        self.lost = 0
        """Expected and not received, over all that was ever expected (A.3)."""
        self.lost_before = 0
        """Of these, before this SSRC, or this run of its numbers, began."""
        self.bursts = Bursts()
        self.rate_hz = rate_hz
        """Of the timestamps; see `use_clock`."""
        self._cycles = 0
        self._base = 0
        self._counted_from = 0
        """The number of the first packet after the last loss, extended."""
        self._earlier_expected = 0
        self._doubtful = -1

    @property
    def highest(self) -> int:
        """The highest sequence number, extended by the count of its wraps."""
        return self._cycles + self.next_sequence - 1

    def extended(self, sequence: int) -> int:
        """A number that is not ahead of the highest, with the wraps that belong to it."""
        return self.highest - ((self.highest - sequence) & 0xFFFF)

    @property
    def expected(self) -> int:
        """Packets that should have come, over all SSRCs of this far end."""
        if self.ssrc < 0:
            return 0
        return self._earlier_expected + self.highest - self._base + 1

    @property
    def since_loss(self) -> int:
        """Packets since the last loss."""
        return self.highest - self._counted_from + 1

    def receive(self, ssrc: int, sequence: int) -> Order:
        """Take note of a packet that did not follow the fast path."""
        if ssrc != self.ssrc:
            self._begin(ssrc, sequence)
            return Order.RESTARTED
        step = (sequence - self.highest) & 0xFFFF
        if 0 < step < _MAX_DROPOUT:
            highest = self.highest + step
            if step > 1:
                self.lost += step - 1
                self.bursts.lose(self.since_loss, step - 1)
                self._counted_from = highest
            self._cycles = highest & ~0xFFFF
            self.next_sequence = (highest & 0xFFFF) + 1
            self._doubtful = -1
            return Order.NEXT
        if step == 0 or step >= 0x10000 - _MAX_MISORDER:
            self.lost -= 1
            return Order.OLD
        if sequence == self._doubtful:
            self._begin(ssrc, sequence)
            return Order.RESTARTED
        self._doubtful = (sequence + 1) & 0xFFFF
        return Order.DOUBTFUL

    @property
    def jitter_ms(self) -> float:
        """The jitter as a time."""
        return 1000 * self.jitter / self.rate_hz

    def use_clock(self, rate_hz: int) -> None:
        """The timestamps count at this rate from now on: the codec is another (RFC 7160 §4.4)."""
        if rate_hz != self.rate_hz:
            self.jitter *= rate_hz / self.rate_hz
            self.rate_hz = rate_hz
            self.arrived = 0.0

    def measure(self, timestamp: int, now: float) -> None:
        """Interarrival jitter of an audio packet (A.8); the fast path does the same inline."""
        deviation = abs((now - self.arrived) * self.rate_hz - (timestamp - self.timestamp))
        # A talkspurt after a hold may jump by any amount; that is no jitter.
        if deviation < self.rate_hz:
            self.jitter += (deviation - self.jitter) / 16
        self.timestamp = timestamp
        self.arrived = now

    def _begin(self, ssrc: int, sequence: int) -> None:
        self._earlier_expected = self.expected
        self.lost_before = self.lost
        self.ssrc = ssrc
        self._base = self._counted_from = sequence
        self._cycles = 0
        self.next_sequence = sequence + 1
        self._doubtful = -1
        self.arrived = 0.0


def _nowhere(packet: bytes | memoryview) -> None:
    """Nobody is there to be sent to."""


class Sender:
    """The one stream that a port sends, whatever it is made of: one SSRC, sequence and timestamp.

    Forwarded packets, music, mixed audio and events all advance it, so that a far end sees one
    sender with legal numbers across every switch.
    """

    __slots__ = (
        "_continues",
        "at",
        "octets",
        "packets",
        "rate_hz",
        "send",
        "sequence",
        "ssrc",
        "step",
        "timestamp",
    )

    def __init__(self) -> None:
        self.ssrc = random.getrandbits(32)
        self.rate_hz = 8000
        self.sequence = random.getrandbits(15)
        """Of the last packet. Starts in the lower half, as libsrtp likes it (RFC 3711 §3.3.1)."""
        self.timestamp = random.getrandbits(31)
        self.at = 0.0
        """The time to which the timestamp belongs; 0 before the first packet."""
        self.step = self.rate_hz // 50
        """The least distance from the last timestamp to the next one of another source."""
        self.packets = 0
        self.octets = 0
        self.send: Callable[[bytes | memoryview], object] = _nowhere
        """Where a packet goes: a connected socket's own method, in the best case."""
        self._continues = False

    def timestamp_at(self, now: float) -> int:
        """The media clock read at a time: what an SR says of it (§6.4.1)."""
        elapsed = int((now - self.at) * self.rate_hz) if self.at else 0
        return (self.timestamp + elapsed) & 0xFFFFFFFF

    def resume_timestamp(self, now: float) -> int:
        """Where a new source goes on: as much later as time has passed, at least one packet."""
        if not self.at:
            return self.timestamp
        elapsed = max(int((now - self.at) * self.rate_hz), self.step)
        return (self.timestamp + elapsed) & 0xFFFFFFFF

    def interrupt(self) -> None:
        """Something else was or will be sent: the next frame of ours begins a talkspurt."""
        self._continues = False

    def use_clock(self, rate_hz: int) -> None:
        """Count at this rate from the next packet on; there it begins a talkspurt.

        The SSRC stays, as signalling has told it to the far end; so the timestamp goes on from the
        last one, by the time that has passed, at the new rate: it never goes back.
        """
        if rate_hz != self.rate_hz:
            self.step = self.step * rate_hz // self.rate_hz
            self.rate_hz = rate_hz
            self._continues = False

    def frame(
        self, payload_type: int, payload: bytes, now: float, ticks: int | None = None
    ) -> bytes:
        """The packet of the next audio of our own: music, a prompt, mixed audio.

        It lasts as many ticks of the clock as are given; by default one an octet (G.711).
        """
        kind = payload_type
        if self._continues and (now - self.at - _LET_GO_S) * self.rate_hz <= self.step:
            self.timestamp = (self.timestamp + self.step) & 0xFFFFFFFF
            # When it was due, not when a busy loop came to it: of delays that follow each other
            # the clock lets their sum go, and no single one of them would show it.
            self.at += self.step / self.rate_hz
        else:
            self.timestamp = self.resume_timestamp(now)
            self.at = now
            self._continues = True
            kind |= MARKER
        self.step = len(payload) if ticks is None else ticks
        return self._packet(kind, payload)

    def event(
        self, payload_type: int, payload: bytes, *, begins: bool, now: float, advance: int = 0
    ) -> bytes:
        """A packet of a telephone event: all of one event have its start's timestamp (RFC 4733).

        A segment of one that is long begins so many ticks after the one before, without a marker.
        """
        kind = payload_type
        if begins:
            self.timestamp = self.resume_timestamp(now)
            self.at = now
            kind |= MARKER
        elif advance:
            self.timestamp = (self.timestamp + advance) & 0xFFFFFFFF
            self.at += advance / self.rate_hz
        self._continues = False
        return self._packet(kind, payload)

    def _packet(self, kind: int, payload: bytes) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return HEADER.pack(VERSION, kind, self.sequence, self.timestamp, self.ssrc) + payload


class Forward:
    """One source's packets to one sink: header rewritten, payload untouched.

    Source numbers become the sender's by two differences, fixed at the first packet after the
    route was set or the source began anew (its anchor).
    """

    __slots__ = (
        "_first",
        "is_anchored",
        "payload_type",
        "payload_types",
        "sender",
        "sequence_shift",
        "timestamp_shift",
    )

    def __init__(self, sender: Sender, payload_types: dict[int, int]) -> None:
        self.sender = sender
        self.payload_types = payload_types
        """The source's numbers to the sink's."""
        self.payload_type = -1
        """The sink's number of what the source sends now."""
        self.is_anchored = False
        self.sequence_shift = 0
        self.timestamp_shift = 0
        self._first = 0

    def anchor(
        self, sequence: int, extended: int, timestamp: int, now: float, rate_hz: int = 8000
    ) -> None:
        """The next packet out follows the sender's last, in number and in time."""
        sender = self.sender
        sender.interrupt()
        sender.use_clock(rate_hz)
        self._first = extended
        self.sequence_shift = sender.sequence + 1 - sequence
        self.timestamp_shift = sender.resume_timestamp(now) - timestamp
        self.is_anchored = True

    def precedes_anchor(self, extended: int) -> bool:
        """True for a late packet from before the route: its number is somebody else's."""
        return extended < self._first
