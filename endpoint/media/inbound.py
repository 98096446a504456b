"""What comes from a far end: the fast path of forwarding, the slow one for what is unusual."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Final, Protocol

import numpy as np

from endpoint.audio.arrival import DelaySettings
from endpoint.audio.codec import AudioCodec
from endpoint.audio.playout import Packet
from endpoint.audio.tones import level_of
from endpoint.errors import AudioError
from endpoint.media.messages import PayloadType
from endpoint.media.payload import COMFORT_NOISE, audio_of, codec_of, is_event, is_noise
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
from endpoint.media.tap import PlayoutCounts, Tap
from endpoint.media.telephone_event import Digit, EventReceiver
from endpoint.media.transport import BUFFER, LARGEST, VIEWS, ReceiveInto

_LATEST: Final = 4
"""Packets that are kept for who begins to listen: 40 ms of 10 ms each."""
_ONE_IN_EIGHT: Final = 0b111
_FOUR_IN_A_ROW: Final = 0b11100
"""Bits that are nought in the numbers of packets by which the level is measured: each eighth, or as
many in rows, where the first of a row are there for the decoder to learn from."""
_unpack = HEADER.unpack_from
_pack_into = HEADER.pack_into


class Recorded(Protocol):
    """Somebody who is recorded: told what comes, as it comes."""

    def packet(self, timestamp: int, payload: bytes, now: float) -> None:
        """Audio."""

    def noise(self, payload: bytes, now: float) -> None:
        """Comfort noise."""

    def codec(self, codec: PayloadType | None, now: float) -> None:
        """What follows has this codec; None: we can't decode it."""


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

    def __init__(self, owner: InboundOwner, delay: DelaySettings | None = None) -> None:
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
        self._tap = Tap(delay)
        self._is_tapped = False
        self._recorded: tuple[Recorded, ...] = ()
        self._events = EventReceiver()
        self._event_type = -1
        self._latest: deque[Packet] = deque(maxlen=_LATEST)
        """For who begins to listen."""
        self._level_mask = _ONE_IN_EIGHT
        self._level_payloads: deque[tuple[int, bytes]] = deque(maxlen=6)
        self._level: tuple[tuple[int, bytes] | None, float | None] = None, None
        """What it was when asked last, and the newest of the payloads then."""
        self._is_first = True

    @property
    def last_heard(self) -> float:
        """When the last RTP packet came."""
        return max(self.heard_at, self.source.arrived)

    @property
    def played(self) -> PlayoutCounts:
        """What became of the audio that was mixed, recorded or listened to."""
        return self._tap.counts

    @property
    def playout_ms(self) -> float | None:
        """How long the audio waits that is mixed, recorded or listened to; None where none is."""
        playout = self._tap.playout
        return None if playout is None else playout.delay_ms

    @property
    def is_garbled(self) -> bool:
        """True where none of the packets that came of late can be decoded, though we can."""
        if not self._level_payloads or self.codec is None:
            return False
        decoder = self.codec.decoder()
        for _, payload in self._level_payloads:
            with contextlib.suppress(AudioError):
                decoder.decode(payload)
                return False
        return True

    @property
    def codec(self) -> AudioCodec | None:
        """How the audio is decoded; None while unknown, or where we can't."""
        return self._tap.codec

    def negotiate(self, receives: list[PayloadType]) -> None:
        """What may come; anything else is counted and dropped."""
        self._negotiated = {p.number: p for p in receives}
        if self.current not in receives:
            self._use(audio_of(receives))
        self._fast_type = -1

    def is_negotiated(self, payload_type: int) -> bool:
        """True for a payload type that may come."""
        return payload_type in self._negotiated

    @property
    def event_type(self) -> int:
        """The number of the telephone events that came last; -1 before any."""
        return self._event_type

    def payload_types_to(self, sends: list[PayloadType]) -> dict[int, int] | None:
        """Our numbers to those of a sink; None where the current audio can't be passed on as is."""
        theirs = {_kind(p): p.number for p in reversed(sends)}
        mapped = {
            number: theirs[_kind(p)] for number, p in self._negotiated.items() if _kind(p) in theirs
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

    def tap(self, now: float = inf) -> Tap:
        """The audio that comes, for one more to hear along until `untap`.

        From what came straight before `now` on; by default from the next packet on.
        """
        self._tap.join(self._latest, now)
        self._is_tapped = True
        return self._tap

    def untap(self) -> None:
        """One fewer hears along."""
        self._tap.leave()
        self._is_tapped = self._tap.is_heard or bool(self._recorded)

    def record(self, recorded: Recorded, now: float) -> None:
        """Let somebody have each packet as it is, until `record_no_more`."""
        self._recorded = (*self._recorded, recorded)
        self._is_tapped = True
        recorded.codec(self.current if self.codec is not None else None, now)

    def record_no_more(self, recorded: Recorded) -> None:
        """One fewer is recorded."""
        self._recorded = tuple(each for each in self._recorded if each is not recorded)
        self._is_tapped = self._tap.is_heard or bool(self._recorded)

    def expire_event(self, now: float) -> bool:
        """Tell a digit whose end was lost. Returns whether one is still open."""
        if digits := self._events.expire(now):
            self._owner.digits_heard(digits)
        return self._events.is_open

    def level_dbov(self) -> float | None:
        """Of about the last second; None where nothing that we can decode has come."""
        if not self._level_payloads or self.codec is None:
            return None
        # Kept one in eight, and decoded only now that somebody asks: once for a whole room.
        newest, level_dbov = self._level
        if newest is not self._level_payloads[-1]:
            level_dbov = self._measure_level(self.codec)
            self._level = self._level_payloads[-1], level_dbov
        return level_dbov

    def _measure_level(self, codec: AudioCodec) -> float | None:
        decoder, recent = codec.decoder(), []
        for sequence, payload in self._level_payloads:
            with contextlib.suppress(AudioError):
                samples = decoder.decode(payload)
                if not codec.has_memory or sequence & 0b10:
                    recent.append(samples)
        return round(level_of(np.concatenate(recent)), 1) if recent else None

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
        rate_hz = source.rate_hz
        deviation = (now - source.arrived) * rate_hz - (timestamp - source.timestamp)
        if deviation < 0:
            deviation = -deviation
        if deviation < rate_hz:
            source.jitter += (deviation - source.jitter) * 0.0625
        source.timestamp = timestamp
        source.arrived = now
        payload = bytes(VIEWS[size][HEADER_SIZE:])
        self._latest.append((timestamp, payload, now))
        if self._is_tapped or not sequence & self._level_mask:
            self._show(sequence, timestamp, payload, now)
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
                self._latest.clear()
                for forward in self._forwards:
                    forward.is_anchored = False
        self.heard_at = now
        if self._is_first:
            self._is_first = False
            self._owner.first_packet()
        codec = self._negotiated.get(packet.payload_type)
        if packet.payload_type == COMFORT_NOISE or (codec is not None and is_noise(codec)):
            noise = bytes(packet.payload)
            self._tap.receive_noise(noise)
            for each in self._recorded:
                each.noise(noise, now)
        elif codec is None:
            # It holds the call open, but nobody has asked for it.
            self.unnegotiated_packets += 1
            return
        elif is_event(codec):
            self._receive_event(packet, codec, now)
        else:
            self._receive_audio(packet, codec, order, now)
        self._forward(packet, order, now)
        self._settle()

    def _receive_audio(
        self, packet: RtpPacket, codec: PayloadType, order: Order, now: float
    ) -> None:
        if codec != self.current:
            if order is Order.OLD:
                return
            self._use(codec)
            self._owner.codec_changed()
        if order is not Order.OLD:
            self.source.measure(packet.timestamp, now)
        payload = bytes(packet.payload)
        if order is not Order.OLD:
            self._latest.append((packet.timestamp, payload, now))
        self._show(packet.sequence, packet.timestamp, payload, now)

    def _use(self, current: PayloadType | None) -> None:
        """The far end sends this from now on, or is expected to."""
        self.current = current
        codec = codec_of(current)
        if codec != self._tap.codec:
            has_memory = codec is not None and codec.has_memory
            self._level_mask = _FOUR_IN_A_ROW if has_memory else _ONE_IN_EIGHT
            self._level_payloads = deque(maxlen=12 if has_memory else 6)
            self._latest.clear()
            self._tap.use(codec)
            for each in self._recorded:
                each.codec(current if codec is not None else None, monotonic())
        if current is not None and current.clock_rate_hz != self.source.rate_hz:
            self.source.use_clock(current.clock_rate_hz)
            for forward in self._forwards:
                forward.is_anchored = False

    def _receive_event(self, packet: RtpPacket, codec: PayloadType, now: float) -> None:
        self._event_type = packet.payload_type
        was_open = self._events.is_open
        digits = self._events.receive(packet.timestamp, packet.payload, now, codec.clock_rate_hz)
        if digits:
            self._owner.digits_heard(digits)
        if self._events.is_open and not was_open:
            self._owner.event_begun()

    def _show(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        if not sequence & self._level_mask:
            self._level_payloads.append((sequence, payload))
        if self._is_tapped:
            self._tap.receive(timestamp, payload, now)
            for each in self._recorded:
                each.packet(timestamp, payload, now)

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
                forward.anchor(
                    packet.sequence, extended, packet.timestamp, now, self.source.rate_hz
                )
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


def _kind(payload_type: PayloadType) -> tuple[str, int, int]:
    return payload_type.encoding, payload_type.clock_rate_hz, payload_type.channels


def _nothing_there(buffer: bytearray) -> int:
    """Without a transport."""
    raise BlockingIOError


def _send_again(sender: Sender, packet: bytes | memoryview) -> None:
    """An ICMP error about an earlier packet was reported in place of sending this one."""
    with contextlib.suppress(OSError):
        sender.send(packet)
