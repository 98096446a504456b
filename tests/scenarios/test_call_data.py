"""Data of a client follows a call, through all that becomes of it, into its record.

A is the agent 6001, B the customer 10086, C a colleague, 6002.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.calldata import LARGEST
from endpoint.callcontrol.model import CallId
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, IvrVisited
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, D = "6001", "10086", "6002", "6003"
ORDER = {"order": "4711"}


async def give(
    desk: Desk, data: Mapping[str, str], who: str = A, call: CallId | None = None
) -> dict[str, str]:
    """Returns all that the call carries then."""
    await desk.controller.submit(do.AssociateData(DeviceId(who), data, call))
    return (await desk.told(told.CallInformation, who)).data


def carried(desk: Desk, call: CallId) -> Mapping[str, str]:
    return next(each for each in desk.controller.calls() if each.id == call).data


async def records(desk: Desk) -> dict[str, dict[str, str]]:
    """What the records of all calls keep, when all have hung up."""
    for leg in desk.exchange.open_legs:
        leg.hang_up()
    while desk.controller.calls():
        await desk.told(told.CallCleared)
    return {record.call: record.data for record in desk.records.written}


async def consulted(desk: Desk) -> tuple[CallId, CallId]:
    """A talks with C, and B is on hold; both calls carry the order."""
    await desk.talking()
    first = desk.call.id
    await give(desk, ORDER)
    second = await desk.consult(A, C)
    assert carried(desk, second) == ORDER
    (await desk.exchange.placed(C)).answer()
    await desk.told(told.Established, C)
    return first, second


async def test_data_is_set_changed_and_taken_away() -> None:
    async with open_desk() as desk:
        await desk.talking()
        assert await give(desk, {"order": "1", "note": "é"}) == {"order": "1", "note": "é"}
        assert await give(desk, {"order": "2"}) == {"order": "2", "note": "é"}
        assert await give(desk, {"note": "", "none": ""}) == {"order": "2"}
        assert desk.call.data == {"order": "2"}
        assert await records(desk) == {"i1-1": {"order": "2"}}


async def test_whoever_is_in_the_call_gives_data_also_while_it_rings() -> None:
    async with open_desk() as desk:
        await desk.coming_in()
        assert await give(desk, ORDER) == ORDER
        await desk.answer(A)
        await desk.told(told.Established)
        with pytest.raises(CommandRejected) as why:
            await give(desk, ORDER, C)
        assert why.value.reason == "unknown_call"
        assert await records(desk) == {"in1-1": ORDER}


@pytest.mark.parametrize(
    "data",
    [
        {"": "1"},
        {"no key": "1"},
        {"x" * 65: "1"},
        {"ok\n": "1"},
        {"note": "é" * (LARGEST // 2)},
        {f"k{number}": "x" * 1000 for number in range(9)},
    ],
    ids=["no key", "a space", "too long", "a line end", "too large", "too much in all"],
)
async def test_what_is_no_key_or_too_large_changes_nothing(data: dict[str, str]) -> None:
    async with open_desk() as desk:
        await desk.talking()
        await give(desk, ORDER)
        with pytest.raises(CommandRejected) as why:
            await give(desk, data)
        assert why.value.reason == "bad_data"
        assert desk.call.data == ORDER


async def test_a_consultation_begins_with_it_and_has_its_own_then() -> None:
    async with open_desk() as desk:
        first, second = await consulted(desk)
        assert await give(desk, {"note": "C knows"}, A, second) == {**ORDER, "note": "C knows"}
        await desk.reconnect(A)
        await desk.told(told.Retrieved, A)
        assert carried(desk, first) == ORDER
        assert await records(desk) == {first: ORDER, second: {**ORDER, "note": "C knows"}}


async def test_a_conference_has_that_of_both_calls() -> None:
    async with open_desk() as desk:
        first, second = await consulted(desk)
        await give(desk, {"note": "C knows", "order": "4712"}, C, second)
        await desk.conference(A)
        both = {"order": "4712", "note": "C knows"}
        assert (await desk.told(told.CallInformation, A)).data == both
        await desk.told(told.Conferenced)
        assert carried(desk, first) == both


async def test_a_transfer_of_two_calls_has_that_of_both() -> None:
    async with open_desk() as desk:
        first, second = await consulted(desk)
        await give(desk, {"note": "C knows"}, C, second)
        await desk.bring_together(A, second, first)
        await desk.told(told.Transferred)
        assert carried(desk, first) == {**ORDER, "note": "C knows"}


async def test_what_does_not_fit_any_more_is_left_out() -> None:
    async with open_desk() as desk:
        first, second = await consulted(desk)
        large = "x" * (LARGEST // 2)
        await give(desk, {"large": large}, A, first)
        await give(desk, {"larger": large, "note": "C knows"}, C, second)
        await desk.conference(A)
        await desk.told(told.Conferenced)
        assert carried(desk, first) == {**ORDER, "large": large, "note": "C knows"}


async def test_it_follows_a_call_that_is_transferred_at_once() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await give(desk, ORDER)
        await desk.transfer(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.ConnectionCleared, A)
        assert desk.call.data == ORDER
        assert await give(desk, {"note": "mine"}, C) == {**ORDER, "note": "mine"}


async def test_it_stays_where_a_transfer_fails() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await give(desk, ORDER)
        await desk.transfer(A, C)
        (await desk.exchange.placed(C)).refuse(Cause.BUSY)
        await desk.told(told.TransferFailed)
        assert desk.call.data == ORDER


async def test_it_stays_through_parking_and_picking_up() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await give(desk, ORDER)
        await desk.controller.submit(do.ParkCall(DeviceId(A), DeviceId("701")))
        await desk.told(told.Queued)
        await desk.controller.submit(do.DirectedPickupCall(DeviceId(C), DeviceId("701")))
        await desk.told(told.Established, C)
        assert desk.call.data == ORDER


async def test_it_stays_where_a_call_is_sent_on() -> None:
    async with open_desk() as desk:
        await desk.coming_in()
        await give(desk, ORDER)
        await desk.controller.submit(do.DeflectCall(DeviceId(A), C))
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established)
        assert desk.call.data == ORDER


async def test_what_is_given_is_shown_in_no_log() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await give(desk, {"name": "Very Private"})
        call = desk.call
        assert "Very Private" not in repr(call)
        assert "Very Private" not in repr(do.AssociateData(DeviceId(A), call.data))
        await records(desk)
    assert "Very Private" not in repr(desk.events)
    assert "Very Private" not in repr(desk.records.written)


async def test_a_call_is_made_with_data() -> None:
    async with open_desk() as desk:
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(do.MakeCall(DeviceId(A), B, data={"no key": "1"}))
        assert caught.value.reason == "bad_data"
        made = await desk.controller.submit(do.MakeCall(DeviceId(A), B, data=ORDER))
        await desk.told(told.ServiceInitiated)
        assert carried(desk, made.call) == ORDER
        assert list((await records(desk)).values()) == [ORDER]


async def test_the_way_through_flows_is_told_node_by_node_with_what_came_of_the_last() -> None:
    """A node may be come to twice in a row, and a second IVR may be in the call."""
    async with open_desk() as desk:
        _, customer = await desk.talking()
        for flow, node, result in (
            ("orders", "say", ""),
            ("orders", "say", ""),
            ("orders", "say", "1"),
            ("survey", "say", "2"),
            ("orders", "end", ""),
        ):
            desk.exchange.tell(IvrVisited(customer.id, flow, node, "menu", result))
        for _ in range(5):
            await desk.told(told.IvrVisited)
        customer.hang_up()
        await desk.told(told.CallCleared)
    (record,) = desk.records.written
    assert [(each.flow, each.node, each.outcome) for each in record.ivr_path] == [
        ("orders", "say", ""),
        ("orders", "say", "1"),
        ("survey", "say", "2"),
        ("orders", "end", ""),
    ]
