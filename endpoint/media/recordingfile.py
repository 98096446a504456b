"""The file of a recording: WAV or Opus in Ogg, sealed where there is a key, playable at any time.

What was given to `write` is on disk a second later at the latest, in a form that players take: the
header of a WAV file is kept true, and Ogg's pages are half a second long.
"""

from __future__ import annotations

import os
from errno import ENOSPC
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream

from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.audio.wav import WavWriter
from endpoint.errors import MediaError
from endpoint.media.recordingmessages import Format
from endpoint.media.sealed import SealedWriter

_FRAMES_A_WRITE = 500 // FRAME_MS
_PAGE_US = 500_000
_BIT_RATE = 48_000
"""Of both sides together. Below that libopus mixes them into each other."""


class _Plain:
    """An unbuffered file, as what a `SealedWriter` is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, octets: bytes) -> int:
        if self._file.write(octets) < len(octets):
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        return len(octets)

    def seek(self, place: int, whence: int = 0, /) -> int:
        return self._file.seek(place, whence)

    def flush(self) -> None:
        """It is on disk already."""

    def finish(self) -> None:
        """As above."""


class _Wav:
    def __init__(self, out: _Plain | SealedWriter, sample_rate_hz: int) -> None:
        streamed = isinstance(out, SealedWriter)
        self._writer = WavWriter(out, sample_rate_hz, 2, streamed=streamed)

    def write(self, frames: Samples) -> None:
        self._writer.write(frames)

    def finish(self) -> None:
        """Nothing is held back."""


class _Ogg:
    def __init__(self, out: _Plain | SealedWriter, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._written = 0
        self._frame = sample_rate_hz * FRAME_MS // 1000
        options = {"page_duration": str(_PAGE_US), "flush_packets": "1"}
        self._container = av.open(_OnlyForward(out), "w", format="ogg", options=options)
        # For voice libopus would put both into the middle where they are alike.
        settings = {"application": "audio", "frame_duration": str(FRAME_MS)}
        stream = self._container.add_stream("libopus", rate=sample_rate_hz, options=settings)
        assert isinstance(stream, AudioStream)
        stream.layout, stream.bit_rate = "stereo", _BIT_RATE
        self._stream = stream

    def write(self, frames: Samples) -> None:
        for begin in range(0, len(frames), self._frame):
            samples = np.ascontiguousarray(frames[begin : begin + self._frame]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = self._sample_rate_hz, self._written
            self._written += frame.samples
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


class _OnlyForward:
    """What FFmpeg writes to: with `seek` it would go back to tell a duration that Ogg has not."""

    def __init__(self, out: _Plain | SealedWriter) -> None:
        self._out = out

    def write(self, octets: bytes) -> int:
        return self._out.write(bytes(octets))


class RecordingFile:
    """A stereo file of 16 bit and 20 ms frames. It is made readable for us alone."""

    def __init__(
        self,
        path: Path,
        format: Format,
        sample_rate_hz: int,
        *,
        key: bytes = b"",
        least_free: int = 0,
    ) -> None:
        """Make the file, which may not be there yet.

        Args:
            path: in a directory that is made too.
            format: how the audio is written.
            sample_rate_hz: 8000 or 16000.
            key: what it is encrypted by; empty: it is not.
            least_free: octets that must stay free on the disk.

        Raises:
            MediaError: it can't be made, or the disk is too full.
        """
        self._path = path
        self._least_free = least_free
        self._waiting: list[Samples] = []
        self._sample_rate_hz = sample_rate_hz
        self._samples = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_room()
            self._file = _made(path)
        except OSError as exc:
            raise MediaError(f"can't record to {path}: {exc.strerror or exc}") from exc
        try:
            self._out = SealedWriter(self._file, key) if key else _Plain(self._file)
            kind = _Wav if format is Format.WAV else _Ogg
            self._coder: _Wav | _Ogg = kind(self._out, sample_rate_hz)
            self._out.flush()
        except (OSError, av.FFmpegError) as exc:
            self._file.close()
            path.unlink(missing_ok=True)
            raise MediaError(f"can't record to {path}: {exc.strerror or exc}") from exc

    @property
    def duration_ms(self) -> int:
        """Of what is in the file."""
        return self._samples * 1000 // self._sample_rate_hz

    def write(self, frame: Samples) -> None:
        """The next 20 ms of both sides, as (time, side). Raises OSError: full or gone."""
        self._waiting.append(frame)
        if len(self._waiting) >= _FRAMES_A_WRITE:
            self._check_room()
            self._write()

    def finish(self) -> None:
        """Write what waits and close. Raises OSError; the file is closed anyway."""
        try:
            self._write()
            self._coder.finish()
            self._out.finish()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close without writing more: what is there can be played."""
        self._file.close()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            frames = np.concatenate(waiting)
            self._coder.write(frames)
            self._out.flush()
            self._samples += len(frames)

    def _check_room(self) -> None:
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < self._least_free:
            text = f"less than {self._least_free >> 20} MB are free on the disk"
            raise OSError(ENOSPC, text)


def _made(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)
