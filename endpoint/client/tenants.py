"""What the client asks about tenants: where the default one is served, with its own token."""

from __future__ import annotations

from urllib.parse import quote

from endpoint.client.plan import Asks
from endpoint.gateways.native import tenantmessages as wire


class TenantRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def tenants(self: Asks) -> list[wire.Tenant]:
        """All that the database has."""
        return (await self._ask("GET", "/tenants", wire.Tenants)).tenants

    async def add_tenant(self: Asks, name: str, domain: str = "") -> wire.Tenant:
        """Add one, that is empty."""
        return await self._ask("POST", "/tenants", wire.Tenant, wire.Tenant(name, domain))

    async def change_tenant(self: Asks, name: str, domain: str) -> wire.Tenant:
        """Give one another domain; empty takes it away."""
        body = wire.TenantDomain(domain)
        return await self._ask("PUT", f"/tenants/{quote(name, safe='')}", wire.Tenant, body)

    async def remove_tenant(self: Asks, name: str, *, with_content: bool = False) -> None:
        """Remove one; where it has something, only with that."""
        query = "?content=true" if with_content else ""
        await self._send("DELETE", f"/tenants/{quote(name, safe='')}{query}")
