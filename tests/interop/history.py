"""Random clients of agents against an endpoint that is killed, loses its database and its sockets.

Everything that was asked, answered and told is written down, and looked at afterwards: what was
answered is never lost, what was told is told once and in one order, whoever was told it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory

from .serving import Serving

AGENTS = {"1001": "6001", "1002": "6002", "1003": "6003"}
"""Where each works; one day of two also elsewhere."""
SPARE = "6004"
MOVING = ("busy", "workingAfterCall")
"""What an agent is not for long."""
CUSTOMER = "6009"
PATIENCE_S = 120.0
LOST = (EndpointUnreachable, ConnectionError, TimeoutError)


@dataclass
class Told:
    """What one agent's clients have seen, over all their sockets."""

    frames: dict[int, tuple[str, dict[str, object]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def take(self, frame: wire.AgentEventFrame, after: int) -> None:
        """Note one; it must be the next, and the same as whoever saw it before has seen."""
        if frame.number != after + 1:
            self.faults.append(f"{frame.number} came after {after}")
        seen = (frame.event, frame.fields)
        if self.frames.setdefault(frame.number, seen) != seen:
            self.faults.append(f"{frame.number} was {self.frames[frame.number]}, now it is {seen}")


@dataclass
class Acknowledged:
    """A command that was answered: it must be in the log for ever."""

    what: str
    number: int
    """Of the log behind it."""
    run: int


@dataclass
class History:
    """One run: `async with`-less, made by `played`."""

    serving: Serving
    random: random.Random
    told: dict[str, Told] = field(default_factory=lambda: {agent: Told() for agent in AGENTS})
    done: dict[str, list[Acknowledged]] = field(
        default_factory=lambda: {agent: [] for agent in AGENTS}
    )
    owners: dict[str, str] = field(default_factory=dict)
    """The `delegator_id` that was given last."""
    dead: dict[str, set[str]] = field(default_factory=lambda: {agent: set() for agent in AGENTS})
    """Those that were given before."""
    calls: set[str] = field(default_factory=set)
    run: int = 0
    sockets_lost: int = 0

    @property
    def client(self) -> EndpointClient:
        return self.serving.client

    # -- what clients do --------------------------------------------------------------------------

    async def log_on(self, agent: str) -> None:
        device = self.random.choice((AGENTS[agent], AGENTS[agent], SPARE))
        wanted = wire.LogOnAgent(
            device,
            ready=self.random.random() < 0.5,
            take_over=self.random.random() < 0.5,
            keep_logged_on=True,
        )
        logged_on = await self.client.log_on(agent, wanted)
        if agent in self.owners:
            self.dead[agent].add(self.owners[agent])
        self.owners[agent] = logged_on.delegator_id
        self.done[agent].append(Acknowledged("log-on", logged_on.agent.number, self.run))

    async def ready(self, agent: str) -> None:
        number = await self.client.set_ready(agent, self.owners.get(agent, ""))
        self.done[agent].append(Acknowledged("ready", number, self.run))

    async def not_ready(self, agent: str) -> None:
        reason = self.random.choice(("rest", "meal", "meeting"))
        for _ in range(self.random.choice((1, 1, 2))):  # asked twice, as by who had no answer
            number = await self.client.set_not_ready(agent, reason, self.owners.get(agent, ""))
        self.done[agent].append(Acknowledged(f"not-ready {reason}", number, self.run))

    async def forced(self, agent: str) -> None:
        number = await self.client.set_not_ready(agent, "other")
        self.done[agent].append(Acknowledged("not-ready other", number, self.run))

    async def work_mode(self, agent: str) -> None:
        mode = self.random.choice((0, 3, 6))
        number = await self.client.set_work_mode(agent, mode, self.owners.get(agent, ""))
        self.done[agent].append(Acknowledged(f"work-mode {mode}", number, self.run))

    async def finish(self, agent: str) -> None:
        await self.client.finish_wrap_up(agent, self.owners.get(agent, ""))

    async def log_off(self, agent: str) -> None:
        number = await self.client.log_off(agent, self.owners.get(agent, ""))
        self.done[agent].append(Acknowledged("log-off", number, self.run))

    async def dial(self, agent: str) -> None:
        accepted = await self.client.make_call(AGENTS[agent], CUSTOMER)
        self.calls.add(accepted.call)

    async def hang_up(self, agent: str) -> None:
        for call in await self.client.calls():
            if any(party.device == AGENTS[agent] for party in call.parties):
                await self.client.clear(AGENTS[agent], call.call)

    async def guess(self, agent: str) -> None:
        old = sorted(self.dead[agent])
        if old:
            await self.client.set_ready(agent, self.random.choice(old))
            self.told[agent].faults.append("an old delegator_id was taken")

    # -- and what happens to them -----------------------------------------------------------------

    async def play(self, ops: int) -> None:
        """All clients at once, one kill in the middle, the database locked for a while."""
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            for agent in AGENTS:
                group.create_task(self._listen(agent, stop))
            await self._commands(ops // 3)
            async with self._locked():
                await self._commands(ops // 3)
                # In it: what was answered and is on its way to the database must be there after.
                await self.serving.kill()
            self.run += 1
            await self.serving.start()
            await self._commands(ops // 3)
            await self._settle()
            stop.set()

    async def _commands(self, count: int) -> None:
        async def one(agent: str) -> None:
            steps: list[Callable[[str], Awaitable[None]]] = [
                self.log_on,
                self.log_on,
                self.ready,
                self.not_ready,
                self.not_ready,
                self.forced,
                self.work_mode,
                self.finish,
                self.log_off,
                self.dial,
                self.dial,
                self.hang_up,
                self.hang_up,
                self.guess,
            ]
            for _ in range(count // len(AGENTS)):
                with suppress(RequestRefused, *LOST):
                    await self.random.choice(steps)(agent)

        async with asyncio.TaskGroup() as group:
            for agent in AGENTS:
                group.create_task(one(agent))

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self.serving.state.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    async def _listen(self, agent: str, stop: asyncio.Event) -> None:
        """Follow an agent's log through sockets that are lost, each behind the last event."""
        after = 0
        while not stop.is_set():
            with suppress(RequestRefused, *LOST):
                async with self.client.agent_events(agent, after=after) as frames:
                    after = await self._read(agent, frames, after, stop)
                self.sockets_lost += 1
            await asyncio.sleep(0.02)

    async def _read(self, agent: str, frames: AgentFrames, after: int, stop: asyncio.Event) -> int:
        left = self.random.randint(3, 20)
        while left and not stop.is_set():
            try:
                async with asyncio.timeout(0.2):
                    frame = await anext(frames)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
            if isinstance(frame, wire.AgentEventFrame):
                self.told[agent].take(frame, after)
                after = frame.number
                left -= 1
            elif isinstance(frame, wire.AgentSnapshot) and frame.missed:
                self.told[agent].faults.append("events were missed")
        return after

    async def _settle(self) -> None:
        """Calls end, and everybody has seen all that was told."""
        async with asyncio.timeout(PATIENCE_S):
            while calls := await self.client.calls():
                for call in calls:
                    with suppress(RequestRefused):
                        await self.client.end(call.parties[0].device, call.call)
                await asyncio.sleep(0.05)
            while moving := [each for each in await self.client.agents() if each.state in MOVING]:
                async with self.client.agent_events(moving[0].agent) as frames:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await anext(frames)  # what is so; then what changes
                            await anext(frames)
            for agent in AGENTS:
                last = (await self.client.agent(agent)).number
                while last > max(self.told[agent].frames, default=0):  # noqa: ASYNC110 - others read
                    await asyncio.sleep(0.05)

    async def log_of(self, agent: str) -> list[wire.AgentEventFrame]:
        """The whole log, as it is read at the end."""
        last = (await self.client.agent(agent)).number
        found: list[wire.AgentEventFrame] = []
        async with asyncio.timeout(PATIENCE_S):
            async with self.client.agent_events(agent, after=0) as frames:
                while len(found) < last:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        found.append(frame)
        return found


async def set_up(client: EndpointClient) -> None:
    """The directory of the centre."""
    agents = [directory.Agent(agent, wrap_up_s=0.2) for agent in AGENTS]
    await client.bring_into_directory(directory.DirectoryImport(agents=agents))
