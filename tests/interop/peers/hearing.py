"""Who hears whom: measured until it is as expected, and once more to see that it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from .feed import PeerError


class Listener(Protocol):
    """Whoever tells what it receives and decodes."""

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms`."""


async def hear(expected: Mapping[Listener, set[int]], *, timeout_s: float = 10.0) -> None:
    """Wait until every listener hears exactly these tones, in two windows after each other.

    Hearing too much is as wrong as hearing nothing.

    Raises:
        PeerError: it was never so; the text holds the last measurement.
    """
    wanted = list(expected.values())
    measured: list[set[int]] = []
    lasting = 0
    try:
        async with asyncio.timeout(timeout_s):
            while lasting < 2:
                async with asyncio.TaskGroup() as group:
                    windows = [group.create_task(listener.heard()) for listener in expected]
                measured = [window.result() for window in windows]
                lasting = lasting + 1 if measured == wanted else 0
    except TimeoutError:
        raise PeerError(f"expected {wanted}, heard {measured}") from None
