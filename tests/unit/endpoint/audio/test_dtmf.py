from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.dtmf import DIGITS, DtmfDetector, frequencies_of, render_digit
from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.audio.tones import MUSIC_ON_HOLD, PARTY_TONES_HZ, render, tone

pytestmark = pytest.mark.unit

PAUSE: Samples = np.zeros(480, dtype=np.int16)


def dialled(digits: str, duration_ms: int = 80) -> Samples:
    parts = [np.concatenate([render_digit(d, duration_ms), PAUSE]) for d in digits]
    return decode(G711.PCMU, encode(G711.PCMU, np.concatenate([PAUSE, *parts, PAUSE])))


def test_every_digit_is_found_once_in_order() -> None:
    assert DtmfDetector().receive_audio(dialled(DIGITS)) == list(DIGITS)


def test_the_same_digit_twice_is_two_digits() -> None:
    assert DtmfDetector().receive_audio(dialled("9911")) == list("9911")


@pytest.mark.parametrize("pressed_ms", [40, 100, 240, 1000])
def test_a_press_is_as_long_as_it_was_to_a_block(pressed_ms: int) -> None:
    ((digit, duration_ms),) = DtmfDetector().receive_presses(dialled("7", pressed_ms))
    assert digit == "7"
    assert abs(duration_ms - pressed_ms) <= FRAME_MS


def test_digits_are_found_however_the_audio_is_cut() -> None:
    detector = DtmfDetector()
    audio = dialled("1234#")
    found = [
        d
        for start in range(0, len(audio), 73)
        for d in detector.receive_audio(audio[start : start + 73])
    ]
    assert found == list("1234#")


def test_a_digit_with_noise_and_a_short_gap_is_one() -> None:
    audio = dialled("5", 200)
    audio[900:1000] = 0
    noise = np.random.default_rng(3).normal(size=len(audio)) * 150
    assert DtmfDetector().receive_audio((audio + noise).astype(np.int16)) == ["5"]


def test_what_is_no_digit_is_not_found() -> None:
    detector = DtmfDetector()
    noise = (np.random.default_rng(5).normal(size=16000) * 3000).astype(np.int16)
    too_short = np.concatenate([render_digit("1", 20), PAUSE])
    for audio in (noise, too_short, render(MUSIC_ON_HOLD), tone(697.0, 500)):
        assert detector.receive_audio(audio) == []
    for hz in PARTY_TONES_HZ:
        assert detector.receive_audio(tone(hz, 200)) == []


def test_row_and_column_are_those_of_the_keypad() -> None:
    assert frequencies_of("1") == (697.0, 1209.0)
    assert frequencies_of("#") == (941.0, 1477.0)
    assert frequencies_of("D") == (941.0, 1633.0)


@pytest.mark.parametrize("digit", ["", "E", "12", "12A"])
def test_what_is_no_digit_can_not_be_made(digit: str) -> None:
    with pytest.raises(ValueError, match="not a DTMF digit"):
        frequencies_of(digit)
