"""What comes from a far end: the fast path of forwarding, the slow one for what is unusual."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Final, Protocol

import numpy as np

from endpoint.audio.codec import G711, decode
from endpoint.audio.tones import level_of
from endpoint.media.messages import PayloadType
from endpoint.media.payload import audio_of, is_event, law_of
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import (
    HEADER,
    HEADER_SIZE,
    MARKER,
    VERSION,
    Forward,
    Order,
    RtpPacket,
    Sender,
    Source,
    parse_rtp,
)
from endpoint.media.tap import Tap
from endpoint.media.telephone_event import Digit, EventReceiver
from endpoint.media.transport import BUFFER, LARGEST, VIEWS, ReceiveInto

_LEVEL_EVERY: Final = 8
_unpack = HEADER.unpack_from
_pack_into = HEADER.pack_into


class InboundOwner(Protocol):
    """Who is told what comes in."""

    def first_packet(self) -> None:
        """The first RTP packet is there."""

    def codec_changed(self) -> None:
        """The far end sends another codec than it did."""

    def event_begun(self) -> None:
        """A telephone event is open: `expire_event` must be called until it is not."""

    def digits_heard(self, digits: list[Digit]) -> None:
        """Telephone events have ended."""

    def rtcp_received(self, datagram: memoryview, now: float) -> None:
        """RTCP came on the RTP port (RFC 5761)."""


class Inbound:
    """One far end's stream. Packets come by `read` or `receive`, are counted, and passed on."""

    def __init__(self, owner: InboundOwner) -> None:
        self.source = Source()
        self.malformed_packets = 0
        self.unnegotiated_packets = 0
        """Of payload types that may not come: dropped."""
        self.heard_at = 0.0
        """When the last packet came that took the slow path; see `last_heard`."""
        self.current: PayloadType | None = None
        """The audio that the far end sends, or is expected to."""
        self.receive_into: ReceiveInto = _nothing_there
        """How `read` gets a packet: a socket's own method, in the best case."""
        self._owner = owner
        self._fast_type = -1
        """Its number while all is as usual; -1 sends every packet the slow way."""
        self._negotiated: Mapping[int, PayloadType] = {}
        self._forwards: tuple[Forward, ...] = ()
        self._taps: list[Tap] = []
        self._events = EventReceiver()
        self._level_payloads: deque[tuple[G711, bytes]] = deque(maxlen=6)
        self._is_first = True

    @property
    def last_heard(self) -> float:
        """When the last RTP packet came."""
        return max(self.heard_at, self.source.arrived)

    @property
    def late_packets(self) -> int:
        """Packets that came too late for a jitter buffer."""
        return sum(tap.late_packets for tap in self._taps)

    @property
    def law(self) -> G711 | None:
        """How the audio is decoded; None while unknown, or where we can't."""
        return law_of(self.current)

    def negotiate(self, receives: list[PayloadType]) -> None:
        """What may come; anything else is counted and dropped."""
        self._negotiated = {p.number: p for p in receives}
        if self.current not in receives:
            self.current = audio_of(receives)
        self._fast_type = -1

    def is_negotiated(self, payload_type: int) -> bool:
        """True for a payload type that may come."""
        return payload_type in self._negotiated

    def is_event_type(self, payload_type: int) -> bool:
        """True for the number of telephone events."""
        codec = self._negotiated.get(payload_type)
        return codec is not None and is_event(codec)

    def payload_types_to(self, sends: list[PayloadType]) -> dict[int, int] | None:
        """Our numbers to those of a sink; None where the current audio can't be passed on as is."""
        theirs = {(p.encoding, p.clock_rate_hz): p.number for p in reversed(sends)}
        mapped = {
            number: theirs[p.encoding, p.clock_rate_hz]
            for number, p in self._negotiated.items()
            if (p.encoding, p.clock_rate_hz) in theirs
        }
        return mapped if self.current is not None and self.current.number in mapped else None

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """Where packets are passed on to."""
        return self._forwards

    @forwards.setter
    def forwards(self, forwards: tuple[Forward, ...]) -> None:
        self._forwards = forwards
        self._fast_type = -1

    def tap(self, tap: Tap) -> None:
        """Show a tap the audio that comes."""
        self._taps.append(tap)

    def untap(self, tap: Tap) -> None:
        """Show it no more."""
        self._taps = [other for other in self._taps if other is not tap]

    def expire_event(self, now: float) -> bool:
        """Tell a digit whose end was lost. Returns whether one is still open."""
        if digits := self._events.expire(now):
            self._owner.digits_heard(digits)
        return self._events.is_open

    def level_dbov(self) -> float | None:
        """Of about the last second; None where nothing that we can decode has come."""
        if not self._level_payloads:
            return None
        recent = [decode(law, codes) for law, codes in self._level_payloads]
        return round(level_of(np.concatenate(recent)), 1)

    def read(self) -> None:
        """The socket can be read, and the kernel vouches for who sent (the fast path).

        It takes the packet that everybody expects next. Everything that needs thought, as a loss, a
        digit, a wrap, a new SSRC or a new route, goes to `receive`.
        """
        try:
            size = self.receive_into(BUFFER)
        except OSError:
            return
        flags, kind, sequence, timestamp, ssrc = _unpack(BUFFER)
        source = self.source
        if (
            sequence != source.next_sequence
            or kind & 0x7F != self._fast_type
            or ssrc != source.ssrc
            or flags != VERSION
            or size <= HEADER_SIZE
        ):
            self.receive(size, monotonic())
            return
        source.next_sequence = sequence + 1
        now = monotonic()
        # Interarrival jitter, RFC 3550 A.8, as in Source.measure.
        deviation = (now - source.arrived) * 8000 - (timestamp - source.timestamp)
        if deviation < 0:
            deviation = -deviation
        if deviation < 8000:
            source.jitter += (deviation - source.jitter) * 0.0625
        source.timestamp = timestamp
        source.arrived = now
        if self._taps or not sequence % _LEVEL_EVERY:
            self._show(timestamp, bytes(VIEWS[size][HEADER_SIZE:]))
        for forward in self._forwards:
            sender = forward.sender
            sender.sequence = sequence_out = (sequence + forward.sequence_shift) & 0xFFFF
            sender.timestamp = timestamp_out = (timestamp + forward.timestamp_shift) & 0xFFFFFFFF
            sender.at = now
            sender.packets += 1
            sender.octets += size - HEADER_SIZE
            _pack_into(
                BUFFER,
                0,
                VERSION,
                kind & MARKER | forward.payload_type,
                sequence_out,
                timestamp_out,
                sender.ssrc,
            )
            try:
                sender.send(VIEWS[size])
            except OSError:
                _send_again(sender, VIEWS[size])

    def receive(self, size: int, now: float) -> None:
        """Any datagram of the proven source, in `BUFFER`."""
        datagram = VIEWS[size]
        if size > 1 and is_rtcp(datagram[1]):
            self._owner.rtcp_received(datagram, now)
            return
        packet = parse_rtp(datagram)
        if packet is None or size == LARGEST:
            self.malformed_packets += 1
            return
        order = self.source.receive(packet.ssrc, packet.sequence)
        match order:
            case Order.NEXT | Order.OLD:
                pass
            case Order.DOUBTFUL:
                return
            case Order.RESTARTED:
                self._events.restart()
                for forward in self._forwards:
                    forward.is_anchored = False
        self.heard_at = now
        if self._is_first:
            self._is_first = False
            self._owner.first_packet()
        codec = self._negotiated.get(packet.payload_type)
        if codec is None:
            # Comfort noise and the like: it holds the call open, but nobody has asked for it.
            self.unnegotiated_packets += 1
            return
        if is_event(codec):
            self._receive_event(packet, now)
        else:
            self._receive_audio(packet, codec, order, now)
        self._forward(packet, order, now)
        self._settle()

    def _receive_audio(
        self, packet: RtpPacket, codec: PayloadType, order: Order, now: float
    ) -> None:
        if codec != self.current and order is not Order.OLD:
            self.current = codec
            self._owner.codec_changed()
        if order is not Order.OLD:
            self.source.measure(packet.timestamp, now)
        self._show(packet.timestamp, bytes(packet.payload))

    def _receive_event(self, packet: RtpPacket, now: float) -> None:
        was_open = self._events.is_open
        digits = self._events.receive(packet.timestamp, packet.payload, now)
        if digits:
            self._owner.digits_heard(digits)
        if self._events.is_open and not was_open:
            self._owner.event_begun()

    def _show(self, timestamp: int, codes: bytes) -> None:
        law = law_of(self.current)
        if law is None:
            return
        self._level_payloads.append((law, codes))
        for tap in self._taps:
            tap.receive(timestamp, law, codes)

    def _forward(self, packet: RtpPacket, order: Order, now: float) -> None:
        extended = self.source.extended(packet.sequence)
        for forward in self._forwards:
            payload_type = forward.payload_types.get(packet.payload_type)
            if payload_type is None:
                continue
            kind = payload_type | (MARKER if packet.marker else 0)
            if not forward.is_anchored:
                if order is Order.OLD:
                    continue
                forward.anchor(packet.sequence, extended, packet.timestamp, now)
                kind |= MARKER
            elif order is Order.OLD and forward.precedes_anchor(extended):
                continue
            sender = forward.sender
            sequence = (packet.sequence + forward.sequence_shift) & 0xFFFF
            timestamp = (packet.timestamp + forward.timestamp_shift) & 0xFFFFFFFF
            if order is not Order.OLD:
                sender.sequence = sequence
                # All packets of an event have the time of its start (RFC 4733 §2.3).
                if timestamp != sender.timestamp or not sender.at:
                    sender.timestamp, sender.at = timestamp, now
            sender.packets += 1
            sender.octets += len(packet.payload)
            header = HEADER.pack(VERSION, kind, sequence, timestamp, sender.ssrc)
            rewritten = header + packet.payload
            try:
                sender.send(rewritten)
            except OSError:
                _send_again(sender, rewritten)

    def _settle(self) -> None:
        """Open the fast path again once every route knows its numbers."""
        if self.current is None:
            return
        for forward in self._forwards:
            forward.payload_type = forward.payload_types.get(self.current.number, -1)
        is_usual = all(f.is_anchored and f.payload_type >= 0 for f in self._forwards)
        self._fast_type = self.current.number if is_usual else -1


def _nothing_there(buffer: bytearray) -> int:
    """Without a transport."""
    raise BlockingIOError


def _send_again(sender: Sender, packet: bytes | memoryview) -> None:
    """An ICMP error about an earlier packet was reported in place of sending this one."""
    with contextlib.suppress(OSError):
        sender.send(packet)
