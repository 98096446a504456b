"""Rates: how many a second, how many at once, for each of a bounded number of parties."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and `burst` of them at once after a pause."""

    per_second: float
    burst: float


class Bucket:
    """One party's tokens: full at first, filled at the rate, one spent by each event."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now

    def __repr__(self) -> str:
        return f"<Bucket {self._tokens:.1f} of {self._rate.burst:g}>"

    def take(self, now: float) -> bool:
        """Spend a token; False where there is none."""
        filled = self._tokens + (now - self._at) * self._rate.per_second
        self._tokens = min(self._rate.burst, filled)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Rates(Generic[K]):
    """A bucket a party. Of more parties than `limit` the one longest silent is forgotten."""

    def __init__(self, rate: Rate, limit: int) -> None:
        self._rate = rate
        self._limit = limit
        self._buckets: OrderedDict[K, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def __repr__(self) -> str:
        return f"<Rates {self._rate.per_second:g}/s of {len(self)}>"

    def take(self, party: K, now: float) -> bool:
        """Whether one more of the party is within its rate."""
        bucket = self._buckets.get(party)
        if bucket is None:
            bucket = self._buckets[party] = Bucket(self._rate, now)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(party)
        return bucket.take(now)
