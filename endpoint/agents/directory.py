"""Who there is and how the centre works: agents, skills, queues, work modes, leave reasons.

A centre has hundreds of agents, not millions: all of it is held in memory, as one value that is
replaced when something changes. So it is asked without waiting, and whoever asks twice in one go
finds the same. Only a password has to be waited for, as it is meant to cost time.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from endpoint.agents.model import STANDARD_MODES, Agent, AgentId, LeaveReason, WorkMode

STANDARD_REASONS = (
    LeaveReason("rest", "Rest"),
    LeaveReason("meeting", "Meeting"),
    LeaveReason("meal", "Meal"),
    LeaveReason("other", "Other"),
)
"""Where a directory names none."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Something that agents can do, and calls need."""

    code: str
    name: str = ""


class NoAnswer(StrEnum):
    """What becomes of an agent who did not answer a call of a queue."""

    LEAVE = "leave"
    """It is not ready from then on, with a reason."""
    NEXT = "next"
    """It rests for a while; the next one is rung."""


@dataclass(frozen=True, slots=True)
class SkillWanted:
    """A skill that a queue's calls need."""

    skill: str
    level: int = 1
    """1 to 9: who is worse at it is not rung."""


@dataclass(frozen=True, slots=True)
class Overflow:
    """When a call waits in a queue no longer, and where it goes. Whichever comes first counts."""

    after_s: float | None = None
    """When it has waited for so long; None: however long."""
    waiting: int | None = None
    """At once where so many wait before it; None: however many."""
    queue: str = ""
    """Into this queue, by its code,"""
    device: str = ""
    """or to this device: an agent's, an IVR, a number that is dialled; else as its flow says."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A place where calls wait for agents, and how they do."""

    code: str
    name: str = ""
    skills: tuple[SkillWanted, ...] = ()
    """An agent serves it who has one of these."""
    priority: int = 0
    """0 to 9, of its calls, unless they have one of their own: who has a higher one goes first."""
    ring_s: float = 20.0
    """So long it rings at one agent."""
    rest_s: float = 10.0
    """Who did not answer is left alone for so long."""
    no_answer: NoAnswer = NoAnswer.NEXT
    """What else becomes of who did not answer."""
    no_answer_reason: str = ""
    """With `leave`: the code of the leave reason."""
    overflow: Overflow | None = None
    """None: calls wait on."""
    announce_every_s: float = 0.0
    """So often a caller is told how many are before him; 0: never."""
    announce_wait: bool = False
    """He is told how long it may take, too."""
    music: str = ""
    """What he hears meanwhile: a file of sounds, as in flows of the IVR; empty: the usual one."""
    call_back: bool = False
    """He may ask to be called back instead."""
    most_waiting: int | None = None
    """Who comes when so many wait is turned away; None: nobody is."""
    enabled: bool = True
    """Else it takes no calls; those that wait go on."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a directory holds at one moment, but for passwords."""

    agents: tuple[Agent, ...] = ()
    skills: tuple[Skill, ...] = ()
    queues: tuple[QueueSettings, ...] = ()
    modes: tuple[WorkMode, ...] = ()
    """Empty: `STANDARD_MODES`."""
    reasons: tuple[LeaveReason, ...] = ()
    """Empty: `STANDARD_REASONS`."""


class Directory(Protocol):
    """What is asked about a tenant's agents. All but the password is answered from memory."""

    @property
    def version(self) -> int:
        """Another number whenever something has changed."""

    def agent(self, agent: AgentId) -> Agent | None:
        """None where there is none. One that is not enabled is there, and may not log on."""

    def agents(self) -> Sequence[Agent]:
        """All, by number."""

    async def is_password(self, agent: AgentId, password: str) -> bool:
        """Whether it is the agent's. False for an unknown one, after the same time as for one."""

    def skills(self) -> Sequence[Skill]:
        """All, by code."""

    def queue(self, code: str) -> QueueSettings | None:
        """None where there is none."""

    def queues(self) -> Sequence[QueueSettings]:
        """All, by code."""

    def mode(self, code: int) -> WorkMode | None:
        """None where there is none."""

    def modes(self) -> Sequence[WorkMode]:
        """All, as they are listed."""

    def reason(self, code: str) -> LeaveReason | None:
        """None where there is none."""

    def reasons(self) -> Sequence[LeaveReason]:
        """All, by code."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Be told when something has changed, until what is returned is called.

        What is told is done at once, and must be short.
        """


