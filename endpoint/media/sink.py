"""A port without a network: it hears what is routed to it, and says nothing."""

from __future__ import annotations

import numpy as np

from endpoint.audio.frame import FRAME_SAMPLES, Samples

_SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)


class SinkPort:
    """Holds the frame, in narrow band, that was mixed for it in this tick."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frame: Samples = _SILENCE
        self._heard_at = -1.0

    def hear(self, frame: Samples, now: float) -> None:
        """What was mixed for it."""
        self._frame, self._heard_at = frame, now

    def take(self, now: float) -> Samples:
        """What it hears in the tick at `now`; silence where nothing was mixed."""
        return self._frame if now == self._heard_at else _SILENCE
