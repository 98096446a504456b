"""Calls that agents make outside are those of a skill: told, recorded, counted, written up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from endpoint.agents.model import Agent, AgentId, BasicMode, SkillLevel, WorkMode
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.agents.session import LogOff, SetWorkMode
from endpoint.callcontrol import commands
from endpoint.callcontrol import events as told
from endpoint.callcontrol.calldata import LARGEST
from endpoint.callcontrol.callsettings import CallSettings
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.model import CallDirection, CallRecord
from endpoint.legs.base import DeviceId, LegRole
from tests.scenarios.ivrdesk import IvrDesk, open_ivr_desk
from tests.scenarios.rosters import RosterCrew
from tests.scenarios.test_queued_for_agents import FLOW

pytestmark = pytest.mark.scenario

ANNA, DEVICE, IVR, OUTSIDE = AgentId("1001"), DeviceId("6001"), "999", "10010"
AGENT = Agent(
    ANNA,
    skills=(SkillLevel("talk"), SkillLevel("order", 7), SkillLevel("bills", 7)),
    wrap_up_s=10,
    dials_for_skill=True,
)
TALKS = WorkMode(4, "talk alone", BasicMode.NORMAL, "talk")

Centre = Callable[..., AbstractAsyncContextManager[tuple[IvrDesk, Roster]]]


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Opens one: `async with centre(agent) as (desk, roster)`."""
    return partial(open_centre, tmp_path, monkeypatch)


@asynccontextmanager
async def open_centre(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Agent = AGENT, **wanted: Any
) -> AsyncIterator[tuple[IvrDesk, Roster]]:
    """Anna is at 6001, and ready; 8888 means 6002, which is ours."""
    contents = Contents(
        (agent,),
        skills=(Known("talk"), Known("order"), Known("bills")),
        queues=(QueueSettings("sales", skills=(SkillWanted("talk"),), rest_s=30, call_back=True),),
        modes=(WorkMode(0, "ready", BasicMode.NORMAL), TALKS),
    )
    directory = DirectoryInUse(KnownPasswords({}), contents)
    crew = RosterCrew(directory, needs_no_registration=True)
    calls = CallSettings(queue_of=lambda device, _: crew.roster.dials_for(device))

    (tmp_path / "flow.toml").write_text(FLOW)
    async with open_ivr_desk(
        monkeypatch,
        tmp_path / "flow.toml",
        IVR,
        [],
        directory=directory,
        crew=crew,
        settings=ControllerSettings(calls=calls),
        aliases={"8888": "6002"},
    ) as desk:
        liveness = Liveness(grace_s=None)
        log_on = LogOn(agent=ANNA, device=DEVICE, ready=True, liveness=liveness, **wanted)
        await crew.roster.log_on(log_on)
        yield desk, crew.roster


def state(roster: Roster) -> str:
    session = roster.session(ANNA)
    assert session is not None
    return str(session.state)


async def talks(desk: IvrDesk, number: str = OUTSIDE) -> told.ServiceInitiated:
    """Anna dials, and talks."""
    await desk.desk.dial(DEVICE, number)
    begun = await desk.desk.told(told.ServiceInitiated)
    (await desk.exchange.placed(number)).answer()
    await desk.desk.told(told.Established, number)
    return begun


async def hangs_up(desk: IvrDesk) -> CallRecord:
    await desk.desk.clear(DEVICE)
    await desk.desk.let_pass(1)
    return desk.desk.records.written[-1]


def queues_of(record: CallRecord) -> list[tuple[str, str]]:
    return [(each.queue, each.outcome) for each in record.ivr_path]


async def test_a_call_outside_is_one_of_her_best_skill_and_of_equals_the_first(
    centre: Centre,
) -> None:
    async with centre() as (desk, roster):
        begun = await talks(desk)
        assert begun.queue == "order"
        assert desk.desk.call.data == {"OutboundOf": "order"}
        record = await hangs_up(desk)
        assert record.direction is CallDirection.OUTBOUND
        assert record.data == {"OutboundOf": "order"}
        assert queues_of(record) == [("order", "outbound")]
        assert record.ivr_path[0].waited_s is None
        assert state(roster) == "workingAfterCall"


async def test_also_where_she_dials_at_her_telephone(centre: Centre) -> None:
    async with centre() as (desk, roster):
        phone = desk.exchange.offer(DEVICE, OUTSIDE, LegRole.STATION)
        assert (await desk.desk.told(told.ServiceInitiated)).queue == "order"
        (await desk.exchange.placed(OUTSIDE)).answer()
        await desk.desk.told(told.Established, OUTSIDE)
        phone.hang_up()
        await desk.desk.let_pass(1)
        assert queues_of(desk.desk.records.written[-1]) == [("order", "outbound")]
        assert state(roster) == "workingAfterCall"


async def test_in_a_work_mode_that_is_bound_to_a_skill_it_is_of_that_one(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await roster.command(ANNA, SetWorkMode(TALKS))
        assert (await talks(desk)).queue == "talk"
        await hangs_up(desk)


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        pytest.param(replace(AGENT, dials_for_skill=False), {}, id="not asked for"),
        pytest.param(AGENT, {"dials_for_skill": False}, id="not wanted by her client"),
        pytest.param(replace(AGENT, skills=()), {}, id="no skills"),
    ],
)
async def test_nothing_is_added(centre: Centre, agent: Agent, wanted: dict[str, bool]) -> None:
    async with centre(agent, **wanted) as (desk, roster):
        assert (await talks(desk)).queue == ""
        record = await hangs_up(desk)
        assert (record.data, record.ivr_path) == ({}, ())
        assert state(roster) == "ready"
        assert [dict(each.today.outbound) for each in desk.queues.facts()] == [{}, {}, {}, {}]


