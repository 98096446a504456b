"""Who asks by HTTP: a bearer token on every request says it; web origins on an allow-list."""

from __future__ import annotations

import hmac
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import Protocol

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from endpoint import plaintext
from endpoint.agents.identity import DEFAULT_TENANT, INSTALLATION, Identity
from endpoint.app.settings import ORIGIN
from endpoint.errors import EndpointError
from endpoint.gateways.native.messages import API, BEARER_SUBPROTOCOL, Refused
from endpoint.gateways.native.operations import OPEN

log = structlog.get_logger(__name__)

SIP_PATH = "/sip"
WRONG_TOKENS = 10
WRONG_TOKEN_WINDOW_S = 60.0
PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: (
        "Authorization, Content-Type, Delegator-Id, Idempotency-Key, If-Match"
    ),
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


def refusal(status: int, refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that says what is wrong, as `Refused`."""
    return web.Response(
        status=status,
        body=plaintext.encode(refused),
        content_type="application/json",
        headers=headers,
    )


IDENTITY = web.RequestKey("identity", Identity)
"""Who asks; there at every request below `/api/v1`."""


def identity_of(request: web.Request) -> Identity:
    """Who asks."""
    return request[IDENTITY]


class CredentialsUnavailable(EndpointError):
    """What a token proves can't be said now; the text is for who asks."""

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Credentials(Protocol):
    """Who knows what a token proves, beside that of the installation."""

    async def identify(self, token: str) -> Identity | None:
        """Whose it is; None where it proves nothing, or no longer.

        Raises StorageError, CredentialsUnavailable.
        """

    def resembles(self, token: str) -> bool:
        """Whether it looks like one of these, perhaps over by now: too long to be guessed."""


class Access:
    """The tokens, and the origins: a foreign `Origin` is refused, with a token too."""

    def __init__(
        self,
        token: str,
        origins: Iterable[str],
        credentials: Iterable[Credentials] = (),
        wrong_tokens: int = WRONG_TOKENS,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """`token`: of the installation, whose holder may do everything in `tenant`.

        `wrong_tokens`: so many a source may show in `WRONG_TOKEN_WINDOW_S`; then it must wait.
        """
        self._most_wrong = wrong_tokens
        self._token = token.encode()
        self._installation = replace(INSTALLATION, tenant=tenant)
        self._credentials = tuple(credentials)
        self._origins = set(origins)
        self._wrong: Counter[str] = Counter()
        """Wrong tokens by source, within the window."""
        self._window_ends = 0.0

    def admit_origins(self, origins: Iterable[str]) -> None:
        """More origins: our own page's, once the ports are known."""
        self._origins.update(origins)

    def admits(self, origin: str) -> bool:
        """Whether pages of that origin may come."""
        return origin in self._origins

    def allows_origin(self, request: web.Request) -> bool:
        """True without an Origin: that is no browser, or a page of the same origin."""
        origins = request.headers.getall(hdrs.ORIGIN, [])
        return all(origin in self._origins for origin in origins)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not pass; echo an allowed origin."""
        if not self.allows_origin(request):
            return self.refuse_origin(request)
        if request.method == hdrs.METH_OPTIONS and hdrs.ORIGIN in request.headers:
            return web.Response(status=204, headers=PREFLIGHT)
        if (
            request.path.startswith(API)
            and (request.method, request.path.removeprefix(API)) not in OPEN
            and (refused := await self.identify(request)) is not None
        ):
            return refused
        return await handler(request)

    async def identify(self, request: web.Request) -> web.Response | None:
        """Say who asks (`identity_of`), or refuse. A token in the URL is never looked at.

        Who showed too many wrong ones waits, with a right one too: guessing must not pay.
        """
        proven = await self.prove(_tokens(request), request.remote or "", request.path)
        if isinstance(proven, web.Response):
            return proven
        request[IDENTITY] = proven
        return None

    async def prove(self, tokens: Iterable[str], source: str, path: str) -> Identity | web.Response:
        """Whose the first of these tokens is that is anybody's, or a refusal, as of `identify`."""
        now = monotonic()
        if now >= self._window_ends:
            self._wrong.clear()
            self._window_ends = now + WRONG_TOKEN_WINDOW_S
        given = list(tokens)
        if given and self._wrong[source] >= self._most_wrong:
            wait = str(math.ceil(self._window_ends - now))
            text = f"too many wrong tokens from here; wait {wait} s"
            return refusal(429, Refused("too_many_attempts", text), {hdrs.RETRY_AFTER: wait})
        for token in given:
            try:
                identity = await self._identity(token)
            except CredentialsUnavailable as error:
                wait = str(math.ceil(error.retry_after_s))
                text = f"{error}; ask again in {wait} s, the endpoint's log says why"
                log.warning("request refused", reason=str(error), path=path, source=source)
                unavailable = Refused("credentials_unavailable", text)
                return refusal(503, unavailable, {hdrs.RETRY_AFTER: wait})
            if identity is not None:
                return identity
        self._wrong[source] += any(self._is_guess(token) for token in given)
        log.warning("request refused", reason="token", path=path, source=source)
        return refusal(
            401,
            Refused(
                "unauthorised",
                "send a bearer token that is not over: an agent logs in anew (POST /tokens); "
                "on the server `agent-endpoint token` prints that of the installation",
                expected="Authorization: Bearer <token>",
            ),
            {hdrs.WWW_AUTHENTICATE: "Bearer"},
        )

    async def _identity(self, token: str) -> Identity | None:
        """Whose a token is. That of the installation needs no database; it takes the same time."""
        if hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token):
            return self._installation
        for each in self._credentials:
            if (identity := await each.identify(token)) is not None:
                return identity
        return None

    def _is_guess(self, token: str) -> bool:
        """One that is over is none: whoever sits behind the same address must not wait for it."""
        return not any(each.resembles(token) for each in self._credentials)

    def add_cors(self, request: web.BaseRequest, headers: CIMultiDict[str]) -> None:
        """Tell the browser that this very origin may read the answer."""
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self._origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "ETag, Location"

    def refuse_origin(self, request: web.Request) -> web.Response:
        """With what would admit it."""
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
