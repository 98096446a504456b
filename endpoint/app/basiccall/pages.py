"""What other pages than the soft phone's own may ask by HTTP: commands; to read parameters anew.

A command is one of the soft phone's page, which has to have told the other its `ins` and
`delegatorId`. Beside those it takes a token. As a script (JSONP) it comes from whatever page has
put that into itself, so then the token is one of that session alone, no cookie or header counts,
and the page has to be one that is admitted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from endpoint.agents.attempts import Attempts
from endpoint.agents.identity import Identity, Scope
from endpoint.app.access import Access, identity_of, refusal
from endpoint.app.basiccall.centre import Centre, Holder
from endpoint.app.basiccall.proof import Proof, is_believed, is_same
from endpoint.app.basiccall.settings import LOOPBACK_NETWORKS, BasicCallSettings
from endpoint.errors import ConfigurationError
from endpoint.gateways.basiccall.frames import (
    LARGEST,
    BadFrame,
    SPCommand,
    SPResponse,
    decode,
)
from endpoint.gateways.basiccall.jsonp import is_callback, script
from endpoint.gateways.basiccall.names import ErrorCode
from endpoint.gateways.basiccall.parameters import Parameters
from endpoint.gateways.native.messages import Refused

log = structlog.get_logger(__name__)

Reread = Callable[[], Parameters]
"""The parameters as they are written down now. Raises ConfigurationError; takes its time."""
_SAFE = {"X-Content-Type-Options": "nosniff", hdrs.CACHE_CONTROL: "no-store"}
_WRONG_IDS = 10


class PageRoutes:
    """Below any path, as `/WSAgentServer/softphone/processJsonpCommand.do`."""

    def __init__(
        self,
        settings: BasicCallSettings,
        centre: Centre,
        access: Access,
        body_timeout_s: float,
        reread: Reread,
    ) -> None:
        self._settings = settings
        self._centre = centre
        self._access = access
        self._body_timeout_s = body_timeout_s
        self._reread = reread
        self._wrong = Attempts(_WRONG_IDS)

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        command, parameters = (
            rf"/{{path:.*}}{name}.do" for name in ("processJsonpCommand", "reloadSystemParam")
        )
        return [
            web.post(command, self._post),
            web.get(command, self._jsonp, allow_head=False),
            web.get(parameters, self._reload, allow_head=False),
        ]

    # -- commands ---------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.Response:
        """The command as JSON, in the name of who has the token."""
        if (refused := await self._access.identify(request)) is not None:
            return refused
        try:
            async with asyncio.timeout(self._body_timeout_s):
                text = await request.text()
        except TimeoutError:
            return refusal(408, Refused("too_slow", "the body did not come in time"))
        except web.HTTPRequestEntityTooLarge:
            text = f"the body has more than {LARGEST} octets"
            return refusal(413, Refused("too_large", text))
        except (UnicodeDecodeError, LookupError):
            return refusal(400, Refused("bad_body", "expected an SPCommand as JSON, in UTF-8"))
        identity = identity_of(request)

        def is_its_own(page: Holder) -> web.Response | None:
            if Proof(identity).covers(page.agent):
                return None
            text = f"the token is not one of agent {page.agent}, or not for calls"
            return refusal(403, Refused("not_permitted", text))

        answered = await self._command(request, text, is_its_own)
        if isinstance(answered, web.Response):
            return answered
        return web.Response(text=answered, content_type="application/json", headers=_SAFE)

    async def _jsonp(self, request: web.Request) -> web.Response:
        """The command in the address, answered as a script; only where that is switched on."""
        if not self._settings.jsonp:
            return _plain(404, "JSONP is switched off: send the SPCommand as JSON by POST")
        callback = request.query.get("callback", "")
        if not is_callback(callback):
            return _plain(400, "callback: expected the name of a function, as jQuery1_2 or a.b")
        if not self._comes_from_admitted(request):
            log.warning("request refused", reason="page", path=request.path, source=request.remote)
            return _plain(403, "the page that asks is none of http.origins, or does not say itself")
        shown = request.query.get("token", "")

        def has_its_token(page: Holder) -> web.Response | None:
            if page.command_token and is_same(shown, page.command_token):
                return None
            self._wrong.count(request.remote or "", asyncio.get_running_loop().time())
            return _plain(401, "token: expected commandToken, as the soft phone's page was told it")

        text = request.query.get("jsonCommand", "")
        answered = await self._command(request, text, has_its_token)
        if isinstance(answered, web.Response):
            return answered
        return web.Response(
            text=script(callback, answered),
            content_type="application/javascript",
            charset="utf-8",
            headers=_SAFE,
        )

    def _comes_from_admitted(self, request: web.Request) -> bool:
        """What browsers say of who asks: scripts have no Origin, but a Referer."""
        if request.headers.get("Sec-Fetch-Dest", "script") != "script":
            return False
        try:
            page = urlsplit(request.headers.get(hdrs.REFERER, ""))
        except ValueError:
            return False
        return self._access.admits(f"{page.scheme}://{page.netloc}")

    async def _command(
        self,
        request: web.Request,
        text: str,
        refuses: Callable[[Holder], web.Response | None],
    ) -> str | web.Response:
        """Have it done by its page; the SPResponse."""
        source, now = request.remote or "", asyncio.get_running_loop().time()
        if self._wrong.wait_s(source, now):
            wanted = Refused("too_many_attempts", "too many wrong ones from here; wait a minute")
            return refusal(429, wanted, {hdrs.RETRY_AFTER: "60"})
        try:
            command = decode(text)
            page = self._page(command)
            if (refused := refuses(page)) is not None:
                log.warning("command refused", command=str(command.name), source=source)
                return refused
            if not is_same(command.delegator_id, page.delegator_id):
                self._wrong.count(source, now)
                why = "delegatorId: that is not of the page's session"
                raise BadFrame(ErrorCode.DELEGATOR_ID_NO_MATCH, why, command.name)
        except BadFrame as bad:
            return SPResponse(bad.command, bad.code, str(bad)).encode()
        log.info("command of another page", command=str(command.name), agent=page.agent)
        return await page.take_for(text)

    def _page(self, command: SPCommand) -> Holder:
        for page in self._centre.holders.values():
            if page.ins == command.ins and page.is_logged_on:
                return page
        why = f"ins: no page is logged on at {command.ins[:40]!r}"
        raise BadFrame(ErrorCode.INVALID_INS, why, command.name)

    # -- parameters -------------------------------------------------------------------------------

    async def _reload(self, request: web.Request) -> web.Response:
        """`true`: they were read anew. They count from the next Init of each page."""
        if (refused := await self._may_reload(request)) is not None:
            return refused
        try:
            self._centre.parameters = await asyncio.to_thread(self._reread)
        except ConfigurationError as error:
            mistakes = "; ".join(error.mistakes)
            log.warning("parameters are as before", reason=mistakes)
            return refusal(422, Refused("bad_configuration", mistakes))
        log.info("parameters were read anew")
        return web.Response(text=json.dumps(True), content_type="application/json", headers=_SAFE)

    async def _may_reload(self, request: web.Request) -> web.Response | None:
        from_here = is_believed(request.remote or "", request.headers, LOOPBACK_NETWORKS)
        asked_by_page = request.headers.get("Sec-Fetch-Site", "none") != "none"
        if self._settings.reload_from_loopback and from_here and not asked_by_page:
            return None
        if (refused := await self._access.identify(request)) is not None:
            return refused
        identity: Identity = identity_of(request)
        if not identity.may(Scope.ADMIN_WRITE):
            why = "only for who may administer (admin:write)"
            return refusal(403, Refused("not_permitted", why))
        return None


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/plain", headers=_SAFE)
