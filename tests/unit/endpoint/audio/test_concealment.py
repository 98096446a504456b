from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.concealment import Concealer
from endpoint.audio.frame import Samples
from endpoint.audio.pitch import period_of
from endpoint.audio.timescale import lengthen, shorten
from endpoint.audio.tones import level_of, tone

pytestmark = pytest.mark.unit

EVERY_RATE = pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])


def buzz(pitch_hz: float, rate_hz: int, duration_ms: int = 100) -> Samples:
    time_s = np.arange(duration_ms * rate_hz // 1000) / rate_hz
    harmonics = np.arange(1, 15)[:, None]
    wave = (np.sin(2 * np.pi * pitch_hz * harmonics * time_s + harmonics**2) / harmonics).sum(0)
    samples: Samples = np.rint(4000 * wave).astype(np.int16)
    return samples


@EVERY_RATE
@pytest.mark.parametrize("pitch_hz", [75.0, 110.0, 190.0, 400.0])
def test_the_period_is_that_of_the_pitch_or_a_multiple(pitch_hz: float, rate_hz: int) -> None:
    periods = period_of(buzz(pitch_hz, rate_hz), rate_hz) * pitch_hz / rate_hz
    assert round(periods) >= 1
    assert periods == pytest.approx(round(periods), abs=0.02)


@EVERY_RATE
@pytest.mark.parametrize("hz", [350.0, 1010.0, 2400.0])
def test_a_tone_goes_on_for_a_lost_packet_without_a_click(hz: float, rate_hz: int) -> None:
    sent = tone(hz, 200, -12.0, rate_hz)
    at, size = rate_hz // 10, rate_hz // 50
    concealer = Concealer(rate_hz)
    heard = [concealer.hear(sent[:at]), concealer.conceal(size)]
    heard.append(concealer.hear(sent[at + size :]))
    whole = np.concatenate(heard)
    assert len(whole) == len(sent)
    assert GoertzelBank((hz,), rate_hz).levels(heard[1])[0] == pytest.approx(-12.0, abs=1)
    steepest = np.abs(np.diff(sent.astype(int))).max()
    assert np.abs(np.diff(whole.astype(int))).max() <= 1.5 * steepest + 10


@EVERY_RATE
def test_it_fades_and_is_silent_after_80_ms(rate_hz: int) -> None:
    concealer = Concealer(rate_hz)
    concealer.hear(buzz(110.0, rate_hz))
    levels = [level_of(concealer.conceal(rate_hz // 50)) for _ in range(5)]
    assert levels[:4] == sorted(levels[:4], reverse=True)
    assert levels[4] == -127


def test_nothing_heard_is_silence() -> None:
    assert not Concealer(8000).conceal(160).any()


@EVERY_RATE
@pytest.mark.parametrize("change", [shorten, lengthen])
def test_a_frame_loses_or_gains_a_period_and_keeps_level_and_pitch(
    change: object, rate_hz: int
) -> None:
    sent = buzz(110.0, rate_hz, 60)
    before, frame = sent[: 2 * rate_hz // 50], sent[2 * rate_hz // 50 :]
    changer = shorten if change is shorten else lengthen
    made = changer(before, frame, rate_hz, force=False)
    period = rate_hz / 110
    by = abs(len(made) - len(frame))
    assert by == pytest.approx(period, abs=rate_hz / 8000 + 1)
    assert (len(made) < len(frame)) == (changer is shorten)
    steepest = np.abs(np.diff(sent.astype(int))).max()
    joined = np.concatenate([before, made]).astype(int)
    assert np.abs(np.diff(joined)).max() <= 1.3 * steepest


def test_what_has_no_period_is_left_alone_unless_forced() -> None:
    noise = np.random.default_rng(3).integers(-8000, 8000, 480).astype(np.int16)
    before, frame = noise[:320], noise[320:]
    assert shorten(before, frame, 8000, force=False) is frame
    assert lengthen(before, frame, 8000, force=False) is frame
    assert len(shorten(before, frame, 8000, force=True)) < len(frame)
    assert len(lengthen(before, frame, 8000, force=True)) > len(frame)


def test_silence_can_always_be_cut() -> None:
    silence = np.zeros(480, dtype=np.int16)
    assert len(shorten(silence[:320], silence[320:], 8000, force=False)) < 160
