"""Telephone events (RFC 4733) without I/O: digits heard once each, digits sent."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from endpoint.audio.dtmf import DIGITS, render_digit
from endpoint.audio.frame import FRAME_MS, Samples, frames_of

_EVENT = struct.Struct("!BBH")
_END = 0x80
_VOLUME = 10
_LONGEST = 0xFFFF
_GONE_AFTER_S = 0.15
_LATE_S = 10


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
        self._rate_hz = 8000
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

    def receive(
        self, timestamp: int, payload: memoryview, now: float, rate_hz: int = 8000
    ) -> list[Digit]:
        """Take the payload of one packet, by a clock of this rate. Returns what has ended by it."""
        if len(payload) < _EVENT.size:
            return []
        code, flags, duration = _EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            return []
        told: list[Digit] = []
        if timestamp != self._start:
            late = (self._start - timestamp) & 0xFFFFFFFF
            if self._start >= 0 and 0 < late < _LATE_S * rate_hz:
                return []
            step = (timestamp - self._start) & 0xFFFFFFFF
            is_next_segment = (
                self.is_open
                and DIGITS[code] == self._digit
                # The full length, also where the packet that said so was lost.
                and (step == _LONGEST or step == self._duration >= _LONGEST - rate_hz)
            )
            if is_next_segment:
                self._earlier += step
            else:
                told = self._tell()
                self._digit, self._earlier, self._is_told = DIGITS[code], 0, False
                self._rate_hz = rate_hz
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
        duration_ms = (self._earlier + self._duration) * 1000 // self._rate_hz
        return [Digit(self._digit, duration_ms)]


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet of an event to send."""

    payload: bytes
    begins: bool
    advance: int = 0
    """By how many ticks its timestamp is later than the one before: it begins a segment."""


@dataclass(frozen=True, slots=True, eq=False)
class ToneFrame:
    """20 ms of in-band tone to send."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Pause:
    """20 ms of silence between two events."""


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

    def add_events(self, digits: str, duration_ms: int, gap_ms: int, rate_hz: int = 8000) -> None:
        """Let digits follow what waits already, as events of a clock of this rate."""
        pauses = max(0, _frames_in(gap_ms) - 2)
        self._add(
            digits, lambda digit: [*_event_steps(digit, duration_ms, rate_hz), *[Pause()] * pauses]
        )

    def add_tones(self, digits: str, duration_ms: int, gap_ms: int, sample_rate_hz: int) -> None:
        """Let digits follow what waits already, as audio of this rate."""
        silence = frames_of(np.zeros(gap_ms * sample_rate_hz // 1000, np.int16), sample_rate_hz)

        def steps(digit: str) -> list[Step]:
            tone = render_digit(digit, duration_ms, sample_rate_hz=sample_rate_hz)
            return [ToneFrame(frame) for frame in (*frames_of(tone, sample_rate_hz), *silence)]

        self._add(digits, steps)

    def _add(self, digits: str, steps_of: Callable[[str], list[Step]]) -> None:
        steps = deque(step for digit in digits for step in steps_of(digit))
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


def _frames_in(duration_ms: int) -> int:
    return -(-duration_ms // FRAME_MS)


def _event_steps(digit: str, duration_ms: int, rate_hz: int) -> list[Step]:
    code = DIGITS.index(digit)
    count = max(2, _frames_in(duration_ms))
    steps: list[Step] = []
    start = advance = 0
    for number in range(1, count + 1):
        duration = number * rate_hz * FRAME_MS // 1000 - start
        # A field of 16 bit holds 1.3 s at 48 kHz: a segment that is full is said to be, without an
        # end, and the next one follows (§2.5.1.3).
        if duration > _LONGEST:
            full = _EVENT.pack(code, _VOLUME, _LONGEST)
            steps.append(EventPacket(full, begins=not steps, advance=advance))
            start, advance, duration = start + _LONGEST, _LONGEST, duration - _LONGEST
        elif number < count:
            update = _EVENT.pack(code, _VOLUME, duration)
            steps.append(EventPacket(update, begins=not steps, advance=advance))
            advance = 0
    end = _EVENT.pack(code, _END | _VOLUME, duration)
    return [
        *steps,
        EventPacket(end, begins=False, advance=advance),
        *[EventPacket(end, begins=False)] * 2,
    ]
