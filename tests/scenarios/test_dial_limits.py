"""Toll fraud (S12): how much one device may dial, by command and at its telephone."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import CallId
from endpoint.callcontrol.permissions import Rules
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegDiverted, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A = DeviceId("6001")


def limits(per_minute: int | None = 3, at_once: int | None = None) -> ControllerSettings:
    return ControllerSettings(dials=DialLimits(per_minute, at_once))


async def dial_and_give_up(desk: Desk, device: str = "6001") -> None:
    await desk.dialled(device)
    await desk.clear(device)
    await desk.told(told.CallCleared)


async def phone_dials(desk: Desk, device: str = "6001") -> FakeLeg:
    """A phone dials by itself; gives up where it is let."""
    phone = desk.exchange.offer(device, "10086", LegRole.STATION)
    await desk.told(told.ServiceInitiated, device)
    if phone.release_cause is None:
        phone.hang_up()
    await desk.told(told.CallCleared)
    return phone


async def test_s12_a_device_dials_so_often_a_minute_and_no_more() -> None:
    async with open_desk(limits()) as desk:
        for _ in range(3):
            await dial_and_give_up(desk)
        with capture_logs() as logs, pytest.raises(CommandRejected) as caught:
            await desk.dial("6001", "10086")
        assert caught.value.reason == "dial_limit"
        assert "calls.dials_per_minute" in str(caught.value)
        assert "wait 60 s" in str(caught.value)
        assert [log["device"] for log in logs if log["event"] == "dial refused"] == ["6001"]
        assert desk.controller.calls() == ()
        await dial_and_give_up(desk, "6002")
        await asyncio.sleep(60)
        await dial_and_give_up(desk)


async def test_s12_a_phone_that_dials_too_often_is_refused_with_a_cause() -> None:
    """By command and at the phone together."""
    async with open_desk(limits()) as desk:
        await dial_and_give_up(desk)
        for _ in range(2):
            assert (await phone_dials(desk)).release_cause is None
        assert (await phone_dials(desk)).release_cause is Cause.DIAL_LIMIT
        failed = [event for event in desk.events if isinstance(event, told.Failed)]
        assert (failed[-1].device, failed[-1].cause) == ("6001", Cause.DIAL_LIMIT)
        assert (failed[-1].q850, "within a minute" in failed[-1].text) == (21, True)
        assert desk.records.written[-1].ending.cause is Cause.DIAL_LIMIT


async def test_s12_who_is_forwarded_has_dialled_once_more() -> None:
    async with open_desk(limits(3)) as desk:
        await dial_and_give_up(desk)
        far = await desk.ringing("6001", "6002")
        desk.exchange.tell(LegDiverted(far.id, DeviceId("10086")))
        await desk.told(told.Diverted)
        await desk.clear("6001")
        await desk.told(told.CallCleared)
        with pytest.raises(CommandRejected) as caught:
            await desk.dial("6001", "10086")
        assert caught.value.reason == "dial_limit"


async def test_s12_a_device_is_in_so_many_calls_at_once() -> None:
    async with open_desk(limits(None, at_once=1)) as desk:
        await desk.talking("6001")
        assert (await phone_dials(desk)).release_cause is Cause.DIAL_LIMIT
        await desk.clear("6001")
        await desk.told(told.CallCleared)
        assert (await phone_dials(desk)).release_cause is None


async def test_s12_calls_that_come_in_are_not_counted() -> None:
    async with open_desk(limits(per_minute=1)) as desk:
        for _ in range(3):
            outside, _ = await desk.coming_in("10086", "6001")
            outside.hang_up()
            await desk.told(told.CallCleared)
        await dial_and_give_up(desk)


async def test_nothing_is_kept_of_who_does_not_dial_any_more() -> None:
    async with open_desk(limits()) as desk:
        for number in range(50):
            await dial_and_give_up(desk, f"6{number:03}")
        await asyncio.sleep(60)
        await dial_and_give_up(desk)
        assert len(desk.controller._dials) == 1


async def test_s12_a_caller_who_says_the_number_of_a_device_keeps_it_from_nothing() -> None:
    async with open_desk(limits(at_once=1)) as desk:
        caller = desk.exchange.offer("6001", "6002", LegRole.LINE)
        (await desk.exchange.placed("6002")).ring()
        await desk.told(told.Delivered)
        await desk.dialled("6001")
        assert not caller.is_over


# -- what counts --------------------------------------------------------------------------------


async def refusals(desk: Desk, *commands: do.Command) -> list[str]:
    """The reasons, each of a command that was given alone."""
    reasons = []
    for command in commands:
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(command)
        reasons.append(caught.value.reason)
    return reasons


async def test_s12_what_is_refused_has_dialled_nobody() -> None:
    """For its state, its number, and for want of permission."""
    async with open_desk(limits(3), permissions=Rules()) as desk:
        await desk.talking("6001")
        await desk.talking("6002", "10087")
        for _ in range(3):
            assert await refusals(
                desk,
                do.SingleStepTransfer(A, "x y"),
                do.SingleStepTransfer(A, "6003", CallId("none")),
                do.DeflectCall(A, "6003"),
                do.JoinCall(A, DeviceId("6002")),
            ) == ["bad_character", "unknown_call", "invalid_state", "device_busy"]
        await desk.controller.submit(do.SingleStepConference(A, "6003"))
        await desk.controller.submit(do.SingleStepConference(A, "6004"))
        # It may not dial any more; and what could not be done anyway is told first.
        assert await refusals(
            desk, do.SingleStepTransfer(A, "6005"), do.DeflectCall(A, "6005")
        ) == ["dial_limit", "invalid_state"]


async def test_s12_a_supervisor_whom_no_rule_lets_has_dialled_nobody() -> None:
    async with open_desk(limits(1), permissions=Rules()) as desk:
        await desk.talking("6001")
        assert await refusals(desk, do.JoinCall(DeviceId("6002"), A)) == ["not_permitted"]
        await desk.dialled("6002", "6003")


async def test_s12_a_transfer_that_a_telephone_asks_for_in_vain_has_dialled_nobody() -> None:
    async with open_desk(limits(2)) as desk:
        station, _ = await desk.talking("6001")
        for _ in range(3):
            station.ask_transfer("x y")
        station.ask_transfer("6003")
        await desk.told(told.Transferring)
        (await desk.exchange.placed("6003")).refuse(Cause.BUSY)
        await desk.told(told.TransferFailed)
        station.ask_transfer("6003")
        await desk.hold("6001")
        await desk.told(told.Held)
        assert station.transfer == [484, 484, 484, 100, 486, 403]


async def test_s12_a_conference_has_no_more_at_once_than_so_many_calls() -> None:
    async with open_desk(limits(None, at_once=2)) as desk:
        await desk.talking("6001")
        await desk.controller.submit(do.SingleStepConference(A, "6002"))
        colleague = await desk.exchange.placed("6002")
        colleague.answer()
        await desk.told(told.Joined)
        assert await refusals(desk, do.SingleStepConference(A, "6003")) == ["dial_limit"]
        # Who was called has called nobody.
        await desk.controller.submit(do.SingleStepConference(DeviceId("6002"), "6003"))
        colleague.hang_up()
        await desk.told(told.ConnectionCleared, "6002")
        await desk.controller.submit(do.SingleStepConference(A, "6004"))


async def test_s12_of_several_that_are_called_in_at_the_same_time_as_many_come_as_may() -> None:
    async with open_desk(limits(None, at_once=3)) as desk:
        await desk.talking("6001")
        commands = [do.SingleStepConference(A, f"600{number}") for number in range(2, 8)]
        asked = [desk.controller.submit(command) for command in commands]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, CommandRejected) for each in answers] == [False] * 2 + [True] * 4


async def test_s12_two_calls_that_became_one_count_as_before() -> None:
    async with open_desk(limits(None, at_once=2)) as desk:
        await desk.talking("6001")
        await desk.consult("6001", "6002")
        (await desk.exchange.placed("6002")).answer()
        await desk.told(told.Established, "6002")
        await desk.conference("6001")
        await desk.told(told.Conferenced)
        assert await refusals(desk, do.SingleStepConference(A, "6003")) == ["dial_limit"]
