"""What a log-on asks for, and each reason why it may be refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from endpoint.agents.model import Agent, AgentId, SkillLevel
from endpoint.agents.ownership import Liveness
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId


class Refusal(StrEnum):
    """Why somebody can't log on, has no session, or must wait."""

    UNKNOWN_AGENT = "unknown_agent"
    WRONG_PASSWORD = "wrong_password"
    AGENT_DISABLED = "agent_disabled"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_NOT_ALLOWED = "device_not_allowed"
    """The agent may not use it."""
    NOT_REGISTERED = "not_registered"
    """No telephone of the device can be called."""
    DEVICE_IN_USE = "device_in_use"
    """Another agent is logged on there."""
    LOGGED_ON_HERE = "logged_on_here"
    """The agent is, at this device."""
    LOGGED_ON_ELSEWHERE = "logged_on_elsewhere"
    """The agent is, at another device."""
    IN_CALL = "in_call"
    """So it can't go to another device now."""
    UNKNOWN_MODE = "unknown_mode"
    UNKNOWN_REASON = "unknown_reason"
    NOT_LOGGED_ON = "not_logged_on"
    NOT_OWNER = "not_owner"
    """What was shown is no `delegator_id` of the session as it is now."""
    OWNED = "owned"
    """Another client has the session."""
    TOO_MANY_ATTEMPTS = "too_many_attempts"


class LogOnRefused(CommandRejected):
    """An agent that is not logged on by this; what was so before stays so."""

    def __init__(
        self,
        reason: Refusal,
        text: str,
        *,
        agent: AgentId | None = None,
        device: DeviceId | None = None,
    ) -> None:
        super().__init__(reason, text)
        self.agent = agent
        """Who is logged on there, of `device_in_use`."""
        self.device = device
        """Where it is logged on, of `logged_on_here` and `logged_on_elsewhere`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOn:
    """An agent wants to work at a device."""

    agent: AgentId
    device: DeviceId
    password: str | None = field(default=None, repr=False)
    """None: whoever asks has shown otherwise that it is the agent, or may say so."""
    mode: int | None = None
    """The work mode's code; None: the first in which calls are taken."""
    ready: bool = False
    """It takes calls of queues at once."""
    reason: str = ""
    """Why it does not: the code of a leave reason."""
    skills: tuple[SkillLevel, ...] | None = None
    """That count in this session; None: the directory's."""
    wrap_up_s: float | None = None
    """Likewise."""
    dials_for_skill: bool | None = None
    """Likewise."""
    take_over: bool = False
    """Where the agent is logged on already, this client has the session from now on."""
    liveness: Liveness = field(default_factory=Liveness)
    """When its client counts as gone."""
    delegator_id: str = field(default="", repr=False)
    """That was made for its client before (`new_delegator_id`); empty: it gets one now."""
    source: str = ""
    """Where it asks from: too many wrong passwords from there have to wait."""
    by: AgentId | None = None
    """Whose doing it is, where not the agent's own."""


def may_use(agent: Agent, device: DeviceId) -> bool:
    """Whether the agent may log on at a device."""
    return not agent.devices or any(_fits(each, device) for each in agent.devices)


def _fits(pattern: str, device: DeviceId) -> bool:
    if pattern.endswith("*"):
        return device.startswith(pattern[:-1])
    return pattern == device


def check(
    wanted: LogOn,
    agent: Agent | None,
    *,
    is_ours: bool,
    is_reached: bool,
    used_by: AgentId | None,
    logged_on_at: DeviceId | None,
) -> None:
    """Refuse a log-on that can't be. Its password has been looked at. Raises LogOnRefused.

    Args:
        wanted: what is asked.
        agent: whom the directory knows by that number.
        is_ours: the device is one of ours.
        is_reached: its telephone can be called.
        used_by: who is logged on there.
        logged_on_at: where the agent is logged on.
    """
    device = wanted.device
    if agent is None:
        raise LogOnRefused(Refusal.UNKNOWN_AGENT, f"there is no agent {wanted.agent}")
    if not agent.enabled:
        raise LogOnRefused(Refusal.AGENT_DISABLED, f"agent {agent.id} may not log on at present")
    if not is_ours:
        why = f"nobody works at {device}: it is no extension, account or station of ours"
        raise LogOnRefused(Refusal.UNKNOWN_DEVICE, why)
    if not may_use(agent, device):
        allowed = ", ".join(agent.devices)
        why = f"agent {agent.id} may not use {device}; it may use {allowed}"
        raise LogOnRefused(Refusal.DEVICE_NOT_ALLOWED, why)
    if logged_on_at == device and not wanted.take_over:
        why = f"agent {agent.id} is logged on at {device} already; take over, or log off first"
        raise LogOnRefused(Refusal.LOGGED_ON_HERE, why, device=device)
    if logged_on_at not in (None, device) and not wanted.take_over:
        why = f"agent {agent.id} is logged on at {logged_on_at}; take over, or log off first"
        raise LogOnRefused(Refusal.LOGGED_ON_ELSEWHERE, why, device=logged_on_at)
    if used_by is not None and used_by != agent.id:
        why = f"agent {used_by} is logged on at {device}; choose another device"
        raise LogOnRefused(Refusal.DEVICE_IN_USE, why, agent=used_by)
    if not is_reached and logged_on_at != device:
        why = f"the telephone of {device} is not registered: bring it up first"
        raise LogOnRefused(Refusal.NOT_REGISTERED, why)
