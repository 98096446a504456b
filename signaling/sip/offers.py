"""Offers inside a dialog: re-INVITE and UPDATE, both directions, and their glare.

RFC 3261 §14, RFC 3311 §5, RFC 3264 as far as order goes. One offer at a time: what a dialog has
agreed on is changed by whoever asks first, and the other waits. While a dialog is early, UPDATE
alone can do it, and only once the INVITE's own offer is answered reliably (RFC 3311 §5.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from signaling.errors import LocalProtocolError
from signaling.sip.answer import SDP, SentAnswer, sdp_of
from signaling.sip.dialog import Dialog
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

MAX_RETRY_AFTER_S = 10
"""The longest pause that a 500 for glare asks for (RFC 3311 §5.2); more is no glare."""

ANSWER_TIMEOUT_S = 180.0
"""How long a re-INVITE that has only provisional responses is waited for (timer C of RFC 3261)."""


OfferSource: TypeAlias = bytes | Callable[[], bytes] | None
"""An offer; what makes it, called each time when it is really sent; None asks for one.

An offer that waits must be made late: its version is above that of all that was said before
(RFC 3264 §8)."""


class First(StrEnum):
    """What became of the offer of the dialog's first INVITE (RFC 3261 §13.2.1)."""

    MISSING = "missing"
    """Nobody has made one."""
    OURS = "ours"
    """We made it, and the answer has not come."""
    THEIRS = "theirs"
    """They made it, and our answer is not out."""
    SETTLED = "settled"
    """It is answered for good: a description in a 101-199 that was not reliable does not count."""


class Offer:
    """A re-INVITE or UPDATE of ours, from the wish to the ACK."""

    def __init__(
        self, operation: OperationId | None, source: OfferSource, method: str | None = None
    ) -> None:
        self.operation = operation
        """None: a refresh, that nobody waits for."""
        self.source = source
        self.sdp: bytes | None = None
        """What was made of it when it was sent."""
        self.method = method
        """None: whichever the dialog allows when it is sent."""
        self.exchange: Exchange | None = None
        self.ack: Callable[[float], None] | None = None
        """Sends the ACK, once more for each repeated 2xx."""
        self.glares = 0
        self.raises = 0
        """How often it was sent again for a 422."""

    def __repr__(self) -> str:
        return f"<Offer {self.operation} {self.exchange!r} glares={self.glares}>"

    @property
    def is_open(self) -> bool:
        """Whether it is on its way; an UPDATE without a description offers nothing."""
        exchange = self.exchange
        if exchange is None or exchange.is_answered:
            return False
        return exchange.request.method == "INVITE" or bool(exchange.request.body)


