"""REFER (RFC 3515): asking the far end to call somebody, and being asked; both tell by NOTIFY.

::

    issuer      REFER ──▶ 202 ── NOTIFY 100, 180 … ── NOTIFY 2xx-6xx      (or a refusal, or nothing)
    recipient   accept(): 202 and NOTIFY 100 · progress() · complete()    (or refuse())

Each is asked in a call, for outside of one nobody is there to be transferred. The 202 says nothing
of the outcome: that comes by NOTIFY alone, in `message/sipfrag` (RFC 3420). A far end that wants
none says `Refer-Sub: false` (RFC 4488). The subscription outlives the call in whose dialog it was
made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from signaling.errors import LocalProtocolError, RemoteProtocolError, SipParseError
from signaling.sip.core import Core
from signaling.sip.dialog import Dialog
from signaling.sip.events import (
    ReferAccepted,
    ReferCompleted,
    ReferEvent,
    ReferProgress,
    ReferralChanged,
    Referred,
    SubscriptionEnded,
)
from signaling.sip.exchange import Exchange
from signaling.sip.headers import NameAddr
from signaling.sip.message import REASON_PHRASES, Request, Response
from signaling.sip.notifier import NotifierUsage
from signaling.sip.replaces import Replaces, replaces_in
from signaling.sip.subscriber import SubscriberUsage
from signaling.sip.subscription import Activity, EventType, SubscriptionState
from signaling.sip.transaction import Failure, ServerTransaction
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

SIPFRAG = "message/sipfrag;version=2.0"
REFER_EXPIRES_S = 300.0
"""How long we tell of the call that we were asked for, at most."""

_FRAGMENT = re.compile(rb"SIP/2\.0[ \t]++([1-6][0-9]{2})(?:[ \t]++([^\r\n]*+))?+(?:\r?\n|\Z)", re.I)


def format_sipfrag(status: int, reason: str = "") -> bytes:
    """A status line as a body; other headers of the answer are of nobody's concern (§2.4.5)."""
    phrase = reason or REASON_PHRASES.get(status, "")
    return f"SIP/2.0 {status} {phrase}\r\n".encode("utf-8", "replace")


def parse_sipfrag(body: bytes) -> tuple[int, str] | None:
    """Status and reason phrase; None where the body does not begin with a status line."""
    match = _FRAGMENT.match(body)
    if match is None:
        return None
    return int(match[1]), (match[2] or b"").decode("utf-8", "replace").strip()


def referred_by_of(request: Request) -> NameAddr | None:
    """Who referred, as he says (RFC 3892): of a REFER or INVITE; None where it can't be read."""
    text = request.headers.get("Referred-By")
    try:
        return None if text is None else NameAddr.parse(text)
    except SipParseError:
        return None


class ReferIssuer:
    """A REFER of ours. Made by `InviteUsage.refer`.

    What becomes of it comes as `ReferralChanged`; `ReferCompleted` is the last, exactly once.
    """

    def __init__(self, core: Core, request: Request, dialog: Dialog) -> None:
        """`request` is the REFER, in this dialog."""
        self.core = core
        self.id = core.next_id("f")
        """Unique in its stack."""
        self.has_ended = False
        """Whether `ReferCompleted` was told."""
        self._request = request
        self._was_accepted = False
        self._subscriber = SubscriberUsage(
            core,
            EventType("refer", str(request.cseq.number)),
            dialog,
            on_notify=self._notified,
            on_silence=self._silent,
        )

    def __repr__(self) -> str:
        return f"<ReferIssuer {self.id} {self._request.headers.get('Refer-To')}>"

    def send(self, exchange: Exchange, now: float) -> None:
        """Send the REFER; where it can't be, LocalProtocolError, and nothing is kept."""
        try:
            exchange.start(now)
        except LocalProtocolError:
            self._subscriber.end()
            raise

    def answered(self, response: Response, now: float) -> None:
        """The REFER was answered (for its exchange, as `failed`)."""
        if response.status < 200:
            return
        if response.status >= 300:
            self._complete(response.status, response.phrase, now)
            return
        self._accepted()
        if not self.has_ended:
            self._subscriber.expect(now)

    def failed(self, failure: Failure, now: float) -> None:
        """Nobody answered the REFER, or its flow failed."""
        self._complete(failure.status, "", now)

    def _accepted(self) -> None:
        if not self._was_accepted:
            self._was_accepted = True
            self._tell(ReferAccepted())

    def _notified(self, state: SubscriptionState, notify: Request, now: float) -> None:
        self._accepted()  # also where the NOTIFY was faster than the 202
        told = parse_sipfrag(notify.body) if notify.content_type == "message/sipfrag" else None
        if told is not None and told[0] >= 200:
            self._complete(*told, now, keep=state.activity is not Activity.TERMINATED)
        elif state.activity is Activity.TERMINATED:
            self._complete(None, state.reason, now)
        elif told is not None and not self.has_ended:
            self._tell(ReferProgress(*told))

    def _silent(self, now: float) -> None:
        self._complete(408, "no NOTIFY came", now)

    def _complete(self, status: int | None, reason: str, now: float, *, keep: bool = False) -> None:
        """`keep`: the far end has still to say that it tells no more."""
        if not keep:
            self._subscriber.end()
        if not self.has_ended:
            self.has_ended = True
            self._tell(ReferCompleted(status, reason))

    def _tell(self, event: ReferEvent) -> None:
        self.core.tell(ReferralChanged(self, event))


