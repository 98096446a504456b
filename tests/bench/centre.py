"""A centre at work: the same agents and calls by the native interface, and by BasicCall's pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from endpoint.app.certificates import client_context
from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import agentmessages as agents
from tests.bench.desks import (
    AWAY,
    BACK,
    HELD,
    READY,
    Answered,
    Desk,
    Shift,
    Walk,
    agent_of,
    device_of,
    shift,
)
from tests.bench.office import Journal, Office
from tests.bench.pages import PageInterface
from tests.bench.report import Row
from tests.bench.rtpload import Ground
from tests.bench.signalling import quantile

EVENT_P99_MS: Final = 100.0
AGENT_KB: Final = 30.0
"""A connection without TLS, and all that is kept of its agent."""


class NativeDesk:
    """An agent with a client of the native interface."""

    def __init__(self, number: int, client: EndpointClient, shown: str) -> None:
        self.agent, self.device = agent_of(number), device_of(number)
        self.journal = Journal()
        self._client = client
        self._shown = shown

    async def call(self, other: Desk, length_s: float) -> list[Answered]:
        """See `Desk`."""
        do, walk = self._client, Walk(self.journal, self.device, length_s)
        made = await walk.timed("call", do.make_call(self.device, other.device), "Originated")
        call = made.call
        await other.journal.next("Established", other.device, walk.began)
        await walk.at(HELD)
        await walk.timed("hold", do.hold(self.device, call), "Held")
        await walk.at(BACK)
        await walk.timed("retrieve", do.retrieve(self.device, call), "Retrieved")
        await walk.at(AWAY)
        away = do.set_not_ready(self.agent, "", self._shown)
        await walk.timed("not-ready", away, "AgentPendingState")
        await walk.at(READY)
        await walk.timed("ready", do.set_ready(self.agent, self._shown), "AgentPendingState")
        await walk.at(1)
        await walk.timed("end", do.end(self.device, call), "CallCleared")
        await self.journal.next("AgentReady", self.device, walk.began)
        return walk.answered


class NativeInterface:
    """REST, and a WebSocket of events for each agent."""

    def __init__(self) -> None:
        self.sections: Mapping[str, object] = {}

    @asynccontextmanager
    async def desks(self, at: Office, count: int) -> AsyncIterator[Sequence[NativeDesk]]:
        """See `Interface`."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            desks: list[NativeDesk] = []
            for number in range(count):
                wanted = agents.LogOnAgent(device_of(number), ready=True)
                shown = (await at.client.log_on(agent_of(number), wanted)).delegator_id
                desk = NativeDesk(number, at.client, shown)
                opened = at.client.agent_events(desk.agent, shown)
                frames = await stack.enter_async_context(opened)
                group.create_task(desk.journal.keep(frames))
                desks.append(desk)
            yield desks
            await stack.aclose()

    @asynccontextmanager
    async def secure_sockets(self, at: Office, count: int) -> AsyncIterator[None]:
        """See `Interface`."""

        async def read(frames: AgentFrames) -> None:
            async for _ in frames:
                pass

        trust = client_context(at.authority)
        async with (
            EndpointClient(at.running.url, at.token, ssl_context=trust) as client,
            AsyncExitStack() as stack,
            asyncio.TaskGroup() as group,
        ):
            for number in range(count):
                opened = client.agent_events(agent_of(number))
                group.create_task(read(await stack.enter_async_context(opened)))
            yield
            await stack.aclose()


async def centre(ground: Ground) -> list[Row]:
    """Both interfaces, one after the other, each at an endpoint that is new."""
    native = await shift(ground, "centre", NativeInterface())
    interface = PageInterface()
    pages = await shift(ground, "pages", interface)
    hellos = {
        "WSHello p50": quantile(interface.hello_ms, 0.5),
        "WSHello p99": quantile(interface.hello_ms, 0.99),
        "WSHello max": max(interface.hello_ms),
    }
    return [
        *_rows("centre", native),
        *_rows("pages", pages, beside=native, more=hellos),
    ]


def _rows(
    name: str,
    found: Shift,
    *,
    beside: Shift | None = None,
    more: Mapping[str, float] | None = None,
) -> list[Row]:
    """What was found of one interface, beside what was of another."""
    peer = "" if beside is None else "native"
    return [
        Row(
            name=f"{name}-event",
            what=f"{found.what}: from a command until its agent's socket has the event, p99",
            unit="ms",
            ours=_p99_ms(found),
            peer_name=peer,
            peer=None if beside is None else _p99_ms(beside),
            limit=EVENT_P99_MS,
            details={**found.quantiles_ms, **(more or {})},
        ),
        Row(
            name=f"{name}-failed",
            what=f"of {found.calls} calls: not all done and told; telephones that hear wrongly",
            unit="",
            ours=found.failed + found.wrong,
            limit=0,
        ),
        Row(
            name=f"{name}-agent",
            what="resident memory of the control process for an agent that listens, plain",
            unit="KB",
            ours=round(found.plain_kb, 1),
            peer_name=peer,
            peer=None if beside is None else round(beside.plain_kb, 1),
            limit=AGENT_KB,
            details={
                "another socket over TLS, KB": round(found.tls_kb, 1),
                "in the second half of the work, KB": round(found.grown_kb, 1),
            },
        ),
        Row(
            name=f"{name}-delivery",
            what=f"{found.what}: processor time of the control process, for a message that a "
            "socket got",
            unit="ms",
            ours=_delivery_ms(found),
            peer_name=peer,
            peer=None if beside is None else _delivery_ms(beside),
            details={
                "messages that sockets got, a core-second": found.deliveries / found.cpu_s,
                "a second": found.deliveries / found.passed_s,
                "CPU of the control process, %": 100 * found.cpu_s / found.passed_s,
            },
        ),
    ]


def _p99_ms(found: Shift) -> float:
    return quantile(found.ms(), 0.99)


def _delivery_ms(found: Shift) -> float:
    return round(1000 * found.cpu_s / found.deliveries, 3)
