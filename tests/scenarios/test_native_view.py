"""What the native interface shows of many calls, and what that costs."""

from __future__ import annotations

import pytest

from tests.scenarios.desk import open_desk
from tests.scenarios.test_identity import views_of

pytestmark = pytest.mark.scenario

CALLS = 40


class Number(str):
    """Counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Number.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


async def test_showing_many_calls_compares_no_device_with_all_others() -> None:
    """Each event of each call is shown so: at a hundred calls nothing else would be done."""
    async with open_desk() as desk:
        for number in range(CALLS):
            await desk.talking(Number(f"7{number:03}"), f"8{number:03}")
        native = (await views_of(desk)).native
        Number.compared = 0
        calls = native.calls()
        assert len(calls) == CALLS
        assert {party.device for call in calls for party in call.parties} >= {"7000", "8039"}
        assert Number.compared < 10 * CALLS
