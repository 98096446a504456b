"""The audio codecs by their SDP names; and G.711 itself, by table (ITU-T G.711).

One code byte of G.711 is one sample of 8 kHz audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from endpoint.audio import g722, opus
from endpoint.audio.coder import Decoder, Encoder, EncoderSettings
from endpoint.audio.concealment import Concealer
from endpoint.audio.frame import FRAME_MS, SAMPLE_RATE_HZ, Samples
from endpoint.audio.g722 import G722Decoder, G722Encoder
from endpoint.audio.l16 import L16Decoder, L16Encoder
from endpoint.audio.opus import OpusDecoder, OpusEncoder


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


class G711Encoder:
    """One law's encoder; it has no state."""

    def __init__(self, law: G711) -> None:
        self._law = law

    def encode(self, samples: Samples) -> bytes:
        """The payload for any number of samples."""
        return encode(self._law, samples)


class G711Decoder:
    """One law's decoder."""

    def __init__(self, law: G711) -> None:
        self._law = law
        self._concealer = Concealer(SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Samples:
        """The audio of a payload of any length."""
        return self._concealer.hear(decode(self._law, payload))

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """What was heard last, repeated and fading."""
        return self._concealer.conceal(samples)


class Encoding(StrEnum):
    """What we can encode and decode, by its name in SDP (where case does not count)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    L16 = "L16"
    OPUS = "OPUS"


@dataclass(frozen=True, slots=True)
class AudioCodec:
    """A codec with its rates. Made by `codec_named`."""

    encoding: Encoding
    clock_rate_hz: int
    """Of RTP timestamps; not always the audio's rate."""
    sample_rate_hz: int
    """Of the linear audio that goes in and comes out."""
    channels: int
    """As in SDP; the audio that goes in and comes out is mono."""

    @property
    def law(self) -> G711 | None:
        """Of G.711, whose payloads are a code byte a sample; None for the others."""
        match self.encoding:
            case Encoding.PCMU | Encoding.PCMA:
                return G711[self.encoding]
            case Encoding.G722 | Encoding.L16 | Encoding.OPUS:
                return None

    @property
    def has_fec(self) -> bool:
        """True where a packet may carry a copy of the one before it."""
        return self.encoding is Encoding.OPUS

    @property
    def has_memory(self) -> bool:
        """True where how a payload sounds depends on the ones before it."""
        match self.encoding:
            case Encoding.PCMU | Encoding.PCMA | Encoding.L16:
                return False
            case Encoding.G722 | Encoding.OPUS:
                return True

    def packet_ms(self, ptime_ms: int) -> int:
        """How much to put into a packet where so much is asked for: what can be encoded at once.

        A far end takes packets of any length; its `ptime` is a wish (RFC 4566 §6).
        """
        match self.encoding:
            case Encoding.PCMU | Encoding.PCMA | Encoding.L16:
                return ptime_ms
            case Encoding.G722:
                return max(FRAME_MS, ptime_ms // FRAME_MS * FRAME_MS)
            case Encoding.OPUS:
                return max(ms for ms in opus.PACKET_MS if ms <= max(ptime_ms, min(opus.PACKET_MS)))

    def encoder(self, settings: EncoderSettings | None = None) -> Encoder:
        """A new stream's encoder. Raises AudioError for settings that the codec refuses."""
        match self.encoding:
            case Encoding.PCMU | Encoding.PCMA:
                return G711Encoder(G711[self.encoding])
            case Encoding.G722:
                return G722Encoder()
            case Encoding.L16:
                return L16Encoder()
            case Encoding.OPUS:
                return OpusEncoder(self.sample_rate_hz, settings or EncoderSettings())

    def decoder(self) -> Decoder:
        """A new stream's decoder."""
        match self.encoding:
            case Encoding.PCMU | Encoding.PCMA:
                return G711Decoder(G711[self.encoding])
            case Encoding.G722:
                return G722Decoder()
            case Encoding.L16:
                return L16Decoder(self.sample_rate_hz)
            case Encoding.OPUS:
                return OpusDecoder(self.sample_rate_hz)


_CLOCK_RATES_HZ = {
    Encoding.PCMU: (8000,),
    Encoding.PCMA: (8000,),
    Encoding.G722: (8000,),  # for 16 kHz audio: an old mistake that was kept (RFC 3551 §4.5.2)
    Encoding.L16: (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000),
    Encoding.OPUS: (48000,),  # whatever it is encoded at (RFC 7587 §4.1)
}


def codec_named(
    encoding: str, clock_rate_hz: int, *, opus_sample_rate_hz: int = 16000
) -> AudioCodec | None:
    """The codec of an SDP rtpmap, its name in any case; None for what we can't do.

    Opus is encoded from, and decoded to, the rate that is wanted of it: 8, 12, 16, 24 or 48 kHz.
    Where libopus is missing, Opus is what we can't do.
    """
    name = encoding.upper()
    if name not in Encoding.__members__ or clock_rate_hz not in _CLOCK_RATES_HZ[Encoding(name)]:
        return None
    match Encoding(name):
        case (Encoding.PCMU | Encoding.PCMA | Encoding.L16) as plain:
            return AudioCodec(plain, clock_rate_hz, clock_rate_hz, 1)
        case Encoding.G722:
            return AudioCodec(Encoding.G722, clock_rate_hz, g722.SAMPLE_RATE_HZ, 1)
        case Encoding.OPUS:
            if opus_sample_rate_hz not in opus.SAMPLE_RATES_HZ or opus.library() is None:
                return None
            return AudioCodec(Encoding.OPUS, clock_rate_hz, opus_sample_rate_hz, 2)
