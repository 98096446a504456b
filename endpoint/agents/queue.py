"""Who is offered to whom: calls that wait for agents, and the agents that are free. Pure.

All queues are one: an agent serves several, and rings for one call at a time. A call of a higher
priority goes before the others, then who came first; it is offered to the agent who is best at what
its queue wants, of these to the one that has been idle for longest. Who does not answer is passed
over, and the call keeps its place. docs/queues.md has every rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NewType

from endpoint.agents.directory import NoAnswer, QueueSettings
from endpoint.agents.model import AgentId, SkillLevel
from endpoint.legs.base import DeviceId

Ticket = NewType("Ticket", int)
"""A call that waits, or somebody who is to be called back."""

RECENT = 20
"""So many answers say how long it takes to get one step forward."""
CALL_BACK_TRIES = 3
"""So often is called who wants to be called back,"""
CALL_BACK_AGAIN_S = 300.0
"""and so long after one who did not answer again."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who can take calls: an agent, at the device where it is; or a device alone."""

    device: DeviceId
    agent: AgentId | None = None
    skills: tuple[SkillLevel, ...] = ()
    """That it serves now, and how well."""
    free: bool = False
    """It may be offered a call."""
    since: float = 0.0
    """When it became so: ready, or its last call or the work after that was over."""
    reachable: bool = True
    """Its telephone can be called; an agent whose is lost for a while may be back."""

    def level(self, queue: QueueSettings) -> int | None:
        """How well it can serve a queue: the best of what that wants; None: not at all."""
        has = {each.skill: each.level for each in self.skills}
        levels = [has[each.skill] for each in queue.skills if has.get(each.skill, 0) >= each.level]
        return max(levels, default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """A call that waits."""

    ticket: Ticket
    queue: str
    since: float
    """When it came: it keeps that wherever it goes."""
    priority: int = 0
    joined: float = 0.0
    """When it came into this queue,"""
    began_at: int = 1
    """as the how manieth."""
    been_in: tuple[str, ...] = ()
    """The queues that it has left for others."""
    at: DeviceId | None = None
    """Where it rings."""
    until: float | None = None
    """When it has rung there for long enough; None: it has, and is being taken back."""
    blameless: bool = False
    """It is taken back as nobody can answer there any more."""
    stays: bool = False
    """It was to go on, and could not."""
    told_at: float = 0.0
    """When it was told its position last, or came."""
    calls_back: bool = False
    """Nobody waits on the line: who has called is to be called."""
    not_before: float | None = None
    """Who is to be called back is not called before: he has asked so, or was called in vain."""
    tries: int = 0

    @property
    def rank(self) -> tuple[int, float, int]:
        """Lowest first."""
        return -self.priority, self.since, self.ticket

    def is_due(self, now: float) -> bool:
        """It may be served now; before that it stands in nobody's way."""
        return self.not_before is None or now >= self.not_before


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of somebody who had to wait."""

    waited_s: float
    steps: int
    """From which place, from 1."""


@dataclass(frozen=True, slots=True)
class State:
    """All that wait, in the order in which they are served; and who could serve them."""

    queues: Mapping[str, QueueSettings] = field(default_factory=dict)
    waiting: tuple[Place, ...] = ()
    members: Mapping[DeviceId, Member] = field(default_factory=dict)
    """Agents who are logged on, and devices that can be reached."""
    rests: Mapping[DeviceId, float] = field(default_factory=dict)
    """Who did not answer, and until when he is left alone."""
    passed_over: Mapping[DeviceId, float] = field(default_factory=dict)
    """When a member last was offered what it did not take."""
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    """The latest of each queue."""

    def place(self, ticket: Ticket) -> Place | None:
        """Where a call waits; None: it does not."""
        return next((each for each in self.waiting if each.ticket == ticket), None)

    def waiting_in(self, queue: str) -> list[Place]:
        """Those of one queue, in order."""
        return [each for each in self.waiting if each.queue == queue]

    def serving(self, queue: QueueSettings) -> list[Member]:
        """Its members."""
        return [each for each in self.members.values() if each.level(queue) is not None]


# -- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """Call the device for the call."""

    ticket: Ticket
    device: DeviceId


@dataclass(frozen=True, slots=True)
class Withdraw:
    """It is to ring there no more: then say `refused`."""

    ticket: Ticket
    unanswered: bool = True
    """It has rung for long enough; else nobody can answer there any more."""


@dataclass(frozen=True, slots=True)
class TurnAway:
    """The call waits no longer, and nobody comes."""

    ticket: Ticket
    reason: str
    """`nobody`, `unknown_queue`, `closed`, `full`, `overflow`."""


@dataclass(frozen=True, slots=True)
class Move:
    """The call waits in another queue from now on; it has its place by when it came."""

    ticket: Ticket
    queue: str
    """The one that it has left."""
    to: str


@dataclass(frozen=True, slots=True)
class Divert:
    """The call waits no longer: this device is to take it."""

    ticket: Ticket
    device: DeviceId


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the caller where he is."""

    ticket: Ticket
    position: int
    wait_s: float | None
    """How long it may take; None: nobody knows, or it is not to be told."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """It did not answer: not ready from now on."""

    agent: AgentId
    reason: str
    """The code of a leave reason."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Who wanted to be called back does not answer; it waits no longer."""

    ticket: Ticket


Action = Offer | Withdraw | TurnAway | Move | Divert | Announce | SetAside | GiveUp
Outcome = tuple[State, tuple[Action, ...]]


# -- what happens ---------------------------------------------------------------------------------


def enter(
    state: State, ticket: Ticket, queue: str, now: float, priority: int | None = None
) -> Outcome:
    """A call waits from now on; without a priority of its own with its queue's."""
    turn = _Turn(state, now)
    settings = turn.queues.get(queue)
    if priority is None:
        priority = 0 if settings is None else settings.priority
    turn.join(Place(ticket, queue, now, priority))
    return turn.settle()


def leave(state: State, ticket: Ticket, now: float) -> Outcome:
    """It waits no longer: it was taken, or gave up. Harmless where it does not wait."""
    turn = _Turn(state, now)
    if state.place(ticket) is not None:
        turn.drop(ticket)
    return turn.settle()


def answered(state: State, queue: str, answer: Answer) -> State:
    """Take note of how long somebody who was answered has waited."""
    latest = (*state.answers.get(queue, ()), answer)[-RECENT:]
    return replace(state, answers={**state.answers, queue: latest})


def refused(state: State, ticket: Ticket, now: float, *, rang: bool = True) -> Outcome:
    """Whom it was offered to has not come: it keeps its place. `rang`: he could have answered."""
    turn = _Turn(state, now)
    place = state.place(ticket)
    if place is not None and place.at is not None:
        turn.put(replace(place, at=None, until=None, blameless=False))
        turn.passed(place.at, place.queue, rang=rang and not place.blameless)
    return turn.settle()


def call_back(state: State, ticket: Ticket, now: float) -> Outcome:
    """The caller hangs up and wants to be called. Harmless where it rings for him already."""
    turn = _Turn(state, now)
    place = state.place(ticket)
    if place is not None and place.at is None:
        turn.put(replace(place, calls_back=True))
    return turn.settle()


def resume(state: State, place: Place, now: float) -> Outcome:
    """Somebody is to be called back who does not wait: as was asked, or was before we began."""
    turn = _Turn(state, now)
    turn.put(replace(place, joined=now, calls_back=True))
    return turn.settle()


def not_reached(state: State, ticket: Ticket, now: float) -> Outcome:
    """Who wanted to be called back did not answer: tried again later, with the place kept."""
    turn = _Turn(state, now)
    place = state.place(ticket)
    if place is not None and place.calls_back:
        tries = place.tries + 1
        again = now + CALL_BACK_AGAIN_S
        tried = replace(place, at=None, until=None, blameless=False)
        turn.put(replace(tried, tries=tries, not_before=again))
        if tries >= CALL_BACK_TRIES:
            turn.drop(ticket)
            turn.actions.append(GiveUp(ticket))
    return turn.settle()


def seen(state: State, members: Iterable[Member], now: float) -> Outcome:
    """Who could serve now."""
    return settle(replace(state, members={each.device: each for each in members}), now)


def configured(state: State, queues: Iterable[QueueSettings], now: float) -> Outcome:
    """How the queues are from now on. Calls in one that is no more are turned away."""
    waiting = tuple(replace(each, stays=False) for each in state.waiting)
    now_queues = {each.code: each for each in queues}
    return settle(replace(state, queues=now_queues, waiting=waiting), now)


def settle(state: State, now: float) -> Outcome:
    """Do what is due."""
    return _Turn(state, now).settle()


# -- what is so -----------------------------------------------------------------------------------


def deadline(state: State) -> float | None:
    """When `settle` has something to do by time alone."""
    idle = [each for each in state.waiting if each.at is None]
    due = [each.until for each in state.waiting]
    for each in idle:
        due.append(each.not_before)
        if (settings := state.queues.get(each.queue)) is not None:
            due += [_overflows_at(each, settings), _announced_at(each, settings)]
    if idle:
        due += state.rests.values()
    return min((each for each in due if each is not None), default=None)


def _overflows_at(place: Place, settings: QueueSettings) -> float | None:
    """When one that waits there has waited for too long."""
    over = settings.overflow
    if over is None or over.after_s is None or place.stays or place.calls_back:
        return None
    return place.joined + over.after_s


def _announced_at(place: Place, settings: QueueSettings) -> float | None:
    """When one that waits there is to be told its position next."""
    every_s = settings.announce_every_s
    return place.told_at + every_s if every_s > 0 and not place.calls_back else None


def position(state: State, ticket: Ticket) -> int:
    """Of a call in its queue, from 1; 0: it does not wait."""
    place = state.place(ticket)
    if place is None:
        return 0
    return 1 + sum(each.rank < place.rank for each in state.waiting_in(place.queue))


def wait_of(state: State, queue: str, position: int) -> float | None:
    """How long it may take from a position on; None: nobody has been answered yet.

    One step forward takes as long as it took the latest who were answered: all their waiting, by
    all the steps that they had before them.
    """
    answers = state.answers.get(queue, ())
    if not answers:
        return None
    step_s = sum(each.waited_s for each in answers) / sum(each.steps for each in answers)
    return position * step_s


class _Turn:
    """One mutation, and the drain after it."""

    def __init__(self, state: State, now: float) -> None:
        self._before = state
        self.now = now
        self.actions: list[Action] = []
        self._places = {each.ticket: each for each in state.waiting}
        self.queues = state.queues
        self._members = dict(state.members)
        self._rests = {device: at for device, at in state.rests.items() if at > now}
        self._passed_over = dict(state.passed_over)

    def settle(self) -> Outcome:
        for place in self._in_order():
            self._look_at(place)
        self._offer()
        self._announce()
        state = State(
            self.queues,
            tuple(self._in_order()),
            self._members,
            self._rests,
            {each: at for each, at in self._passed_over.items() if each in self._members},
            self._before.answers,
        )
        return state, tuple(self.actions)

    # -- places ---------------------------------------------------------------------------------

    def put(self, place: Place) -> None:
        self._places[place.ticket] = place

    def drop(self, ticket: Ticket) -> None:
        del self._places[ticket]

    def _in_order(self) -> list[Place]:
        return sorted(self._places.values(), key=lambda each: each.rank)

    def join(self, place: Place) -> None:
        """A call comes into its queue: stays, goes on to another, or is turned away."""
        if (reason := self._closed(place.queue)) is not None:
            self._turn_away(place, reason)
            return
        settings = self.queues[place.queue]
        others = [
            each
            for each in self._places.values()
            if each.queue == place.queue and each.is_due(self.now)
        ]
        ahead = sum(each.rank < place.rank for each in others)
        over = settings.overflow
        waits = replace(
            place,
            joined=self.now,
            began_at=1 + ahead,
            stays=False,
            told_at=self.now,
        )
        too_many = over is not None and over.waiting is not None and len(others) >= over.waiting
        if too_many and self._overflow(waits):
            return
        if settings.most_waiting is not None and len(others) >= settings.most_waiting:
            self._turn_away(place, "full")
            return
        self.put(waits)

    def _closed(self, queue: str) -> str | None:
        """Why nobody may come into a queue."""
        settings = self.queues.get(queue)
        if settings is None:
            return "unknown_queue"
        if not settings.enabled:
            return "closed"
        return None if self._is_served(settings) else "nobody"

    def _is_served(self, settings: QueueSettings) -> bool:
        return any(each.level(settings) is not None for each in self._members.values())

    def _turn_away(self, place: Place, reason: str) -> None:
        self._places.pop(place.ticket, None)
        self.actions.append(TurnAway(place.ticket, reason))

    def _look_at(self, place: Place) -> None:
        """What is due of one that waits, but for an agent."""
        if place.at is not None:
            member = self._members.get(place.at)
            lost = member is None or not member.reachable
            if place.until is not None and (lost or self.now >= place.until):
                self.put(replace(place, until=None, blameless=lost))
                self.actions.append(Withdraw(place.ticket, unanswered=not lost))
            return
        settings = self.queues.get(place.queue)
        if settings is None:
            self._turn_away(place, "unknown_queue")
        elif place.calls_back:  # he does not wait on the line: there is time
            if place.not_before is not None and self.now >= place.not_before:
                self.put(replace(place, not_before=None))
        elif not self._is_served(settings):
            self._turn_away(place, "nobody")
        elif (at := _overflows_at(place, settings)) is not None and self.now >= at:
            self.put(waits := replace(place, stays=True))
            self._overflow(waits)

    def _overflow(self, place: Place) -> bool:
        """Let it go where its queue says; False: it can't go there, and waits on."""
        settings = self.queues[place.queue]
        over = settings.overflow
        assert over is not None  # it is what has made it due
        if over.device:
            self._places.pop(place.ticket, None)
            self.actions.append(Divert(place.ticket, DeviceId(over.device)))
            return True
        if not over.queue:
            self._turn_away(place, "overflow")
            return True
        been_in = (*place.been_in, place.queue)
        if over.queue in been_in or self._closed(over.queue) or self._is_full(over.queue):
            return False
        self.actions.append(Move(place.ticket, place.queue, over.queue))
        self.join(replace(place, queue=over.queue, been_in=been_in))
        return True

    def _is_full(self, queue: str) -> bool:
        most = self.queues[queue].most_waiting
        there = sum(each.queue == queue for each in self._places.values())
        return most is not None and there >= most

    # -- members --------------------------------------------------------------------------------

    def passed(self, device: DeviceId, queue: str, *, rang: bool) -> None:
        """One has not taken what was offered."""
        settings, member = self.queues.get(queue), self._members.get(device)
        if settings is None or member is None:
            return
        self._passed_over[device] = self.now
        if rang and member.agent is not None and settings.no_answer is NoAnswer.LEAVE:
            self._members[device] = replace(member, free=False)
            self.actions.append(SetAside(member.agent, settings.no_answer_reason))
        else:
            self._rests[device] = self.now + settings.rest_s

    def _offer(self) -> None:
        rung = {each.at for each in self._places.values()}
        free = {
            device: member
            for device, member in self._members.items()
            if member.free and device not in rung and device not in self._rests
        }
        for place in self._in_order():
            if not free:
                return
            if place.at is not None or not place.is_due(self.now):
                continue
            settings = self.queues[place.queue]
            if (member := self._best(free.values(), settings)) is not None:
                del free[member.device]
                until = self.now + settings.ring_s
                self.put(replace(place, at=member.device, until=until))
                self.actions.append(Offer(place.ticket, member.device))

    def _best(self, members: Iterable[Member], queue: QueueSettings) -> Member | None:
        """Of the highest level; of these the one that is idle for longest."""
        able = [(level, each) for each in members if (level := each.level(queue)) is not None]
        return min(
            able,
            key=lambda found: (-found[0], self._idle_since(found[1]), found[1].device),
            default=(0, None),
        )[1]

    def _idle_since(self, member: Member) -> float:
        return max(member.since, self._passed_over.get(member.device, member.since))

    # -- announcements --------------------------------------------------------------------------

    def _announce(self) -> None:
        counts: dict[str, int] = {}
        for place in self._in_order():
            if not place.is_due(self.now):
                continue
            counts[place.queue] = position = counts.get(place.queue, 0) + 1
            if place.at is not None:
                continue
            settings = self.queues[place.queue]
            at = _announced_at(place, settings)
            if at is None or self.now < at:
                continue
            self.put(replace(place, told_at=self.now))
            wait_s = wait_of(self._before, place.queue, position)
            told = wait_s if settings.announce_wait else None
            self.actions.append(Announce(place.ticket, position, told))
