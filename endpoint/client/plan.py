"""What the client asks about the dial plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from endpoint.gateways.native import planmessages as wire

T = TypeVar("T", bound=msgspec.Struct)


class Asks(Protocol):
    """What one request takes."""

    async def _ask(
        self, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None
    ) -> T:
        """Send one, and read its answer."""

    async def _send(self, method: str, path: str) -> bytes:
        """Send one that has no answer."""


class PlanRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def plan(self: Asks) -> wire.Plan:
        """All that decides where a number goes."""
        return await self._ask("GET", "/plan", wire.Plan)

    async def add_plan_rule(self: Asks, rule: wire.PlanRule) -> wire.PlanRule:
        """One more rule; it counts when this returns."""
        return await self._ask("POST", "/plan/rules", wire.PlanRule, rule)

    async def change_plan_rule(self: Asks, name: str, rule: wire.PlanRule) -> wire.PlanRule:
        """Another rule in the place of one."""
        return await self._ask("PUT", f"/plan/rules/{quote(name, safe='')}", wire.PlanRule, rule)

    async def remove_plan_rule(self: Asks, name: str) -> None:
        """One rule less."""
        await self._send("DELETE", f"/plan/rules/{quote(name, safe='')}")

    async def replace_plan(self: Asks, rules: Sequence[wire.PlanRule]) -> wire.Plan:
        """These rules, and no others."""
        return await self._ask("PUT", "/plan/rules", wire.Plan, wire.PlanOfRules(list(rules)))

    async def ask_plan(self: Asks, asked: wire.AskPlan) -> wire.PlanAnswer:
        """What would happen to a number; nobody is called."""
        return await self._ask("POST", "/plan/test", wire.PlanAnswer, asked)
