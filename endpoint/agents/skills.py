"""All queues, running: calls of the IVR wait here, and who could take them is watched."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import structlog

from endpoint.agents import queue as q
from endpoint.agents.callback import (
    CallBack,
    CallBackNotes,
    CallBackOutcome,
    CallBacks,
    KeptCallBack,
    NoNotes,
)
from endpoint.agents.crew import Crew, Members, NoCrew, SkillDevices
from endpoint.agents.directory import Directory, QueueSettings, SkillWanted
from endpoint.agents.keeping import Clocks
from endpoint.agents.model import AgentState, SkillLevel
from endpoint.agents.outbound import OutboundCalls
from endpoint.agents.queue import Answer, Member, Outcome, Place, State, Ticket
from endpoint.agents.session import BY_QUEUES, SetNotReady
from endpoint.agents.tally import Day, DayNotes, Tally
from endpoint.callcontrol.controller import CallController, Keeper, once
from endpoint.callcontrol.dialstring import parse_dial_string
from endpoint.callcontrol.events import CallEvent, LeftQueue, WaitsInQueue
from endpoint.callcontrol.feed import EventsMissed
from endpoint.callcontrol.model import CallId
from endpoint.errors import CommandRejected, DialStringError
from endpoint.ivr.leg import QueuePlace
from endpoint.ivr.session import Waiting
from endpoint.legs.base import WITHHELD, Cause, DeviceId

log = structlog.get_logger(__name__)

_NOT_TAKEN = frozenset({Cause.CANCELLED, Cause.NO_ANSWER, Cause.DECLINED, Cause.BUSY})
"""Why a telephone that works is not answered; for the rest nobody is to blame who sits there."""


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """Somebody who waits."""

    call: CallId | None
    """None: he has gone, and is to be called back."""
    caller: str
    position: int
    """From 1; 0: he is to be called back later, and stands in nobody's way."""
    waited_s: float
    priority: int
    offered_to: DeviceId | None
    """Where it rings for him."""
    calls_back: bool
    call_back: str = ""
    """By which the request to be called back is found; empty where he waits on the line."""
    not_before: datetime | None = None
    """He is not called before (UTC)."""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """How a queue is now."""

    settings: QueueSettings
    devices: tuple[DeviceId, ...]
    """Where those are who could serve it, as far as they can be reached."""
    free: int
    """How many of these may be offered a call."""
    agents: int
    """Who is logged on and serves it,"""
    ready: int
    busy: int
    """and how many of these are ready, and in a call."""
    calls: tuple[WaitingCall, ...]
    """In their order."""
    wait_s: float | None
    """How long who comes now may have to wait; None: nobody knows."""
    today: Day

    @property
    def due(self) -> list[WaitingCall]:
        """Those who wait now, without whom is to be called back later."""
        return [each for each in self.calls if each.position]

    @property
    def longest_s(self) -> float:
        """How long the first of these has waited; 0 where nobody does."""
        return max((each.waited_s for each in self.due), default=0.0)


