"""An even clock of a device that asks as it likes."""

from __future__ import annotations

import itertools
import random

import pytest

from endpoint.audio.deviceclock import DeviceClock

pytestmark = pytest.mark.unit

BLOCK_S = 0.02


def test_a_device_that_asks_evenly_hears_when_it_asks() -> None:
    clock = DeviceClock(BLOCK_S)
    assert [clock.step(5 + n * BLOCK_S) for n in range(500)] == pytest.approx(
        [5 + n * BLOCK_S for n in range(500)]
    )


@pytest.mark.parametrize("blocks", [2, 3])
def test_blocks_that_are_asked_for_together_are_heard_after_each_other(blocks: int) -> None:
    """And none before it was asked for: what is due then is there."""
    clock = DeviceClock(BLOCK_S)
    asked = [n // blocks * blocks * BLOCK_S for n in range(600)]
    heard = [clock.step(at) for at in asked]
    steps = [later - one for one, later in itertools.pairwise(heard[blocks:])]
    assert steps == pytest.approx([BLOCK_S] * len(steps))
    assert all(at <= now + 1e-9 for at, now in zip(heard, asked, strict=True))


def test_the_times_follow_a_clock_that_is_not_ours() -> None:
    """A device that is late now and then, and slower by 200 ppm: a minute is 12 ms longer."""
    seeded, clock = random.Random(7), DeviceClock(BLOCK_S)
    heard = 0.0
    for n in range(3000):
        heard = clock.step(n * BLOCK_S * 1.0002 + seeded.choice([0.0, 0.0, 0.004, 0.015]))
    assert heard == pytest.approx(2999 * BLOCK_S * 1.0002, abs=0.001)


def test_time_that_a_device_has_lost_is_not_waited_for() -> None:
    clock = DeviceClock(BLOCK_S)
    for n in range(100):
        clock.step(n * BLOCK_S)
    behind = [clock.step(n * BLOCK_S + 0.5) for n in range(100, 250)]
    assert behind[-1] == pytest.approx(249 * BLOCK_S + 0.5)
