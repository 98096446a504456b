"""What the native interface shows of many calls, and what that costs."""

from __future__ import annotations

import pytest

from endpoint.legs.base import Cause, DeviceId
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


async def test_showing_many_devices_compares_none_with_all_that_have_registered() -> None:
    """Each client that comes back is shown them: after an outage all come back at once."""
    async with open_desk() as desk:
        devices = [f"7{number:03}" for number in range(CALLS)]
        native = (await views_of(desk, devices)).native
        for device in devices[1:]:
            desk.exchange.registered(Number(device))
        desk.exchange.registered(Number("7002"), server="elsewhere")
        desk.exchange.unregistered(Number("7001"), Cause.NORMAL)
        desk.exchange.unregistered(Number("7002"), Cause.NORMAL)
        await desk.let_pass(1)
        Number.compared = 0
        assert len(native.devices()) == CALLS
        assert Number.compared < 10 * CALLS
        registered = [each for each in devices if desk.controller.is_registered(DeviceId(each))]
        assert registered == devices[2:]
