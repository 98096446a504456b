"""A centre at work: agents that listen, calls with audio, and commands in them.

Each agent is logged on, has a registered telephone, and a WebSocket of its own. Calls begin at an
even rate and last; in each one is held, taken back, and the agent wants to be not ready and ready
again. What is measured is how soon the agent's own socket has the event of its command.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from endpoint.app.certificates import client_context
from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import directorymessages as directory
from tests.bench.crowd import Member, Members
from tests.bench.office import Journal, Office, now, office
from tests.bench.report import Row
from tests.bench.rtpload import Ground, cpu_time_s
from tests.bench.signalling import quantile

CALL_S: Final = 10.0
CALLS_A_SECOND: Final = 5.0
MOST_BUSY: Final = 0.8
"""Of the agents, at once: whoever has just hung up rests a little."""
EVENT_P99_MS: Final = 100.0
AGENT_KB: Final = 30.0
HELD, BACK, AWAY, READY = 0.313, 0.527, 0.611, 0.705
"""When in a call each is asked for, as a share of it: not just when others begin theirs."""


class Answered(NamedTuple):
    """A command, and how soon its event came to its agent's socket."""

    name: str
    ms: float


class Desk:
    """One agent, with its client."""

    def __init__(self, number: int, client: EndpointClient, shown: str) -> None:
        self.agent, self.device = agent_of(number), device_of(number)
        self.journal = Journal()
        self._client = client
        self._shown = shown

    async def call(self, other: Desk, length_s: float) -> list[Answered]:
        """Call a colleague for so long, with all that agents do meanwhile."""
        begin = asyncio.get_running_loop().time()
        answered: list[Answered] = []

        async def at(share: float) -> None:
            await asyncio.sleep(begin + share * length_s - asyncio.get_running_loop().time())

        async def timed(name: str, command: Awaitable[object], event: str) -> object:
            sent = now()
            done = await command
            told = await self.journal.next(event, self.device, sent)
            answered.append(Answered(name, 1000 * (told.at - sent)))
            return done

        do, began = self._client, now()
        call = (await do.make_call(self.device, other.device)).call
        originated = await self.journal.next("Originated", self.device, began)
        answered.append(Answered("call", 1000 * (originated.at - began)))
        await self.journal.next("Established", other.device, began)
        await at(HELD)
        await timed("hold", do.hold(self.device, call), "Held")
        await at(BACK)
        await timed("retrieve", do.retrieve(self.device, call), "Retrieved")
        await at(AWAY)
        away = do.set_not_ready(self.agent, "", self._shown)
        await timed("not-ready", away, "AgentPendingState")
        await at(READY)
        await timed("ready", do.set_ready(self.agent, self._shown), "AgentPendingState")
        await at(1)
        await timed("end", do.end(self.device, call), "CallCleared")
        await self.journal.next("AgentReady", self.device, began)
        return answered


def agent_of(number: int) -> str:
    """The number by which it logs on."""
    return f"1{number:04}"


def device_of(number: int) -> str:
    """Its telephone."""
    return f"7{number:04}"


