"""What conferences cost beside calls of two: whole calls by call control, as many legs of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from tests.bench.crowd import Crowd, Heard, Member, Members
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
INTACT: Final = 0.999
"""So many packets have all other voices, and no further one."""


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
        for size in (2, *sizes):
            count = len(users) // size
            ground.say(f"{count} calls of {size}")
            rooms = [users[room * size : (room + 1) * size] for room in range(count)]
            calls = [await _open(at, room) for room in rooms]
            await asyncio.sleep(SETTLE_S)
            cost[size] = min([await _cost(at, rooms, ground.seconds) for _ in range(ground.rounds)])
            for room, call in zip(rooms, calls, strict=True):
                ended = now()
                await at.client.end(room[0], call)
                await at.journal.next("CallCleared", room[0], ended)
    return [
        Row(
            name=f"conference-{size}",
            what=f"conferences of {size}, {len(users) // size} of them, beside as many legs of two",
            unit="ms/s/leg",
            ours=cost[size],
            peer_name="two",
            peer=cost[2],
            of=Of.RATIO,
        )
        for size in sizes
    ]


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


async def _cost(at: Office, rooms: Sequence[Sequence[str]], seconds: float) -> float:
    """CPU milliseconds of the media process a second a leg. Raises AssertionError."""
    await at.crowd.heard()
    loop = asyncio.get_running_loop()
    before, began = cpu_time_s(at.media_pid), loop.time()
    await asyncio.sleep(seconds)
    used_s, passed_s = cpu_time_s(at.media_pid) - before, loop.time() - began
    heard = await at.crowd.heard()
    for room in rooms:
        for user in room:
            _check(
                at.crowd, heard[user], [at.crowd.tones_hz[each] for each in room if each != user]
            )
    return 1000 * used_s / passed_s / sum(map(len, rooms))


def _check(crowd: Crowd, heard: Heard, others_hz: Sequence[int]) -> None:
    """Whether whoever this is heard all others all the time, and nobody else ever."""
    expected = np.isin(np.arange(len(crowd.columns)), [crowd.columns[hz] for hz in others_hz])
    right = (heard.voices == expected).all(axis=1)
    assert len(right), "a deaf leg"
    assert right.mean() >= INTACT, f"{1 - right.mean():.3%} of the packets without all voices"
