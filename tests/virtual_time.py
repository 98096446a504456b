"""An event loop in virtual time, for scenarios: a whole call in no time, and no sleeping.

`time()` is a number. When nothing is ready, the loop does not wait: it adds what it would have
waited to that number. When nothing is ready and no timer runs, it raises `DeadlockError` and names
the tasks that wait: a hung test becomes an error.

Threads and foreign processes live in real time: nothing that needs one belongs into a scenario.
Tests marked `scenario` run on it (see `tests/conftest.py`); elsewhere, use `run_virtual`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class DeadlockError(Exception):
    """Nothing is ready and no timer runs: the tasks named here would wait for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock moves only when everybody waits."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def advance(self, by_s: float) -> None:
        """Let time pass at once."""
        self._now += by_s

    def who_waits(self) -> str:
        """The tasks that are not done, for a person."""
        return "\n".join(repr(task) for task in asyncio.all_tasks(self)) or "no task"


class _VirtualSelector(selectors.DefaultSelector):
    """Looks for what is ready; else lets the loop's clock move on."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise DeadlockError(f"nothing is ready and no timer runs:\n{self._loop.who_waits()}")
        self._loop.advance(timeout)
        return []


def run_virtual(scenario: Coroutine[object, object, T]) -> T:
    """Run a scenario to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scenario)
