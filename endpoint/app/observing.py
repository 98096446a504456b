"""What monitors ask: `/metrics` for figures, `/healthz` if we live, `/readyz` if we serve."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal, Protocol

import msgspec
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from endpoint import logpipe, plaintext
from endpoint.agents.skills import SkillQueues
from endpoint.app.metrics import CONTENT_TYPE, PREFIX, Metrics, counter, gauge, gauges, restarts
from endpoint.app.settings import is_loopback
from endpoint.callcontrol.controller import CallController
from endpoint.errors import StorageError
from endpoint.legs.base import DeviceRegistered
from endpoint.legs.exchange import LegExchange
from endpoint.media.link import WorkerLink
from endpoint.storage.database import Database
from signaling.server import SipServer
from signaling.supervision import Supervision

DATABASE_TIMEOUT_S = 2.0
"""A database that takes longer is not ready."""
ASKED_AGAIN_S = 1.0
"""How long its answer stands: whoever asks without a token must not keep it busy."""

MetricsFor = Literal["token", "loopback", "off"]


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` says."""

    ready: bool
    not_ready: dict[str, str]
    """Each part that is not, and why."""


class Refuses(Protocol):
    """Who knows the tokens."""

    async def identify(self, request: web.Request) -> web.Response | None:
        """None where a request holds one."""


@dataclass(slots=True)
class Parts:
    """What is looked at."""

    database: Database
    controller: CallController
    exchange: LegExchange
    server: SipServer
    media_workers: Sequence[WorkerLink]
    supervision: Supervision
    connections: Callable[[], int]
    """Of HTTP."""
    event_sockets: Callable[[], int]
    queues: SkillQueues


