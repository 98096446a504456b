"""What Opus to and from G.711 costs beside libopus itself: the same audio, the same settings."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence

import numpy as np

from endpoint.audio import opus
from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.coder import EncoderSettings
from endpoint.audio.frame import Samples
from endpoint.audio.resample import resample
from endpoint.media import messages as m
from endpoint.media.mixing import MixBatch
from tests.bench.report import Of, Row
from tests.bench.rtpload import Ground
from tests.fakes.far_end import FarEnd

PCMU = m.PayloadType(0, "PCMU")
OPUS = m.PayloadType(111, "OPUS", 48000, 2, "useinbandfec=1")
AT_MOST = 1.3
_PAIRS = 20
_TICKS = 200
_RATE_HZ = 16000


async def transcode(ground: Ground) -> list[Row]:
    """A row: calls between Opus and G.711. No load of packets is needed."""
    ground.say("transcode: Opus to G.711 and back")
    opus_said = resample(_voice(), 8000, _RATE_HZ).reshape(-1, 320)
    pcmu_said = [encode(G711.PCMU, frame) for frame in _voice().reshape(-1, 160)]
    settings = EncoderSettings()
    encoder = opus.OpusEncoder(_RATE_HZ, settings)
    payloads = [encoder.encode(frame) for frame in opus_said]
    heard = resample(np.concatenate([decode(G711.PCMU, c) for c in pcmu_said]), 8000, _RATE_HZ)
    pairs = [
        (
            FarEnd(f"o{number}", [OPUS], payloads, keeps=False),
            FarEnd(f"g{number}", [PCMU], pcmu_said, keeps=False),
        )
        for number in range(_PAIRS)
    ]
    mixes = MixBatch()
    for wide, narrow in pairs:
        mixes.set_sink(wide.port, [(narrow.port, 0.0)], 100.0)
        mixes.set_sink(narrow.port, [(wide.port, 0.0)], 100.0)
    bare = _Bare(settings)
    ours = theirs = float("inf")
    now = 100.0
    for _ in range(ground.rounds):
        spent = 0.0
        for _ in range(_TICKS):
            for pair in pairs:
                for end in pair:
                    end.speak(now)
            now += 0.02
            started = time.thread_time()
            mixes.tick(now)
            spent += time.thread_time() - started
        ours = min(ours, spent / (_TICKS * _PAIRS))
        theirs = min(theirs, bare.cost(heard.reshape(-1, 320), payloads))
    for pair in pairs:
        for end in pair:
            end.port.close()
    return [
        Row(
            name="transcode",
            what=f"Opus to G.711 and back, {_PAIRS} calls, a call and a frame",
            unit="us",
            ours=round(1e6 * ours, 2),
            peer_name="libopus",
            peer=round(1e6 * theirs, 2),
            limit=AT_MOST,
            of=Of.RATIO,
            details={"complexity": settings.complexity, "bit rate": settings.bit_rate},
        )
    ]


def _voice() -> Samples:
    """Four seconds that come and go like words, with a pitch that wanders."""
    at = np.arange(4 * 8000) / 8000
    pitch = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.7 * at)) / 8000
    wave = sum(np.sin(n * pitch + n * n) / n for n in range(1, 25))
    words = np.clip(np.sin(2 * np.pi * 1.3 * at) + 0.4, 0, 1)
    noise = np.random.default_rng(1).standard_normal(len(at)) * 30
    return np.rint(2500 * wave * words + noise).astype(np.int16)


class _Bare:
    """libopus with nothing around it but the calls."""

    def __init__(self, settings: EncoderSettings) -> None:
        library = opus.library()
        assert library is not None
        self._library = library
        self._encoder = opus.OpusEncoder(_RATE_HZ, settings)
        self._decoder = opus.OpusDecoder(_RATE_HZ)

    def cost(self, frames: Samples, payloads: Sequence[bytes]) -> float:
        """Seconds of CPU to encode a frame and to decode one."""
        call_encode, call_decode = self._library.opus_encode, self._library.opus_decode
        encoder, decoder = self._encoder._state, self._decoder._state
        out = ctypes.create_string_buffer(4000)
        wave = np.zeros(1920, dtype=np.int16)
        into = wave.ctypes.data
        addresses = [frame.ctypes.data for frame in frames]
        started = time.thread_time()
        for address, payload in zip(addresses, payloads, strict=True):
            call_encode(encoder, address, 320, out, 4000)
            call_decode(decoder, payload, len(payload), into, 1920, 0)
        return (time.thread_time() - started) / len(addresses)
