from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.comfort_noise import ComfortNoise, NoiseFloor, level_in
from endpoint.audio.tones import level_of, tone

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("level_dbov", [-40.0, -55.0, -70.0])
def test_the_noise_has_its_level_and_no_pitch(level_dbov: float) -> None:
    noise = ComfortNoise().make(16000, level_dbov)
    assert level_of(noise) == pytest.approx(level_dbov, abs=0.5)
    spectrum = np.abs(np.fft.rfft(noise[:8000])).reshape(-1)[1:4001].reshape(4, 1000)
    bands = 20 * np.log10(np.sqrt(np.mean(spectrum**2, axis=1)))
    assert np.ptp(bands) < 1


def test_the_same_seed_makes_the_same_noise_and_the_quietest_is_silence() -> None:
    assert (ComfortNoise(5).make(160, -50) == ComfortNoise(5).make(160, -50)).all()
    assert not ComfortNoise().make(160, -127).any()


def test_levels_travel_in_a_payload() -> None:
    assert level_in(b"\x3a\x80\x80") == -58
    assert (level_in(b""), level_in(b"\x7f")) == (-127, -127)


def test_the_floor_is_what_lies_under_the_words() -> None:
    floor = NoiseFloor()
    assert floor.level_dbov == -127
    room = ComfortNoise().make(160, -60.0)
    word = tone(500.0, 20, -15.0)
    for number in range(200):
        floor.hear(room if number % 50 >= 40 else word, 8000)
    floor.hear(room[:0], 8000)
    assert -61 < floor.level_dbov < -56


def test_the_floor_of_a_steady_loud_sound_is_not_taken_for_noise() -> None:
    floor = NoiseFloor()
    for _ in range(100):
        floor.hear(tone(500.0, 20, -15.0), 8000)
    assert floor.level_dbov == -50
