"""Dropping another party by the name of its connection; and in whose name commands are given.

A is the agent 6001, B the customer 10086, S the supervisor 7001, C the colleague 6002.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import Call, ConnectionId
from endpoint.callcontrol.permissions import Rules, Supervision
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, S = map(DeviceId, ("6001", "10086", "6002", "7001"))
SUPERVISED = Rules(supervision=(Supervision(S, (A,)),))


def named(call: Call, number: str) -> ConnectionId:
    """The live connection of that number, whoever says it."""
    (found,) = [each for each in call.connections if each.number == number and each.is_live]
    return found.id


async def drop(desk: Desk, device: DeviceId, number: str) -> None:
    command = do.ClearConnection(device, desk.call.id, named(desk.call, number))
    await desk.controller.submit(command)


async def conference(desk: Desk, *, comes_in: bool) -> tuple[FakeLeg, FakeLeg]:
    """A, B and C talk; B called from outside, or was called. Returns B and C."""
    if comes_in:
        customer, agent = await desk.coming_in(B, A)
        agent.answer()
        await desk.told(told.Established)
    else:
        _, customer = await desk.talking(A, B)
    await desk.controller.submit(do.SingleStepConference(A, C))
    colleague = await desk.exchange.placed(C)
    colleague.answer()
    await desk.told(told.Joined, C)
    return customer, colleague


@pytest.mark.parametrize("comes_in", [False, True], ids=["dialled", "came in"])
async def test_who_talks_drops_another_party_also_a_caller_from_outside(comes_in: bool) -> None:
    async with open_desk(permissions=Rules()) as desk:
        customer, _ = await conference(desk, comes_in=comes_in)
        own = desk.call.connections[0 if comes_in else 1].id
        await drop(desk, A, B)
        left = await desk.told(told.ConnectionCleared, B)
        assert (left.cause, left.releasing_device, left.connection) == (Cause.NORMAL, A, own)
        assert left.from_outside is comes_in
        assert customer.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_somebody_is_dropped_who_still_rings() -> None:
    async with open_desk(permissions=Rules()) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.SingleStepConference(A, C))
        colleague = await desk.exchange.placed(C)
        colleague.ring()
        await desk.told(told.Delivered, C)
        await drop(desk, A, C)
        assert (await desk.told(told.ConnectionCleared, C)).cause is Cause.CANCELLED
        assert desk.exchange.heard() == {A: {B}, B: {A}}


async def test_a_supervisor_drops_the_agent_and_so_ends_the_call() -> None:
    async with open_desk(permissions=SUPERVISED) as desk:
        await desk.talking(A, B)
        await drop(desk, S, A)
        over = await desk.told(told.CallCleared)
        assert over.releasing_device == S


async def test_a_supervisor_drops_the_customer_of_the_agent_from_a_conference() -> None:
    async with open_desk(permissions=SUPERVISED) as desk:
        await conference(desk, comes_in=True)
        await drop(desk, S, B)
        await desk.told(told.ConnectionCleared, B)
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_s21_nobody_else_drops_anybody() -> None:
    """Not from outside the call, and not one's own supervisor."""
    async with open_desk(permissions=SUPERVISED) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.JoinCall(S, A))
        await desk.told(told.Joined, S)
        for device, number in ((C, A), (C, B), (A, S)):
            with pytest.raises(CommandRejected) as caught:
                await drop(desk, device, number)
            assert caught.value.reason == "not_permitted"
        await drop(desk, S, S)
        await desk.told(told.ConnectionCleared, S)


async def test_a_name_that_nobody_has_drops_nobody() -> None:
    async with open_desk() as desk:
        await conference(desk, comes_in=False)
        gone = named(desk.call, C)
        await desk.clear(C)
        await desk.told(told.ConnectionCleared, C)
        for name in (gone, ConnectionId(9)):
            with pytest.raises(CommandRejected) as caught:
                await desk.controller.submit(do.ClearConnection(A, desk.call.id, name))
            assert caught.value.reason == "not_in_call"


async def test_whoever_goes_on_in_another_call_has_a_name_of_his_own_there() -> None:
    async with open_desk() as desk:
        await desk.talking(A, B)
        await desk.consult(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.conference(A)
        await desk.told(told.Conferenced, C)
        assert {each.number: each.id for each in desk.call.connections} == {A: 1, B: 2, C: 3}
        await drop(desk, B, C)
        await desk.told(told.ConnectionCleared, C)


OF_A_CALL: list[Callable[[DeviceId], do.Command]] = [
    do.HoldCall,
    do.RetrieveCall,
    do.ClearConnection,
    do.ClearCall,
    lambda device: do.GenerateDigits(device, "1"),
    lambda device: do.SetMicrophoneMute(device, muted=True),
    lambda device: do.SingleStepTransfer(device, C),
    lambda device: do.ConsultationCall(device, C),
    lambda device: do.ParkCall(device, DeviceId("701")),
    lambda device: do.MakeCall(device, C),
]


@pytest.mark.parametrize("command", OF_A_CALL)
async def test_s21_nobody_commands_in_the_name_of_an_outside_party(
    command: Callable[[DeviceId], do.Command],
) -> None:
    async with open_desk(ours={A, C, S}) as desk:
        await desk.talking(A, B)
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(command(B))
        assert caught.value.reason == "unknown_device"
        assert desk.exchange.heard() == {A: {B}, B: {A}}
