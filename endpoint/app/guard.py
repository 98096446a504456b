"""What aiohttp does not do by itself: caps on connections, and a timer for slow or silent clients.

aiohttp closes kept-alive connections that are idle, but waits for ever for a first request; a
client that sends one header byte a second holds its connection open. This wraps aiohttp's
protocol at the asyncio face and never looks at the bytes.

A connection counts from the moment it is accepted. So TLS is begun here, behind the caps: asyncio's
own listener tells of a connection only when its handshake is done.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

import structlog

from signaling.sip.source import source_of

log = structlog.get_logger(__name__)

_TELL_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How much one source, and all of them, may hold open."""

    connections: int
    connections_per_source: int
    header_timeout_s: float
    """For the TLS handshake and the headers of the first request together."""


def _always() -> bool:
    return True


class ConnectionGuard:
    """Counts the connections of all listeners and closes those that never ask for anything.

    `async with` it around the listeners: leaving gives up handshakes that are not done.
    """

    def __init__(self, limits: GuardLimits, has_room: Callable[[], bool] = _always) -> None:
        """`has_room` says whether the process may have another descriptor."""
        self._limits = limits
        self._has_room = has_room
        self._sources: Counter[str] = Counter()
        self._waiting: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._group = asyncio.TaskGroup()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._is_over = False
        """What was on its way when nobody listened any more is not taken."""
        self._told: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        for handshake in self._handshakes:
            handshake.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._sources.total()

    def around(
        self,
        factory: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
        plain: Callable[[str], bool] | None = None,
    ) -> Callable[[], asyncio.Protocol]:
        """A protocol factory whose connections are watched, and by `tls` made secure.

        With `plain`, only those that begin so: it says of the others' sources who may go without.
        """
        return lambda: _Guarded(self, factory(), tls, plain)

    def refuse_plain(self, transport: asyncio.Transport, source: str) -> None:
        """A connection that has to be secure and does not begin so."""
        self._tell("connection refused", "it has no TLS", source)
        transport.abort()

    def request_began(self, transport: asyncio.BaseTransport | None) -> None:
        """A request's headers are complete: its connection is no slow client."""
        timer = self._waiting.pop(cast(asyncio.Transport, transport), None)
        if timer is not None:
            timer.cancel()

    def admit(self, transport: asyncio.Transport, source: str) -> bool:
        """Whether a new connection may stay."""
        if self._is_over:
            refusal = "the endpoint ends"
        elif self._sources.total() >= self._limits.connections:
            refusal = "too many connections"
        elif self._sources[source] >= self._limits.connections_per_source:
            refusal = "too many connections from one source"
        elif not self._has_room():
            refusal = "no descriptors are left for it"
        else:
            self._sources[source] += 1
            self._waiting[transport] = asyncio.get_running_loop().call_later(
                self._limits.header_timeout_s, self._too_slow, transport, source
            )
            return True
        self._tell("connection refused", refusal, source)
        return False

    def secure(self, connection: _Guarded, transport: asyncio.Transport) -> None:
        """Begin the handshake of an admitted connection."""
        handshake = self._group.create_task(
            connection.shake_hands(transport, self._limits.header_timeout_s)
        )
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

        def over(done: asyncio.Task[None]) -> None:
            if done.cancelled():  # maybe before it had begun, and could close it by itself
                transport.abort()

        handshake.add_done_callback(over)

    def became(self, raw: asyncio.Transport, secured: asyncio.Transport, source: str) -> None:
        """The handshake is done: requests come by another transport, within the same time."""
        timer = self._waiting.pop(raw, None)
        if timer is not None:
            timer.cancel()
            self._waiting[secured] = asyncio.get_running_loop().call_at(
                timer.when(), self._too_slow, secured, source
            )

    def closed(self, transport: asyncio.Transport, source: str) -> None:
        """An admitted connection is gone."""
        self.request_began(transport)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def _too_slow(self, transport: asyncio.Transport, source: str) -> None:
        del self._waiting[transport]
        self._tell("connection closed", "no request in time", source)
        transport.abort()

    def _tell(self, event: str, reason: str, source: str) -> None:
        """Say it once in a while: whoever floods us must not flood the log."""
        now = asyncio.get_running_loop().time()
        if self._told.get(reason, now) <= now:
            self._told[reason] = now + _TELL_EVERY_S
            log.warning(event, reason=reason, source=source)


