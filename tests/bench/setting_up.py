"""What a leg costs before it carries audio: time to the first of it, and memory."""

from __future__ import annotations

import asyncio
import statistics
import time

from endpoint.media import messages as m
from tests.bench.legs import FarEnds, Ours, Relay, set_up, set_up_plain
from tests.bench.peer_connections import PeerConnections
from tests.bench.report import Row
from tests.bench.rtpengine import RtpEngine
from tests.bench.rtpload import PCMU, Ground, memory_mb

FIRST_AUDIO_MS = 40.0


async def first_audio(ground: Ground) -> list[Row]:
    """From the answer to the first packet; for aiortc, to the first frame that it gives."""
    ground.say(f"first audio, {ground.times} set-ups each")
    ours: list[float] = []
    theirs: list[float] = []
    async with FarEnds(ground) as far, Ours(ground) as relay, PeerConnections(ground) as peer:
        # The first of each pays for what every later one finds.
        for number in range(1 + ground.times):
            leg = f"leg-{number}"
            answer = await far.answer(leg, await relay.offer(leg), PCMU)
            await far.play(leg)
            await _at_another_phase(number)
            answered = time.monotonic()
            await relay.connect(leg, answer)
            await relay.until(m.FirstPacket, leg)
            ours.append(1000 * (time.monotonic() - answered))
            await relay.close(leg)
            await far.close(leg)
        for number in range(1 + ground.times):
            leg = f"peer-{number}"
            answer = await far.answer(leg, await peer.offer(leg), PCMU)
            await far.play(leg)
            await _at_another_phase(number)
            theirs.append(await peer.first_audio_ms(leg, answer))
            await peer.close(leg)
            await far.close(leg)
    return [
        Row(
            name=f"first-audio-p{percent}",
            what=f"WebRTC, answer to first audio, {ground.times} set-ups",
            unit="ms",
            ours=_quantile(ours[1:], percent),
            peer_name="aiortc",
            peer=_quantile(theirs[1:], percent),
            limit=FIRST_AUDIO_MS,
        )
        for percent in (50, 99)
    ]


async def memory(ground: Ground) -> list[Row]:
    """How much a process grows, a leg."""
    ground.say(f"memory, {ground.legs} legs")
    async with FarEnds(ground) as far, Ours(ground) as relay:
        webrtc = await _growth(ground, relay, far, ground.legs)
    async with FarEnds(ground) as far, PeerConnections(ground) as peer:
        theirs = await _growth(ground, peer, far, ground.few_legs)
    async with Ours(ground) as relay:
        before = memory_mb(relay.pid)
        await ground.forward(relay.pid, await set_up_plain(relay, ground.ports))
        plain = (memory_mb(relay.pid) - before) / ground.legs
    async with RtpEngine(ground.relay_core) as engine:
        before = memory_mb(engine.pid)
        remotes: list[int] = []
        for caller, callee in zip(ground.ports[::2], ground.ports[1::2], strict=True):
            remotes += await engine.bridge(caller, callee)
        await ground.forward(engine.pid, remotes)
        rtpengine = (memory_mb(engine.pid) - before) / ground.legs
    return [
        Row(
            name="memory-webrtc",
            what=f"WebRTC, {ground.legs} legs (aiortc {ground.few_legs})",
            unit="MB/leg",
            ours=webrtc,
            peer_name="aiortc",
            peer=theirs,
        ),
        Row(
            name="memory-plain",
            what=f"G.711, {ground.legs} legs",
            unit="MB/leg",
            ours=plain,
            peer_name="rtpengine",
            peer=rtpengine,
        ),
    ]


async def _at_another_phase(number: int) -> None:
    """Of the far end's 20 ms, each time."""
    await asyncio.sleep(number * 7 % 20 / 1000)


async def _growth(ground: Ground, relay: Relay, far: FarEnds, legs: int) -> float:
    """MB a leg, after what comes with the first leg, and with audio going."""
    answer = await far.answer("first", await relay.offer("first"), PCMU)
    await relay.connect("first", answer, PCMU)
    before = memory_mb(relay.pid)
    remotes = await set_up(relay, far, ground.ports[:legs])
    await ground.forward(relay.pid, remotes)
    return (memory_mb(relay.pid) - before) / legs


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
