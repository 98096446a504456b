"""The directory of agents, as the native interface and its clients say it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=300)]
MOST = 5000


class SkillLevel(Struct, frozen=True, forbid_unknown_fields=True):
    """How well an agent can do what."""

    skill: Text
    """Its code."""
    level: int = 5
    """1 to 9; who has the highest is offered first."""


class Agent(Struct, frozen=True, forbid_unknown_fields=True):
    """A person who logs on."""

    id: Text
    """Its number, as `1001`, which it keeps."""
    name: Text = ""
    department: Text = ""
    role: Literal["agent", "monitor", "administrator"] = "agent"
    supervises: Annotated[list[Text], Meta(max_length=100)] = []
    """Departments, of a monitor."""
    skills: Annotated[list[SkillLevel], Meta(max_length=200)] = []
    wrap_up_s: float = 0.0
    """So long it works after each call of a queue; 0: not at all."""
    devices: Annotated[list[Text], Meta(max_length=100)] = []
    """Where it may log on: devices, or how they begin, as `60*`; none: anywhere."""
    enabled: bool = True
    """Else it can't log on."""
    dials_for_skill: bool = False
    """What it dials outside is a call of its skill: its work mode's, else its best."""
    has_password: bool = False
    """Told, and not listened to."""


class Skill(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that agents can do, and calls need."""

    code: Text
    name: Text = ""


class SkillWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """A skill that a queue's calls need."""

    skill: Text
    level: int = 1
    """Who is worse at it is not rung."""


class Overflow(Struct, frozen=True, forbid_unknown_fields=True):
    """When a call waits in a queue no longer, and where it goes. Whichever comes first counts."""

    after_s: float | None = None
    """When it has waited for so long."""
    waiting: int | None = None
    """At once where so many wait before it."""
    queue: Text = ""
    """Into this queue,"""
    device: Text = ""
    """or to this device or number; with neither, as its flow says at `overflow`."""


class QueueSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where calls wait for agents, and how they do."""

    code: Text
    name: Text = ""
    skills: Annotated[list[SkillWanted], Meta(max_length=200)] = []
    """An agent serves it who has one of these."""
    priority: int = 0
    """0 to 9, of its calls: who has a higher one goes first."""
    ring_s: float = 20.0
    """So long it rings at one agent."""
    rest_s: float = 10.0
    """Who did not answer is left alone for so long."""
    no_answer: Literal["leave", "next"] = "next"
    """Who did not answer is not ready from then on, with a reason; or rests, and that is all."""
    no_answer_reason: Text = ""
    """With `leave`: the code of the leave reason."""
    overflow: Overflow | None = None
    announce_every_s: float = 0.0
    """So often a caller is told how many are before him; 0: never."""
    announce_wait: bool = False
    """He is told how long it may take, too."""
    music: Text = ""
    """A file below the directory of sounds; empty: the usual one."""
    call_back: bool = False
    """He may ask to be called back instead."""
    most_waiting: int | None = None
    """Who comes when so many wait is turned away."""
    enabled: bool = True
    """Else it takes no calls; those that wait go on."""


class WorkMode(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which agents work."""

    code: int
    """By which clients ask for it."""
    name: Text = ""
    basic: Literal[
        "normal",
        "off_duty",
        "non_real_time",
        "outbound",
        "supervisor",
        "preview",
        "leave",
        "blocked",
    ] = "normal"
    """What it means: calls of queues are offered in `normal` alone."""
    skill: Text = ""
    """Calls of this skill alone are taken in it."""
    visible: bool = True
    """Agents may choose it; else supervisors alone."""
    position: int = 0
    """In lists, lowest first."""


class LeaveReason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why an agent is not ready."""

    code: Text
    name: Text = ""
    visible: bool = True
    """Agents may choose it."""


Entry = Agent | Skill | QueueSettings | WorkMode | LeaveReason
"""What the directory holds."""
ENTRIES: dict[str, type[Entry]] = {
    "agents": Agent,
    "skills": Skill,
    "queues": QueueSettings,
    "modes": WorkMode,
    "reasons": LeaveReason,
}
"""How each kind is said."""


class Directory(Struct, frozen=True):
    """`GET /directory`; of one kind, as `GET /directory/agents`, with the others empty."""

    agents: list[Agent] = []
    skills: list[Skill] = []
    queues: list[QueueSettings] = []
    modes: list[WorkMode] = []
    """Those that count where none were ever given, too."""
    reasons: list[LeaveReason] = []
    """Likewise."""


class DirectoryImport(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /directory/import`: all of it, or nothing. A kind that is not named stays as it is."""

    agents: Annotated[list[Agent], Meta(max_length=MOST)] | None = None
    skills: Annotated[list[Skill], Meta(max_length=MOST)] | None = None
    queues: Annotated[list[QueueSettings], Meta(max_length=MOST)] | None = None
    modes: Annotated[list[WorkMode], Meta(max_length=MOST)] | None = None
    reasons: Annotated[list[LeaveReason], Meta(max_length=MOST)] | None = None
    passwords: Annotated[dict[Text, Text], Meta(max_length=MOST)] = {}
    """Of agents, by number; who is not named keeps his."""
    only: bool = False
    """Of the kinds that are named these alone are kept; else those that are not named stay."""


class DirectoryImported(Struct, frozen=True):
    """What came of it."""

    added: int
    changed: int
    removed: int
    unchanged: int


class SetPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /directory/agents/{agent}/password`."""

    password: Text
