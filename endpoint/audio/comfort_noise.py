"""Comfort noise: the sound of a line on which nobody speaks (RFC 3389, its level alone)."""

from __future__ import annotations

import numpy as np

from endpoint.audio.frame import FRAME_MS, Samples

QUIETEST_DBOV = -127.0
_LOUDEST_DBOV = -50.0
"""Of what is taken for noise; a louder one would be heard as a fault."""
_RISE_DB_A_SECOND = 3.0


class ComfortNoise:
    """White noise of a level. The seed makes it the same at each run."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)

    def make(self, samples: int, level_dbov: float) -> Samples:
        """As many samples; silence below -90 dBov, of which 16 bit can't say much."""
        if level_dbov < -90.0:
            return np.zeros(samples, dtype=np.int16)
        deviation = 32768.0 * 10.0 ** (level_dbov / 20.0)
        noise = self._random.standard_normal(samples, dtype=np.float32) * deviation
        made: Samples = np.clip(np.rint(noise), -32768, 32767).astype(np.int16)
        return made


class NoiseFloor:
    """How loud it is between the words: falls at once, rises slowly."""

    def __init__(self) -> None:
        self._level_dbov: float | None = None

    @property
    def level_dbov(self) -> float:
        """-127 before anything was heard; never above -50."""
        if self._level_dbov is None:
            return QUIETEST_DBOV
        return min(self._level_dbov, _LOUDEST_DBOV)

    def hear(self, samples: Samples, sample_rate_hz: int) -> None:
        """Take the next audio as it was received (none that was concealed): packets or seconds."""
        if not len(samples):
            return
        count = max(1, len(samples) * 1000 // (FRAME_MS * sample_rate_hz))
        size = len(samples) // count
        blocks = samples[: count * size].reshape(count, size).astype(np.float32)
        power = np.einsum("ij,ij->i", blocks, blocks) / (size * 32768.0**2)
        levels = np.maximum(10 * np.log10(np.maximum(power, 1e-13)), QUIETEST_DBOV)
        # What was quiet a while ago counts as louder by what the floor has risen since.
        rise = _RISE_DB_A_SECOND * size / sample_rate_hz
        lowest = float((levels + rise * np.arange(count - 1, -1, -1)).min())
        if self._level_dbov is not None:
            lowest = min(lowest, self._level_dbov + rise * count)
        self._level_dbov = lowest


def level_in(payload: bytes) -> float:
    """The level in dBov that a comfort noise payload (static type 13) says (RFC 3389 §3.1)."""
    return -float(payload[0] & 0x7F) if payload else QUIETEST_DBOV
