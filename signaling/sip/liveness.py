"""Whether a peer lives, asked by OPTIONS (RFC 3261 §11): when to ask, and what the answers mean.

Pure: the owner sends a probe when `next_probe_at` has come, and says what became of it. A peer that
answers anything for itself lives; 408 and 503 are what a proxy says of one that does not, and what
we say where no answer came. One lost probe proves nothing: it is repeated after a brief pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

NOT_ALIVE = frozenset({408, 503})
"""Finals that say that nobody is there, or that nobody must be sent a call."""

MAX_RETRY_AFTER_S = 600.0
"""No Retry-After above this is waited for."""


@dataclass(frozen=True, slots=True)
class LivenessSettings:
    """How often a peer is asked."""

    interval_s: float = 30.0
    """Between probes of a peer that lives; also the longest pause for one that does not."""
    retry_s: float = 1.0
    """Pause after a first failure; doubles with each further one, up to the interval."""
    timeout_s: float = 4.0
    """A probe that has no final answer after so long has failed."""
    failures: int = 2
    """So many in a row mean that the peer is down."""


class LivenessState(StrEnum):
    """What is known of a peer."""

    UNKNOWN = "unknown"
    """No probe is decided yet."""
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The peer answers, for the first time or again."""

    status: int
    """What it answered; seldom of interest."""


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The peer does not answer, or says that it takes nothing."""

    status: int | None
    """408 or 503; None: there is no way to it."""
    text: str


LivenessEvent = PeerUp | PeerDown


class Liveness:
    """The verdict on one peer. Each method returns what is new to tell, if anything."""

    def __init__(self, settings: LivenessSettings, random: Random, *, now: float) -> None:
        self.state = LivenessState.UNKNOWN
        self.next_probe_at = now
        """When to ask next; the first time at once."""
        self._settings = settings
        self._random = random
        self._failures = 0

    def __repr__(self) -> str:
        return f"<Liveness {self.state} failures={self._failures}>"

    def answered(
        self, status: int, text: str = "", *, retry_after_s: float = 0.0, now: float
    ) -> LivenessEvent | None:
        """A probe has a final response."""
        if status in NOT_ALIVE:
            return self._failed(status, text, min(retry_after_s, MAX_RETRY_AFTER_S), now)
        self._failures = 0
        # A fifth more or less: many peers must not be asked in step.
        self.next_probe_at = now + self._settings.interval_s * self._random.uniform(0.8, 1.2)
        if self.state is LivenessState.UP:
            return None
        self.state = LivenessState.UP
        return PeerUp(status)

    def unanswered(
        self, text: str, status: int | None = 408, *, now: float
    ) -> LivenessEvent | None:
        """A probe has no answer, or could not be sent (`status` None)."""
        return self._failed(status, text, 0.0, now)

    def suspect(self, *, now: float) -> None:
        """Something else failed there, a call for one: ask at once."""
        self.next_probe_at = min(self.next_probe_at, now)

    def _failed(
        self, status: int | None, text: str, least_s: float, now: float
    ) -> LivenessEvent | None:
        settings = self._settings
        bound = min(settings.interval_s, settings.retry_s * 2 ** min(self._failures, 16))
        self._failures += 1
        self.next_probe_at = now + max(bound * self._random.uniform(0.5, 1.0), least_s)
        if self._failures < settings.failures or self.state is LivenessState.DOWN:
            return None
        self.state = LivenessState.DOWN
        return PeerDown(status, text)
