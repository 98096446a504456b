"""The adaptive jitter buffer, over networks that lose, delay, reorder and repeat."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from endpoint.audio.analysis import GoertzelBank
from endpoint.audio.arrival import DelaySettings
from endpoint.audio.codec import AudioCodec, codec_named
from endpoint.audio.coder import EncoderSettings
from endpoint.audio.frame import Samples
from endpoint.audio.playout import Playout
from endpoint.audio.tones import level_of, tone

pytestmark = pytest.mark.unit

TONE_HZ = 1010.0
LEVEL_DBOV = -12.0
START = 0xFFFFF000
"""Near the wrap, so that every test crosses it."""

Network = Callable[[random.Random, float], list[float]]
"""When the copies of a packet come that was sent at this time."""


def coding(encoding: str, clock_rate_hz: int) -> AudioCodec:
    found = codec_named(encoding, clock_rate_hz)
    assert found is not None
    return found


PCMU = coding("PCMU", 8000)
BOTH = pytest.mark.parametrize(
    "codec", [PCMU, coding("G722", 8000), coding("opus", 48000)], ids=lambda codec: codec.encoding
)


@dataclass
class Heard:
    """What one stream sounded like."""

    playout: Playout
    levels: list[float] = field(default_factory=list)
    """Of the tone, a frame each."""
    delays_ms: list[float] = field(default_factory=list)

    @property
    def continuity(self) -> float:
        """The share of frames in which the tone has its level within 3 dB, from 0.5 s on."""
        levels = np.array(self.levels[25:])
        return float(np.mean(np.abs(levels - LEVEL_DBOV) < 3))


def listen(
    codec: AudioCodec,
    network: Network,
    *,
    seconds: int = 10,
    faster: float = 1.0,
    settings: DelaySettings | None = None,
) -> Heard:
    """Send a tone, 20 ms a packet, by a clock that is so much faster than the listener's."""
    seeded = random.Random(7)
    encoder = codec.encoder()
    frame = codec.sample_rate_hz // 50
    sent = tone(TONE_HZ, 1000 * seconds, LEVEL_DBOV, codec.sample_rate_hz)
    arrivals = sorted(
        (at, (START + number * codec.clock_rate_hz // 50) & 0xFFFFFFFF, payload)
        for number, payload in enumerate(map(encoder.encode, sent.reshape(-1, frame)))
        for at in network(seeded, number * 0.02 / faster)
    )
    heard = Heard(Playout(codec, settings))
    bank = GoertzelBank((TONE_HZ,), codec.sample_rate_hz)
    for tick in range(int(seconds * 50 / faster)):
        now = tick * 0.02 + 0.007
        while arrivals and arrivals[0][0] <= now:
            at, timestamp, payload = arrivals.pop(0)
            heard.playout.put(timestamp, payload, at)
        samples = heard.playout.take(now)
        assert len(samples) == frame
        heard.levels.append(float(bank.levels(samples)[0]))
        heard.delays_ms.append(heard.playout.delay_ms)
    return heard


def on_time(_: random.Random, sent: float) -> list[float]:
    return [sent]


@BOTH
def test_a_good_network_costs_one_packet_of_delay_and_nothing_is_made_up(codec: AudioCodec) -> None:
    heard = listen(codec, on_time)
    assert heard.continuity == 1.0
    assert heard.playout.concealed_ms == 0
    assert heard.delays_ms[-1] <= 32
    assert heard.playout.jitter_ms < 1


@BOTH
@pytest.mark.parametrize("percent", [1, 5])
def test_lost_packets_are_hardly_heard(codec: AudioCodec, percent: int) -> None:
    heard = listen(codec, lambda seeded, at: [at] if seeded.random() * 100 >= percent else [])
    assert heard.continuity >= 0.97
    assert heard.playout.concealed_ms > 0
    assert heard.playout.discarded_packets == heard.playout.late_packets == 0
    assert max(heard.delays_ms[50:]) < 80


@BOTH
def test_a_jitter_of_80_ms_either_way_is_held_back_for(codec: AudioCodec) -> None:
    heard = listen(codec, lambda seeded, at: [at + 0.08 + seeded.uniform(-0.08, 0.08)])
    assert heard.continuity >= 0.97
    assert 30 < heard.playout.jitter_ms < 100
    assert max(heard.delays_ms[50:]) <= 215


@BOTH
def test_after_jitter_the_delay_goes_back(codec: AudioCodec) -> None:
    """When the fastest packets of the bad time are ten seconds old."""

    def network(seeded: random.Random, at: float) -> list[float]:
        return [at + 0.08 + (seeded.uniform(-0.08, 0.08) if at < 4.0 else 0)]

    heard = listen(codec, network, seconds=24)
    assert max(heard.delays_ms[50:200]) >= 120
    assert heard.delays_ms[-1] <= 50


@BOTH
def test_packets_out_of_order_are_put_in_order(codec: AudioCodec) -> None:
    heard = listen(codec, lambda seeded, at: [at + (0.03 if seeded.random() < 0.1 else 0)])
    assert heard.continuity >= 0.99
    assert max(heard.delays_ms[50:]) < 80


@BOTH
def test_packets_that_come_twice_are_heard_once(codec: AudioCodec) -> None:
    heard = listen(codec, lambda seeded, at: [at, at + 0.01] if seeded.random() < 0.05 else [at])
    assert heard.continuity == 1.0
    assert heard.playout.duplicate_packets > 10
    assert heard.playout.late_packets == 0


@BOTH
def test_after_200_ms_in_which_all_came_late_nothing_is_lost_and_the_delay_goes_back(
    codec: AudioCodec,
) -> None:
    heard = listen(codec, lambda _, at: [max(at, 3.2) if at >= 3.0 else at], seconds=20)
    assert heard.playout.late_packets == heard.playout.discarded_packets == 0
    assert heard.continuity >= 0.98
    assert 180 <= max(heard.delays_ms[50:]) <= 230
    assert heard.delays_ms[-1] <= 45


@BOTH
def test_after_200_ms_that_never_came_the_delay_is_as_before(codec: AudioCodec) -> None:
    heard = listen(codec, lambda _, at: [] if 3.0 <= at < 3.2 else [at])
    assert heard.continuity >= 0.96
    assert heard.delays_ms[4 * 50] <= 60


@BOTH
@pytest.mark.parametrize("faster", [1.002, 0.998])
def test_a_far_end_whose_clock_drifts_is_followed(codec: AudioCodec, faster: float) -> None:
    heard = listen(codec, on_time, seconds=30, faster=faster)
    # 60 ms of drift; without correction the delay would have grown, or gone, by as much.
    assert heard.continuity >= 0.98
    assert 5 <= heard.delays_ms[-1] <= 50
    assert heard.playout.discarded_packets == 0


@BOTH
def test_a_path_that_becomes_longer_costs_one_gap_and_no_more(codec: AudioCodec) -> None:
    """By more than the delay may be; what comes then is as early as it can."""
    heard = listen(
        codec, lambda seeded, at: [at + 0.3 + seeded.uniform(0, 0.01)] if at >= 3.0 else [at]
    )
    assert heard.playout.concealed_ms <= 400
    assert np.abs(np.array(heard.levels[205:]) - LEVEL_DBOV).max() < 3
    assert max(heard.delays_ms[250:]) <= 70


def test_a_lone_straggler_does_not_make_the_delay_long() -> None:
    heard = listen(PCMU, lambda _, at: [at + 0.2 if 3.0 < at < 3.03 else at])
    assert max(heard.delays_ms[50:]) < 90
    assert heard.continuity >= 0.99


def test_the_delay_has_the_bounds_that_are_set() -> None:
    settings = DelaySettings(least_ms=60, start_ms=60, most_ms=100)
    heard = listen(PCMU, on_time, settings=settings)
    assert 50 <= heard.delays_ms[-1] <= 72
    heard = listen(PCMU, lambda seeded, at: [at + seeded.uniform(0, 0.3)], settings=settings)
    assert heard.playout.target_ms == 100
    assert max(heard.delays_ms[50:]) <= 205
    assert heard.playout.late_packets > 0


def test_far_too_much_at_once_is_dropped() -> None:
    heard = listen(PCMU, lambda _, at: [max(at, 3.45) if at >= 3.0 else at])
    assert heard.playout.discarded_packets > 0
    assert heard.delays_ms[200] <= 230
    assert heard.continuity >= 0.95


def test_a_stream_that_stops_is_faded_out_and_begins_anew() -> None:
    heard = listen(PCMU, lambda _, at: [at] if not 3.0 <= at < 6.0 else [])
    assert max(heard.levels[160:175]) < -60  # the noise of the room, for a while
    assert max(heard.levels[180:300]) == -127
    assert np.abs(np.array(heard.levels[310:]) - LEVEL_DBOV).max() < 3
    assert heard.playout.late_packets == heard.playout.discarded_packets == 0
    for tick in range(60):
        heard.playout.take(100.0 + tick * 0.02)
    assert not heard.playout.is_active


def test_a_timestamp_that_jumps_begins_a_new_stream() -> None:
    playout = Playout(PCMU)
    encoder = PCMU.encoder()
    payload = encoder.encode(tone(TONE_HZ, 20, LEVEL_DBOV))
    loud = []
    for tick in range(100):
        timestamp = tick * 160 if tick < 50 else 0x50000000 + tick * 160
        playout.put(timestamp & 0xFFFFFFFF, payload, tick * 0.02)
        loud.append(level_of(playout.take(tick * 0.02 + 0.001)) > -20)
    assert all(loud[3:50])
    assert all(loud[53:])
    assert sum(loud) >= 94


def test_an_announced_silence_is_filled_with_noise_of_its_level() -> None:
    playout = Playout(PCMU)
    payload = PCMU.encoder().encode(tone(TONE_HZ, 20, LEVEL_DBOV))
    levels = []
    for tick in range(200):
        if tick < 50 or tick >= 150:
            playout.put(tick * 160, payload, tick * 0.02)
        if tick == 50:
            playout.put_noise(bytes([50]))
        levels.append(level_of(playout.take(tick * 0.02 + 0.001)))
    assert levels[60:150] == pytest.approx([-50.0] * 90, abs=2)
    assert levels[155:] == pytest.approx([LEVEL_DBOV] * 45, abs=1)
    assert playout.concealed_ms == 0


@pytest.mark.parametrize("pause", [12, 100], ids=["of 240 ms", "of 2 s"])
def test_after_an_announced_silence_the_voice_is_waited_for_as_before(pause: int) -> None:
    """All packets but the first are late. Nor is anything of the old words heard once more."""
    playout = Playout(PCMU)
    payload = PCMU.encoder().encode(tone(TONE_HZ, 20, LEVEL_DBOV))
    spoken = [*range(50), *range(50 + pause, 100 + pause)]
    arrivals = [(0.02 * number + 0.015 * (number != 50 + pause), number) for number in spoken]
    levels = []
    for tick in range(100 + pause):
        now = tick * 0.02 + 0.001
        if tick == 53:
            made_up_ms = playout.concealed_ms
            playout.put_noise(bytes([60]))
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            playout.put(number * 160, payload, at)
        levels.append(level_of(playout.take(now)))
    silent, spoken_again = levels[54 : 50 + pause], levels[54 + pause :]
    assert silent == pytest.approx([-60.0] * len(silent), abs=2)
    assert levels[50 + pause] < -50
    assert spoken_again == pytest.approx([LEVEL_DBOV] * len(spoken_again), abs=1)
    assert playout.concealed_ms == made_up_ms
    assert playout.discarded_packets == 0


Concealed = list[tuple[int, bytes | None]]


def watched(playout: Playout) -> Concealed:
    """What its decoder is asked to conceal: how many samples, and from which copy."""
    asked: Concealed = []
    conceal = playout._decoder.conceal

    def watching(samples: int, following: bytes | None = None) -> Samples:
        asked.append((samples, following))
        return conceal(samples, following)

    playout._decoder.conceal = watching
    return asked


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_of_several_lost_packets_only_the_last_is_heard_from_its_copy(lost: int) -> None:
    codec = coding("opus", 48000)
    encoder = codec.encoder(EncoderSettings(bit_rate=40000))
    playout = Playout(codec)
    asked = watched(playout)
    for tick in range(70):
        payload = encoder.encode(tone(TONE_HZ, 20, LEVEL_DBOV, 16000))
        if not 50 <= tick < 50 + lost:
            playout.put(tick * 960, payload, tick * 0.02)
        playout.take(tick * 0.02 + 0.001)
    from_copies = [samples for samples, following in asked if following is not None]
    assert sum(samples for samples, _ in asked) > 320 * (lost - 1)
    assert 0 < sum(from_copies) <= 320


@pytest.mark.parametrize("codec", [PCMU, coding("L16", 16000)], ids=lambda codec: codec.encoding)
def test_packets_of_next_to_nothing_cost_no_more_than_others(codec: AudioCodec) -> None:
    """A sample each 20 ms: the gap behind it is filled at once."""
    playout = Playout(codec)
    asked = watched(playout)
    payload = codec.encoder().encode(np.full(1, 1000, np.int16))
    for tick in range(50):
        playout.put(tick * codec.clock_rate_hz // 50, payload, tick * 0.02)
        playout.take(tick * 0.02 + 0.001)
    assert len(asked) <= 2 * 50


def test_what_can_not_be_decoded_is_concealed_and_counted() -> None:
    codec = coding("L16", 16000)
    playout = Playout(codec)
    payload = codec.encoder().encode(tone(TONE_HZ, 20, LEVEL_DBOV, 16000))
    levels = []
    for tick in range(50):
        playout.put(tick * 320, b"odd" if tick == 25 else payload, tick * 0.02)
        levels.append(level_of(playout.take(tick * 0.02 + 0.001)))
    assert playout.bad_packets == 1
    assert levels[4:] == pytest.approx([LEVEL_DBOV] * 46, abs=1)


@BOTH
def test_what_is_read_undecoded_is_what_is_taken(codec: AudioCodec) -> None:
    """G.711 comes as it was sent, other codecs as samples, also around a loss."""
    encoder, frame = codec.encoder(), codec.sample_rate_hz // 50
    sent = tone(TONE_HZ, 2000, LEVEL_DBOV, codec.sample_rate_hz).reshape(-1, frame)
    payloads = [encoder.encode(wave) for wave in sent]
    taking, reading = Playout(codec), Playout(codec)
    read = []
    for tick, payload in enumerate(payloads):
        for playout in (taking, reading):
            if tick not in (40, 41, 60):
                playout.put(tick * codec.clock_rate_hz // 50, payload, tick * 0.02)
        read.append(reading.read(tick * 0.02 + 0.001))
        assert (taking.take(tick * 0.02 + 0.001) == reading.decoded(read[-1])).all()
    if codec is PCMU:
        assert payloads[30] in b"".join(read)


def test_what_waits_can_be_had_at_once_and_goes_on_waiting() -> None:
    payloads = [bytes([n]) * 160 for n in range(1, 20)]
    playout = Playout(PCMU)
    taken = b""
    for tick, payload in enumerate(payloads):
        playout.put(tick * 160, payload, tick * 0.02)
        taken += playout.read(tick * 0.02 + 0.001)
    rest = playout.rest()
    assert len(rest) > 160
    whole = playout.decoded(b"".join(payloads))
    assert (np.concatenate([playout.decoded(taken), rest])[-len(whole) :] == whole).all()
    following = playout.take(len(payloads) * 0.02 + 0.001)
    assert (following == rest[:160]).all()


def test_a_pause_that_opus_has_announced_is_no_loss() -> None:
    codec = coding("opus", 48000)
    encoder = codec.encoder(EncoderSettings(dtx=True))
    voice = tone(TONE_HZ, 1000, LEVEL_DBOV, 16000)
    sent = np.concatenate([voice, np.zeros(3 * 16000, np.int16), voice]).reshape(-1, 320)
    playout = Playout(codec)
    levels, skipped, was_pause = [], 0, False
    for tick, payload in enumerate(map(encoder.encode, sent)):
        # As browsers do it: of a run of packets that say nothing the first is sent.
        is_pause = len(payload) <= 2
        if not (is_pause and was_pause):
            playout.put(tick * 960, payload, tick * 0.02)
        else:
            skipped += 1
        was_pause = is_pause
        levels.append(level_of(playout.take(tick * 0.02 + 0.001)))
    assert skipped > 80
    assert playout.concealed_ms < 200
    assert playout.target_ms < 60
    assert playout.late_packets == playout.discarded_packets == 0
    assert max(levels[80:190]) < -60
    assert levels[-20:] == pytest.approx([LEVEL_DBOV] * 20, abs=1.5)


def test_before_the_first_packet_it_is_silent() -> None:
    playout = Playout(PCMU)
    playout.put(0, b"", 0.0)
    assert not playout.is_active
    assert not playout.take(0.0).any()


@pytest.mark.parametrize("packet_ms", [10, 30, 60])
def test_packets_of_any_length_are_taken(packet_ms: int) -> None:
    playout = Playout(PCMU)
    sent = tone(TONE_HZ, 3000, LEVEL_DBOV).reshape(-1, packet_ms * 8)
    packets = [(n * packet_ms, PCMU.encoder().encode(wave)) for n, wave in enumerate(sent)]
    levels = []
    for tick in range(150):
        while packets and packets[0][0] <= tick * 20:
            at_ms, payload = packets.pop(0)
            playout.put(at_ms * 8, payload, at_ms / 1000)
        levels.append(level_of(playout.take(tick * 0.02 + 0.001)))
    assert levels[25:] == pytest.approx([LEVEL_DBOV] * 125, abs=1)


ANY_PACKET = st.tuples(
    st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 4000)),
    st.binary(max_size=400),
    st.floats(0, 0.1),
)


@pytest.mark.parametrize("codec", [PCMU, coding("opus", 48000)], ids=lambda codec: codec.encoding)
@hypothesis(max_examples=60, deadline=None, derandomize=True)
@given(packets=st.lists(ANY_PACKET, max_size=60))
def test_whatever_comes_there_are_20_ms_each_time(
    codec: AudioCodec, packets: list[tuple[int, bytes, float]]
) -> None:
    playout = Playout(codec)
    now = 0.0
    for timestamp, payload, later in packets:
        now += later
        playout.put(timestamp, payload, now)
        assert len(playout.take(now)) == codec.sample_rate_hz // 50


def test_a_flood_of_packets_for_later_fills_no_memory() -> None:
    playout = Playout(PCMU)
    for number in range(3000):
        playout.put(number * 7, b"\xff" * 20, 0.0)
        if number % 10 == 0:
            assert len(playout.take(0.0)) == 160
    assert playout.discarded_packets > 1500
