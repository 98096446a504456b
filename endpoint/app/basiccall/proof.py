"""What a connection has proven about who is at its other end."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from endpoint.agents.identity import Identity, Kind, Scope
from endpoint.agents.model import AgentId

_NEEDED = (Scope.AGENTS_WRITE, Scope.CALLS_WRITE)


@dataclass(frozen=True, slots=True)
class Proof:
    """By a token in its address, or by where it comes from; else a password has to."""

    identity: Identity | None = None
    trusted: bool = False
    """Who is there is believed."""

    def covers(self, agent: AgentId) -> bool:
        """Whether it may speak for an agent without a password.

        A token proves who it is of and no other one, wherever it comes from.
        """
        if self.identity is None:
            return self.trusted
        if not all(self.identity.may(scope) for scope in _NEEDED):
            return False
        return self.identity.kind is Kind.MACHINE or self.identity.agent == agent

    def excludes(self, agent: AgentId) -> bool:
        """Whether it is proven that this is somebody else."""
        return self.identity is not None and not self.covers(agent)


_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def is_believed(source: str, headers: Collection[str], networks: Iterable[str]) -> bool:
    """Whether who asks is in one of the networks: what a proxy there hands on is from elsewhere."""
    return not any(each in headers for each in _OF_PROXIES) and is_within(source, networks)


def is_within(source: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return any(address in ipaddress.ip_network(each, strict=False) for each in networks)


def is_same(shown: str, known: str) -> bool:
    """Whether that is the id or token that is known, in constant time."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), known.encode())


def is_loopback_network(network: str) -> bool:
    """Whether nobody can be in it but this machine."""
    return ipaddress.ip_network(network, strict=False).is_loopback
