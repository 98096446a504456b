"""F8 and F9: what is heard over a network that loses, delays, reorders and repeats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from endpoint.audio.frame import FRAME_MS
from endpoint.media import messages as m
from endpoint.media.link import MediaSettings
from endpoint.rig.impairment import Counts, Impairment, Proxy
from tests.integration.endpoint.media.hearing import Climb, climb, continuity
from tests.integration.endpoint.media.stream import Kind, Stream, two_planes

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SETTINGS = MediaSettings(rtcp_interval_s=1.0)


@dataclass(frozen=True, slots=True)
class Times:
    """Of a run: a good network, a bad one, a good one again."""

    good_ms: int = 1500
    bad_ms: int = 8000
    after_ms: int = 1000

    @property
    def bad_until_ms(self) -> int:
        return self.good_ms + self.bad_ms


SHORT, LONG = Times(), Times(good_ms=3000, bad_ms=60_000, after_ms=1000)


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to the packets, what shows that it was, and what may be heard of it."""

    bad: Impairment
    shows: Callable[[Counts], int]
    least_found: float = 0.97
    """The share of frames in which the tone is."""
    long_kinds: Sequence[Kind] = tuple(Kind)
    """What is heard for a minute."""
    settles_ms: int = 0
    """The gap that a path leaves which becomes longer at once is nobody's fault."""

    @property
    def good(self) -> Impairment:
        """As long, where the bad one only jitters."""
        return Impairment(delay_ms=self.bad.jitter_ms)


CASES = {
    "loss 1 %": Case(Impairment(loss=0.01), lambda did: did.lost),
    "loss 5 %": Case(Impairment(loss=0.05), lambda did: did.lost),
    "bursts of 200 ms": Case(
        Impairment(burst_ms=200, burst_every_ms=8000), lambda did: did.lost >= 9
    ),
    "jitter 80 ms": Case(Impairment(delay_ms=80, jitter_ms=80), lambda did: did.received),
    "reorder 10 %": Case(Impairment(reorder=0.1), lambda did: did.reordered),
    "duplicates 5 %": Case(Impairment(duplicate=0.05), lambda did: did.duplicated),
    "delay 300 ms": Case(Impairment(delay_ms=300), lambda did: did.received, settles_ms=500),
    "MTU 1200": Case(Impairment(mtu=1200), lambda did: did.received),
    # G.711 takes 80 with its headers: a fifth is lost, and of consent checks, which have to find a
    # full queue's gaps both ways, so many that after half a minute ICE rightly gives up.
    "rate 64 kbit/s": Case(
        Impairment(rate_kbit_s=64),
        lambda did: did.received,
        0.94,
        [kind for kind in Kind if kind is not Kind.WEBRTC],
    ),
}


@dataclass(frozen=True, slots=True)
class Run:
    """What was heard of one kind of stream, and what the network did."""

    found: float
    """The share of frames in which the tone was, while the network was bad."""
    climb: Climb
    counts: Counts


async def listen(
    tmp_path: Path, case: Case, times: Times, kinds: Sequence[Kind] = tuple(Kind)
) -> dict[Kind, Run]:
    """Both signals over each kind of stream, all at once, each over a network of its own."""
    counts: dict[Kind, Counts] = {}
    async with two_planes(SETTINGS) as sides, AsyncExitStack() as stack:
        streams = []
        for kind in kinds:
            for player in ("tone", "stairs"):
                proxy = await stack.enter_async_context(Proxy(case.good, seed=12))
                stream = Stream(sides, proxy, kind, f"{kind}, {player}")
                await stream.open()
                await stream.play(player)
                streams.append(stream)
                counts[kind] = proxy.there.counts
        for stream in streams:
            recording = m.StartRecording(stream.name, stream.name, str(tmp_path / stream.name))
            await sides[1].link.request(recording)
        for network, lasts_ms in (
            (case.good, times.good_ms),
            (case.bad, times.bad_ms),
            (case.good, times.after_ms),
        ):
            for stream in streams:
                stream.proxy.change(network)
            await asyncio.sleep(lasts_ms / 1000)
        for stream in streams:
            await sides[1].link.request(m.StopRecording(stream.name))
        assert not [n for s in sides for n in s.notices if isinstance(n, m.PortFailed)]
    bad = times.good_ms + case.settles_ms, times.bad_until_ms
    return {
        kind: Run(
            continuity(tmp_path / f"{kind}, tone", *bad),
            climb(tmp_path / f"{kind}, stairs"),
            counts[kind],
        )
        for kind in kinds
    }


@pytest.mark.parametrize("times", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_f8_f9_the_tone_goes_on_in_order_and_hardly_later(
    tmp_path: Path, case: Case, times: Times
) -> None:
    """Over RTP, SRTP, WebRTC with G.711 and with Opus: nothing twice, no call lost."""
    runs = await listen(tmp_path, case, times, case.long_kinds if times is LONG else tuple(Kind))
    for kind, run in runs.items():
        latest_ms = run.climb.delay_ms(times.good_ms, times.bad_until_ms)
        assert case.shows(run.counts), kind
        assert run.found >= case.least_found, kind
        # What is made up for a lost packet may sound like the step before.
        assert run.climb.backwards <= run.counts.lost // 20, kind
        assert latest_ms <= case.bad.delay_ms - case.good.delay_ms + 200 + FRAME_MS, kind


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_f9_the_delay_goes_back_to_what_it_was(tmp_path: Path, case: Case) -> None:
    """A path that has become good is believed when the last ten seconds were."""
    times = Times(bad_ms=4000, after_ms=22_000)
    runs = await listen(tmp_path, case, times)
    for kind, run in runs.items():
        assert run.climb.delay_ms(times.bad_until_ms + 20_000, 1 << 30) <= 2 * FRAME_MS, kind
