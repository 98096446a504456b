"""An INVITE of the far end, from ringing to the ACK of its answer (RFC 3261 §13.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from signaling.sip.answer import SDP, SentAnswer, sdp_of
from signaling.sip.message import Request
from signaling.sip.reason import q850_of
from signaling.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

PROVISIONAL_REFRESH_S = 60.0
"""A proxy forgets a call that shows no sign of life for longer (RFC 3261 §13.3.1.1)."""


class Answering:
    """The called party's half of a session, until its 2xx is acknowledged."""

    def __init__(self, session: InviteUsage, server: ServerTransaction) -> None:
        self._session = session
        self._core = session.core
        self._server = server
        self._answer: SentAnswer | None = None
        self._last_provisional: tuple[int, bytes | None] | None = None
        self._bye_after_ack: tuple[tuple[str, str], ...] | None = None

    def __repr__(self) -> str:
        return f"<Answering {self._server!r} answer={self._answer!r}>"

    def start(self, now: float) -> None:
        """Take over the INVITE's transaction."""
        self._server.on_cancel = self._cancelled
        self._server.on_failure = self._session.failed
        if self._server.request.expires is not None:
            self._core.timers.start(self, "expires", now + self._server.request.expires)

    def ring(self, status: int, sdp: bytes | None, now: float) -> None:
        """Send a 101-199, and again every minute."""
        self._last_provisional = (status, sdp)
        self._send_provisional(now)

    def _send_provisional(self, now: float) -> None:
        if self._last_provisional is None:
            return
        status, sdp = self._last_provisional
        self._core.timers.start(self, "provisional", now + PROVISIONAL_REFRESH_S)
        self._core.respond(
            self._server,
            status,
            headers=self._headers,
            body=sdp or b"",
            content_type=SDP if sdp else None,
            now=now,
        )

    def accept(self, sdp: bytes, now: float) -> None:
        """Send the 2xx, until its ACK comes."""
        self._core.timers.stop(self, "provisional", "expires")
        self._answer = SentAnswer(self._core, self._server, self._acknowledged, self._unanswered)
        agreed = self._session.session_refresh.answer(self._server.request, now)
        self._answer.send(sdp, (*self._headers, *agreed), now)

    @property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (self._session.contact, *self._core.offer_headers)

    @property
    def awaits_ack(self) -> bool:
        """Whether our 2xx is out, and its ACK has not come."""
        return self._answer is not None

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK that belongs to no transaction."""
        if self._answer is not None:
            self._answer.receive_ack(ack, now)

    def bye_after_ack(self, headers: tuple[tuple[str, str], ...]) -> None:
        """Before our 2xx is acknowledged, a BYE waits for the ACK (§15)."""
        self._bye_after_ack = headers

    def _acknowledged(self, ack: Request, now: float) -> None:
        self._answer = None
        if self._bye_after_ack is not None:
            self._session.send_bye(self._session.dialog, self._bye_after_ack, now)
        else:
            self._session.acknowledged(None if self._server.request.body else sdp_of(ack), now)

    def _unanswered(self, now: float) -> None:
        """§13.3.1.4: no ACK in 64*T1."""
        self._answer = None
        if self._bye_after_ack is not None:
            self._session.send_bye(self._session.dialog, self._bye_after_ack, now)
        else:
            self._session.lose(408, "no ACK", now, bye=True)

    def refuse(
        self, status: int, reason: str | None, headers: Sequence[tuple[str, str]], now: float
    ) -> None:
        """Answer 3xx-6xx."""
        self._core.respond(self._server, status, reason, headers=headers, now=now)

    def _cancelled(self, cancel: Request, now: float) -> None:
        self._session.withdrawn(q850_of(cancel.headers), now)

    def handle_timer(self, name: str, now: float) -> None:
        """`provisional`: repeat the last one. `expires`: the INVITE was good so long (§13.3.1)."""
        if name == "provisional":
            self._send_provisional(now)
        else:
            self._session.withdrawn(None, now)

    def end_ringing(self) -> None:
        """The session is over; an answer that is out still waits for its ACK."""
        self._core.timers.stop(self, "provisional", "expires")

    def forget_answer(self) -> None:
        """The far end has hung up: no ACK is waited for."""
        if self._answer is not None:
            self._answer.stop()
            self._answer = None
