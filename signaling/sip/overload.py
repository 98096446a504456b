"""Overload: new calls over what we can carry are refused, so that those that live go on.

RFC 3261 §21.5.4: 503 with Retry-After, else the caller takes it for a fault (500).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from signaling.sip.rates import Bucket, Rate

_TELL_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What we carry."""

    rate: Rate = field(default_factory=lambda: Rate(50, 100))
    """New calls that come in, whoever makes them."""
    at_once: int = 2000
    """Sessions, those of calls that we place among them."""
    retry_after_s: int = 5


class Overload:
    """Asked for each new INVITE, once it is known who sends it: strangers can't use it up."""

    def __init__(self, limits: CallLimits) -> None:
        self.limits = limits
        self._bucket: Bucket | None = None
        self._told_until = 0.0

    def __repr__(self) -> str:
        return f"<Overload {self._bucket!r}>"

    def admits(self, sessions: int, now: float) -> bool:
        """Whether one more call may come in beside the `sessions` that live."""
        if sessions >= self.limits.at_once:
            return False
        if self._bucket is None:
            self._bucket = Bucket(self.limits.rate, now)
        return self._bucket.take(now)

    def is_news(self, now: float) -> bool:
        """Whether a refusal is to be told: once a minute at most."""
        if now < self._told_until:
            return False
        self._told_until = now + _TELL_EVERY_S
        return True
