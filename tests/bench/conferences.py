"""What conferences cost beside calls of two: whole calls by call control, as many legs of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tests.bench.crowd import Member, Members
from tests.bench.office import Office, now, office
from tests.bench.report import Of, Row
from tests.bench.rtpload import Ground, cpu_time_s
from tests.fakes.telephones import GRID_HZ

SIZES: Final = (3, 10, 50)
LEVEL_DBOV: Final = -33.0
"""Of one voice: fifty together are not clipped."""
LOWEST_HZ: Final = 800
"""Above all that the endpoint says itself."""
SETTLE_S: Final = 1.0
INCOMPLETE_PERCENT: Final = 0.01
"""So many voices at most are missing in a packet, or too many in it. A packet that comes too late
is one voice less in those of everybody else, forty-nine where fifty confer."""


async def conference(ground: Ground) -> list[Row]:
    """Conferences of several sizes, beside calls of two; always about as many legs."""
    sizes = [size for size in SIZES if size <= ground.legs]
    users = [f"9{number:03}" for number in range(max(sizes))]
    tones = {user: LOWEST_HZ + GRID_HZ * number for number, user in enumerate(users)}
    members = Members(
        {user: Member(hz) for user, hz in tones.items()}, LEVEL_DBOV, core=ground.load_core
    )
    async with office(ground, ground.folder / "conference", members) as at:
        cost: dict[int, float] = {}
        incomplete: list[float] = []
        for size in (2, *sizes):
            count = len(users) // size
            ground.say(f"{count} calls of {size}")
            rooms = [users[room * size : (room + 1) * size] for room in range(count)]
            calls = [await _open(at, room) for room in rooms]
            await asyncio.sleep(SETTLE_S)
            measured = [await _measure(at, rooms, ground.seconds) for _ in range(ground.rounds)]
            cost[size] = min(each.cost_ms for each in measured)
            incomplete += [each.incomplete_percent for each in measured]
            for room, call in zip(rooms, calls, strict=True):
                ended = now()
                await at.client.end(room[0], call)
                await at.journal.next("CallCleared", room[0], ended)
    return [
        *(
            Row(
                name=f"conference-{size}",
                what=f"conferences of {size}, {len(users) // size} of them, beside calls of two",
                unit="ms/s/leg",
                ours=cost[size],
                peer_name="two",
                peer=cost[2],
                of=Of.RATIO,
            )
            for size in sizes
        ),
        Row(
            name="conference-incomplete",
            what="voices missing in packets, or too many, of all in them, the worst of all runs",
            unit="%",
            ours=max(incomplete),
            limit=INCOMPLETE_PERCENT,
        ),
    ]


class Measured(NamedTuple):
    """Of one run."""

    cost_ms: float
    """CPU milliseconds of the media process a second a leg."""
    incomplete_percent: float


async def _open(at: Office, room: Sequence[str]) -> str:
    """Let the first one call the second, and then the others in."""
    owner, second, *others = room
    began = now()
    call = (await at.client.make_call(owner, second)).call
    await at.journal.next("Established", second, began)
    for other in others:
        began = now()
        await at.client.add(owner, call, other)
        await at.journal.next("Joined", other, began)
    return call


async def _measure(at: Office, rooms: Sequence[Sequence[str]], seconds: float) -> Measured:
    """What it costs for so long, and what is heard. Raises AssertionError where a leg is deaf."""
    await at.crowd.heard()
    # The telephones said nothing while they wrote that down.
    await asyncio.sleep(SETTLE_S)
    loop, since = asyncio.get_running_loop(), now()
    before, began = cpu_time_s(at.media_pid), loop.time()
    await asyncio.sleep(seconds)
    used_s, passed_s = cpu_time_s(at.media_pid) - before, loop.time() - began
    heard, tones_hz = await at.crowd.heard(), at.crowd.tones_hz
    wrong = wanted = 0
    for room in rooms:
        for user in room:
            others = [at.crowd.columns[tones_hz[each]] for each in room if each != user]
            voices = heard[user].voices[heard[user].at >= since]
            assert len(voices), f"{user} hears nothing"
            expected = np.isin(np.arange(voices.shape[1]), others)
            wrong += int((voices != expected).sum())
            wanted += len(voices) * len(others)
    cost_ms = 1000 * used_s / passed_s / sum(map(len, rooms))
    return Measured(cost_ms, 100 * wrong / wanted)
