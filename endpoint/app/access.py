"""Who may use the HTTP interface: a bearer token on every request, web origins on an allow-list."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from endpoint.app.settings import ORIGIN
from endpoint.gateways.native.messages import API, BEARER_SUBPROTOCOL, Refused

log = structlog.get_logger(__name__)

SIP_PATH = "/sip"
_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


def refusal(status: int, refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that says what is wrong, as `Refused`."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(refused),
        content_type="application/json",
        headers=headers,
    )


class Access:
    """The token, and the origins: a foreign `Origin` is refused, with the token too."""

    def __init__(self, token: str, origins: Iterable[str]) -> None:
        self._token = token.encode()
        self._origins = set(origins)

    def admit_origins(self, origins: Iterable[str]) -> None:
        """More origins: our own page's, once the ports are known."""
        self._origins.update(origins)

    def allows_origin(self, request: web.Request) -> bool:
        """True without an Origin: that is no browser, or a page of the same origin."""
        origins = request.headers.getall(hdrs.ORIGIN, [])
        return all(origin in self._origins for origin in origins)

    def has_token(self, request: web.Request) -> bool:
        """Compares in constant time. The token is never looked for in the URL."""
        for given in _tokens(request):
            if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token):
                return True
        return False

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not pass; echo an allowed origin."""
        if not self.allows_origin(request):
            return self._refuse_origin(request)
        if request.method == hdrs.METH_OPTIONS and hdrs.ORIGIN in request.headers:
            return web.Response(status=204, headers=_PREFLIGHT)
        if request.path.startswith(API) and not self.has_token(request):
            log.warning("request refused", reason="token", path=request.path, source=request.remote)
            return refusal(
                401,
                Refused(
                    "unauthorised",
                    "send the bearer token: `agent-endpoint token` prints it on the server",
                    expected="Authorization: Bearer <token>",
                ),
                {hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        return await handler(request)

    def add_cors(self, request: web.BaseRequest, headers: CIMultiDict[str]) -> None:
        """Tell the browser that this very origin may read the answer."""
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self._origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin

    def _refuse_origin(self, request: web.Request) -> web.Response:
        origin = request.headers[hdrs.ORIGIN]
        if ORIGIN.fullmatch(origin) and len(origin) < 256:
            cure = (
                f"to admit {origin}: add it to `origins` below [http] in the configuration file, "
                f"""or set AGENT_ENDPOINT_HTTP__ORIGINS='["{origin}"]'"""
            )
        else:
            cure = "this origin can't be admitted: only http and https origins can"
        log.warning("request refused", reason="origin", cure=cure, source=request.remote)
        return refusal(403, Refused("origin_refused", cure, field="Origin"))


def _tokens(request: web.Request) -> Iterable[str]:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        yield given.strip()
    for offered in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, []):
        for protocol in offered.split(","):
            name = protocol.strip()
            if name.startswith(BEARER_SUBPROTOCOL):
                yield name.removeprefix(BEARER_SUBPROTOCOL)


def own_origins(names: Iterable[str], scheme: str, port: int) -> list[str]:
    """The origins of our own page, under each of our names."""
    hosts = [f"[{name}]" if ":" in name else name.lower() for name in names]
    default = {"https": 443, "http": 80}[scheme]
    return [f"{scheme}://{host}" + (f":{port}" if port != default else "") for host in hosts]
