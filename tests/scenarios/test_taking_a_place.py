"""Somebody comes for a party's place (INVITE with Replaces, RFC 3891)."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import events as told
from endpoint.legs.base import Cause, LegRole
from tests.scenarios.desk import open_desk

pytestmark = pytest.mark.scenario

TALKING = {"6001": {"10086"}, "10086": {"6001"}}


async def test_who_comes_for_the_place_of_another_talks_on_with_ours() -> None:
    """The far end was transferred elsewhere: our agent notices that somebody else speaks."""
    async with open_desk() as desk:
        agent, customer = await desk.talking()
        newcomer = desk.exchange.offer("10010", "6001", LegRole.LINE, replaces=customer)
        done = await desk.told(told.Transferred, "10086")
        assert done.transferred_to == "10010"
        assert {"6001": {"10010"}, "10010": {"6001"}} == desk.exchange.heard()
        assert not newcomer.is_alerted
        await desk.clear("6001")
        await desk.told(told.CallCleared)
        assert (agent.is_over, newcomer.is_over) == (True, True)
    (record,) = desk.records.written
    assert [each.device for each in record.connections] == ["6001", "10086", "10010"]


async def test_who_comes_for_a_place_and_does_not_confirm_leaves_nobody_in_silence() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        desk.exchange.confirms_answers = False
        newcomer = desk.exchange.offer("10010", "6001", LegRole.LINE, replaces=customer)
        await desk.told(told.Transferring)
        assert [each.state for each in desk.call.connections if each.leg == newcomer.id] == ["null"]
        newcomer.refuse(Cause.CANCELLED)
        await desk.told(told.Failed, "10010")
        failed = await desk.told(told.TransferFailed, "10086")
        assert failed.cause is Cause.CANCELLED
        assert desk.exchange.heard() == TALKING


async def test_who_comes_too_late_for_a_place_gets_none() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        customer.hang_up()
        await desk.told(told.CallCleared)
        newcomer = desk.exchange.offer("10010", "6001", LegRole.LINE, replaces=customer)
        await asyncio.sleep(1)
        assert newcomer.release_cause is Cause.DECLINED


async def test_of_two_calls_the_place_in_the_one_that_is_talked_in_is_meant() -> None:
    """The agent's telephone is in both by one dialog, and goes on elsewhere."""
    async with open_desk() as desk:
        agent, customer = await desk.talking()
        await desk.consult("6001", "6002")
        (await desk.exchange.placed("6002")).answer()
        await desk.told(told.Established, "6002")
        desk.exchange.offer("6001", "6002", LegRole.STATION, replaces=agent)
        await desk.told(told.Transferred, "6001")
        assert desk.exchange.heard() == {"6001": {"6002"}, "6002": {"6001"}}
        assert customer.is_over
