"""A call is parked: who waits hears music, until somebody picks it up or it comes back.

A is the agent 6001, B the customer 10086, C a colleague, 6002, and P the number where it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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

A, B, C, D, P = "6001", "10086", "6002", "6003", "701"
PATIENT = ControllerSettings(calls=CallSettings(no_answer_s=20, park_s=60))


async def park(desk: Desk, at: str = P, who: str = A) -> None:
    await desk.controller.submit(do.ParkCall(DeviceId(who), DeviceId(at)))
    waits = await desk.told(told.Queued, at)
    assert (waits.state, waits.parked_by) == ("queued", who)
    left = await desk.told(told.ConnectionCleared, who)
    assert (left.cause, left.text) == (Cause.NORMAL, f"parked at {at}")


async def pick_up(desk: Desk, who: str = C, where: str = P) -> None:
    await desk.controller.submit(do.DirectedPickupCall(DeviceId(who), DeviceId(where)))


async def parked(desk: Desk, at: str = P) -> tuple[FakeLeg, FakeLeg]:
    """A and B, who waits."""
    agent, customer = await desk.talking()
    await park(desk, at)
    assert agent.release_cause is Cause.NORMAL
    assert desk.exchange.heard() == {B: {"moh"}}
    return agent, customer


async def picking_up(desk: Desk) -> FakeLeg:
    """C, whose telephone does not pick up by itself."""
    desk.exchange.no_auto_answer.add(C)
    await pick_up(desk)
    return await desk.exchange.placed(C)


async def came_back(desk: Desk) -> FakeLeg:
    """A's telephone rings again."""
    began = asyncio.get_running_loop().time()
    again = await desk.exchange.placed(A)
    assert asyncio.get_running_loop().time() - began == pytest.approx(60, abs=1)
    again.ring()
    await desk.told(told.Delivered, A)
    assert desk.exchange.heard() == {B: {"moh"}}
    return again


async def test_a_parked_call_waits_with_music_and_is_picked_up() -> None:
    async with open_desk() as desk:
        _, customer = await parked(desk)
        assert customer.offers == ["hold"]
        colleague = await picking_up(desk)
        assert colleague.request is not None
        assert (colleague.request.calling, colleague.request.auto_answer) == (B, True)
        assert desk.exchange.heard() == {B: {"moh"}}
        colleague.answer()
        assert (await desk.told(told.Diverted, P)).diverted_to == C
        assert (await desk.told(told.ConnectionCleared, P)).text == f"picked up by {C}"
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        assert customer.offers == ["hold", "resume"]
        await desk.clear(C)
        await desk.told(told.CallCleared)
    (record,) = desk.records.written
    assert [each.device for each in record.connections] == [A, B, P, C]


async def test_a_call_that_is_held_is_parked() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.hold(A)
        await desk.told(told.Held)
        await park(desk)
        assert desk.exchange.heard() == {B: {"moh"}}
        await pick_up(desk)
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        assert customer.offers == ["hold", "resume"]


async def test_a_consulted_party_is_parked_and_a_is_back_with_b() -> None:
    """Also at A's own number: what waits there does not keep A."""
    async with open_desk() as desk:
        await desk.talking()
        second = await desk.consult(A, D)
        (await desk.exchange.placed(D)).answer()
        await desk.told(told.Established, D)
        command = do.ParkCall(DeviceId(A), DeviceId(A), second)
        await desk.controller.submit(command)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}, D: {"moh"}}
        await pick_up(desk, C, A)
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {A: {B}, B: {A}, D: {C}, C: {D}}


