"""The dial plan over HTTP, below `/api/v1/plan`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from endpoint.app.bodies import json_answer, read_body
from endpoint.app.planbook import PlanBook, PlanRejected
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import planmessages as plan

MOST_OCTETS = 4 * 1024 * 1024
"""Of a whole plan."""

log = structlog.get_logger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class PlanRoutes:
    """Handlers over the one book. What is accepted counts when it is answered."""

    book: PlanBook
    body_timeout_s: float
    _replacing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time: each is held whole."""

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        rules = f"{wire.API}/plan/rules"
        return [
            web.get(f"{wire.API}/plan", self.plan),
            web.post(rules, self._told(self.add)),
            web.put(rules, self._told(self.replace)),
            web.put(f"{rules}/{{rule}}", self._told(self.change)),
            web.delete(f"{rules}/{{rule}}", self._told(self.remove)),
            web.post(f"{wire.API}/plan/test", self._told(self.test)),
        ]

    async def plan(self, _request: web.Request) -> web.Response:
        """`GET /plan`."""
        return json_answer(await self.book.plan())

    async def add(self, request: web.Request) -> web.Response:
        """`POST /plan/rules`."""
        rule = await read_body(request, plan.PlanRule, timeout_s=self.body_timeout_s)
        made = await self.book.add_plan_rule(rule)
        log.info("rule of the dial plan added", rule=rule.name)
        return json_answer(made, 201)

    async def change(self, request: web.Request) -> web.Response:
        """`PUT /plan/rules/{rule}`."""
        rule = await read_body(request, plan.PlanRule, timeout_s=self.body_timeout_s)
        name = request.match_info["rule"]
        made = await self.book.change_plan_rule(name, rule)
        log.info("rule of the dial plan changed", rule=name)
        return json_answer(made)

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /plan/rules/{rule}`."""
        name = request.match_info["rule"]
        await self.book.remove_plan_rule(name)
        log.info("rule of the dial plan removed", rule=name)
        return web.Response(status=204)

    async def replace(self, request: web.Request) -> web.Response:
        """`PUT /plan/rules`."""
        # All at once is more than any other request holds.
        whole = request.clone(client_max_size=MOST_OCTETS)
        async with self._replacing:
            wanted = await read_body(whole, plan.PlanOfRules, timeout_s=self.body_timeout_s)
            made = await self.book.replace_plan(wanted.rules)
        log.info("dial plan brought in", rules=len(wanted.rules))
        return json_answer(made)

    async def test(self, request: web.Request) -> web.Response:
        """`POST /plan/test`."""
        asked = await read_body(request, plan.AskPlan, timeout_s=self.body_timeout_s)
        return json_answer(await self.book.ask_plan(asked))

    @staticmethod
    def _told(handler: _Handler) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except PlanRejected as rejected:
                return json_answer(rejected.refused, rejected.status)

        return handle
