"""Mixing: who hears whom, with which gain, for all rooms of a plane in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples


@dataclass(frozen=True, slots=True)
class MixRoute:
    """Row `source` of the sources is heard in row `sink` of the sinks."""

    source: int
    sink: int
    gain_db: float = 0.0


class Mixer:
    """A fixed set of routes, mixed frame by frame.

    It costs time in proportion to the routes, so a thousand small rooms are no dearer than their
    sum. There is no own voice to subtract: a room is its routes, and nobody is routed to himself.
    """

    def __init__(self, routes: Sequence[MixRoute], sinks: int) -> None:
        ordered = sorted(routes, key=lambda route: route.sink)
        self._sinks = sinks
        self._sources: npt.NDArray[np.intp] = np.array([r.source for r in ordered], dtype=np.intp)
        gains = [10.0 ** (route.gain_db / 20.0) for route in ordered]
        self._gains: npt.NDArray[np.float32] = np.array(gains, dtype=np.float32)[:, None]
        rows = np.array([route.sink for route in ordered], dtype=np.intp)
        self._heard, self._starts = np.unique(rows, return_index=True)

    def mix(self, frames: Samples) -> Samples:
        """One frame of each source, (sources, n), to one of each sink, (sinks, n).

        Clips, never wraps. A sink without a route gets silence.
        """
        mixed = np.zeros((self._sinks, frames.shape[1]), dtype=np.int16)
        if len(self._sources):
            weighted = frames[self._sources] * self._gains
            summed = np.add.reduceat(weighted, self._starts, axis=0)
            mixed[self._heard] = np.clip(np.rint(summed), -32768, 32767)
        return mixed