class Offers:
    """The offers of one dialog: one at a time, in either direction."""

    def __init__(self, session: InviteUsage, dialog: Dialog, first: First, fork: str = "") -> None:
        self.dialog = dialog
        self.first = first
        self.fork = fork
        """The far end's tag while it is one of several that may ring; "" once it is the only."""
        self.sdp: bytes | None = None
        """The far end's description that holds in this dialog."""
        self.local_sdp: bytes | None = session.request.body or None if session.is_caller else None
        """Ours, as it was said last and not refused."""
        self.is_paused = False
        """A PRACK of ours is on its way: a request that overtook it would have it refused."""
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
        self.on_free: Callable[[float], None] = lambda now: None
        """Called whenever none of theirs waits for our answer."""
        self._answer: SentAnswer | None = None
        """Ours to theirs, that is not acknowledged."""
        self._offered_back = False
        """`_answer` holds an offer of ours, since theirs held none."""

    def __repr__(self) -> str:
        return (
            f"<Offers ours={self._offer!r} theirs={self._incoming!r} "
            f"next={len(self._waiting)} first={self.first}>"
        )

    def take(self, sdp: bytes | None) -> None:
        """The far end describes itself; None: as before."""
        if sdp is not None:
            self.sdp = self._session.sdp = sdp

    # -- ours ---------------------------------------------------------------------------------

    def offer(
        self, operation: OperationId, source: OfferSource, now: float, method: str | None = None
    ) -> None:
        """Send a re-INVITE or UPDATE as soon as none is under way."""
        self._waiting.append(Offer(operation, source, method))
        self.proceed(now)

    def refresh(self, now: float) -> None:
        """Show that we are there; not where an offer is under way, which does as well.

        By an UPDATE without a description, or a re-INVITE with what is agreed on: its version is
        as it was, for nothing has changed (RFC 4028 §7.4).
        """
        if self._waiting or self._is_busy:
            return
        if self.may_update:
            self._waiting.append(Offer(None, None, "UPDATE"))
        elif self.local_sdp is not None:
            self._waiting.append(Offer(None, self.local_sdp))
        self.proceed(now)

    @property
    def _is_busy(self) -> bool:
        return any((self._offer, self._owing, self._incoming, self._answer))

    @property
    def may_update(self) -> bool:
        """Whether UPDATE may change what is agreed on (RFC 3311 §5.1)."""
        return self.first is First.SETTLED and "UPDATE" in self.dialog.remote_methods

    def proceed(self, now: float) -> None:
        """Send the next offer, if its turn has come."""
        if not self.is_asked:
            self.on_free(now)
        if not self._is_busy and self._waiting and self._may_send:
            self._offer = self._waiting.popleft()
            self._send(now)

    @property
    def _may_send(self) -> bool:
        if self._session.is_confirmed:
            return True
        return self._session.is_early and self.may_update and not self.is_paused

    def _send(self, now: float) -> None:
        offer, session = self._offer, self._session
        if offer is None:
            return
        if not self._may_send:  # answered while it waited: its turn comes with the ACK
            self._offer = None
            self._waiting.appendleft(offer)
            return
        method = offer.method or ("INVITE" if session.is_confirmed else "UPDATE")
        offer.sdp = offer.source() if callable(offer.source) else offer.source
        timer = session.session_refresh.timer.ask() if session.is_confirmed else ()
        exchange = session.in_dialog.exchange(
            method,
            headers=(session.contact, *self._core.reoffer_headers, *timer),
            body=offer.sdp or b"",
            content_type=None if offer.sdp is None else SDP,
            on_response=partial(self._answered, offer),
            on_failure=partial(self._failed, offer),
            dialog=self.dialog,
        )
        offer.exchange = self._sent = exchange
        if method == "INVITE":
            self._core.timers.start(self, "answer", now + ANSWER_TIMEOUT_S)
        exchange.start(now)

    def _answered(self, offer: Offer, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            return
        self._settle(offer)
        pause_s = self._pause_s(response)
        if status < 300:
            self._accepted(offer, response, now)
        elif pause_s is not None and offer.glares < MAX_GLARES and not self._session.has_ended:
            offer.glares += 1
            self._core.timers.start(self, "glare", now + pause_s)
        elif status == 422 and self._may_ask_longer(offer, response):
            offer.raises += 1
            self._send(now)
        elif offer is self._offer and self._goes_by_reinvite(offer, response):
            self._send(now)
        else:
            self._complete(offer, status, None, now)
            if status in (408, 481):  # §12.2.1.2: the far end has no such call
                self._session.lose(status, response.phrase, now, bye=status == 408)

    def _pause_s(self, response: Response) -> float | None:
        """How long to wait before the same is said again; None: it is refused for good.

        §14.1: who made the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
        """
        if response.status == 491:
            low, high = (210, 400) if self._session.is_caller else (0, 200)
            return self._core.config.random.randint(low, high) / 100
        if response.status == 500 and "Retry-After" in response.headers:
            pause_s = response.retry_after_s
            return pause_s if pause_s <= MAX_RETRY_AFTER_S else None
        return None

    def _may_ask_longer(self, offer: Offer, response: Response) -> bool:
        if offer is not self._offer or offer.raises == MAX_RAISES:
            return False
        return self._session.session_refresh.timer.raise_minimum(response)

    def _goes_by_reinvite(self, offer: Offer, response: Response) -> bool:
        """An UPDATE that is not taken after all, or would need somebody's consent (RFC 3311 §5.3).

        Of a call that is answered the same can be said by re-INVITE.
        """
        status, method = response.status, response.cseq.method
        if method != "UPDATE" or status not in (405, 501, 504):
            return False
        if status != 504:
            self.dialog.remote_methods -= {"UPDATE"}
        offer.method = "INVITE"
        offer.source = self.local_sdp if offer.source is None else offer.source
        return self._session.is_confirmed and offer.source is not None

    def _accepted(self, offer: Offer, response: Response, now: float) -> None:
        if offer.ack is not None:
            offer.ack(now)
            return
        if offer is self._owing:
            return  # repeated while our answer is awaited
        session = self._session
        self.dialog.refresh_target(response)
        if response.cseq.method == "INVITE":
            if offer.source is not None or session.has_ended:
                offer.ack = self._acknowledgement(offer, response.cseq.number, b"")
                offer.ack(now)
            else:
                self._owing = offer
        if session.has_ended:
            return
        if session.is_confirmed:
            session.session_refresh.agree(response, now)
        self.local_sdp = offer.sdp or self.local_sdp
        before, description = self.sdp, sdp_of(response)
        self.take(description)
        if offer.operation is None and offer.sdp and description and description != before:
            session.tell(Refreshed(offer.sdp, description))
        self._complete(offer, response.status, description, now)

    def _acknowledgement(self, offer: Offer, cseq: int, sdp: bytes) -> Callable[[float], None]:
        credentials = credentials_of(offer.exchange.request) if offer.exchange else []
        return self._session.in_dialog.acknowledgement(self.dialog, cseq, sdp, credentials)

    def _failed(self, offer: Offer, failure: Failure, now: float) -> None:
        self._settle(offer)
        self._complete(offer, failure.status, None, now)
        if failure is Failure.TIMEOUT:
            method = offer.exchange.request.method if offer.exchange else ""
            name = "UPDATE" if method == "UPDATE" else "re-INVITE"
            self._session.lose(failure.status, f"no answer to {name}", now, bye=True)

    def _settle(self, offer: Offer) -> None:
        """It has its final response, or will have none."""
        if offer.exchange is self._sent:
            self._sent = None
            self._core.timers.stop(self, "answer")

    def _complete(self, offer: Offer, status: int, sdp: bytes | None, now: float) -> None:
        if offer is not self._offer:
            return
        self._offer = None
        self._tell_completed(offer, status, sdp)
        self.proceed(now)

    def _tell_completed(self, offer: Offer, status: int, sdp: bytes | None = None) -> None:
        if offer.operation is not None:
            self._session.tell(ReinviteCompleted(offer.operation, status, sdp))

    def accept(self, sdp: bytes, now: float) -> bool:
        """Put our answer in the ACK that is owed; False if none is."""
        offer = self._owing
        if offer is None or offer.exchange is None:
            return False
        self._owing = None
        self.local_sdp = sdp
        offer.ack = self._acknowledgement(offer, offer.exchange.request.cseq.number, sdp)
        offer.ack(now)
        self.proceed(now)
        return True

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
        """Take a re-INVITE (§14.2), an UPDATE (RFC 3311 §5.2), or a PRACK with an offer."""
        sdp = sdp_of(request)
        is_offer = request.method == "INVITE" or sdp is not None
        if is_offer and self._glares(request.method):
            # It overtook an ACK, or crossed an offer of ours: 491 is tried again (RFC 5407 §3.1).
            self._core.respond(server, 491, now=now)
            return
        if self._incoming or (is_offer and self.first is First.THEIRS):
            pause = str(self._core.config.random.randint(0, MAX_RETRY_AFTER_S))
            self._core.respond(server, 500, headers=[("Retry-After", pause)], now=now)
            return
        if request.method != "PRACK":
            self.dialog.refresh_target(request)
        if not is_offer:  # it only says where the far end is, or that it is there
            self._core.respond(server, 200, headers=self._headers(request, now), now=now)
            return
        self._incoming = server
        server.on_cancel = self._cancelled
        server.on_failure = self._abandoned
        self._session.tell(Reinvited(sdp, self.fork))

    def _glares(self, method: str) -> bool:
        """Whether an offer of ours is open; a re-INVITE waits for every ACK too."""
        if method == "INVITE" and (self._answer or not self._session.is_confirmed):
            return True
        in_flight = self._offer is not None and self._offer.is_open
        unanswered = self.first in (First.OURS, First.MISSING) or self._offered_back
        return bool(in_flight or self._owing or unanswered)

    def _headers(self, request: Request, now: float) -> tuple[tuple[str, str], ...]:
        """Of our 2xx."""
        session = self._session
        agrees = session.is_confirmed and request.method != "PRACK"
        timer = session.session_refresh.answer(request, now) if agrees else ()
        return (session.contact, *self._core.offer_headers, *timer)

    def answer(self, sdp: bytes, now: float) -> bool:
        """Answer it 200. False, and nothing happens, where it was cancelled meanwhile."""
        server, self._incoming = self._incoming, None
        if server is None:
            return False
        offered = sdp_of(server.request)
        self.take(offered)
        self.local_sdp = sdp
        headers = self._headers(server.request, now)
        if server.request.method == "INVITE":
            self._offered_back = offered is None
            self._answer = SentAnswer(self._core, server, self._acknowledged, self._unacknowledged)
            self._answer.send(sdp, headers, now)
        else:
            self._core.respond(server, 200, headers=headers, body=sdp, content_type=SDP, now=now)
            self.proceed(now)
        return True

    def reject(self, status: int, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Refuse it. Nothing happens where it was cancelled meanwhile."""
        if status < 300:
            raise LocalProtocolError(f"{status} refuses nothing")
        server, self._incoming = self._incoming, None
        if server is not None:
            self._core.respond(server, status, headers=headers, now=now)
            self.proceed(now)

    @property
    def is_asked(self) -> bool:
        """Whether an offer of theirs waits for `answer` or `reject`."""
        return self._incoming is not None

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK that belongs to no transaction."""
        if self._answer is not None:
            self._answer.receive_ack(ack, now)

    def _acknowledged(self, ack: Request, now: float) -> None:
        self._answer = None
        if self._offered_back:
            self._offered_back = False
            description = sdp_of(ack)
            self.take(description)
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
        """The session, or this dialog of it, is over: settle what is open (§15.1.2)."""
        self._core.timers.stop(self, "glare")
        if self._sent is not None and self._sent.request.method == "INVITE":
            # The far end may have forgotten it together with the dialog.
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
            self._tell_completed(offer, 481)
