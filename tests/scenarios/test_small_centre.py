"""A day in a small centre: who gets which call when, as a model of the rules has it.

IVRs, queues, agents' sessions and call control are ours; telephones and customers are played.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from endpoint.agents.directory import (
    Contents,
    DirectoryInUse,
    KnownPasswords,
    NoAnswer,
    Overflow,
    QueueSettings,
    SkillWanted,
)
from endpoint.agents.logon import LogOn
from endpoint.agents.model import Agent, AgentId, AgentState, LeaveReason, SkillLevel
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.agents.session import SetNotReady, SetReady
from endpoint.callcontrol import events as told
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios import smallcentre as day
from tests.scenarios.ivrdesk import IvrDesk, open_ivr_desk
from tests.scenarios.rosters import RosterCrew
from tests.scenarios.smallcentre import Customer, Line, Model, Worker, World, draw

pytestmark = pytest.mark.scenario

FLOW = """
start = "queue"

[node.queue]
kind = "queue"
queue = "{called}"
nobody = "end"
timeout = "end"
max_wait_s = 86400

[node.end]
kind = "hangup"
"""
SEED = 7
STAYS = Liveness(grace_s=None)


def queues() -> list[QueueSettings]:
    source, after_s, target = day.OVERFLOWS
    return [
        QueueSettings(
            code,
            skills=(SkillWanted(skill, day.LEVELS[code]),),
            priority=day.PRIORITIES[code],
            ring_s=day.RING_S,
            rest_s=day.REST_S,
            no_answer=NoAnswer.LEAVE if code == day.SETS_ASIDE else NoAnswer.NEXT,
            no_answer_reason="asleep" if code == day.SETS_ASIDE else "",
            overflow=Overflow(after_s=after_s, queue=target) if code == source else None,
            most_waiting=day.MOST_WAITING.get(code),
        )
        for code, skill in day.QUEUES.items()
    ]


def agent_of(worker: Worker) -> AgentId:
    return AgentId(f"a{worker.device}")


class Day:
    """The world comes to an endpoint; what becomes of it is written down."""

    def __init__(self, world: World, desk: IvrDesk, roster: Roster) -> None:
        self.world = world
        self.desk = desk
        self.roster = roster
        self.lines: list[Line] = []
        self._customers = {each.number: each for each in world.customers}
        self._attempts: Counter[str] = Counter()
        self._waiting: set[str] = set()

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        for worker in self.world.workers:
            agent, device = agent_of(worker), DeviceId(worker.device)
            await self.roster.log_on(LogOn(agent=agent, device=device, ready=True, liveness=STAYS))
            for begin, end in worker.leaves:
                loop.call_at(begin, self.roster.do, agent, SetNotReady("rest"))
                loop.call_at(end, self.roster.do, agent, SetReady())
        unwatch = self.roster.watch(self._look)
        self.desk.exchange.placing = self._ring
        for customer in self.world.customers:
            loop.call_at(customer.at, self._come, customer)
        await self._read()
        unwatch()

    def _note(self, number: str, what: str, where: str) -> None:
        self.lines.append((asyncio.get_running_loop().time(), number, what, where))

    # -- agents -----------------------------------------------------------------------------------

    def _look(self, agent: AgentId) -> None:
        """Whoever was set aside by a queue comes back."""
        session = self.roster.session(agent)
        if session is None or session.state is not AgentState.NOT_READY:
            return
        if session.rest.reason == "asleep":
            loop = asyncio.get_running_loop()
            loop.call_at(session.since + day.BACK_S, self.roster.do, agent, SetReady())

    def _ring(self, leg: FakeLeg) -> None:
        assert leg.request is not None
        customer = self._customers[leg.request.calling_name]
        self._note(customer.number, "rings", leg.device)
        leg.ring()
        ring = customer.ring(self.world.seed, self._attempts[customer.number])
        self._attempts[customer.number] += 1
        if ring.what != "lets it ring":
            loop = asyncio.get_running_loop()
            loop.call_later(ring.after_s, self._do, ring.what, leg, customer)

    def _do(self, what: str, leg: FakeLeg, customer: Customer) -> None:
        if leg.is_over:
            return
        if what == "declines":
            leg.refuse(Cause.DECLINED)
            return
        self._waiting.discard(customer.number)
        self._note(customer.number, "answered", leg.device)
        leg.answer()
        asyncio.get_running_loop().call_later(customer.talk_s, leg.hang_up)

    # -- customers --------------------------------------------------------------------------------

    def _come(self, customer: Customer) -> None:
        leg = self.desk.exchange.offer(customer.number, customer.queue, LegRole.LINE)
        self._waiting.add(customer.number)
        loop = asyncio.get_running_loop()
        loop.call_later(customer.patience_s, self._lose_patience, customer, leg)

    def _lose_patience(self, customer: Customer, leg: FakeLeg) -> None:
        if customer.number in self._waiting and not leg.is_over:
            leg.hang_up()

    async def _read(self) -> None:
        """What is told of queues, until every call is over."""
        left = len(self.world.customers)
        async for numbered in self.desk.desk.controller.subscribe():
            match numbered.event:
                case told.LeftQueue(calling=number, outcome="abandoned", queue=queue):
                    self._note(number, "abandoned", queue)
                case told.LeftQueue(calling=number, outcome="overflow"):
                    self._note(number, "moved", day.OVERFLOWS[2])
                case told.IvrVisited(calling=number, result="full", device=queue):
                    self._note(number, "turned away", queue)
                case told.CallCleared():
                    left -= 1
                    if left % 50 == 0:
                        self.desk.exchange.forget_what_is_over()
                case _:
                    pass
            if not left:
                return


def rounded(lines: list[Line]) -> list[Line]:
    """In one order, where the last bits of a time are another's."""
    return sorted((round(at, 3), number, what, where) for at, number, what, where in lines)


