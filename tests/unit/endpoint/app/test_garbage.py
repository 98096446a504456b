from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from endpoint.app.garbage import LOOKS_IF_BUSY, LOOKS_IF_QUIET, GarbageRounds, set_aside

pytestmark = pytest.mark.unit


class Thing:
    itself: Thing


@pytest.fixture(autouse=True)
def nothing_comes_between() -> Iterator[None]:
    """No look that the test does not ask for."""
    gc.disable()
    yield
    gc.enable()


def close_late(looks: int) -> weakref.ref[Thing]:
    """A ring that is closed and left when a look has found it in use; and so many looks in all."""
    thing = Thing()
    gc.collect()
    thing.itself = thing
    left = weakref.ref(thing)
    del thing
    for _ in range(looks - 1):
        gc.collect()
    return left


async def test_what_has_outlived_a_look_is_in_no_other_one() -> None:
    with GarbageRounds(lambda: True):
        thing = Thing()
        assert any(each is thing for each in gc.get_objects())
        gc.collect()
        assert not any(each is thing for each in gc.get_objects())


async def test_what_was_set_aside_before_is_not_looked_through_at_the_start() -> None:
    with set_aside():
        thing = Thing()
    thing.itself = thing
    left = weakref.ref(thing)
    del thing
    with GarbageRounds(lambda: False):
        assert left() is not None
    gc.collect()
    assert left() is None


async def test_a_ring_among_what_is_new_is_found_by_any_look() -> None:
    with GarbageRounds(lambda: True):
        thing = Thing()
        thing.itself = thing
        left = weakref.ref(thing)
        del thing
        gc.collect()
        assert left() is None


@pytest.mark.parametrize(
    ("is_busy", "looks", "is_found"),
    [
        (True, LOOKS_IF_BUSY - 1, False),
        (True, LOOKS_IF_BUSY, True),
        (False, LOOKS_IF_QUIET - 1, False),
        (False, LOOKS_IF_QUIET, True),
    ],
    ids=["busy", "busy, but long ago", "quiet, hardly anything new", "quiet"],
)
async def test_a_ring_that_was_closed_late_waits_for_a_quiet_moment(
    is_busy: bool, looks: int, is_found: bool
) -> None:
    with GarbageRounds(lambda: is_busy) as rounds:
        left = close_late(looks)
        assert left() is not None
        rounds.look()
        assert (left() is None) == is_found
    gc.collect()
    assert left() is None


async def test_afterwards_all_is_as_before() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    with GarbageRounds(lambda: False):
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.callbacks) == before
    assert gc.get_freeze_count() == 0
