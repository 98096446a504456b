from __future__ import annotations

import asyncio

import pytest

from endpoint.media.clock import FrameClock
from tests.virtual_time import VirtualTimeLoop, run_virtual

pytestmark = pytest.mark.unit


def test_it_ticks_every_20_ms_while_it_runs() -> None:
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        clock = FrameClock(lambda: times.append(round(loop.time(), 4)))
        clock.start()
        clock.start()
        await asyncio.sleep(0.105)
        clock.stop()
        await asyncio.sleep(1)
        return times

    assert run_virtual(scenario()) == [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]


def test_begun_again_it_keeps_its_distance() -> None:
    """Audio that is sent by it must not come sooner than it is heard."""

    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        clock = FrameClock(lambda: times.append(round(loop.time(), 4)))
        for pause_s in (0.005, 0.1):
            clock.start()
            await asyncio.sleep(0.025)
            clock.stop()
            await asyncio.sleep(pause_s)
        clock.start()
        await asyncio.sleep(0.001)
        clock.stop()
        return times

    assert run_virtual(scenario()) == [0.0, 0.02, 0.04, 0.155]


@pytest.mark.parametrize(("held_up_s", "ticks"), [(0.09, 5), (10.0, 1)])
def test_a_loop_that_was_held_up_catches_up_a_little(held_up_s: float, ticks: int) -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        clock = FrameClock(lambda: times.append(loop.time()))
        clock.start()
        assert isinstance(loop, VirtualTimeLoop)
        loop.advance(held_up_s)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        clock.stop()
        return len(times)

    assert run_virtual(scenario()) == ticks


def test_a_tick_that_fails_is_said_and_the_next_one_comes() -> None:
    """One bad frame must not end all music and all mixing of the plane."""

    async def scenario() -> tuple[int, int]:
        ticks = 0
        said: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            if ticks == 1:
                raise OverflowError

        clock = FrameClock(tick)
        clock.start()
        await asyncio.sleep(0.07)
        clock.stop()
        return ticks, len(said)

    assert run_virtual(scenario()) == (4, 1)


def test_a_tick_may_stop_the_clock() -> None:
    async def scenario() -> int:
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            clock.stop()

        clock = FrameClock(tick)
        clock.start()
        await asyncio.sleep(1)
        return ticks

    assert run_virtual(scenario()) == 1
