"""Who asks: what a credential proves, whichever gateway it came to. A value, without a clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from endpoint.agents.model import Agent, AgentId, Role
from endpoint.legs.base import DeviceId

DEFAULT_TENANT = "default"


class Kind(StrEnum):
    """What asks."""

    MACHINE = "machine"
    """The installation's own token, or a program's: no agent stands behind it."""
    AGENT = "agent"
    """A person who is in the directory."""


class Scope(StrEnum):
    """What a credential may be used for. A role says about whom; a scope says what."""

    CALLS_READ = "calls:read"
    """Devices, registrations, calls, and their events."""
    CALLS_WRITE = "calls:write"
    """Commands, and the audio of stations."""
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    """Log on and off, ready, work modes, leave; of whom is for the role."""
    RECORDS_READ = "records:read"
    """Records of calls that are over, and what was said in SIP."""
    RECORDINGS_READ = "recordings:read"
    RECORDINGS_WRITE = "recordings:write"
    """Delete recordings."""
    ADMIN_READ = "admin:read"
    """Dial plan, trunks, bans, IVRs, directory, tokens, webhooks."""
    ADMIN_WRITE = "admin:write"


ALL_SCOPES = frozenset(Scope)
_AT_WORK = frozenset(
    {
        Scope.CALLS_READ,
        Scope.CALLS_WRITE,
        Scope.AGENTS_READ,
        Scope.AGENTS_WRITE,
        Scope.RECORDS_READ,
        Scope.RECORDINGS_READ,
    }
)
OF_ROLE = {Role.AGENT: _AT_WORK, Role.MONITOR: _AT_WORK, Role.ADMINISTRATOR: ALL_SCOPES}
"""The most that a role ever has; a token may have less."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what it may: the same for each gateway."""

    kind: Kind
    role: Role
    scopes: frozenset[Scope]
    agent: AgentId | None = None
    """None for a machine."""
    departments: tuple[str, ...] = ()
    """About whose agents a monitor may do and see what it may about itself."""
    devices: tuple[str, ...] = ()
    """Where it may log on, as of `Agent`."""
    tenant: str = DEFAULT_TENANT
    expires_at: datetime | None = None
    """From then on it proves nothing; None: never."""
    credential: str = ""
    """Which one it was, by a name that is no secret: for the log, and to revoke it."""

    def may(self, scope: Scope) -> bool:
        """Whether what it shows is for that."""
        return scope in self.scopes

    @property
    def is_operator(self) -> bool:
        """Whether it may say which tenants there are: it runs the house that they are in."""
        return self.credential == INSTALLATION.credential and self.tenant == DEFAULT_TENANT

    def is_over(self, now: datetime) -> bool:
        """Whether it proves nothing any more."""
        return self.expires_at is not None and now >= self.expires_at

    def is_about(self, agent: Agent) -> bool:
        """Whether it may act about an agent of its tenant: itself, its departments, all."""
        match self.role:
            case Role.ADMINISTRATOR:
                return True
            case Role.MONITOR:
                return agent.id == self.agent or agent.department in self.departments
            case Role.AGENT:
                return agent.id == self.agent


INSTALLATION = Identity(Kind.MACHINE, Role.ADMINISTRATOR, ALL_SCOPES, credential="installation")
"""Who has the bearer token of the installation."""


def of_agent(agent: Agent, *, tenant: str = DEFAULT_TENANT) -> Identity:
    """An agent as the directory has it, with all that its role has."""
    departments = agent.supervises if agent.role is Role.MONITOR else ()
    return Identity(
        Kind.AGENT,
        agent.role,
        OF_ROLE[agent.role],
        agent.id,
        departments,
        agent.devices,
        tenant=tenant,
    )


def narrowed(identity: Identity, scopes: frozenset[Scope]) -> Identity:
    """The same with no more than these scopes."""
    return replace(identity, scopes=identity.scopes & scopes)


class Occupants(Protocol):
    """Who is logged on where, as those know that keep the sessions of agents."""

    def agent_at(self, device: DeviceId) -> Agent | None:
        """The agent that is logged on at a device, if one is."""

    def dials_for(self, device: DeviceId) -> str:
        """The skill whose call it is where that agent calls the outside; empty: none's."""


class LateOccupants:
    """Those of whom there is to be first: until then nobody is logged on."""

    def __init__(self) -> None:
        self.known: Occupants | None = None
        """Whoever keeps the sessions, once there is one."""

    def agent_at(self, device: DeviceId) -> Agent | None:
        """See `Occupants`."""
        return None if self.known is None else self.known.agent_at(device)

    def dials_for(self, device: DeviceId) -> str:
        """See `Occupants`."""
        return "" if self.known is None else self.known.dials_for(device)
