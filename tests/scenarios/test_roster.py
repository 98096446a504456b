"""Agents log on, work and are told so: their logs, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from endpoint.agents.events import (
    AgentLoggedOff,
    AgentWorkingAfterCall,
    LogOffCause,
)
from endpoint.agents.logon import LogOnRefused
from endpoint.agents.model import AgentId, BasicMode, LeaveReason, SkillLevel, WorkMode
from endpoint.agents.roster import RosterSettings
from endpoint.agents.session import (
    FinishWrapUp,
    LogOff,
    SetNotReady,
    SetReady,
    SetWorkMode,
)
from endpoint.app.agentview import AgentView
from endpoint.callcontrol.feed import EventsMissed
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId
from tests.fakes.agentlogs import MemoryKeeping
from tests.scenarios.centre import AGENTS, ANNA, BERT, CARL, open_centre, with_agent
from tests.scenarios.test_identity import views_of

pytestmark = pytest.mark.scenario


@pytest.mark.parametrize(
    ("agent", "device", "password", "reason"),
    [
        ("4711", "6001", "correct horse", "unknown_agent"),
        (ANNA, "6001", "wrong", "wrong_password"),
        (CARL, "6001", "correct horse", "agent_disabled"),
        (ANNA, "7001", "correct horse", "unknown_device"),
        (BERT, "6101", "correct horse", "device_not_allowed"),
        (ANNA, "6003", "correct horse", "not_registered"),
    ],
)
async def test_each_reason_why_an_agent_can_not_log_on_has_a_word(
    agent: str, device: str, password: str, reason: str
) -> None:
    async with open_centre() as centre:
        with pytest.raises(LogOnRefused) as refused:
            await centre.log_on(AgentId(agent), device, password=password)
        assert refused.value.reason == reason
        assert centre.ready() == []


async def test_who_is_logged_on_already_is_told_where_and_at_whose_telephone() -> None:
    async with open_centre() as centre:
        await centre.log_on(ANNA, "6001")
        with pytest.raises(LogOnRefused) as here:
            await centre.log_on(ANNA, "6001")
        assert (here.value.reason, here.value.device) == ("logged_on_here", "6001")
        with pytest.raises(LogOnRefused) as elsewhere:
            await centre.log_on(ANNA, "6002")
        assert (elsewhere.value.reason, elsewhere.value.device) == ("logged_on_elsewhere", "6001")
        with pytest.raises(LogOnRefused) as taken:
            await centre.log_on(BERT, "6001")
        assert (taken.value.reason, taken.value.agent) == ("device_in_use", ANNA)
        assert await centre.story(BERT) == []


async def test_a_log_on_goes_into_the_log_and_makes_the_agent_ready() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on()
        assert await centre.story() == ["AgentLoggedOn", "AgentReady"]
        assert logged_on.number == 2
        (ready,) = centre.ready()
        assert (ready.agent, ready.device) == (ANNA, "6001")
        assert ready.skills == (SkillLevel("order"),)


async def test_a_call_is_in_the_log_with_what_it_makes_of_the_agent_and_is_written_up() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        await centre.answered_call()
        assert centre.state() == "busy"
        assert centre.ready() == []
        await centre.desk.clear("6001")
        log = await centre.log(after=2)
        names = [type(each.event).__name__ for each in log]
        assert [each.number for each in log] == list(range(3, 3 + len(log)))
        assert names.index("Delivered") < names.index("Established") < names.index("CallCleared")
        assert names.index("ConnectionCleared") < names.index("AgentWorkingAfterCall")
        busy = names.index("AgentBusy")
        assert busy < names.index("Established")
        working = log[names.index("AgentWorkingAfterCall")].event
        assert isinstance(working, AgentWorkingAfterCall)
        assert working.ends_in_s == pytest.approx(10)
        await asyncio.sleep(11)
        assert centre.state() == "ready"
        assert (await centre.story())[-1] == "AgentReady"


async def test_nothing_is_to_be_written_up_of_a_call_that_nobody_answered() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        outside, _ = await centre.desk.coming_in()
        await asyncio.sleep(0.01)
        assert centre.state() == "busy"
        outside.hang_up()
        await asyncio.sleep(0.01)
        assert centre.state() == "ready"


async def test_after_calls_that_no_queue_gave_there_is_no_wrap_up_unless_it_is_so_set() -> None:
    async with open_centre(settings=RosterSettings()) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.desk.clear("6001")
        await asyncio.sleep(0.01)
        assert centre.state() == "ready"
        _, station = await centre.desk.coming_in()
        centre.roster.note_offer(DeviceId("6001"), centre.desk.call.id)
        station.answer()
        await asyncio.sleep(0.01)
        await centre.desk.clear("6001")
        await asyncio.sleep(0.01)
        assert centre.state() == "workingAfterCall"
        await centre.do(FinishWrapUp())
        assert centre.state() == "ready"


async def test_an_agent_that_dials_has_the_whole_call_in_its_log_and_others_have_none() -> None:
    async with open_centre() as centre:
        await centre.log_on(ANNA, "6001")
        await centre.log_on(BERT, "6002")
        _, far = await centre.desk.talking("6001", "10086")
        far.hang_up()
        names = await centre.story(ANNA, after=2)
        assert names.count("ConnectionCleared") == 2, "its own, and that of whom it called"
        assert names[-1] in ("CallCleared", "AgentWorkingAfterCall")
        assert "CallCleared" in names
        assert await centre.story(BERT, after=2) == []


async def test_who_has_transferred_a_call_hears_no_more_of_it() -> None:
    async with open_centre() as centre:
        await centre.log_on(ANNA, "6001")
        _, _ = await centre.desk.talking("6001", "10086")
        await centre.desk.transfer("6001", "6002")
        other = await centre.desk.exchange.placed("6002")
        other.ring()
        other.answer()
        await asyncio.sleep(0.01)
        seen = await centre.log(ANNA)
        assert centre.state() == "workingAfterCall"
        other.hang_up()
        await asyncio.sleep(0.01)
        later = await centre.log(ANNA, after=seen[-1].number)
        assert later == []


async def test_nor_reads_in_its_log_what_has_become_of_it() -> None:
    async with open_centre() as centre:
        view = AgentView(centre.roster, (await views_of(centre.desk)).native)
        await centre.log_on()
        await centre.answered_call()
        in_call = [view.frame(ANNA, each) for each in await centre.log()]
        assert in_call[-1] is not None
        assert in_call[-1].call is not None
        await centre.desk.transfer("6001", "6002")
        (await centre.desk.exchange.placed("6002")).answer()
        await asyncio.sleep(1)
        assert centre.desk.state("6002") == "connected"
        for entry in await centre.log():
            frame = view.frame(ANNA, entry)
            assert frame is not None
            assert frame.call is None
        await centre.desk.clear("6002")


async def test_a_consultation_is_one_time_of_being_busy() -> None:
    async with open_centre() as centre:
        await centre.log_on(ANNA, "6001")
        await centre.answered_call()
        await centre.desk.consult("6001", "6002")
        other = await centre.desk.exchange.placed("6002")
        other.ring()
        other.answer()
        await asyncio.sleep(0.01)
        await centre.desk.conference("6001")
        await asyncio.sleep(0.01)
        assert centre.state() == "busy"
        await centre.desk.clear("6001")
        names = await centre.story()
        assert names.count("AgentBusy") == 1
        assert names.count("AgentWorkingAfterCall") == 1


@pytest.mark.parametrize("answers", [True, False], ids=["answered", "ringing"])
async def test_who_transfers_a_consulted_call_is_busy_once_and_ends_it_once(answers: bool) -> None:
    async with open_centre() as centre:
        await centre.log_on(ANNA, "6001")
        await centre.log_on(BERT, "6002")
        await centre.answered_call()
        first = centre.desk.call.id
        second = await centre.desk.consult("6001", "6002")
        other = await centre.desk.exchange.placed("6002")
        other.ring()
        if answers:
            other.answer()
        await asyncio.sleep(0.01)
        await centre.desk.bring_together("6001", second, first)
        await asyncio.sleep(0.01)
        if not answers:
            other.answer()
            await asyncio.sleep(0.01)
        for agent in (ANNA, BERT):
            names = await centre.story(agent)
            assert (agent, names.count("AgentBusy")) == (agent, 1)
        names = await centre.story()
        assert names.count("AgentWorkingAfterCall") == 1


async def test_a_wish_of_a_call_waits_for_its_end_and_a_supervisors_is_told_as_his() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(SetNotReady("meal"), by="9001")
        pending = (await centre.log())[-1].event
        assert type(pending).__name__ == "AgentPendingState"
        assert pending.by == "9001"  # type: ignore[union-attr]  # just looked at
        await centre.desk.clear("6001")
        await asyncio.sleep(11)
        assert (centre.state(), centre.session().rest.reason) == ("notReady", "meal")


async def test_reasons_and_modes_that_the_centre_does_not_have_are_refused() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        number = len(await centre.log())
        with pytest.raises(CommandRejected, match="expected meal, meeting, other, rest") as reason:
            await centre.do(SetNotReady("golf"))
        assert reason.value.reason == "unknown_reason"
        with pytest.raises(CommandRejected, match="expected 0, 3, 6") as mode:
            centre.roster.work_mode(99)
        assert mode.value.reason == "unknown_mode"
        await centre.do(SetWorkMode(centre.roster.work_mode(3)))
        assert await centre.story(after=number) == ["WorkModeChanged", "AgentNotReady"]


async def test_a_log_off_in_a_call_waits_for_its_end_and_its_number_is_the_last() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(LogOff())
        assert centre.state() == "busy"
        await centre.desk.clear("6001")
        log = await centre.log()
        gone = [each.event for each in log if isinstance(each.event, AgentLoggedOff)]
        assert [each.cause for each in gone] == [LogOffCause.ASKED]
        assert centre.state() == "null"
        await centre.log_on()
        assert [each.number for each in await centre.log()] == list(range(1, len(log) + 3))


async def test_a_telephone_that_goes_takes_the_readiness_and_gives_it_back() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        await centre.telephone_goes()
        assert centre.state() == "notReady"
        with pytest.raises(CommandRejected, match="not registered"):
            await centre.do(SetReady())
        centre.desk.exchange.registered("6001")
        assert await centre.story(after=2) == [
            "StationLost",
            "AgentNotReady",
            "StationReturned",
            "AgentReady",
        ]


async def test_what_the_directory_changes_counts_at_once() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        anna = centre.directory.agent(ANNA)
        assert anna is not None
        changed = replace(anna, skills=(SkillLevel("english", 9),), wrap_up_s=3)
        centre.directory.replace(with_agent(centre.directory.contents, changed))
        assert centre.ready()[0].skills == (SkillLevel("english", 9),)
        assert centre.session().wrap_up_s == 3
        dismissed = replace(changed, enabled=False)
        centre.directory.replace(with_agent(centre.directory.contents, dismissed))
        gone = (await centre.log())[-1].event
        assert isinstance(gone, AgentLoggedOff)
        assert gone.cause is LogOffCause.CREDENTIALS


async def test_nothing_is_told_or_answered_before_it_is_kept() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        keeping.is_slow = True
        asked = asyncio.ensure_future(centre.do(SetNotReady("meal")))  # noqa: TID251  # it must wait
        entries = centre.roster.follow(ANNA, 2)
        told = asyncio.ensure_future(anext(entries))  # noqa: TID251  # as this
        await asyncio.sleep(1)
        assert not asked.done()
        assert not told.done()
        keeping.is_slow = False
        keeping.let_go()
        assert await asked == 3
        assert (await told).number == 3
        await entries.aclose()  # type: ignore[attr-defined]  # a generator


async def test_where_no_disk_takes_anything_agents_see_their_calls_all_the_same() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        keeping.disk_is_full = True
        await centre.answered_call()
        names = await centre.story(after=2)
        assert "Established" in names
        assert "AgentBusy" in names


async def test_old_lines_are_read_where_they_are_kept_and_missed_where_they_are_not() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        for _ in range(60):
            await centre.do(SetNotReady("meal"))
            await centre.do(SetReady())
        numbers = [each.number for each in await centre.log()]
        assert numbers == list(range(1, 123))
        keeping.forgotten = 10
        with pytest.raises(EventsMissed) as missed:
            await centre.log(after=5)
        assert (missed.value.wanted, missed.value.oldest) == (6, 11)
        assert [each.number for each in await centre.log(after=10)] == list(range(11, 123))
        with pytest.raises(EventsMissed):
            async for _ in centre.roster.follow(ANNA, 4711):
                pass


async def test_what_the_directory_changed_while_we_were_away_counts_from_the_start() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        await centre.log_on(BERT, "6002")
    anna, bert = AGENTS[0], AGENTS[1]
    changed = (
        replace(anna, skills=(SkillLevel("english", 9),), wrap_up_s=3),
        replace(bert, enabled=False),
    )
    async with open_centre(keeping=keeping, left=keeping.left(), agents=changed) as centre:
        assert centre.session().skills == (SkillLevel("english", 9),)
        assert centre.session().wrap_up_s == 3
        gone = (await centre.log(BERT))[-1].event
        assert isinstance(gone, AgentLoggedOff)
        assert gone.cause is LogOffCause.CREDENTIALS


async def test_for_whom_she_dials_is_known_after_a_kill_and_her_clients_word_counts() -> None:
    keeping = MemoryKeeping()
    anna, bert = AGENTS[0], replace(AGENTS[1], skills=(SkillLevel("bills"),))
    async with open_centre(keeping=keeping, agents=(anna, bert)) as centre:
        await centre.log_on(dials_for_skill=True)
        await centre.log_on(BERT, "6002")
        assert [centre.roster.dials_for(DeviceId(each)) for each in ("6001", "6002", "6003")] == [
            "order",
            "",
            "",
        ]
        dials = replace(bert, dials_for_skill=True)
        centre.directory.replace(with_agent(centre.directory.contents, dials))
        assert centre.roster.dials_for(DeviceId("6002")) == "bills"
    async with open_centre(keeping=keeping, left=keeping.left(), agents=(anna, dials)) as centre:
        assert centre.roster.dials_for(DeviceId("6001")) == "order"
        assert centre.roster.dials_for(DeviceId("6002")) == "bills"
        centre.directory.replace(with_agent(centre.directory.contents, bert))
        centre.directory.replace(with_agent(centre.directory.contents, replace(anna, name="A")))
        assert centre.roster.dials_for(DeviceId("6001")) == "order"
        assert centre.roster.dials_for(DeviceId("6002")) == ""


async def test_a_work_mode_that_is_another_counts_for_those_who_work_in_it() -> None:
    async with open_centre() as centre:
        await centre.log_on(mode=0)
        assert len(centre.ready()) == 1
        away = WorkMode(0, "training", BasicMode.SUPERVISOR)
        centre.directory.replace(replace(centre.directory.contents, modes=(away,)))
        assert centre.ready() == []
        assert (await centre.story(after=2)) == ["WorkModeChanged", "AgentNotReady"]


async def test_a_reason_that_is_not_for_agents_to_choose_is_for_their_supervisors() -> None:
    async with open_centre() as centre:
        reasons = (LeaveReason("meal", "Meal"), LeaveReason("asleep", "Asleep", visible=False))
        centre.directory.replace(replace(centre.directory.contents, reasons=reasons))
        await centre.log_on()
        with pytest.raises(CommandRejected) as refused:
            await centre.do(SetNotReady("asleep"))
        assert refused.value.reason == "unknown_reason"
        await centre.do(SetNotReady("asleep"), by="1900")
        assert centre.session().rest.reason == "asleep"


async def test_what_is_shown_of_an_agent_is_what_is_kept() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        keeping.is_slow = True
        asked = asyncio.ensure_future(centre.do(SetNotReady("meal")))  # noqa: TID251  # it must wait
        await asyncio.sleep(1)
        shown = centre.roster.standing(ANNA)
        assert shown is not None
        assert (shown.state, shown.number) == ("ready", 2)
        assert centre.ready() == []
        keeping.is_slow = False
        keeping.let_go()
        await asked
        shown = centre.roster.standing(ANNA)
        assert shown is not None
        assert (shown.state, shown.number) == ("notReady", 3)


async def test_a_log_off_that_was_forced_is_not_for_the_agent_to_undo() -> None:
    async with open_centre(settings=RosterSettings()) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(LogOff(LogOffCause.FORCED), by="1900")
        await centre.do(SetReady())
        await centre.do(LogOff())
        await centre.do(SetReady())
        await centre.desk.clear("6001")
        gone = (await centre.log())[-1].event
        assert isinstance(gone, AgentLoggedOff)
        assert (gone.cause, gone.by) == (LogOffCause.FORCED, "1900")


async def test_who_has_forced_a_log_off_may_think_again() -> None:
    async with open_centre(settings=RosterSettings()) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(LogOff(LogOffCause.FORCED), by="1900")
        await centre.do(SetReady(), by="1900")
        await centre.desk.clear("6001")
        await asyncio.sleep(1)
        assert centre.state() == "ready"
