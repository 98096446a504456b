"""What makes a directory whole: each thing by itself, and what things say of each other. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Protocol

from endpoint.agents.directory import (
    STANDARD_REASONS,
    Contents,
    NoAnswer,
    Overflow,
    QueueSettings,
    Skill,
    SkillWanted,
)
from endpoint.agents.model import (
    STANDARD_MODES,
    Agent,
    AgentId,
    BasicMode,
    LeaveReason,
    Role,
    SkillLevel,
    WorkMode,
)

Item = Agent | Skill | QueueSettings | WorkMode | LeaveReason


class Kind(StrEnum):
    """What a directory holds; named as the fields of `Contents`."""

    AGENTS = "agents"
    SKILLS = "skills"
    QUEUES = "queues"
    MODES = "modes"
    REASONS = "reasons"

    @property
    def one(self) -> str:
        """What one of it is called."""
        return _ONE[self]


_ONE = {
    Kind.AGENTS: "agent",
    Kind.SKILLS: "skill",
    Kind.QUEUES: "queue",
    Kind.MODES: "work mode",
    Kind.REASONS: "leave reason",
}

TYPES: dict[Kind, type[Item]] = {
    Kind.AGENTS: Agent,
    Kind.SKILLS: Skill,
    Kind.QUEUES: QueueSettings,
    Kind.MODES: WorkMode,
    Kind.REASONS: LeaveReason,
}
"""What each is."""

MOST = 5000
"""Of each kind."""
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,31}")
_CODE_SAID = "1 to 32 letters, digits or _ . @ -, beginning with a letter or digit"
_DEVICE = re.compile(r"[A-Za-z0-9_.+#-]{1,64}|[A-Za-z0-9_.+#-]{0,63}\*")
_DIALLED = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
_SOUND = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a directory."""

    kind: Kind
    key: str
    """Of which thing."""
    field: str
    """As `skills[0].level`."""
    found: str
    expected: str

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.field}: found {self.found}, expected {self.expected}"


class DirectoryStore(Protocol):
    """Where a directory is kept."""

    async def load(self) -> tuple[Contents, Mapping[AgentId, str]]:
        """All of it, and the hashes of passwords. Raises StorageError."""

    async def save(self, before: Contents, after: Contents, hashes: Mapping[AgentId, str]) -> None:
        """Keep what differs from before, with these hashes: all of it or nothing.

        Raises StorageError, also where before is not what is kept any more.
        """

    async def rehash(self, agent: AgentId, before: str, after: str) -> None:
        """Keep another hash of the same password, where the one before is still kept."""


def key_of(item: Item) -> str:
    """By which a thing is found among its kind."""
    return item.id if isinstance(item, Agent) else str(item.code)


def items_of(contents: Contents, kind: Kind) -> tuple[Item, ...]:
    """What there is of a kind."""
    match kind:
        case Kind.AGENTS:
            return contents.agents
        case Kind.SKILLS:
            return contents.skills
        case Kind.QUEUES:
            return contents.queues
        case Kind.MODES:
            return contents.modes
        case Kind.REASONS:
            return contents.reasons


def with_items(contents: Contents, kind: Kind, items: Sequence[Item]) -> Contents:
    """The same with these of a kind, and no others of it."""
    changed: dict[str, Any] = {kind.value: tuple(sorted(map(_in_order, items), key=key_of))}
    return replace(contents, **changed)


def with_standard(contents: Contents, kind: Kind) -> Contents:
    """The same; where it names no modes or reasons, with those that count then."""
    if kind is Kind.MODES and not contents.modes:
        return replace(contents, modes=STANDARD_MODES)
    if kind is Kind.REASONS and not contents.reasons:
        return replace(contents, reasons=STANDARD_REASONS)
    return contents


def mistakes_in(contents: Contents) -> list[Mistake]:
    """All that is wrong with it."""
    codes = {skill.code for skill in contents.skills}
    return [
        *_of_number(contents),
        *(each for agent in contents.agents for each in _of_agent(agent, codes)),
        *(each for skill in contents.skills for each in _of_skill(skill)),
        *(each for queue in contents.queues for each in _of_queue(queue, contents, codes)),
        *(each for mode in contents.modes for each in _of_mode(mode, codes)),
        *(each for reason in contents.reasons for each in _of_reason(reason)),
    ]


