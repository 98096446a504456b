"""The WebSocket of BasicCall's pages: any path, with TLS and without, by how it begins.

`?token=…` in its address proves who is there: an unchanged page can give nothing else before it
logs on. So no address is ever logged with its query.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Self

import structlog
from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from aiohttp.typedefs import Handler

from endpoint.agents.attempts import Attempts
from endpoint.app.access import PREFLIGHT, Access, refusal
from endpoint.app.basiccall.centre import Centre
from endpoint.app.basiccall.connection import Connection
from endpoint.app.basiccall.pages import PageRoutes, Reread
from endpoint.app.basiccall.proof import Proof, is_believed, is_within
from endpoint.app.basiccall.settings import LOOPBACK_NETWORKS, BasicCallSettings
from endpoint.app.eventsocket import HEARTBEAT_S
from endpoint.app.guard import ConnectionGuard, GuardLimits
from endpoint.app.listening import listener, port_of
from endpoint.app.livesockets import LiveSockets
from endpoint.app.settings import HttpSettings
from endpoint.gateways.basiccall.frames import LARGEST
from endpoint.gateways.native.messages import Refused

log = structlog.get_logger(__name__)

WRONG_FRAMES = 60
"""So many a minute of one source; then its connection is closed."""
SLOWEST_S = HEARTBEAT_S
"""Who has not read what it was told so long before is let go."""
_GOODBYE_S = 1.0


class BasicCallListener:
    """`async with BasicCallListener(…) as listener`."""

    def __init__(
        self,
        settings: BasicCallSettings,
        limits: HttpSettings,
        centre: Centre,
        access: Access,
        tls: ssl.SSLContext,
        live: LiveSockets,
        reread: Reread,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Set up.

        Args:
            settings: where to listen, whom to believe.
            limits: as of HTTP: connections, and how slow they may be.
            centre: what connections share.
            access: whose tokens are, and which pages may come.
            tls: of this machine.
            live: closes connections whose token is over.
            reread: reads the parameters anew.
            has_room: whether the process may have another connection.
        """
        self._settings = settings
        self._centre = centre
        self._access = access
        self._tls = tls
        self._live = live
        self._wrong = Attempts(WRONG_FRAMES)
        self._guard = ConnectionGuard(
            GuardLimits(limits.connections, limits.connections_per_source, limits.header_timeout_s),
            has_room,
        )
        application = web.Application(middlewares=[self._outermost], client_max_size=LARGEST)
        self.pages = PageRoutes(settings, centre, access, limits.body_timeout_s, reread)
        application.router.add_routes(self.pages.routes())
        application.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=limits.idle_timeout_s,
            auto_decompress=False,
            shutdown_timeout=2.0,
        )
        self._sockets: set[web.WebSocketResponse] = set()
        self._servers: list[asyncio.Server] = []
        self._unwatch: Callable[[], None] = lambda: None
        self.port = 0
        """Once listening."""
        self.second_port = 0
        """Likewise, where there is one."""

    async def __aenter__(self) -> Self:
        """Listen. Raises PortTaken, ConfigurationError."""
        await self._guard.__aenter__()
        await self._runner.setup()
        self._unwatch = self._centre.queues.watch(self._centre.queue_changed)
        assert self._runner.server is not None
        plain = {
            "loopback": lambda source: is_within(source, LOOPBACK_NETWORKS),
            "anywhere": lambda source: True,
            "never": lambda source: False,
        }[self._settings.plain]
        factory = self._guard.around(self._runner.server, self._tls, plain)
        host, ports = self._settings.host, {"port": self._settings.port}
        if self._settings.second_port is not None:
            ports["second_port"] = self._settings.second_port
        try:
            for setting, port in ports.items():
                at = await listener(factory, "BasicCall", host, port, f"basiccall.{setting}")
                self._servers.append(at)
        except BaseException:
            await self._close()
            raise
        self.port, self.second_port = [*map(port_of, self._servers), 0][:2]
        log.info("BasicCall pages are served", host=host, port=self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_listening()
        async with asyncio.TaskGroup() as closing:
            for socket in self._sockets:
                closing.create_task(_say_goodbye(socket))
        await self._close()

    async def _close(self) -> None:
        unwatch, self._unwatch = self._unwatch, lambda: None
        unwatch()
        self._stop_listening()
        await self._guard.__aexit__(None, None, None)
        await self._runner.cleanup()

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    @web.middleware
    async def _outermost(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._guard.request_began(request.transport)
        if not self._access.allows_origin(request):
            return self._access.refuse_origin(request)
        if request.method == hdrs.METH_OPTIONS and hdrs.ORIGIN in request.headers:
            response: web.StreamResponse = web.Response(status=204, headers=PREFLIGHT)
        else:
            response = await handler(request)
        if not response.prepared:
            self._access.add_cors(request, response.headers)
        return response

    async def _proof(self, request: web.Request) -> Proof | web.Response:
        source = request.remote or ""
        if tokens := request.query.getall("token", []):
            proven = await self._access.prove(tokens, source, request.path)
            return proven if isinstance(proven, web.Response) else Proof(proven)
        networks = self._settings.trust_agent_id
        return Proof(trusted=is_believed(source, request.headers, networks))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one page until it goes, or we go."""
        proof = await self._proof(request)
        if isinstance(proof, web.Response):
            return proof
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=LARGEST, compress=False)
        if not socket.can_prepare(request):
            text = "this is the WebSocket of soft phone pages"
            return refusal(426, Refused("upgrade_required", text))
        await socket.prepare(request)
        held = (
            nullcontext()
            if proof.identity is None
            else self._live.held(proof.identity, socket, request)
        )
        self._sockets.add(socket)
        try:
            with held, suppress(ConnectionError):
                await self._serve(socket, proof, request)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _serve(
        self, socket: web.WebSocketResponse, proof: Proof, request: web.Request
    ) -> None:
        source, transport = request.remote or "", request.transport

        async def send(text: str) -> None:
            try:
                with suppress(ConnectionError):  # reading ends by itself then
                    async with asyncio.timeout(SLOWEST_S):
                        await socket.send_str(text)
            except TimeoutError:
                # What it is to be told would pile up for as long as it likes.
                log.warning("page let go", reason="it does not read", source=source)
                if transport is not None:
                    transport.abort()

        async with asyncio.TaskGroup() as tasks:
            connection = Connection(self._centre, proof, source, send, tasks)
            try:
                async for message in socket:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        continue
                    if not await connection.take(message.data) and self._is_too_much(source):
                        log.warning("page let go", reason="wrong frames", source=source)
                        await socket.close(
                            code=WSCloseCode.POLICY_VIOLATION, message=b"too many wrong frames"
                        )
                    await asyncio.sleep(0)  # others first: many frames may be here at once
            finally:
                connection.leave()

    def _is_too_much(self, source: str) -> bool:
        now = asyncio.get_running_loop().time()
        self._wrong.count(source, now)
        return self._wrong.wait_s(source, now) > 0


async def _say_goodbye(socket: web.WebSocketResponse) -> None:
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the endpoint stops")
