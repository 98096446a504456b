"""A port without a network: it hears what is routed to it, and says nothing."""

from __future__ import annotations

import numpy as np

from endpoint.audio.frame import FRAME_SAMPLES, Samples

SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)


class SinkPort:
    """Holds the frame that was mixed for it in this tick."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frame: Samples = SILENCE

    def hear(self, frame: Samples) -> None:
        """What was mixed for it."""
        self._frame = frame

    def take(self) -> Samples:
        """That frame, once; silence where nothing was mixed."""
        frame, self._frame = self._frame, SILENCE
        return frame
