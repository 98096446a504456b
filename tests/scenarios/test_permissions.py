"""Who may have part in calls of others: by default nobody, else whom a rule lets.

A is the agent 6001, B the customer 10086, S the supervisor 7001, C the colleague 6002.
"""

from __future__ import annotations

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import Participation
from endpoint.callcontrol.permissions import Rules, Supervision
from endpoint.callcontrol.transitions import OF_OTHERS
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, S = map(DeviceId, ("6001", "10086", "6002", "7001"))
SUPERVISED = Rules(supervision=(Supervision(S, ("600*",)),))
GROUPED = Rules(pickup_groups=((A, C), ("6003", S)))
OF_SUPERVISORS: list[do.SupervisionCommand] = [
    *(do.JoinCall(S, A, how) for how in Participation),
    do.InterceptCall(S, A),
]


async def is_refused(desk: Desk, command: do.Command) -> None:
    """By its own word, and nobody is called."""
    placed = [each for each in desk.exchange.asked if each.startswith("place")]
    with pytest.raises(CommandRejected) as caught:
        await desk.controller.submit(command)
    assert caught.value.reason == "not_permitted"
    assert command.device in str(caught.value)
    assert [each for each in desk.exchange.asked if each.startswith("place")] == placed


OF_OTHERS_BY_NAME: dict[do.CommandName, list[do.Command]] = {
    do.CommandName.JOIN_CALL: [do.JoinCall(C, A, how) for how in Participation],
    do.CommandName.INTERCEPT_CALL: [do.InterceptCall(C, A)],
    do.CommandName.DIRECTED_PICKUP_CALL: [do.DirectedPickupCall(C, S)],
}


@pytest.mark.parametrize("name", sorted(OF_OTHERS))
async def test_s21_nobody_has_part_in_calls_of_others_without_a_rule(name: do.CommandName) -> None:
    """Whatever command is about another device; A talks with B, and a call rings at S."""
    async with open_desk(permissions=Rules()) as desk:
        await desk.talking(A, B)
        await desk.coming_in("10010", S)
        for command in OF_OTHERS_BY_NAME[name]:
            await is_refused(desk, command)


@pytest.mark.parametrize("command", OF_SUPERVISORS, ids=str)
async def test_a_supervisor_supervises_whom_its_rule_names(
    command: do.SupervisionCommand,
) -> None:
    async with open_desk(permissions=SUPERVISED) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(command)
        await desk.exchange.placed(S)


async def test_s21_nobody_is_supervised_or_supervises_beyond_the_rule() -> None:
    """Not the customer, not by another agent, not the supervisor."""
    async with open_desk(permissions=SUPERVISED) as desk:
        await desk.talking(A, B)
        for device, beside in ((S, B), (C, A), (A, B)):
            await is_refused(desk, do.JoinCall(device, beside))
            await is_refused(desk, do.InterceptCall(device, beside))


async def test_who_has_come_in_as_a_party_may_not_listen_beside_another() -> None:
    """A change of how one takes part is asked as joining is."""
    async with open_desk(permissions=SUPERVISED) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.JoinCall(S, A))
        await desk.told(told.Joined, S)
        await is_refused(desk, do.JoinCall(S, B, Participation.WHISPER))


# -- pick-up ------------------------------------------------------------------------------------


async def test_nobody_picks_up_without_a_group() -> None:
    async with open_desk(permissions=Rules()) as desk:
        await desk.coming_in(B, A)
        await is_refused(desk, do.DirectedPickupCall(C, A))


async def test_those_of_one_group_pick_up_for_each_other() -> None:
    async with open_desk(permissions=GROUPED) as desk:
        await desk.coming_in(B, A)
        await is_refused(desk, do.DirectedPickupCall(S, A))
        await desk.controller.submit(do.DirectedPickupCall(C, A))
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)


async def test_what_one_of_a_group_has_parked_its_others_pick_up_wherever_that_is() -> None:
    async with open_desk(permissions=GROUPED) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.ParkCall(A, DeviceId("701")))
        await desk.told(told.ConnectionCleared, A)
        await is_refused(desk, do.DirectedPickupCall(S, DeviceId("701")))
        await desk.controller.submit(do.DirectedPickupCall(C, DeviceId("701")))
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)


@pytest.mark.parametrize("comes", [A, C])
async def test_without_a_group_who_parked_it_and_where_it_is_parked_take_it(
    comes: DeviceId,
) -> None:
    async with open_desk(permissions=Rules()) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.ParkCall(A, C))
        await desk.told(told.ConnectionCleared, A)
        await is_refused(desk, do.DirectedPickupCall(S, C))
        await desk.controller.submit(do.DirectedPickupCall(comes, C))
        await desk.told(told.ServiceInitiated, comes)