class SkillQueues:
    """Implements `Queues` of the IVR: `async with SkillQueues(controller, skills, is_reached)`."""

    def __init__(
        self,
        controller: CallController,
        skills: Sequence[SkillDevices],
        is_reached: Callable[[DeviceId], bool],
        keep: Keeper = once,
        *,
        directory: Directory | None = None,
        crew: Crew | None = None,
        notes: CallBackNotes | None = None,
        days: DayNotes | None = None,
    ) -> None:
        """Set up.

        Args:
            controller: whose calls wait.
            skills: of devices without agents.
            is_reached: says so of devices that need not register.
            keep: keeps our reader of events alive.
            directory: knows queues.
            crew: the agents.
            notes: where those are noted who are to be called back.
            days: where is noted what has become of today's calls.
        """
        self.tally = Tally(days)
        """What has become of calls."""
        self._controller = controller
        self._skills = skills
        self._keep = keep
        self._directory = directory
        self._crew = crew or NoCrew()
        self._members = Members(controller, skills, is_reached, self._crew)
        self._state = State()
        self._calls: dict[Ticket, Waiting] = {}
        self._back: dict[Ticket, CallBack] = {}
        # An `OpenState` that is empty is false.
        self._notes = NoNotes() if notes is None else notes
        self._callbacks = CallBacks(controller, self._crew.note_offer, self._called_back)
        self._ids: dict[CallId, Ticket] = {}
        self._left: dict[CallId, Place] = {}
        """Where those were who have left, until it is told how."""
        self._told: dict[Ticket, QueuePlace] = {}
        self._outbound = OutboundCalls(self.tally)
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._looks = False
        """It will be looked who could serve as soon as what goes on now is over."""
        self._watchers: list[Callable[[], None]] = []
        self._tasks = asyncio.TaskGroup()
        self._follower: asyncio.Task[None] | None = None
        self._unwatch: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<SkillQueues {len(self._state.waiting)} wait>"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._unwatch.append(self._crew.watch(lambda _: self._changed()))
        if self._directory is not None:
            self._unwatch.append(self._directory.watch(self._configure))
        self._configure()
        for key, kept in list(self._notes.left.items()):
            self._resume(key, kept)
        keeping = self._keep("queues: events", self._follow)
        self._follower = self._tasks.create_task(keeping, name="queues: events, kept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for unwatch in self._unwatch:
            unwatch()
        if self._follower is not None:
            self._follower.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.__aexit__(None, None, None)

    # -- what is so -------------------------------------------------------------------------------

    def facts(self) -> list[QueueFacts]:
        """How each queue is now."""
        self._look()
        return [self._facts_of(each) for each in self._state.queues.values()]

    def waiting(self, skills: Iterable[SkillLevel]) -> Iterator[tuple[Place, CallId, str]]:
        """Who waits on the line where one of these skills serves: where, in which call, by name."""
        served = Member(DeviceId(""), skills=tuple(skills))
        for place in self._state.waiting:
            call, settings = self._calls.get(place.ticket), self._state.queues.get(place.queue)
            if call is None or settings is None or served.level(settings) is None:
                continue
            if (call_id := call.call_id()) is not None:
                yield place, call_id, call.caller()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Be told that others wait, or elsewhere, until what is returned is called."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def _facts_of(self, settings: QueueSettings) -> QueueFacts:
        now, state = self._now(), self._state
        serving = state.serving(settings)
        agents = {member.agent for member in serving}
        crew = [session for session in self._crew.sessions() if session.agent in agents]
        numbers = itertools.count(1)
        calls = tuple(
            WaitingCall(
                self._calls[place.ticket].call_id() if place.ticket in self._calls else None,
                self._caller(place.ticket),
                next(numbers) if place.is_due(now) else 0,
                now - place.since,
                place.priority,
                place.at,
                place.calls_back,
                self._back[place.ticket].key if place.ticket in self._back else "",
                self._to_wall(place.not_before),
            )
            for place in state.waiting_in(settings.code)
        )
        due = sum(each.position > 0 for each in calls)
        return QueueFacts(
            settings,
            tuple(each.device for each in serving if each.reachable),
            sum(each.free for each in serving),
            len(crew),
            sum(each.state is AgentState.READY for each in crew),
            sum(each.state is AgentState.BUSY for each in crew),
            calls,
            q.wait_of(state, settings.code, due + 1),
            self.tally.day(settings.code, self._controller.clock().date()),
        )

    def _caller(self, ticket: Ticket) -> str:
        if ticket in self._back:
            return self._back[ticket].number
        return self._calls[ticket].caller() if ticket in self._calls else ""

    # -- asked by calls ---------------------------------------------------------------------------

    def music(self, queue: str) -> str:
        """See `Queues`."""
        settings = self._state.queues.get(queue)
        return settings.music if settings is not None else ""

    def enter(self, call: Waiting, queue: str, priority: int | None) -> None:
        """See `Queues`."""
        ticket = Ticket(next(self._numbers))
        self._calls[ticket] = call
        if (call_id := call.call_id()) is not None:
            self._ids[call_id] = ticket
        self._look()
        self._do(q.enter(self._state, ticket, queue, self._now(), priority))

    def leave(self, call: Waiting) -> None:
        """See `Queues`."""
        if (ticket := self._ticket_of(call)) is not None:
            self._forget(ticket)
            self._look()
            self._do(q.leave(self._state, ticket, self._now()))

    def refused(self, call: Waiting, cause: Cause) -> None:
        """See `Queues`."""
        if (ticket := self._ticket_of(call)) is not None:
            log.info("a queued call was not taken", cause=str(cause))
            self._look()
            rang = cause in _NOT_TAKEN
            self._do(q.refused(self._state, ticket, self._now(), rang=rang))

    def call_back(self, call: Waiting, number: str) -> bool:
        """See `Queues`."""
        ticket = self._ticket_of(call)
        place = self._state.place(ticket) if ticket is not None else None
        settings = self._state.queues.get(place.queue) if place is not None else None
        if ticket is None or place is None or settings is None:
            return False
        if place.at is not None or not settings.call_back or not _can_be_dialled(number):
            return False
        self._forget(ticket)
        self._back[ticket] = CallBack(number, settings.code, place.since)
        self._note(ticket, place)
        log.info("a call-back is asked for", queue=settings.code)
        self._do(q.call_back(self._state, ticket, self._now()))
        return True

    # -- asked by people --------------------------------------------------------------------------

    def ask_call_back(
        self,
        number: str,
        queue: str,
        *,
        priority: int | None = None,
        not_before: datetime | None = None,
    ) -> tuple[str, KeptCallBack]:
        """Have somebody called back who does not wait; by what the request is found, and it.

        Raises: CommandRejected.
        """
        if not _can_be_dialled(number):
            why = f"{number!r} can't be dialled: write it as for a call, without spaces"
            raise CommandRejected("bad_number", why)
        settings = self._state.queues.get(queue)
        if settings is None:
            raise CommandRejected("unknown_queue", f"there is no queue {queue}")
        if not (settings.enabled and settings.call_back):
            why = f"the queue {queue} is closed, or takes no call-backs: see its settings"
            raise CommandRejected("no_call_backs", why)
        wanted = settings.priority if priority is None else priority
        now = self._controller.clock()
        kept = KeptCallBack(number, queue, now, wanted, not_before=not_before)
        key = uuid4().hex
        self._notes.put(key, kept)
        log.info("a call-back is asked for", queue=queue)
        self._look()
        self._resume(key, kept)
        return key, kept

    def withdraw_call_back(self, queue: str, key: str) -> None:
        """Call somebody back no more. Raises CommandRejected."""
        ticket = next((each for each, back in self._back.items() if back.key == key), None)
        place = self._state.place(ticket) if ticket is not None else None
        if ticket is None or place is None or place.queue != queue:
            raise CommandRejected("unknown_call_back", f"no such call-back waits in {queue}")
        if place.at is not None:
            why = f"it rings for him at {place.at}: wait for what comes of it"
            raise CommandRejected("being_called", why)
        self._drop(ticket)
        log.info("a call-back is withdrawn", queue=queue)
        self._count(queue, "withdrawn", self._now() - place.since)
        self._do(q.leave(self._state, ticket, self._now()))

    def _ticket_of(self, call: Waiting) -> Ticket | None:
        return next((each for each, known in self._calls.items() if known is call), None)

    def _forget(self, ticket: Ticket) -> None:
        """A call waits no longer; where it was is known until it is told how it has left."""
        self._calls.pop(ticket, None)
        self._told.pop(ticket, None)
        place = self._state.place(ticket)
        for call, known in list(self._ids.items()):
            if known == ticket:
                del self._ids[call]
                if place is not None:
                    self._left[call] = place

    # -- what is decided --------------------------------------------------------------------------

    def _do(self, outcome: Outcome) -> None:
        before = self._state
        offered = {place.at for place in before.waiting}
        self._state, actions = outcome
        for action in actions:
            self._act(action)
        for device in offered - {place.at for place in self._state.waiting}:
            if device is not None:
                self._crew.note_verdict(device)
        self._tell_places()
        if (self._state.waiting, self._state.queues) != (before.waiting, before.queues):
            for changed in list(self._watchers):
                changed()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := q.deadline(self._state)) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(deadline, self._time_passed)

    def _act(self, action: q.Action) -> None:
        match action:
            case q.Offer(ticket, device):
                if ticket in self._back:
                    self._begin(self._callbacks.offer(self._back[ticket], device))
                elif (call := self._calls.get(ticket)) is not None:
                    if (call_id := call.call_id()) is not None:
                        self._crew.note_offer(device, call_id)
                    call.offer(device)
            case q.Withdraw(ticket, unanswered):
                if ticket in self._back:
                    self._begin(self._callbacks.withdraw(self._back[ticket]))
                elif ticket in self._calls:
                    self._calls[ticket].withdraw(unanswered=unanswered)
            case q.TurnAway(ticket, reason):
                if (call := self._calls.get(ticket)) is not None:
                    self._forget(ticket)
                    call.turned_away(reason)
                self._drop(ticket)
            case q.Divert(ticket, device):
                if (call := self._calls.get(ticket)) is not None:
                    self._forget(ticket)
                    call.divert(device)
            case q.Move(_, queue, to):
                log.info("a call goes on to another queue", queue=queue, to=to)
            case q.Announce(ticket, position, wait_s):
                if ticket in self._calls:
                    self._calls[ticket].announce(position, wait_s)
            case q.SetAside(agent, reason):
                try:
                    self._crew.do(agent, SetNotReady(reason), BY_QUEUES)
                except CommandRejected as rejected:
                    log.warning("agent is not set aside", agent=agent, reason=rejected.reason)
            case q.GiveUp(ticket):
                if (back := self._drop(ticket)) is not None:
                    log.warning("call-back given up: nobody answers", queue=back.queue)
                    self._count(back.queue, "not_reached", self._now() - back.since)

    def _tell_places(self) -> None:
        """Whoever waits, and is at another place than was told of him last."""
        positions: dict[str, int] = {}
        for place in self._state.waiting:
            if not place.is_due(self._now()):
                continue
            positions[place.queue] = position = positions.get(place.queue, 0) + 1
            call = self._calls.get(place.ticket)
            told = self._told.get(place.ticket)
            is_told = told is not None and (told.queue, told.position, told.offered_to) == (
                place.queue,
                position,
                place.at,
            )
            if call is not None and not is_told:
                wait_s = q.wait_of(self._state, place.queue, position)
                now = QueuePlace(place.queue, position, wait_s, place.at)
                self._told[place.ticket] = now
                call.tell_place(now)

    def _called_back(self, what: CallBack, outcome: CallBackOutcome) -> None:
        """A try to call somebody back is over."""
        ticket = next((each for each, known in self._back.items() if known is what), None)
        if ticket is None:
            return
        log.info("a call-back was tried", queue=what.queue, outcome=str(outcome))
        now = self._now()
        self._look()
        match outcome:
            case CallBackOutcome.TALKED:
                self._drop(ticket)
                self._count(what.queue, "called_back", now - what.since)
                self._do(q.leave(self._state, ticket, now))
            case CallBackOutcome.NO_AGENT:
                self._do(q.refused(self._state, ticket, now))
            case CallBackOutcome.UNREACHABLE:
                self._do(q.refused(self._state, ticket, now, rang=False))
            case CallBackOutcome.NOBODY:
                self._do(q.not_reached(self._state, ticket, now))
                if (place := self._state.place(ticket)) is not None:
                    self._note(ticket, place)

    def _note(self, ticket: Ticket, place: Place) -> None:
        """Let a process after us know whom to call back."""
        back = self._back[ticket]
        came_at, not_before = self._to_wall(place.since), self._to_wall(place.not_before)
        assert came_at is not None  # there is a moment of it
        kept = KeptCallBack(
            back.number, place.queue, came_at, place.priority, place.tries, not_before
        )
        self._notes.put(back.key, kept)

    def _to_wall(self, at: float | None) -> datetime | None:
        """A moment of the loop's, by the clock on the wall (UTC)."""
        clocks = Clocks(self._now(), self._controller.clock())
        return None if at is None else clocks.to_wall(at)

    def _drop(self, ticket: Ticket) -> CallBack | None:
        back = self._back.pop(ticket, None)
        if back is not None:
            self._notes.drop(back.key)
        return back

    def _resume(self, key: str, kept: KeptCallBack) -> None:
        """Somebody was to be called back by the process before us."""
        clocks = Clocks(self._now(), self._controller.clock())
        ticket, since = Ticket(next(self._numbers)), clocks.to_loop(kept.came_at)
        self._back[ticket] = CallBack(kept.number, kept.queue, since, key)
        not_before = None if kept.not_before is None else clocks.to_loop(kept.not_before)
        place = Place(
            ticket,
            kept.queue,
            since,
            kept.priority,
            tries=kept.tries,
            not_before=not_before,
        )
        self._do(q.resume(self._state, place, clocks.loop))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.create_task(work)

    # -- what happens -----------------------------------------------------------------------------

    def _time_passed(self) -> None:
        self._timer = None
        self._look()
        self._do(q.settle(self._state, self._now()))

    async def _follow(self) -> None:
        """Whatever is told may mean that somebody is free, or gone."""
        while True:
            events = self._controller.subscribe()
            self._changed()
            try:
                async for numbered in events:
                    self._heed(numbered.event)
                return
            except EventsMissed:
                log.warning("events were missed", waiting=len(self._state.waiting))
                self._outbound.forget()

    def _heed(self, event: object) -> None:
        match event:
            case WaitsInQueue():
                return  # it is ours
            case LeftQueue():
                self._note_left(event)
            case CallEvent():
                self._members.heed(event, self._now())
                self._callbacks.heed(event)
                today = self._controller.clock().date()
                self._outbound.heed(event, self._state.queues, today)
            case _:
                pass
        self._changed()

    def _count(self, queue: str, outcome: str, waited_s: float) -> None:
        self.tally.count(queue, outcome, waited_s, self._controller.clock().date())

    def _note_left(self, event: LeftQueue) -> None:
        self._count(event.queue, event.outcome, event.waited_s)
        ticket = self._ids.get(event.call)
        place = self._left.pop(event.call, None)
        place = self._state.place(ticket) if ticket is not None else place
        if event.outcome == "answered" and place is not None:
            answer = Answer(event.waited_s, place.began_at)
            self._state = q.answered(self._state, event.queue, answer)

    def _changed(self) -> None:
        """Somebody may be free, or gone: look, once for all that happens now."""
        if self._state.waiting and not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_soon(self._see)

    def _see(self) -> None:
        self._looks = False
        self._do(q.seen(self._state, self._members.all(), self._now()))

    def _look(self) -> None:
        """Take note of who could serve."""
        members = {each.device: each for each in self._members.all()}
        self._state = replace(self._state, members=members)

    def _configure(self) -> None:
        """The directory's queues, and one for each skill that has none of its code."""
        queues = {each.code: each for each in _of_skills(self._skills)}
        if self._directory is not None:
            for skill in self._directory.skills():
                wanted = (SkillWanted(skill.code),)
                alone = QueueSettings(skill.code, skill.name, wanted, call_back=True)
                queues.setdefault(skill.code, alone)
            queues |= {each.code: each for each in self._directory.queues()}
        self._look()
        self._do(q.configured(self._state, queues.values(), self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _of_skills(skills: Sequence[SkillDevices]) -> Iterable[QueueSettings]:
    for skill in skills:
        yield QueueSettings(
            skill.code,
            skill.name,
            (SkillWanted(skill.code),),
            ring_s=skill.ring_s,
            rest_s=skill.rest_s,
            call_back=True,
        )


def _can_be_dialled(number: str) -> bool:
    """Whether there is anything to call; that of a caller may be withheld, or be any text."""
    try:
        return parse_dial_string(number).number != WITHHELD
    except DialStringError:
        return False
