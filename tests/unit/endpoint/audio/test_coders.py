"""The codecs of the registry, each as one stream."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from endpoint.audio import opus
from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.codec import AudioCodec, codec_named
from endpoint.audio.coder import EncoderSettings
from endpoint.audio.frame import Samples
from endpoint.audio.tones import level_of, tone
from endpoint.errors import AudioError

pytestmark = pytest.mark.unit

TONE_HZ = 1010.0


def codec(encoding: str, clock_rate_hz: int, opus_sample_rate_hz: int = 16000) -> AudioCodec:
    found = codec_named(encoding, clock_rate_hz, opus_sample_rate_hz=opus_sample_rate_hz)
    assert found is not None
    return found


ALL = [
    codec("PCMU", 8000),
    codec("PCMA", 8000),
    codec("G722", 8000),
    codec("L16", 8000),
    codec("L16", 44100),
    codec("L16", 48000),
    codec("opus", 48000, 8000),
    codec("opus", 48000, 16000),
    codec("opus", 48000, 48000),
]
every_codec = pytest.mark.parametrize(
    "coding", ALL, ids=lambda coding: f"{coding.encoding}/{coding.sample_rate_hz}"
)


def payloads(
    coding: AudioCodec, samples: Samples, settings: EncoderSettings | None = None
) -> list[bytes]:
    encoder = coding.encoder(settings)
    return [encoder.encode(frame) for frame in samples.reshape(-1, coding.sample_rate_hz // 50)]


def speech(coding: AudioCodec, duration_ms: int = 1000) -> Samples:
    """Buzzing like a vowel: a pitch of 110 Hz with its harmonics."""
    time_s = np.arange(duration_ms * coding.sample_rate_hz // 1000) / coding.sample_rate_hz
    harmonics = np.arange(1, 30)[:, None]
    wave = (np.sin(2 * np.pi * 110 * harmonics * time_s + harmonics**2) / harmonics).sum(axis=0)
    samples: Samples = np.rint(3000 * wave).astype(np.int16)
    return samples


@every_codec
def test_a_tone_comes_back_at_its_level_and_pitch(coding: AudioCodec) -> None:
    for level_dbov in (-30.0, -12.0, -5.0):
        decoder = coding.decoder()
        sent = tone(TONE_HZ, 600, level_dbov, coding.sample_rate_hz)
        heard = np.concatenate([decoder.decode(p) for p in payloads(coding, sent)])
        assert len(heard) == len(sent)
        settled = heard[len(heard) // 2 :]
        level = GoertzelBank((TONE_HZ,), coding.sample_rate_hz).levels(settled)[0]
        assert level == pytest.approx(level_dbov, abs=0.5)


def test_g722_makes_the_octets_that_spandsp_makes_and_reads_them_at_their_level() -> None:
    at = np.arange(640) % 16
    triangle = (np.where(at < 8, at, 16 - at) * 2000 - 8000).astype(np.int16)
    coding = codec("G722", 8000)
    made = payloads(coding, triangle)
    assert hashlib.sha256(b"".join(made)).hexdigest() == (
        "ad7e402f410da4e92ce21e03e7c11f8535128a0e5a16c811586653314ae0f0de"
    )
    heard = np.concatenate([coding.decoder().decode(b"".join(made))])
    assert level_of(heard[320:]) == pytest.approx(level_of(triangle), abs=0.5)


def test_g722_takes_whole_frames_alone_and_gives_them_at_once() -> None:
    coding = codec("G722", 8000)
    encoder = coding.encoder()
    assert [len(encoder.encode(np.zeros(320 * n, np.int16))) for n in (1, 2, 3)] == [160, 320, 480]
    for samples in (0, 160, 480):
        with pytest.raises(AudioError, match="20 ms"):
            encoder.encode(np.zeros(samples, np.int16))


def test_l16_is_in_network_order() -> None:
    coding = codec("L16", 16000)
    assert coding.encoder().encode(np.array([1, -2], np.int16)) == b"\x00\x01\xff\xfe"
    assert coding.decoder().decode(b"\x00\x01\xff\xfe").tolist() == [1, -2]
    with pytest.raises(AudioError, match="3 octets"):
        coding.decoder().decode(b"abc")


def test_names_are_found_in_any_case_and_rates_that_do_not_exist_are_not() -> None:
    assert codec("pcmu", 8000).encoding == "PCMU"
    assert (codec("G722", 8000).sample_rate_hz, codec("opus", 48000).channels) == (16000, 2)
    for encoding, clock_rate_hz in (
        ("PCMU", 16000),
        ("G722", 16000),
        ("opus", 16000),
        ("L16", 12345),
        ("speex", 8000),
        ("", 8000),
    ):
        assert codec_named(encoding, clock_rate_hz) is None
    assert codec_named("opus", 48000, opus_sample_rate_hz=44100) is None


def test_without_libopus_there_is_no_opus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_paths", lambda: ["libopus-that-is-not-there.so"])
    opus.library.cache_clear()
    try:
        assert codec_named("opus", 48000) is None
        with pytest.raises(AudioError, match="libopus"):
            opus.OpusDecoder(16000)
    finally:
        opus.library.cache_clear()


@every_codec
def test_what_is_no_payload_raises_the_one_error_and_harms_nothing(coding: AudioCodec) -> None:
    decoder = coding.decoder()
    good = payloads(coding, tone(TONE_HZ, 400, -12.0, coding.sample_rate_hz))
    for payload in good[:10]:
        decoder.decode(payload)
    for junk in (b"", b"\xff", b"\xff" * 7, b"\x03\xff\xff", bytes(2000)):
        with contextlib.suppress(AudioError):
            decoder.decode(junk)
    heard = np.concatenate([decoder.decode(payload) for payload in good[10:]])
    assert level_of(heard[len(heard) // 2 :]) == pytest.approx(-12.0, abs=0.7)


@every_codec
def test_a_lost_packet_of_a_voice_is_filled_and_a_long_loss_fades(coding: AudioCodec) -> None:
    decoder = coding.decoder()
    frame = coding.sample_rate_hz // 50
    sent = payloads(coding, speech(coding, 600))
    before = [decoder.decode(payload) for payload in sent[:20]][-1]
    filled = decoder.conceal(frame)
    assert len(filled) == frame
    # libopus is more careful than we are and begins to fade at once.
    quieter_db = 8 if coding.encoding == "OPUS" else 1
    assert -quieter_db < level_of(filled) - level_of(before) < 1
    assert abs(int(filled[0]) - int(before[-1])) < 6000
    faded = [decoder.conceal(frame) for _ in range(15)]
    assert level_of(faded[-1]) < level_of(before) - 20
    again = [decoder.decode(payload) for payload in sent[20:]]
    assert level_of(again[-1]) == pytest.approx(level_of(before), abs=3)


@every_codec
def test_any_number_of_samples_is_concealed(coding: AudioCodec) -> None:
    decoder = coding.decoder()
    for samples in (0, 1, 77, coding.sample_rate_hz // 50, coding.sample_rate_hz):
        assert len(decoder.conceal(samples)) == samples


def test_opus_finds_a_lost_packet_in_the_one_that_follows() -> None:
    coding = codec("opus", 48000)
    voice = speech(coding)
    voice[8000:8640] = 0  # a break, so that no repetition can guess what comes after it
    settings = EncoderSettings(fec=True, expected_loss_percent=30)
    sent = payloads(coding, voice, settings)
    lost = 28
    errors = {}
    for follows in (False, True):
        decoder = coding.decoder()
        for payload in sent[:lost]:
            decoder.decode(payload)
        filled = decoder.conceal(320, sent[lost + 1] if follows else None)
        whole = coding.decoder()
        wanted = [whole.decode(payload) for payload in sent[: lost + 1]][-1]
        errors[follows] = level_of(filled - wanted)
        assert len(decoder.decode(sent[lost + 1])) == 320
    assert errors[True] < errors[False] - 6


def test_opus_rate_complexity_and_dtx_are_obeyed() -> None:
    coding = codec("opus", 48000)
    voice = speech(coding)
    sizes = {
        rate: sum(map(len, payloads(coding, voice, EncoderSettings(bit_rate=rate))))
        for rate in (8000, 40000)
    }
    assert sizes[40000] > 2 * sizes[8000]
    silence = np.zeros(32000, np.int16)
    quiet = payloads(coding, silence, EncoderSettings(dtx=True))
    assert sum(len(payload) <= 2 for payload in quiet) > len(quiet) // 2
    with pytest.raises(AudioError, match="setting"):
        coding.encoder(EncoderSettings(complexity=11))
    with pytest.raises(AudioError, match="100 samples"):
        coding.encoder().encode(np.zeros(100, np.int16))


def test_a_process_that_speaks_g711_alone_does_not_load_ffmpeg() -> None:
    program = (
        "import sys; from endpoint.audio.codec import codec_named; "
        "codec_named('PCMU', 8000).decoder(); codec_named('opus', 48000).decoder(); "
        "sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
