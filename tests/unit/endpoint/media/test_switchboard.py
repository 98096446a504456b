"""Who is forwarded, who is mixed, and that a far end hears one sender whatever feeds it."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.tones import MUSIC_ON_HOLD, MUSIC_ON_HOLD_HZ, render
from endpoint.media import messages as m
from endpoint.media.player import Player
from endpoint.media.port import RtpPort
from endpoint.media.switchboard import Port, Switchboard
from tests.fakes.far_end import FarEnd
from tests.unit.endpoint.media.test_mixing import L16, OPUS, PCMA, PCMU, coding, said

pytestmark = pytest.mark.unit

SIGNATURES = {"moh": MUSIC_ON_HOLD_HZ, "A": (1010.0,)}


class Studio:
    """A switchboard; packets come every 20 ms, 5 ms before each tick."""

    def __init__(self, *ends: FarEnd) -> None:
        self.switchboard = Switchboard(ended=_ignore, digits_sent=_ignore_digits)
        self.ends = ends
        self.now = 100.0
        music = Player("music", loop=True)
        music.load(render(MUSIC_ON_HOLD))
        for port in (music, *(end.port for end in ends)):
            self.switchboard.add(port)

    def route(self, *pairs: str) -> None:
        names = {"m": "music"}
        routes = [m.RouteTo(names.get(a, a), b) for a, b in map(tuple, pairs)]
        self.switchboard.set_routes("call", routes, self.now)

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            for end in self.ends:
                end.speak(self.now)
            self.switchboard.tick(self.now + 0.005)
            self.now += 0.02


def _ignore(port: Port) -> None: ...
def _ignore_digits(port: RtpPort, digits: str) -> None: ...


def kinds(end: FarEnd) -> list[int]:
    """The payload types that it heard, each run once."""
    return [kind for kind, _ in itertools.groupby(p.payload_type for p in end.heard)]


def assert_one_legal_sender(end: FarEnd, clocks: dict[int, int]) -> None:
    assert len({packet.ssrc for packet in end.heard}) == 1
    for a, b in itertools.pairwise(end.heard):
        assert (b.sequence - a.sequence) & 0xFFFF == 1
        step_s = ((b.timestamp - a.timestamp) & 0xFFFFFFFF) / clocks[b.payload_type]
        assert 0.0149 <= step_s < 0.2


def assert_one_legal_sender_but_events(end: FarEnd) -> None:
    """An event keeps the time of its start."""
    audio = [packet for packet in end.heard if packet.payload_type != 101]
    assert len({packet.ssrc for packet in end.heard}) == 1
    for a, b in itertools.pairwise(audio):
        assert 160 <= (b.timestamp - a.timestamp) & 0xFFFFFFFF < 4000


def hears(end: FarEnd, payload_type: m.PayloadType, packets: int = 25) -> set[str]:
    """In the last packets of one codec."""
    codec = coding(payload_type)
    decoder = codec.decoder()
    payloads = [bytes(p.payload) for p in end.heard if p.payload_type == payload_type.number]
    audio = np.concatenate([decoder.decode(payload) for payload in payloads])
    rate_hz = codec.sample_rate_hz
    return heard(audio[-packets * rate_hz // 50 :], SIGNATURES, sample_rate_hz=rate_hz)


async def test_what_the_source_sends_is_forwarded_where_it_is_among_what_the_sink_takes() -> None:
    """A browser that answered Opus and PCMU hears a telephone's PCMU as it is."""
    phone, browser = FarEnd("A", [PCMU], said(PCMU, 1010.0)), FarEnd("B", [OPUS, PCMU])
    studio = Studio(phone, browser)
    studio.route("AB")
    studio.run(30)
    assert [bytes(p.payload) for p in browser.heard] == list(phone.payloads[:30])
    assert kinds(browser) == [0]
    studio.route("mB")
    studio.run(40)
    assert kinds(browser) == [0, 111]
    assert hears(browser, OPUS) == {"moh"}
    studio.route("AB")
    studio.run(30)
    assert kinds(browser) == [0, 111, 0]
    assert_one_legal_sender(browser, {0: 8000, 111: 48000})


async def test_a_codec_that_changes_in_mid_call_is_mixed_and_forwarded_again() -> None:
    a, b = FarEnd("A", [OPUS, PCMU], said(OPUS, 1010.0)), FarEnd("B", [PCMU])
    studio = Studio(a, b)
    studio.route("AB")
    studio.run(40)
    assert hears(b, PCMU) == {"A"}
    a.codec, a.payloads = PCMU, said(PCMU, 1010.0)
    a.owner.on_codec = lambda port: studio.switchboard.changed(port, studio.now)
    studio.run(40)
    assert bytes(b.heard[-1].payload) in a.payloads
    assert hears(b, PCMU) == {"A"}
    assert_one_legal_sender(b, {0: 8000})


async def test_forwarded_audio_whose_clock_changes_goes_on_in_time() -> None:
    a, b = FarEnd("A", [OPUS, PCMU], said(OPUS, 1010.0)), FarEnd("B", [OPUS, PCMU])
    studio = Studio(a, b)
    studio.route("AB")
    for payload_type in (PCMU, OPUS, PCMU):
        studio.run(20)
        a.codec, a.payloads = payload_type, said(payload_type, 1010.0)
    studio.run(20)
    assert kinds(b) == [111, 0, 111, 0]
    assert_one_legal_sender(b, {0: 8000, 111: 48000})


