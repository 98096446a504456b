"""Streams from one sample rate to another, all of them at once, frame by frame."""

from __future__ import annotations

from functools import cache
from math import ceil, gcd

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples

_TAPS = 24
"""Of the filter, in samples of the lower rate: half of them are its delay."""
_BETA = 5.6
"""Of the Kaiser window: image and alias 60 dB down."""
_BLOCK_OUTPUTS = 60
"""About as many outputs share a window of inputs: few zeros in the matrix, few rows of windows."""

History = npt.NDArray[np.float32]
"""(rows, n): the end of each stream so far. Rows may be added, taken out and put in new order."""


@cache
def converter(from_hz: int, to_hz: int) -> RateConverter:
    """The one for these rates."""
    return RateConverter(from_hz, to_hz)


def convert(frames: Samples, before: Samples, from_hz: int, to_hz: int) -> Samples:
    """The next frame of each row at another rate; `before`, each one's frame before, is its past.

    That a frame needs no other state is why a stream may be converted from any frame on.
    """
    if from_hz == to_hz:
        return frames
    rates = converter(from_hz, to_hz)
    return rates.convert(frames, before[:, -rates.past :])[0]


class RateConverter:
    """Converts between any two rates that have whole samples in a frame, as 8, 16, 44.1 and 48 kHz.

    A filter of linear phase, as one matrix product over all rows: flat to 0.5 dB up to 85 % of half
    the lower rate, image and alias at least 60 dB down from 115 % on. It is late by `delay_ms`.
    It has no state but the caller's history, so that one serves all streams of a plane.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz < 1 or to_hz < 1:
            raise ValueError(f"found {from_hz} and {to_hz} Hz, expected rates above 0")
        common = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // common, from_hz // common
        ratio = max(self._up, self._down)
        self.delay_ms = 1000 * _TAPS / 2 / min(from_hz, to_hz)
        """By how much the output is later than the input."""
        self.past = ceil(_TAPS * ratio / self._up)
        """As many samples before a frame are its history."""
        self._filter = _low_pass(ratio, self._up)
        self._matrices: dict[int, History] = {}

    def silence(self, rows: int) -> History:
        """The history of streams that begin now."""
        return np.zeros((rows, self.past), dtype=np.float32)

    def convert(self, frames: Samples, history: History | Samples) -> tuple[Samples, History]:
        """The next frame of each row, (rows, n), to the other rate; and the history from now on.

        The frame's length is a multiple of how often the lower rate fits into the input's. Clips,
        never wraps.
        """
        rows, count = frames.shape
        if count % self._down:
            raise ValueError(f"{count} samples don't make whole samples of the other rate")
        waves = np.concatenate([history, frames], axis=1, dtype=np.float32)
        block = self._block(count)
        # Overlapping windows, a step of one block from each other: nothing is copied to make them.
        windows = np.lib.stride_tricks.sliding_window_view(waves, self.past + block, axis=1)
        flat = windows[:, ::block].reshape(-1, self.past + block)
        made = (flat @ self._matrix(block)).reshape(rows, count * self._up // self._down)
        np.clip(np.rint(made, out=made), -32768, 32767, out=made)
        return made.astype(np.int16), waves[:, count:].copy()

    def _block(self, count: int) -> int:
        """How many inputs to take at a time: a divisor of the frame's length."""
        wanted = max(1, _BLOCK_OUTPUTS * self._down // self._up)
        fits = [n for n in range(self._down, wanted + 1, self._down) if count % n == 0]
        return fits[-1] if fits else self._down

    def _matrix(self, block: int) -> History:
        if block not in self._matrices:
            into = np.arange(block * self._up // self._down)[None, :] * self._down
            of = np.arange(-self.past, block)[:, None] * self._up
            tap = into - of
            inside = (tap >= 0) & (tap < len(self._filter))
            taps = self._filter[np.where(inside, tap, 0)]
            self._matrices[block] = np.where(inside, taps, 0.0).astype(np.float32)
        return self._matrices[block]


def _low_pass(ratio: int, gain: int) -> npt.NDArray[np.float64]:
    """A windowed sinc, `_TAPS` samples of the lower rate long and one more.

    At the rate of which both are parts: the higher one, where that is a multiple of the lower.
    """
    length = _TAPS * ratio + 1
    at = (np.arange(length) - length // 2) / ratio
    taps = np.sinc(at) * np.kaiser(length, _BETA)
    # Each phase by itself has gain one at 0 Hz, or a constant would come out with a ripple.
    phases = np.arange(length) % gain
    sums = np.bincount(phases, weights=taps)
    scaled: npt.NDArray[np.float64] = taps / sums[phases]
    return scaled
