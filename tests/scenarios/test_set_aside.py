"""Agents whom a queue's call rings in vain: what is told of them, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from endpoint.agents.directory import (
    Contents,
    DirectoryInUse,
    KnownPasswords,
    NoAnswer,
    QueueSettings,
    SkillWanted,
)
from endpoint.agents.events import AgentEvents
from endpoint.agents.logon import LogOn
from endpoint.agents.model import Agent, AgentId, LeaveReason, SkillLevel
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.agents.session import LogOff
from endpoint.callcontrol import events as told
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.ivrdesk import IvrDesk, open_ivr_desk
from tests.scenarios.rosters import RosterCrew

pytestmark = pytest.mark.scenario

ANNA, DEVICE = AgentId("1001"), DeviceId("6001")
RING_S, REST_S = 20.0, 10.0
FLOW = """
start = "queue"

[node.queue]
kind = "queue"
queue = "sales"
nobody = "end"
timeout = "end"
max_wait_s = 1000

[node.end]
kind = "hangup"
"""


@asynccontextmanager
async def one_agent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_answer: NoAnswer,
    *,
    registers: bool = False,
) -> AsyncIterator[tuple[IvrDesk, Roster]]:
    """Anna is ready at 6001; a call to 999 waits for her."""
    sales = QueueSettings(
        "sales",
        skills=(SkillWanted("talk"),),
        ring_s=RING_S,
        rest_s=REST_S,
        no_answer=no_answer,
        no_answer_reason="asleep" if no_answer is NoAnswer.LEAVE else "",
    )
    contents = Contents(
        (Agent(ANNA, skills=(SkillLevel("talk"),)),),
        queues=(sales,),
        reasons=(LeaveReason("asleep", "Did not answer"),),
    )
    directory = DirectoryInUse(KnownPasswords({}), contents)
    crew = RosterCrew(directory, needs_no_registration=not registers)

    (tmp_path / "flow.toml").write_text(FLOW)
    async with open_ivr_desk(
        monkeypatch, tmp_path / "flow.toml", "999", [], directory=directory, crew=crew
    ) as desk:
        if registers:
            desk.exchange.registered(DEVICE)
            await desk.desk.told(DeviceRegistered)
        stays = Liveness(grace_s=None)
        await crew.roster.log_on(LogOn(agent=ANNA, device=DEVICE, ready=True, liveness=stays))
        yield desk, crew.roster


async def rings_for(desk: IvrDesk, customer: str) -> tuple[FakeLeg, FakeLeg]:
    """The customer's leg, and that of Anna, where it rings for him."""
    outside = desk.exchange.offer(customer, "999", LegRole.LINE)
    leg = await desk.exchange.placed(DEVICE)
    leg.ring()
    return outside, leg


async def story(roster: Roster) -> list[str]:
    """What was told of Anna, without her calls."""
    await asyncio.sleep(0.01)  # of virtual time: all that has happened is heard of
    standing = roster.standing(ANNA)
    assert standing is not None
    found: list[str] = []
    async for entry in roster.follow(ANNA, 2):  # behind her log-on
        if isinstance(entry.event, AgentEvents):
            found.append(type(entry.event).__name__)
        if entry.number == standing.number:
            break
    return found


@pytest.mark.parametrize("declines", [False, True])
async def test_who_is_set_aside_is_not_told_to_be_ready_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declines: bool
) -> None:
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE) as (desk, roster):
        outside, leg = await rings_for(desk, "10001")
        if declines:
            leg.refuse(Cause.DECLINED)
        else:
            await asyncio.sleep(RING_S + 1)
        names = await story(roster)
        assert "AgentReady" not in names
        assert names[0] == "AgentBusy"
        assert names[-1] == "AgentNotReady"
        session = roster.session(ANNA)
        assert session is not None
        assert (str(session.state), session.rest.reason) == ("notReady", "asleep")
        outside.hang_up()


async def test_who_logs_off_while_it_rings_in_vain_is_logged_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed logged on, away: to set it aside was taken for a wish to stay."""
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE) as (desk, roster):
        outside, _ = await rings_for(desk, "10001")
        await roster.command(ANNA, LogOff())
        await asyncio.sleep(RING_S + 1)
        assert roster.session(ANNA) is None
        outside.hang_up()


async def test_whose_telephone_is_lost_while_it_rings_is_passed_over_at_once_and_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE, registers=True) as (desk, roster):
        outside, leg = await rings_for(desk, "10001")
        await asyncio.sleep(1)
        desk.exchange.unregistered(DEVICE, Cause.NORMAL)
        await asyncio.sleep(1)
        assert leg.release_cause is Cause.CANCELLED
        await asyncio.sleep(REST_S)
        desk.exchange.registered(DEVICE)
        again = await desk.exchange.placed(DEVICE)
        told_of_her = await story(roster)
        assert told_of_her == [
            "AgentBusy",
            "StationLost",
            "AgentNotReady",
            "StationReturned",
            "AgentReady",
        ]
        again.answer()
        await desk.desk.told(told.LeftQueue)
        outside.hang_up()


async def test_whose_telephone_has_not_rung_is_passed_over_and_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trunk that says nothing: whoever sits there could not answer."""
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE) as (desk, roster):
        outside = desk.exchange.offer("10001", "999", LegRole.LINE)
        leg = await desk.exchange.placed(DEVICE)
        await asyncio.sleep(RING_S + 1)
        assert leg.release_cause is Cause.UNREACHABLE
        session = roster.session(ANNA)
        assert session is not None
        assert str(session.state) == "ready"
        await asyncio.sleep(REST_S)
        again = await desk.exchange.placed(DEVICE)
        again.answer()
        await desk.desk.told(told.LeftQueue)
        outside.hang_up()


async def test_who_is_only_passed_over_is_ready_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_agent(tmp_path, monkeypatch, NoAnswer.NEXT) as (desk, roster):
        outside, _ = await rings_for(desk, "10001")
        await asyncio.sleep(RING_S + 1)
        assert await story(roster) == ["AgentBusy", "AgentReady"]
        outside.hang_up()


async def test_whose_caller_gives_up_is_ready_again_and_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE) as (desk, roster):
        outside, _ = await rings_for(desk, "10001")
        outside.hang_up()
        await desk.desk.told(told.CallCleared)
        assert await story(roster) == ["AgentBusy", "AgentReady"]


async def test_who_has_answered_is_ready_after_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_agent(tmp_path, monkeypatch, NoAnswer.LEAVE) as (desk, roster):
        _, leg = await rings_for(desk, "10001")
        leg.answer()
        await desk.desk.told(told.LeftQueue)
        leg.hang_up()
        await desk.desk.told(told.CallCleared)
        assert await story(roster) == ["AgentBusy", "AgentReady"]
