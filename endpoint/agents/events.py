"""What is told of agents (CSTA agent events): true when it is told, and in the order of the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from endpoint.agents.model import AgentId, AgentState
from endpoint.legs.base import DeviceId


class LogOffCause(StrEnum):
    """Why an agent is logged on no more."""

    ASKED = "asked"
    """By the agent."""
    FORCED = "forced"
    """By a supervisor, or whoever else may."""
    SILENCE = "silence"
    """Nothing was heard of its client for as long as that may be."""
    CREDENTIALS = "credentials"
    """What it had logged on with was withdrawn, or has expired."""
    ELSEWHERE = "elsewhere"
    """The agent logs on at another device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent:
    """What is the same in all."""

    agent: AgentId
    device: DeviceId
    """Where it is logged on."""
    mode: int
    """The work mode that it is in from now on."""
    by: AgentId | None = None
    """Whose doing it was, where not the agent's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoggedOn(AgentEvent):
    """Bound to the device from now on. Its state is told next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStateEvent(AgentEvent):
    """The agent is in another state than before."""

    was: AgentState
    """In which it was before,"""
    lasted_s: float
    """and for how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReady(AgentStateEvent):
    """Queues may offer calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentNotReady(AgentStateEvent):
    """No queue offers calls. Told again where the reason is another."""

    reason: str = ""
    """The code of the leave reason; empty where there is none."""
    wants_calls: bool = False
    """It would take some: its work mode, or its lost telephone, is in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBusy(AgentStateEvent):
    """In a call, or one rings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentWorkingAfterCall(AgentStateEvent):
    """Works on what the call has brought about."""

    ends_in_s: float | None
    """By itself then; None: when the agent says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoggedOff(AgentStateEvent):
    """Bound to no device any more: the last event of a session."""

    cause: LogOffCause
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPendingState(AgentEvent):
    """What the agent will be after its call is another now (CSTA pendingAgentState)."""

    ready: bool
    """Ready; else not."""
    reason: str = ""
    """The code of the leave reason, where not ready."""
    logs_off: bool = False
    """It will be logged off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkModeChanged(AgentEvent):
    """It works in `mode` from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationLost(AgentEvent):
    """The device can't be reached: queues offer no calls until it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationReturned(AgentEvent):
    """The device can be reached again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReplaced(AgentEvent):
    """Another client of the same agent has the session now; the one before has nothing to say."""


AgentEvents = (
    AgentLoggedOn
    | AgentReady
    | AgentNotReady
    | AgentBusy
    | AgentWorkingAfterCall
    | AgentLoggedOff
    | AgentPendingState
    | WorkModeChanged
    | StationLost
    | StationReturned
    | OwnerReplaced
)
"""Everything that is told of agents."""
