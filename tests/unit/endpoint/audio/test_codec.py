from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.codec import (
    G711,
    decode,
    encode,
)
from endpoint.audio.tones import level_of

pytestmark = pytest.mark.unit

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("law", "code", "linear"),
    [
        # The ends and the middle of the tables 1 and 2 of G.711, in 16 bit steps.
        (G711.PCMU, 0x80, 32124),
        (G711.PCMU, 0x00, -32124),
        (G711.PCMU, 0x8F, 16764),
        (G711.PCMU, 0x9F, 8316),
        (G711.PCMU, 0xEF, 132),
        (G711.PCMU, 0xFE, 8),
        (G711.PCMU, 0xFF, 0),
        (G711.PCMU, 0x7F, 0),
        (G711.PCMA, 0xAA, 32256),
        (G711.PCMA, 0x2A, -32256),
        (G711.PCMA, 0xA5, 16896),
        (G711.PCMA, 0xD5, 8),
        (G711.PCMA, 0x55, -8),
    ],
)
def test_a_code_has_the_value_of_the_standard(law: G711, code: int, linear: int) -> None:
    assert decode(law, bytes([code])).tolist() == [linear]


@pytest.mark.parametrize(
    ("law", "period"),
    [
        (G711.PCMU, "1e0b0b1e9e8b8b9e"),
        (G711.PCMA, "34212134b4a1a1b4"),
    ],
)
def test_the_standard_tone_of_0_dbm0_is_where_it_should_be(law: G711, period: str) -> None:
    """The sequences of G.711 tables 5 and 6: 1 kHz, 3.17 (3.14) dB below full scale."""
    codes = bytes.fromhex(period)
    samples = decode(law, codes * 20)
    assert level_of(samples) == pytest.approx(-6.17, abs=0.05)
    assert encode(law, samples[:8]) == codes


def test_decoding_then_encoding_changes_nothing() -> None:
    assert encode(G711.PCMA, decode(G711.PCMA, EVERY_CODE)) == EVERY_CODE
    # Mu-law has two zeros; the negative one is never sent.
    once = encode(G711.PCMU, decode(G711.PCMU, EVERY_CODE))
    assert once == EVERY_CODE.replace(b"\x7f", b"\xff")


@pytest.mark.parametrize("law", list(G711))
def test_no_sample_is_off_by_more_than_half_a_step_of_its_segment(law: G711) -> None:
    came_back = decode(law, encode(law, EVERY_SAMPLE)).astype(np.int64)
    error = np.abs(came_back - EVERY_SAMPLE)
    size = np.abs(EVERY_SAMPLE.astype(np.int64))
    assert (error <= (size + 132) / 30 + 4)[size < 32000].all()
    assert np.array_equal(np.argsort(came_back, kind="stable"), np.arange(65536))


@pytest.mark.parametrize("law", list(G711))
def test_silence_is_the_code_of_zero(law: G711) -> None:
    assert encode(law, np.zeros(3, dtype=np.int16)) == bytes([law.silence] * 3)


def test_a_frame_that_is_a_column_of_stereo_can_be_encoded() -> None:
    stereo = np.array([[1000, 5], [2000, 5]], dtype=np.int16)
    assert len(encode(G711.PCMU, stereo[:, 0])) == 2
