"""Which tenants there are, as the native interface and its clients say it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

TenantName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Domain = Annotated[str, Meta(max_length=253, pattern="^([A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*)?$")]


class Tenant(Struct, frozen=True, forbid_unknown_fields=True):
    """One customer's world."""

    name: TenantName
    domain: Domain = ""
    """Of its addresses in SIP, which are no other's; empty: it has none."""


class TenantDomain(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /tenants/{tenant}`."""

    domain: Domain
    """Empty: it has none any more."""


class Tenants(Struct, frozen=True):
    """`GET /tenants`."""

    tenants: list[Tenant]
