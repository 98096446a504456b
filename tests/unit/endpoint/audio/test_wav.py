from __future__ import annotations

import contextlib
import io
import struct
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.codec import G711, encode
from endpoint.audio.tones import tone
from endpoint.audio.wav import WavWriter, header_of, mend, read_wav
from endpoint.errors import AudioError

pytestmark = pytest.mark.unit

VOICE = {"voice": (1000.0,), "other": (475.0,)}


def wav(
    tag: int, bits: int, channels: int, rate_hz: int, octets: bytes, extra: bytes = b""
) -> bytes:
    frame = channels * bits // 8
    kind = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame, frame, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(kind)) + kind
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(octets)) + octets
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pcm(bits: int, rate_hz: int) -> bytes:
    samples = tone(1000.0, 500, -12.0, rate_hz).astype(np.int32)
    match bits:
        case 8:
            return ((samples >> 8) + 128).astype(np.uint8).tobytes()
        case 16:
            return samples.astype("<i2").tobytes()
        case _:
            return b"".join(int(s << 8).to_bytes(3, "little", signed=True) for s in samples)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("bits", [8, 16, 24])
def test_pcm_of_any_width_and_rate_is_the_same_tone(bits: int, rate_hz: int) -> None:
    sound = read_wav(wav(1, bits, 1, rate_hz, pcm(bits, rate_hz)))
    assert sound.sample_rate_hz == rate_hz
    assert len(sound.at(8000)) == 4000
    assert heard(sound.at(8000), VOICE) == {"voice"}


def test_g711_files_are_read() -> None:
    samples = tone(1000.0, 400)
    for tag, octets in ((6, encode(G711.PCMA, samples)), (7, encode(G711.PCMU, samples))):
        assert heard(read_wav(wav(tag, 8, 1, 8000, octets)).samples, VOICE) == {"voice"}


def test_stereo_is_averaged() -> None:
    both = np.stack([tone(1000.0, 400), tone(475.0, 400)], axis=1)
    sound = read_wav(wav(1, 16, 2, 8000, both.astype("<i2").tobytes()))
    assert heard(sound.samples, VOICE) == {"voice", "other"}


def test_an_extensible_header_names_the_format_in_its_guid() -> None:
    extra = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    sound = read_wav(wav(0xFFFE, 16, 1, 8000, pcm(16, 8000), extra))
    assert heard(sound.samples, VOICE) == {"voice"}


def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes() -> None:
    whole = wav(1, 16, 1, 8000, pcm(16, 8000))
    assert len(read_wav(whole[:-1001]).samples) == (8000 - 1001) // 2


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", "not a WAV file"),
        (b"ID3" + bytes(60), "not a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "holds no audio"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "no format"),
        (b"RIFF\0\0\0\0WAVEfmt \4\0\0\0abcd", "cut short"),
        (wav(1, 16, 0, 8000, b""), "0 channels"),
        (wav(1, 16, 1, 0, b""), "at 0 Hz"),
        (wav(2, 4, 1, 8000, b"ab"), "format 2"),
        (wav(1, 0, 1, 8000, b"ab"), "0 bit"),
        (wav(3, 32, 1, 8000, b"abcd"), "format 3"),
    ],
)
def test_what_can_not_be_played_says_why(octets: bytes, text: str) -> None:
    with pytest.raises(AudioError, match=text):
        read_wav(octets)


def test_noise_raises_nothing_else() -> None:
    random = np.random.default_rng(11)
    good = bytearray(wav(1, 16, 2, 8000, pcm(16, 8000)[:400]))
    for _ in range(500):
        bad = bytearray(good)
        for place in random.integers(0, 80, 4):
            bad[place] = random.integers(0, 256)
        with contextlib.suppress(AudioError):
            read_wav(bytes(bad))


def test_what_was_written_can_be_played_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    with path.open("wb", buffering=0) as file:
        writer = WavWriter(file, 8000, 2)
        for seconds in range(3):
            with wave.open(str(path)) as reader:
                assert reader.getnframes() == seconds * 8000
                assert reader.getnchannels() == 2
            writer.write(np.zeros((8000, 2), dtype=np.int16))
        assert writer.duration_ms == 3000


class FullDisk(io.BytesIO):
    def write(self, octets: object) -> int:
        assert isinstance(octets, bytes)
        room = max(0, 1000 - self.tell())
        return super().write(octets[:room])


def test_a_full_disk_is_an_error_and_leaves_a_playable_file() -> None:
    disk = FullDisk()
    writer = WavWriter(disk, 8000, 1)
    writer.write(tone(1000.0, 50))
    with pytest.raises(OSError, match="full"):
        writer.write(tone(1000.0, 50))
    assert len(read_wav(disk.getvalue()).samples) == 400


def test_a_recording_longer_than_a_header_can_say_goes_on() -> None:
    file = BytesIO()
    writer = WavWriter(file, 8000, 1)
    writer._octets = 0xFFFFFFFF
    writer.write(np.zeros(160, dtype=np.int16))
    assert file.getvalue()[40:44] == b"\xff" * 4


def test_a_header_that_was_not_written_any_more_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "killed.wav"
    with path.open("wb", buffering=0) as file:
        writer = WavWriter(file, 8000, 2)
        writer.write(np.ones((100, 2), np.int16))
        file.seek(0, 2)
        file.write(np.ones((50, 2), np.int16).tobytes() + b"x")
    assert len(read_wav(path.read_bytes()).samples) == 100
    mend(path)
    assert len(read_wav(path.read_bytes()).samples) == 150
    assert (path.stat().st_size - 44) % 4 == 0
    (tmp_path / "other").write_bytes(b"OggS")
    with pytest.raises(AudioError, match="no WAV file"):
        mend(tmp_path / "other")


def test_a_header_of_what_was_streamed_is_made_afterwards() -> None:
    out = BytesIO()
    WavWriter(out, 8000, 2, streamed=True).write(np.ones((100, 2), np.int16))
    octets = out.getvalue()
    assert octets[40:44] == b"\xff" * 4
    whole = header_of(octets[:44], len(octets)) + octets[44:]
    assert int.from_bytes(whole[40:44], "little") == 400
    assert int.from_bytes(whole[4:8], "little") == len(whole) - 8
