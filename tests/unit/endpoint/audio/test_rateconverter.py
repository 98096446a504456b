from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.frame import Samples
from endpoint.audio.rateconverter import RateConverter
from endpoint.audio.tones import level_of, tone

pytestmark = pytest.mark.unit

MULTIPLES = [(8000, 16000), (16000, 48000), (8000, 48000)]
SOUND_CARDS = [(16000, 44100), (16000, 22050)]
RATES = [pair for low, high in MULTIPLES + SOUND_CARDS for pair in ((low, high), (high, low))]
UP = [rates for rates in RATES if rates[0] < rates[1]]
DOWN = [rates for rates in RATES if rates[0] > rates[1]]


def converted(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """One stream, in frames of 20 ms, without the beginning in which the filter fills."""
    converter = RateConverter(from_hz, to_hz)
    history = converter.silence(1)
    frames = []
    for frame in samples.reshape(-1, from_hz // 50):
        made, history = converter.convert(frame[None], history)
        frames.append(made[0])
    return np.concatenate(frames)[to_hz // 10 :]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_the_pass_band_is_flat_to_three_quarters_and_more(from_hz: int, to_hz: int) -> None:
    half = min(from_hz, to_hz) / 2
    for share, tolerance_db in ((0.05, 0.02), (0.5, 0.02), (0.85, 0.05), (0.9, 0.5)):
        out = converted(tone(share * half, 500, -12.0, from_hz), from_hz, to_hz)
        level = GoertzelBank((share * half,), to_hz).levels(out)[0]
        assert level == pytest.approx(-12.0, abs=tolerance_db), share


@pytest.mark.parametrize(("from_hz", "to_hz"), UP)
def test_no_image_is_heard(from_hz: int, to_hz: int) -> None:
    for share in (0.05, 0.5, 0.85):
        out = converted(tone(share * from_hz / 2, 500, -6.0, from_hz), from_hz, to_hz)
        image_hz = from_hz - share * from_hz / 2
        assert GoertzelBank((image_hz,), to_hz).levels(out)[0] < -6 - 60, share


@pytest.mark.parametrize(("from_hz", "to_hz"), DOWN)
def test_no_alias_is_heard(from_hz: int, to_hz: int) -> None:
    for share in (each for each in (1.15, 1.3, 1.9) if each * to_hz < from_hz):
        out = converted(tone(share * to_hz / 2, 500, -6.0, from_hz), from_hz, to_hz)
        assert level_of(out) < -6 - 60, share


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_it_is_late_by_what_it_says_and_by_no_more(from_hz: int, to_hz: int) -> None:
    converter = RateConverter(from_hz, to_hz)
    click = np.zeros((1, from_hz // 50), dtype=np.int16)
    place_ms = 10
    click[0, place_ms * from_hz // 1000] = 30000
    made, _ = converter.convert(click, converter.silence(1))
    due = (place_ms + converter.delay_ms) * to_hz / 1000
    assert abs(int(made[0].argmax()) - due) <= (0 if due.is_integer() else 1)
    assert converter.delay_ms <= 1.5


def test_frames_join_without_a_seam_and_rows_do_not_hear_each_other() -> None:
    converter = RateConverter(16000, 8000)
    noise = np.random.default_rng(1).integers(-9000, 9000, (3, 1920)).astype(np.int16)
    whole, _ = converter.convert(noise, converter.silence(3))
    history = converter.silence(3)
    parts = []
    for start in range(0, 1920, 320):
        made, history = converter.convert(noise[:, start : start + 320], history)
        parts.append(made)
        history, noise = history[::-1], noise[::-1]  # rows may change places between frames
        parts[-1] = parts[-1] if len(parts) % 2 else parts[-1][::-1]
    assert np.abs(np.concatenate(parts, axis=1).astype(int) - whole).max() <= 1


def test_it_clips_and_never_wraps() -> None:
    square = np.where(np.arange(1600) // 8 % 2, 32767, -32768).astype(np.int16)
    assert np.abs(np.diff(converted(square, 8000, 16000).astype(int))).max() < 60000


def test_a_constant_stays_the_constant() -> None:
    for from_hz, to_hz in RATES:
        steady = np.full(from_hz // 5, 12345, dtype=np.int16)
        assert np.abs(converted(steady, from_hz, to_hz).astype(int) - 12345).max() <= 1


def test_rates_of_nothing_are_refused_and_so_are_half_samples() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateConverter(44100, 0)
    converter = RateConverter(48000, 8000)
    with pytest.raises(ValueError, match="whole samples"):
        converter.convert(np.zeros((1, 100), dtype=np.int16), converter.silence(1))