async def what_becomes_of(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Line], IvrDesk]:
    agents = tuple(
        Agent(
            agent_of(each),
            skills=tuple(SkillLevel(name, level) for name, level in each.skills.items()),
            wrap_up_s=each.wrap_up_s,
        )
        for each in world.workers
    )
    contents = Contents(
        agents,
        queues=tuple(queues()),
        reasons=(LeaveReason("rest", "Rest"), LeaveReason("asleep", "Did not answer")),
    )
    directory = DirectoryInUse(KnownPasswords({}), contents)
    crew = RosterCrew(directory, needs_no_registration=True)

    (tmp_path / "flow.toml").write_text(FLOW)
    async with open_ivr_desk(
        monkeypatch,
        tmp_path / "flow.toml",
        list(day.QUEUES),
        [],
        directory=directory,
        crew=crew,
        check=False,
    ) as desk:
        lived = Day(world, desk, crew.roster)
        await lived.live()
        return lived.lines, desk


async def compare(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What has become of the calls, where it is what the model says; else where they part."""
    expected = rounded(Model(world).run())
    lines, desk = await what_becomes_of(world, tmp_path, monkeypatch)
    found = rounded(lines)
    for at, (one, other) in enumerate(zip(found, expected, strict=False)):
        assert one == other, (
            f"{found[max(0, at - 8) : at + 4]}\n{expected[max(0, at - 8) : at + 4]}"
        )
    assert len(found) == len(expected)
    counted: Counter[str] = Counter()
    for (_, outcome), number in desk.queues.tally.outcomes.items():
        counted[outcome] += number
    of_model = Counter(what for _, _, what, _ in expected)
    assert counted["answered"] == of_model["answered"]
    assert counted["abandoned"] == of_model["abandoned"]
    return of_model


def all_happens(of_model: Counter[str]) -> None:
    """Else the day shows nothing."""
    assert of_model["answered"] > 5 * of_model["abandoned"] / 2 > 50
    assert of_model["moved"] > 3
    assert of_model["turned away"] > 3
    assert of_model["rings"] > 1.1 * of_model["answered"]


async def test_a_morning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_happens(await compare(draw(SEED, 600, 30, 3), tmp_path, monkeypatch))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 11))
async def test_a_day(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_happens(await compare(draw(seed, 2000, 30, 10), tmp_path, monkeypatch))
