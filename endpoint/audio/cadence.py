"""What a cadence of tones is made of, without what makes audio of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Tones together, for a time. No tones: silence."""

    frequencies_hz: Sequence[float]
    duration_ms: int
    level_dbov: float = -12.0
    """Of each tone by itself."""