async def test_who_parked_it_takes_it_back_at_the_same_place() -> None:
    async with open_desk() as desk:
        await parked(desk, A)
        await pick_up(desk, A, A)
        await desk.told(told.Established, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_a_device_where_a_call_is_parked_is_free() -> None:
    async with open_desk() as desk:
        await parked(desk, C)
        await desk.talking(C, D)
        assert desk.exchange.heard() == {B: {"moh"}, C: {D}, D: {C}}
        await desk.hold(C)
        await desk.told(told.Held, C)


@pytest.mark.parametrize(
    "cause", [Cause.BUSY, Cause.DECLINED, Cause.NOT_REGISTERED, Cause.MEDIA_LOST]
)
async def test_who_can_not_pick_up_what_is_parked_changes_nothing(cause: Cause) -> None:
    async with open_desk() as desk:
        await parked(desk)
        (await picking_up(desk)).refuse(cause)
        assert (await desk.told(told.Failed, C)).cause is cause
        assert desk.exchange.heard() == {B: {"moh"}}
        desk.exchange.no_auto_answer.clear()
        await pick_up(desk)
        await desk.told(told.Established, C)


@pytest.mark.parametrize("end", [FakeLeg.hang_up, FakeLeg.vanish, FakeLeg.lose_media])
async def test_who_is_parked_hangs_up(end: Callable[[FakeLeg], None]) -> None:
    async with open_desk() as desk:
        _, customer = await parked(desk)
        end(customer)
        await desk.told(told.ConnectionCleared, B)
        await desk.told(told.ConnectionCleared, P)
        await desk.told(told.CallCleared)
        assert desk.controller.calls() == ()


async def test_who_is_parked_hangs_up_while_it_is_picked_up() -> None:
    async with open_desk() as desk:
        _, customer = await parked(desk)
        colleague = await picking_up(desk)
        customer.hang_up()
        await desk.told(told.ConnectionCleared, C)
        await desk.told(told.CallCleared)
        assert colleague.release_cause is Cause.NORMAL


async def test_a_call_that_is_parked_too_long_rings_where_it_was_parked() -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        again = await came_back(desk)
        assert again.request is not None
        assert (again.request.calling, again.request.auto_answer) == (B, False)
        await desk.answer(A)
        assert (await desk.told(told.Diverted, P)).diverted_to == A
        await desk.told(told.Established, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_somebody_is_faster_than_who_gets_it_back() -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        again = await came_back(desk)
        await pick_up(desk)
        await desk.told(told.Established, C)
        assert (await desk.told(told.ConnectionCleared, A)).cause is Cause.CANCELLED
        assert again.release_cause is Cause.CANCELLED
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_what_comes_back_is_picked_up_where_it_rings() -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        await came_back(desk)
        await pick_up(desk, C, A)
        await desk.told(told.Established, C)
        await desk.told(told.ConnectionCleared, A)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_who_gets_it_back_answers_while_it_is_let_go() -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        again = await came_back(desk)
        desk.exchange.release_delay_s = 1.0
        await pick_up(desk)
        await desk.told(told.ConnectionCleared, A)
        again.answer()
        await asyncio.sleep(5)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


@pytest.mark.parametrize("cause", [Cause.BUSY, Cause.DECLINED, Cause.NO_ANSWER])
async def test_who_does_not_take_it_back_is_asked_again(cause: Cause) -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        again = await came_back(desk)
        if cause is not Cause.NO_ANSWER:
            again.refuse(cause)
        assert (await desk.told(told.Failed, A)).cause is cause
        assert desk.exchange.heard() == {B: {"moh"}}
        (await came_back(desk)).answer()
        await desk.told(told.Established, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_who_never_takes_it_back_is_asked_ever_more_seldom() -> None:
    """A has gone home, and B is patient: what is noted of that is little after hours too."""
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        began = asyncio.get_running_loop().time()
        times = []
        for _ in range(9):
            (await desk.exchange.placed(A)).refuse(Cause.NOT_REGISTERED)
            times.append(asyncio.get_running_loop().time() - began)
            await desk.told(told.Failed, A)
        assert times == pytest.approx([60 * 2**nth for nth in range(9)], abs=1)
        assert desk.exchange.heard() == {B: {"moh"}}
        await pick_up(desk)
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_what_comes_back_is_sent_on() -> None:
    async with open_desk(PATIENT) as desk:
        await parked(desk)
        await came_back(desk)
        await desk.controller.submit(do.DeflectCall(DeviceId(A), D))
        (await desk.exchange.placed(D)).answer()
        await desk.told(told.Established, D)
        assert desk.exchange.heard() == {B: {D}, D: {B}}
        await asyncio.sleep(200)
        assert desk.exchange.heard() == {B: {D}, D: {B}}


async def test_a_parked_call_is_ended_by_command() -> None:
    async with open_desk() as desk:
        _, customer = await parked(desk)
        await desk.clear(P, desk.call.id)
        await desk.told(told.CallCleared)
        assert customer.release_cause is Cause.NORMAL


async def test_only_a_conversation_of_two_is_parked() -> None:
    async with open_desk() as desk:
        far = await desk.ringing()
        with pytest.raises(CommandRejected) as why:
            await park(desk)
        assert why.value.reason == "not_established"
        far.answer()
        await desk.told(told.Established)
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), D))
        with pytest.raises(CommandRejected) as why:
            await park(desk)
        assert why.value.reason == "invalid_state"
        (await desk.exchange.placed(D)).refuse(Cause.BUSY)
        await desk.told(told.Failed, D)
        await desk.transfer(A, D)
        with pytest.raises(CommandRejected) as why:
            await park(desk)
        assert why.value.reason == "transferring"


async def test_where_one_is_parked_nobody_is_there_to_confer_with() -> None:
    """A has consulted C, who parks A: nobody is in that call with A, who can go back."""
    async with open_desk() as desk:
        await desk.talking()
        second = await desk.consult(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.controller.submit(do.ParkCall(DeviceId(C), DeviceId(P), second))
        await desk.told(told.ConnectionCleared, C)
        assert desk.exchange.heard() == {A: {"moh"}, B: {"moh"}}
        with pytest.raises(CommandRejected) as why:
            await desk.conference(A)
        assert why.value.reason == "not_established"
        await desk.reconnect(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_of_two_that_are_parked_at_one_place_the_call_is_named() -> None:
    async with open_desk() as desk:
        await parked(desk)
        await desk.talking(D, "10010")
        await park(desk, P, D)
        with pytest.raises(CommandRejected) as why:
            await pick_up(desk)
        assert why.value.reason == "ambiguous_call"
        call = desk.controller.calls()[1].id
        await desk.controller.submit(do.DirectedPickupCall(DeviceId(C), DeviceId(P), call))
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {B: {"moh"}, "10010": {C}, C: {"10010"}}
