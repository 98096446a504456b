"""Keep-alives of a flow to a registrar (RFC 5626 §4.4): CRLFs over a connection, STUN over UDP."""

from __future__ import annotations

from collections.abc import Callable

from signaling.sip import stun
from signaling.sip.flow import Flow
from signaling.sip.timers import Timers

STREAM_INTERVAL_S = 120.0
"""Where the registrar does not say (RFC 5626 §4.4.1)."""
DATAGRAM_INTERVAL_S = 29.0
"""The same over UDP, where a NAT forgets soon (RFC 5626 §4.4.2)."""
SHORTEST_S = 5.0
"""No Flow-Timer below this is followed."""

_CRLF = b"\r\n\r\n"
_TRIES = 6
"""A STUN request is sent so often, after 0.5, 1, 2 … s each, before the flow counts as lost."""


class KeepAlive:
    """Keeps one flow alive from `start` to `stop`.

    Over a connection we send CRLFs; that the far end answers none is the transport's to notice.
    Over UDP a STUN request without an answer means that the flow is lost, and one that tells of
    another address that we have moved, or that a NAT in between was restarted.
    """

    def __init__(
        self,
        timers: Timers,
        send: Callable[[Flow, bytes, float], None],
        token: Callable[[], str],
        fraction: Callable[[float, float], float],
        *,
        on_lost: Callable[[float], None],
        on_moved: Callable[[float], None],
    ) -> None:
        self._timers = timers
        self._send = send
        self._token = token
        self._fraction = fraction
        self._on_lost = on_lost
        self._on_moved = on_moved
        self._flow: Flow | None = None
        self._interval_s = 0.0
        self._transaction = b""
        self._tries = 0
        self._seen: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"<KeepAlive {self._flow} every {self._interval_s} s>"

    def start(self, flow: Flow, flow_timer_s: int | None, now: float) -> None:
        """Keep a flow alive, as often as the registrar's Flow-Timer asks."""
        usual_s = STREAM_INTERVAL_S if flow.reliable else DATAGRAM_INTERVAL_S
        interval_s = usual_s if flow_timer_s is None else max(float(flow_timer_s), SHORTEST_S)
        if (flow, interval_s) == (self._flow, self._interval_s):
            return
        if flow != self._flow:
            self._seen = None
        self._flow, self._interval_s = flow, interval_s
        self._pause(now)

    def stop(self) -> None:
        """Send no more."""
        self._flow = None
        self._timers.stop(self, "send", "again")

    def handle_timer(self, name: str, now: float) -> None:
        """`send`: the next one is due. `again`: a STUN request had no answer."""
        flow = self._flow
        if flow is None:
            return
        if flow.reliable:
            self._send(flow, _CRLF, now)
            self._pause(now)
            return
        if name == "send":
            self._tries = 0
            self._transaction = bytes.fromhex(self._token() + self._token())[:12]
        if self._tries == _TRIES:
            self.stop()
            self._on_lost(now)
            return
        self._send(flow, stun.binding_request(self._transaction), now)
        self._timers.start(self, "again", now + 0.5 * 2**self._tries)
        self._tries += 1

    def receive_stun(self, octets: bytes, flow: Flow, now: float) -> None:
        """A STUN message came, perhaps the answer that is waited for."""
        found = stun.seen_address(octets)
        if found is None or flow != self._flow or found[0] != self._transaction:
            return
        self._transaction = b""
        self._timers.stop(self, "again")
        self._pause(now)
        before, self._seen = self._seen, found[1]
        if before is not None and before != self._seen:
            self._on_moved(now)

    def _pause(self, now: float) -> None:
        """80 to 100 % of the interval, so that many do not send in step."""
        self._timers.start(self, "send", now + self._interval_s * self._fraction(0.8, 1.0))