async def test_her_client_may_ask_for_it(centre: Centre) -> None:
    async with centre(replace(AGENT, dials_for_skill=False), dials_for_skill=True) as (desk, _):
        assert (await talks(desk)).queue == "order"
        await hangs_up(desk)


async def test_a_call_to_a_colleague_is_nobodys(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await desk.desk.dial(DEVICE, "8888")
        assert (await desk.desk.told(told.ServiceInitiated)).queue == ""
        (await desk.exchange.placed("6002")).answer()
        await desk.desk.told(told.Established, "6002")
        assert (await hangs_up(desk)).ivr_path == ()
        assert state(roster) == "ready"


async def test_nor_one_where_nobody_is_logged_on(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await roster.command(ANNA, LogOff())
        assert (await talks(desk)).queue == ""
        assert (await hangs_up(desk)).ivr_path == ()


async def test_whom_she_consults_outside_belongs_to_the_call_that_she_has(centre: Centre) -> None:
    async with centre() as (desk, _):
        await talks(desk)
        second = await desk.desk.consult(DEVICE, "10011")
        (await desk.exchange.placed("10011")).answer()
        await desk.desk.told(told.Established, "10011")
        await desk.desk.clear(DEVICE, second)
        await desk.desk.let_pass(1)
        assert desk.desk.records.written[-1].ivr_path == ()
        await hangs_up(desk)
        assert desk.facts("order").today.outbound == {"answered": 1}


async def test_a_client_names_the_queue_or_that_it_is_none(centre: Centre) -> None:
    async with centre() as (desk, _):
        for queue in ("bills", ""):
            command = commands.MakeCall(DEVICE, OUTSIDE, queue=queue)
            await desk.desk.controller.submit(command)
            assert (await desk.desk.told(told.ServiceInitiated)).queue == queue
            await hangs_up(desk)
            await desk.desk.let_pass(20)


async def test_what_a_call_carries_is_never_more_than_it_may(centre: Centre) -> None:
    async with centre() as (desk, _):
        data = {"k": "x" * (LARGEST - 1)}
        await desk.desk.controller.submit(commands.MakeCall(DEVICE, OUTSIDE, data=data))
        record = await hangs_up(desk)
        assert (record.data, queues_of(record)) == (data, [("order", "outbound")])


async def test_they_are_counted_beside_those_that_come_in(centre: Centre) -> None:
    async with centre() as (desk, _):
        await talks(desk)
        assert (desk.facts("order").calls, desk.facts("order").wait_s) == ((), None)
        await hangs_up(desk)
        await desk.desk.let_pass(20)
        await desk.desk.dial(DEVICE, OUTSIDE)
        (await desk.exchange.placed(OUTSIDE)).ring()
        await desk.desk.told(told.Delivered, OUTSIDE)
        await hangs_up(desk)
        today = desk.facts("order").today
        assert today.outbound == {"answered": 1, "unanswered": 1}
        assert (today.outcomes, today.waited_s) == ({}, {})
        assert desk.queues.tally.outbound == {("order", "answered"): 1, ("order", "unanswered"): 1}
        assert desk.queues.tally.outcomes == {}


async def test_one_that_is_not_answered_is_not_written_up(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await desk.desk.dial(DEVICE, OUTSIDE)
        (await desk.exchange.placed(OUTSIDE)).ring()
        await desk.desk.told(told.Delivered, OUTSIDE)
        await hangs_up(desk)
        assert state(roster) == "ready"


async def test_nor_is_a_call_of_her_own_after_one(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await talks(desk)
        await hangs_up(desk)
        await desk.desk.let_pass(20)
        await desk.desk.dial(DEVICE, "8888")
        (await desk.exchange.placed("6002")).answer()
        await desk.desk.told(told.Established, "6002")
        await hangs_up(desk)
        assert state(roster) == "ready"


async def test_who_is_called_back_is_counted_as_that_alone(centre: Centre) -> None:
    async with centre() as (desk, roster):
        await talks(desk)
        customer = desk.exchange.offer("10086", IVR, LegRole.LINE)
        await desk.desk.told(told.WaitsInQueue)
        customer.press("1")
        assert (await desk.desk.told(told.LeftQueue)).outcome == "call_back"
        await desk.desk.told(told.CallCleared)
        await hangs_up(desk)
        await desk.desk.let_pass(20)
        (await desk.exchange.placed("10086")).answer()
        await desk.desk.told(told.Established, "10086")
        record = await hangs_up(desk)
        assert (record.data, record.ivr_path) == ({"CallBackOf": "sales"}, ())
        assert state(roster) == "workingAfterCall"
        assert desk.facts("sales").today.outbound == {}
        assert desk.facts("sales").today.outcomes == {"call_back": 1, "called_back": 1}
        assert desk.facts("order").today.outbound == {"answered": 1}
