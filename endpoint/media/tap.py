"""Taps: what passes a port, decoded on the plane's clock, without touching what passes."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path

import numpy as np

from endpoint.audio.codec import G711, decode
from endpoint.audio.frame import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from endpoint.audio.jitter import JitterBuffer
from endpoint.audio.wav import WavWriter
from endpoint.errors import MediaError

_SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)
_FRAMES_A_WRITE = 25


class Tap:
    """One direction of one RTP port: packets in, a frame every 20 ms out."""

    def __init__(self, delay_ms: int) -> None:
        self.law = G711.PCMU
        self._buffer = JitterBuffer(self.law.silence, delay_ms * SAMPLE_RATE_HZ // 1000)

    @property
    def late_packets(self) -> int:
        """Packets that came too late for the jitter buffer."""
        return self._buffer.late_packets

    def receive(self, timestamp: int, law: G711, codes: bytes) -> None:
        """Take the payload of a packet that passes."""
        if law is not self.law:
            self.law = law
            self._buffer.reset(law.silence)
        self._buffer.put(timestamp, codes)

    def take_codes(self) -> bytes:
        """The next 20 ms, undecoded; `law` says how to read it."""
        return self._buffer.take(FRAME_SAMPLES)

    def rest(self) -> bytes:
        """What waits in the jitter buffer, undecoded; it stays there."""
        return self._buffer.rest()

    def take(self) -> Samples:
        """The next 20 ms."""
        return decode(self.law, self.take_codes())


class Listener:
    """Keeps the last seconds that were heard."""

    def __init__(self, keep_s: float) -> None:
        self._frames: deque[Samples] = deque(maxlen=max(1, round(keep_s * 1000 / FRAME_MS)))

    def hear(self, frame: Samples) -> None:
        """The next 20 ms."""
        self._frames.append(frame)

    def last(self, last_ms: int) -> bytes:
        """The end of what is kept, 16 bit little-endian; shorter where less has been heard."""
        count = min(max(0, last_ms // FRAME_MS), len(self._frames))
        newest = list(self._frames)[len(self._frames) - count :]
        return np.concatenate([*newest, _SILENCE[:0]]).astype("<i2").tobytes()


class Recording:
    """A stereo WAV file of a port: left what it says to us, right what it hears, on one clock.

    Raises MediaError where the file can't be opened. Writing happens every half second; what was
    written before can be played whatever happens.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with contextlib.ExitStack() as undo:
                self._file = undo.enter_context(Path(path).open("wb", buffering=0))
                self._writer = WavWriter(self._file, SAMPLE_RATE_HZ, 2)
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
