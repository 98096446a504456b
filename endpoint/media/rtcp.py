"""RTCP (RFC 3550 §6) without I/O: what we report of a port, what we learn from the far end."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from endpoint.media.rtp import Sender, Source
from endpoint.media.xr import (
    RECEIVER_TRIP,
    LastReferenceTime,
    ReferenceTime,
    VoipMetrics,
    parse_blocks,
)

_SENDER_INFO = struct.Struct("!IIIII")
_BLOCK = struct.Struct("!IIIIII")
_FIRST_TYPE = 192
_LAST_TYPE = 223
_NOT_HEARD = 50
"""So many packets, none of which the far end has counted, are no longer on their way."""
_PAUSE_S = 1.0
"""Without a packet of ours for so long, we had nothing to say."""
_FIRST_MENTION_S = 8.0
_NEXT_MENTION_S = 16.0
"""A far end that hears us says so within 7.5 s (§6.3: 5 s, and half of that more), and once more if
that report is lost."""


class PacketType(IntEnum):
    """The kinds that we read or write (§12.1)."""

    SR = 200
    RR = 201
    SDES = 202
    BYE = 203
    XR = 207
    """RFC 3611 §2."""


def is_rtcp(second_octet: int) -> bool:
    """Tell RTCP from RTP where both share a port (RFC 5761 §4)."""
    return _FIRST_TYPE <= second_octet <= _LAST_TYPE


@dataclass(slots=True)
class RemoteView:
    """What the far end says of the stream that we send."""

    at: float | None = None
    """When its last report came."""
    lost: int | None = None
    loss: float | None = None
    """The share that was lost between its last two reports, 0 to 1."""
    jitter: int | None = None
    """In timestamp units of what we send."""
    hears: bool | None = None
    """Whether it counts what we send; None: not known, as after a pause of ours."""
    metrics: VoipMetrics | None = None
    """Its own judgement (RFC 3611 §4.7)."""
    round_trip_s: float | None = None
    byes: int = 0
    """Counted, never acted upon: signalling ends calls, and some peers say BYE at every hold."""


class Reporter:
    """Reports of one port, both ways.

    The clock in sender reports is our own monotonic one: §6.4.1 allows it, and nothing here is ever
    synchronised with another medium.
    """

    def __init__(self, cname: str, sender: Sender, source: Source) -> None:
        self.remote = RemoteView()
        self.extended: tuple[str, ...] = ()
        """Blocks of RFC 3611 that the far end asked for, as SDP names them (§5.1)."""
        self._cname = cname.encode()
        self._sender = sender
        self._source = source
        self._sender_report: tuple[int, float] | None = None
        """Middle 32 bits of the far end's last sender report, and when it came."""
        self._expected_before = 0
        self._lost_before = 0
        self._reference: tuple[int, int, float] | None = None
        """SSRC and time of the far end's last receiver reference time, and when it came."""
        self._highest_counted: int | None = None
        """The number of our last packet that the far end has counted."""
        self._uncounted: tuple[int, float] | None = None
        """Since when the far end has counted nothing, as our packets until then and the time."""
        self._seen: tuple[int, float] = (0, 0.0)
        """Our packets at its last report, and when a report first came at so many."""

    def restart(self) -> None:
        """Something else was agreed with the far end: whether it hears us is open again."""
        self.remote.hears = self._uncounted = None

    def report(self, now: float, *, sends: bool, metrics: VoipMetrics | None = None) -> bytes:
        """The next compound packet: SR if we have sent since, else RR, with SDES (§6.1).

        Extended reports follow where the far end asked for them; `metrics` as it is given.
        """
        blocks = self._blocks(now)
        count = len(blocks) // _BLOCK.size
        if sends and self._sender.packets:
            seconds, fraction = _ntp(now)
            sender = self._sender
            info = _SENDER_INFO.pack(
                seconds,
                fraction,
                sender.timestamp_at(now),
                sender.packets & 0xFFFFFFFF,
                sender.octets & 0xFFFFFFFF,
            )
            first = self._packet(PacketType.SR, count, info + blocks)
        else:
            first = self._packet(PacketType.RR, count, blocks)
        return first + self._description() + self._extension(now, sends, metrics)

    def goodbye(self, now: float) -> bytes:
        """The last compound packet, with BYE (§6.6)."""
        return self.report(now, sends=False) + self._packet(PacketType.BYE, 1, b"")

    def receive(self, datagram: memoryview, now: float) -> bool:
        """Take a compound packet. False for what is malformed; what preceded the fault counts."""
        at = 0
        while at < len(datagram):
            if len(datagram) - at < 4 or datagram[at] & 0xC0 != 0x80:
                return False
            count = datagram[at] & 0x1F
            kind = datagram[at + 1]
            size = 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4])
            packet = datagram[at : at + size]
            if len(packet) < size:
                return False
            if kind == PacketType.SR and size >= 28:
                middle = int.from_bytes(packet[10:14])
                self._sender_report = (middle, now)
                self._receive_blocks(packet[28:], count, now)
            elif kind == PacketType.RR and size >= 8:
                self._receive_blocks(packet[8:], count, now)
            elif kind == PacketType.XR and size >= 8:
                self._receive_extension(packet, now)
            elif kind == PacketType.BYE:
                self.remote.byes += 1
            at += size
        return True

    def _receive_blocks(self, blocks: memoryview, count: int, now: float) -> None:
        self.remote.at = now
        highest_counted = None
        for number in range(min(count, len(blocks) // _BLOCK.size)):
            ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(
                blocks, number * _BLOCK.size
            )
            if ssrc != self._sender.ssrc:
                continue
            highest_counted = highest
            lost = loss & 0xFFFFFF
            self.remote.lost = lost - 0x1000000 if lost & 0x800000 else lost
            self.remote.loss = (loss >> 24) / 256
            self.remote.jitter = jitter
            self._take_trip(last, delay, now)
        self._judge_hearing(highest_counted, now)

    def _judge_hearing(self, highest_counted: int | None, now: float) -> None:
        """Does the far end count what we send?

        A block that stays as it was says at once that it does not. A report without a block about
        us says so only when others should have come since: a browser reports what it sends and what
        it receives in packets of their own, and the former never have one.

        Args:
            highest_counted: our highest packet that its report names; None: it names none.
            now: when the report came.
        """
        sent = self._sender.packets
        seen, since = self._seen
        if sent != seen:
            self._seen = sent, now
        is_new = highest_counted is not None and highest_counted != self._highest_counted
        has_paused = sent == seen and now - since >= _PAUSE_S
        if is_new or has_paused or self._uncounted is None:
            self.remote.hears = True if is_new else None
            self._uncounted = sent, now
        sent_before, silent_since = self._uncounted
        patience_s = _FIRST_MENTION_S if self._highest_counted is None else _NEXT_MENTION_S
        is_due = highest_counted is not None or now - silent_since >= patience_s
        if is_due and sent - sent_before >= _NOT_HEARD:
            self.remote.hears = False
        if is_new:
            self._highest_counted = highest_counted

    def _take_trip(self, last: int, delay: int, now: float) -> None:
        """The far end says back when we sent something, and how long it has kept that."""
        if last:
            trip = (_middle(now) - last - delay) & 0xFFFFFFFF
            # A far end that rounds its delay up makes a negative trip of some microseconds.
            self.remote.round_trip_s = 0.0 if trip & 0x80000000 else trip / 65536

    def _receive_extension(self, packet: memoryview, now: float) -> None:
        for block in parse_blocks(packet[8:]):
            match block:
                case ReferenceTime():
                    self._reference = int.from_bytes(packet[4:8]), block.middle, now
                case LastReferenceTime(ssrc, middle, delay):
                    if ssrc == self._sender.ssrc:
                        self._take_trip(middle, delay, now)
                case VoipMetrics(ssrc):
                    if ssrc == self._sender.ssrc:
                        self.remote.metrics = block

    def _extension(self, now: float, sends: bool, metrics: VoipMetrics | None) -> bytes:
        trips = [name for name in self.extended if name.startswith(RECEIVER_TRIP)]
        blocks = b""
        if trips and not sends:
            # A sender learns the round trip from its sender reports.
            blocks += ReferenceTime(*_ntp(now)).serialise()
        if trips and self._reference is not None and (sends or not trips[0].endswith("=sender")):
            ssrc, middle, came = self._reference
            delay = int((now - came) * 65536) & 0xFFFFFFFF
            blocks += LastReferenceTime(ssrc, middle, delay).serialise()
        if metrics is not None:
            blocks += metrics.serialise()
        return self._packet(PacketType.XR, 0, blocks) if blocks else b""

    def _blocks(self, now: float) -> bytes:
        source = self._source
        if source.ssrc < 0:
            return b""
        expected, lost = source.expected, source.lost
        expected_since = expected - self._expected_before
        lost_since = lost - self._lost_before
        self._expected_before, self._lost_before = expected, lost
        fraction = (
            min(255, 256 * lost_since // expected_since) if lost_since > 0 < expected_since else 0
        )
        cumulative = max(-0x800000, min(lost - source.lost_before, 0x7FFFFF)) & 0xFFFFFF
        last, delay = 0, 0
        if self._sender_report is not None:
            last, came = self._sender_report
            delay = int((now - came) * 65536) & 0xFFFFFFFF
        return _BLOCK.pack(
            source.ssrc,
            fraction << 24 | cumulative,
            source.highest & 0xFFFFFFFF,
            int(source.jitter) & 0xFFFFFFFF,
            last,
            delay,
        )

    def _packet(self, kind: PacketType, count: int, body: bytes) -> bytes:
        words = 1 + len(body) // 4
        return struct.pack("!BBHI", 0x80 | count, kind, words, self._sender.ssrc) + body

    def _description(self) -> bytes:
        """SDES with CNAME; the chunk ends with at least one null octet (§6.5)."""
        item = bytes((1, len(self._cname))) + self._cname
        return self._packet(PacketType.SDES, 1, item + bytes(4 - len(item) % 4))


def _ntp(now: float) -> tuple[int, int]:
    seconds = int(now)
    return seconds & 0xFFFFFFFF, int((now - seconds) * 2**32)


def _middle(now: float) -> int:
    return int(now * 65536) & 0xFFFFFFFF
