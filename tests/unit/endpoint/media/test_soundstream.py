"""A sound device's blocks, in virtual time: its clock is not that of the media plane."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.codec import codec_named
from endpoint.audio.frame import Samples
from endpoint.audio.playout import Playout
from endpoint.audio.tones import Segment, level_of, tone
from endpoint.media.rtp import HEADER, VERSION, parse_rtp
from endpoint.media.soundmessages import CODEC
from endpoint.media.soundstream import Microphone, Ringer, Speaker, amplified

pytestmark = pytest.mark.unit

TONE_HZ, LEVEL_DBOV = 1010.0, -12.0
RATE_HZ, FRAME, FRAME_S = 16000, 320, 0.02
MINUTE_S = 60
DRIFTS = pytest.mark.parametrize("ppm", [200, -200, 0])


@dataclass
class Heard:
    """What came out, a frame at a time."""

    levels: list[float] = field(default_factory=list)
    banks: dict[int, GoertzelBank] = field(default_factory=dict)

    def hear(self, frame: Samples) -> None:
        rate_hz = len(frame) * 50
        if rate_hz not in self.banks:
            self.banks[rate_hz] = GoertzelBank((TONE_HZ,), rate_hz)
        self.levels.append(float(self.banks[rate_hz].levels(frame)[0]))

    @property
    def has_a_gap(self) -> bool:
        """From half a second on."""
        return bool(np.any(np.abs(np.array(self.levels[25:]) - LEVEL_DBOV) > 3))


def packet(number: int, samples: Samples) -> bytes:
    header = HEADER.pack(VERSION, CODEC.number, number & 0xFFFF, number * FRAME, 7)
    return header + samples.astype(">i2").tobytes()


@DRIFTS
@pytest.mark.parametrize("together", [1, 2], ids=["one by one", "by twos"])
def test_a_speaker_with_another_clock_plays_a_minute_without_a_gap(ppm: int, together: int) -> None:
    """The plane sends each 20 ms; the device asks by a clock of its own, and not that evenly."""
    seeded, speaker, heard = random.Random(7), Speaker(), Heard()
    said = tone(TONE_HZ, 1000 * (MINUTE_S + 1), LEVEL_DBOV, RATE_HZ).reshape(-1, FRAME)
    sent = 0
    for block in range(MINUTE_S * 50):
        step_s = FRAME_S * (1 + ppm / 1e6)
        now = 0.1 + block // together * together * step_s + seeded.uniform(0, 0.003)
        while sent * FRAME_S <= now:
            speaker.receive(packet(sent, said[sent]), sent * FRAME_S)
            sent += 1
        heard.hear(speaker.play(now))
    assert not heard.has_a_gap
    assert speaker.playout.concealed_ms == 0
    assert speaker.playout.late_packets == speaker.playout.discarded_packets == 0
    assert speaker.playout.delay_ms < 120


@DRIFTS
def test_a_microphone_with_another_clock_is_heard_a_minute_without_a_gap(ppm: int) -> None:
    """The plane hears each 20 ms what comes by the device's clock."""
    codec = codec_named(CODEC.encoding, CODEC.clock_rate_hz)
    assert codec is not None
    sent: list[bytes] = []
    microphone, playout, heard = Microphone(sent.append), Playout(codec), Heard()
    said = tone(TONE_HZ, 1000 * (MINUTE_S + 1), LEVEL_DBOV, RATE_HZ).reshape(-1, FRAME)
    block = 0
    for tick in range(MINUTE_S * 50):
        now = tick * FRAME_S
        while block < len(said) and block * FRAME_S * (1 + ppm / 1e6) <= now:
            microphone.capture(said[block])
            came = parse_rtp(memoryview(sent.pop()))
            assert came is not None
            playout.put(came.timestamp, bytes(came.payload), block * FRAME_S * (1 + ppm / 1e6))
            block += 1
        heard.hear(playout.take(now))
    assert not heard.has_a_gap
    assert playout.concealed_ms == 0
    assert playout.late_packets == playout.discarded_packets == 0


@pytest.mark.parametrize("rate_hz", [16000, 48000, 32000])
def test_a_device_has_the_rate_that_it_has(rate_hz: int) -> None:
    """What is played at 16 kHz is heard there as it is, and what it captures at 16 kHz here."""
    sent: list[bytes] = []
    microphone, speaker = Microphone(sent.append), Speaker()
    microphone.begin(rate_hz)
    speaker.begin(rate_hz)
    heard, size = Heard(), rate_hz // 50
    for number, block in enumerate(
        tone(TONE_HZ, 2000, LEVEL_DBOV, rate_hz).reshape(-1, size),
    ):
        microphone.capture(block)
        speaker.receive(sent[-1], number * FRAME_S)
        played = speaker.play(number * FRAME_S)
        assert len(played) == size
        heard.hear(played)
    assert not heard.has_a_gap
    first, second = (parse_rtp(memoryview(each)) for each in sent[:2])
    assert first is not None
    assert second is not None
    assert (second.sequence - first.sequence, second.timestamp - first.timestamp) == (1, FRAME)


def test_nothing_that_comes_is_silence_and_reports_are_no_audio() -> None:
    speaker = Speaker()
    speaker.receive(bytes([0x80, 200, 0, 0]), 0.0)
    speaker.receive(b"", 0.0)
    assert not speaker.play(0.1).any()


def test_what_nobody_asks_for_does_not_pile_up() -> None:
    """A device that has stopped for a minute goes on with what is said now."""
    speaker, heard = Speaker(), Heard()
    quiet = np.zeros(FRAME, np.int16)
    said = tone(TONE_HZ, 4000, LEVEL_DBOV, RATE_HZ).reshape(-1, FRAME)
    speaker.play(0.0)
    for number in range(3000):
        speaker.receive(packet(number, quiet), number * FRAME_S)
    for number in range(3000, 3150):
        speaker.receive(packet(number, said[number - 3000]), number * FRAME_S)
        heard.hear(speaker.play(number * FRAME_S + 0.001))
    assert heard.levels[-1] == pytest.approx(LEVEL_DBOV, abs=3)


def test_a_ringer_rings_and_pauses_over_and_over() -> None:
    ringer = Ringer([Segment((TONE_HZ,), 40, LEVEL_DBOV), Segment((), 60)])
    levels = [level_of(ringer.play(0.0)) for _ in range(10)]
    assert [level > -40 for level in levels] == [True, True, False, False, False] * 2


def test_louder_clips_and_never_wraps() -> None:
    loud = np.array([20000, -20000, 100], np.int16)
    assert amplified(loud, 6.0206).tolist() == [32767, -32768, 200]
    assert amplified(loud, 0.0) is loud


def test_noise_is_suppressed_and_speech_is_not() -> None:
    """White noise is 10 dB lower after two seconds; a microphone without leaves it as it is."""
    pytest.importorskip("webrtc_noise_gain", reason="pip install 'agent-endpoint[noise]'")
    noise = np.random.default_rng(7).normal(0, 500, RATE_HZ * 3).astype(np.int16)
    levels = {}
    for suppression in (0, 3):
        sent: list[bytes] = []
        microphone = Microphone(sent.append, suppression=suppression)
        for block in noise.reshape(-1, FRAME):
            microphone.capture(block)
        last = b"".join(each[12:] for each in sent[-25:])
        levels[suppression] = level_of(np.frombuffer(last, ">i2").astype(np.int16))
    assert levels[3] < levels[0] - 10
