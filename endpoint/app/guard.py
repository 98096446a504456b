"""What aiohttp does not do by itself: caps on connections, and a timer for slow or silent clients.

aiohttp closes kept-alive connections that are idle, but waits for ever for a first request; a
client that sends one header byte a second holds its connection open. This wraps aiohttp's
protocol at the asyncio face and never looks at the bytes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How much one source, and all of them, may hold open."""

    connections: int
    connections_per_source: int
    header_timeout_s: float


class ConnectionGuard:
    """Counts the connections of all listeners and closes those that never ask for anything."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._sources: Counter[str] = Counter()
        self._waiting: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._sources.total()

    def around(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A protocol factory whose connections are watched."""
        return lambda: _Guarded(self, factory())

    def request_began(self, transport: asyncio.BaseTransport | None) -> None:
        """A request's headers are complete: its connection is no slow client."""
        timer = self._waiting.pop(cast(asyncio.Transport, transport), None)
        if timer is not None:
            timer.cancel()

    def admit(self, transport: asyncio.Transport, source: str) -> bool:
        """Whether a new connection may stay."""
        if self._sources.total() >= self._limits.connections:
            refusal = "too many connections"
        elif self._sources[source] >= self._limits.connections_per_source:
            refusal = "too many connections from one source"
        else:
            self._sources[source] += 1
            self._waiting[transport] = asyncio.get_running_loop().call_later(
                self._limits.header_timeout_s, self._too_slow, transport, source
            )
            return True
        log.warning("connection refused", reason=refusal, source=source)
        return False

    def closed(self, transport: asyncio.Transport, source: str) -> None:
        """An admitted connection is gone."""
        self.request_began(transport)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def _too_slow(self, transport: asyncio.Transport, source: str) -> None:
        del self._waiting[transport]
        log.warning("connection closed", reason="no request in time", source=source)
        transport.abort()


class _Guarded(asyncio.Protocol):
    """Hands everything on to the protocol inside, between admission and the end."""

    def __init__(self, guard: ConnectionGuard, inner: asyncio.Protocol) -> None:
        self._guard = guard
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._source = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._source = peer[0] if peer else "local"
        stream = cast(asyncio.Transport, transport)
        if not self._guard.admit(stream, self._source):
            stream.abort()
            return
        self._transport = stream
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._guard.closed(self._transport, self._source)
        self._transport = None
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
