"""What has become of the calls of queues: counted for monitors, and for each day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date


@dataclass(slots=True)
class Day:
    """One day of one queue, by the endpoint's calendar (UTC)."""

    date: date
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many calls left it how: `answered`, `abandoned`, …"""
    waited_s: dict[str, float] = field(default_factory=dict)
    """How long all of these waited, together."""


class Tally:
    """Of all queues."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By queue and what became of it, since we began."""
        self.waited_s: dict[tuple[str, str], float] = {}
        self._days: dict[str, Day] = {}

    def count(self, queue: str, outcome: str, waited_s: float, today: date) -> None:
        """A call has left a queue."""
        self.outcomes[queue, outcome] += 1
        key = queue, outcome
        self.waited_s[key] = self.waited_s.get(key, 0.0) + waited_s
        day = self.day(queue, today)
        day.outcomes[outcome] += 1
        day.waited_s[outcome] = day.waited_s.get(outcome, 0.0) + waited_s

    def day(self, queue: str, today: date) -> Day:
        """How today is so far."""
        day = self._days.get(queue)
        if day is None or day.date != today:
            day = self._days[queue] = Day(today)
        return day
