from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.resample import resample
from endpoint.audio.tones import level_of, tone

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(48000, 8000), (44100, 8000), (16000, 8000), (8000, 48000), (8000, 16000)],
)
def test_a_tone_keeps_its_pitch_its_level_and_its_place(from_hz: int, to_hz: int) -> None:
    there = resample(tone(1000.0, 500, -12.0, from_hz), from_hz, to_hz)
    assert len(there) == to_hz // 2
    middle = slice(to_hz // 10, -to_hz // 10)
    assert GoertzelBank((1000.0,), to_hz).levels(there[middle])[0] == pytest.approx(-12, abs=0.05)
    expected = tone(1000.0, 500, -12.0, to_hz)
    assert np.abs(there[middle].astype(int) - expected[middle]).max() < 30


def test_what_the_lower_rate_can_not_carry_is_gone() -> None:
    assert level_of(resample(tone(5000.0, 500, -6.0, 16000), 16000, 8000)[400:-400]) < -70


def test_going_up_makes_no_image() -> None:
    up = resample(tone(3000.0, 500, -6.0), 8000, 16000)
    assert GoertzelBank((5000.0,), 16000).levels(up[800:-800])[0] < -65


def test_loud_audio_clips() -> None:
    square = np.where(np.arange(1600) // 8 % 2, 32767, -32768).astype(np.int16)
    assert resample(square, 16000, 8000).dtype == np.int16
    assert np.abs(np.diff(resample(square, 8000, 16000).astype(int))).max() < 60000


def test_nothing_stays_nothing_and_the_same_rate_changes_nothing() -> None:
    assert len(resample(np.zeros(0, dtype=np.int16), 8000, 16000)) == 0
    samples = tone(1000.0, 20)
    assert resample(samples, 8000, 8000) is samples
    with pytest.raises(ValueError, match="1 Hz"):
        resample(samples, 0, 8000)