@dataclass(slots=True)
class Observing:
    """The handlers."""

    parts: Parts
    metrics: Metrics
    metrics_for: MetricsFor
    access: Refuses
    _database_said: tuple[float, str] = (float("-inf"), "")
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.metrics.read(self._families)

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        served: list[tuple[str, Callable[[web.Request], Awaitable[web.Response]]]] = [
            ("/healthz", self.health),
            ("/readyz", self.ready),
        ]
        if self.metrics_for != "off":
            served.append(("/metrics", self.figures))
        return [web.get(path, handler) for path, handler in served]

    async def health(self, _request: web.Request) -> web.Response:
        """`GET /healthz`: the event loop answers."""
        return web.Response(body=b'{"alive":true}', content_type="application/json")

    async def ready(self, _request: web.Request) -> web.Response:
        """`GET /readyz`: 200 where calls are taken, else 503 and what is in the way."""
        found = Readiness(not (faults := await self.faults()), faults)
        return web.Response(
            status=200 if found.ready else 503,
            body=plaintext.encode(found),
            content_type="application/json",
        )

    async def figures(self, request: web.Request) -> web.Response:
        """`GET /metrics`."""
        is_near = self.metrics_for == "loopback" and is_loopback(request.remote or "")
        if not is_near and (refused := await self.access.identify(request)) is not None:
            return refused
        return web.Response(body=self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def faults(self) -> dict[str, str]:
        """What keeps us from serving, and why."""
        parts = self.parts
        faults = {
            worker.name: "it is being started" for worker in parts.media_workers if not worker.is_up
        }
        if not parts.controller.takes_new_calls:
            faults["calls"] = "the endpoint is about to stop: it takes no new ones"
        if not parts.server.user_agent.is_listening:
            faults["sip"] = "a listener is gone"
        if said := await self._ask_database():
            faults["database"] = said
        return faults

    async def _ask_database(self) -> str:
        """Why the database does not answer; empty where it does."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            at, said = self._database_said
            if loop.time() - at < ASKED_AGAIN_S:
                return said
            try:
                async with asyncio.timeout(DATABASE_TIMEOUT_S):
                    await self.parts.database.ask()
            except TimeoutError:
                said = "it does not answer"
            except StorageError:
                said = "it can't be used; see the log, and: agent-endpoint db check"
            else:
                said = ""
            self._database_said = loop.time(), said
            return said

    def _families(self) -> Iterable[Metric]:
        parts = self.parts
        controller, exchange, agent = parts.controller, parts.exchange, parts.server.user_agent
        states = Counter(
            str(each.state)
            for call in controller.calls()
            for each in call.connections
            if each.is_live
        )
        heard = [isinstance(event, DeviceRegistered) for event in controller.registrations()]
        trunks = exchange.trunks()
        workers = {worker.name: worker for worker in parts.media_workers}
        yield gauges("info", "Its version", "version", [(version("agent-endpoint"), 1)])
        yield gauge("calls_open", "Calls that are not over", len(controller.calls()))
        yield gauges("connections", "Parties of open calls, by state", "state", states.items())
        yield gauges(
            "registrations",
            "Devices here and at outside servers, by whether the last news is good",
            "state",
            [("registered", sum(heard)), ("lost", len(heard) - sum(heard))],
        )
        yield gauges(
            "trunk_up", "1: calls go there", "trunk", ((each.name, each.up) for each in trunks)
        )
        yield gauges(
            "trunk_calls", "Open calls of a trunk", "trunk", ((t.name, t.calls) for t in trunks)
        )
        yield gauges(
            "media_worker_up",
            "1: it answers",
            "worker",
            ((name, worker.is_up) for name, worker in workers.items()),
        )
        yield gauges(
            "media_worker_ports",
            "Ports and players that are open",
            "worker",
            ((name, worker.ports) for name, worker in workers.items()),
        )
        yield gauges(
            "media_worker_answer_seconds",
            "How late it was to answer when it was asked last whether it lives",
            "worker",
            ((name, worker.answered_in_s) for name, worker in workers.items()),
        )
        yield from _of_queues(parts.queues)
        yield restarts(parts.supervision.restarts)
        yield gauge("alarms", "What is begun anew too often", len(parts.supervision.alarms()))
        yield counter("database_errors", "Times that it refused", parts.database.errors)
        yield gauge("event_sockets", "Clients that read events", parts.event_sockets())
        yield gauge("http_connections", "Open connections of HTTP and WSS", parts.connections())
        yield gauge("sip_transactions", "That live", agent.transaction_count)
        yield gauge("sip_bans", "Sources that are not listened to", len(parts.server.bans()))
        yield counter("log_lines_dropped", "That nobody has read in time", logpipe.dropped())
        yield gauge("draining", "1: it takes no new calls", not controller.takes_new_calls)


def _of_queues(queues: SkillQueues) -> Iterable[Metric]:
    facts = queues.facts()
    codes = [each.settings.code for each in facts]
    waiting = [len(each.due) for each in facts]
    longest = [each.longest_s for each in facts]
    yield gauges("queue_waiting", "Calls that wait", "queue", zip(codes, waiting, strict=True))
    yield gauges(
        "queue_longest_wait_seconds",
        "Of those that wait, the one that came first",
        "queue",
        zip(codes, longest, strict=True),
    )
    there = GaugeMetricFamily(
        f"{PREFIX}_queue_agents", "Agents who serve it, by state", labels=("queue", "state")
    )
    for each in facts:
        there.add_metric((each.settings.code, "ready"), each.ready)
        there.add_metric((each.settings.code, "busy"), each.busy)
        there.add_metric((each.settings.code, "other"), each.agents - each.ready - each.busy)
    yield there
    counts = CounterMetricFamily(
        f"{PREFIX}_queue_calls", "Calls that have left it, by how", labels=("queue", "outcome")
    )
    waited = CounterMetricFamily(
        f"{PREFIX}_queue_wait_seconds", "How long these waited", labels=("queue", "outcome")
    )
    for key, count in sorted(queues.tally.outcomes.items()):
        counts.add_metric(key, count)
        waited.add_metric(key, queues.tally.waited_s[key])
    made = CounterMetricFamily(
        f"{PREFIX}_queue_outbound_calls",
        "Calls that agents made for it, by how",
        labels=("queue", "outcome"),
    )
    for key, count in sorted(queues.tally.outbound.items()):
        made.add_metric(key, count)
    yield counts
    yield waited
    yield made
