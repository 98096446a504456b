"""RTCP extended reports (RFC 3611): VoIP metrics, and the round trip of who only receives."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VOIP_METRICS: Final = "voip-metrics"
RECEIVER_TRIP: Final = "rcvr-rtt"
"""As SDP calls it (§5.1), before its `=all` or `=sender`."""

_REFERENCE_TIME: Final = 4
_LAST_REFERENCE_TIMES: Final = 5
_METRICS: Final = 7
_BLOCK: Final = struct.Struct("!BBH")
_TIMES: Final = struct.Struct("!II")
_TRIP: Final = struct.Struct("!III")
_VOIP: Final = struct.Struct("!IBBBBHHHHbbBBBBBBBxHHH")
_UNAVAILABLE: Final = 127
_GAP_MINIMUM: Final = 16
_CONCEALED: Final = 0b1100_0000
"""Of the receiver's configuration: losses are concealed; its jitter buffer is not told of."""


@dataclass(frozen=True, slots=True)
class ReferenceTime:
    """When a receiver's report was sent, by its clock (§4.4)."""

    seconds: int
    fraction: int

    @property
    def middle(self) -> int:
        """The 32 bits that are said back."""
        return (self.seconds << 16 | self.fraction >> 16) & 0xFFFFFFFF

    def serialise(self) -> bytes:
        """The block."""
        return _block(_REFERENCE_TIME, _TIMES.pack(self.seconds, self.fraction))


@dataclass(frozen=True, slots=True)
class LastReferenceTime:
    """What came of a receiver's reference time (§4.5)."""

    ssrc: int
    """Whose it was."""
    middle: int
    """See `ReferenceTime.middle`; 0: none has come."""
    delay: int
    """Since it came, in 1/65536 s."""

    def serialise(self) -> bytes:
        """A block with this one alone."""
        body = _TRIP.pack(self.ssrc, self.middle, self.delay)
        return _block(_LAST_REFERENCE_TIMES, body)


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """How a receiver hears one source, since it began to hear it (§4.7)."""

    ssrc: int
    """Of the source."""
    loss: float = 0.0
    """Shares are 0 to 1."""
    discard: float = 0.0
    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_ms: float = 0.0
    gap_ms: float = 0.0
    round_trip_ms: float = 0.0
    """0: not known."""
    end_system_ms: float = 0.0
    signal_dbm: int | None = None
    """Level of the voice, in dBm0."""
    rating: float | None = None
    """R of the E-model."""
    listening_mos: float | None = None
    """Without delay."""
    conversation_mos: float | None = None
    """With it."""
    delay_ms: float = 0.0
    """Of the jitter buffer."""

    def serialise(self) -> bytes:
        """The block."""
        signal = _UNAVAILABLE if self.signal_dbm is None else max(-128, min(self.signal_dbm, 126))
        delay = _unsigned(self.delay_ms, 16)
        body = _VOIP.pack(
            self.ssrc,
            _share(self.loss),
            _share(self.discard),
            _share(self.burst_density),
            _share(self.gap_density),
            _unsigned(self.burst_ms, 16),
            _unsigned(self.gap_ms, 16),
            _unsigned(self.round_trip_ms, 16),
            _unsigned(self.end_system_ms, 16),
            signal,
            _UNAVAILABLE,
            _UNAVAILABLE,
            _GAP_MINIMUM,
            _UNAVAILABLE if self.rating is None else min(round(self.rating), 100),
            _UNAVAILABLE,
            _tenths(self.listening_mos),
            _tenths(self.conversation_mos),
            _CONCEALED,
            delay,
            delay,
            delay,
        )
        return _block(_METRICS, body)


Block = ReferenceTime | LastReferenceTime | VoipMetrics


def parse_blocks(octets: memoryview) -> Iterator[Block]:
    """The blocks that we know of what follows an XR packet's SSRC.

    Others are skipped, and so is what is malformed; a block that is cut short ends them. Never
    raises.
    """
    at = 0
    while at + _BLOCK.size <= len(octets):
        kind, _, words = _BLOCK.unpack_from(octets, at)
        at += _BLOCK.size
        body = octets[at : at + 4 * words]
        at += 4 * words
        if len(body) < 4 * words:
            return
        if kind == _REFERENCE_TIME and len(body) == _TIMES.size:
            yield ReferenceTime(*_TIMES.unpack(body))
        elif kind == _LAST_REFERENCE_TIMES and len(body) % _TRIP.size == 0:
            for fields in _TRIP.iter_unpack(body):
                yield LastReferenceTime(*fields)
        elif kind == _METRICS and len(body) == _VOIP.size:
            yield _metrics(body)


def _metrics(body: memoryview) -> VoipMetrics:
    (
        ssrc,
        loss,
        discard,
        burst_density,
        gap_density,
        burst_ms,
        gap_ms,
        round_trip_ms,
        end_system_ms,
        signal,
        _,
        _,
        _,
        rating,
        _,
        listening,
        conversation,
        _,
        delay_ms,
        _,
        _,
    ) = _VOIP.unpack(body)
    return VoipMetrics(
        ssrc,
        loss / 256,
        discard / 256,
        burst_density / 256,
        gap_density / 256,
        burst_ms,
        gap_ms,
        round_trip_ms,
        end_system_ms,
        None if signal == _UNAVAILABLE else signal,
        rating if rating <= 100 else None,
        _opinion(listening),
        _opinion(conversation),
        delay_ms,
    )


def _block(kind: int, body: bytes) -> bytes:
    return _BLOCK.pack(kind, 0, len(body) // 4) + body


def _share(share: float) -> int:
    return max(0, min(int(256 * share), 255))


def _unsigned(value: float, bits: int) -> int:
    return max(0, min(round(value), (1 << bits) - 1))


def _tenths(mos: float | None) -> int:
    return _UNAVAILABLE if mos is None else max(10, min(round(10 * mos), 50))


def _opinion(tenths: int) -> float | None:
    return tenths / 10 if 10 <= tenths <= 50 else None
