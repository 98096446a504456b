"""Facts of the deployment, and limits, of a user agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom

from signaling.sip.core import EXTENSIONS, METHODS_TAKEN
from signaling.sip.guard import GuardSettings
from signaling.sip.message import Request
from signaling.sip.overload import CallLimits
from signaling.sip.reliable import RingReliably
from signaling.sip.session_timer import SessionTimerSettings
from signaling.sip.transaction import TimerSettings
from signaling.transport.layer import TransportSettings


@dataclass(frozen=True, slots=True)
class UserAgentConfig:
    """Facts of the deployment, and limits."""

    name: str = "agent-endpoint"
    """User-Agent and Server header fields; empty sends none."""
    hide_from: tuple[str, ...] = ()
    """Networks that are sent neither."""
    transport: TransportSettings = field(default_factory=TransportSettings)
    trusted_peers: tuple[str, ...] = ()
    """Networks (`192.0.2.0/24`) whose calls are taken without asking who they are.

    A plain user agent takes calls from these and from the servers that it has registered or
    connected with; from nobody else."""
    allow: tuple[str, ...] = (*METHODS_TAKEN, "REFER", "NOTIFY")
    supported: tuple[str, ...] = (*EXTENSIONS, "replaces", "norefersub")
    ring_reliably: RingReliably = RingReliably.ASKED
    info_packages: tuple[str, ...] = ()
    timers: TimerSettings = field(default_factory=TimerSettings)
    session_timer: SessionTimerSettings = field(default_factory=SessionTimerSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    """Rates and bans of what comes in."""
    exempt: tuple[str, ...] = ()
    """Networks that the guard lets pass, as it does those of `trusted_peers`."""
    calls: CallLimits = field(default_factory=CallLimits)
    """Over these, new calls are refused."""
    is_short: Callable[[], bool] = lambda: False
    """Whether descriptors or memory are nearly used up: then too."""
    is_urgent: Callable[[Request], bool] = lambda _: False
    """Whether an INVITE of a user of ours is for help: neither limit keeps it back."""
    maximum_pending: int = 1000
    """Requests that may wait for a decision at the same time; more are answered 503."""
    close_timeout_s: float = 3.0
    """How long closing waits for far ends to take our BYE, CANCEL and un-REGISTER."""
    random: Random = field(default_factory=SystemRandom)
