"""SIP over WebSocket, server and client (RFC 7118): one SIP message a frame, text or binary."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from signaling.errors import CertificateRefused, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.source import source_of
from signaling.transport import Receiver

SUBPROTOCOL: Final = "sip"
MAXIMUM_MESSAGE: Final = 64 * 1024

OriginRule = Callable[[str, web.Request], str | None]
"""Given the `Origin` of an upgrade: None admits it, a text refuses it and says what would."""


def refuse_browsers(origin: str, request: web.Request) -> str | None:
    """The rule where none is given: no page may connect. Who sends no Origin is not asked."""
    return f"origin {origin} is not on the allow-list"


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """Limits and timers of WebSocket connections, both ends."""

    maximum_message: int = MAXIMUM_MESSAGE
    """Octets of one SIP message; a longer frame closes the connection with 1009."""
    heartbeat_s: float = 30.0
    """Between pings; a pong that does not come within half of it ends the connection."""
    idle_timeout_s: float = 120.0
    """Silence after which the server closes a connection that `keep` was not called for."""
    maximum_connections: int = 2000
    maximum_connections_per_source: int = 20
    maximum_backlog: int = 256
    """Messages that may wait for a slow reader; past it the connection is closed."""
    connect_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    first_delay_s: float = 1.0
    """The client's first wait before it connects again; doubles up to `maximum_delay_s`."""
    maximum_delay_s: float = 30.0
    jitter: float = 0.25
    """The wait grows by up to this fraction, so that a restarted server's clients spread out."""


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class _Connection:
    """One open WebSocket, either end: reads until it closes, writes in order."""

    def __init__(
        self, socket: _Socket, flow: Flow, receiver: Receiver, settings: WebSocketSettings
    ) -> None:
        self._socket = socket
        self.flow = flow
        self._receiver = receiver
        self._settings = settings
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(settings.maximum_backlog)
        self._idle: asyncio.Timeout | None = None
        self._kept = False
        self._overrun = False
        self.has_received = False
        address = socket.get_extra_info("sockname") or ("", 0)
        self.local_address: tuple[str, int] = (str(address[0]), int(address[1]))

    def send(self, octets: bytes) -> None:
        if self._socket.closed:
            raise TransportError(f"WebSocket to {self.flow.host}:{self.flow.port} is closed")
        try:
            self._outgoing.put_nowait(octets)
        except asyncio.QueueFull:
            self._overrun = True
            self._end_read_at(asyncio.get_running_loop().time())
            raise TransportError(
                f"WebSocket to {self.flow.host}:{self.flow.port} does not keep up"
            ) from None

    def keep(self) -> None:
        """No idle limit from now on; pings tell whether it lives."""
        self._kept = True
        self._end_read_at(None)

    async def run(self, idle_timeout_s: float | None) -> TransportError | None:
        """Until the connection ends; returns why, None where it was closed in good order."""
        self._receiver.opened(self.flow)
        error: TransportError | None = TransportError("connection abandoned")
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write())
                error = await self._read(idle_timeout_s)
                writer.cancel()
        finally:
            self._receiver.closed(self.flow, error)
            await self._close_socket(WSCloseCode.GOING_AWAY)
        return error

    async def close(self, code: WSCloseCode = WSCloseCode.GOING_AWAY) -> None:
        """Send what waits, then close in good order if the far end plays along; ends `run`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.close_timeout_s):
                await self._outgoing.join()
        await self._close_socket(code)

    async def _close_socket(self, code: WSCloseCode, why: bytes = b"") -> None:
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self._settings.close_timeout_s):
                await self._socket.close(code=code, message=why)

    async def _read(self, idle_timeout_s: float | None) -> TransportError | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(idle_timeout_s) as self._idle:
                while True:
                    message = await self._socket.receive()
                    if not self._kept and idle_timeout_s is not None:
                        self._end_read_at(loop.time() + idle_timeout_s)
                    if message.type is WSMsgType.TEXT:
                        octets = message.data.encode()
                    elif message.type is WSMsgType.BINARY:
                        octets = message.data
                    else:
                        return self._why_closed()
                    self.has_received = True
                    if octets.strip(b"\r\n"):
                        self._receiver.received(octets, self.flow)
                    elif octets.startswith(b"\r\n\r\n") and self._receiver.pinged(self.flow):
                        with contextlib.suppress(TransportError):
                            self.send(b"\r\n")  # a keep-alive's pong (RFC 5626 §3.5.1)
        except TimeoutError:
            why = "slow reader" if self._overrun else "idle"
            await self._close_socket(WSCloseCode.POLICY_VIOLATION, why.encode())
            return TransportError(f"WebSocket closed: {why}")

    def _end_read_at(self, when: float | None) -> None:
        if self._idle is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._idle.reschedule(when)

    def _why_closed(self) -> TransportError | None:
        exception = self._socket.exception()
        if exception is not None:
            return TransportError(f"WebSocket failed: {exception!r}")
        if self._socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
            return TransportError("WebSocket was cut")
        return None

    async def _write(self) -> None:
        while True:
            octets = await self._outgoing.get()
            with contextlib.suppress(aiohttp.ClientError, OSError):  # the reader finds out why
                # RFC 7118 §5 allows both; browsers' SIP stacks read text best.
                try:
                    await self._socket.send_str(octets.decode())
                except UnicodeDecodeError:
                    await self._socket.send_bytes(octets)
            self._outgoing.task_done()


class WebSocketListener:
    """The server end: `handle` is an aiohttp handler, for whoever owns the HTTP server."""

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        settings: WebSocketSettings | None = None,
        origin_rule: OriginRule = refuse_browsers,
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._settings = settings or WebSocketSettings()
        self._origin_rule = origin_rule
        self._connections: dict[int, _Connection] = {}
        self._sources: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._closing = False

    def __repr__(self) -> str:
        return f"<WebSocketListener {self._name} connections={len(self._connections)}>"

    @property
    def name(self) -> str:
        """The `listener` of the flows made here."""
        return self._name

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket from upgrade to close; refuse in words what is no proper upgrade."""
        source = source_of(request.remote or "")
        refusal = self._refusal(request, source)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=self._settings.heartbeat_s,
            max_msg_size=self._settings.maximum_message + 1,  # aiohttp refuses the limit itself
            compress=False,
            timeout=self._settings.close_timeout_s,
        )
        self._sources[source] += 1
        try:
            await socket.prepare(request)
            flow = self._flow(request)
            connection = _Connection(socket, flow, self._receiver, self._settings)
            self._connections[flow.connection] = connection
            try:
                await connection.run(self._settings.idle_timeout_s)
            finally:
                del self._connections[flow.connection]
        finally:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
        return socket

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where the connection is gone or can't keep up."""
        connection = self._connections.get(flow.connection)
        if connection is None:
            raise TransportError(f"WebSocket to {flow.host}:{flow.port} is closed")
        connection.send(octets)

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """Our end of a connection."""
        connection = self._connections.get(flow.connection)
        return connection.local_address if connection is not None else None

    def keep(self, flow: Flow) -> None:
        """Lift the idle limit of a connection whose user has proved who it is."""
        connection = self._connections.get(flow.connection)
        if connection is not None:
            connection.keep()

    async def close(self) -> None:
        """Close all connections (1001), refuse new ones. Call it before the HTTP server ends."""
        self._closing = True
        async with asyncio.TaskGroup() as tasks:
            for connection in list(self._connections.values()):
                tasks.create_task(connection.close())

    def _refusal(self, request: web.Request, source: str) -> web.Response | None:
        """Why an upgrade is not granted; None where it is."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(
                status=426,
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
                text="This is a SIP over WebSocket server (RFC 7118): connect with ws:// or wss://.\n",
            )
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if SUBPROTOCOL not in (name.strip() for name in offered):
            return web.Response(
                status=400, text="Offer the WebSocket subprotocol `sip` (RFC 7118 §4).\n"
            )
        origin = request.headers.get("Origin")
        if origin is not None:
            refusal = self._origin_rule(origin, request)
            if refusal is not None:
                return web.Response(status=403, text=refusal + "\n")
        if (
            self._closing
            or len(self._connections) >= self._settings.maximum_connections
            or self._sources[source] >= self._settings.maximum_connections_per_source
        ):
            return web.Response(
                status=503, headers={"Retry-After": "30"}, text="Too many connections.\n"
            )
        return None

    def _flow(self, request: web.Request) -> Flow:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        host, port = peer[:2] if peer else (request.remote or "", 0)
        kind = TransportKind.WSS if request.secure else TransportKind.WS
        return Flow(kind, str(host).partition("%")[0], int(port), self._name, next(self._numbers))


@contextlib.asynccontextmanager
async def serve(
    listener: WebSocketListener,
    host: str,
    port: int,
    *,
    path: str = "/sip",
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """An HTTP server of its own for a listener; yields the bound address. Raises TransportError."""
    app = web.Application()
    app.router.add_get(path, listener.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=ssl_context)
        try:
            await site.start()
        except OSError as error:
            raise TransportError(
                f"TCP {host}:{port} can't be bound: {error.strerror or error}"
            ) from error
        address = runner.addresses[0]
        yield str(address[0]), int(address[1])
        await listener.close()
    finally:
        await runner.cleanup()


class ConnectionState(StrEnum):
    """Where a client connection is."""

    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    """It failed or was lost (`error` says why) and is tried again when the back-off is over."""
    CLOSED = "closed"
    """`close` was called; the end."""


class WebSocketClient:
    """The client end: one connection that is kept alive, and made again when it is lost."""

    def __init__(
        self,
        name: str,
        url: str,
        receiver: Receiver,
        *,
        ssl_context: ssl.SSLContext | None = None,
        settings: WebSocketSettings | None = None,
        random: Random | None = None,
        on_state: Callable[[WebSocketClient], None] | None = None,
    ) -> None:
        self._name = name
        self.url = url
        self._receiver = receiver
        self._ssl_context = ssl_context
        self._settings = settings or WebSocketSettings()
        self._random = random or Random()
        self._on_state = on_state
        self._numbers = itertools.count(1)
        self._connection: _Connection | None = None
        self._closing = asyncio.Event()
        self._attempt = 0
        self.state = ConnectionState.CONNECTING
        self.error: TransportError | None = None
        """Why the last attempt failed or the last connection was lost."""

    def __repr__(self) -> str:
        return f"<WebSocketClient {self._name} {self.url} {self.state}>"

    @property
    def name(self) -> str:
        """The `listener` of the flows made here."""
        return self._name

    @property
    def flow(self) -> Flow | None:
        """The connection that is open now."""
        return self._connection.flow if self._connection is not None else None

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where that very connection is gone."""
        if self._connection is None or self._connection.flow != flow:
            raise TransportError(f"WebSocket to {self.url} is closed")
        self._connection.send(octets)

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """None: nobody can connect to a client (RFC 7118 §5)."""
        return None

    async def close(self) -> None:
        """Close for good; `run` returns."""
        self._closing.set()
        if self._connection is not None:
            await self._connection.close(WSCloseCode.OK)

    async def run(self) -> None:
        """Connect, serve, wait, again; until `close`."""
        # What we are is for SIP to say, or not: aiohttp would name itself and Python.
        async with aiohttp.ClientSession(skip_auto_headers=("User-Agent",)) as session:
            while not self._closing.is_set():
                self._enter(ConnectionState.CONNECTING)
                try:
                    self.error = await self._connect_and_serve(session)
                except TransportError as error:
                    self.error = error
                if self._closing.is_set():
                    break
                self._enter(ConnectionState.WAITING)
                try:
                    async with asyncio.timeout(self._next_delay_s()):
                        await self._closing.wait()
                except TimeoutError:
                    pass
        self._enter(ConnectionState.CLOSED)

    def _enter(self, state: ConnectionState) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(self)

    def _next_delay_s(self) -> float:
        settings = self._settings
        delay_s: float = min(
            settings.maximum_delay_s, settings.first_delay_s * 2 ** min(self._attempt, 16)
        )
        self._attempt += 1
        stretch: float = 1 + settings.jitter * self._random.random()
        return delay_s * stretch

    async def _connect_and_serve(self, session: aiohttp.ClientSession) -> TransportError | None:
        socket = await self._connect(session)
        try:
            if socket.protocol != SUBPROTOCOL:
                raise TransportError(f"{self.url} does not speak SIP (no subprotocol `sip`)")
            connection = _Connection(socket, self._flow(socket), self._receiver, self._settings)
            self._connection = connection
            self._enter(ConnectionState.OPEN)
            try:
                return await connection.run(None)
            finally:
                self._connection = None
                if (
                    connection.has_received
                ):  # a server that only accepts and drops is backed off from too
                    self._attempt = 0
        finally:
            await socket.close()

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                return await session.ws_connect(
                    self.url,
                    protocols=(SUBPROTOCOL,),
                    ssl=self._ssl_context if self._ssl_context is not None else True,
                    heartbeat=settings.heartbeat_s,
                    max_msg_size=settings.maximum_message + 1,
                    timeout=aiohttp.ClientWSTimeout(ws_close=settings.close_timeout_s),
                )
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
            raise CertificateRefused(
                f"the certificate of {self.url} is refused: {_reason(error)}"
            ) from error
        except aiohttp.WSServerHandshakeError as error:
            raise TransportError(
                f"{self.url} refused the WebSocket: HTTP {error.status}"
            ) from error
        except TimeoutError as error:
            raise TransportError(
                f"{self.url} did not answer within {settings.connect_timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportError(f"{self.url} can't be reached: {_reason(error)}") from error

    def _flow(self, socket: aiohttp.ClientWebSocketResponse) -> Flow:
        url = URL(self.url)
        peer = socket.get_extra_info("peername") or (url.host or "", url.port or 0)
        kind = TransportKind.WSS if url.scheme in ("wss", "https") else TransportKind.WS
        return Flow(
            kind, str(peer[0]).partition("%")[0], int(peer[1]), self._name, next(self._numbers)
        )


def _reason(error: BaseException) -> str:
    """Why there is no connection, for a person: aiohttp's text shows objects of Python's."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} does not resolve; check it, and the DNS of this machine"
        case aiohttp.ClientConnectorCertificateError():
            return _reason(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return _reason(error.os_error)
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return f"TLS fails ({error.reason}); does it speak TLS on this port?"
        case OSError():
            # asyncio's own text for a refused connection is "Connect call failed" and a tuple.
            return os.strerror(error.errno) if error.errno else str(error)
        case _:
            return str(error)
