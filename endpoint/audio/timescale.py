"""Audio a little shorter or longer at the same pitch: how delay is given back, or taken."""

from __future__ import annotations

import numpy as np

from endpoint.audio.frame import Samples
from endpoint.audio.pitch import HISTORY_MS, period_of

_ALIKE = 0.7
_QUIET = 60.0
"""Root mean square, in sample steps: -55 dBov. Nobody hears what is cut from this."""


def shorten(before: Samples, samples: Samples, sample_rate_hz: int, *, force: bool) -> Samples:
    """Take one period out of `samples`, which follow on `before`, by a cross-fade.

    `before` and `samples` are together `HISTORY_MS` or longer. Returned as it is where it is too
    short, or where no period is to be seen and it is not forced.
    """
    period = _period(before, samples, sample_rate_hz)
    size = min(period, len(samples) - period)
    if size <= 0 or not (force or _is_alike(samples[:size], samples[period : period + size])):
        return samples
    return np.concatenate(
        [_fade(samples[:size], samples[period : period + size]), samples[period + size :]]
    )


def lengthen(before: Samples, samples: Samples, sample_rate_hz: int, *, force: bool) -> Samples:
    """Put one more period before `samples`, which follow on `before`; else as `shorten`."""
    period = _period(before, samples, sample_rate_hz)
    repeated = np.concatenate([before[-period:], samples])
    size = min(period, len(samples))
    if size <= 0 or not (force or _is_alike(samples[:size], repeated[:size])):
        return samples
    return np.concatenate([_fade(samples[:size], repeated[:size]), repeated[size:]])


def _period(before: Samples, samples: Samples, sample_rate_hz: int) -> int:
    known = np.concatenate([before, samples])[-HISTORY_MS * sample_rate_hz // 1000 :]
    return period_of(known, sample_rate_hz)


def _is_alike(one: Samples, other: Samples) -> bool:
    first, second = one.astype(np.float32), other.astype(np.float32)
    powers = float(first @ first), float(second @ second)
    if max(powers) <= len(first) * _QUIET**2:
        return True
    likeness = float(first @ second)
    return likeness > float(_ALIKE * (powers[0] * powers[1]) ** 0.5)


def _fade(out: Samples, into: Samples) -> Samples:
    share = (np.arange(1, len(out) + 1) / (len(out) + 1)).astype(np.float32)
    faded: Samples = np.rint(out * (1 - share) + into * share).astype(np.int16)
    return faded
