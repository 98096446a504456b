"""The period of a voice or a tone: after how many samples audio is most like itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples

SHORTEST_MS = 4
LONGEST_MS = 15
"""A period or several: 66 Hz, a deep voice, has this one; a higher one fits a few times."""
HISTORY_MS = 2 * LONGEST_MS
"""What must be known to find the longest one."""


def period_of(samples: Samples | npt.NDArray[np.float32], sample_rate_hz: int) -> int:
    """The lag, in samples, at which the end of the audio is most like what came before it.

    Looks at the last `HISTORY_MS`, which must be there; at 48 kHz in steps of a few samples first.
    """
    shortest = SHORTEST_MS * sample_rate_hz // 1000
    longest = LONGEST_MS * sample_rate_hz // 1000
    stride = max(1, sample_rate_hz // 16000)
    coarse = _best_lag(samples[-2 * longest :: stride], shortest // stride, longest // stride)
    if stride == 1:
        return coarse
    low = max(shortest, (coarse - 1) * stride)
    return _best_lag(samples[-2 * longest :], low, min(longest, (coarse + 1) * stride))


def _best_lag(samples: npt.NDArray[np.generic], shortest: int, longest: int) -> int:
    """By normalised correlation of the last `longest` samples with those up to `longest` before."""
    wave = samples[-2 * longest :].astype(np.float32)
    newest = wave[-longest:]
    older = wave[: 2 * longest - shortest]
    alike = np.correlate(older, newest, "valid")
    squares = np.concatenate([np.zeros(1), np.cumsum(np.square(older, dtype=np.float64))])
    power = squares[longest:] - squares[:-longest]
    likeness = alike / np.sqrt(power + 1.0)
    return longest - int(likeness.argmax())
