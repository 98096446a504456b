"""Players: sources of prepared audio. A frame of G.711 is encoded once, however many listen."""

from __future__ import annotations

import numpy as np

from endpoint.audio.codec import G711, encode
from endpoint.audio.frame import FRAME_MS, SAMPLE_RATE_HZ, Samples, frames_of
from endpoint.audio.rateconverter import convert


class Player:
    """A source of 20 ms frames, of 8 or 16 kHz, heard at any rate.

    One that loops has no position of its own: each listener counts from its own start. One that
    does not is played once, for all that listen. Until `load` it plays nothing, and does not move.
    """

    def __init__(self, name: str, *, loop: bool) -> None:
        self.name = name
        self.loop = loop
        self.position = 0
        """Of a player that does not loop: the next frame to be played."""
        self.sample_rate_hz = SAMPLE_RATE_HZ
        """Of its audio as it was given."""
        self._frames: Samples | None = None
        self._converted: dict[tuple[int, int], Samples] = {}
        self._encoded: dict[tuple[G711, int], bytes] = {}

    def load(
        self, samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ, *, pause_ms: int = 0
    ) -> None:
        """Give it its audio, and the silence behind that."""
        self.sample_rate_hz = sample_rate_hz
        pause = np.zeros(pause_ms * sample_rate_hz // 1000, np.int16)
        self._frames = frames_of(np.concatenate([samples, pause]), sample_rate_hz)

    def step(self) -> bool:
        """20 ms have passed while somebody listened. True when the last frame was just played."""
        if self.loop or self._frames is None or self.position > len(self._frames):
            return False
        self.position += 1
        # Nobody will ask for what was played.
        self._converted.clear()
        self._encoded.clear()
        return self.position == max(1, len(self._frames))

    def codes(self, law: G711, position: int) -> bytes | None:
        """A frame in G.711; None where there is nothing to play."""
        place = self._place(position)
        if place is None:
            return None
        key = law, place
        if key not in self._encoded:
            self._encoded[key] = encode(law, self._at(place, SAMPLE_RATE_HZ))
        return self._encoded[key]

    def frame(self, position: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples | None:
        """A linear frame; None where there is nothing to play."""
        place = self._place(position)
        return None if place is None else self._at(place, sample_rate_hz)

    def _at(self, place: int, sample_rate_hz: int) -> Samples:
        assert self._frames is not None
        frame: Samples = self._frames[place]
        if sample_rate_hz == self.sample_rate_hz:
            return frame
        key = sample_rate_hz, place
        if key not in self._converted:
            # Where it loops, its end comes before its beginning.
            before = self._frames[place - 1] if place or self.loop else np.zeros_like(frame)
            converted = convert(frame[None], before[None], self.sample_rate_hz, sample_rate_hz)
            self._converted[key] = converted[0]
        return self._converted[key]

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

    def frame(self, sample_rate_hz: int) -> Samples:
        """That frame; silence where there is nothing to play."""
        frame = self.player.frame(self.position, sample_rate_hz)
        return np.zeros(sample_rate_hz * FRAME_MS // 1000, np.int16) if frame is None else frame

    def advance(self) -> None:
        """A frame was played."""
        self._position += 1
