"""What becomes of an agent that is logged on: by its wishes, its calls, its telephone, by time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.agents.events import (
    AgentBusy,
    AgentEvents,
    AgentLoggedOff,
    AgentLoggedOn,
    AgentNotReady,
    AgentPendingState,
    AgentReady,
    AgentStateEvent,
    AgentWorkingAfterCall,
    LogOffCause,
    StationLost,
    StationReturned,
    WorkModeChanged,
)
from endpoint.agents.model import (
    STANDARD_MODES,
    AgentId,
    AgentState,
    BasicMode,
    SkillLevel,
    WorkMode,
)
from endpoint.agents.session import (
    BY_QUEUES,
    CallBegan,
    CallEnded,
    FinishWrapUp,
    Input,
    LogOff,
    Rest,
    Session,
    SetNotReady,
    SetReady,
    SetWorkMode,
    StationSeen,
    TimePassed,
    apply,
    deadline,
    log_on,
)
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

NORMAL, OUTBOUND, AWAY = STANDARD_MODES
AT = Session(AgentId("1001"), DeviceId("6001"), NORMAL, wrap_up_s=10)
READY = replace(AT, rest=Rest(ready=True))


def after(session: Session, *inputs: Input, now: float = 5.0) -> tuple[Session, list[AgentEvents]]:
    """All of them at once; the agent stays logged on."""
    told: list[AgentEvents] = []
    for what in inputs:
        changed, events = apply(session, what, now)
        assert changed is not None
        session = changed
        told.extend(events)
    return session, told


def test_who_logs_on_is_told_so_and_in_what_state() -> None:
    first, second = log_on(AT)
    assert isinstance(first, AgentLoggedOn)
    assert isinstance(second, AgentNotReady)
    assert (second.was, second.device) == (AgentState.NULL, "6001")


def test_ready_and_not_with_how_long_the_state_before_has_lasted() -> None:
    ready, told = after(AT, SetReady())
    (event,) = told
    assert isinstance(event, AgentReady)
    assert (event.was, event.lasted_s) == (AgentState.NOT_READY, 5)
    away, told = after(ready, SetNotReady("meal"), now=8.0)
    (event,) = told
    assert isinstance(event, AgentNotReady)
    assert (event.reason, event.lasted_s) == ("meal", 3)
    _, told = after(away, SetNotReady("training"), now=9.0)
    assert isinstance(told[0], AgentNotReady), "another reason is told"
    assert after(away, SetNotReady("meal"))[1] == []


@pytest.mark.parametrize(
    ("skills", "mode", "skill"),
    [
        ((), NORMAL, ""),
        ((SkillLevel("a", 3), SkillLevel("b", 9), SkillLevel("c", 9)), NORMAL, "b"),
        ((SkillLevel("a", 3), SkillLevel("b", 9)), replace(NORMAL, skill="a"), "a"),
        ((SkillLevel("a", 3),), replace(NORMAL, skill="c"), "c"),
        ((), replace(OUTBOUND, skill="c"), "c"),
    ],
)
def test_who_dials_for_a_skill_does_for_that_of_the_mode_else_for_the_best(
    skills: tuple[SkillLevel, ...], mode: WorkMode, skill: str
) -> None:
    dials = replace(AT, skills=skills, mode=mode, dials_for_skill=True)
    assert dials.dials_for == skill
    assert replace(dials, dials_for_skill=False).dials_for == ""


def test_a_wish_in_a_call_waits_for_its_end() -> None:
    busy, told = after(READY, CallBegan())
    assert isinstance(told[0], AgentBusy)
    pending, told = after(busy, SetNotReady("meal"))
    (event,) = told
    assert isinstance(event, AgentPendingState)
    assert (event.ready, event.reason) == (False, "meal")
    over, told = after(pending, CallEnded())
    assert isinstance(told[0], AgentNotReady)
    assert over.state is AgentState.NOT_READY


def test_a_call_that_is_to_be_worked_on_is_followed_by_that_for_a_while() -> None:
    working, told = after(READY, CallBegan(), CallEnded(wraps_up=True))
    assert isinstance(told[-1], AgentWorkingAfterCall)
    assert (told[-1].ends_in_s, deadline(working)) == (10, 15)
    assert after(working, TimePassed(), now=14.9)[1] == []
    _, told = after(working, TimePassed(), now=15.0)
    assert isinstance(told[0], AgentReady)
    for what in (FinishWrapUp(), SetReady()):
        assert isinstance(after(working, what)[1][0], AgentReady)
    assert isinstance(after(working, SetNotReady())[1][0], AgentNotReady)


def test_nothing_to_work_on_can_not_be_finished() -> None:
    with pytest.raises(CommandRejected) as refused:
        apply(READY, FinishWrapUp(), 5)
    assert refused.value.reason == "no_wrap_up"


def test_a_call_made_while_working_on_the_last_one_does_not_end_that_work() -> None:
    working, _ = after(READY, CallBegan(), CallEnded(wraps_up=True))
    dialled, _ = after(working, CallBegan(), now=7.0)
    assert deadline(dialled) is None
    back, told = after(dialled, CallEnded(), now=9.0)
    assert isinstance(told[0], AgentWorkingAfterCall)
    assert (told[0].ends_in_s, deadline(back)) == (6, 15)


def test_no_call_is_cut_by_a_log_off() -> None:
    busy, _ = after(READY, CallBegan())
    pending, told = after(busy, LogOff(LogOffCause.SILENCE))
    assert isinstance(told[0], AgentPendingState)
    assert told[0].logs_off
    gone, events = apply(pending, CallEnded(wraps_up=True), 9)
    (event,) = events
    assert gone is None
    assert isinstance(event, AgentLoggedOff)
    assert (event.cause, event.was) == (LogOffCause.SILENCE, AgentState.BUSY)


def test_a_wish_after_that_keeps_the_agent_logged_on() -> None:
    busy, _ = after(READY, CallBegan(), LogOff(), SetReady())
    assert after(busy, CallEnded())[0].state is AgentState.READY


def test_a_queue_that_sets_an_agent_aside_does_not_keep_it_from_going() -> None:
    ringing, _ = after(READY, CallBegan(), LogOff())
    aside, _ = apply(ringing, SetNotReady("asleep"), 6, by=BY_QUEUES)
    assert aside is not None
    gone, (event,) = apply(aside, CallEnded(), 7)
    assert gone is None
    assert isinstance(event, AgentLoggedOff)
    assert event.cause is LogOffCause.ASKED


def test_a_telephone_that_is_lost_takes_readiness_along_and_brings_it_back() -> None:
    lost, told = after(READY, StationSeen(reachable=False))
    assert [type(each) for each in told] == [StationLost, AgentNotReady]
    with pytest.raises(CommandRejected) as refused:
        apply(lost, SetReady(), 6)
    assert refused.value.reason == "not_registered"
    _, told = after(lost, StationSeen(reachable=True))
    assert [type(each) for each in told] == [StationReturned, AgentReady]


def test_in_a_mode_that_takes_no_calls_nobody_is_ready() -> None:
    outbound, told = after(READY, SetWorkMode(OUTBOUND))
    assert [type(each) for each in told] == [WorkModeChanged, AgentNotReady]
    with pytest.raises(CommandRejected) as refused:
        apply(outbound, SetReady(), 6)
    assert refused.value.reason == "mode_takes_no_calls"
    _, told = after(outbound, SetWorkMode(NORMAL))
    assert [type(each) for each in told] == [WorkModeChanged, AgentReady]


def test_a_mode_may_bind_to_one_skill() -> None:
    both = replace(READY, skills=(SkillLevel("1001", 7), SkillLevel("1002")))
    bound = replace(both, mode=WorkMode(8, "hot line", BasicMode.NORMAL, skill="1001"))
    assert both.serves == both.skills
    assert bound.serves == (SkillLevel("1001", 7),)
    assert replace(bound, skills=()).serves == (SkillLevel("1001"),)


def test_whose_wish_it_was_in_a_call_is_told_when_it_comes_true_and_once() -> None:
    busy, _ = after(READY, CallBegan())
    forced, told = apply(busy, SetNotReady("training"), 5, by=AgentId("900"))
    assert forced is not None
    assert [each.by for each in told] == ["900"]
    working, told = after(forced, CallEnded(wraps_up=True), now=6.0)
    assert [each.by for each in told] == [None], "that the call is over is nobody's wish"
    away, told = after(working, TimePassed(), now=20.0)
    assert [(type(each), each.by) for each in told] == [(AgentNotReady, "900")]
    _, told = after(away, SetReady(), CallBegan(), CallEnded(), now=30.0)
    assert {each.by for each in told} == {None}


def test_whose_doing_it_was_is_told() -> None:
    _, events = apply(READY, SetNotReady("training"), 5, by=AgentId("900"))
    assert [each.by for each in events] == ["900"]


INPUTS = st.sampled_from(
    [
        SetReady(),
        SetNotReady(),
        SetNotReady("meal"),
        SetWorkMode(NORMAL),
        SetWorkMode(AWAY),
        FinishWrapUp(),
        LogOff(),
        CallBegan(),
        CallEnded(),
        CallEnded(wraps_up=True),
        StationSeen(reachable=True),
        StationSeen(reachable=False),
        TimePassed(),
    ]
)
STATE_OF = {
    AgentReady: AgentState.READY,
    AgentNotReady: AgentState.NOT_READY,
    AgentBusy: AgentState.BUSY,
    AgentWorkingAfterCall: AgentState.WORKING_AFTER_CALL,
    AgentLoggedOff: AgentState.NULL,
}


@given(st.lists(INPUTS, max_size=40))
def test_who_reads_the_events_alone_knows_all(inputs: list[Input]) -> None:
    session, told_state, told_mode, was_busy = AT, AgentState.NOT_READY, NORMAL.code, False
    for now, what in enumerate(inputs, 1):
        try:
            changed, events = apply(session, what, float(now))
        except CommandRejected:
            continue
        for event in events:
            told_mode = event.mode
            if isinstance(event, AgentStateEvent):
                assert event.was is told_state
                told_state = STATE_OF[type(event)]
        if changed is None:
            assert told_state is AgentState.NULL
            assert not was_busy or isinstance(what, CallEnded), "no call is cut"
            return
        assert (changed.state, changed.mode.code) == (told_state, told_mode)
        session, was_busy = changed, changed.busy


def test_who_would_take_calls_and_can_not_is_told_apart_from_who_does_not_want_any() -> None:
    _, told = after(READY, SetWorkMode(OUTBOUND))
    _, left = after(READY, SetNotReady("meal"))
    found = [each for each in (*told, *left) if isinstance(each, AgentNotReady)]
    assert [(each.reason, each.wants_calls) for each in found] == [("", True), ("meal", False)]


def test_a_wish_for_calls_may_wait_for_its_work_mode_and_its_telephone() -> None:
    there, (told,) = after(replace(AT, mode=AWAY, reachable=False), SetReady(anyway=True))
    assert isinstance(told, AgentPendingState)
    back, _ = after(there, SetWorkMode(NORMAL), StationSeen(reachable=True))
    assert back.state is AgentState.READY
    with pytest.raises(CommandRejected):
        after(replace(AT, mode=AWAY), SetReady())
