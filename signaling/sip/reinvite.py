"""Offers anew inside a session: re-INVITE, both directions, and its glare (RFC 3261 §14)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from signaling.errors import LocalProtocolError
from signaling.sip.answer import SDP, SentAnswer, sdp_of
from signaling.sip.events import (
    Confirmed,
    OperationId,
    Refreshed,
    ReinviteCompleted,
    Reinvited,
)
from signaling.sip.exchange import Exchange, credentials_of
from signaling.sip.message import Request, Response
from signaling.sip.session_timer import MAX_RAISES
from signaling.sip.transaction import Failure, ServerTransaction

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

MAX_GLARES = 5
"""After so many 491 an offer is given up."""

ANSWER_TIMEOUT_S = 180.0
"""How long a re-INVITE that has only provisional responses is waited for (timer C of RFC 3261)."""


OfferSource: TypeAlias = bytes | Callable[[], bytes] | None
"""An offer; what makes it, called each time when it is really sent; None asks for one.

An offer that waits must be made late: its version is above that of all that was said before
(RFC 3264 §8)."""


class Offer:
    """A re-INVITE of ours, from the wish to the ACK."""

    def __init__(self, operation: OperationId | None, source: OfferSource) -> None:
        self.operation = operation
        """None: a refresh, that nobody waits for."""
        self.source = source
        self.sdp: bytes | None = None
        """What was made of it when it was sent."""
        self.exchange: Exchange | None = None
        self.ack: Callable[[float], None] | None = None
        """Sends the ACK, once more for each repeated 2xx."""
        self.glares = 0
        self.raises = 0
        """How often it was sent again for a 422."""

    def __repr__(self) -> str:
        return f"<Offer {self.operation} {self.exchange!r} glares={self.glares}>"


class Reinvites:
    """The re-INVITEs of one session: one at a time, in either direction."""

    def __init__(self, session: InviteUsage) -> None:
        self._session = session
        self._core = session.core
        self._waiting: deque[Offer] = deque()
        self._offer: Offer | None = None
        """Ours that is on its way, or waits after a glare."""
        self._sent: Exchange | None = None
        """Ours that has no final response; it may outlive the session."""
        self._owing: Offer | None = None
        """Ours whose 2xx held an offer: the ACK waits for our answer."""
        self._incoming: ServerTransaction | None = None
        """Theirs that we have not answered."""
        self._answer: SentAnswer | None = None
        """Ours to theirs, that is not acknowledged."""

    def __repr__(self) -> str:
        return (
            f"<Reinvites ours={self._offer!r} theirs={self._incoming!r} next={len(self._waiting)}>"
        )

    # -- ours ---------------------------------------------------------------------------------

    def offer(self, operation: OperationId, source: OfferSource, now: float) -> None:
        """Send a re-INVITE as soon as none is under way."""
        self._waiting.append(Offer(operation, source))
        self.proceed(now)

    def refresh(self, now: float) -> None:
        """Offer what is agreed on once more; not where an offer is under way, which does as well.

        Its version is as it was: nothing has changed (RFC 4028 §7.4).
        """
        sdp = self._session.local_sdp
        if sdp is not None and not self._waiting and not self._is_busy:
            self._waiting.append(Offer(None, sdp))
            self.proceed(now)

    @property
    def _is_busy(self) -> bool:
        return any((self._offer, self._owing, self._incoming, self._answer))

    def proceed(self, now: float) -> None:
        """Send the next offer, if its turn has come."""
        if self._is_busy or not self._waiting or not self._session.is_confirmed:
            return
        self._offer = self._waiting.popleft()
        self._send(now)

    def _send(self, now: float) -> None:
        offer, session = self._offer, self._session
        if offer is None:
            return
        offer.sdp = offer.source() if callable(offer.source) else offer.source
        exchange = session.exchange(
            "INVITE",
            headers=(
                session.contact,
                *self._core.offer_headers,
                *session.session_refresh.timer.ask(),
            ),
            body=offer.sdp or b"",
            content_type=None if offer.sdp is None else SDP,
            on_response=partial(self._answered, offer),
            on_failure=partial(self._failed, offer),
        )
        offer.exchange = self._sent = exchange
        self._core.timers.start(self, "answer", now + ANSWER_TIMEOUT_S)
        exchange.start(now)

    def _answered(self, offer: Offer, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            return
        self._settle(offer)
        if status < 300:
            self._accepted(offer, response, now)
        elif status == 491 and offer.glares < MAX_GLARES and not self._session.has_ended:
            offer.glares += 1
            self._core.timers.start(self, "glare", now + self._glare_pause_s())
        elif status == 422 and self._may_ask_longer(offer, response):
            offer.raises += 1
            self._send(now)
        else:
            self._complete(offer, status, None, now)
            if status in (408, 481):  # §12.2.1.2: the far end has no such call
                self._session.lose(status, response.reason, now, bye=status == 408)

    def _may_ask_longer(self, offer: Offer, response: Response) -> bool:
        if offer is not self._offer or offer.raises == MAX_RAISES:
            return False
        return self._session.session_refresh.timer.raise_minimum(response)

    def _accepted(self, offer: Offer, response: Response, now: float) -> None:
        if offer.ack is not None:
            offer.ack(now)
            return
        if offer is self._owing:
            return  # repeated while our answer is awaited
        session = self._session
        session.dialog.refresh_target(response)
        cseq = response.cseq.number
        if offer.source is not None or session.has_ended:
            offer.ack = self._acknowledgement(offer, cseq, b"")
            offer.ack(now)
        else:
            self._owing = offer
        if session.has_ended:
            return
        session.session_refresh.agree(response, now)
        session.local_sdp = offer.sdp or session.local_sdp
        before, description = session.sdp, sdp_of(response)
        session.sdp = description or before
        if offer.operation is None and offer.sdp and description and description != before:
            session.tell(Refreshed(offer.sdp, description))
        self._complete(offer, response.status, description, now)

    def _acknowledgement(self, offer: Offer, cseq: int, sdp: bytes) -> Callable[[float], None]:
        credentials = credentials_of(offer.exchange.request) if offer.exchange else []
        return self._session.acknowledgement(self._session.dialog, cseq, sdp, credentials)

    def _failed(self, offer: Offer, failure: Failure, now: float) -> None:
        self._settle(offer)
        self._complete(offer, failure.status, None, now)
        if failure is Failure.TIMEOUT:
            self._session.lose(failure.status, "no answer to re-INVITE", now, bye=True)

    def _settle(self, offer: Offer) -> None:
        """It has its final response, or will have none."""
        if offer.exchange is self._sent:
            self._sent = None
            self._core.timers.stop(self, "answer")

    def _complete(self, offer: Offer, status: int, sdp: bytes | None, now: float) -> None:
        if offer is not self._offer:
            return
        self._offer = None
        if offer.operation is not None:
            self._session.tell(ReinviteCompleted(offer.operation, status, sdp))
        self.proceed(now)

    def accept(self, sdp: bytes, now: float) -> bool:
        """Put our answer in the ACK that is owed; False if none is."""
        offer = self._owing
        if offer is None or offer.exchange is None:
            return False
        self._owing = None
        self._session.local_sdp = sdp
        offer.ack = self._acknowledgement(offer, offer.exchange.request.cseq.number, sdp)
        offer.ack(now)
        self.proceed(now)
        return True

    def _glare_pause_s(self) -> float:
        """§14.1: who made the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms."""
        low, high = (210, 400) if self._session.is_caller else (0, 200)
        return self._core.config.random.randint(low, high) / 100

    def handle_timer(self, name: str, now: float) -> None:
        """`glare`: the pause after it is over. `answer`: ours will not be answered any more."""
        if name == "answer":
            self._give_up(now)
        elif self._incoming or self._answer:  # the far end was first; ours goes right after
            if self._offer is not None:
                self._waiting.appendleft(self._offer)
            self._offer = None
        else:
            self._send(now)

    def _give_up(self, now: float) -> None:
        offer, exchange, self._sent = self._offer, self._sent, None
        if exchange is not None and exchange.transaction is not None:
            exchange.transaction.abandon(now)
        if offer is not None:
            self._failed(offer, Failure.TIMEOUT, now)

    # -- theirs -------------------------------------------------------------------------------

    def receive(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a re-INVITE (§14.2)."""
        in_flight = self._offer and self._offer.exchange and not self._offer.exchange.is_answered
        unacknowledged = self._answer or not self._session.is_confirmed
        if in_flight or self._owing or unacknowledged:
            # It overtook an ACK, or crossed an INVITE of ours: 491 is tried again (RFC 5407 §3.1).
            self._core.respond(server, 491, now=now)
            return
        if self._incoming:
            pause = str(self._core.config.random.randint(0, 10))
            self._core.respond(server, 500, headers=[("Retry-After", pause)], now=now)
            return
        self._session.dialog.refresh_target(request)
        self._incoming = server
        server.on_cancel = self._cancelled
        server.on_failure = self._abandoned
        self._session.tell(Reinvited(sdp_of(request)))

    def answer(self, sdp: bytes, now: float) -> bool:
        """Answer it 200. False, and nothing happens, where it was cancelled meanwhile."""
        server, self._incoming = self._incoming, None
        if server is None:
            return False
        offered = sdp_of(server.request)
        self._session.sdp = offered or self._session.sdp
        self._answer = SentAnswer(
            self._core,
            server,
            partial(self._acknowledged, offered is None),
            self._unacknowledged,
        )
        self._session.local_sdp = sdp
        agreed = self._session.session_refresh.answer(server.request, now)
        headers = (self._session.contact, *self._core.offer_headers, *agreed)
        self._answer.send(sdp, headers, now)
        return True

    def reject(self, status: int, now: float) -> None:
        """Refuse it. Nothing happens where it was cancelled meanwhile."""
        if status < 300:
            raise LocalProtocolError(f"{status} refuses nothing")
        server, self._incoming = self._incoming, None
        if server is not None:
            self._core.respond(server, status, now=now)
            self.proceed(now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK that belongs to no transaction."""
        if self._answer is not None:
            self._answer.receive_ack(ack, now)

    def _acknowledged(self, offered_by_us: bool, ack: Request, now: float) -> None:
        self._answer = None
        if offered_by_us:
            description = sdp_of(ack)
            self._session.sdp = description or self._session.sdp
            self._session.tell(Confirmed(description))
        self.proceed(now)

    def _unacknowledged(self, now: float) -> None:
        self._answer = None
        self._session.lose(408, "no ACK", now, bye=True)  # §14.2, §13.3.1.4

    def _cancelled(self, cancel: Request, now: float) -> None:
        self.reject(487, now)

    def _abandoned(self, failure: Failure, now: float) -> None:
        self._incoming = None
        self.proceed(now)

    # -- the end ------------------------------------------------------------------------------

    def end(self, now: float) -> None:
        """The session is over: settle what is open (§15.1.2)."""
        self._core.timers.stop(self, "glare")
        if self._sent is not None:  # the far end may have forgotten it together with the dialog
            self._core.timers.start(self, "answer", now + self._core.config.timers.timeout_s)
        if self._answer is not None:
            self._answer.stop()
            self._answer = None
        server, self._incoming = self._incoming, None
        if server is not None:
            self._core.respond(server, 487, now=now)
        open_offers = [self._offer] if self._offer else []
        open_offers += self._waiting
        self._waiting.clear()
        self._offer = None
        owing, self._owing = self._owing, None
        if owing is not None and owing.exchange is not None:
            owing.ack = self._acknowledgement(owing, owing.exchange.request.cseq.number, b"")
            owing.ack(now)
        for offer in open_offers:
            if offer.operation is not None:
                self._session.tell(ReinviteCompleted(offer.operation, 481))
