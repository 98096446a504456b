"""Sessions that are over, and may have duties still.

A session and its parts refer to each other, so nothing of a call would go by itself, and to look
for such rings in a process with many calls holds all of them up. Here they are cut, as soon as no
transaction of the session can be under way any more.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage


class Retired:
    """In the order of their ends. Whenever one comes, those that are long over are let go."""

    def __init__(self, duties_s: float) -> None:
        """`duties_s`: so long after its end a session may have something to do."""
        self._duties_s = duties_s
        self._ended: deque[tuple[float, InviteUsage]] = deque()

    def __repr__(self) -> str:
        return f"<Retired {len(self._ended)}>"

    def note(self, session: InviteUsage, now: float) -> None:
        """It has ended."""
        self._ended.append((now, session))
        while now - self._ended[0][0] > self._duties_s:
            self._ended.popleft()[1].let_go()
