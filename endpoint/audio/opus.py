"""Opus (RFC 6716, RFC 7587) by libopus itself, which FFmpeg's wrapper does not show in full.

Called directly it decodes to any of its rates, conceals losses, reads the error correction in the
packet that follows a lost one, and folds stereo to mono without the 3 dB that FFmpeg takes. It is
the library that the `av` package brings along, or else the system's; neither loads FFmpeg.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from endpoint.audio.coder import EncoderSettings
from endpoint.audio.frame import Samples
from endpoint.errors import AudioError

SAMPLE_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
PACKET_MS = (10, 20, 40, 60)
"""What is encoded at once."""
DTX_OCTETS = 2
"""A payload this short says that nobody speaks, and for how long it holds nobody knows."""
_LONGEST_MS = 120
_MOST_OCTETS = 1275 * 3 + 7
_VOIP = 2048
_SET_BITRATE = 4002
_SET_VBR = 4006
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERCENT = 4014
_SET_DTX = 4016
_SET_SIGNAL = 4024
_SIGNAL_VOICE = 3001


def _paths() -> list[str]:
    """Where libopus may be, best first."""
    found = find_spec("av")
    beside = Path(found.origin).parent if found is not None and found.origin else None
    bundled = (
        [*beside.parent.glob("av.libs/libopus*"), *beside.glob(".dylibs/libopus*")]
        if beside is not None
        else []
    )
    return [*(str(path) for path in sorted(bundled)), "libopus.so.0", "libopus.0.dylib"]


@cache
def library() -> ctypes.CDLL | None:
    """Libopus, or None where there is none. The first call loads it."""
    for path in _paths():
        try:
            return _declared(ctypes.CDLL(path))
        except (OSError, AttributeError):
            continue
    return None


def _declared(opus: ctypes.CDLL) -> ctypes.CDLL:
    handle, number, octets = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    opus.opus_encoder_create.restype = handle
    opus.opus_encoder_create.argtypes = [number, number, number, ctypes.POINTER(number)]
    opus.opus_encoder_destroy.argtypes = [handle]
    opus.opus_encoder_ctl.argtypes = [handle, number]
    opus.opus_encode.restype = number
    opus.opus_encode.argtypes = [handle, handle, number, handle, number]
    opus.opus_decoder_create.restype = handle
    opus.opus_decoder_create.argtypes = [number, number, ctypes.POINTER(number)]
    opus.opus_decoder_destroy.argtypes = [handle]
    opus.opus_decode.restype = number
    opus.opus_decode.argtypes = [handle, octets, number, handle, number, number]
    opus.opus_strerror.restype = octets
    opus.opus_strerror.argtypes = [number]
    return opus


def _loaded() -> ctypes.CDLL:
    opus = library()
    if opus is None:
        raise AudioError("libopus is not installed (Debian: apt install libopus0)")
    return opus


def _check(opus: ctypes.CDLL, result: int, what: str) -> int:
    """The result, where it is none of libopus's negative error codes."""
    if result < 0:
        raise AudioError(f"Opus {what}: {opus.opus_strerror(result).decode()}")
    return result


class OpusEncoder:
    """One stream's encoder, mono, tuned for speech. Its state is freed with it."""

    def __init__(self, sample_rate_hz: int, settings: EncoderSettings) -> None:
        self._state = None
        self._opus = opus = _loaded()
        self._sample_rate_hz = sample_rate_hz
        self._lengths = {ms * sample_rate_hz // 1000 for ms in PACKET_MS}
        self._payload = ctypes.create_string_buffer(_MOST_OCTETS)
        error = ctypes.c_int32()
        state = opus.opus_encoder_create(sample_rate_hz, 1, _VOIP, ctypes.byref(error))
        _check(opus, error.value, "encoder")
        self._state = state
        for request, value in (
            (_SET_BITRATE, settings.bit_rate),
            (_SET_VBR, int(not settings.cbr)),
            (_SET_COMPLEXITY, settings.complexity),
            (_SET_INBAND_FEC, int(settings.fec)),
            (_SET_PACKET_LOSS_PERCENT, settings.expected_loss_percent),
            (_SET_DTX, int(settings.dtx)),
            (_SET_SIGNAL, _SIGNAL_VOICE),
        ):
            setting = opus.opus_encoder_ctl(self._state, request, ctypes.c_int32(value))
            _check(opus, setting, f"setting {request} = {value}")

    def __del__(self) -> None:
        if self._state:
            self._opus.opus_encoder_destroy(self._state)

    def encode(self, samples: Samples) -> bytes:
        """The payload for 10, 20, 40 or 60 ms; one or two octets while DTX has nothing to say.

        Raises:
            AudioError: another length.
        """
        if len(samples) not in self._lengths:
            raise AudioError(f"Opus can't encode {len(samples)} samples as a packet")
        wave = np.ascontiguousarray(samples, dtype=np.int16)
        size = self._opus.opus_encode(
            self._state, wave.ctypes.data, len(wave), self._payload, _MOST_OCTETS
        )
        return ctypes.string_at(self._payload, _check(self._opus, size, "encoding"))


class OpusDecoder:
    """One stream's decoder to mono at the rate wanted. Its state is freed with it."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._state = None
        self._opus = opus = _loaded()
        self._most = _LONGEST_MS * sample_rate_hz // 1000
        self._step = sample_rate_hz // 400
        self._wave: Samples = np.zeros(self._most, dtype=np.int16)
        error = ctypes.c_int32()
        state = opus.opus_decoder_create(sample_rate_hz, 1, ctypes.byref(error))
        _check(opus, error.value, "decoder")
        self._state = state

    def __del__(self) -> None:
        if self._state:
            self._opus.opus_decoder_destroy(self._state)

    def decode(self, payload: bytes) -> Samples:
        """The audio of a payload, 2.5 to 120 ms. Raises AudioError for one that is none."""
        if not payload:
            raise AudioError("an empty Opus payload")
        return self._decode(payload, self._most, fec=False)

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """The lost audio: from the copy in `following` where it holds one, else guessed.

        libopus counts in 2.5 ms; other lengths are cut from the next longer one.
        """
        parts: list[Samples] = [self._wave[:0]]
        missing = samples
        while missing > 0:
            most = min(-(-missing // self._step) * self._step, self._most)
            parts.append(self._rescue(following if most >= missing else None, most))
            missing -= len(parts[-1])
        return np.concatenate(parts)[:samples]

    def _rescue(self, following: bytes | None, samples: int) -> Samples:
        if following:
            try:
                return self._decode(following, samples, fec=True)
            except AudioError:
                pass  # It will be told again when that packet's own turn comes.
        return self._decode(None, samples, fec=False)

    def _decode(self, payload: bytes | None, most: int, *, fec: bool) -> Samples:
        count = self._opus.opus_decode(
            self._state, payload, len(payload or b""), self._wave.ctypes.data, most, int(fec)
        )
        return self._wave[: _check(self._opus, count, "decoding")].copy()
