"""What has become of the calls of queues: counted for monitors, and for each day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol


@dataclass(slots=True)
class Day:
    """One day of one queue, by the endpoint's calendar (UTC)."""

    date: date
    outcomes: dict[str, int] = field(default_factory=dict)
    """How many calls left it how: `answered`, `abandoned`, …"""
    waited_s: dict[str, float] = field(default_factory=dict)
    """How long all of these waited, together."""
    outbound: dict[str, int] = field(default_factory=dict)
    """How many calls were made for it, and were `answered` or `unanswered`: nobody waited."""


class DayNotes(Protocol):
    """Where days are noted, for a process after us."""

    @property
    def left(self) -> Mapping[str, Day]:
        """By queue: what the process before us has counted."""

    def put(self, key: str, value: Day) -> None:
        """A queue's day is so now."""


class Tally:
    """Of all queues. A day goes on where the process before us has left it."""

    def __init__(self, notes: DayNotes | None = None) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By queue and what became of it, since we began."""
        self.outbound: Counter[tuple[str, str]] = Counter()
        """Likewise, of calls that were made for it."""
        self.waited_s: dict[tuple[str, str], float] = {}
        self._notes = notes
        self._days: dict[str, Day] = {} if notes is None else {**notes.left}

    def count(self, queue: str, outcome: str, waited_s: float, today: date) -> None:
        """A call has left a queue."""
        self.outcomes[queue, outcome] += 1
        key = queue, outcome
        self.waited_s[key] = self.waited_s.get(key, 0.0) + waited_s
        day = self.day(queue, today)
        day.outcomes[outcome] = day.outcomes.get(outcome, 0) + 1
        day.waited_s[outcome] = day.waited_s.get(outcome, 0.0) + waited_s
        if self._notes is not None:
            self._notes.put(queue, day)

    def count_outbound(self, queue: str, outcome: str, today: date) -> None:
        """A call is over that was made for a queue."""
        self.outbound[queue, outcome] += 1
        day = self.day(queue, today)
        day.outbound[outcome] = day.outbound.get(outcome, 0) + 1
        if self._notes is not None:
            self._notes.put(queue, day)

    def day(self, queue: str, today: date) -> Day:
        """How today is so far."""
        day = self._days.get(queue)
        if day is None or day.date != today:
            day = self._days[queue] = Day(today)
        return day