TLS: Final = b"\x16"
"""How what begins a handshake begins (RFC 8446 §5.1); no request of HTTP does."""


async def first_octet(transport: asyncio.Transport, timeout_s: float) -> bytes | None:
    """What a connection begins with, which is left to be read; none where nothing comes in time.

    Reading must be paused. An event loop can look at a descriptor for one reader only, so another
    descriptor of the same socket is looked at.
    """
    loop = asyncio.get_running_loop()
    number = transport.get_extra_info("socket").fileno()
    if number < 0:  # gone already
        return None
    with socket.socket(fileno=os.dup(number)) as peeked:
        readable = asyncio.Event()
        loop.add_reader(peeked, readable.set)
        try:
            async with asyncio.timeout(timeout_s):
                await readable.wait()
            return peeked.recv(1, socket.MSG_PEEK)
        except (OSError, TimeoutError):
            return None
        finally:
            loop.remove_reader(peeked)


class _Guarded(asyncio.Protocol):
    """Hands everything on to the protocol inside, between admission and the end."""

    def __init__(
        self,
        guard: ConnectionGuard,
        inner: asyncio.Protocol,
        tls: ssl.SSLContext | None,
        plain: Callable[[str], bool] | None,
    ) -> None:
        self._guard = guard
        self._inner = inner
        self._tls = tls
        self._plain = plain
        self._transport: asyncio.Transport | None = None
        """While it is admitted."""
        self._is_begun = False
        """The protocol inside knows of it."""
        self._early = bytearray()
        self._source = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._source = source_of(peer[0]) if peer else "local"
        stream = cast(asyncio.Transport, transport)
        if not self._guard.admit(stream, self._source):
            stream.abort()
            return
        self._transport = stream
        if self._tls is None:
            self._begin(stream)
        else:
            stream.pause_reading()
            self._guard.secure(self, stream)

    async def shake_hands(self, raw: asyncio.Transport, timeout_s: float) -> None:
        """Begin TLS, then the protocol inside."""
        assert self._tls is not None
        loop, secured = asyncio.get_running_loop(), None
        if self._plain is not None and not await self._wants_tls(raw, self._plain, timeout_s):
            return
        try:
            secured = await loop.start_tls(
                raw, self, self._tls, server_side=True, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # of TLS, too slow, or gone
            log.debug("no TLS handshake", source=self._source, reason=str(error))
        finally:
            if secured is None:
                raw.abort()
                self._leave()
        if secured is not None and self._transport is not None:
            self._guard.became(raw, secured, self._source)
            self._transport = secured
            self._begin(secured)

    async def _wants_tls(
        self, raw: asyncio.Transport, plain: Callable[[str], bool], timeout_s: float
    ) -> bool:
        """Whether it begins with a handshake; else it is served as it is, or cut off."""
        octet = await first_octet(raw, timeout_s)
        if octet == TLS:
            return True
        if octet is None:
            raw.abort()
        elif not plain(self._source):
            self._guard.refuse_plain(raw, self._source)
        elif self._transport is not None:
            self._begin(raw)
            raw.resume_reading()
        return False

    def _begin(self, transport: asyncio.Transport) -> None:
        self._is_begun = True
        self._inner.connection_made(transport)
        if self._early:
            self._inner.data_received(bytes(self._early))
            self._early.clear()

    def _leave(self) -> None:
        if self._transport is not None:
            self._guard.closed(self._transport, self._source)
            self._transport = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._is_begun:
            self._is_begun = False
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_begun:
            self._inner.data_received(data)
        else:
            self._early += data  # came in one piece with the end of the handshake

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._is_begun else None

    def pause_writing(self) -> None:
        if self._is_begun:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_begun:
            self._inner.resume_writing()
