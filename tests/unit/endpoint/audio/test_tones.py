from __future__ import annotations

import itertools

import numpy as np
import pytest

from endpoint.audio.dtmf import COLUMNS_HZ, ROWS_HZ
from endpoint.audio.frame import frames_of
from endpoint.audio.tones import (
    BUSY,
    CALL_PROGRESS_HZ,
    MUSIC_ON_HOLD,
    MUSIC_ON_HOLD_HZ,
    PARTY_TONES_HZ,
    RING_BACK,
    Segment,
    level_of,
    render,
    tone,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("level_dbov", [-6.0, -12.0, -30.0])
def test_a_tone_has_the_level_that_was_asked_for(level_dbov: float) -> None:
    assert level_of(tone(1000.0, 1000, level_dbov)) == pytest.approx(level_dbov, abs=0.05)


def test_full_scale_is_0_dbov_and_nothing_is_minus_127() -> None:
    assert level_of(np.full(100, -32768, dtype=np.int16)) == pytest.approx(0.0)
    assert level_of(np.zeros(100, dtype=np.int16)) == -127.0
    assert level_of(np.zeros(0, dtype=np.int16)) == -127.0


def test_too_loud_a_tone_clips_and_never_wraps() -> None:
    wave = tone(400.0, 100, 6.0).astype(int)
    assert wave.max() == 32767
    assert wave.min() == -32768
    assert np.abs(np.diff(wave)).max() < 32768


def test_a_cadence_is_as_long_as_its_segments_and_silent_where_it_says_so() -> None:
    samples = render([Segment((425.0,), 100), Segment((), 60), Segment((300.0, 500.0), 40)])
    assert len(samples) == 200 * 8
    assert not samples[800:1280].any()
    assert samples[1280:].any()


@pytest.mark.parametrize("cadence", [MUSIC_ON_HOLD, RING_BACK, BUSY])
def test_our_cadences_are_whole_frames_and_repeat_without_a_click(
    cadence: tuple[Segment, ...],
) -> None:
    samples = render(cadence).astype(int)
    assert len(samples) % 160 == 0
    assert abs(samples[0] - samples[-1]) <= np.abs(np.diff(samples)).max()


def test_no_two_signatures_come_near_each_other() -> None:
    used = [*PARTY_TONES_HZ, *MUSIC_ON_HOLD_HZ, CALL_PROGRESS_HZ, *ROWS_HZ, *COLUMNS_HZ]
    parties = set(PARTY_TONES_HZ)
    for a, b in itertools.combinations(used, 2):
        least = 45 if parties & {a, b} else 30
        assert abs(a - b) >= least, (a, b)


def test_the_last_frame_is_filled_up_with_silence() -> None:
    frames = frames_of(np.ones(161, dtype=np.int16))
    assert frames.shape == (2, 160)
    assert frames.sum() == 161
    assert frames_of(np.zeros(0, dtype=np.int16)).shape == (0, 160)
