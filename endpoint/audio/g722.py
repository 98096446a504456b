"""ITU-T G.722 at 64 kbit/s (RFC 3551 §4.5.2): 16 kHz audio under an RTP clock of 8 kHz.

The work is FFmpeg's, which is bit-exact with spandsp, from which Chromium and FreeSWITCH have
theirs, and so has their level. PJSIP's encoder is 6 dB quieter, and its decoder 6 dB louder, than
all of these until it clips, when it takes the others' level for the rest of the call.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from endpoint.audio.concealment import Concealer
from endpoint.audio.frame import Samples
from endpoint.errors import AudioError

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

SAMPLE_RATE_HZ = 16000
_FRAME_SAMPLES = 320


class G722Encoder:
    """One stream's encoder. About 20 µs a frame of 20 ms."""

    def __init__(self) -> None:
        # Imported at use: FFmpeg takes 50 MB, which a plane of G.711 alone need not have.
        import av

        self._av = av
        self._context: AudioCodecContext = av.CodecContext.create("g722", "w")
        self._context.sample_rate = SAMPLE_RATE_HZ
        self._context.layout = "mono"
        self._context.format = "s16"
        self._context.time_base = Fraction(1, SAMPLE_RATE_HZ)

    def encode(self, samples: Samples) -> bytes:
        """The payload for mono audio at 16 kHz: 20 ms, or a whole number of these.

        Raises:
            AudioError: another length, or FFmpeg refused it.
        """
        if not len(samples) or len(samples) % _FRAME_SAMPLES:
            raise AudioError(f"G.722 is encoded 20 ms at a time, not {len(samples)} samples")
        wave = np.ascontiguousarray(samples, dtype=np.int16)[None]
        try:
            frame = self._av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            return b"".join([bytes(packet) for packet in self._context.encode(frame)])
        except self._av.FFmpegError as exc:
            raise AudioError(f"G.722 can't be encoded: {exc}") from exc


class G722Decoder:
    """One stream's decoder. About 15 µs a frame of 20 ms."""

    def __init__(self) -> None:
        import av

        self._av = av
        self._context: AudioCodecContext = av.CodecContext.create("g722", "r")
        self._context.sample_rate = SAMPLE_RATE_HZ
        self._context.layout = "mono"
        self._concealer = Concealer(SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Samples:
        """The audio of a payload of any length, two samples an octet. Raises AudioError."""
        if not payload:
            # To FFmpeg an empty packet is the end of the stream, and nothing comes after that.
            raise AudioError("an empty G.722 payload")
        try:
            frames = self._context.decode(self._av.Packet(payload))
        except self._av.FFmpegError as exc:
            raise AudioError(f"G.722 can't be decoded: {exc}") from exc
        samples: Samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return self._concealer.hear(samples)

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """What was heard last, repeated and fading."""
        return self._concealer.conceal(samples)
