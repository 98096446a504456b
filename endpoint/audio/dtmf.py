"""DTMF as tones (ITU-T Q.23, Q.24): made, and found in audio."""

from __future__ import annotations

import numpy as np

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.frame import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from endpoint.audio.tones import Segment, level_of, render

DIGITS = "0123456789*#ABCD"
"""In the order of their RFC 4733 event codes (§3.2)."""
ROWS_HZ = (697.0, 770.0, 852.0, 941.0)
COLUMNS_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYPAD = ("123A", "456B", "789C", "*0#D")

_LEAST_DBOV = -45.0
_TWIST_DB = 9.0
_LEAD_DB = 8.0
_SHARE_DB = 3.0


def frequencies_of(digit: str) -> tuple[float, float]:
    """Row and column tone of a digit. Raises ValueError for what is none."""
    for row_hz, keys in zip(ROWS_HZ, _KEYPAD, strict=True):
        if len(digit) == 1 and digit in keys:
            return row_hz, COLUMNS_HZ[keys.index(digit)]
    raise ValueError(f"not a DTMF digit: {digit!r}")


def render_digit(
    digit: str,
    duration_ms: int = 100,
    level_dbov: float = -13.0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Samples:
    """The two tones of a digit."""
    return render([Segment(frequencies_of(digit), duration_ms, level_dbov)], sample_rate_hz)


class DtmfDetector:
    """Finds digits in a stream of 8 kHz audio: each once, when it has ended.

    It looks at blocks of 20 ms. A digit must be in two blocks one after the other (Q.24 asks for
    40 ms); one block without it does not end it.
    """

    def __init__(self) -> None:
        self._bank = GoertzelBank(ROWS_HZ + COLUMNS_HZ, SAMPLE_RATE_HZ)
        self._rest: Samples = np.zeros(0, dtype=np.int16)
        self._digit = ""
        self._blocks = 0
        self._misses = 0

    def receive_audio(self, samples: Samples) -> list[str]:
        """Take the next audio, of any length. Returns the digits that have ended in it."""
        return [digit for digit, _ in self.receive_presses(samples)]

    def receive_presses(self, samples: Samples) -> list[tuple[str, int]]:
        """The same, with the duration of each in ms."""
        ended: list[tuple[str, int]] = []
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        for block in waiting[:whole].reshape(-1, FRAME_SAMPLES):
            ended += self._receive_block(self._digit_in(block))
        self._rest = waiting[whole:]
        return ended

    def _receive_block(self, digit: str) -> list[tuple[str, int]]:
        if digit and digit == self._digit:
            self._blocks += 1
            self._misses = 0
            return []
        if not digit and self._digit and not self._misses:
            self._misses = 1
            return []
        was_pressed = self._digit and self._blocks >= 2
        ended = [(self._digit, self._blocks * FRAME_MS)] if was_pressed else []
        self._digit, self._blocks, self._misses = digit, 1 if digit else 0, 0
        return ended

    def _digit_in(self, block: Samples) -> str:
        levels = self._bank.levels(block)
        rows, columns = levels[:4], levels[4:]
        row, column = int(rows.argmax()), int(columns.argmax())
        pair = 10 * np.log10(10 ** (rows[row] / 10) + 10 ** (columns[column] / 10))
        is_digit = (
            min(rows[row], columns[column]) >= _LEAST_DBOV
            and abs(rows[row] - columns[column]) <= _TWIST_DB
            and np.sort(rows)[-2] <= rows[row] - _LEAD_DB
            and np.sort(columns)[-2] <= columns[column] - _LEAD_DB
            # Speech and music put most of their power elsewhere.
            and pair >= level_of(block) - _SHARE_DB
        )
        return _KEYPAD[row][column] if is_digit else ""