async def centre(ground: Ground) -> list[Row]:
    """As many agents as there are legs in other benches."""
    count = ground.legs
    tones_hz = (1000, 1400)
    users = {device_of(number): Member(tones_hz[number % 2]) for number in range(count)}
    members = Members(users, core=ground.load_core)
    async with office(ground, ground.folder / "centre", members) as at:
        for number in range(count):
            entry = directory.Agent(agent_of(number), devices=[device_of(number)])
            await at.client.add_to_directory("agents", entry)
        ground.say(f"{count} agents log on")
        before_kb = resident_kb(at.pid)
        async with listening(at.client, at.client, count) as desks:
            await asyncio.sleep(1)
            plain_kb = (resident_kb(at.pid) - before_kb) / count
            before_kb = resident_kb(at.pid)
            async with secure(at) as client, onlookers(client, count):
                await asyncio.sleep(1)
                tls_kb = (resident_kb(at.pid) - before_kb) / count
            worked = await work(ground, at, desks)
            heard = await at.crowd.heard()
    told = [each.ms for each in worked.answered]
    rate = worked.rate
    what = f"{count} agents, {rate:g} calls a second of {worked.length_s:g} s"
    kinds = dict.fromkeys(each.name for each in worked.answered)
    wrong = 0
    for number in range(min(2 * worked.calls, count // 2 * 2)):
        own, other = (heard[device_of(number)].voices[:, x % 2].any() for x in (number, number + 1))
        wrong += bool(own or not other)
    return [
        Row(
            name="centre-event",
            what=f"{what}: from a command until its agent's socket has the event, p99",
            unit="ms",
            ours=quantile(told, 0.99),
            limit=EVENT_P99_MS,
            details={"p50": quantile(told, 0.5), "max": max(told)}
            | {
                f"{kind} p99": quantile([x.ms for x in worked.answered if x.name == kind], 0.99)
                for kind in kinds
            },
        ),
        Row(
            name="centre-failed",
            what=f"of {worked.calls} calls: not all done and told; telephones that hear wrongly",
            unit="",
            ours=worked.failed + wrong,
            limit=0,
        ),
        Row(
            name="centre-agent",
            what="resident memory of the control process for an agent that listens, plain",
            unit="KB",
            ours=round(plain_kb, 1),
            limit=AGENT_KB,
            details={"another socket over TLS, KB": round(tls_kb, 1)},
        ),
        Row(
            name="centre-delivery",
            what=f"{what}: processor time of the control process, for an event that a socket got",
            unit="ms",
            ours=round(1000 * worked.cpu_s / worked.deliveries, 3),
            details={
                "events that sockets got, a core-second": worked.deliveries / worked.cpu_s,
                "a second": worked.deliveries / worked.passed_s,
                "CPU of the control process, %": 100 * worked.cpu_s / worked.passed_s,
            },
        ),
    ]


@asynccontextmanager
async def listening(
    client: EndpointClient, sockets: EndpointClient, count: int
) -> AsyncIterator[list[Desk]]:
    """All agents logged on, each with a socket of its own."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        desks: list[Desk] = []
        for number in range(count):
            wanted = agents.LogOnAgent(device_of(number), ready=True)
            shown = (await client.log_on(agent_of(number), wanted)).delegator_id
            desk = Desk(number, client, shown)
            opened = sockets.agent_events(desk.agent, shown)
            frames = await stack.enter_async_context(opened)
            group.create_task(desk.journal.keep(frames))
            desks.append(desk)
        yield desks
        await stack.aclose()


@asynccontextmanager
async def onlookers(client: EndpointClient, count: int) -> AsyncIterator[None]:
    """One socket more for each agent."""

    async def read(frames: AgentFrames) -> None:
        async for _ in frames:
            pass

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for number in range(count):
            opened = client.agent_events(agent_of(number))
            group.create_task(read(await stack.enter_async_context(opened)))
        yield
        await stack.aclose()


@asynccontextmanager
async def secure(at: Office) -> AsyncIterator[EndpointClient]:
    """A client of the same endpoint, over TLS."""
    trust = client_context(at.authority)
    async with EndpointClient(at.running.url, at.token, ssl_context=trust) as client:
        yield client


class Worked(NamedTuple):
    """What came of the calls."""

    answered: list[Answered]
    calls: int
    failed: int
    rate: float
    length_s: float
    deliveries: int
    passed_s: float
    cpu_s: float


async def work(ground: Ground, at: Office, desks: list[Desk]) -> Worked:
    """Calls at an even rate: whoever has rested longest calls the next one who has."""
    pairs = len(desks) // 2
    length_s = min(CALL_S, max(1.0, ground.calls_s / 2))
    rate = min(CALLS_A_SECOND, MOST_BUSY * pairs / length_s)
    calls = max(1, round(rate * ground.calls_s))
    ground.say(f"{calls} calls, {rate:g} a second")
    begin, cpu_before_s = asyncio.get_running_loop().time(), cpu_time_s(at.pid)
    received_before = sum(len(each.journal.told) for each in desks)

    async def one(number: int) -> list[Answered]:
        await asyncio.sleep(begin + number / rate - asyncio.get_running_loop().time())
        pair = number % pairs
        return await desks[2 * pair].call(desks[2 * pair + 1], length_s)

    outcomes = await asyncio.gather(*map(one, range(calls)), return_exceptions=True)
    passed_s = asyncio.get_running_loop().time() - begin
    cpu_s = cpu_time_s(at.pid) - cpu_before_s
    failures = Counter(repr(each)[:200] for each in outcomes if isinstance(each, BaseException))
    for failure, times in failures.items():
        ground.say(f"failed {times} times: {failure}")
    answered = [each for outcome in outcomes if isinstance(outcome, list) for each in outcome]
    return Worked(
        answered,
        calls,
        failures.total(),
        rate,
        length_s,
        sum(len(each.journal.told) for each in desks) - received_before,
        passed_s,
        cpu_s,
    )


def resident_kb(pid: int) -> float:
    """Of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4.0
