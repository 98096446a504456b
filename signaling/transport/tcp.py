"""SIP over TCP and TLS, server and client (RFC 3261 §18): listeners, and connections that we open.

A connection that leads to the right place is used again, by whomever it is opened. What is sent to
an address (a flow of no connection) opens one where none is there: for answers whose connection is
lost (§18.2.2), and for calls that outlive theirs.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, TypeAlias

import structlog

from signaling.errors import CertificateRefused, TransportError
from signaling.peers import TrustedPeers
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.source import source_of
from signaling.supervision import Supervision
from signaling.transport import Receiver
from signaling.transport.stream import StreamConnection, StreamSettings, reason
from signaling.transport.tls import TlsPolicy
from signaling.transport.udp import address_to_bind

log = structlog.get_logger(__name__)

Place: TypeAlias = tuple[TransportKind, str, int, str]
"""Transport, address, port, and the name that a TLS far end must prove."""


@dataclass(frozen=True, slots=True)
class _Listener:
    kind: TransportKind
    socket: socket.socket
    accepting: asyncio.Task[Any]


class StreamTransport:
    """Connections that share a policy, whether they are accepted or opened."""

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        settings: StreamSettings | None = None,
        *,
        tls: TlsPolicy | None = None,
        random: Random | None = None,
        supervision: Supervision | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`tls` says whom to believe where we connect; None: whom the system's CAs vouch for.

        `supervision` keeps listeners alive. `has_room`: whether the process may have another
        descriptor; where not, a connection that comes is closed.
        """
        self._supervision = supervision or Supervision()
        self._has_room = has_room
        self._name = name
        self._receiver = receiver
        self._settings = settings or StreamSettings()
        self._exempt = TrustedPeers(self._settings.exempt)
        self._tls = tls
        self._random = random or Random()
        self._numbers = itertools.count(1)
        self._connections: dict[int, StreamConnection] = {}
        self._places: dict[Place, StreamConnection] = {}
        self._sources: Counter[str] = Counter()
        self._opening: dict[Place, asyncio.Task[StreamConnection]] = {}
        self._waiting: dict[Flow, list[bytes]] = {}
        """What is to be sent to an address as soon as a connection is up."""
        self._addressed: dict[int, set[Flow]] = {}
        """Addresses that a connection has been used for."""
        self._wanted: set[int] = set()
        """Those that `connect` was called for; others lead where some far end has told us to."""
        self._listeners: list[_Listener] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def __repr__(self) -> str:
        return f"<StreamTransport {self._name} connections={len(self._connections)}>"

    @property
    def name(self) -> str:
        """The `listener` of the flows made here."""
        return self._name

    # -- the server end ----------------------------------------------------------------------------

    async def listen(
        self, host: str, port: int, ssl_context: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Accept connections, TLS ones with a context; returns the bound address.

        Raises TransportError where the address is not free.
        """
        kind = TransportKind.TCP if ssl_context is None else TransportKind.TLS
        try:
            family, address = await address_to_bind(host, port, socket.SOCK_STREAM)
            listener = socket.create_server(address, family=family, backlog=128)
        except OSError as error:
            raise TransportError(
                f"TCP {host}:{port} can't be bound: {error.strerror or error}"
            ) from error
        listener.setblocking(False)
        accept_all = partial(self._accept_all, kind, listener, ssl_context)
        accepting = self._spawn(self._supervision.keep(f"{kind} listener", accept_all))
        self._listeners.append(_Listener(kind, listener, accepting))
        bound = listener.getsockname()
        return str(bound[0]), int(bound[1])

    async def _accept_all(
        self, kind: TransportKind, listener: socket.socket, ssl_context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, most likely
                log.warning("connection not accepted", reason=reason(error))
                await asyncio.sleep(1.0)
                continue
            host = str(address[0]).partition("%")[0]
            source = source_of(host)
            refusal = self._refusal(source, host)
            if refusal is not None:
                log.info("connection refused", reason=refusal, source=source)
                connection.close()
                continue
            # Counted from here on: a TLS handshake that never ends costs as much as a connection.
            self._sources[source] += 1
            self._spawn(self._accept(kind, connection, source, ssl_context))

    def _refusal(self, source: str, host: str) -> str | None:
        if self._sources.total() >= self._settings.maximum_connections:
            return "too many connections"
        many = self._sources[source] >= self._settings.maximum_connections_per_source
        if many and host not in self._exempt:
            return "too many connections from one source"
        return None if self._has_room() else "no descriptors are left for it"

    async def _accept(
        self,
        kind: TransportKind,
        accepted: socket.socket,
        source: str,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        settings = self._settings
        connection = StreamConnection(
            kind, self._name, next(self._numbers), self._receiver, settings, self._forget
        )
        self._connections[connection.flow.connection] = connection
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=ssl_context,
                ssl_handshake_timeout=settings.header_timeout_s if ssl_context else None,
                ssl_shutdown_timeout=settings.close_timeout_s if ssl_context else None,
            )
            if kind is TransportKind.TCP and connection.is_open:
                self._places[_place(connection.flow)] = connection
            await connection.over.wait()
        except OSError as error:
            log.info("connection failed", source=source, reason=reason(error))
            accepted.close()
        finally:
            self._drop(connection)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    # -- the client end ----------------------------------------------------------------------------

    async def connect(self, kind: TransportKind, host: str, port: int, name: str = "") -> Flow:
        """The connection to a numeric address, a new one where none is open.

        Over TLS the far end must prove to be `name` (empty: `host`). Raises TransportError, and
        CertificateRefused where it can't.
        """
        place = _place(Flow(kind, host, port, name=name))
        connection = await self._connection(place, self._settings.connect_timeout_s, wanted=True)
        self._wanted.add(connection.flow.connection)
        return connection.flow

    def was_wanted(self, flow: Flow) -> bool:
        """Whether `connect` was called for a connection."""
        return flow.connection in self._wanted

    async def _connection(
        self, place: Place, timeout_s: float, *, wanted: bool = False
    ) -> StreamConnection:
        known = self._places.get(place)
        if known is not None and known.is_open:
            return known
        opening = self._opening.get(place)
        if opening is None:
            opening = self._opening[place] = self._spawn(self._open(place, timeout_s, wanted))
            opening.add_done_callback(lambda _: self._opening.pop(place, None))
        return await asyncio.shield(opening)

    async def _open(self, place: Place, timeout_s: float, wanted: bool) -> StreamConnection:
        kind, host, port, name = place
        settings, secure = self._settings, kind is TransportKind.TLS
        if secure:
            _check_name(name or host)
            if self._tls is None:
                self._tls = TlsPolicy()
        connection = StreamConnection(
            kind,
            self._name,
            next(self._numbers),
            self._receiver,
            settings,
            self._forget,
            name=name,
            tls=self._tls if secure else None,
            random=self._random,
        )
        # Told of by `opened` before this returns; found by its number from then on.
        self._connections[connection.flow.connection] = connection
        self._places[place] = connection
        if wanted:
            self._wanted.add(connection.flow.connection)
        shown = f"{kind} {f'[{host}]' if ':' in host else host}:{port}"
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    host,
                    port,
                    ssl=self._tls.context if secure and self._tls is not None else None,
                    server_hostname=(name or host) if secure else None,
                    ssl_handshake_timeout=timeout_s if secure else None,
                    ssl_shutdown_timeout=settings.close_timeout_s if secure else None,
                )
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(
                f"the certificate of {name or host} is refused: {reason(error)}"
            ) from error
        except TimeoutError as error:
            raise TransportError(f"{shown} did not answer within {timeout_s:g} s") from error
        except OSError as error:
            raise TransportError(f"{shown} can't be reached: {reason(error)}") from error
        finally:
            if not connection.is_open:
                self._drop(connection)
        if connection.failure is not None:
            raise connection.failure
        return connection

    # -- both --------------------------------------------------------------------------------------

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where that very connection is gone.

        To an address it is sent as soon as a connection is up; `closed` tells of one that fails.
        """
        if flow.connection:
            connection = self._connections.get(flow.connection)
            if connection is None:
                raise TransportError(f"the connection {flow} is closed")
            connection.send(octets)
            return
        if self._closing:
            raise TransportError(f"{self!r} is closed")
        waiting = sum(map(len, self._waiting.get(flow, ())))
        if waiting + len(octets) > self._settings.maximum_backlog:
            raise TransportError(f"{flow} does not keep up")
        if flow not in self._waiting:
            self._waiting[flow] = []
            self._spawn(self._send_waiting(flow))
        self._waiting[flow].append(octets)

    async def _send_waiting(self, flow: Flow) -> None:
        try:
            connection = await self._connection(_place(flow), self._settings.address_timeout_s)
            self._addressed.setdefault(connection.flow.connection, set()).add(flow)
            for octets in self._waiting.pop(flow):
                connection.send(octets)
        except TransportError as error:
            self._waiting.pop(flow, None)
            self._receiver.closed(flow, error)

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """Our end of a connection; None for an address, or a connection that is gone."""
        connection = self._connections.get(flow.connection)
        return connection.local_address if connection is not None else None

    def listening(self, kind: TransportKind, host: str) -> int | None:
        """The port that accepts connections of a kind from a far end's address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for listener in self._listeners:
            if listener.kind is kind and listener.socket.family == family:
                return int(listener.socket.getsockname()[1])
        return None

    @property
    def is_accepting(self) -> bool:
        """Whether every listener takes connections."""
        return not any(each.accepting.done() for each in self._listeners)

    def keep(self, flow: Flow) -> None:
        """Lift the idle limit of a connection whose user has proved who it is."""
        connection = self._connections.get(flow.connection)
        if connection is not None:
            connection.keep()

    async def close(self) -> None:
        """Take no more connections, and close all."""
        self._closing = True
        for listener in self._listeners:
            listener.accepting.cancel()
        await asyncio.gather(*(each.accepting for each in self._listeners), return_exceptions=True)
        for listener in self._listeners:
            listener.socket.close()
        self._listeners.clear()
        # All at once: far ends that do not take leave are waited for, but not one after the other.
        closing = [each for each in self._connections.values() if each.is_open]
        for connection in closing:
            connection.close()
        for connection in closing:
            await connection.over.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, connection: StreamConnection, error: TransportError | None) -> None:
        self._drop(connection)
        for flow in self._addressed.pop(connection.flow.connection, ()):
            self._receiver.closed(flow, error)

    def _drop(self, connection: StreamConnection) -> None:
        self._connections.pop(connection.flow.connection, None)
        self._wanted.discard(connection.flow.connection)
        for place, known in list(self._places.items()):
            if known is connection:
                del self._places[place]

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, TransportError):
            # A fault of ours; others' connections, and the listeners, go on.
            log.error("connection failed by a fault of ours", exc_info=error)


def _place(flow: Flow) -> Place:
    name = flow.name if flow.transport is TransportKind.TLS else ""
    return flow.transport, flow.host, flow.port, name


def _check_name(name: str) -> None:
    """Whether a TLS server can be asked for by a name that somebody gave. Raises TransportError."""
    try:
        name.encode("idna")
    except UnicodeError as error:
        raise TransportError(f"{name} can't be the name of a TLS server: {error}") from error
