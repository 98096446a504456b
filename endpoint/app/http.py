"""The HTTP listeners: TLS for everybody, plain on loopback; limits, headers, the page."""

from __future__ import annotations

import asyncio
import importlib.resources
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from endpoint.agents.logon import LogOnRefused
from endpoint.app.access import SIP_PATH, Access, own_origins, refusal
from endpoint.app.bodies import BadRequest
from endpoint.app.guard import ConnectionGuard, GuardLimits
from endpoint.app.listening import listener, port_of
from endpoint.app.rights import check_declared
from endpoint.app.settings import HttpSettings, is_loopback
from endpoint.errors import CommandRejected, StorageError
from endpoint.gateways.native.messages import Refused

log = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HSTS = "max-age=31536000"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/agents.js": ("agents.js", "text/javascript"),
    "/commands.js": ("commands.js", "text/javascript"),
    "/others.js": ("others.js", "text/javascript"),
    "/pastcalls.js": ("pastcalls.js", "text/javascript"),
    "/recordings.js": ("recordings.js", "text/javascript"),
    "/signin.js": ("signin.js", "text/javascript"),
    "/telephone.js": ("telephone.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/interface": ("interface.html", "text/html"),
    "/interface.js": ("interface.js", "text/javascript"),
}
"""Every file that can be asked for, by its path: nothing else is ever opened."""

_STATUS = {
    "unknown_call": 404,
    "unknown_queue": 404,
    "unknown_call_back": 404,
    "bad_number": 400,
    "not_in_call": 404,
    "shutting_down": 503,
    "internal_error": 500,
    "unknown_device": 404,
    "not_permitted": 403,
    "bad_data": 400,
    "bad_digits": 400,
    "dial_limit": 429,
    "number_refused": 403,
    # of agents
    "unknown_agent": 404,
    "wrong_password": 403,
    "agent_disabled": 403,
    "device_not_allowed": 403,
    "not_owner": 403,
    "unknown_mode": 400,
    "unknown_reason": 400,
    "too_many_attempts": 429,
    # of a dial string
    "two_dashes": 400,
    "empty_extension": 400,
    "pause_after_digits": 400,
    "bad_character": 400,
    "empty_number": 400,
}
"""HTTP status of a refused command; 409 for those that the state does not allow."""

WebSocketRoute = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """`async with HttpServer(...) as server`, then `listen`.

    Enter it before what its handlers use, so that it is left after that: handlers end when what
    they wait for ends.
    """

    def __init__(
        self,
        settings: HttpSettings,
        access: Access,
        tls: ssl.SSLContext,
        names: list[str],
        sip: WebSocketRoute,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`has_room` says whether the process may have another connection."""
        self._settings = settings
        self.access = access
        """Who may."""
        self._tls = tls
        self._names = names
        self._guard = ConnectionGuard(
            GuardLimits(
                settings.connections, settings.connections_per_source, settings.header_timeout_s
            ),
            has_room,
        )
        self.application = web.Application(
            middlewares=[self._outermost, answer_errors, access.middleware],
            client_max_size=settings.body_limit_bytes,
        )
        self.application.on_response_prepare.append(self._add_headers)
        self.application.add_routes([*_page_routes(), web.get(SIP_PATH, sip)])
        self._runner = web.AppRunner(
            self.application,
            access_log=None,
            keepalive_timeout=settings.idle_timeout_s,
            auto_decompress=False,
            shutdown_timeout=2.0,
        )
        self._servers: list[asyncio.Server] = []
        self.port = 0
        """Of TLS, once listening."""
        self.plain_port = 0
        """Without TLS; 0 where there is none."""

    async def __aenter__(self) -> Self:
        await self._guard.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        await self._guard.__aexit__(None, None, None)
        await self._runner.cleanup()

    async def listen(self, routes: list[web.RouteDef]) -> None:
        """Take requests, for the page, SIP and these routes. Raises `PortTaken`."""
        check_declared(routes)
        self.application.add_routes(routes)
        await self._runner.setup()
        settings = self._settings
        self.port = await self._listen(settings.host, settings.port, "http.port", self._tls)
        self.access.admit_origins(own_origins(self._names, "https", self.port))
        if settings.plain:
            self.plain_port = await self._listen(
                LOOPBACK, settings.plain_port, "http.plain_port", None
            )
            local = [name for name in self._names if is_loopback(name)]
            self.access.admit_origins(own_origins(local, "http", self.plain_port))

    async def stop_listening(self) -> None:
        """Take no new connections; those that are open go on."""
        servers, self._servers = self._servers, []
        for each in servers:
            each.close()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._guard.connections

    async def _listen(self, host: str, port: int, setting: str, tls: ssl.SSLContext | None) -> int:
        server = self._runner.server
        assert server is not None
        use = "HTTPS and SIP over WSS" if tls else "plain HTTP"
        listening = await listener(self._guard.around(server, tls), use, host, port, setting)
        self._servers.append(listening)
        return port_of(listening)

    @web.middleware
    async def _outermost(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._guard.request_began(request.transport)
        response = await handler(request)
        log.debug(
            "request answered",
            method=request.method,
            path=request.path,
            status=response.status,
            source=request.remote,
        )
        return response

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers[hdrs.SERVER] = "agent-endpoint"
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        # Never for localhost: it would bind every other server on this machine's localhost too.
        if request.secure and not is_loopback(request.url.host or "localhost"):
            response.headers[hdrs.STRICT_TRANSPORT_SECURITY] = _HSTS
        self.access.add_cors(request, response.headers)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as `Refused`; what nobody expected is logged and never shown."""
    try:
        return await handler(request)
    except BadRequest as error:
        return error.answer()
    except LogOnRefused as error:
        refused = Refused(
            error.reason, str(error), agent=error.agent or "", device=error.device or ""
        )
        return refusal(_STATUS.get(error.reason, 409), refused)
    except CommandRejected as error:
        return refusal(_STATUS.get(error.reason, 409), Refused(error.reason, str(error)))
    except StorageError:
        log.exception("the database failed", path=request.path)
        return refusal(503, Refused("storage", "the database can't be used now; see the log"))
    except web.HTTPException as error:
        # aiohttp's own: no such path, no such method.
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        word = error.reason.lower().replace(" ", "_")
        return refusal(error.status, Refused(word, f"{request.method} {request.path}"), headers)
    except Exception as error:
        if isinstance(error, UnicodeEncodeError) and not _is_text(request):
            # aiohttp says in its own refusals what it found, and stumbles over that.
            return refusal(
                400, Refused("bad_header", "a header is no UTF-8", expected="printable ASCII")
            )
        log.exception("request failed", method=request.method, path=request.path)
        return refusal(500, Refused("internal_error", "this is our fault; see the log"))


def _is_text(request: web.Request) -> bool:
    """Whether all of its headers are UTF-8."""
    try:
        "".join(request.headers.values()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _page_routes() -> list[web.RouteDef]:
    folder = importlib.resources.files("endpoint.app") / "page"
    return [
        web.get(path, _file(folder.joinpath(name).read_bytes(), kind))
        for path, (name, kind) in _FILES.items()
    ]


def _file(content: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve
