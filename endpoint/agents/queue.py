"""Who is offered to whom: calls that wait for a skill, first come, first served. Pure.

A call is offered to one device at a time, the one that was offered to longest ago. Where that one
does not answer it rests for a while, the next one is tried, and the call keeps its place. A call
whose skill has no device that can be reached is turned away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NewType

from endpoint.legs.base import DeviceId

Ticket = NewType("Ticket", int)
"""A call that waits."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Devices whose agents can take the same calls."""

    code: str
    devices: tuple[DeviceId, ...]
    ring_s: float = 20.0
    """So long it rings at one; then at the next."""
    rest_s: float = 10.0
    """A device that did not answer is left alone for so long."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A device, as it is now."""

    reachable: bool = False
    """Its telephone can be called."""
    busy: bool = False
    """It is in a call."""


@dataclass(frozen=True, slots=True)
class Place:
    """A call that waits."""

    ticket: Ticket
    skill: str
    since: float
    at: DeviceId | None = None
    """Where it rings."""
    until: float | None = None
    """When it has rung there for long enough; None: it has, and is being taken back."""


@dataclass(frozen=True, slots=True)
class Queue:
    """All that wait, first come first, and the devices."""

    skills: Mapping[str, Skill] = field(default_factory=dict)
    waiting: tuple[Place, ...] = ()
    presence: Mapping[DeviceId, Presence] = field(default_factory=dict)
    rests: Mapping[DeviceId, float] = field(default_factory=dict)
    """Until when."""
    offered: Mapping[DeviceId, int] = field(default_factory=dict)
    """In which order they were offered to last."""

    def place(self, ticket: Ticket) -> Place | None:
        """Where a call waits; None: it does not."""
        return next((each for each in self.waiting if each.ticket == ticket), None)


@dataclass(frozen=True, slots=True)
class Offer:
    """Call the device for the call."""

    ticket: Ticket
    device: DeviceId


@dataclass(frozen=True, slots=True)
class Withdraw:
    """It has rung there for long enough: then say `refused`."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class TurnAway:
    """Nobody can come; the call waits no longer."""

    ticket: Ticket
    reason: str
    """`nobody`, or `unknown_skill`."""


Action = Offer | Withdraw | TurnAway
Outcome = tuple[Queue, tuple[Action, ...]]


def enter(queue: Queue, ticket: Ticket, skill: str, now: float) -> Outcome:
    """A call waits from now on."""
    place = Place(ticket, skill, now)
    return settle(replace(queue, waiting=(*queue.waiting, place)), now)


def leave(queue: Queue, ticket: Ticket, now: float) -> Outcome:
    """It waits no longer. Harmless where it does not."""
    return settle(_without(queue, ticket), now)


def refused(queue: Queue, ticket: Ticket, now: float) -> Outcome:
    """Whom it was offered to has not come: it keeps its place."""
    place = queue.place(ticket)
    if place is None or place.at is None:
        return queue, ()
    skill = queue.skills.get(place.skill)
    rest_s = skill.rest_s if skill is not None else 0.0
    queue = replace(queue, rests={**queue.rests, place.at: now + rest_s})
    return settle(_put(queue, replace(place, at=None, until=None)), now)


def seen(queue: Queue, presence: Mapping[DeviceId, Presence], now: float) -> Outcome:
    """How the devices are now."""
    return settle(replace(queue, presence=presence), now)


def settle(queue: Queue, now: float) -> Outcome:
    """Do what is due: who has waited longest is offered first."""
    actions: list[Action] = []
    queue = replace(queue, rests={each: at for each, at in queue.rests.items() if at > now})
    for place in queue.waiting:
        skill = queue.skills.get(place.skill)
        if place.at is not None:
            if place.until is not None and now >= place.until:
                queue = _put(queue, replace(place, until=None))
                actions.append(Withdraw(place.ticket))
        elif skill is None or not any(_of(queue, each).reachable for each in skill.devices):
            reason = "unknown_skill" if skill is None else "nobody"
            queue = _without(queue, place.ticket)
            actions.append(TurnAway(place.ticket, reason))
        elif (device := _next(queue, skill)) is not None:
            queue = _put(queue, replace(place, at=device, until=now + skill.ring_s))
            turn = 1 + max(queue.offered.values(), default=0)
            queue = replace(queue, offered={**queue.offered, device: turn})
            actions.append(Offer(place.ticket, device))
    return queue, tuple(actions)


def deadline(queue: Queue) -> float | None:
    """When `settle` has something to do by time alone."""
    rings = [each.until for each in queue.waiting if each.until is not None]
    rests = list(queue.rests.values()) if any(each.at is None for each in queue.waiting) else []
    return min([*rings, *rests], default=None)


def position(queue: Queue, ticket: Ticket) -> int:
    """Of a call among those that wait for the same skill, from 1; 0: it does not wait."""
    place = queue.place(ticket)
    same = [each.ticket for each in queue.waiting if place and each.skill == place.skill]
    return 1 + same.index(ticket) if ticket in same else 0


def _next(queue: Queue, skill: Skill) -> DeviceId | None:
    rung = {each.at for each in queue.waiting}
    free = [
        device
        for device in skill.devices
        if _of(queue, device) == Presence(reachable=True)
        and device not in rung
        and device not in queue.rests
    ]
    return min(free, key=lambda device: queue.offered.get(device, 0), default=None)


def _of(queue: Queue, device: DeviceId) -> Presence:
    return queue.presence.get(device, Presence())


def _put(queue: Queue, place: Place) -> Queue:
    waiting = tuple(place if each.ticket == place.ticket else each for each in queue.waiting)
    return replace(queue, waiting=waiting)


def _without(queue: Queue, ticket: Ticket) -> Queue:
    waiting: Sequence[Place] = [each for each in queue.waiting if each.ticket != ticket]
    return replace(queue, waiting=tuple(waiting))
