"""Which tones are in audio: the ear of the hearing matrix."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import SAMPLE_RATE_HZ, Samples

SHORTEST_WINDOW_MS = 100
"""Below this neighbouring tones run into each other, and nothing is said to be heard."""
_GUARD_HZ = 22.0
_MARGIN_DB = 20.0
_THRESHOLD_DBOV = -50.0


class GoertzelBank:
    """The level of each of some frequencies in a stretch of audio.

    All filters run over the whole stretch under a Hann window, as one matrix product: 400 ms of
    audio tells apart tones 10 Hz from each other.
    """

    def __init__(
        self, frequencies_hz: Sequence[float], sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> None:
        self._frequencies_hz = tuple(frequencies_hz)
        self._sample_rate_hz = sample_rate_hz

    def levels(self, samples: Samples) -> npt.NDArray[np.float64]:
        """In dBov, one a frequency, in the order given; -127 where there is nothing at all."""
        count = len(samples)
        if count == 0:
            return np.full(len(self._frequencies_hz), -127.0)
        filters = _filters(self._frequencies_hz, self._sample_rate_hz, count)
        parts = (filters @ samples.astype(np.float64)).reshape(2, -1)
        peak = np.hypot(parts[0], parts[1]) / 32768.0
        level: npt.NDArray[np.float64] = 20 * np.log10(np.maximum(peak / np.sqrt(2.0), 1e-9))
        return np.maximum(level, -127.0)


# Whoever listens asks for the same stretch many times a second, and building costs most.
@lru_cache(maxsize=16)
def _filters(
    frequencies_hz: tuple[float, ...], sample_rate_hz: int, count: int
) -> npt.NDArray[np.float64]:
    """The cosines, then the sines, under the window: (2 x frequencies, count)."""
    window = np.hanning(count)
    turns = np.asarray(frequencies_hz, dtype=np.float64) / sample_rate_hz
    phases = 2 * np.pi * np.outer(turns, np.arange(count))
    filters: npt.NDArray[np.float64] = np.concatenate([np.cos(phases), np.sin(phases)])
    filters *= 2 * window / max(window.sum(), 1e-9)
    return filters


def heard(
    samples: Samples,
    signatures: Mapping[str, Collection[float]],
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> set[str]:
    """The names whose signature, all its frequencies, is in the audio.

    A frequency counts when it is above -50 dBov, at least 20 dB stronger than what lies 22 Hz
    beside it (so neither noise, speech nor a click counts), and not weaker than the loudest of all
    the signatures' frequencies by more than 40 dB. Give 400 ms; less than `SHORTEST_WINDOW_MS`
    hears nothing.
    """
    if len(samples) * 1000 < SHORTEST_WINDOW_MS * sample_rate_hz:
        return set()
    frequencies = sorted({hz for signature in signatures.values() for hz in signature})
    if not frequencies:
        return set()
    at = np.array(frequencies)
    bank = GoertzelBank(
        np.concatenate([at, at - _GUARD_HZ, at + _GUARD_HZ]).tolist(), sample_rate_hz
    )
    level, below, above = bank.levels(samples).reshape(3, len(frequencies))
    beside = np.maximum(below, above) + _MARGIN_DB
    floor = np.maximum(np.maximum(beside, level.max() - 2 * _MARGIN_DB), _THRESHOLD_DBOV)
    present = {
        hz
        for hz, is_present in zip(frequencies, (level >= floor).tolist(), strict=True)
        if is_present
    }
    return {
        name for name, signature in signatures.items() if signature and present >= set(signature)
    }
