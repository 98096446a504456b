from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from endpoint.media.pace import Pace
from endpoint.media.readers import Readers
from tests.virtual_time import VirtualTimeLoop, run_virtual

pytestmark = pytest.mark.unit

BEAT_S = 0.0005
LONGEST_S = 0.001
MANY, SOME, FEW = 200, 50, 20


def held_up(
    streams: Callable[[float], int], *, for_s: float = 1.0, work_s: float = 0.0
) -> list[float]:
    """When the loop was held up, with a loop that has `work_s` to do each turn."""

    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        times: list[float] = []

        def sleep(wait_s: float) -> None:
            assert 0 < wait_s < 1.01 * LONGEST_S
            times.append(loop.time())
            loop.advance(wait_s)

        with Pace(
            BEAT_S,
            LONGEST_S,
            lambda: streams(loop.time()),
            Readers(),
            clock=loop.time,
            sleep=sleep,
        ):
            until = loop.time() + for_s
            if work_s:
                while loop.time() < until:
                    loop.advance(work_s)
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(for_s)
        count = len(times)
        await asyncio.sleep(1)
        assert len(times) == count, "it goes on after its end"
        return times

    return run_virtual(scenario())


def test_a_loop_with_many_streams_turns_once_a_beat() -> None:
    assert len(held_up(lambda now: MANY)) == pytest.approx(1 / BEAT_S, rel=0.01)


@pytest.mark.parametrize("streams", [SOME, 100 // 3 + 2])
def test_with_fewer_streams_a_beat_is_longer_but_never_too_long(streams: int) -> None:
    beat_s = min(2 / (streams * 50), LONGEST_S)
    assert len(held_up(lambda now: streams)) == pytest.approx(1 / beat_s, rel=0.01)


def test_with_few_streams_nothing_waits() -> None:
    assert held_up(lambda now: FEW) == []


def test_work_is_part_of_the_beat() -> None:
    times = held_up(lambda now: MANY, work_s=0.8 * BEAT_S)
    assert len(times) == pytest.approx(1 / BEAT_S, rel=0.01)


def test_where_work_fills_the_beat_nothing_waits() -> None:
    assert held_up(lambda now: MANY, work_s=1.5 * BEAT_S) == []


def test_it_begins_and_ends_with_the_calls() -> None:
    times = held_up(lambda now: MANY if 1 <= now < 2 else 0, for_s=4)
    assert 1 <= times[0] < 1.3
    assert 2 <= times[-1] < 2.3
