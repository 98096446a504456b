"""Extensions over HTTP, below `/api/v1/extensions`."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from aiohttp import web

from endpoint.app.bodies import json_answer, read_body
from endpoint.app.directoryroutes import told
from endpoint.app.extensionbook import ExtensionBook
from endpoint.gateways.native import extensionmessages as wire
from endpoint.gateways.native.messages import API

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExtensionRoutes:
    """Handlers over the one book. What is accepted counts when it is answered."""

    book: ExtensionBook
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        one = f"{API}/extensions/{{extension}}"
        return [
            web.get(f"{API}/extensions", self.all),
            web.get(one, told(self.one)),
            web.put(one, told(self.put)),
            web.delete(one, told(self.remove)),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /extensions`."""
        return json_answer(wire.Extensions(await self.book.all()))

    async def one(self, request: web.Request) -> web.Response:
        """`GET /extensions/{extension}`."""
        return json_answer(await self.book.one(_number(request)))

    async def put(self, request: web.Request) -> web.Response:
        """`PUT /extensions/{extension}`."""
        wanted = await read_body(request, wire.PutExtension, timeout_s=self.body_timeout_s)
        kept, new = await self.book.put(_number(request), wanted)
        log.info("extension added" if new else "extension changed", number=kept.number)
        return json_answer(kept, 201 if new else 200)

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /extensions/{extension}`."""
        await self.book.remove(_number(request))
        log.info("extension removed", number=_number(request))
        return web.Response(status=204)


def _number(request: web.Request) -> str:
    return request.match_info["extension"]