def _in_order(item: Item) -> Item:
    """Where the order of skills says nothing it is by code."""
    if isinstance(item, Agent):
        return replace(item, skills=tuple(sorted(item.skills, key=lambda each: each.skill)))
    if isinstance(item, QueueSettings):
        return replace(item, skills=tuple(sorted(item.skills, key=lambda each: each.skill)))
    return item


def _of_number(contents: Contents) -> Iterator[Mistake]:
    for kind in Kind:
        keys = sorted(key_of(item) for item in items_of(contents, kind))
        field = "id" if kind is Kind.AGENTS else "code"
        for before, after in pairwise(keys):
            if before == after:
                yield Mistake(kind, after, field, f"{after} twice", f"each {kind.one} once")
        if len(keys) > MOST:
            yield Mistake(kind, keys[-1], field, f"{len(keys)} of them", f"up to {MOST}")


def _of_agent(agent: Agent, codes: Collection[str]) -> Iterator[Mistake]:
    def wrong(field: str, found: object, expected: str) -> Mistake:
        return Mistake(Kind.AGENTS, agent.id, field, _said(found), expected)

    if not _CODE.fullmatch(agent.id):
        yield wrong("id", agent.id, _CODE_SAID)
    if not _is_line(agent.name, 128):
        yield wrong("name", agent.name, "one line of up to 128 characters")
    if not _is_department(agent.department) and agent.department:
        yield wrong("department", agent.department, _DEPARTMENT_SAID)
    for index, department in enumerate(agent.supervises):
        if not _is_department(department):
            yield wrong(f"supervises[{index}]", department, _DEPARTMENT_SAID)
    if agent.supervises and agent.role is not Role.MONITOR:
        said = f"nothing: it is of no use to the role {agent.role.value}"
        yield wrong("supervises", ", ".join(agent.supervises), said)
    if not 0 <= agent.wrap_up_s <= _DAY_S:
        yield wrong("wrap_up_s", agent.wrap_up_s, "0 to 86400 seconds")
    for index, device in enumerate(agent.devices):
        if not _DEVICE.fullmatch(device):
            yield wrong(f"devices[{index}]", device, "a device, as 6001, or its beginning and *")
    for field, found, expected in _of_levels(agent.skills, codes):
        yield wrong(field, found, expected)


def _of_levels(
    levels: Sequence[SkillLevel | SkillWanted], codes: Collection[str]
) -> Iterator[tuple[str, object, str]]:
    for index, each in enumerate(levels):
        if each.skill not in codes:
            yield f"skills[{index}].skill", each.skill, _one_of("a skill", codes)
        elif any(each.skill == other.skill for other in levels[:index]):
            yield f"skills[{index}].skill", f"{each.skill} twice", "each skill once"
        if not 1 <= each.level <= 9:
            yield f"skills[{index}].level", each.level, "1 to 9"


def _of_skill(skill: Skill) -> Iterator[Mistake]:
    yield from _of_names(Kind.SKILLS, skill.code, skill.name)


def _of_queue(
    queue: QueueSettings, contents: Contents, codes: Collection[str]
) -> Iterator[Mistake]:
    def wrong(field: str, found: object, expected: str) -> Mistake:
        return Mistake(Kind.QUEUES, queue.code, field, _said(found), expected)

    yield from _of_names(Kind.QUEUES, queue.code, queue.name)
    if not queue.skills:
        yield wrong("skills", "none", "a skill at least: who has it serves the queue")
    for field, found, expected in _of_levels(queue.skills, codes):
        yield wrong(field, found, expected)
    if not 0 <= queue.priority <= 9:
        yield wrong("priority", queue.priority, "0 to 9")
    if not 1 <= queue.ring_s <= 600:
        yield wrong("ring_s", queue.ring_s, "1 to 600 seconds")
    if not 0 <= queue.rest_s <= 3600:
        yield wrong("rest_s", queue.rest_s, "0 to 3600 seconds")
    reasons = [each.code for each in contents.reasons or STANDARD_REASONS]
    reason = queue.no_answer_reason
    if queue.no_answer is NoAnswer.LEAVE:
        if reason not in reasons:
            yield wrong("no_answer_reason", reason, _one_of("a leave reason", reasons))
    elif reason:
        yield wrong("no_answer_reason", reason, "nothing: it goes with no_answer leave alone")
    if queue.announce_every_s and not 5 <= queue.announce_every_s <= 3600:
        yield wrong("announce_every_s", queue.announce_every_s, "0, or 5 to 3600 seconds")
    if queue.music and not (len(queue.music) <= 200 and _SOUND.fullmatch(queue.music)):
        yield wrong("music", queue.music, "a file below the directory of sounds, as wait/calm.wav")
    if queue.most_waiting is not None and not 1 <= queue.most_waiting <= 10_000:
        yield wrong("most_waiting", queue.most_waiting, "1 to 10000, or nothing")
    if queue.overflow is not None:
        for field, found, expected in _of_overflow(queue.code, queue.overflow, contents):
            yield wrong(f"overflow{field}", found, expected)


