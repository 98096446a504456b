"""From packets as they came to the two sides of a recording, on times that are told.

No clock and no socket: whoever has both says until when everything has come. So how late that is
looked at changes nothing of what is heard, and a writer that was held up catches up.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.media.payload import codec_of
from endpoint.media.recordingmessages import CODEC, END, NOISE, Entry, decode_codec
from endpoint.media.tap import Tap

_FRAME_S = FRAME_MS / 1000
_FORGOTTEN_S = 10.0
"""A voice that nobody wants so long after its last packet is gone."""


class Heard:
    """One voice: its packets that wait for their time, and the jitter buffer behind them."""

    def __init__(self, now: float) -> None:
        self.last_at = now
        """When it was last told of."""
        self.is_over = False
        self._entries: deque[Entry] = deque()
        self._tap = Tap()
        self._tap.join()

    def take(self, entry: Entry) -> None:
        """What came, in order."""
        self._entries.append(entry)
        self.last_at = entry[1]
        self.is_over = entry[2] == END

    def frame(self, now: float, sample_rate_hz: int) -> Samples:
        """The 20 ms that are heard at `now`; to be asked once for each of them."""
        while self._entries and self._entries[0][1] <= now:
            self._hear(self._entries.popleft())
        return self._tap.take(now, sample_rate_hz)

    def _hear(self, entry: Entry) -> None:
        _, at, timestamp, payload = entry
        match timestamp:
            case _ if timestamp >= 0:
                self._tap.receive(timestamp, payload, at)
            case _ if timestamp == NOISE:
                self._tap.receive_noise(payload)
            case _ if timestamp == CODEC:
                with contextlib.suppress(msgspec.DecodeError):
                    self._tap.use(codec_of(decode_codec(payload)))


@dataclass(slots=True)
class _Change:
    at: float
    left: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(slots=True)
class Mixdown:
    """One recording: who is on which side, from when on."""

    sample_rate_hz: int
    next_at: float
    """The time of the next frame."""
    ends_at: float | None = None
    """No frame is made from then on."""
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    _changes: deque[_Change] = field(default_factory=deque)

    def change(self, at: float, left: Iterable[int], right: Iterable[int]) -> None:
        """Who is on it from `at` on; later than what was said before."""
        self._changes.append(_Change(at, tuple(left), tuple(right)))

    @property
    def wants(self) -> set[int]:
        """All that are on it, or will be."""
        coming = (number for each in self._changes for number in (*each.left, *each.right))
        return {*self.left, *self.right, *coming}

    @property
    def is_over(self) -> bool:
        """Whether every frame was made."""
        return self.ends_at is not None and self.next_at >= self.ends_at

    def frames(self, until: float, voices: dict[int, Heard]) -> Iterable[Samples]:
        """The frames up to a time, as (time, side), while they are asked for."""
        while self.next_at <= until and not self.is_over:
            now = self.next_at
            while self._changes and self._changes[0].at <= now:
                change = self._changes.popleft()
                self.left, self.right = change.left, change.right
            yield np.stack([self._mixed(side, now, voices) for side in (self.left, self.right)], 1)
            self.next_at += _FRAME_S

    def _mixed(self, side: tuple[int, ...], now: float, voices: dict[int, Heard]) -> Samples:
        there = [voices[number] for number in side if number in voices]
        if not there:
            return np.zeros(self.sample_rate_hz * FRAME_MS // 1000, dtype=np.int16)
        if len(there) == 1:
            return there[0].frame(now, self.sample_rate_hz)
        mixed = np.sum([each.frame(now, self.sample_rate_hz) for each in there], 0, dtype=np.int32)
        return np.clip(mixed, -32768, 32767).astype(np.int16)


class VoiceBox:
    """The voices of all media workers, whoever is recorded."""

    def __init__(self) -> None:
        self.voices: dict[int, Heard] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """What a media worker has handed over."""
        for entry in entries:
            voice = self.voices.get(entry[0])
            if voice is None:
                voice = self.voices[entry[0]] = Heard(entry[1])
            voice.take(entry)

    def forget(self, wanted: set[int], until: float) -> None:
        """Let go of those that are over, or of whom nobody has heard for long."""
        for number, voice in [*self.voices.items()]:
            if number not in wanted and (voice.is_over or voice.last_at < until - _FORGOTTEN_S):
                del self.voices[number]
