"""Tasks that must live as long as their owner: one that dies is begun anew, and that is counted."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class RestartRule:
    """How often is too often."""

    restarts: int = 5
    """More of one thing within the window are an alarm."""
    window_s: float = 60.0
    pause_s: float = 0.5
    """Before each new beginning while the alarm lasts; else it is at once."""


class Supervision:
    """What had to be begun anew lately, by name. One for all parts of a program."""

    def __init__(self, rule: RestartRule | None = None) -> None:
        self._rule = rule or RestartRule()
        self._restarts: dict[str, deque[float]] = {}
        self.restarts: Counter[str] = Counter()
        """How often each was begun anew so far."""

    def __repr__(self) -> str:
        return f"<Supervision alarms={list(self._alarming())}>"

    async def keep(self, name: str, work: Work) -> None:
        """Do the work until it is done, or its owner cancels this; begun anew where it dies.

        It dies of any error, and of a cancellation that is not its owner's.
        """
        while True:
            task: asyncio.Task[None] | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(work(), name=name)
            except* Exception:
                log.exception("task failed", task=name)
                reason = "it failed"
            else:
                if not task.cancelled():
                    return
                reason = "it was cancelled"
            if self.restarted(name, reason):
                await asyncio.sleep(self._rule.pause_s)

    def restarted(self, name: str, reason: str) -> bool:
        """Note that something is begun anew; whether it is too often. Says so once in the log."""
        now = asyncio.get_running_loop().time()
        self.restarts[name] += 1
        was_alarming = name in self._alarming()
        times = self._restarts.setdefault(name, deque(maxlen=self._rule.restarts + 1))
        times.append(now)
        is_alarming = name in self._alarming()
        log.error("begun anew", task=name, reason=reason)
        if is_alarming and not was_alarming:
            log.critical("begun anew again and again", task=name, restarts=len(times))
        return is_alarming

    def alarms(self) -> list[str]:
        """What is begun anew too often, for a person; empty where all is well."""
        rule = self._rule
        return [
            f"{name} was begun anew more than {rule.restarts} times in {rule.window_s:g} s; "
            "see the log"
            for name in self._alarming()
        ]

    def _alarming(self) -> list[str]:
        since = asyncio.get_running_loop().time() - self._rule.window_s
        return [
            name
            for name, times in self._restarts.items()
            if len(times) > self._rule.restarts and times[0] >= since
        ]