def _of_overflow(
    code: str, overflow: Overflow, contents: Contents
) -> Iterator[tuple[str, object, str]]:
    after_s, waiting = overflow.after_s, overflow.waiting
    if after_s is None and waiting is None:
        yield "", "neither after_s nor waiting", "one of them at least: when calls go on"
    if after_s is not None and not 1 <= after_s <= _DAY_S:
        yield ".after_s", after_s, "1 to 86400 seconds"
    if waiting is not None and not 1 <= waiting <= 10_000:
        yield ".waiting", waiting, "1 to 10000"
    if overflow.queue and overflow.device:
        yield "", "both queue and device", "one of them, or none: where calls go"
    if overflow.device and not _DIALLED.fullmatch(overflow.device):
        yield ".device", overflow.device, "a device or a number that can be dialled"
    if overflow.queue:
        others = [each.code for each in contents.queues if each.code != code]
        if overflow.queue not in others:
            yield ".queue", overflow.queue, _one_of("another queue", others)


def _of_mode(mode: WorkMode, codes: Collection[str]) -> Iterator[Mistake]:
    def wrong(field: str, found: object, expected: str) -> Mistake:
        return Mistake(Kind.MODES, str(mode.code), field, _said(found), expected)

    if not 0 <= mode.code <= 9999:
        yield wrong("code", mode.code, "0 to 9999")
    if not mode.name or not _is_line(mode.name, 64):
        yield wrong("name", mode.name, "one line of 1 to 64 characters")
    if mode.basic is BasicMode.NONE:
        yield wrong("basic", "NONE", "another basic mode: nobody works in none")
    if mode.skill and mode.skill not in codes:
        yield wrong("skill", mode.skill, _one_of("a skill", codes))
    if mode.skill and not mode.takes_calls:
        yield wrong("skill", mode.skill, "nothing: no calls are offered in such a mode")
    if not -1_000_000 <= mode.position <= 1_000_000:
        yield wrong("position", mode.position, "-1000000 to 1000000")


def _of_reason(reason: LeaveReason) -> Iterator[Mistake]:
    yield from _of_names(Kind.REASONS, reason.code, reason.name)


def _of_names(kind: Kind, code: str, name: str) -> Iterator[Mistake]:
    if not _CODE.fullmatch(code):
        yield Mistake(kind, code, "code", _said(code), _CODE_SAID)
    if not _is_line(name, 128):
        yield Mistake(kind, code, "name", _said(name), "one line of up to 128 characters")


_DEPARTMENT_SAID = "one line of 1 to 64 characters without ;"


def _is_department(text: str) -> bool:
    return bool(text) and _is_line(text, 64) and ";" not in text


def _is_line(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isprintable() and text == text.strip()


def _said(found: object) -> str:
    """A value as it was given, shortened: it is repeated to whoever gave it."""
    if isinstance(found, float) and math.isfinite(found):
        return f"{found:g}"
    text = found if isinstance(found, str) else str(found)
    text = text if text.isprintable() else repr(text)
    return (text[:60] + "…" if len(text) > 60 else text) or "nothing"


def _one_of(what: str, codes: Collection[str]) -> str:
    if not codes:
        return f"{what} of the directory, and there is none"
    shown = ", ".join(sorted(codes)[:10])
    return f"{what} of the directory: {shown}{', …' if len(codes) > 10 else ''}"
