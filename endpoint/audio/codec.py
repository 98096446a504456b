"""G.711 mu-law and A-law, by table (ITU-T G.711). One code byte is one sample of 8 kHz audio."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples


class G711(IntEnum):
    """The two laws. The value is the row in `DECODE_TABLES` and `ENCODE_TABLES`."""

    PCMU = 0
    PCMA = 1

    @property
    def silence(self) -> int:
        """The code byte of no sound."""
        return _SILENCE[self]


_SILENCE = {G711.PCMU: 0xFF, G711.PCMA: 0xD5}
_MU_BIAS = 132
_MU_CLIP = 32635


def _mu_law_decoding() -> Samples:
    code = ~np.arange(256) & 0xFF
    exponent = code >> 4 & 7
    magnitude = (((code & 15) << 3) + _MU_BIAS << exponent) - _MU_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _mu_law_encoding() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(linear), _MU_CLIP) + _MU_BIAS
    exponent = np.log2(magnitude).astype(np.int32) - 7
    code = exponent << 4 | magnitude >> exponent + 3 & 15 | np.where(linear < 0, 0x80, 0)
    codes: npt.NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return codes


def _a_law_decoding() -> Samples:
    code = np.arange(256) ^ 0x55
    exponent = code >> 4 & 7
    step = (code & 15) << 4
    magnitude = np.where(exponent == 0, step + 8, step + 0x108 << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _a_law_encoding() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    # One's complement below zero: G.711 has no zero level, -1 and 0 are the two smallest steps.
    magnitude = np.where(linear < 0, ~linear, linear)
    exponent = np.maximum(np.log2(np.maximum(magnitude, 1)).astype(np.int32) - 7, 0)
    mantissa = np.where(exponent == 0, magnitude >> 4, magnitude >> exponent + 3) & 15
    code = exponent << 4 | mantissa | np.where(linear < 0, 0, 0x80)
    return ((code ^ 0x55) & 0xFF).astype(np.uint8)


DECODE_TABLES: Samples = np.stack([_mu_law_decoding(), _a_law_decoding()])
"""(2, 256): code byte to linear sample, a row a law."""
ENCODE_TABLES: npt.NDArray[np.uint8] = np.stack([_mu_law_encoding(), _a_law_encoding()])
"""(2, 65536): linear sample, taken as unsigned, to code byte."""


def decode(law: G711, codes: bytes | memoryview) -> Samples:
    """Code bytes to linear samples, one for one."""
    return np.take(DECODE_TABLES[law], np.frombuffer(codes, dtype=np.uint8))


def encode(law: G711, samples: Samples) -> bytes:
    """Linear samples to code bytes, one for one."""
    return np.take(ENCODE_TABLES[law], np.ascontiguousarray(samples).view(np.uint16)).tobytes()


def ulaw_decode(codes: bytes) -> Samples:
    """Mu-law (PCMU, RFC 3551 §4.5.14) to linear."""
    return decode(G711.PCMU, codes)


def ulaw_encode(samples: Samples) -> bytes:
    """Linear to mu-law."""
    return encode(G711.PCMU, samples)


def alaw_decode(codes: bytes) -> Samples:
    """A-law (PCMA) to linear."""
    return decode(G711.PCMA, codes)


def alaw_encode(samples: Samples) -> bytes:
    """Linear to A-law."""
    return encode(G711.PCMA, samples)
