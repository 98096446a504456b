"""The fmtp of Opus: read leniently, written briefly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.sdp.opus import OpusParameters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("fmtp", "parameters"),
    [
        ("", OpusParameters()),
        ("minptime=10;useinbandfec=1", OpusParameters(min_ptime_ms=10, in_band_fec=True)),
        (
            "maxplaybackrate=16000; sprop-stereo=1; Stereo=1; maxaveragebitrate=20000; usedtx=1",
            OpusParameters(16000, 20000, stereo=True, sends_stereo=True, discontinuous=True),
        ),
        ("cbr=1", OpusParameters(constant_bitrate=True)),
        ("maxplaybackrate=1;maxaveragebitrate=x;minptime=٣;useinbandfec=yes", OpusParameters()),
        ("maxaveragebitrate=99999999999999999999;=;;x", OpusParameters()),
    ],
)
def test_parameters(fmtp: str, parameters: OpusParameters) -> None:
    assert OpusParameters.parse(fmtp) == parameters
    assert OpusParameters.parse(str(parameters)) == parameters


def test_defaults_are_not_written() -> None:
    assert str(OpusParameters()) == ""
    assert str(OpusParameters(in_band_fec=True, min_ptime_ms=10)) == "minptime=10;useinbandfec=1"


@given(st.text())
def test_any_text_is_some_parameters(text: str) -> None:
    parameters = OpusParameters.parse(text)
    assert OpusParameters.parse(str(parameters)) == parameters
