"""What the native interface and its clients say to each other about agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from endpoint.gateways.native.messages import Call, Device
from endpoint.gateways.native.messages import CredentialsExpiring as CredentialsExpiring

DELEGATOR_HEADER = "Delegator-Id"
"""Shows that a client has an agent's session; never part of an address."""
DELEGATOR_SUBPROTOCOL = "delegator."
"""The same for a browser's WebSocket, which can't set a header: `delegator.ID` is offered."""

Reason = Annotated[str, Meta(max_length=64)]


# -- requests ---------------------------------------------------------------------------------


class LogOnAgent(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /agents/{agent}/log-on`."""

    device: Device
    """Where the agent works, until it logs off."""
    password: Annotated[str, Meta(max_length=256)] | None = None
    """The agent's; not needed with the agent's own token, or with one of the installation."""
    mode: int | None = None
    """The work mode's code; by default the first in which calls are taken."""
    ready: bool = False
    """Queues may offer calls at once."""
    reason: Reason = ""
    """Why not: the code of a leave reason."""
    take_over: bool = False
    """Where the agent is logged on already, this client has its session from now on."""
    keep_logged_on: bool = False
    """Also without a client. Else one has to listen, and may be away for `agents.grace_s`."""
    dials_for_skill: bool | None = None
    """What it dials outside is a call of its skill; by default what the directory says."""


class NotReady(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /agents/{agent}/not-ready`."""

    reason: Reason = ""
    """The code of a leave reason."""


class ChooseWorkMode(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /agents/{agent}/work-mode`."""

    mode: int
    """Its code."""


# -- answers ----------------------------------------------------------------------------------


class PendingState(Struct, frozen=True):
    """What an agent will be after its call."""

    ready: bool
    reason: str
    logs_off: bool


class AgentNow(Struct, frozen=True, kw_only=True):
    """An agent, as it is now."""

    agent: str
    name: str
    department: str
    role: str
    state: str
    """`null notReady ready busy workingAfterCall`."""
    number: int
    """Of the last event of its log that this has in it."""
    commands: list[str]
    """What can be asked for it now: the buttons to show. The last words of their addresses."""
    device: str = ""
    """Where it is logged on; empty: it is not, nor is what follows said of it."""
    mode: int | None = None
    since: datetime | None = None
    """When it came into its state, or into the reason for it."""
    reason: str = ""
    """Why it is not ready: the code of a leave reason."""
    wrap_up_ends_at: datetime | None = None
    """When what is left to do of its last call ends by itself."""
    pending: PendingState | None = None
    """What it will be after its call."""
    reachable: bool = False
    """Its telephone can be called."""
    is_owned: bool = False
    """A client listens that has its session."""
    dials_for: str = ""
    """The skill whose call it is where it calls the outside; empty: none's."""


class Agents(Struct, frozen=True):
    """`GET /agents`."""

    agents: list[AgentNow]


class AgentLoggedOn(Struct, frozen=True):
    """200 of `POST /agents/{agent}/log-on`."""

    agent: AgentNow
    delegator_id: str
    """Shown by the client whose session it is; told this once, and another one at a take-over."""


class AgentSpent(Struct, frozen=True):
    """All the time in which an agent was the same."""

    state: str
    """`notReady ready busy workingAfterCall`."""
    reason: str
    """Why it was not ready: the code of a leave reason."""
    mode: int
    """The work mode in which it came into the state."""
    seconds: float
    times: int
    """How often it came into it, or was in it when the report begins."""


class AgentTimes(Struct, frozen=True):
    """`GET /agents/{agent}/times`."""

    agent: str
    since: datetime
    until: datetime
    """Not in the future."""
    spent: list[AgentSpent]
    """Longest first; the time in which it was not logged on is not in it."""


class AgentCommandDone(Struct, frozen=True):
    """200 of all others: it is done and kept."""

    number: int
    """The number of the log behind it: events up to this one tell of it."""


# -- the WebSocket of an agent's log ----------------------------------------------------------


class AgentSnapshot(Struct, frozen=True, tag="snapshot"):
    """The first frame, and again where events are too old to be read: what is true now."""

    number: int
    """Of the last event that is in it."""
    time: datetime
    """The server's clock, to show durations by."""
    missed: bool
    """Events that were asked for are no longer kept."""
    agent: AgentNow
    calls: list[Call]
    """Of its device."""


class AgentEventFrame(Struct, frozen=True, tag="event"):
    """One event of the agent's log, in its order."""

    number: int
    """Counts from 1 without gaps, over log-offs and restarts."""
    at: datetime
    event: str
    """`AgentReady`, `AgentBusy`…, and those of calls."""
    fields: dict[str, Any]
    """All that the event says."""
    agent: AgentNow
    """As it is now."""
    call: Call | None = None
    """The event's call as it is now; absent when it is over, or the agent has left it."""


AgentFrame = AgentSnapshot | AgentEventFrame | CredentialsExpiring
