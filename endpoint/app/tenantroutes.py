"""Which tenants there are, over HTTP, below `/api/v1/tenants`."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import structlog
from aiohttp import web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.app.bodies import read_body
from endpoint.app.tenancy import domain_of, stored, told
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import tenantmessages as messages
from endpoint.storage.tenants import TenantKept, Tenants

log = structlog.get_logger(__name__)

_TAKEN = wire.Refused("taken", "a tenant of this name or with this domain is there already")
_UNKNOWN = wire.Refused("unknown_tenant", "there is no such tenant")


@dataclass(frozen=True, slots=True)
class TenantRoutes:
    """Handlers over the tenants of the database."""

    tenants: Tenants
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        all_, one = f"{wire.API}/tenants", f"{wire.API}/tenants/{{tenant}}"
        return [
            web.get(all_, self.list),
            web.post(all_, self.add),
            web.put(one, self.change),
            web.delete(one, self.remove),
        ]

    async def list(self, _request: web.Request) -> web.Response:
        """`GET /tenants`."""
        return _json(messages.Tenants([told(each) for each in await self.tenants.all()]))

    async def add(self, request: web.Request) -> web.Response:
        """`POST /tenants`."""
        wanted = await read_body(request, messages.Tenant, timeout_s=self.body_timeout_s)
        tenant = stored(wanted)
        if not await self.tenants.add(tenant):
            return refusal(409, _TAKEN)
        log.info("tenant added", name=tenant.name, domain=tenant.domain)
        return _json(told(tenant), 201)

    async def change(self, request: web.Request) -> web.Response:
        """`PUT /tenants/{tenant}`."""
        wanted = await read_body(request, messages.TenantDomain, timeout_s=self.body_timeout_s)
        name = request.match_info["tenant"]
        changed = await self.tenants.change(name, domain_of(wanted.domain))
        if changed is None:
            return refusal(404, _UNKNOWN)
        if not changed:
            return refusal(409, _TAKEN)
        log.info("tenant changed", name=name, domain=wanted.domain)
        return _json(messages.Tenant(name, domain_of(wanted.domain) or ""))

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /tenants/{tenant}`."""
        name, said = request.match_info["tenant"], request.query.get("content", "false")
        if said not in ("true", "false"):
            fault = wire.Refused("bad_field", said, field="content", expected="true or false")
            return refusal(400, fault)
        try:
            found = await self.tenants.remove(name, with_content=said == "true")
        except TenantKept as error:
            return refusal(409, wire.Refused("in_use", str(error)))
        if not found:
            return refusal(404, _UNKNOWN)
        log.warning("tenant removed", name=name)
        return web.Response(status=204)


def _json(message: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=plaintext.encode(message), content_type="application/json"
    )
