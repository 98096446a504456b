from __future__ import annotations

import pytest

from endpoint.audio.coder import EncoderSettings
from endpoint.media.messages import PayloadType
from endpoint.media.payload import audio_of, codec_of, encodable_of, encoder_settings, events_of

pytestmark = pytest.mark.unit


def opus(fmtp: str) -> PayloadType:
    return PayloadType(111, "OPUS", 48000, 2, fmtp)


@pytest.mark.parametrize(
    ("fmtp", "settings"),
    [
        ("", EncoderSettings(fec=False)),
        ("minptime=10;useinbandfec=1", EncoderSettings()),
        ("useinbandfec=0; usedtx=1", EncoderSettings(fec=False, dtx=True)),
        ("maxaveragebitrate=12000;cbr=1", EncoderSettings(fec=False, bit_rate=12000, cbr=True)),
        ("maxaveragebitrate=500000; stereo=1", EncoderSettings(fec=False)),
        ("maxaveragebitrate=1", EncoderSettings(fec=False, bit_rate=6000)),
        ("maxaveragebitrate=many;;=;useinbandfec", EncoderSettings(fec=False)),
        ("MaxAverageBitrate=20000; UseInbandFEC = 1", EncoderSettings(bit_rate=20000)),
    ],
)
def test_opus_is_encoded_as_the_far_end_wants_it(fmtp: str, settings: EncoderSettings) -> None:
    assert encoder_settings(opus(fmtp), EncoderSettings()) == settings
    codec = codec_of(opus(fmtp))
    assert codec is not None
    codec.encoder(settings)


@pytest.mark.parametrize(
    ("fmtp", "sample_rate_hz"),
    [("", 16000), ("maxplaybackrate=48000", 16000), ("maxplaybackrate=8000", 8000)],
)
def test_a_far_end_that_plays_narrow_band_gets_no_more(fmtp: str, sample_rate_hz: int) -> None:
    codec = codec_of(opus(fmtp))
    assert codec is not None
    assert codec.sample_rate_hz == sample_rate_hz


@pytest.mark.parametrize(
    "payload_type",
    [
        None,
        PayloadType(18, "G729"),
        PayloadType(10, "L16", 44100),
        PayloadType(96, "L16", 16000, 2),
        PayloadType(111, "OPUS", 48000, 1),
        PayloadType(101, "TELEPHONE-EVENT"),
    ],
)
def test_what_can_not_be_mixed_has_no_codec(payload_type: PayloadType | None) -> None:
    assert codec_of(payload_type) is None


def test_audio_is_neither_events_nor_noise_and_ours_is_the_first_that_we_know() -> None:
    listed = [PayloadType(101, "TELEPHONE-EVENT"), PayloadType(13, "CN"), PayloadType(18, "G729")]
    assert audio_of(listed) == listed[2]
    assert encodable_of(listed) is None
    assert encodable_of([*listed, PayloadType(8, "PCMA")]) == PayloadType(8, "PCMA")


def test_events_of_the_audio_s_clock_come_first() -> None:
    narrow, wide = PayloadType(101, "TELEPHONE-EVENT"), PayloadType(110, "TELEPHONE-EVENT", 48000)
    assert events_of([narrow, wide], 48000) == wide
    assert events_of([wide, narrow], 8000) == narrow
    assert events_of([narrow], 48000) == narrow
    assert events_of([PayloadType(0, "PCMU")], 8000) is None
