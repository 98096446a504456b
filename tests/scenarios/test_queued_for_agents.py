"""Agents at the telephones that queues call: what is written up, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from endpoint.agents.directory import (
    Contents,
    DirectoryInUse,
    KnownPasswords,
    QueueSettings,
    SkillWanted,
)
from endpoint.agents.directory import Skill as Known
from endpoint.agents.logon import LogOn
from endpoint.agents.model import Agent, AgentId, SkillLevel
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.callcontrol import events as told
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.ivrdesk import IvrDesk, open_ivr_desk
from tests.scenarios.rosters import RosterCrew

pytestmark = pytest.mark.scenario

ANNA, DEVICE, IVR = AgentId("1001"), DeviceId("6001"), "999"
FLOW = """
start = "queue"

[node.queue]
kind = "queue"
queue = "sales"
nobody = "end"
timeout = "end"
call_back = "end"
max_wait_s = 1000

[node.end]
kind = "hangup"
"""


Centre = Callable[[], AbstractAsyncContextManager[tuple[IvrDesk, Roster]]]


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Opens one: `async with centre() as (desk, roster)`."""
    return partial(open_centre, tmp_path, monkeypatch)


@asynccontextmanager
async def open_centre(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[IvrDesk, Roster]]:
    """Anna serves sales at 6001, and writes up for 10 s; she is ready."""
    contents = Contents(
        (Agent(ANNA, skills=(SkillLevel("talk"),), wrap_up_s=10),),
        skills=(Known("talk"),),
        queues=(QueueSettings("sales", skills=(SkillWanted("talk"),), rest_s=30, call_back=True),),
    )
    directory = DirectoryInUse(KnownPasswords({}), contents)
    crew = RosterCrew(directory, needs_no_registration=False)

    (tmp_path / "flow.toml").write_text(FLOW)
    async with open_ivr_desk(
        monkeypatch, tmp_path / "flow.toml", IVR, [], directory=directory, crew=crew
    ) as desk:
        desk.exchange.registered(DEVICE)
        await desk.desk.let_pass(1)
        liveness = Liveness(grace_s=None)
        await crew.roster.log_on(LogOn(agent=ANNA, device=DEVICE, ready=True, liveness=liveness))
        yield desk, crew.roster


def state(roster: Roster) -> str:
    session = roster.session(ANNA)
    assert session is not None
    return str(session.state)


async def comes(desk: IvrDesk) -> tuple[FakeLeg, FakeLeg]:
    """A customer is in the queue, and Anna's telephone is called."""
    customer = desk.exchange.offer("10086", IVR, LegRole.LINE)
    return customer, await desk.exchange.placed(DEVICE)


async def dials(desk: IvrDesk) -> None:
    """Anna dials for herself, talks, and hangs up."""
    await desk.desk.dial(DEVICE, "10010")
    far = await desk.exchange.placed("10010")
    far.answer()
    await desk.desk.told(told.Established, "10010")
    await desk.desk.clear(DEVICE)
    await desk.desk.let_pass(1)


async def test_a_call_of_a_queue_is_written_up(centre: Centre) -> None:
    async with centre() as (desk, roster):
        _, station = await comes(desk)
        station.ring()
        station.answer()
        await desk.desk.told(told.LeftQueue)
        await desk.desk.clear(DEVICE)
        await desk.desk.let_pass(1)
        assert state(roster) == "workingAfterCall"


async def test_a_call_of_her_own_is_not_where_a_queues_never_reached_her(centre: Centre) -> None:
    async with centre() as (desk, roster):
        customer, station = await comes(desk)
        station.refuse(Cause.UNREACHABLE)
        await desk.desk.let_pass(1)
        customer.hang_up()
        await desk.desk.let_pass(1)
        await dials(desk)
        assert state(roster) == "ready"


async def test_nor_where_she_let_it_ring_and_talked_with_somebody_else(centre: Centre) -> None:
    async with centre() as (desk, roster):
        customer, station = await comes(desk)
        station.ring()
        await desk.desk.told(told.Delivered, DEVICE)
        customer.hang_up()
        await asyncio.sleep(1)
        await dials(desk)
        assert state(roster) == "ready"


async def test_who_was_called_back_is_written_up(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await desk.desk.dial(DEVICE, "10010")
        (await desk.exchange.placed("10010")).answer()
        await desk.desk.told(told.Established, "10010")
        customer = desk.exchange.offer("10086", IVR, LegRole.LINE)
        await desk.desk.told(told.WaitsInQueue)
        customer.press("1")
        assert (await desk.desk.told(told.LeftQueue)).outcome == "call_back"
        await desk.desk.told(told.CallCleared)
        await desk.desk.clear(DEVICE)
        back = await desk.exchange.placed("10086")
        back.answer()
        await desk.desk.told(told.Established, "10086")
        await desk.desk.clear(DEVICE)
        await desk.desk.let_pass(1)
        assert state(roster) == "workingAfterCall"


async def test_who_waits_for_an_agent_whose_telephone_is_lost_waits_for_its_return(
    centre: Centre,
) -> None:
    """As it is for a moment when a phone goes to another network, or after a restart of ours."""
    async with centre() as (desk, _):
        await desk.desk.dial(DEVICE, "10010")
        customer = desk.exchange.offer("10086", IVR, LegRole.LINE)
        await desk.desk.told(told.WaitsInQueue)
        desk.exchange.unregistered(DEVICE, Cause.NORMAL)
        await desk.desk.clear(DEVICE)
        await desk.desk.let_pass(5)
        assert not customer.is_over
        facts = desk.facts("sales")
        assert (facts.devices, facts.free, facts.agents) == ((), 0, 1)
        second = desk.exchange.offer("10087", IVR, LegRole.LINE)
        await desk.desk.told(told.WaitsInQueue)
        desk.exchange.registered(DEVICE)
        station = await desk.exchange.placed(DEVICE)
        station.ring()
        station.answer()
        assert (await desk.desk.told(told.LeftQueue)).calling == "10086"
        second.hang_up()