async def test_digits_have_the_clock_of_what_the_far_end_hears() -> None:
    events = [m.PayloadType(110, "TELEPHONE-EVENT", 48000), m.PayloadType(101, "TELEPHONE-EVENT")]
    phone = FarEnd("A", [PCMU], said(PCMU, 1010.0))
    browser, other = FarEnd("B", [OPUS, PCMU, *events]), FarEnd("C", [OPUS, PCMU, *events])
    studio = Studio(phone, browser, other)
    studio.route("AB")
    studio.run(10)
    for end in (browser, other):
        assert end.port.outbound.add_digits("5", 100, 60)
        studio.switchboard.changed(end.port, studio.now)
    studio.run(20)
    assert kinds(browser) == [0, 101, 0]
    assert kinds(other) == [110, 111]
    events_heard = [p for p in other.heard if p.payload_type == 110]
    assert int.from_bytes(events_heard[-1].payload[2:]) == 4800
    assert_one_legal_sender_but_events(browser)


async def test_between_digits_there_is_silence_up_to_the_next_one() -> None:
    """A jitter buffer that runs dry before an event, and has audio from behind it, drops it."""
    phone = FarEnd("A", [PCMU], said(PCMU, 1010.0))
    other = FarEnd("B", [PCMU, m.PayloadType(101, "TELEPHONE-EVENT")])
    studio = Studio(phone, other)
    studio.route("AB")
    studio.run(10)
    assert other.port.outbound.add_digits("12#", 100, 60)
    studio.switchboard.changed(other.port, studio.now)
    studio.run(40)
    assert kinds(other) == [0, 101, 0, 101, 0, 101, 0]
    begun = [
        (before, event)
        for before, event in itertools.pairwise(other.heard)
        if (before.payload_type, event.payload_type) == (0, 101)
    ]
    for before, event in begun:
        # Of the voice, the clock ticked a little later than a packet came.
        assert 160 <= (event.timestamp - before.timestamp) & 0xFFFFFFFF < 240
    assert [bytes(before.payload) for before, _ in begun[1:]] == [b"\xff" * 160] * 2
    assert_one_legal_sender_but_events(other)


async def test_stereo_is_no_mono_and_another_rate_no_other() -> None:
    for source, sink in (
        (L16, m.PayloadType(96, "L16", 16000, 2)),
        (L16, m.PayloadType(97, "L16")),
    ):
        a, b = FarEnd("A", [source], said(L16, 1010.0)), FarEnd("B", [sink])
        assert a.port.inbound.payload_types_to(b.port.outbound.sends) is None


async def test_from_a_mix_to_forwarding_and_back_nobody_loses_the_voice() -> None:
    a, b, c = (FarEnd(name, [OPUS], said(OPUS, 1010.0) if name == "A" else ()) for name in "ABC")
    studio = Studio(a, b, c)
    studio.route("AB")
    studio.run(25)
    for _ in range(4):
        studio.route("AB", "CB", "mC")
        studio.run(25)
        assert hears(b, OPUS, 20) == {"A"}
        studio.route("AB")
        studio.run(25)
        assert hears(b, OPUS, 20) == {"A"}
    assert_one_legal_sender(b, {111: 48000})


@pytest.mark.parametrize("mixed_for", [1, 2, 25], ids=lambda ticks: f"{ticks} ticks")
async def test_who_is_mixed_where_others_hear_him_mixed_is_not_heard_twice(mixed_for: int) -> None:
    """C hears A in a mix all the time, so that A's voice waits there; to B it was forwarded."""
    payloads = [bytes([code]) * 160 for code in range(1, 101)]
    a, b, c = FarEnd("A", [PCMU], payloads), FarEnd("B", [PCMU]), FarEnd("C", [PCMU])
    studio = Studio(a, b, c)
    studio.route("AB", "AC", "mC")
    studio.run(30)
    assert [bytes(p.payload) for p in b.heard] == payloads[:30]
    studio.route("AB", "CB", "AC", "mC")
    studio.run(mixed_for)
    studio.route("AB", "AC", "mC")
    studio.run(15)
    heard = Counter(b"".join(bytes(p.payload) for p in b.heard))
    for code in range(1, 40 + mixed_for):
        # Within half a tick at each switch.
        assert 80 <= heard[code] <= 240
    assert sum(heard[code] for code in range(1, 41)) == pytest.approx(40 * 160, abs=160)


async def test_comfort_noise_is_not_taken_for_a_codec() -> None:
    """Announced, it is passed on; it fills the pauses of a mix; the codec stays what it was."""
    noise = m.PayloadType(13, "CN")
    a, b, c = (
        FarEnd("A", [PCMU, noise], said(PCMU, 1010.0)),
        FarEnd("B", [PCMU, noise]),
        FarEnd("C", [PCMA]),
    )
    studio = Studio(a, b, c)
    studio.route("AB", "AC")
    studio.run(20)
    a.payloads = ()
    a.receive(13, bytes([50]), studio.now)
    studio.run(20)
    assert b.heard[-1].payload_type == 13
    assert a.port.inbound.current == PCMU
    levels = coding(PCMA).decoder().decode(bytes(c.heard[-1].payload)).astype(np.float64)
    assert 20 * np.log10(levels.std() / 32768) == pytest.approx(-50, abs=3)
