"""How long an agent was what, for reports: from its log. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from endpoint.agents.eventlog import Entry
from endpoint.agents.events import (
    AgentBusy,
    AgentLoggedOff,
    AgentNotReady,
    AgentReady,
    AgentStateEvent,
    AgentWorkingAfterCall,
)
from endpoint.agents.model import AgentState

STATES: dict[type[AgentStateEvent], AgentState] = {
    AgentReady: AgentState.READY,
    AgentNotReady: AgentState.NOT_READY,
    AgentBusy: AgentState.BUSY,
    AgentWorkingAfterCall: AgentState.WORKING_AFTER_CALL,
    AgentLoggedOff: AgentState.NULL,
}
"""What each event that tells of a state tells."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an agent was."""

    state: AgentState
    reason: str
    """Why it was not ready: the code of a leave reason."""
    mode: int
    """The work mode in which it came into the state."""


@dataclass(frozen=True, slots=True)
class Spent:
    """All the time of one kind."""

    seconds: float
    times: int
    """How often it came into it, or was in it when the report begins."""


def spent(entries: Iterable[Entry], since: datetime, until: datetime) -> dict[Standing, Spent]:
    """How long it was what, from one moment to another. Not logged on is left out.

    Args:
        entries: of its log, in order: all that tell of a state in that time, and the last before.
        since: the report begins.
        until: it ends; not in the future.
    """
    found: dict[Standing, Spent] = {}
    standing: Standing | None = None
    began = since

    def end(at: datetime) -> None:
        if standing is not None and at > since and began < until:
            before = found.get(standing, Spent(0.0, 0))
            lasted = (min(at, until) - max(began, since)).total_seconds()
            found[standing] = Spent(before.seconds + max(0.0, lasted), before.times + 1)

    for entry in entries:
        event = entry.event
        if isinstance(event, AgentStateEvent):
            end(entry.at)
            state = STATES[type(event)]
            reason = event.reason if isinstance(event, AgentNotReady) else ""
            standing = None if state is AgentState.NULL else Standing(state, reason, event.mode)
            began = entry.at
    end(until)
    return found
