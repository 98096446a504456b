"""A 2xx of ours to an INVITE, from sending to its ACK (RFC 3261 §13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable

from signaling.sip.core import Core
from signaling.sip.message import Message, Request
from signaling.sip.transaction import ServerTransaction

SDP = "application/sdp"


def sdp_of(message: Message) -> bytes | None:
    """The session description that a message holds."""
    return message.body if message.body and message.content_type == SDP else None


class SentAnswer:
    """Repeats the 2xx until the ACK comes, on reliable flows too: a later hop may lose it."""

    def __init__(
        self,
        core: Core,
        server: ServerTransaction,
        on_ack: Callable[[Request, float], None],
        on_timeout: Callable[[float], None],
    ) -> None:
        self.cseq = server.request.cseq.number
        self._core = core
        self._server = server
        self._on_ack = on_ack
        self._on_timeout = on_timeout
        self._pause_s = core.config.timers.t1_s
        self._sdp: bytes | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        server.on_ack = self.receive_ack

    def __repr__(self) -> str:
        return f"<SentAnswer cseq={self.cseq} pause={self._pause_s}>"

    def send(self, sdp: bytes | None, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """Send it for the first time; None: what there is to say of audio was said before."""
        self._sdp, self._headers = sdp, headers
        settings, timers = self._core.config.timers, self._core.timers
        timers.start(self, "repeat", now + settings.t1_s)
        timers.start(self, "give up", now + settings.timeout_s)
        self._send(now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK; one with another number is for another INVITE (§13.2.2.4)."""
        if ack.cseq.number == self.cseq and self._core.timers.is_running(self, "give up"):
            self.stop()
            self._on_ack(ack, now)

    def stop(self) -> None:
        """Repeat it no more."""
        self._core.timers.stop(self, "repeat", "give up")

    def handle_timer(self, name: str, now: float) -> None:
        """Repeat, or give up after 64*T1."""
        if name == "repeat":
            self._pause_s = min(self._pause_s * 2, self._core.config.timers.t2_s)
            self._core.timers.start(self, "repeat", now + self._pause_s)
            self._send(now)
        else:
            self.stop()
            self._on_timeout(now)

    def _send(self, now: float) -> None:
        self._core.respond(
            self._server,
            200,
            headers=self._headers,
            body=self._sdp or b"",
            content_type=None if self._sdp is None else SDP,
            now=now,
        )
