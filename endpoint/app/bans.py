"""Bans over HTTP, below `/api/v1/bans`: who is not listened to, and why a phone is refused."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from aiohttp import web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.gateways.native import messages as wire
from signaling.server import SipServer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BanRoutes:
    """Handlers over the embedded sipWsServer."""

    server: SipServer

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/bans", self.bans),
            web.delete(f"{wire.API}/bans/{{source:.+}}", self.lift),
        ]

    async def bans(self, _request: web.Request) -> web.Response:
        """`GET /bans`."""
        now = self.server.user_agent.now()
        found = wire.Bans(
            [
                wire.Ban(ban.source, ban.user or "", ban.failures, round(ban.until - now, 3))
                for ban in self.server.bans()
            ]
        )
        return web.Response(body=plaintext.encode(found), content_type="application/json")

    async def lift(self, request: web.Request) -> web.Response:
        """`DELETE /bans/{source}`."""
        source = request.match_info["source"]
        if not self.server.lift_ban(source):
            return refusal(404, wire.Refused("not_banned", "no such source is banned"))
        log.info("ban lifted", source=source)
        return web.Response(status=204)
