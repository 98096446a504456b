"""A call that rings at one device is picked up at another: who gets it, and who hears whom.

A is the agent 6001 where it rings, B the customer 10086, C and D colleagues, 6002 and 6003.
"""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.model import CallSettings
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, D = "6001", "10086", "6002", "6003"


async def pick_up(desk: Desk, who: str = C, where: str = A) -> None:
    await desk.controller.submit(do.DirectedPickupCall(DeviceId(who), DeviceId(where)))


async def picking_up(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """B calls A, where it rings, and C's telephone does not pick up by itself: A, B, C."""
    desk.exchange.no_auto_answer |= {C, D}
    outside, station = await desk.coming_in()
    await pick_up(desk)
    colleague = await desk.exchange.placed(C)
    colleague.ring()
    return station, outside, colleague


async def refused(desk: Desk, who: str, where: str) -> str:
    with pytest.raises(CommandRejected) as why:
        await pick_up(desk, who, where)
    return why.value.reason


async def test_a_call_is_picked_up_elsewhere_and_rings_until_then() -> None:
    async with open_desk() as desk:
        station, outside, colleague = await picking_up(desk)
        assert colleague.request is not None
        assert (colleague.request.calling, colleague.request.auto_answer) == (B, True)
        assert station.release_cause is None
        assert not outside.is_up
        colleague.answer()
        assert (await desk.told(told.Diverted, A)).diverted_to == C
        left = await desk.told(told.ConnectionCleared, A)
        assert (left.cause, left.text, left.releasing_device) == (
            Cause.NORMAL,
            f"picked up by {C}",
            C,
        )
        await desk.told(told.Established, C)
        assert station.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        outside.hang_up()
        await desk.told(told.CallCleared)
    (record,) = desk.records.written
    assert [(each.device, each.failed) for each in record.connections] == [
        (B, False),
        (A, False),
        (C, False),
    ]


async def test_a_telephone_that_picks_up_by_itself_has_the_call_at_once() -> None:
    async with open_desk() as desk:
        await desk.coming_in()
        await pick_up(desk)
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_who_calls_from_here_hears_it_ring_until_it_is_picked_up() -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(D)
        await desk.ringing(A, C)
        await pick_up(desk, D, C)
        colleague = await desk.exchange.placed(D)
        colleague.ring()
        assert desk.exchange.heard() == {A: {"ringback"}}
        colleague.answer()
        await desk.told(told.Established, D)
        assert desk.exchange.heard() == {A: {D}, D: {A}}


async def test_where_it_rings_somebody_answers_first() -> None:
    async with open_desk() as desk:
        station, _, colleague = await picking_up(desk)
        station.answer()
        left = await desk.told(told.ConnectionCleared, C)
        assert (left.cause, left.text) == (Cause.CANCELLED, "nothing is left to be picked up")
        await desk.told(told.Established, A)
        assert colleague.release_cause is Cause.CANCELLED
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_who_picks_up_answers_while_he_is_being_let_go() -> None:
    async with open_desk() as desk:
        desk.exchange.release_delay_s = 1.0
        station, _, colleague = await picking_up(desk)
        station.answer()
        await desk.told(told.ConnectionCleared, C)
        colleague.answer()
        await desk.told(told.Established, A)
        assert {A: {B}, B: {A}}.items() <= desk.exchange.heard().items()
        assert desk.exchange.heard().get(DeviceId(C), frozenset()) == frozenset()


async def test_where_it_rang_somebody_answers_while_it_is_being_cancelled() -> None:
    async with open_desk() as desk:
        desk.exchange.release_delay_s = 1.0
        station, _, colleague = await picking_up(desk)
        colleague.answer()
        await desk.told(told.ConnectionCleared, A)
        station.answer()
        await desk.told(told.Established, C)
        assert {C: {B}, B: {C}}.items() <= desk.exchange.heard().items()
        assert desk.exchange.heard().get(DeviceId(A), frozenset()) == frozenset()


@pytest.mark.parametrize("cause", [Cause.BUSY, Cause.DECLINED, Cause.NOT_REGISTERED])
async def test_who_can_not_pick_up_changes_nothing(cause: Cause) -> None:
    async with open_desk() as desk:
        station, _, colleague = await picking_up(desk)
        colleague.refuse(cause)
        assert (await desk.told(told.Failed, C)).cause is cause
        assert desk.state(A) == "alerting"
        station.answer()
        await desk.told(told.Established, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_who_picks_up_does_not_answer() -> None:
    """And then nobody does where it rings: that time begins anew with the pick-up."""
    settings = ControllerSettings(calls=CallSettings(no_answer_s=20))
    async with open_desk(settings) as desk:
        await picking_up(desk)
        failed = {(await desk.told(told.Failed)).device for _ in range(2)}
        assert failed <= {A, C}
        assert A in failed
        assert (await desk.told(told.CallCleared)).cause is Cause.NO_ANSWER


async def test_the_time_to_answer_begins_anew_with_a_pick_up() -> None:
    settings = ControllerSettings(calls=CallSettings(no_answer_s=20))
    async with open_desk(settings) as desk:
        desk.exchange.no_auto_answer.add(C)
        await desk.coming_in()
        await asyncio.sleep(19)
        await pick_up(desk)
        colleague = await desk.exchange.placed(C)
        await asyncio.sleep(10)
        colleague.answer()
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_who_picks_up_gives_up() -> None:
    async with open_desk() as desk:
        _, _, colleague = await picking_up(desk)
        await desk.clear(C)
        await desk.told(told.ConnectionCleared, C)
        assert colleague.release_cause is Cause.NORMAL
        assert desk.state(A) == "alerting"


async def test_the_telephone_that_picks_up_is_lost() -> None:
    async with open_desk() as desk:
        _, _, colleague = await picking_up(desk)
        colleague.lose_media()
        assert (await desk.told(told.Failed, C)).cause is Cause.MEDIA_LOST
        assert desk.state(A) == "alerting"


async def test_where_it_rings_it_is_declined_meanwhile() -> None:
    async with open_desk() as desk:
        _, outside, colleague = await picking_up(desk)
        await desk.clear(A)
        await desk.told(told.Failed, A)
        await desk.told(told.ConnectionCleared, C)
        await desk.told(told.CallCleared)
        assert colleague.release_cause is Cause.DECLINED
        assert outside.release_cause is Cause.DECLINED


async def test_the_caller_gives_up_while_it_is_picked_up() -> None:
    async with open_desk() as desk:
        station, outside, colleague = await picking_up(desk)
        outside.refuse(Cause.CANCELLED)
        await desk.told(told.CallCleared)
        assert station.release_cause is Cause.CANCELLED
        assert colleague.release_cause is Cause.CANCELLED


async def test_of_two_who_pick_up_the_first_has_it() -> None:
    async with open_desk() as desk:
        station, _, colleague = await picking_up(desk)
        await pick_up(desk, D)
        other = await desk.exchange.placed(D)
        other.answer()
        await desk.told(told.ConnectionCleared, C)
        await desk.told(told.Established, D)
        assert colleague.release_cause is Cause.CANCELLED
        assert station.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {B: {D}, D: {B}}


async def test_who_is_called_for_a_transfer_is_picked_up() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        await desk.transfer(A, C)
        (await desk.exchange.placed(C)).ring()
        await desk.told(told.Delivered, C)
        await pick_up(desk, D, C)
        done = await desk.told(told.Transferred, A)
        assert done.transferred_to == D
        await desk.told(told.ConnectionCleared, A)
        assert agent.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {B: {D}, D: {B}}


async def test_who_is_called_into_a_call_is_picked_up() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), C))
        (await desk.exchange.placed(C)).ring()
        await desk.told(told.Delivered, C)
        await pick_up(desk, D, C)
        await desk.told(told.Joined, D)
        assert desk.exchange.heard() == {A: {B, D}, B: {A, D}, D: {A, B}}


async def test_nothing_is_picked_up_that_does_not_ring_or_by_who_is_in_a_call() -> None:
    async with open_desk() as desk:
        assert await refused(desk, C, A) == "unknown_call"
        far = await desk.ringing(A, B)
        assert await refused(desk, A, B) == "invalid_state"
        assert await refused(desk, C, A) == "invalid_state"
        far.answer()
        await desk.told(told.Established)
        assert await refused(desk, C, B) == "invalid_state"
        await desk.ringing(D, C)
        assert await refused(desk, A, C) == "device_busy"
