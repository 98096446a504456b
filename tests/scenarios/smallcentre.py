"""A day in a small centre: who calls and who works, and what follows, by another mechanism.

The world is drawn before anything happens: when each call comes, for what, how long its caller has
patience, how long they talk; when agents leave and come back; and for each time that a call is
offered whether it is answered, and when. The model is a plain simulation of events in a heap that
looks at lists which it sorts. It knows the rules as docs/queues.md has them, and none of the code.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

RING_S = 20.0
"""So long every queue lets it ring at one agent."""
REST_S = 15.0
BACK_S = 45.0
"""Who was set aside comes back after so long."""
QUEUES = {"901": "orders", "902": "repairs", "903": "other"}
"""Each wants one skill,"""
LEVELS = {"901": 1, "902": 3, "903": 1}
"""at this level or more."""
PRIORITIES = {"901": 2, "902": 2, "903": 0}
SETS_ASIDE = "902"
"""Here who does not answer is not ready from then on."""
OVERFLOWS = ("903", 40.0, "901")
"""From, after how long, where to."""
MOST_WAITING = {"901": 6}


@dataclass(frozen=True, slots=True)
class Ring:
    """What an agent does when one call rings."""

    after_s: float
    what: str
    """`answers`, `declines` or `lets it ring`."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A call, before it comes."""

    number: str
    at: float
    queue: str
    patience_s: float
    talk_s: float

    def ring(self, seed: int, attempt: int) -> Ring:
        """What becomes of it when it rings for the how manieth time, wherever that is."""
        draw = random.Random(f"{seed} {self.number} {attempt}")
        chance, after_s = draw.random(), draw.uniform(1, 12)
        what = "answers" if chance < 0.88 else "declines" if chance < 0.92 else "lets it ring"
        return Ring(after_s, what)


@dataclass(frozen=True, slots=True)
class Worker:
    """An agent, before the day begins."""

    device: str
    skills: dict[str, int]
    wrap_up_s: float
    leaves: tuple[tuple[float, float], ...]
    """From when, and until when."""


@dataclass(frozen=True, slots=True)
class World:
    """All that is drawn."""

    seed: int
    customers: list[Customer]
    workers: list[Worker]


def draw(seed: int, calls: int, agents: int, hours: float) -> World:
    """A day by Poisson's law, with as much to do as so many agents can, nearly."""
    dice = random.Random(seed)
    day_s, now = hours * 3600, 0.0
    talk_s = 0.9 * agents * day_s / calls
    customers = []
    for number in range(calls):
        now += dice.expovariate(calls / day_s)
        queue = dice.choices(list(QUEUES), (5, 3, 2))[0]
        patience_s = dice.expovariate(1 / 240)
        talk = 5 + dice.expovariate(1 / talk_s)
        customers.append(Customer(f"1{number:05}", now, queue, patience_s, talk))
    workers = []
    for number in range(agents):
        names = list(QUEUES.values())
        skills = {name: dice.randint(1, 9) for name in dice.sample(names, dice.randint(1, 3))}
        leaves, at = [], dice.uniform(0, 7200)
        while at < now:
            until = at + dice.uniform(120, 900)
            leaves.append((at, until))
            at = until + dice.uniform(1800, 7200)
        wrap_up_s = dice.choice([0.0, 10.0, dice.uniform(5, 40)])
        workers.append(Worker(f"{6000 + number}", skills, wrap_up_s, tuple(leaves)))
    return World(seed, customers, workers)


Line = tuple[float, str, str, str]
"""When, which call, what: `rings`, `answered`, `abandoned`, `moved`, `turned away`; where."""


@dataclass(slots=True, eq=False)
class _Agent:
    worker: Worker
    wants: bool = True
    call: _Call | None = None
    rung_by: _Call | None = None
    writes_until: float | None = None
    rests_until: float = -1.0
    idle_since: float = 0.0
    was_ready: bool = True

    @property
    def is_ready(self) -> bool:
        return self.wants and not (self.call or self.rung_by or self.writes_until)


@dataclass(slots=True, eq=False)
class _Call:
    customer: Customer
    queue: str
    agent: _Agent | None = None
    is_over: bool = False
    attempts: int = 0
    may_move: bool = False
    """It has waited for long enough to go on."""

    @property
    def rank(self) -> tuple[int, float]:
        return -PRIORITIES[self.customer.queue], self.customer.at


