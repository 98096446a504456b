"""Telephone events (RFC 4733) without I/O: digits heard once each, digits sent."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from endpoint.audio.codec import G711, encode
from endpoint.audio.dtmf import DIGITS, render_digit
from endpoint.audio.frame import FRAME_MS, FRAME_SAMPLES, frames_of

_EVENT = struct.Struct("!BBH")
_END = 0x80
_VOLUME = 10
_LONGEST = 0xFFFF
_RATE_HZ = 8000
_GONE_AFTER_S = 0.15
_LATE = 10 * _RATE_HZ


@dataclass(frozen=True, slots=True)
class Digit:
    """A digit that has ended."""

    digit: str
    duration_ms: int


class EventReceiver:
    """Makes one digit of the many packets of one event.

    An event is known by its timestamp. It is told at its first packet with the end bit; where all
    of those are lost, at the next event, or when nothing came for a while (`expire`). Where the
    start is lost the end is enough (§2.5.2.2).
    """

    def __init__(self) -> None:
        self._digit = ""
        self._start = -1
        self._duration = 0
        self._earlier = 0
        """Of the segments before, where an event outlasts its 16 bit (§2.5.1.3)."""
        self._is_told = True
        self._last_packet_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while a digit has begun and not been told."""
        return not self._is_told

    def receive(self, timestamp: int, payload: memoryview, now: float) -> list[Digit]:
        """Take the payload of one packet. Returns what has ended by it."""
        if len(payload) < _EVENT.size:
            return []
        code, flags, duration = _EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            return []
        told: list[Digit] = []
        if timestamp != self._start:
            if self._start >= 0 and 0 < (self._start - timestamp) & 0xFFFFFFFF < _LATE:
                return []
            is_next_segment = (
                self.is_open
                and DIGITS[code] == self._digit
                and (timestamp - self._start) & 0xFFFFFFFF == self._duration >= _LONGEST - _RATE_HZ
            )
            if is_next_segment:
                self._earlier += self._duration
            else:
                told = self._tell()
                self._digit, self._earlier, self._is_told = DIGITS[code], 0, False
            self._start, self._duration = timestamp, 0
        self._duration = max(self._duration, duration)
        self._last_packet_at = now
        if flags & _END:
            told += self._tell()
        return told

    def expire(self, now: float) -> list[Digit]:
        """The digit whose end was lost, once nothing has come of it for 150 ms."""
        if self.is_open and now - self._last_packet_at >= _GONE_AFTER_S:
            return self._tell()
        return []

    def restart(self) -> None:
        """The sender began anew: its timestamps have nothing to do with the last ones."""
        self._start = -1

    def _tell(self) -> list[Digit]:
        if self._is_told:
            return []
        self._is_told = True
        duration_ms = (self._earlier + self._duration) * 1000 // _RATE_HZ
        return [Digit(self._digit, duration_ms)]


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet of an event to send."""

    payload: bytes
    begins: bool


@dataclass(frozen=True, slots=True)
class ToneFrame:
    """20 ms of in-band tone to send, as code bytes."""

    codes: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """20 ms in which nothing is sent."""


Step = EventPacket | ToneFrame | Pause


class DigitSender:
    """The digits that wait to be sent from a port, as steps of 20 ms.

    As events, each digit is updated every 20 ms and its end is sent three times (§2.5.1.4).
    In-band, where the far end takes no events, it is the two tones.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[str, deque[Step]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, digits: str, duration_ms: int, gap_ms: int, in_band: G711 | None) -> None:
        """Let digits follow what waits already."""
        gap = -(-gap_ms // FRAME_MS)
        steps: deque[Step] = deque()
        for digit in digits:
            if in_band is None:
                steps += _event_steps(digit, duration_ms)
                steps += [Pause()] * max(0, gap - 2)
            else:
                tone = frames_of(render_digit(digit, duration_ms))
                steps += [ToneFrame(encode(in_band, frame)) for frame in tone]
                steps += [ToneFrame(bytes((in_band.silence,)) * FRAME_SAMPLES)] * gap
        if steps:
            self._batches.append((digits, steps))

    def take(self) -> tuple[Step, str]:
        """What is to be done in the next 20 ms, and the digits of which that is the last step."""
        digits, steps = self._batches[0]
        step = steps.popleft()
        if steps:
            return step, ""
        self._batches.popleft()
        return step, digits


def _event_steps(digit: str, duration_ms: int) -> list[Step]:
    code = DIGITS.index(digit)
    count = max(2, -(-duration_ms // FRAME_MS))
    steps: list[Step] = [
        EventPacket(_EVENT.pack(code, _VOLUME, number * FRAME_SAMPLES), begins=number == 1)
        for number in range(1, count)
    ]
    end = EventPacket(_EVENT.pack(code, _END | _VOLUME, count * FRAME_SAMPLES), begins=False)
    return [*steps, end, end, end]
