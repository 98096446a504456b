"""F14: what holds the loop up is named while it does, and for how long when it is over."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from endpoint.app.watchdog import LoopWatchdog

pytestmark = pytest.mark.unit


class Work:
    """What is computed with."""


def computes_for_long(_: Work | None = None) -> None:
    time.sleep(0.6)


async def test_what_holds_the_loop_up_is_named() -> None:
    told = asyncio.get_running_loop().create_future()
    with capture_logs() as logs, LoopWatchdog(told.set_result):
        await asyncio.sleep(0)
        computes_for_long()
        held_up_s = await told
    said = [each for each in logs if each["event"] == "the event loop is held up"]
    assert len(said) == 1, "told once, however long it lasts"
    inner, outer, *_ = said[0]["by"].split(" < ")
    assert inner.startswith("computes_for_long (endpoint/app/test_watchdog.py:")
    assert outer.startswith("test_what_holds_the_loop_up_is_named (")
    assert held_up_s > 0.2
    assert logs[-1]["for_ms"] == round(1000 * held_up_s)


def waits() -> None:
    time.sleep(0.6)


def computes() -> None:
    """So much of a processor is needed for it, however long that takes."""
    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(("work", "has_computed"), [(waits, False), (computes, True)])
async def test_a_loop_that_waits_is_told_from_one_that_computes(
    work: Callable[[], None], has_computed: bool
) -> None:
    told = asyncio.get_running_loop().create_future()
    with capture_logs() as logs, LoopWatchdog(told.set_result):
        await asyncio.sleep(0)
        work()
        await told
    assert (logs[-1]["cpu_ms"] >= 500) is has_computed


async def test_what_it_was_held_up_with_is_not_kept() -> None:
    told = asyncio.get_running_loop().create_future()
    with LoopWatchdog(told.set_result):
        await asyncio.sleep(0)
        work = Work()
        kept = weakref.ref(work)
        computes_for_long(work)
        del work
        await told
        assert kept() is None


async def test_a_loop_that_only_waits_is_not_held_up() -> None:
    with capture_logs() as logs, LoopWatchdog(pytest.fail, held_up_s=30):
        await asyncio.sleep(0.3)
    assert logs == []
