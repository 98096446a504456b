"""Players: sources of prepared audio. A frame is encoded once a codec, however many listen."""

from __future__ import annotations

import numpy as np

from endpoint.audio.codec import G711, encode
from endpoint.audio.frame import FRAME_SAMPLES, Samples, frames_of

_SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)


class Player:
    """A source of 20 ms frames of 8 kHz audio.

    One that loops has no position of its own: each listener counts from its own start. One that
    does not is played once, for all that listen. Until `load` it plays nothing, and does not move.
    """

    def __init__(self, name: str, *, loop: bool) -> None:
        self.name = name
        self.loop = loop
        self.position = 0
        """Of a player that does not loop: the next frame to be played."""
        self._frames: Samples | None = None
        self._encoded: dict[tuple[G711, int], bytes] = {}

    def load(self, samples: Samples) -> None:
        """Give it its audio, 8 kHz."""
        self._frames = frames_of(samples)

    def step(self) -> bool:
        """20 ms have passed while somebody listened. True when the last frame was just played."""
        if self.loop or self._frames is None or self.position > len(self._frames):
            return False
        self.position += 1
        return self.position == max(1, len(self._frames))

    def codes(self, law: G711, position: int) -> bytes | None:
        """An encoded frame; None where there is nothing to play."""
        place = self._place(position)
        if place is None or self._frames is None:
            return None
        key = law, place
        if key not in self._encoded:
            self._encoded[key] = encode(law, self._frames[place])
        return self._encoded[key]

    def frame(self, position: int) -> Samples:
        """A linear frame; silence where there is nothing to play."""
        place = self._place(position)
        if place is None or self._frames is None:
            return _SILENCE
        frame: Samples = self._frames[place]
        return frame

    def _place(self, position: int) -> int | None:
        if self._frames is None or not len(self._frames):
            return None
        if self.loop:
            return position % len(self._frames)
        return position if position < len(self._frames) else None


class Playing:
    """One listener's place in a player."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self._position = 0

    @property
    def position(self) -> int:
        """The next frame for this listener."""
        return self._position if self.player.loop else self.player.position

    def advance(self) -> None:
        """A frame was played."""
        self._position += 1
