"""WAV files: read whole, written piece by piece so that a killed writer leaves a playable file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from errno import ENOSPC
from os import SEEK_END
from pathlib import Path
from typing import Protocol

import numpy as np

from endpoint.audio.codec import G711, decode
from endpoint.audio.frame import Samples
from endpoint.audio.resample import resample
from endpoint.errors import AudioError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
HEADER_SIZE = _HEADER.size
"""Of a file that we have written."""
_FORMAT = struct.Struct("<HHIIHH")
_CHUNK = struct.Struct("<4sI")
_EXTENSIBLE = 0xFFFE
_MOST = 0xFFFFFFFF
"""What a size can say: a longer file (37 hours in stereo) is still read as far as it goes."""
_RATES_HZ = range(4000, 384001)


class _Format(IntEnum):
    PCM = 1
    A_LAW = 6
    MU_LAW = 7


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono audio with its rate."""

    samples: Samples
    sample_rate_hz: int

    def at(self, sample_rate_hz: int) -> Samples:
        """The samples at another rate."""
        return resample(self.samples, self.sample_rate_hz, sample_rate_hz)


def read_wav(octets: bytes) -> Sound:
    """Read a whole file: PCM of 8, 16 or 24 bit, A-law or mu-law; channels are averaged.

    A data chunk that is cut short, or whose size was never filled in, is read as far as it goes.

    Raises:
        AudioError: not a WAV file, or one of a kind that is not supported; the text says what.
    """
    if len(octets) < 12 or octets[:4] != b"RIFF" or octets[8:12] != b"WAVE":
        raise AudioError("not a WAV file")
    kind: tuple[int, int, int, int] | None = None
    at = 12
    while at + _CHUNK.size <= len(octets):
        name, size = _CHUNK.unpack_from(octets, at)
        at += _CHUNK.size
        if name == b"fmt ":
            kind = _read_format(octets[at : at + size])
        elif name == b"data":
            if kind is None:
                raise AudioError("the WAV file has no format before its data")
            tag, channels, sample_rate_hz, bits = kind
            samples = _decode(octets[at : at + size], tag, bits)
            whole = samples[: len(samples) // channels * channels].reshape(-1, channels)
            mono = whole[:, 0] if channels == 1 else whole.mean(axis=1).astype(np.int16)
            return Sound(mono, sample_rate_hz)
        at += size + size % 2
    raise AudioError("the WAV file holds no audio")


def _read_format(chunk: bytes) -> tuple[int, int, int, int]:
    if len(chunk) < _FORMAT.size:
        raise AudioError("the WAV file's format is cut short")
    tag, channels, sample_rate_hz, _, _, bits = _FORMAT.unpack_from(chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    if not 1 <= channels <= 16 or sample_rate_hz not in _RATES_HZ:
        raise AudioError(f"a WAV file of {channels} channels at {sample_rate_hz} Hz")
    return tag, channels, sample_rate_hz, bits


def _decode(octets: bytes, tag: int, bits: int) -> Samples:
    whole = octets[: len(octets) // max(1, bits // 8) * max(1, bits // 8)]
    if (tag, bits) == (_Format.PCM, 8):
        return (np.frombuffer(whole, np.uint8).astype(np.int16) - 128) << 8
    if (tag, bits) == (_Format.PCM, 16):
        return np.frombuffer(whole, "<i2").astype(np.int16)
    if (tag, bits) == (_Format.PCM, 24):
        # The upper two of three bytes; 16 bit is all that telephony keeps.
        octet = np.frombuffer(whole, np.uint8).reshape(-1, 3)
        return np.ascontiguousarray(octet[:, 1:]).view("<i2")[:, 0].astype(np.int16)
    if (tag, bits) == (_Format.A_LAW, 8):
        return decode(G711.PCMA, whole)
    if (tag, bits) == (_Format.MU_LAW, 8):
        return decode(G711.PCMU, whole)
    raise AudioError(f"a WAV file of format {tag} with {bits} bit is not supported")


class Writable(Protocol):
    """What audio is written to."""

    def write(self, octets: bytes, /) -> int | None:
        """Append; returns how many were taken."""

    def seek(self, place: int, whence: int = 0, /) -> int:
        """Go elsewhere; not needed where it is streamed."""


class WavWriter:
    """Writes 16 bit PCM to an unbuffered file that it is given; closing it stays the caller's.

    Every write leaves a header that tells the truth, so what is on disk can be played at any time.
    One that is `streamed` to where nothing can be written twice says as many as can be said, and
    `header_of` says what it should be.
    """

    def __init__(
        self, file: Writable, sample_rate_hz: int, channels: int, *, streamed: bool = False
    ) -> None:
        self._file = file
        self._streamed = streamed
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._octets = 0
        self._write(self._header())

    @property
    def duration_ms(self) -> int:
        """Of what has been written."""
        return self._octets * 1000 // (2 * self._channels * self._sample_rate_hz)

    def write(self, samples: Samples) -> None:
        """Append audio: one dimension for mono, (time, channels) for more.

        Raises:
            OSError: the disk is full or gone. What was written before stays playable.
        """
        self._write(samples.astype("<i2").tobytes())
        self._octets += samples.size * 2
        if not self._streamed:
            self._file.seek(0)
            self._write(self._header())
            self._file.seek(0, SEEK_END)

    def _write(self, octets: bytes) -> None:
        # An unbuffered file says by a short count that the disk is full.
        if (self._file.write(octets) or 0) < len(octets):
            raise OSError(ENOSPC, "the disk is full")

    def _header(self) -> bytes:
        frame = 2 * self._channels
        octets = _MOST if self._streamed else self._octets
        return _HEADER.pack(
            b"RIFF",
            min(36 + octets, _MOST),
            b"WAVE",
            b"fmt ",
            16,
            _Format.PCM,
            self._channels,
            self._sample_rate_hz,
            self._sample_rate_hz * frame,
            frame,
            16,
            b"data",
            min(octets, _MOST),
        )


def header_of(header: bytes, size: int) -> bytes:
    """What the first octets of a file of ours should be, now that it is so long."""
    fields = list(_HEADER.unpack(header))
    fields[1], fields[-1] = min(size - 8, _MOST), min(size - HEADER_SIZE, _MOST)
    return _HEADER.pack(*fields)


def mend(path: Path) -> None:
    """Have the header of a file of ours say how long the file is. Raises OSError, AudioError.

    Its writer may have been killed between writing audio and saying so.
    """
    with path.open("r+b") as file:
        header = file.read(HEADER_SIZE)
        if len(header) < HEADER_SIZE or header[:4] != b"RIFF":
            raise AudioError(f"{path.name} is no WAV file of ours")
        frame = _HEADER.unpack(header)[9]
        size = file.seek(0, SEEK_END)
        size -= (size - HEADER_SIZE) % frame
        file.truncate(size)
        file.seek(0)
        file.write(header_of(header, size))