class ReferRecipient:
    """A REFER of the far end; `accept` or `refuse` is owed, then `complete`.

    Told as `Referred` of a call. Once the far end does not listen any more, what it is told goes
    nowhere.
    """

    def __init__(
        self,
        session: InviteUsage,
        server: ServerTransaction,
        *,
        is_first: bool,
    ) -> None:
        """Raises RemoteProtocolError for a REFER that can't be done.

        `session` is the call whose dialog it came in; `is_first`: no REFER came in it before.
        """
        self.core = session.core
        self.request = server.request
        self.refer_to, self.replaces = _target_of(server.request)
        self.referred_by = referred_by_of(server.request)
        """As it says; it may say anything."""
        self.replaced = None if self.replaces is None else self.core.dialogs.get(self.replaces.key)
        """Our call that the far end's call with `refer_to` is, where we are between the two."""
        self._server = server
        self._dialog = session.dialog
        self._session = session
        self._is_first = is_first
        self._is_decided = False
        self._notifier: NotifierUsage | None = None

    refer_to: Uri
    """Whom to call; without headers."""
    replaces: Replaces | None
    """Which call of that one to take the place of."""

    def __repr__(self) -> str:
        return f"<ReferRecipient {self.refer_to} replaces={self.replaces}>"

    def accept(self, *, now: float) -> None:
        """Answer 202, and tell that it is tried (§2.4.4)."""
        self._decide("accept")
        contact = self._session.contact
        if _declines_subscription(self.request):
            self.core.respond(self._server, 202, headers=(contact, ("Refer-Sub", "false")), now=now)
            return
        self.core.respond(self._server, 202, headers=(contact,), now=now)
        self._notifier = NotifierUsage(
            self.core,
            EventType("refer", str(self.request.cseq.number)),
            self._dialog,
            expires_at=now + REFER_EXPIRES_S,
            contact_user=self._dialog.local.uri.user,
            session=self._session,
            says_id=not self._is_first,
            on_end=self._unsubscribed,
        )
        self._notifier.notify(SIPFRAG, format_sipfrag(100), now=now)

    def refuse(self, status: int, reason: str | None = None, *, now: float) -> None:
        """Answer 3xx-6xx: nothing is tried."""
        self._decide("refuse")
        self.core.respond(self._server, status, reason, now=now)

    def progress(self, status: int, *, now: float) -> None:
        """Tell a 101-199 of the call that was asked for."""
        if self._notifier is not None:
            self._notifier.notify(SIPFRAG, format_sipfrag(status), now=now)

    def complete(self, status: int, reason: str = "", *, now: float) -> None:
        """Tell its final status; the last word."""
        if self._notifier is not None:
            notifier, self._notifier = self._notifier, None
            notifier.notify(
                SIPFRAG,
                format_sipfrag(status, reason),
                activity=Activity.TERMINATED,
                reason="noresource",
                now=now,
            )

    def _decide(self, what: str) -> None:
        if self._is_decided:
            raise LocalProtocolError(f"{what}: the REFER is answered already")
        self._is_decided = True

    def _unsubscribed(self, notifier: NotifierUsage, event: SubscriptionEnded, now: float) -> None:
        self._notifier = None


class Refers:
    """The REFERs of one call, in both directions."""

    def __init__(self, session: InviteUsage) -> None:
        self._session = session
        self._was_asked = False

    def __repr__(self) -> str:
        return f"<Refers of {self._session!r}>"

    def send(self, refer_to: NameAddr, referred_by: NameAddr | None, now: float) -> ReferIssuer:
        """Send one in the dialog."""
        session = self._session
        dialog = session.dialog
        headers = [session.contact, ("Refer-To", str(refer_to))]
        if referred_by is not None:
            headers.append(("Referred-By", str(referred_by)))
        request = session.core.dialog_request(dialog, "REFER", headers=headers)
        issuer = ReferIssuer(session.core, request, dialog)
        exchange = session.in_dialog.exchange_of(request, issuer.answered, issuer.failed, dialog)
        issuer.send(exchange, now)
        return issuer

    def receive(self, server: ServerTransaction, now: float) -> None:
        """Take one; what can't be done is answered so."""
        session = self._session
        is_first, self._was_asked = not self._was_asked, True
        try:
            if not session.is_answered:
                raise RemoteProtocolError("the call is not answered", 403)
            referral = ReferRecipient(session, server, is_first=is_first)
        except RemoteProtocolError as error:
            session.core.respond(server, error.status_hint, str(error), now=now)
            return
        session.tell(Referred(referral))


def _declines_subscription(request: Request) -> bool:
    """`Refer-Sub: false` (RFC 4488 §4)."""
    text = request.headers.get("Refer-Sub") or ""
    return text.partition(";")[0].strip().lower() == "false"


def _target_of(request: Request) -> tuple[Uri, Replaces | None]:
    lines = request.headers.get_all("Refer-To")
    if len(lines) != 1:
        raise RemoteProtocolError("a REFER has one Refer-To", 400)  # §2.4.1
    uri = NameAddr.parse(lines[0]).uri
    if not uri.is_sip:
        raise RemoteProtocolError("only SIP addresses can be called", 416)
    if (uri.parameter("method") or "INVITE") != "INVITE":
        raise RemoteProtocolError("only an INVITE can be referred to", 603)
    return uri.for_request(), replaces_in(uri)
