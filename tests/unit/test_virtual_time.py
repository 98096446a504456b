"""Scenarios take no time, and a scenario that can never go on says so."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual_time import DeadlockError, VirtualTimeLoop, monotonic, run_virtual

pytestmark = pytest.mark.unit


def test_time_passes_only_by_waiting() -> None:
    """Three minutes of 20 ms ticks and a time-out of 180 s: exact to the float, and at once."""

    async def scenario() -> tuple[float, bool]:
        ticks, timed_out = 0, False
        try:
            async with asyncio.timeout(180):
                while True:
                    await asyncio.sleep(0.02)
                    ticks += 1
        except TimeoutError:
            timed_out = True
        assert 8998 <= ticks <= 9001
        return asyncio.get_running_loop().time(), timed_out

    assert (pytest.approx(180), True) == run_virtual(scenario())


def test_a_wait_that_never_ends_is_a_deadlock() -> None:
    """Nothing ready and no timer: an error that names who waits."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="stuck"):
        run_virtual(stuck())


def test_a_test_that_goes_on_for_ever_can_be_ended() -> None:
    """By its time-out, a signal that comes in some callback."""

    async def busy() -> None:
        asyncio.get_running_loop().call_later(1, pytest.fail, "it took too long")
        while True:  # noqa: ASYNC110 - that is what is ended
            await asyncio.sleep(1)

    with pytest.raises(pytest.fail.Exception, match="too long"):
        run_virtual(busy())


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: None)
        await asyncio.to_thread(time.sleep, 0.05)
        return loop.time()

    assert run_virtual(scenario()) == 0


def test_a_turn_may_take_time() -> None:
    """Else who counts what is left may be a rounding error before his time for ever."""

    async def scenario() -> None:
        asyncio.get_running_loop().call_later(1000, lambda: None)
        until = monotonic() + 500
        await asyncio.sleep(until - 1e-13)
        for _ in range(1000):
            if (left_s := until - monotonic()) <= 0:
                return
            await asyncio.sleep(min(left_s, 1e-16))
        raise AssertionError("it is never time")

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(turn_s=1e-9)) as runner:
        runner.run(scenario())


def test_callbacks_run_in_the_order_of_their_time() -> None:
    async def scenario() -> list[str]:
        loop, order = asyncio.get_running_loop(), list[str]()
        loop.call_later(60, order.append, "minute")
        loop.call_later(1, order.append, "second")
        loop.call_later(3600, order.append, "hour")
        await asyncio.sleep(7200)
        return order

    assert run_virtual(scenario()) == ["second", "minute", "hour"]


async def test_unmarked_tests_keep_the_real_clock() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


@pytest.mark.scenario
async def test_scenarios_get_virtual_time() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    await asyncio.sleep(3600)
