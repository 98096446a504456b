"""The queues of all skills, running: calls of the IVR wait here, devices are watched."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import structlog

from endpoint.agents import queue as q
from endpoint.agents.queue import Outcome, Presence, Queue, Skill, Ticket
from endpoint.callcontrol.controller import CallController, Keeper, once
from endpoint.callcontrol.feed import EventsMissed
from endpoint.ivr.session import Waiting
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """How a skill's queue is now."""

    skill: str
    devices: tuple[DeviceId, ...]
    reachable: int
    free: int
    waiting_s: tuple[float, ...]
    """How long each call has waited, who came first first."""
    ringing: tuple[DeviceId, ...]


class SkillQueues:
    """Implements `Queues` of the IVR: `async with SkillQueues(controller, skills, is_reached)`."""

    def __init__(
        self,
        controller: CallController,
        skills: Sequence[Skill],
        is_reached: Callable[[DeviceId], bool],
        keep: Keeper = once,
    ) -> None:
        """Set up; `is_reached` says so of devices that need not register.

        `keep` keeps our reader of events alive.
        """
        self._controller = controller
        self._is_reached = is_reached
        self._keep = keep
        self._queue = Queue({skill.code: skill for skill in skills})
        self._devices = {device for skill in skills for device in skill.devices}
        self._calls: dict[Ticket, Waiting] = {}
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = asyncio.TaskGroup()
        self._follower: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<SkillQueues {len(self._queue.waiting)} wait>"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        if self._devices:
            keeping = self._keep("queues: events", self._follow)
            self._follower = self._tasks.create_task(keeping, name="queues: events, kept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._follower is not None:
            self._follower.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.__aexit__(None, None, None)

    def facts(self) -> list[QueueFacts]:
        """How each skill's queue is now."""
        now, presence = self._now(), self._all_presence()
        return [
            QueueFacts(
                skill.code,
                skill.devices,
                sum(presence[device].reachable for device in skill.devices),
                sum(presence[device] == Presence(reachable=True) for device in skill.devices),
                tuple(now - each.since for each in self._waiting_for(skill)),
                tuple(each.at for each in self._waiting_for(skill) if each.at is not None),
            )
            for skill in self._queue.skills.values()
        ]

    # -- asked by calls ---------------------------------------------------------------------------

    def enter(self, call: Waiting, skill: str) -> None:
        """See `Queues`."""
        ticket = Ticket(next(self._numbers))
        self._calls[ticket] = call
        self._look()
        self._do(q.enter(self._queue, ticket, skill, self._now()))

    def leave(self, call: Waiting) -> None:
        """See `Queues`."""
        if (ticket := self._ticket_of(call)) is not None:
            del self._calls[ticket]
            self._do(q.leave(self._queue, ticket, self._now()))

    def refused(self, call: Waiting, cause: Cause) -> None:
        """See `Queues`."""
        if (ticket := self._ticket_of(call)) is not None:
            log.info("a queued call was not taken", cause=str(cause))
            self._look()
            self._do(q.refused(self._queue, ticket, self._now()))

    # -- inside -----------------------------------------------------------------------------------

    def _ticket_of(self, call: Waiting) -> Ticket | None:
        return next((each for each, known in self._calls.items() if known is call), None)

    def _do(self, outcome: Outcome) -> None:
        self._queue, actions = outcome
        for action in actions:
            call = self._calls.get(action.ticket)
            if call is None:
                continue
            match action:
                case q.Offer(device=device):
                    call.offer(device)
                case q.Withdraw():
                    call.withdraw()
                case q.TurnAway(ticket, reason):
                    del self._calls[ticket]
                    call.turned_away(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := q.deadline(self._queue)) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(deadline, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        self._look()
        self._do(q.settle(self._queue, self._now()))

    async def _follow(self) -> None:
        """Whatever is told may mean that a device is free, or gone."""
        while True:
            events = self._controller.subscribe()
            self._see()
            try:
                async for _ in events:
                    self._see()
                return
            except EventsMissed:
                log.warning("events were missed", waiting=len(self._queue.waiting))

    def _see(self) -> None:
        if self._queue.waiting:
            self._do(q.seen(self._queue, self._all_presence(), self._now()))

    def _look(self) -> None:
        """Take note of how the devices are."""
        self._queue = replace(self._queue, presence=self._all_presence())

    def _all_presence(self) -> dict[DeviceId, Presence]:
        whereabouts = self._controller.whereabouts
        busy = {device for device in self._devices if whereabouts.calls_of(device)}
        registered = {
            event.device
            for event in self._controller.registrations()
            if isinstance(event, DeviceRegistered)
        }
        return {
            device: Presence(device in registered or self._is_reached(device), device in busy)
            for device in self._devices
        }

    def _waiting_for(self, skill: Skill) -> list[q.Place]:
        return [each for each in self._queue.waiting if each.skill == skill.code]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
