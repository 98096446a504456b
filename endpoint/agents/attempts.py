"""How often somebody has tried lately: too often is refused, right or wrong. Pure."""

from __future__ import annotations

from collections import deque

_MOST_KNOWN = 10_000
"""Of those who have tried; beyond, it is looked who has not for long."""


class Attempts:
    """Of whoever they are counted for. Times are of one clock that is never set."""

    def __init__(self, most: int = 10, within_s: float = 60.0) -> None:
        self._most = most
        self._within_s = within_s
        self._tried: dict[str, deque[float]] = {}

    def wait_s(self, who: str, now: float) -> float:
        """How long `who` has to wait; 0: not."""
        tried = self._tried.get(who)
        if tried is None:
            return 0.0
        while tried and tried[0] <= now - self._within_s:
            tried.popleft()
        if not tried:
            del self._tried[who]
        return tried[0] + self._within_s - now if len(tried) >= self._most else 0.0

    def count(self, who: str, now: float) -> None:
        """`who` has tried once more."""
        if len(self._tried) > _MOST_KNOWN:  # those that never came back
            self._tried = {
                each: times
                for each, times in self._tried.items()
                if times[-1] > now - self._within_s
            }
        self._tried.setdefault(who, deque(maxlen=self._most)).append(now)

    def forgive(self, who: str) -> None:
        """The last try of `who` was right."""
        tried = self._tried.get(who)
        if tried:
            tried.pop()
        if not tried:
            self._tried.pop(who, None)
