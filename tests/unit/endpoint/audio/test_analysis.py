from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank, heard
from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.dtmf import DIGITS, frequencies_of
from endpoint.audio.frame import Samples
from endpoint.audio.tones import (
    CALL_PROGRESS_HZ,
    MUSIC_ON_HOLD_HZ,
    PARTY_TONES_HZ,
    Segment,
    render,
    tone,
)

pytestmark = pytest.mark.unit

SIGNATURES: dict[str, tuple[float, ...]] = {
    "moh": MUSIC_ON_HOLD_HZ,
    "progress": (CALL_PROGRESS_HZ,),
    **{f"party {hz:.0f}": (hz,) for hz in PARTY_TONES_HZ},
    **{f"digit {digit}": frequencies_of(digit) for digit in DIGITS},
}


def mixed(*sounds: Samples) -> Samples:
    total = sum((s.astype(np.int32) for s in sounds), np.zeros(len(sounds[0]), dtype=np.int32))
    return np.clip(total, -32768, 32767).astype(np.int16)


def test_the_bank_tells_levels_in_dbov() -> None:
    bank = GoertzelBank((1000.0, 1010.0, 475.0))
    levels = bank.levels(mixed(tone(1000.0, 400, -12.0), tone(475.0, 400, -40.0)))
    assert levels[0] == pytest.approx(-12.0, abs=0.1)
    assert levels[1] < -40.0
    assert levels[2] == pytest.approx(-40.0, abs=0.5)


def test_the_bank_takes_windows_of_any_length() -> None:
    bank = GoertzelBank((1000.0,))
    for duration_ms in (50, 400, 50, 1000):
        assert bank.levels(tone(1000.0, duration_ms, -20.0))[0] == pytest.approx(-20.0, abs=0.3)
    assert bank.levels(np.zeros(0, dtype=np.int16)).tolist() == [-127.0]
    assert bank.levels(np.zeros(1, dtype=np.int16)).tolist() == [-127.0]


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("level_dbov", [-12.0, -40.0])
def test_every_signature_is_heard_through_both_codecs_and_nothing_else(
    name: str, level_dbov: float
) -> None:
    sound = render([Segment(SIGNATURES[name], 400, level_dbov)])
    for law in G711:
        assert heard(decode(law, encode(law, sound)), SIGNATURES) == {name}


def test_all_that_is_mixed_is_heard_also_when_one_is_ten_times_softer() -> None:
    loud = [tone(hz, 400, -20.0) for hz in PARTY_TONES_HZ[:3]]
    soft = tone(PARTY_TONES_HZ[3], 400, -40.0)
    sound = decode(G711.PCMU, encode(G711.PCMU, mixed(*loud, soft)))
    assert heard(sound, SIGNATURES) == {f"party {hz:.0f}" for hz in PARTY_TONES_HZ[:4]}


def test_half_a_signature_is_not_heard() -> None:
    assert heard(tone(MUSIC_ON_HOLD_HZ[0], 400), SIGNATURES) == set()


def test_noise_a_click_and_silence_are_nobody() -> None:
    noise = np.random.default_rng(7).normal(size=3200) * 4000
    click = np.zeros(3200, dtype=np.int16)
    click[1600] = 32767
    step = np.where(np.arange(3200) < 1500, 0, 12000).astype(np.int16)
    for sound in (noise.astype(np.int16), click, step, np.zeros(3200, dtype=np.int16)):
        assert heard(sound, SIGNATURES) == set()


def test_a_window_that_is_too_short_hears_nothing() -> None:
    sound = tone(PARTY_TONES_HZ[0], 400)
    assert heard(sound[:799], SIGNATURES) == set()
    assert heard(sound, {}) == set()


def test_lost_packets_do_not_hide_a_tone() -> None:
    sound = tone(PARTY_TONES_HZ[0], 400, -15.0)
    sound[640:800] = 0
    sound[1920:2080] = 0
    assert heard(sound, SIGNATURES) == {"party 1010"}
