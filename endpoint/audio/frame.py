"""The unit of time of all mixing, playing and recording: a frame of 20 ms."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
"""Linear audio, 16 bit signed: one dimension is time; two are (what, time)."""

FRAME_MS = 20
SAMPLE_RATE_HZ = 8000
"""Of everything that is mixed: G.711's own rate."""
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000


def frames_of(samples: Samples) -> Samples:
    """Cut into frames, (n, 160); the last one is filled up with silence. Empty in, (0, 160) out."""
    count = -(-len(samples) // FRAME_SAMPLES)
    frames = np.zeros(count * FRAME_SAMPLES, dtype=np.int16)
    frames[: len(samples)] = samples
    return frames.reshape(count, FRAME_SAMPLES)
