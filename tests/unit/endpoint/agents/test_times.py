"""How long an agent was what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.agents.eventlog import Entry
from endpoint.agents.events import (
    AgentBusy,
    AgentEvents,
    AgentLoggedOff,
    AgentLoggedOn,
    AgentNotReady,
    AgentReady,
    AgentWorkingAfterCall,
    LogOffCause,
)
from endpoint.agents.model import AgentId, AgentState
from endpoint.agents.times import Spent, Standing, spent
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

NINE = datetime(2026, 11, 27, 9, tzinfo=UTC)
READY, BUSY = Standing(AgentState.READY, "", 0), Standing(AgentState.BUSY, "", 0)
MEAL = Standing(AgentState.NOT_READY, "meal", 0)


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


def told(kind: type[AgentEvents], at: float, **more: object) -> Entry:
    """An event of an agent, so many minutes after nine."""
    about: dict[str, object] = {"agent": AgentId("1001"), "device": DeviceId("6001"), "mode": 0}
    if kind is not AgentLoggedOn:
        about |= {"was": AgentState.NULL, "lasted_s": 0.0}
    return Entry(1, minutes(at), kind(**about, **more))  # type: ignore[arg-type]


DAY = (
    told(AgentLoggedOn, 0),
    told(AgentReady, 0),
    told(AgentBusy, 10),
    told(AgentWorkingAfterCall, 13, ends_in_s=60.0),
    told(AgentReady, 14),
    told(AgentNotReady, 30, reason="meal"),
    told(AgentReady, 60),
    told(AgentBusy, 70),
    told(AgentLoggedOff, 75, cause=LogOffCause.ASKED),
    told(AgentLoggedOn, 100),
    told(AgentReady, 100),
)


def test_a_day_is_the_sum_of_what_the_agent_was() -> None:
    assert spent(DAY, minutes(0), minutes(110)) == {
        READY: Spent(46 * 60, 4),
        BUSY: Spent(8 * 60, 2),
        Standing(AgentState.WORKING_AFTER_CALL, "", 0): Spent(60, 1),
        MEAL: Spent(30 * 60, 1),
    }


def test_a_report_that_begins_and_ends_in_the_middle_has_its_share() -> None:
    assert spent(DAY, minutes(40), minutes(65)) == {
        MEAL: Spent(20 * 60, 1),
        READY: Spent(5 * 60, 1),
    }
    assert spent(DAY, minutes(80), minutes(90)) == {}


@given(st.floats(0, 110), st.floats(0, 110))
def test_two_parts_are_the_whole(one: float, other: float) -> None:
    first, last = minutes(min(one, other)), minutes(110)
    middle = minutes(max(one, other))
    whole = spent(DAY, first, last)
    parts = [spent(DAY, first, middle), spent(DAY, middle, last)]
    for standing, found in whole.items():
        seconds = sum(part.get(standing, Spent(0, 0)).seconds for part in parts)
        assert seconds == pytest.approx(found.seconds)
