"""The INVITE usage: one call's signalling, in either role, as an object without I/O.

::

    UAC   CALLING --101-199--> EARLY --2xx--> CONFIRMED          (or ANSWERED, where the 2xx offers)
    UAS   PROCEEDING --ring--> EARLY --accept--> ANSWERED --ACK--> CONFIRMED
                               (EARLY until the PRACK of a description that is sent reliably)
    any   --refusal, CANCEL, BYE, time-out, lost flow--> ENDED

**What we end, ends at once**: `cancel`, `reject` and `bye` tell `Ended` in the same drain. The
protocol's remaining duties are done without anybody watching: a CANCEL that waits for a first
response (RFC 3261 §9.1), a BYE that waits for the ACK (§15), a 2xx that crossed our CANCEL and
gets ACK and BYE, a 2xx of another fork (§13.2.2.4).

A lost connection ends a call that is not answered. An answered one goes on: its audio may be
well, and the far end may come back over another flow (then requests follow it), or the driver
names one with `use_flow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from signaling.errors import LocalProtocolError, TransportError
from signaling.sip.answer import sdp_of
from signaling.sip.answering import Answering
from signaling.sip.auth import DigestClient, DigestCredentials
from signaling.sip.calling import Calling
from signaling.sip.core import Core
from signaling.sip.dialog import Dialog
from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    OperationId,
    Progress,
    SessionChanged,
    SessionEvent,
)
from signaling.sip.flow import Flow
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.in_dialog import InDialog
from signaling.sip.message import Headers, Request, Response
from signaling.sip.offers import First, Offers, OfferSource
from signaling.sip.reason import format_reason, q850_of
from signaling.sip.refer import ReferIssuer, Refers
from signaling.sip.refresh import SessionRefresh
from signaling.sip.transaction import Failure, ServerTransaction
from signaling.sip.uri import Uri

RECOVERY_ON_TIMER = 102
"""The cause of Q.850 for a far end that keeps silent."""


class Role(StrEnum):
    """Which end of the INVITE we are."""

    UAC = "uac"
    UAS = "uas"


class SessionState(StrEnum):
    """How far a session is."""

    CALLING = "calling"
    """UAC: nothing heard, or 100."""
    PROCEEDING = "proceeding"
    """UAS: nothing said, or 100."""
    EARLY = "early"
    """101-199 was heard or said."""
    ANSWERED = "answered"
    """UAS: 2xx is out, the ACK is awaited. UAC: the 2xx offered, the ACK waits for `accept`."""
    CONFIRMED = "confirmed"
    ENDED = "ended"


_UNANSWERED = frozenset({SessionState.CALLING, SessionState.PROCEEDING, SessionState.EARLY})


class InviteUsage:
    """Made by `Stack.invite` and `Stack.open_session`.

    Everything that happens comes as `SessionChanged` events; `Ended` is the last, and there is
    exactly one. Methods raise LocalProtocolError in a state that forbids them; then nothing was
    sent.
    """

    def __init__(
        self,
        core: Core,
        role: Role,
        request: Request,
        flow: Flow,
        *,
        contact_user: str | None,
        credentials: DigestCredentials | None = None,
    ) -> None:
        self.core = core
        self.id = core.next_id("s")
        """Unique in its stack."""
        self.role = role
        self.call_id = request.call_id
        self.request = request
        """The INVITE that began it, as it was sent first."""
        self.state = SessionState.CALLING if role is Role.UAC else SessionState.PROCEEDING
        self.sdp: bytes | None = None if role is Role.UAC else sdp_of(request)
        """The far end's current description."""
        self.session_refresh = SessionRefresh(self)
        self._contact_user = contact_user
        digest = DigestClient(credentials, core.config.random) if credentials else None
        self.in_dialog = InDialog(core, request.uri.host, flow, digest)
        """Sends what goes in its dialogs."""
        self.replaces: InviteUsage | None = None
        """The call that this one takes the place of when it is answered (RFC 3891; UAS)."""
        self._operations = 0
        self._refers = Refers(self)
        self._dialog: Dialog | None = None
        """The one that is answered (UAC), or that we opened (UAS)."""
        self._offers: Offers | None = None
        """Those of `_dialog`."""
        self._calling = Calling(self, flow, digest) if role is Role.UAC else None
        self._answering: Answering | None = None
        """The other role's half; there from `adopt` on."""

    def __repr__(self) -> str:
        return f"<InviteUsage {self.id} {self.role} {self.remote.uri} {self.state} {self.call_id}>"

    # -- what it is ---------------------------------------------------------------------------

    @property
    def local(self) -> NameAddr:
        """Our address, with our tag where there is one."""
        if self._dialog is not None:
            return self._dialog.local
        return self.request.from_ if self.is_caller else self.request.to

    @property
    def remote(self) -> NameAddr:
        """The far end's address."""
        if self._dialog is not None:
            return self._dialog.remote
        return self.request.to if self.is_caller else self.request.from_

    @property
    def flow(self) -> Flow:
        """How the far end was reached last."""
        return self.in_dialog.flow if self._dialog is None else self._dialog.flow

    @property
    def is_caller(self) -> bool:
        """Whether we made the Call-ID."""
        return self.role is Role.UAC

    @property
    def is_heard(self) -> bool:
        """Whether anything came back for the INVITE, `100 Trying` too (UAC)."""
        return self._calling is None or self._calling.is_heard

    @property
    def is_early(self) -> bool:
        """Whether it rings."""
        return self.state is SessionState.EARLY

    @property
    def is_confirmed(self) -> bool:
        """Whether both ends know that it is answered."""
        return self.state is SessionState.CONFIRMED

    @property
    def is_answered(self) -> bool:
        """Whether a 2xx was sent or received."""
        return self.state in (SessionState.ANSWERED, SessionState.CONFIRMED)

    @property
    def has_ended(self) -> bool:
        """Whether `Ended` was told."""
        return self.state is SessionState.ENDED

    @property
    def dialog(self) -> Dialog:
        """The dialog; raises LocalProtocolError before there is one."""
        if self._dialog is None:
            raise self._forbidden("there is no dialog yet")
        return self._dialog

    @property
    def contact(self) -> tuple[str, str]:
        """Our Contact header field."""
        secure = self.request.uri.scheme == "sips"
        return self.core.contact(self.flow, self._contact_user, secure=secure)

    # -- UAC: the INVITE ----------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Send the INVITE (for `Stack.invite`)."""
        if self._calling is not None:
            self._calling.start(now)
            self.core.sessions[self.id] = self
            self.note()

    def cancel(self, q850: int | None = None, *, now: float) -> None:
        """Take back an INVITE that is not answered (UAC). A 2xx that crosses gets ACK and BYE."""
        if self._calling is None or self.state not in _UNANSWERED:
            raise self._forbidden("cancel")
        self._end(
            Ended(by_remote=False, status=487, reason_text="Request Terminated", q850=q850), now
        )
        self._calling.cancel(_reason_header(q850), now)

    def progressed(self, response: Response, sdp: bytes | None) -> None:
        """A 101-199 came (from `Calling`, as the next three)."""
        self.state = SessionState.EARLY
        self.sdp = sdp or self.sdp
        self.tell(Progress(response.status, response.phrase, sdp, response.to.tag or ""))

    def answered(self, dialog: Dialog, offers: Offers, response: Response, now: float) -> None:
        """The first 2xx came; its ACK is out unless it waits for our answer."""
        self._dialog, self._offers = dialog, offers
        offers.fork = ""
        self.sdp = offers.sdp or self.sdp
        is_settled = offers.first is First.SETTLED
        self.state = SessionState.CONFIRMED if is_settled else SessionState.ANSWERED
        self.session_refresh.agree(response, now)
        self.tell(Answered(offers.sdp, dialog.remote.tag or ""))
        offers.proceed(now)

    def refused(self, response: Response, now: float) -> None:
        """A 3xx-6xx came."""
        self._end(
            Ended(
                by_remote=True,
                status=response.status,
                reason_text=response.phrase,
                q850=q850_of(response.headers),
                contacts=_alternatives(response),
            ),
            now,
        )

    def failed(self, failure: Failure, now: float) -> None:
        """The INVITE's transaction failed, in either role."""
        self._end(self._loss(failure), now)

    # -- UAS: the answer ----------------------------------------------------------------------

    def adopt(self, server: ServerTransaction, now: float) -> None:
        """Take over the INVITE's transaction (for `Stack.open_session`)."""
        self.core.sessions[self.id] = self
        self._dialog = Dialog.of_request(server.request, server.to_tag, server.source)
        self.core.dialogs[self._dialog.key] = self
        first = First.THEIRS if self.sdp is not None else First.MISSING
        self._offers = Offers(self, self._dialog, first)
        self._offers.sdp = self.sdp
        self._answering = Answering(self, server, self._offers)
        self._answering.start(now)
        self.note()

    @property
    def rings_reliably(self) -> bool:
        """Whether what `ring` says is acknowledged by PRACK (UAS).

        Then a description in it is the answer, or the offer where the INVITE held none: the first
        must have that one (RFC 3261 §13.2.1), and `accept` says nothing new.
        """
        return self._answering is not None and self._answering.rings_reliably

    def ring(self, sdp: bytes | None = None, *, now: float) -> None:
        """Send 180, or 183 with a description for early media (UAS). May be said again.

        It waits for the PRACK of the one before, where it goes out reliably. Without any PRACK in
        64*T1 the INVITE is refused (504).
        """
        if not self._may_answer:
            raise self._forbidden("ring")
        if self._answering is None:
            return
        self.state = SessionState.EARLY
        self._answering.ring(183 if sdp else 180, sdp, now)

    @property
    def _may_answer(self) -> bool:
        answering = self._answering
        return answering is not None and not answering.is_accepting and self.state in _UNANSWERED

    def accept(self, sdp: bytes, fork: str = "", *, now: float) -> None:
        """UAS: answer 200 with our answer (or our offer, where the INVITE held none).

        It waits for the PRACK of a description that was sent while ringing, and holds none then.

        UAC: give the answer to an offer that came in a 101-199 or 2xx (`Progress`, `Answered`,
        `ReinviteCompleted`); it goes in the PRACK or ACK.
        """
        if self._calling is not None and self.state in _UNANSWERED:
            early = self._calling.fork(fork)
            if early is None or not early.accept(sdp, now):
                raise self._forbidden("accept")
        elif self._offers is not None and self.state is SessionState.CONFIRMED:
            if not self._offers.accept(sdp, now):
                raise self._forbidden("accept")
        elif self._calling is not None and self.state is SessionState.ANSWERED:
            self.state = SessionState.CONFIRMED
            self._calling.acknowledge(self.dialog, sdp, now)
            if self._offers is not None:
                self._offers.local_sdp = sdp
            self._settled(now)
        elif self._answering is not None and self._may_answer:
            self._answering.accept(sdp, now)
        else:
            raise self._forbidden("accept")

    def _settled(self, now: float) -> None:
        """Both ends know of the answer; what waited for that goes on."""
        if self._offers is not None:
            self._offers.first = First.SETTLED
            self._offers.proceed(now)

    def accepted(self, now: float) -> None:
        """Our 2xx goes out (from `Answering`)."""
        self.state = SessionState.ANSWERED
        self.note()
        if self.replaces is not None:
            self.replaces.give_way(now)

    def acknowledged(self, sdp: bytes | None, now: float) -> None:
        """The ACK of our 2xx came (from `Answering`)."""
        if self.has_ended:
            return
        self.state = SessionState.CONFIRMED
        if self._offers is not None:
            self._offers.take(sdp)
        self.tell(Confirmed(sdp))
        self._settled(now)

    def unheard(self, now: float) -> None:
        """No PRACK came for what rings (from `Answering`; RFC 3262 §3)."""
        self._refuse(504, None, (), now)
        self._end(Ended(by_remote=True, status=504, reason_text="no PRACK"), now)

    def reject(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        now: float,
    ) -> None:
        """Refuse with 3xx-6xx (UAS)."""
        if self._answering is None or self.state not in _UNANSWERED or status < 300:
            raise self._forbidden("reject")
        self._refuse(status, reason, headers, now)
        q850 = q850_of(Headers(headers))
        self._end(Ended(by_remote=False, status=status, reason_text=reason or "", q850=q850), now)

    def _refuse(
        self, status: int, reason: str | None, headers: Sequence[tuple[str, str]], now: float
    ) -> None:
        self._drop_dialog()
        if self._answering is not None:
            self._answering.refuse(status, reason, headers, now)

    def withdrawn(self, q850: int | None, now: float) -> None:
        """The caller wants no answer any more (from `Answering`)."""
        self._refuse(487, None, (), now)
        text = "Request Terminated"
        self._end(Ended(by_remote=True, status=487, reason_text=text, q850=q850), now)

    # -- either end ---------------------------------------------------------------------------

    def bye(self, q850: int | None = None, *, now: float) -> None:
        """End an answered call. Before our 2xx is acknowledged, the BYE waits for the ACK (§15)."""
        if not self.is_answered:
            raise self._forbidden("bye")
        self._end_by_bye(Ended(by_remote=False, q850=q850), now)

    def expire(self, now: float) -> None:
        """Nobody has refreshed the session in time (for `SessionRefresh`)."""
        text = "the session expired"
        self._end_by_bye(Ended(True, q850=RECOVERY_ON_TIMER, reason_text=text, expired=True), now)

    def _end_by_bye(self, over: Ended, now: float) -> None:
        headers = _reason_header(over.q850)
        if self._calling is not None and self.state is SessionState.ANSWERED:
            self._calling.acknowledge(self.dialog, b"", now)
        self._end(over, now)
        if self._answering is not None and self._answering.awaits_ack:
            self._answering.bye_after_ack(headers)
        else:
            self.in_dialog.send_bye(self.dialog, headers, now)

    def hang_up(
        self,
        status: int = 480,
        q850: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        now: float,
    ) -> None:
        """Whatever the state needs: CANCEL, `reject(status)`, BYE, or nothing. Never raises."""
        match self.state:
            case SessionState.CALLING | SessionState.PROCEEDING | SessionState.EARLY:
                if self.is_caller:
                    self.cancel(q850, now=now)
                else:
                    refusal = status if 300 <= status < 700 else 480
                    self.reject(refusal, headers=(*_reason_header(q850), *headers), now=now)
            case SessionState.ANSWERED | SessionState.CONFIRMED:
                self.bye(q850, now=now)
            case SessionState.ENDED:
                pass

    def reinvite(self, offer: OfferSource, fork: str = "", *, now: float) -> OperationId:
        """Offer anew; None asks the far end to offer. Then one `ReinviteCompleted`.

        Waits until no other offer, of either end, is under way; tries again after a glare (491).
        A call that rings (`fork`: where) is offered anew by UPDATE, where `may_update`.
        """
        offers = self._offers_of(fork)
        is_answered = self.state in (SessionState.ANSWERED, SessionState.CONFIRMED)
        if offers is None or not (is_answered or self.may_update(fork)):
            raise self._forbidden("reinvite")
        operation = self._next_operation()
        offers.offer(operation, offer, now)
        return operation

    def refresh(self, now: float) -> None:
        """Say again what is agreed on, so that the session lives on (for `SessionRefresh`)."""
        if self._offers is not None:
            self._offers.refresh(now)

    def update(self, offer: OfferSource, fork: str = "", *, now: float) -> OperationId:
        """The same by UPDATE in any case (RFC 3311); None offers nothing, and only shows life.

        Raises LocalProtocolError where the far end takes none.
        """
        offers = self._offers_of(fork)
        if offers is None or not self.may_update(fork):
            raise self._forbidden("update")
        operation = self._next_operation()
        offers.offer(operation, offer, now, "UPDATE")
        return operation

    def may_update(self, fork: str = "") -> bool:
        """Whether UPDATE can be sent: the far end takes it, and the first offer is answered."""
        offers = self._offers_of(fork)
        live = self.state in (SessionState.EARLY, SessionState.CONFIRMED)
        return live and offers is not None and offers.may_update

    def answer_reinvite(self, sdp: bytes, fork: str = "", *, now: float) -> bool:
        """Answer `Reinvited` with 200 (our offer, where theirs was None).

        False, and nothing happens, if it was cancelled, or the session ended, meanwhile.
        """
        offers = self._offers_of(fork)
        return offers is not None and offers.answer(sdp, now)

    def reject_reinvite(
        self,
        status: int,
        fork: str = "",
        headers: Sequence[tuple[str, str]] = (),
        *,
        now: float,
    ) -> None:
        """Refuse `Reinvited`; the session stays as it was. Otherwise as `answer_reinvite`."""
        offers = self._offers_of(fork)
        if offers is not None:
            offers.reject(status, now, headers)

    def _offers_of(self, fork: str) -> Offers | None:
        """Those of the dialog, or of one of those that ring."""
        if self._offers is not None and fork in ("", self._offers.dialog.remote.tag):
            return self._offers
        early = self._calling.fork(fork) if self._calling is not None else None
        return None if early is None else early.offers

    def info(
        self,
        content_type: str,
        body: bytes,
        headers: Sequence[tuple[str, str]] = (),
        *,
        now: float,
    ) -> OperationId:
        """Send INFO in the dialog (RFC 6086). Then one `InfoCompleted`."""
        if self._dialog is None or self.state in (SessionState.PROCEEDING, SessionState.ENDED):
            raise self._forbidden("info")
        operation = self._next_operation()
        self.in_dialog.info(self, operation, content_type, body, headers, now)
        return operation

    def refer(
        self, refer_to: NameAddr, *, referred_by: NameAddr | None = None, now: float
    ) -> ReferIssuer:
        """Ask the far end to call somebody (REFER, RFC 3515). Then `ReferralChanged`."""
        if not self.is_answered:
            raise self._forbidden("refer")
        return self._refers.send(refer_to, referred_by, now)

    def give_way(self, now: float) -> None:
        """Another call has taken its place (RFC 3891 §3): BYE, or CANCEL where nobody answered."""
        over = Ended(by_remote=True, reason_text="Replaced", q850=16)
        if self.is_answered:
            self._end_by_bye(over, now)
        elif self._calling is not None and not self.has_ended:
            self._end(over, now)
            self._calling.cancel(_reason_header(over.q850), now)

    @property
    def remote_target(self) -> Uri | None:
        """How the far end names itself in the dialog; None while there is none."""
        return self._dialog.remote_target if self._dialog is not None else None

    def use_flow(self, flow: Flow) -> None:
        """The far end, or the server before it, is reached over another flow from now on."""
        self.in_dialog.flow = flow
        if self._dialog is not None:
            self._dialog.flow = flow
        self.note()

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone (the stack asks every session)."""
        if self._dialog is not None:
            self._dialog.flow_closed(flow)

    # -- requests of the far end --------------------------------------------------------------

    def receive(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a request in one of our dialogs that is a session's; its CSeq is checked."""
        if request.method == "BYE":
            self._receive_bye(request, server, now)
            return
        dialog = self.dialog_for(request)
        if dialog is None or self.has_ended:
            self.core.respond(server, 481, now=now)
            return
        # It may come back over another connection, or through a NAT that forgot it.
        dialog.flow = server.source
        self.note()
        offers = self._offers_of(dialog.remote.tag or "")
        match request.method:
            case "INVITE" | "UPDATE" if offers is not None:
                offers.receive(request, server, now)
            case "PRACK" if self._answering is not None:
                self._answering.receive_prack(request, server, now)
            case "REFER":
                self._refers.receive(server, now)
            case "INFO":
                self.core.respond(server, 200, now=now)
                self.tell(InfoReceived(request.headers.get("Content-Type") or "", request.body))
            case _:
                self.core.respond(server, 481, now=now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK of our dialog."""
        if self._answering is not None and self._answering.awaits_ack:
            self._answering.receive_ack(ack, now)
        elif self._offers is not None:
            self._offers.receive_ack(ack, now)

    def _receive_bye(self, request: Request, server: ServerTransaction, now: float) -> None:
        self.core.respond(server, 200, now=now)
        if self._calling is not None and self._calling.drop_fork(request.from_.tag or "", now):
            return  # an early dialog, that another fork may outlive
        if self.state in _UNANSWERED:
            self._refuse(487, None, (), now)  # §15.1.2
        if self._answering is not None:
            self._answering.forget_answer()
        self._drop_dialog()
        self._end(Ended(by_remote=True, q850=q850_of(request.headers)), now)

    def dialog_for(self, request: Request) -> Dialog | None:
        """The dialog of ours that a request belongs to."""
        tag = request.from_.tag or ""
        if self._dialog is not None and (self._dialog.remote.tag or "") == tag:
            return self._dialog
        early = self._calling.fork(tag) if self._calling is not None and tag else None
        return None if early is None else early.dialog

    # -- for the parts ------------------------------------------------------------------------

    def note(self) -> None:
        """Something has changed that who ends this call after us must know."""
        self.core.changed[self] = None

    @property
    def answers_go_to(self) -> Flow:
        """Where what we answer to the INVITE goes (UAS)."""
        return self.flow if self._answering is None else self._answering.flow

    @property
    def sent_invite(self) -> tuple[Request, Flow]:
        """The INVITE as it was sent last, and how (UAC)."""
        return (self.request, self.flow) if self._calling is None else self._calling.sent

    def tell(self, event: SessionEvent) -> None:
        """Tell the driver."""
        self.note()
        self.core.tell(SessionChanged(self, event))

    def lose(self, status: int, text: str, now: float, *, bye: bool) -> None:
        """The far end has no such call, or does not answer (§12.2.1.2).

        Of a call that is not answered, the INVITE itself will tell.
        """
        if not self.is_answered:
            return
        self._end(Ended(by_remote=True, status=status, reason_text=text), now)
        if bye:
            self.in_dialog.send_bye(self.dialog, (), now)
        else:
            self._drop_dialog()

    # -- inside -------------------------------------------------------------------------------

    def _drop_dialog(self) -> None:
        if self._dialog is not None:
            self.core.dialogs.pop(self._dialog.key, None)

    def _end(self, event: Ended, now: float) -> None:
        if self.has_ended:
            return
        self.state = SessionState.ENDED
        if self._answering is not None:
            self._answering.end_ringing()
        self.session_refresh.stop()
        if self._calling is not None:
            self._calling.forget_forks(now)
        if self._offers is not None:
            self._offers.end(now)
        self.in_dialog.end(self)
        self.core.sessions.pop(self.id, None)
        if self._dialog is not None:
            self.core.departed.note(self._dialog.key, now)
        self.tell(event)
        self.core.retired.note(self, now)

    def let_go(self) -> None:
        """It is long over, and nothing is under way (for `Retired`): its parts are for nobody."""
        parts = self._calling, self._answering, self._offers, self.session_refresh, self._refers
        for part in parts:
            if part is not None:
                vars(part).clear()
        self._calling = self._answering = self._offers = None

    def _loss(self, failure: Failure) -> Ended:
        error = self.core.layer.last_error
        if failure is Failure.TRANSPORT:
            self._drop_dialog()
            error = error or TransportError("the flow failed")
            return Ended(by_remote=True, status=503, reason_text=str(error), error=error)
        return Ended(by_remote=True, status=failure.status, reason_text="nobody answers")

    def _next_operation(self) -> OperationId:
        self._operations += 1
        return OperationId(self._operations)

    def _forbidden(self, what: str) -> LocalProtocolError:
        return LocalProtocolError(f"{what}: not in state {self.state} of a {self.role} session")


def _reason_header(q850: int | None) -> tuple[tuple[str, str], ...]:
    return () if q850 is None else (("Reason", format_reason(q850)),)


def _alternatives(response: Response) -> tuple[NameAddr, ...]:
    """Where a 3xx sends us (§8.1.3.4)."""
    contacts = response.contacts if 300 <= response.status < 400 else ()
    return () if contacts is STAR else tuple(sorted(contacts, key=lambda each: -each.q))
