"""Who the agents are and how they work: what a directory keeps, and what call control is not told.

A person is an agent; a telephone is a device. An agent logs on at a device, and is bound to it
until the log-off. Names are those of CSTA (ECMA-269 §6.1.3) where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

AgentId = NewType("AgentId", str)
"""The number by which an agent logs on, as `1001`."""


class AgentState(StrEnum):
    """What an agent is now (CSTA agent state)."""

    NULL = "null"
    """Not logged on."""
    NOT_READY = "notReady"
    """Logged on; no queue offers a call."""
    READY = "ready"
    """Calls of queues may be offered."""
    BUSY = "busy"
    """In a call, or one rings."""
    WORKING_AFTER_CALL = "workingAfterCall"
    """The call is over, what it has brought about is being written down."""


class BasicMode(IntEnum):
    """What a work mode means; numbered as the tables of work modes that centres have."""

    NONE = -1
    NORMAL = 0
    """Calls of queues are taken."""
    OFF_DUTY = 1
    NON_REAL_TIME = 2
    OUTBOUND = 3
    """Dials, and is left alone by queues."""
    SUPERVISOR = 4
    PREVIEW = 5
    LEAVE = 6
    """Away."""
    BLOCKED = 7


@dataclass(frozen=True, slots=True)
class WorkMode:
    """One way in which agents work, as the centre has named it."""

    code: int
    """By which clients ask for it."""
    name: str
    basic: BasicMode
    """What it means."""
    skill: str = ""
    """Calls of this skill alone are taken in it; empty: of all that the agent has."""
    visible: bool = True
    """Agents may choose it; else supervisors alone."""
    position: int = 0
    """In lists, lowest first."""

    @property
    def takes_calls(self) -> bool:
        """Whether queues may offer calls in it."""
        return self.basic is BasicMode.NORMAL


STANDARD_MODES = (
    WorkMode(0, "ready", BasicMode.NORMAL, position=1),
    WorkMode(3, "outbound", BasicMode.OUTBOUND, position=3),
    WorkMode(6, "away", BasicMode.LEAVE, position=7),
)
"""Where a directory names none."""


@dataclass(frozen=True, slots=True)
class LeaveReason:
    """Why an agent is not ready, as the centre has named it."""

    code: str
    name: str
    visible: bool = True
    """Agents may choose it; else supervisors and queues alone."""


@dataclass(frozen=True, slots=True)
class SkillLevel:
    """How well an agent can do what."""

    skill: str
    """Its code, as `1001`."""
    level: int = 5
    """1 to 9; who has the highest is offered first."""


class Role(StrEnum):
    """What somebody may do beside his own calls."""

    AGENT = "agent"
    MONITOR = "monitor"
    """Also about the agents of the departments that it supervises."""
    ADMINISTRATOR = "administrator"
    """Everything within its tenant."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A person, as the directory knows it. Its password is known to the directory alone."""

    id: AgentId
    name: str = ""
    department: str = ""
    role: Role = Role.AGENT
    supervises: tuple[str, ...] = ()
    """Departments, of a monitor."""
    skills: tuple[SkillLevel, ...] = ()
    wrap_up_s: float = 0.0
    """So long it works after each call of a queue; 0: not at all."""
    devices: tuple[str, ...] = ()
    """Where it may log on: devices, or how they begin, as `60*`; empty: anywhere."""
    enabled: bool = True
    """Else it can't log on."""
    dials_for_skill: bool = False
    """A call that it makes to the outside is one of its skill: see `Session.dials_for`."""
