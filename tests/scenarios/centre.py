"""A small call centre: telephones that are played, agents of a directory, and a roster of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from endpoint.agents.directory import Contents, DirectoryInUse, KnownPasswords
from endpoint.agents.eventlog import Entry
from endpoint.agents.keeping import Kept
from endpoint.agents.logon import LogOn
from endpoint.agents.model import Agent, AgentId, AgentState, SkillLevel
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import LoggedOn, Roster, RosterSettings
from endpoint.agents.session import AgentCommand, Session
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.agentlogs import MemoryKeeping
from tests.scenarios.desk import PATIENCE_S, Desk, open_desk

PASSWORD = "correct horse"
ANNA, BERT, CARL = AgentId("1001"), AgentId("1002"), AgentId("1003")
AGENTS = (
    Agent(ANNA, "Anna", "sales", skills=(SkillLevel("order"),), wrap_up_s=10),
    Agent(BERT, "Bert", "sales", devices=("60*",)),
    Agent(CARL, "Carl", "sales", enabled=False),
)
STAYS = Liveness(grace_s=None)


class Centre:
    """The roster, and what it stands on."""

    def __init__(
        self, desk: Desk, directory: DirectoryInUse, keeping: MemoryKeeping, roster: Roster
    ) -> None:
        self.desk = desk
        self.directory = directory
        self.keeping = keeping
        self.roster = roster

    async def log_on(
        self,
        agent: AgentId = ANNA,
        device: str = "6001",
        *,
        password: str | None = PASSWORD,
        ready: bool = True,
        take_over: bool = False,
        liveness: Liveness = STAYS,
        mode: int | None = None,
        dials_for_skill: bool | None = None,
        source: str = "192.0.2.1",
    ) -> LoggedOn:
        wanted = LogOn(
            agent=agent,
            device=DeviceId(device),
            password=password,
            ready=ready,
            take_over=take_over,
            liveness=liveness,
            mode=mode,
            dials_for_skill=dials_for_skill,
            source=source,
        )
        return await self.roster.log_on(wanted)

    async def do(self, what: AgentCommand, agent: AgentId = ANNA, by: str | None = None) -> int:
        return await self.roster.command(agent, what, None if by is None else AgentId(by))

    def session(self, agent: AgentId = ANNA) -> Session:
        session = self.roster.session(agent)
        assert session is not None
        return session

    def ready(self) -> list[Session]:
        """Whom queues may offer calls."""
        sessions = self.roster.sessions()
        return [each for each in sessions if each.state is AgentState.READY]

    def state(self, agent: AgentId = ANNA) -> str:
        standing = self.roster.standing(agent)
        assert standing is not None
        return str(standing.state)

    async def log(self, agent: AgentId = ANNA, after: int = 0) -> list[Entry]:
        """All that is told of an agent so far."""
        await asyncio.sleep(0.01)  # of virtual time: all that has happened is heard of
        standing = self.roster.standing(agent)
        assert standing is not None
        if standing.number <= after:
            return []
        found: list[Entry] = []
        async with aclosing(self.roster.follow(agent, after)) as entries:
            async with asyncio.timeout(PATIENCE_S):
                async for entry in entries:
                    found.append(entry)
                    if entry.number == standing.number:
                        break
        return found

    async def story(self, agent: AgentId = ANNA, after: int = 0) -> list[str]:
        """The names of the events."""
        return [type(each.event).__name__ for each in await self.log(agent, after)]

    async def answered_call(self, device: str = "6001") -> None:
        """A customer calls, and the agent's telephone is picked up."""
        _, station = await self.desk.coming_in(called=device)
        station.answer()
        await asyncio.sleep(0.01)

    async def telephone_goes(self, device: str = "6001") -> None:
        self.desk.exchange.unregistered(device, Cause.NORMAL)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def open_centre(
    *,
    keeping: MemoryKeeping | None = None,
    left: Sequence[Kept] = (),
    settings: RosterSettings | None = None,
    agents: Sequence[Agent] = AGENTS,
    check: bool = True,
) -> AsyncIterator[Centre]:
    """A centre whose telephones 6001 and 6002 are registered; 6003 is not, 7001 is not ours."""
    keeping = keeping or MemoryKeeping()
    passwords = KnownPasswords({agent.id: PASSWORD for agent in agents})
    directory = DirectoryInUse(passwords, Contents(tuple(agents)))
    ours = {"6001", "6002", "6003", "6101"}

    async def is_ours(device: DeviceId) -> bool:
        return device in ours

    async with open_desk(check=check) as desk:
        for device in ("6001", "6002", "6101"):
            desk.exchange.registered(device)
        await asyncio.sleep(0.01)
        roster = Roster(
            desk.controller,
            directory,
            keeping,
            is_ours=is_ours,
            settings=settings or RosterSettings(after_all_calls=True),
            left=left,
        )
        keeping.stored = roster.stored
        async with roster:
            yield Centre(desk, directory, keeping, roster)


def with_agent(contents: Contents, agent: Agent) -> Contents:
    """The same, with an agent changed."""
    return replace(
        contents, agents=tuple(agent if each.id == agent.id else each for each in contents.agents)
    )
