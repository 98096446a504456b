"""All timers of a stack in one queue."""

from __future__ import annotations

import heapq
from typing import Protocol


class TimerOwner(Protocol):
    """Who is told when a timer fires."""

    def handle_timer(self, name: str, now: float) -> None:
        """The timer `name` has fired; it is not running any more."""


class Timers:
    """Running timers, by owner and name.

    Stopped ones stay in the heap until they come up, or outnumber those that run.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TimerOwner, str]] = []
        self._running: dict[tuple[TimerOwner, str], int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._running)

    def __repr__(self) -> str:
        return f"<Timers running={len(self)} next={self.next_deadline()}>"

    def start(self, owner: TimerOwner, name: str, at: float) -> None:
        """Start, or start anew, a timer that fires at the time `at`."""
        self._count += 1
        self._running[owner, name] = self._count
        heapq.heappush(self._heap, (at, self._count, owner, name))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._running):
            self._heap = [entry for entry in self._heap if self._is_running(entry)]
            heapq.heapify(self._heap)

    def stop(self, owner: TimerOwner, *names: str) -> None:
        """Stop timers; those that do not run are left alone."""
        for name in names:
            self._running.pop((owner, name), None)

    def is_running(self, owner: TimerOwner, name: str) -> bool:
        """Whether the timer will fire."""
        return (owner, name) in self._running

    def next_deadline(self) -> float | None:
        """When the first one fires; None where none runs."""
        while self._heap and not self._is_running(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Tell the owners of all that is due, in order of time; also of what they start for now."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, owner, name = heapq.heappop(self._heap)
            del self._running[owner, name]
            owner.handle_timer(name, now)

    def _is_running(self, entry: tuple[float, int, TimerOwner, str]) -> bool:
        _, count, owner, name = entry
        return self._running.get((owner, name)) == count
