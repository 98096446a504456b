"""What forwarding costs: G.711 beside rtpengine, WebRTC beside aiortc, Opus beside PCMU."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.legs import FarEnds, Ours, set_up, set_up_plain
from tests.bench.peer_connections import PeerConnections
from tests.bench.report import Of, Row
from tests.bench.rtpengine import RtpEngine
from tests.bench.rtpload import OPUS, PCMU, Coding, Forwarding, Ground

CPU = "ms/s/leg"
G711_RATIO, G711_WANTED = 1.6, 1.2
WEBRTC_RATIO = 1 / 6
WEBRTC_MS, WEBRTC_WANTED_MS = 1.2, 0.8
OPUS_RATIO = 1.15
"""Nothing but noise may be between them."""


async def g711(ground: Ground) -> list[Row]:
    """Plain G.711, ours and rtpengine's in turn."""
    ours, theirs = [], []
    for number in range(ground.rounds):
        ground.say(f"G.711, {ground.legs} legs, round {number + 1} of {ground.rounds}")
        async with Ours(ground) as relay:
            remotes = await set_up_plain(relay, ground.ports)
            ours.append(await ground.forward(relay.pid, remotes))
        theirs.append(await _rtpengine(ground))
    return [
        _row(
            "g711",
            f"G.711 forwarded, {ground.legs} legs",
            ours,
            theirs,
            peer_name="rtpengine",
            limit=G711_RATIO,
            wanted=G711_WANTED,
            of=Of.RATIO,
        )
    ]


async def webrtc(ground: Ground) -> list[Row]:
    """WebRTC legs: few of ours and aiortc's in turn, then many of ours with PCMU and with Opus."""
    few, theirs, many, opus = [], [], [], []
    for number in range(ground.rounds):
        ground.say(f"WebRTC, round {number + 1} of {ground.rounds}")
        few.append(await _webrtc(ground, Ours(ground), ground.few_legs, PCMU))
        theirs.append(await _webrtc(ground, PeerConnections(ground), ground.few_legs, PCMU))
        many.append(await _webrtc(ground, Ours(ground), ground.legs, PCMU))
        opus.append(await _webrtc(ground, Ours(ground), ground.legs, OPUS))
    return [
        _row(
            "webrtc-few",
            f"WebRTC PCMU forwarded, {ground.few_legs} legs",
            few,
            theirs,
            peer_name="aiortc",
            limit=WEBRTC_RATIO,
            of=Of.RATIO,
        ),
        _row(
            "webrtc",
            f"WebRTC PCMU forwarded, {ground.legs} legs",
            many,
            limit=WEBRTC_MS,
            wanted=WEBRTC_WANTED_MS,
        ),
        _row(
            "opus",
            f"WebRTC Opus passed through, {ground.legs} legs",
            opus,
            many,
            peer_name="PCMU",
            limit=OPUS_RATIO,
            of=Of.RATIO,
        ),
    ]


async def _rtpengine(ground: Ground) -> Forwarding:
    async with RtpEngine(ground.relay_core) as engine:
        remotes: list[int] = []
        for caller, callee in zip(ground.ports[::2], ground.ports[1::2], strict=True):
            remotes += await engine.bridge(caller, callee)
        return await ground.forward(engine.pid, remotes)


async def _webrtc(
    ground: Ground, process: Ours | PeerConnections, legs: int, coding: Coding
) -> Forwarding:
    async with FarEnds(ground) as far, process as relay:
        remotes = await set_up(relay, far, ground.ports[:legs], coding)
        return await ground.forward(relay.pid, remotes, coding=coding)


def _row(
    name: str,
    what: str,
    ours: Sequence[Forwarding],
    theirs: Sequence[Forwarding] = (),
    *,
    peer_name: str = "",
    limit: float,
    wanted: float | None = None,
    of: Of = Of.OURS,
) -> Row:
    """The least of several rounds: whatever else runs on the machine can only add to it."""
    best = min(ours, key=lambda run: run.cpu_ms)
    peer = min(theirs, key=lambda run: run.cpu_ms, default=None)
    details = {"p50 ms": best.load.latency_ms.p50, "p99 ms": best.load.latency_ms.p99}
    if peer is not None:
        details |= {
            f"{peer_name} p50 ms": peer.load.latency_ms.p50,
            f"{peer_name} p99 ms": peer.load.latency_ms.p99,
            f"{peer_name} intact %": peer.load.intact_percent,
        }
    return Row(
        name=name,
        what=what,
        unit=CPU,
        ours=best.cpu_ms,
        peer_name=peer_name,
        peer=None if peer is None else peer.cpu_ms,
        limit=limit,
        wanted=wanted,
        of=of,
        loads=[run.load for run in ours],
        details=details,
    )
