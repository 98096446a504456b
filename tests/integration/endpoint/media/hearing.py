"""What a far end made of audio that came over a bad network: gaps, order and delay.

`TONE` is one without end: what is missing was lost. `STAIRS` climb a step every 60 ms and begin
again at the bottom: which step is heard when says what was heard twice, in a wrong order, or late.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.media import messages as m

LEVEL_DBOV = -12.0
TONE_HZ = 1010.0
STEP_MS = 60
STEPS_HZ = [float(hz) for hz in range(400, 2800, 100)]
TONE = (m.Segment((TONE_HZ,), 1000, LEVEL_DBOV),)
STAIRS = tuple(m.Segment((hz,), STEP_MS, LEVEL_DBOV) for hz in STEPS_HZ)


def frames_of_recording(path: Path) -> tuple[Samples, int]:
    """What the port received, 20 ms a row, and its rate."""
    with wave.open(str(path)) as file:
        rate_hz, count = file.getframerate(), file.getnframes()
        samples = np.frombuffer(file.readframes(count), dtype="<i2").astype(np.int16)
    left = samples[::2]
    size = rate_hz * FRAME_MS // 1000
    return left[: len(left) // size * size].reshape(-1, size), rate_hz


def levels(frames: Samples, rate_hz: int, *frequencies_hz: float) -> npt.NDArray[np.float64]:
    """In dBov: a row a frame, a column a frequency."""
    bank = GoertzelBank(frequencies_hz, rate_hz)
    return np.array([bank.levels(frame) for frame in frames])


def continuity(path: Path, from_ms: int = 0, to_ms: int | None = None) -> float:
    """The share of 20 ms frames in which `TONE` is, at most 20 dB below its level."""
    frames, rate_hz = frames_of_recording(path)
    to = None if to_ms is None else to_ms // FRAME_MS
    found = levels(frames[from_ms // FRAME_MS : to], rate_hz, TONE_HZ)
    return float(np.mean(found > LEVEL_DBOV - 20))


@dataclass(frozen=True, slots=True)
class Climb:
    """How `STAIRS` were heard."""

    backwards: int
    """Steps that were heard after a later one."""
    delays_ms: list[tuple[int, float]]
    """At each time since the start, by how much later than at first a step began."""

    def delay_ms(self, from_ms: int, to_ms: int) -> float:
        """The longest from one time to another."""
        return max(delay for at, delay in self.delays_ms if from_ms <= at < to_ms)


def climb(path: Path) -> Climb:
    """How `STAIRS` were heard."""
    frames, rate_hz = frames_of_recording(path)
    found = levels(frames, rate_hz, *STEPS_HZ)
    clear = [
        (number * FRAME_MS, int(np.argmax(row)))
        for number, row in enumerate(found)
        if row.max() > LEVEL_DBOV - 3
    ]
    backwards, height, begins = 0, 0, []
    for (_, before), (at_ms, after) in pairwise(clear):
        climbed = (after - before) % len(STEPS_HZ)
        if climbed > len(STEPS_HZ) // 2:
            climbed -= len(STEPS_HZ)
            backwards += 1
        height += climbed
        if climbed > 0:
            begins.append((at_ms, float(at_ms - height * STEP_MS)))
    at_first = float(np.median([delay for _, delay in begins[:10]]))
    return Climb(backwards, [(at_ms, delay - at_first) for at_ms, delay in begins])


def loudest(path: Path, frequency_hz: float) -> float:
    """The highest level of a tone in any frame, in dBov."""
    return float(levels(*frames_of_recording(path), frequency_hz).max())