@dataclass(slots=True)
class Model:
    """What has to become of a world."""

    world: World
    lines: list[Line] = field(default_factory=list)
    now: float = 0.0
    _agenda: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: list[_Call] = field(default_factory=list)
    _agents: list[_Agent] = field(default_factory=list)

    def run(self) -> list[Line]:
        """All that happens, in order."""
        for worker in self.world.workers:
            agent = _Agent(worker)
            self._agents.append(agent)
            for begin, end in worker.leaves:
                self._at(begin, lambda agent=agent: self._wish(agent, False))
                self._at(end, lambda agent=agent: self._wish(agent, True))
        for customer in self.world.customers:
            self._at(customer.at, lambda customer=customer: self._come(customer))
        while self._agenda:
            self.now, _, happens = heapq.heappop(self._agenda)
            happens()
            self._settle()
        return self.lines

    def _at(self, when: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), what))

    def _note(self, call: _Call, what: str, where: str) -> None:
        self.lines.append((self.now, call.customer.number, what, where))

    def _settle(self) -> None:
        for agent in self._agents:
            if agent.is_ready and not agent.was_ready:
                agent.idle_since = self.now
            agent.was_ready = agent.is_ready
        for call in list(self._waiting):
            if call.may_move and call.agent is None:
                self._move(call)
        for call in sorted(self._waiting, key=lambda each: each.rank):
            if call.agent is not None:
                continue
            skill, least = QUEUES[call.queue], LEVELS[call.queue]
            able = [
                each
                for each in self._agents
                if each.is_ready
                and each.rests_until <= self.now
                and each.worker.skills.get(skill, 0) >= least
            ]
            able.sort(key=lambda each: each.worker.device)
            able.sort(key=lambda each: each.idle_since)
            able.sort(key=lambda each: each.worker.skills[skill], reverse=True)
            if able:
                self._ring(call, able[0])

    def _come(self, customer: Customer) -> None:
        call = _Call(customer, customer.queue)
        there = sum(each.queue == call.queue for each in self._waiting)
        if there >= MOST_WAITING.get(call.queue, 1000):
            self._note(call, "turned away", call.queue)
            return
        self._waiting.append(call)
        self._at(customer.at + customer.patience_s, lambda: self._lose_patience(call))
        if call.queue == OVERFLOWS[0]:
            self._at(customer.at + OVERFLOWS[1], lambda: self._wait_too_long(call))

    def _wait_too_long(self, call: _Call) -> None:
        call.may_move = call in self._waiting

    def _move(self, call: _Call) -> None:
        call.may_move = False
        there = sum(each.queue == OVERFLOWS[2] for each in self._waiting)
        if there < MOST_WAITING.get(OVERFLOWS[2], 1000):
            call.queue = OVERFLOWS[2]
            self._note(call, "moved", call.queue)

    def _ring(self, call: _Call, agent: _Agent) -> None:
        call.agent, agent.rung_by = agent, call
        agent.was_ready = False
        self._note(call, "rings", agent.worker.device)
        ring = call.customer.ring(self.world.seed, call.attempts)
        call.attempts += 1
        attempt = call.attempts

        def still() -> bool:
            return call.agent is agent and call.attempts == attempt and agent.rung_by is call

        if ring.what == "answers":
            self._at(self.now + ring.after_s, lambda: still() and self._answer(call, agent))
        elif ring.what == "declines":
            self._at(self.now + ring.after_s, lambda: still() and self._refuse(call, agent))
        else:
            self._at(self.now + RING_S, lambda: still() and self._refuse(call, agent))

    def _answer(self, call: _Call, agent: _Agent) -> None:
        self._waiting.remove(call)
        agent.rung_by, agent.call = None, call
        self._note(call, "answered", agent.worker.device)
        self._at(self.now + call.customer.talk_s, lambda: self._end(agent))

    def _end(self, agent: _Agent) -> None:
        agent.call = None
        if agent.worker.wrap_up_s:
            until = agent.writes_until = self.now + agent.worker.wrap_up_s

            def written() -> None:
                if agent.writes_until == until:
                    agent.writes_until = None

            self._at(until, written)

    def _refuse(self, call: _Call, agent: _Agent) -> None:
        call.agent, agent.rung_by = None, None
        if call.queue == SETS_ASIDE:
            agent.wants = False
            self._at(self.now + BACK_S, lambda: self._wish(agent, True))
        else:
            agent.rests_until = self.now + REST_S
            self._at(agent.rests_until, lambda: None)

    def _wish(self, agent: _Agent, wants: bool) -> None:
        agent.wants, agent.writes_until = wants, None

    def _lose_patience(self, call: _Call) -> None:
        if call not in self._waiting:
            return
        self._waiting.remove(call)
        self._note(call, "abandoned", call.queue)
        if call.agent is not None:
            call.agent.rung_by, call.agent = None, None
