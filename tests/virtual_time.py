"""An event loop in virtual time: a whole call in no time, and no sleeping.

`time()` is a number. When nothing is ready, the loop does not wait: it adds what it would have
waited to that number. When nothing is ready and no timer runs, it raises `DeadlockError` and names
the tasks that wait: a hung test becomes an error.

Sockets of this process take no time either: what is sent on loopback is there when `send` returns.
While a thread works for the loop the clock stands still. Foreign processes live in real time:
nothing that needs one belongs here.
Tests marked `scenario` or `virtual_time` run on it (see `tests/conftest.py`); elsewhere, use
`run_virtual`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

import pytest

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(Exception):
    """Nothing is ready and no timer runs: the tasks named here would wait for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock moves only when everybody waits.

    Args:
        turn_s: what a turn of the loop takes besides. Who counts what is left by a clock of his own
            may be woken a rounding error before his time, and asks again: time has to go on.
    """

    def __init__(self, turn_s: float = 0.0) -> None:
        self._now = 0.0
        self.turn_s = turn_s
        self.threads = 0
        """How many work for it."""
        self.interruption: BaseException | None = None
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def advance(self, by_s: float) -> None:
        """Let time pass at once."""
        self._now += by_s

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As any loop; but what would end the test, as its time-out does, ends it.

        A callback is where it comes most often: this loop is never asleep.
        """
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(
            error, (Exception, asyncio.CancelledError)
        ):
            self.interruption = error
        super().call_exception_handler(context)

    def run_in_executor(
        self, executor: ThreadPoolExecutor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As any loop, and count it."""
        self.threads += 1
        working = super().run_in_executor(executor, func, *args)
        working.add_done_callback(self._thread_is_done)
        return working

    async def shutdown_default_executor(self, *timeout: float) -> None:
        """As any loop; a thread waits for the others."""
        self.threads += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self.threads -= 1

    def _thread_is_done(self, _: asyncio.Future[T]) -> None:
        self.threads -= 1

    def who_waits(self) -> str:
        """The tasks that are not done, for a person."""
        return "\n".join(repr(task) for task in asyncio.all_tasks(self)) or "no task"


class _VirtualSelector(selectors.DefaultSelector):
    """Looks for what is ready; else lets the loop's clock move on."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        interruption, self._loop.interruption = self._loop.interruption, None
        if interruption is not None:
            raise interruption
        self._loop.advance(self._loop.turn_s)
        waits_s = None if self._loop.threads and timeout != 0 else 0
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(waits_s)
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


def monotonic() -> float:
    """`time.monotonic`, of who runs on a loop."""
    return asyncio.get_running_loop().time()


def in_virtual_time(item: pytest.Item) -> bool:
    """Whether a test is marked so; `virtual_time(False)` takes it out of a module that is."""
    marker = item.get_closest_marker("virtual_time")
    return marker is not None and (not marker.args or bool(marker.args[0]))
