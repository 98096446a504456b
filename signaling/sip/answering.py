"""An INVITE of the far end, from ringing to the ACK of its answer (RFC 3261 §13.3, RFC 3262 §3).

A description in a 101-199 that is sent reliably is the answer to the INVITE's offer, or the offer
where that held none: what follows has no description any more, the 2xx neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from signaling.sip.answer import SDP, SentAnswer, sdp_of
from signaling.sip.events import EarlyAnswer
from signaling.sip.flow import Flow
from signaling.sip.message import Request
from signaling.sip.offers import First, Offers
from signaling.sip.reason import q850_of
from signaling.sip.reliable import RELIABLE, Provisional, ReliableRinging, RingReliably
from signaling.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

PROVISIONAL_REFRESH_S = 60.0
"""A proxy forgets a call that shows no sign of life for longer (RFC 3261 §13.3.1.1)."""


class Answering:
    """The called party's half of a session, until its 2xx is acknowledged."""

    def __init__(self, session: InviteUsage, server: ServerTransaction, offers: Offers) -> None:
        self._session = session
        self._core = session.core
        self._server = server
        self._offers = offers
        self._answer: SentAnswer | None = None
        self._last: Provisional | None = None
        self._is_described = False
        """A description went out, or goes out, in a reliable response."""
        self._accepting: bytes | None = None
        """Our answer, that waits for the PRACK of a description."""
        self._bye_after_ack: tuple[tuple[str, str], ...] | None = None
        self._reliable: ReliableRinging | None = None
        if _rings_reliably(self._core.config.ring_reliably, server.request):
            self._reliable = ReliableRinging(
                self._core, server.request.cseq.number, self._send_provisional, self._unheard
            )

    def __repr__(self) -> str:
        return f"<Answering {self._server!r} answer={self._answer!r}>"

    def start(self, now: float) -> None:
        """Take over the INVITE's transaction."""
        self._server.on_cancel = self._cancelled
        self._server.on_failure = self._session.failed
        self._offers.on_free = self._answer_if_free
        if self._server.request.expires is not None:
            self._core.timers.start(self, "expires", now + self._server.request.expires)

    @property
    def flow(self) -> Flow:
        """Where answers to the INVITE go."""
        return self._server.flow

    @property
    def rings_reliably(self) -> bool:
        """Whether our 101-199 are acknowledged one by one."""
        return self._reliable is not None

    @property
    def is_accepting(self) -> bool:
        """Whether our 2xx waits for a PRACK, or for our answer to another offer."""
        return self._accepting is not None

    def ring(self, status: int, sdp: bytes | None, now: float) -> None:
        """Send a 101-199, and again every minute."""
        self._core.timers.start(self, "provisional", now + PROVISIONAL_REFRESH_S)
        if self._reliable is None:
            self._last = Provisional(status, sdp)
            self._send_provisional(self._last, (), now)
            return
        self._last = Provisional(status)
        if self._is_described:
            sdp = None
        elif sdp is not None:
            self._is_described = True
            self._offers.local_sdp = sdp
            if not self._server.request.body:
                self._offers.first = First.OURS
        self._reliable.send(Provisional(status, sdp), now)

    def _send_provisional(
        self, provisional: Provisional, headers: tuple[tuple[str, str], ...], now: float
    ) -> None:
        sdp = provisional.sdp
        self._core.respond(
            self._server,
            provisional.status,
            headers=(*self._headers, *headers),
            body=sdp or b"",
            content_type=None if sdp is None else SDP,
            now=now,
        )

    def _ring_again(self, now: float) -> None:
        self._core.timers.start(self, "provisional", now + PROVISIONAL_REFRESH_S)
        if self._last is None or self._accepting is not None:
            return
        if self._reliable is None:
            self._send_provisional(self._last, (), now)
        elif not self._reliable.is_unacknowledged:  # else it is repeated as it is
            self._reliable.send(self._last, now)

    # -- PRACK --------------------------------------------------------------------------------

    def receive_prack(self, prack: Request, server: ServerTransaction, now: float) -> None:
        """Take the PRACK of a 101-199 of ours; it may answer our offer, or offer anew (§5)."""
        acknowledged = self._reliable.take(prack) if self._reliable is not None else None
        if self._reliable is None or acknowledged is None:
            self._core.respond(server, 481, now=now)
            return
        sdp = sdp_of(prack)
        is_answer = acknowledged.sdp is not None and self._offers.first is First.OURS
        if acknowledged.sdp is not None:
            self._offers.first = First.SETTLED
        if sdp is not None and not is_answer:
            self._offers.receive(prack, server, now)
        else:
            self._core.respond(server, 200, now=now)
        if is_answer:
            self._offers.take(sdp)
            self._session.tell(EarlyAnswer(sdp))
        if self._accepting is not None:
            self._answer_if_free(now)
        elif not self._session.has_ended and self._answer is None:
            self._reliable.proceed(now)
            self._offers.proceed(now)

    def _unheard(self, now: float) -> None:
        """§3: no PRACK in 64*T1."""
        self._session.unheard(now)

    # -- the 2xx ------------------------------------------------------------------------------

    def accept(self, sdp: bytes, now: float) -> None:
        """Send the 2xx until its ACK comes, once every description before is agreed on."""
        self._core.timers.stop(self, "provisional", "expires")
        self._accepting = sdp
        self._answer_if_free(now)

    def _answer_if_free(self, now: float) -> None:
        """Not while an offer, in a PRACK or UPDATE, waits for its answer: one at a time."""
        held_up = self._reliable is not None and self._reliable.holds_up_answer
        if self._accepting is not None and not held_up and not self._offers.is_asked:
            self._send_answer(self._accepting, now)

    def _send_answer(self, said: bytes, now: float) -> None:
        sdp: bytes | None = said
        self._accepting = None
        if self._reliable is not None:
            self._reliable.stop()
        if self._offers.first is First.SETTLED:
            sdp = None
        else:
            self._offers.local_sdp = sdp
            if not self._server.request.body:
                self._offers.first = First.OURS
        self._answer = SentAnswer(self._core, self._server, self._acknowledged, self._unanswered)
        agreed = self._session.session_refresh.answer(self._server.request, now)
        self._answer.send(sdp, (*self._headers, *agreed), now)
        self._session.accepted(now)

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
            self._session.in_dialog.send_bye(self._session.dialog, self._bye_after_ack, now)
        else:
            is_answer = self._offers.first is First.OURS
            self._offers.first = First.SETTLED
            self._session.acknowledged(sdp_of(ack) if is_answer else None, now)

    def _unanswered(self, now: float) -> None:
        """§13.3.1.4: no ACK in 64*T1."""
        self._answer = None
        if self._bye_after_ack is not None:
            self._session.in_dialog.send_bye(self._session.dialog, self._bye_after_ack, now)
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
            self._ring_again(now)
        else:
            self._session.withdrawn(None, now)

    def end_ringing(self) -> None:
        """The session is over; an answer that is out still waits for its ACK."""
        self._core.timers.stop(self, "provisional", "expires")
        self._accepting = None
        if self._reliable is not None:
            self._reliable.stop()

    def forget_answer(self) -> None:
        """The far end has hung up: no ACK is waited for."""
        if self._answer is not None:
            self._answer.stop()
            self._answer = None


def _rings_reliably(wish: RingReliably, invite: Request) -> bool:
    if RELIABLE in invite.require:
        return True
    return wish is not RingReliably.ASKED and RELIABLE in invite.supported
