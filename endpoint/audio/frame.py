"""The unit of time of all mixing, playing and recording: a frame of 20 ms."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
"""Linear audio, 16 bit signed: one dimension is time; two are (what, time)."""

FRAME_MS = 20
SAMPLE_RATE_HZ = 8000
"""Of the narrow band: G.711's own rate."""
WIDEBAND_HZ = 16000
"""Of the wide band: G.722's own rate, and what Opus is decoded to."""
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
"""Of the narrow band."""


def frames_of(samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Cut into frames, (n, 160) at 8 kHz; the last one is filled up with silence.

    Empty in, (0, 160) out.
    """
    size = sample_rate_hz * FRAME_MS // 1000
    count = -(-len(samples) // size)
    frames = np.zeros(count * size, dtype=np.int16)
    frames[: len(samples)] = samples
    return frames.reshape(count, size)
