"""Bans: who proved wrong passwords too often is not listened to for a while.

Only what can't be forged is counted, see `DigestServer`: a digest over a nonce that was sent to
the very source. So nobody can have somebody else's address banned.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from signaling.sip.source import Source


@dataclass(frozen=True, slots=True)
class BanRule:
    """How much is too much."""

    failures: int = 10
    """Wrong digests of a source within the window that have it banned."""
    window_s: float = 60.0
    ban_s: float = 300.0
    """How long nothing is taken from it then."""


@dataclass(frozen=True, slots=True)
class Ban:
    """Why a source is not listened to, and how long."""

    source: Source
    until: float
    """On the clock of `now`."""
    failures: int
    """Wrong digests that led to it."""
    user: str | None
    """Whose password was guessed last; None where nobody's."""


class Bans:
    """Failures counted a source, and the bans that come of them. In memory; both are bounded."""

    def __init__(self, rule: BanRule, limit: int) -> None:
        self._rule = rule
        self._limit = limit
        self._failures: OrderedDict[Source, deque[float]] = OrderedDict()
        self._bans: OrderedDict[Source, Ban] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bans)

    def __repr__(self) -> str:
        return f"<Bans {list(self._bans)} failures of {len(self._failures)}>"

    def failed(self, source: Source, user: str | None, now: float) -> Ban | None:
        """Count a wrong digest; the ban, where this is the one too many."""
        rule = self._rule
        if self.is_banned(source, now):
            return None  # was decided on while the ban began
        times = self._failures.pop(source, None) or deque(maxlen=rule.failures)
        times.append(now)
        self._failures[source] = times
        if len(self._failures) > self._limit:
            self._failures.popitem(last=False)
        if len(times) < rule.failures or now - times[0] > rule.window_s:
            return None
        del self._failures[source]
        ban = self._bans[source] = Ban(source, now + rule.ban_s, rule.failures, user)
        if len(self._bans) > self._limit:
            self._bans.popitem(last=False)
        return ban

    def is_banned(self, source: Source, now: float) -> bool:
        """Whether nothing is to be taken from a source."""
        ban = self._bans.get(source)
        if ban is None:
            return False
        if ban.until > now:
            return True
        del self._bans[source]
        return False

    def lift(self, source: Source) -> bool:
        """Forget a ban and the failures; False where there is none."""
        self._failures.pop(source, None)
        return self._bans.pop(source, None) is not None

    def all(self, now: float) -> list[Ban]:
        """What is banned now, the oldest first."""
        return [ban for ban in self._bans.values() if ban.until > now]
