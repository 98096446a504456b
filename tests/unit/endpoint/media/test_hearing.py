"""Listening to, and recording, legs of any codec."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.tones import PARTY_TONES_HZ, level_of
from endpoint.media import messages as m
from endpoint.media.hearing import Hearing
from endpoint.media.mixing import MixBatch
from tests.fakes.far_end import FarEnd
from tests.unit.endpoint.media.test_mixing import G722, OPUS, PCMU, said

pytestmark = pytest.mark.unit

SIGNATURES = {name: (hz,) for name, hz in zip("AB", PARTY_TONES_HZ, strict=False)}


@pytest.mark.parametrize(
    ("codecs", "sample_rate_hz"),
    [((OPUS, PCMU), 16000), ((G722, OPUS), 16000), ((PCMU, G722), 8000)],
)
async def test_a_recording_has_the_far_end_left_and_what_it_hears_right_in_any_codec(
    tmp_path: Path, codecs: tuple[m.PayloadType, m.PayloadType], sample_rate_hz: int
) -> None:
    ends = [
        FarEnd(name, [codec], said(codec, hz))
        for name, codec, hz in zip("AB", codecs, PARTY_TONES_HZ, strict=False)
    ]
    a, b = ends
    mixes = MixBatch()
    mixes.set_sink(a.port, [(b.port, 0.0)], 10.0)
    mixes.set_sink(b.port, [(a.port, 0.0)], 10.0)
    failures: list[str] = []
    hearing = Hearing(lambda name, text: failures.append(text), lambda *press: None)
    path = tmp_path / "call.wav"
    hearing.record("r", a.port, str(path))
    hearing.listen(a.port, 2.0)
    now = 10.0
    for _ in range(100):
        for end in ends:
            end.speak(now)
        mixes.tick(now + 0.005)
        hearing.tick(now + 0.005)
        now += 0.02
    listened = hearing.heard("A", 400)
    assert listened.sample_rate_hz == sample_rate_hz
    samples = np.frombuffer(listened.samples, "<i2")
    assert heard(samples, SIGNATURES, sample_rate_hz=sample_rate_hz) == {"A"}
    assert level_of(samples) == pytest.approx(-15, abs=1)
    assert hearing.finish("r") == m.RecordingInfo(str(path), 2000)
    with wave.open(str(path)) as file:
        assert file.getframerate() == sample_rate_hz
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    for side, name in zip(both[-sample_rate_hz // 2 :].T, "AB", strict=True):
        assert heard(side, SIGNATURES, sample_rate_hz=sample_rate_hz) == {name}
        assert level_of(side) == pytest.approx(-15, abs=1)
    assert not failures
