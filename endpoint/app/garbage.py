"""When the process looks for garbage: never through all that stays while calls wait for it.

Python frees what nobody refers to at once; only rings of references need to be looked for. Its own
way is to look through everything from time to time: with two hundred agents at work each look holds
all calls up for 0.2 to 0.5 s. Here what has outlived a look is set aside (`gc.freeze`), so that a
look is through what is new, some milliseconds. Rings that were closed later wait among what was set
aside, until a quiet moment, or until there are very many.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import structlog

log = structlog.get_logger(__name__)

NEW_AT_ONCE: Final = (700, 10, 2)
"""As `gc.set_threshold`: some 14,000 new things between two looks through what is new."""
PERIOD_S: Final = 60.0
LOOKS_IF_QUIET: Final = 2
"""After so many looks through what is new, one through all is worth it while no call is up."""
LOOKS_IF_BUSY: Final = 100
"""After so many it is at any time: at five calls a second, each quarter of an hour."""


@contextmanager
def set_aside() -> Iterator[None]:
    """What is made within it stays, as modules do: it is looked through once and never again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        if was_enabled:
            gc.enable()


class GarbageRounds:
    """`with GarbageRounds(is_busy)`, in the running loop; at most one in a process.

    is_busy: whether a pause of half a second would be noticed.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy = is_busy
        self._timer: asyncio.TimerHandle | None = None
        self._threshold = gc.get_threshold()
        self._looks = 0
        """Through what is new, since the last one through all."""

    def __enter__(self) -> Self:
        gc.callbacks.append(self._looked)
        gc.set_threshold(*NEW_AT_ONCE)
        gc.collect()
        self._looks = 0
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        gc.callbacks.remove(self._looked)
        gc.set_threshold(*self._threshold)
        gc.unfreeze()

    def look(self) -> None:
        """Look through all, if that is worth it now."""
        if self._looks >= (LOOKS_IF_BUSY if self._is_busy() else LOOKS_IF_QUIET):
            self._look_through_all()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._after_a_while)

    def _after_a_while(self) -> None:
        self.look()
        self._wait()

    def _look_through_all(self) -> None:
        gc.unfreeze()
        found = gc.collect()
        self._looks = 0
        log.debug("looked for garbage", found=found)

    def _looked(self, phase: str, info: dict[str, Any]) -> None:
        """Set aside what has outlived a look through all that was not."""
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()
            self._looks += 1
