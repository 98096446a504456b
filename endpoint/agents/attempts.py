"""How often somebody has tried lately: too often is refused, right or wrong. Pure."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

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


_OF_SOURCE = 5
"""So many times what one agent may miss, a source may miss altogether."""
_OF_AGENT = 10
"""So many times as much may be missed at an agent from everywhere: nobody else locks it out."""


class Guesses:
    """Wrong passwords and ids within a minute: of a source for an agent, of a source, for an agent.

    One for all ways in: else who has to wait at one would go on at the next.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        """`most` of a source for an agent; `clock` is one that is never set."""
        self._clock = clock
        self._of_both = Attempts(most)
        self._of_source = Attempts(most * _OF_SOURCE)
        self._of_agent = Attempts(most * _OF_AGENT)

    def wait_s(self, agent: str, source: str) -> float:
        """How long who has a password has to wait; 0: not."""
        now = self._clock()
        return max(
            self.wait_with_id_s(agent, source),
            self._of_source.wait_s(source, now),
            self._of_agent.wait_s(_short(agent), now),
        )

    def wait_with_id_s(self, agent: str, source: str) -> float:
        """How long who has an id has to wait. Old ones keep nobody else out who sits there too."""
        return self._of_both.wait_s(_both(agent, source), self._clock())

    def begin(self, agent: str, source: str) -> None:
        """A password is about to be tried: many at once must not all be."""
        self._of_agent.count(_short(agent), self._clock())
        self.fail_with_id(agent, source)

    def fail(self, source: str) -> None:
        """It was wrong. A source's count only now: a house that comes to work guesses nothing."""
        self._of_source.count(source, self._clock())

    def fail_with_id(self, agent: str, source: str) -> None:
        """An id was wrong."""
        self._of_both.count(_both(agent, source), self._clock())

    def forgive(self, agent: str, source: str) -> None:
        """The password was right."""
        self._of_both.forgive(_both(agent, source))
        self._of_agent.forgive(_short(agent))


def _both(agent: str, source: str) -> str:
    return f"{_short(agent)} {source}"


def _short(agent: str) -> str:
    """Whatever length somebody sends as an agent, it takes as much room."""
    return hashlib.sha256(agent.encode("utf-8", "surrogateescape")).hexdigest()
