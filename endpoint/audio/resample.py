"""Audio from one sample rate to another, whole recordings at a time."""

from __future__ import annotations

from math import gcd

import numpy as np

from endpoint.audio.frame import Samples

_LOBES = 16
_PASS_BAND = 0.92
_CHUNK = 8192


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Change the rate with a windowed sinc; what the lower rate can't carry is filtered out.

    Image and alias are more than 60 dB down; no delay. Raises ValueError for a rate below 1 Hz.
    """
    if from_hz < 1 or to_hz < 1:
        raise ValueError("a sample rate is at least 1 Hz")
    if from_hz == to_hz or not len(samples):
        return samples
    common = gcd(from_hz, to_hz)
    phases, step = to_hz // common, from_hz // common
    # In units of input samples: the low-pass is as wide as the slower of the two rates allows.
    cutoff = _PASS_BAND * min(1.0, to_hz / from_hz)
    reach = int(np.ceil(_LOBES / cutoff))
    offsets = np.arange(-reach + 1, reach + 1)
    distance = offsets[None, :] - np.arange(phases)[:, None] / phases
    kernel = (
        np.sinc(cutoff * distance)
        * np.kaiser(4 * reach + 1, 7.0)[
            np.rint((distance / reach + 1) * 2 * reach).astype(int).clip(0, 4 * reach)
        ]
    )
    kernel /= kernel.sum(axis=1, keepdims=True)
    padded = np.concatenate([np.zeros(reach - 1), samples, np.zeros(reach + 1)])
    count = -(-len(samples) * to_hz // from_hz)
    result = np.empty(count, dtype=np.int16)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
    for start in range(0, count, _CHUNK):
        at = np.arange(start, min(start + _CHUNK, count)) * step
        wave = np.einsum("ij,ij->i", windows[at // phases], kernel[at % phases])
        result[start : start + _CHUNK] = np.clip(np.rint(wave), -32768, 32767)
    return result
