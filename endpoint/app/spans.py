"""Traces for OpenTelemetry, where the extra `otel` is installed and OTEL_… says where they go.

A command is a span, in the trace of whoever asked for it (W3C traceparent, by REST). A call is one
too, with the set-up of each leg below it; both are told when the call is over, from the moments of
its events, so that nothing is done for them while it lives. No span holds a number.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from endpoint import __version__
from endpoint.callcontrol.commands import Command, CommandAccepted, MakingCommand
from endpoint.callcontrol.events import CallCleared, Established, Failed, NumberedEvent, Originated
from endpoint.callcontrol.feed import Subscription
from endpoint.callcontrol.model import CallId, ConnectionId
from endpoint.errors import CommandRejected

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_S = 3.0
"""How long leaving waits for a collector."""

Go = Callable[[Command], Awaitable[CommandAccepted]]


class Spans(Protocol):
    """Who is told what becomes a span."""

    async def commanding(self, command: Command, go: Go) -> CommandAccepted:
        """Around a command."""

    async def follow(self, events: Callable[[], Subscription]) -> None:
        """Read the events of calls."""

    @property
    def middleware(self) -> Middleware | None:
        """Takes the trace of a request."""


class NoSpans:
    """Nobody wants any."""

    middleware = None

    async def commanding(self, command: Command, go: Go) -> CommandAccepted:
        """As it is."""
        return await go(command)

    async def follow(self, events: Callable[[], Subscription]) -> None:
        """Nothing is read."""


@asynccontextmanager
async def opened(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Spans]:
    """What is told to the collector that OTEL_… names; nothing where it names none."""
    wanted = any(environ.get(name) for name in ENDPOINTS)
    if not wanted or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield NoSpans()
        return
    try:
        provider = _provider(environ)
    except ImportError:
        log.warning("no traces: pip install 'agent-endpoint[otel]'")
        yield NoSpans()
        return
    try:
        yield ToldSpans(provider)
    finally:
        try:
            async with asyncio.timeout(FLUSH_S):
                await asyncio.to_thread(provider.force_flush, int(FLUSH_S * 1000))
        except TimeoutError:
            log.warning("the last traces are lost: the collector does not take them")
        await asyncio.to_thread(provider.shutdown)


def _provider(environ: Mapping[str, str]) -> TracerProvider:
    # Imported at use: who wants no traces need not have it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in environ or "service.name" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    own = {"service.version": __version__}
    provider = TracerProvider(
        resource=Resource.create(own if named else {**own, "service.name": "agent-endpoint"})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@dataclass(slots=True)
class _OpenCall:
    began_at: datetime
    legs: dict[ConnectionId, datetime] = field(default_factory=dict)
    """When each was first heard of."""
    set_up: list[tuple[ConnectionId, datetime, str]] = field(default_factory=list)
    """Which are done, when, and what came of them."""


class ToldSpans:
    """Spans that go to a collector."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context, self._trace = context, trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("agent-endpoint", __version__)
        self._asked: dict[CallId, Context] = {}
        """In whose trace a call was made."""
        self._open: dict[CallId, _OpenCall] = {}

    @property
    def middleware(self) -> Middleware:
        """Takes the trace of a request."""

        @web.middleware
        async def in_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
            found = self._propagator.extract(
                {name.lower(): value for name, value in request.headers.items()}
            )
            token = self._context.attach(found)
            try:
                return await handler(request)
            finally:
                self._context.detach(token)

        return in_trace

    async def commanding(self, command: Command, go: Go) -> CommandAccepted:
        """A command is a span; the call that it makes is in the same trace."""
        with self._tracer.start_as_current_span(
            str(command.name), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                accepted = await go(command)
            except CommandRejected as rejection:
                span.set_attribute("agent_endpoint.outcome", rejection.reason)
                span.set_status(self._trace.StatusCode.ERROR, rejection.reason)
                raise
            span.set_attribute("agent_endpoint.outcome", "accepted")
            span.set_attribute("agent_endpoint.call", accepted.call)
            if isinstance(command, MakingCommand):
                self._asked[accepted.call] = self._context.get_current()
            return accepted

    async def follow(self, events: Callable[[], Subscription]) -> None:
        """Collect the moments of calls; tell each when it is over."""
        async for numbered in events():
            self._learn(numbered)

    def _learn(self, numbered: NumberedEvent) -> None:
        event, at = numbered.event, numbered.at
        if not hasattr(event, "connection") or not hasattr(event, "call"):
            return
        call = self._open.setdefault(event.call, _OpenCall(at))
        if isinstance(event, CallCleared):
            self._tell(event, self._open.pop(event.call), at)
            return
        is_new = event.connection not in call.legs
        call.legs.setdefault(event.connection, at)
        done = {connection for connection, _, _ in call.set_up}
        if isinstance(event, Originated | Established | Failed) and event.connection not in done:
            outcome = str(event.cause) if isinstance(event, Failed) else "answered"
            began = call.began_at if is_new else call.legs[event.connection]
            call.legs[event.connection] = began
            call.set_up.append((event.connection, at, outcome))

    def _tell(self, cleared: CallCleared, call: _OpenCall, at: datetime) -> None:
        span = self._tracer.start_span(
            "call",
            context=self._asked.pop(cleared.call, None),
            start_time=_ns(call.began_at),
            attributes={
                "agent_endpoint.call": cleared.call,
                "agent_endpoint.interaction": cleared.interaction,
                "agent_endpoint.cause": str(cleared.cause),
                "agent_endpoint.released_by": str(cleared.released_by),
            },
        )
        inside = self._trace.set_span_in_context(span)
        for connection, done_at, outcome in call.set_up:
            leg = self._tracer.start_span(
                "leg set-up",
                context=inside,
                start_time=_ns(call.legs[connection]),
                attributes={
                    "agent_endpoint.connection": int(connection),
                    "agent_endpoint.outcome": outcome,
                },
            )
            if outcome != "answered":
                leg.set_status(self._trace.StatusCode.ERROR, outcome)
            leg.end(_ns(done_at))
        span.end(_ns(at))


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
