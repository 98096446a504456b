"""What the native interface says of itself: OpenAPI and AsyncAPI, made once and served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from endpoint import __version__
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.asyncapi import asyncapi
from endpoint.gateways.native.openapi import openapi

DOCUMENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "openapi": openapi,
    "asyncapi": asyncapi,
}


def document(name: str) -> str:
    """One of them, as JSON that a person can read."""
    return json.dumps(DOCUMENTS[name](__version__), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class InterfaceRoutes:
    """Handlers that need no token: what can be asked is no secret."""

    _made: dict[str, str] = field(default_factory=dict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Both need Python's own parser, which fails where two threads use it at once (3.11)."""

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/openapi.json", self.openapi),
            web.get(f"{wire.API}/asyncapi.json", self.asyncapi),
        ]

    async def openapi(self, _request: web.Request) -> web.Response:
        """`GET /openapi.json`."""
        return await self._answer("openapi")

    async def asyncapi(self, _request: web.Request) -> web.Response:
        """`GET /asyncapi.json`."""
        return await self._answer("asyncapi")

    async def _answer(self, name: str) -> web.Response:
        async with self._making:
            if name not in self._made:
                # It takes the loop for too long.
                self._made[name] = await asyncio.to_thread(document, name)
        return web.Response(text=self._made[name], content_type="application/json")
