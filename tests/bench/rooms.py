"""What rooms cost beside one numpy call a leg: G.711, from the jitter buffers to the packets.

The peer is the same rooms by the same ports, where each leg's codes are decoded, summed (the whole
room less the own voice) and encoded by calls of their own, as everybody writes it at first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.tones import PARTY_TONES_HZ, tone
from endpoint.media import messages as m
from endpoint.media.mixing import MixBatch
from tests.bench.report import Of, Row
from tests.bench.rtpload import Ground
from tests.fakes.far_end import FarEnd

PCMU = m.PayloadType(0, "PCMU")
AT_MOST = 0.5
_WARM_UP = 150
_TICKS = 100
Rooms = Sequence[Sequence[FarEnd]]
Tick = Callable[[float], None]


async def rooms(ground: Ground) -> list[Row]:
    """Rows of rooms of several sizes. No load of packets is needed."""
    ground.say("rooms: mixing alone")
    return [
        _row(count, size, AT_MOST if count * size >= 50 else None, ground.rounds)
        for count, size in ((1, 3), (1, 10), (1, 50), (20, 10))
    ]


def _row(count: int, size: int, limit: float | None, rounds: int) -> Row:
    all_rooms = [[_far_end(f"{room}-{leg}", leg) for leg in range(size)] for room in range(count)]
    mixes = MixBatch()
    for room in all_rooms:
        for sink in room:
            others = [(leg.port, 0.0) for leg in room if leg is not sink]
            mixes.set_sink(sink.port, others, now=0.0)
    batch, by_leg = _measured(rounds, all_rooms, mixes.tick, _leg_by_leg(all_rooms))
    for leg in (leg for room in all_rooms for leg in room):
        leg.port.close()
    return Row(
        name=f"rooms-{count}x{size}",
        what=f"rooms of {size} in G.711, {count} of them, a leg and a frame",
        unit="us",
        ours=round(batch / (count * size), 3),
        peer_name="numpy",
        peer=round(by_leg / (count * size), 3),
        limit=limit,
        of=Of.RATIO,
    )


def _far_end(name: str, leg: int) -> FarEnd:
    voice = tone(PARTY_TONES_HZ[leg % len(PARTY_TONES_HZ)], 1000, -25.0).reshape(-1, 160)
    return FarEnd(name, [PCMU], [encode(G711.PCMU, frame) for frame in voice], keeps=False)


def _leg_by_leg(all_rooms: Rooms) -> Tick:
    taps = [[(leg.port, leg.port.inbound.tap()) for leg in room] for room in all_rooms]

    def tick(now: float) -> None:
        for room in taps:
            voices = [decode(G711.PCMU, tap.read(now)) for _, tap in room]
            total = np.sum(voices, axis=0, dtype=np.int32)
            for (port, _), voice in zip(room, voices, strict=True):
                others = np.clip(total - voice, -32768, 32767).astype(np.int16)
                port.outbound.send_codes(encode(G711.PCMU, others), now)

    return tick


def _measured(rounds: int, all_rooms: Rooms, *ticks: Tick) -> list[float]:
    """Microseconds a tick of each way, the least of several rounds that take turns."""
    now, least = 100.0, [float("inf")] * len(ticks)
    for _ in range(_WARM_UP):
        now = _heard(all_rooms, now)
        for tick in ticks[:1]:
            tick(now)
    for _ in range(rounds):
        for number, tick in enumerate(ticks):
            spent = 0.0
            for _ in range(_TICKS):
                now = _heard(all_rooms, now)
                started = time.thread_time()
                tick(now)
                spent += time.thread_time() - started
            least[number] = min(least[number], 1e6 * spent / _TICKS)
    return least


def _heard(all_rooms: Rooms, now: float) -> float:
    """A packet of everybody comes. Returns when the next tick is."""
    for room in all_rooms:
        for leg in room:
            leg.speak(now)
    return now + 0.02
