"""The time that call control writes down."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class SteadyClock:
    """The wall clock (UTC), read once and then counted on by the loop: it never jumps."""

    def __init__(self) -> None:
        self._start: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """The time now. Needs a running loop."""
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = datetime.now(UTC), now
        wall, at = self._start
        return wall + timedelta(seconds=now - at)
