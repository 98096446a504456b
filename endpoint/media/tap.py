"""Taps: what passes a port, decoded on the plane's clock, without touching what passes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np

from endpoint.audio.arrival import DelaySettings
from endpoint.audio.codec import AudioCodec
from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.audio.playout import Packet, Playout
from endpoint.audio.rateconverter import convert
from endpoint.audio.wav import WavWriter
from endpoint.errors import MediaError

_FRAMES_A_WRITE = 25


class PlayoutCounts(NamedTuple):
    """What a jitter buffer has done, over all codecs that came."""

    late: int = 0
    """Packets that came after their time."""
    discarded: int = 0
    """That came, but too much waited already."""
    undecodable: int = 0
    concealed_ms: float = 0.0
    """Audio that was made up for what was lost or late."""


class Tap:
    """One direction of one RTP port: packets in, a frame every 20 ms out.

    One jitter buffer for all that hear along, so that it is decoded once: each reads the same
    frame in a tick. While nobody does, it keeps nothing.
    """

    def __init__(self, delay: DelaySettings | None = None) -> None:
        self.codec: AudioCodec | None = None
        """What comes; None while unknown, or where we can't decode it."""
        self.playout: Playout | None = None
        """Its jitter buffer; None while nobody hears along, or nothing can be decoded."""
        self._delay = delay
        self._listeners = 0
        self._earlier = PlayoutCounts()
        """Of jitter buffers that are gone."""
        self._read_at = -1.0
        self._frame = self._before = b""

    @property
    def is_heard(self) -> bool:
        """True while somebody hears along."""
        return self._listeners > 0

    @property
    def counts(self) -> PlayoutCounts:
        """Of the times in which somebody heard along."""
        earlier, playout = self._earlier, self.playout
        if playout is None:
            return earlier
        return PlayoutCounts(
            earlier.late + playout.late_packets,
            earlier.discarded + playout.discarded_packets,
            earlier.undecodable + playout.bad_packets,
            earlier.concealed_ms + playout.concealed_ms,
        )

    def join(self, latest: Iterable[Packet] = (), now: float = inf) -> None:
        """One more hears along, at `now`; `latest` came last until then."""
        self._listeners += 1
        if self.playout is None:
            self._begin()
            if self.playout is not None:
                self.playout.catch_up(latest, now)

    def leave(self) -> None:
        """One fewer does."""
        self._listeners -= 1
        if not self._listeners:
            self._begin()

    def use(self, codec: AudioCodec | None) -> None:
        """What comes from now on has this codec."""
        if codec != self.codec:
            self.codec = codec
            self._begin()

    def receive(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take the payload of a packet that passes."""
        if self.playout is not None:
            self.playout.put(timestamp, payload, now)

    def receive_noise(self, payload: bytes) -> None:
        """Take the payload of a packet of comfort noise (RFC 3389)."""
        if self.playout is not None:
            self.playout.put_noise(payload)

    def read(self, now: float) -> bytes:
        """The 20 ms that are heard at `now`, as `Playout.read`; empty where there is no codec."""
        if now != self._read_at and self.playout is not None:
            self._before, self._frame = self._frame, self.playout.read(now)
            self._read_at = now
        return self._frame

    def take(self, now: float, sample_rate_hz: int) -> Samples:
        """The same as samples of any rate."""
        octets, size = self.read(now), sample_rate_hz * FRAME_MS // 1000
        if self.playout is None or self.codec is None:
            return np.zeros(size, dtype=np.int16)
        frame = self.playout.decoded(octets)
        if sample_rate_hz == self.codec.sample_rate_hz:
            return frame
        before = self.playout.decoded(self._before) if self._before else np.zeros_like(frame)
        frames = convert(frame[None], before[None], self.codec.sample_rate_hz, sample_rate_hz)
        return frames.reshape(size)

    def _begin(self) -> None:
        self._earlier = self.counts
        is_of_use = self._listeners and self.codec is not None
        self.playout = Playout(self.codec, self._delay) if self.codec and is_of_use else None
        self._read_at = -1.0
        self._frame = self._before = b""


class Listener:
    """Keeps the last seconds that were heard."""

    def __init__(self, keep_s: float, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._frames: deque[Samples] = deque(maxlen=max(1, round(keep_s * 1000 / FRAME_MS)))

    def hear(self, frame: Samples) -> None:
        """The next 20 ms."""
        self._frames.append(frame)

    def last(self, last_ms: int) -> bytes:
        """The end of what is kept, 16 bit little-endian; shorter where less has been heard."""
        count = min(max(0, last_ms // FRAME_MS), len(self._frames))
        newest = list(self._frames)[len(self._frames) - count :]
        return b"".join([frame.astype("<i2").tobytes() for frame in newest])


class Recording:
    """A stereo WAV file of a port: left what it says to us, right what it hears, on one clock.

    Raises MediaError where the file can't be opened. Writing happens every half second; what was
    written before can be played whatever happens.
    """

    def __init__(self, path: str, sample_rate_hz: int) -> None:
        self.path = path
        self.sample_rate_hz = sample_rate_hz
        try:
            with contextlib.ExitStack() as undo:
                self._file = undo.enter_context(Path(path).open("wb", buffering=0))
                self._writer = WavWriter(self._file, sample_rate_hz, 2)
                undo.pop_all()
        except OSError as exc:
            raise MediaError(f"can't record to {path}: {exc.strerror}") from exc
        except ValueError as exc:
            raise MediaError(f"can't record to {path!r}: {exc}") from exc
        self._waiting: list[Samples] = []

    @property
    def duration_ms(self) -> int:
        """Of what is in the file."""
        return self._writer.duration_ms

    def record(self, left: Samples, right: Samples) -> None:
        """The next 20 ms. Raises OSError when the disk is full or gone."""
        self._waiting.append(np.stack([left, right], axis=1))
        if len(self._waiting) >= _FRAMES_A_WRITE:
            self._write()

    def finish(self) -> None:
        """Write what waits and close. Raises OSError as `record`; the file is closed anyway."""
        try:
            self._write()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close without writing more."""
        self._file.close()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write(np.concatenate(waiting))