class Passwords(Protocol):
    """Where passwords are checked."""

    async def is_right(self, agent: AgentId, password: str) -> bool:
        """See `Directory.is_password`."""


class DirectoryInUse:
    """A `Directory` over what it was given last."""

    def __init__(self, passwords: Passwords, contents: Contents | None = None) -> None:
        self._passwords = passwords
        self._watchers: list[Callable[[], None]] = []
        self._version = 0
        self._take(contents or Contents())

    def __repr__(self) -> str:
        return f"<DirectoryInUse {self._version}: {len(self._agents)} agents>"

    @property
    def contents(self) -> Contents:
        """What counts now."""
        return self._contents

    def replace(self, contents: Contents) -> None:
        """Let this count from now on, and tell whoever watches; nobody where all is as it was."""
        if contents == self._contents:
            return
        self._take(contents)
        for changed in tuple(self._watchers):
            changed()

    def _take(self, contents: Contents) -> None:
        self._contents = contents
        self._version += 1
        self._agents = {each.id: each for each in sorted(contents.agents, key=lambda a: a.id)}
        self._skills = tuple(sorted(contents.skills, key=lambda skill: skill.code))
        self._queues = {each.code: each for each in sorted(contents.queues, key=lambda q: q.code)}
        modes = sorted(
            contents.modes or STANDARD_MODES, key=lambda mode: (mode.position, mode.code)
        )
        self._modes = {each.code: each for each in modes}
        reasons = contents.reasons or STANDARD_REASONS
        self._reasons = {
            each.code: each for each in sorted(reasons, key=lambda reason: reason.code)
        }

    # -- a Directory ------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """See `Directory`."""
        return self._version

    def agent(self, agent: AgentId) -> Agent | None:
        """See `Directory`."""
        return self._agents.get(agent)

    def agents(self) -> Sequence[Agent]:
        """See `Directory`."""
        return tuple(self._agents.values())

    async def is_password(self, agent: AgentId, password: str) -> bool:
        """See `Directory`."""
        return await self._passwords.is_right(agent, password)

    def skills(self) -> Sequence[Skill]:
        """See `Directory`."""
        return self._skills

    def queue(self, code: str) -> QueueSettings | None:
        """See `Directory`."""
        return self._queues.get(code)

    def queues(self) -> Sequence[QueueSettings]:
        """See `Directory`."""
        return tuple(self._queues.values())

    def mode(self, code: int) -> WorkMode | None:
        """See `Directory`."""
        return self._modes.get(code)

    def modes(self) -> Sequence[WorkMode]:
        """See `Directory`."""
        return tuple(self._modes.values())

    def reason(self, code: str) -> LeaveReason | None:
        """See `Directory`."""
        return self._reasons.get(code)

    def reasons(self) -> Sequence[LeaveReason]:
        """See `Directory`."""
        return tuple(self._reasons.values())

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `Directory`."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed) if changed in self._watchers else None


class KnownPasswords:
    """`Passwords` as they are, in memory: for tests, where hashing would be most of their time."""

    def __init__(self, passwords: Mapping[AgentId, str]) -> None:
        self._passwords = passwords

    async def is_right(self, agent: AgentId, password: str) -> bool:
        """See `Passwords`."""
        known = self._passwords.get(agent)
        same = hmac.compare_digest((known or "").encode(), password.encode())
        return same and known is not None
