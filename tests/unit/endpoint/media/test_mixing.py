"""Audio of every codec through the plane's own mixing, tick by tick, without a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from endpoint.audio.analysis import GoertzelBank, heard
from endpoint.audio.codec import AudioCodec
from endpoint.audio.coder import EncoderSettings
from endpoint.audio.dtmf import DtmfDetector
from endpoint.audio.frame import Samples
from endpoint.audio.resample import resample
from endpoint.audio.tones import (
    MUSIC_ON_HOLD,
    MUSIC_ON_HOLD_HZ,
    PARTY_TONES_HZ,
    level_of,
    render,
    tone,
)
from endpoint.media import messages as m
from endpoint.media.mixing import Input, MixBatch
from endpoint.media.payload import codec_of
from endpoint.media.player import Player
from endpoint.media.sink import SinkPort
from tests.fakes.far_end import FarEnd

pytestmark = pytest.mark.unit

PCMU = m.PayloadType(0, "PCMU")
PCMA = m.PayloadType(8, "PCMA")
G722 = m.PayloadType(9, "G722")
L16 = m.PayloadType(96, "L16", 16000)
L16_8 = m.PayloadType(97, "L16", 8000)
L16_48 = m.PayloadType(98, "L16", 48000)
OPUS = m.PayloadType(111, "OPUS", 48000, 2, "useinbandfec=1;minptime=10")
ALL = [PCMU, PCMA, G722, L16, L16_8, L16_48, OPUS]
LEVEL_DBOV = -15.0


def coding(payload_type: m.PayloadType) -> AudioCodec:
    codec = codec_of(payload_type)
    assert codec is not None
    return codec


def said(payload_type: m.PayloadType, hz: float, level_dbov: float = LEVEL_DBOV) -> list[bytes]:
    """Two seconds of a tone."""
    codec = coding(payload_type)
    encoder, size = codec.encoder(), codec.sample_rate_hz // 50
    wave = tone(hz, 2000, level_dbov, codec.sample_rate_hz)
    return [encoder.encode(frame) for frame in wave.reshape(-1, size)]


def speaker(name: str, payload_type: m.PayloadType, hz: float = 1010.0) -> FarEnd:
    return FarEnd(name, [payload_type], said(payload_type, hz))


class Studio:
    """Far ends whose packets come every 20 ms, and a mix that ticks in between."""

    def __init__(self, *ends: FarEnd) -> None:
        self.ends = list(ends)
        self.mixes = MixBatch()
        self.now = 100.0

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            for end in self.ends:
                end.speak(self.now)
            self.mixes.tick(self.now + 0.005)
            self.now += 0.02

    def hears(self, sink: FarEnd, *inputs: Input) -> None:
        self.mixes.set_sink(sink.port, inputs, self.now)


def audio(end: FarEnd, payload_type: m.PayloadType | None = None) -> Samples:
    """All that it heard, decoded."""
    decoder = coding(payload_type or end.codec).decoder()
    return np.concatenate([decoder.decode(bytes(p.payload)) for p in end.heard])


def level(end: FarEnd, hz: float) -> float:
    rate_hz = coding(end.codec).sample_rate_hz
    samples = audio(end)[-rate_hz // 2 :]
    return float(GoertzelBank((hz,), rate_hz).levels(samples)[0])


def matrix(ends: Iterable[FarEnd], signatures: dict[str, Sequence[float]]) -> dict[str, set[str]]:
    found = {}
    for end in ends:
        rate_hz = coding(end.codec).sample_rate_hz
        last = audio(end)[-rate_hz * 2 // 5 :]
        found[end.port.name] = heard(last, signatures, sample_rate_hz=rate_hz)
    return found


@pytest.mark.parametrize("source", ALL, ids=lambda p: f"{p.encoding}{p.clock_rate_hz}")
async def test_a_tone_survives_every_pair_of_codecs_at_its_level(source: m.PayloadType) -> None:
    studio = Studio(speaker("A", source))
    (a,) = studio.ends
    listeners = [FarEnd(f"{n}", [sink]) for n, sink in enumerate(ALL)]
    for listener in listeners:
        studio.hears(listener, (a.port, 0.0))
    studio.run(60)
    levels = [level(listener, 1010.0) for listener in listeners]
    assert levels == pytest.approx([LEVEL_DBOV] * len(ALL), abs=1.0)


async def test_an_encoder_that_fails_silences_its_own_far_end_alone() -> None:
    browser, phone, other = FarEnd("A", [OPUS]), FarEnd("B", [PCMU]), FarEnd("C", [PCMU])
    voice = speaker("V", PCMU)
    studio = Studio(browser, phone, other, voice)
    browser.port.outbound._encoding = EncoderSettings(complexity=99)
    browser.negotiate([OPUS])
    for sink in (browser, phone, other):
        studio.hears(sink, (voice.port, 0.0))
    studio.run(40)
    assert [len(end.heard) for end in (browser, phone, other)] == [0, 40, 40]


async def test_in_a_room_of_mixed_codecs_everybody_hears_all_others_and_not_himself() -> None:
    ends = [
        speaker(name, payload_type, hz)
        for name, payload_type, hz in zip(
            "ABCDEF", [PCMU, G722, OPUS, PCMA, L16, PCMU], PARTY_TONES_HZ, strict=False
        )
    ]
    studio = Studio(*ends)
    for sink in ends:
        studio.hears(sink, *((source.port, 0.0) for source in ends if source is not sink))
    studio.run(70)
    signatures = {name: (hz,) for name, hz in zip("ABCDEF", PARTY_TONES_HZ, strict=False)}
    assert matrix(ends, signatures) == {name: set("ABCDEF") - {name} for name in "ABCDEF"}


async def test_rooms_whispers_and_monitors_are_gains() -> None:
    """A and B talk; S hears both, is heard by A alone and softly; C and D are elsewhere."""
    names = "ABSCD"
    ends = {
        n: speaker(n, c, hz)
        for n, c, hz in zip(names, [PCMU, OPUS, G722, PCMU, PCMU], PARTY_TONES_HZ, strict=False)
    }
    studio = Studio(*ends.values())
    for sink, sources in {"A": "BS", "B": "A", "S": "AB", "C": "D", "D": "C"}.items():
        studio.hears(ends[sink], *((ends[s].port, -6.0 if s == "S" else 0.0) for s in sources))
    studio.run(70)
    signatures = {name: (hz,) for name, hz in zip(names, PARTY_TONES_HZ, strict=False)}
    found = matrix(ends.values(), signatures)
    assert found == {"A": {"B", "S"}, "B": {"A"}, "S": {"A", "B"}, "C": {"D"}, "D": {"C"}}
    assert level(ends["A"], PARTY_TONES_HZ[2]) == pytest.approx(LEVEL_DBOV - 6, abs=1)


async def test_wideband_voices_hear_each_other_in_wideband_beside_a_narrow_one() -> None:
    a, b, c = speaker("A", G722, 6000.0), FarEnd("B", [OPUS]), speaker("C", PCMU, 1010.0)
    studio = Studio(a, b, c)
    studio.hears(b, (a.port, 0.0), (c.port, 0.0))
    studio.hears(c, (a.port, 0.0))
    studio.run(60)
    assert level(b, 6000.0) == pytest.approx(LEVEL_DBOV, abs=2)
    assert level(b, 1010.0) == pytest.approx(LEVEL_DBOV, abs=1)
    # What the narrow band can't carry must not come back as another tone.
    assert level(c, 2000.0) < -60


def clicks(samples: Samples, hz: float, sample_rate_hz: int) -> float:
    """How far the worst sample is from the tone that goes on, as a share of its peak.

    A tone is known by the two samples before: what does not follow from them is a click.
    """
    wave = samples.astype(np.float64)
    turn = 2 * np.cos(2 * np.pi * hz / sample_rate_hz)
    return float(np.abs(wave[2:] - turn * wave[1:-1] + wave[:-2]).max() / np.abs(wave).max())


@pytest.mark.parametrize("joining", [L16, L16_8])
async def test_who_goes_on_being_heard_does_not_click_when_others_come_and_go(
    joining: m.PayloadType,
) -> None:
    """The joining one is silent, and wide or narrow: the rate of the mix may change with him."""
    a, wide, narrow = speaker("A", L16_8), FarEnd("W", [L16]), FarEnd("N", [L16_8])
    silent = FarEnd("S", [joining], [bytes(coding(joining).sample_rate_hz // 25)])
    studio = Studio(a, silent)
    for sink in (wide, narrow):
        studio.hears(sink, (a.port, 0.0))
    studio.run(50)
    for turn in range(6):
        for sink in (wide, narrow):
            others = [(silent.port, 0.0)] if turn % 2 == 0 else []
            studio.hears(sink, (a.port, 0.0), *others)
        studio.run(5)
    for sink in (wide, narrow):
        rate_hz = coding(sink.codec).sample_rate_hz
        assert clicks(audio(sink)[rate_hz // 2 :], 1010.0, rate_hz) < 0.01


@pytest.mark.parametrize("payload_type", [PCMU, G722, L16, OPUS])
async def test_who_begins_to_be_mixed_is_heard_at_the_next_tick(
    payload_type: m.PayloadType,
) -> None:
    a, b = speaker("A", payload_type), FarEnd("B", [PCMU])
    studio = Studio(a, b)
    studio.run(10)
    studio.hears(b, (a.port, 0.0))
    studio.run(1)
    # An encoder may take the first millisecond of a stream for a beginning.
    assert level_of(audio(b)[80:]) == pytest.approx(LEVEL_DBOV, abs=3)
    studio.run(50)
    playout = a.port.inbound.tap().playout
    assert playout is not None
    assert (playout.concealed_ms, playout.late_packets) == (0, 0)
    assert 20 <= playout.delay_ms <= 60


async def test_what_came_long_ago_is_not_heard_by_who_begins_to_listen() -> None:
    a, b = speaker("A", PCMU), FarEnd("B", [PCMU])
    studio = Studio(a)
    studio.run(10)
    studio.now += 0.1
    studio.ends.remove(a)
    studio.hears(b, (a.port, 0.0))
    studio.run(5)
    assert not audio(b).any()


async def test_a_clock_that_is_200_ppm_fast_is_followed() -> None:
    a, b = speaker("A", OPUS), FarEnd("B", [PCMU])
    studio = Studio()
    studio.hears(b, (a.port, 0.0))
    due = studio.now
    for _ in range(50 * 60):
        while due <= studio.now:
            a.speak(due)
            due += 0.02 / 1.0002
        studio.run(1)
    samples = audio(b)[8000:]
    bank = GoertzelBank((1010.0,), 8000)
    levels = np.array(
        [bank.levels(frame)[0] for frame in samples[: len(samples) // 800 * 800].reshape(-1, 800)]
    )
    assert np.mean(np.abs(levels - LEVEL_DBOV) < 1.5) >= 0.97
    playout = a.port.inbound.tap().playout
    assert playout is not None
    assert playout.delay_ms < 60
    assert playout.discarded_packets == 0


@pytest.mark.parametrize(
    ("payload_type", "ptime_ms", "step", "size"),
    [
        (OPUS, 20, 960, None),
        (OPUS, 40, 1920, None),
        (OPUS, 30, 960, None),
        (G722, 20, 160, 160),
        (G722, 30, 160, 160),
        (G722, 60, 480, 480),
        (L16, 10, 160, 320),
        (PCMA, 30, 240, 240),
    ],
)
async def test_packets_have_the_negotiated_length_in_the_codec_s_clock(
    payload_type: m.PayloadType, ptime_ms: int, step: int, size: int | None
) -> None:
    a, b = speaker("A", PCMU), FarEnd("B", [payload_type], ptime_ms=ptime_ms)
    studio = Studio(a)
    studio.hears(b, (a.port, 0.0))
    studio.run(60)
    steps = {(y.timestamp - x.timestamp) & 0xFFFFFFFF for x, y in itertools.pairwise(b.heard)}
    assert steps == {step}
    if size is not None:
        assert {len(p.payload) for p in b.heard} == {size}
    assert level(b, 1010.0) == pytest.approx(LEVEL_DBOV, abs=1)


async def test_one_sender_goes_on_when_codec_and_clock_change() -> None:
    a, b = speaker("A", PCMU), FarEnd("B", [PCMU])
    studio = Studio(a)
    studio.hears(b, (a.port, 0.0))
    studio.run(20)
    b.negotiate([OPUS])
    studio.mixes.refresh(b.port)
    studio.run(20)
    b.negotiate([PCMA])
    studio.mixes.refresh(b.port)
    studio.run(20)
    kinds = [packet.payload_type for packet in b.heard]
    assert kinds == [0] * 20 + [111] * 20 + [8] * 20
    assert len({packet.ssrc for packet in b.heard}) == 1
    for x, y in itertools.pairwise(b.heard):
        assert (y.sequence - x.sequence) & 0xFFFF == 1
        step = (y.timestamp - x.timestamp) & 0xFFFFFFFF
        wanted = 960 if y.payload_type == 111 else 160
        assert abs(step - wanted) <= 1
        assert y.marker is (x.payload_type != y.payload_type)


async def test_music_of_a_player_is_heard_alone_and_with_a_voice_by_every_codec() -> None:
    music = Player("music", loop=True)
    music.load(render(MUSIC_ON_HOLD))
    a = speaker("A", OPUS)
    listeners = [FarEnd(f"{n}", [sink]) for n, sink in enumerate(ALL)]
    studio = Studio(a)
    for listener in listeners:
        studio.hears(listener, (music, 0.0), (a.port, 0.0))
    studio.run(60)
    signatures = {"moh": MUSIC_ON_HOLD_HZ, "A": (1010.0,)}
    assert set(map(frozenset, matrix(listeners, signatures).values())) == {frozenset({"moh", "A"})}


async def test_a_sink_hears_opus() -> None:
    a, sink = speaker("A", OPUS), SinkPort("S")
    studio = Studio(a)
    studio.mixes.set_sink(sink, [(a.port, 0.0)], studio.now)
    frames = []
    for _ in range(60):
        at = studio.now + 0.005
        studio.run(1)
        frames.append(sink.take(at))
    samples = np.concatenate(frames[35:])
    assert GoertzelBank((1010.0,)).levels(samples)[0] == pytest.approx(LEVEL_DBOV, abs=1)


@pytest.mark.parametrize("payload_type", [OPUS, G722, L16, PCMA])
async def test_digits_are_tones_where_no_events_were_negotiated(
    payload_type: m.PayloadType,
) -> None:
    b = FarEnd("B", [payload_type])
    assert b.port.outbound.add_digits("159D", 100, 60)
    now, finished = 5.0, ""
    while b.port.outbound.has_digits:
        finished += b.port.outbound.send_digit_step(now)
        now += 0.02
    assert finished == "159D"
    samples = resample(audio(b), coding(payload_type).sample_rate_hz, 8000)
    assert "".join(DtmfDetector().receive_audio(samples)) == "159D"


@pytest.mark.parametrize("payload_type", ALL, ids=lambda p: f"{p.encoding}{p.clock_rate_hz}")
async def test_the_level_is_known_without_decoding_what_nobody_hears(
    payload_type: m.PayloadType,
) -> None:
    a = speaker("A", payload_type)
    studio = Studio(a)
    assert a.port.inbound.level_dbov() is None
    studio.run(60)
    assert a.port.inbound.level_dbov() == pytest.approx(LEVEL_DBOV, abs=2)
    a.payloads = said(payload_type, 1010.0, -40.0)
    studio.run(120)
    assert a.port.inbound.level_dbov() == pytest.approx(-40.0, abs=2)


async def test_the_level_is_measured_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a room each reads those of all others; audio that is not there any more has none."""
    a = speaker("A", OPUS)
    studio = Studio(a)
    studio.run(60)
    inbound = a.port.inbound
    level_dbov = inbound.level_dbov()
    with monkeypatch.context() as patched:
        patched.setattr(AudioCodec, "decoder", lambda self: pytest.fail("decoded again"))
        assert inbound.level_dbov() == level_dbov
    a.negotiate([PCMU])
    assert inbound.level_dbov() is None
