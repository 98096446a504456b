"""What it means for this process that it serves one tenant of those that the database has."""

from __future__ import annotations

from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError
from endpoint.gateways.native import tenantmessages as messages
from endpoint.storage.database import Database
from endpoint.storage.tenants import Tenant, Tenants


async def in_tenant(config: Config, database: Database) -> Config:
    """The configuration with the tenant's domain among those that our registrar serves.

    Raises `ConfigurationError` where by it we would serve what is another tenant's.
    """
    others = [each for each in await Tenants(database).all() if each.name != database.tenant]
    served = [domain.lower() for domain in config.sip.domains]
    mistakes = [
        f"sip.domains: found {each.domain!r}, which is of tenant {each.name!r}, expected none of "
        "another tenant"
        for each in others
        if each.domain in served
    ]
    is_one_of_many = bool(others) or database.tenant != DEFAULT_TENANT
    if config.jwt.issuer and not config.jwt.tenant_claim and is_one_of_many:
        mistakes.append(
            "jwt.tenant_claim: found nothing, expected a claim that names the tenant: there are "
            "several, and each may have an agent of the same number"
        )
    if mistakes:
        raise ConfigurationError(mistakes)
    if database.domain is None:
        return config
    domains = [database.domain, *(each for each in served if each != database.domain)]
    sip = config.sip.model_copy(update={"domains": domains})
    return config.model_copy(update={"sip": sip})


def domain_of(said: str) -> str | None:
    """As it is stored: names of hosts are told apart without case."""
    return said.lower() or None


def stored(tenant: messages.Tenant) -> Tenant:
    """From the interface."""
    return Tenant(tenant.name, domain_of(tenant.domain))


def told(tenant: Tenant) -> messages.Tenant:
    """To the interface."""
    return messages.Tenant(tenant.name, tenant.domain or "")
