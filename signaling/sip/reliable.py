"""Provisional responses that are sent until they are acknowledged by PRACK (RFC 3262 §3).

One at a time: the next waits for the PRACK of the one before. They are repeated on reliable flows
too, for a later hop may lose them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from signaling.errors import SipParseError
from signaling.sip.grammar import UINT32_MAX, parse_number
from signaling.sip.headers import RAck
from signaling.sip.message import Request, Response

if TYPE_CHECKING:
    from signaling.sip.core import Core

RELIABLE = "100rel"
"""The option tag."""

MAX_FIRST_RSEQ = 2**31 - 1
"""RFC 3262 §3: so that it never wraps in one transaction."""

MAX_WAITING = 16
"""So many responses wait for a PRACK; of more the oldest are left out, for they are old news."""


class RingReliably(StrEnum):
    """When our 101-199 are sent so."""

    ASKED = "asked"
    """Where the caller requires it."""
    POSSIBLE = "possible"
    """Where the caller can do it."""
    ALWAYS = "always"
    """Whoever calls must do it, or is refused (421); whom we call too."""


def rseq_of(response: Response) -> int | None:
    """The RSeq of a 101-199 that wants a PRACK; None where it wants none, or has none."""
    if not 100 < response.status < 200 or RELIABLE not in response.require:
        return None
    try:
        return parse_number(response.headers.get("RSeq") or "", UINT32_MAX, "the RSeq")
    except SipParseError:
        return None


def rack_of(prack: Request) -> RAck | None:
    """What a PRACK acknowledges; None where it can't be read."""
    try:
        return RAck.parse(prack.headers.get("RAck") or "")
    except SipParseError:
        return None


@dataclass(frozen=True, slots=True)
class Provisional:
    """A 101-199 of ours."""

    status: int
    sdp: bytes | None = None


class ReliableRinging:
    """The 101-199 of one INVITE of the far end, one after the other."""

    def __init__(
        self,
        core: Core,
        cseq: int,
        send: Callable[[Provisional, tuple[tuple[str, str], ...], float], None],
        on_timeout: Callable[[float], None],
    ) -> None:
        self._core = core
        self._cseq = cseq
        self._send_response = send
        self._on_timeout = on_timeout
        self._rseq = core.config.random.randint(1, MAX_FIRST_RSEQ) - 1
        self._waiting: deque[Provisional] = deque(maxlen=MAX_WAITING)
        self._unacknowledged: Provisional | None = None
        self._pause_s = 0.0

    def __repr__(self) -> str:
        return f"<ReliableRinging {self._unacknowledged} next={len(self._waiting)}>"

    @property
    def is_unacknowledged(self) -> bool:
        """Whether a PRACK is awaited."""
        return self._unacknowledged is not None

    @property
    def holds_up_answer(self) -> bool:
        """Whether a 2xx has to wait: a description is not acknowledged yet (§3)."""
        return self._unacknowledged is not None and self._unacknowledged.sdp is not None

    def send(self, provisional: Provisional, now: float) -> None:
        """Send it, as soon as all before are acknowledged."""
        self._waiting.append(provisional)
        self.proceed(now)

    def proceed(self, now: float) -> None:
        """Send the next one, if its turn has come."""
        if self._unacknowledged is not None or not self._waiting:
            return
        self._unacknowledged = self._waiting.popleft()
        self._rseq += 1
        self._pause_s = self._core.config.timers.t1_s
        self._core.timers.start(self, "repeat", now + self._pause_s)
        self._core.timers.start(self, "give up", now + self._core.config.timers.timeout_s)
        self._send(now)

    def _send(self, now: float) -> None:
        if self._unacknowledged is not None:
            headers = (("Require", RELIABLE), ("RSeq", str(self._rseq)))
            self._send_response(self._unacknowledged, headers, now)

    def take(self, prack: Request) -> Provisional | None:
        """What a PRACK acknowledges; None: nothing that is awaited, which is 481 (§3)."""
        rack = rack_of(prack)
        acknowledged = self._unacknowledged
        if rack is None or acknowledged is None:
            return None
        if (rack.rseq, rack.cseq.number, rack.cseq.method) != (self._rseq, self._cseq, "INVITE"):
            return None
        self._unacknowledged = None
        self._core.timers.stop(self, "repeat", "give up")
        return acknowledged

    def stop(self) -> None:
        """A final response is out: repeat nothing; a PRACK that is on its way is still taken."""
        self._waiting.clear()
        self._core.timers.stop(self, "repeat", "give up")

    def handle_timer(self, name: str, now: float) -> None:
        """Repeat after T1, 2*T1, 4*T1 and so on, or give up after 64*T1."""
        if name == "repeat":
            self._pause_s *= 2
            self._core.timers.start(self, "repeat", now + self._pause_s)
            self._send(now)
        else:
            self.stop()
            self._on_timeout(now)
