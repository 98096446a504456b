"""Tones: cadences of them, the ones we play, and the ones by which parties are told apart.

Every source that a test may hear has a signature, a set of frequencies that nothing else uses:

- music on hold: 523 Hz with 659 Hz (a major third, C5 and E5), without a break
- ringing, ring-back, busy and the notice of a call: 425 Hz (ITU-T E.180), in different cadences
- parties: one of `PARTY_TONES_HZ` each, at least 45 Hz from each other, from the above and from the
  eight DTMF tones, so that a window of 400 ms separates them
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from endpoint.audio.cadence import Segment as Segment
from endpoint.audio.frame import SAMPLE_RATE_HZ, Samples

MUSIC_ON_HOLD_HZ = (523.0, 659.0)
CALL_PROGRESS_HZ = 425.0
PARTY_TONES_HZ = (
    1010.0,
    475.0,
    1400.0,
    350.0,
    1700.0,
    590.0,
    1130.0,
    1800.0,
    1070.0,
    1900.0,
    1550.0,
    2000.0,
    2100.0,
    2200.0,
    2300.0,
    2400.0,
)
"""Neighbours in the list are far apart in pitch, so that a person hears the difference too."""

_FULL_SCALE = 32768.0


MUSIC_ON_HOLD = (Segment(MUSIC_ON_HOLD_HZ, 2000, -20.0),)
RING_BACK = (Segment((CALL_PROGRESS_HZ,), 1000, -18.0), Segment((), 4000))
RINGING = (Segment((CALL_PROGRESS_HZ,), 1000, -12.0), Segment((), 3000))
"""What a ringer of ours says."""
BUSY = (Segment((CALL_PROGRESS_HZ,), 500, -18.0), Segment((), 500))
NOTICE = (
    Segment((CALL_PROGRESS_HZ,), 100, -18.0),
    Segment((), 100),
    Segment((CALL_PROGRESS_HZ,), 100, -18.0),
    Segment((), 10_000),
)
SILENCE = (Segment((), 1000),)


def amplitude_of(level_dbov: float) -> float:
    """The peak of a sine of that level, in sample steps. 0 dBov is the power of a full square."""
    return float(_FULL_SCALE * np.sqrt(2.0) * 10.0 ** (level_dbov / 20.0))


def level_of(samples: Samples) -> float:
    """The level of audio in dBov, never below -127 (RFC 6464 §3)."""
    if not len(samples):
        return -127.0
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(-127.0, 20.0 * float(np.log10(max(power, 1e-9) ** 0.5 / _FULL_SCALE)))


def render(cadence: Sequence[Segment], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """One round of a cadence. Clips, never wraps.

    A tone of whole Hz in a cadence of one segment that lasts whole seconds repeats without a click.
    """
    parts = [np.zeros(0)]
    for segment in cadence:
        time_s = np.arange(segment.duration_ms * sample_rate_hz // 1000) / sample_rate_hz
        wave = np.zeros(len(time_s))
        for frequency_hz in segment.frequencies_hz:
            wave += np.sin(2 * np.pi * frequency_hz * time_s)
        parts.append(wave * amplitude_of(segment.level_dbov))
    return np.clip(np.rint(np.concatenate(parts)), -32768, 32767).astype(np.int16)


def tone(
    frequency_hz: float,
    duration_ms: int,
    level_dbov: float = -12.0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Samples:
    """One tone."""
    return render([Segment((frequency_hz,), duration_ms, level_dbov)], sample_rate_hz)
