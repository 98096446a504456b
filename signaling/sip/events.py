"""What the stack tells its driver; `Stack.take_events` hands it out in the order it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType

from signaling.errors import TransportError
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, Response
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage
    from signaling.sip.notifier import NotifierUsage
    from signaling.sip.refer import ReferIssuer, ReferRecipient
    from signaling.sip.registration import RegistrationUsage

TransactionId = NewType("TransactionId", str)
"""A server transaction that waits for `Stack.respond` or `Stack.open_session`."""
RequestId = NewType("RequestId", str)
"""A request sent by `Stack.request`."""
OperationId = NewType("OperationId", int)
"""A re-INVITE, UPDATE or INFO that a session is sending; counted from 1 in each session."""


# -- of one INVITE session
# ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response above 100 (UAC).

    `sdp` is an answer; or an offer, where our INVITE held none: then
    `InviteUsage.accept(answer, fork)` is owed, and its PRACK waits for it.
    """

    status: int
    reason: str
    sdp: bytes | None = None
    fork: str = field(default="", compare=False)
    """Which of the far ends that a proxy may ring by one INVITE: its tag."""


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """The PRACK came of a 101-199 that held an offer of ours (UAS); `sdp` is the answer."""

    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The far end's 2xx came (UAC).

    `sdp` is what it says of audio now (None: nothing, also not early). Where our INVITE held no
    offer, and none was answered early, it is an offer: then the session is ANSWERED, the ACK waits,
    and `InviteUsage.accept(answer)` is owed.
    """

    sdp: bytes | None = None
    fork: str = field(default="", compare=False)
    """Which of the far ends that `Progress` told of: its tag."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of our 2xx came (UAS): once, and once more for each re-INVITE without an offer.

    `sdp` is the answer to an offer that we made in the 2xx.
    """

    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reinvited:
    """The far end offers anew, by re-INVITE, UPDATE or PRACK; None (re-INVITE) asks us to.

    `answer_reinvite` or `reject_reinvite` is owed, with the same `fork`.
    """

    sdp: bytes | None = None
    fork: str = ""
    """The tag of a far end that still rings (UAC); else empty."""


@dataclass(frozen=True, slots=True)
class ReinviteCompleted:
    """Our `reinvite` or `update` has its final status.

    Local ends: 408 time-out, 481 session over first, 503 flow lost.
    With a 2xx `sdp` is the answer, or the far end's offer where we made none: then
    `accept(answer)` is owed.
    """

    operation: OperationId
    status: int
    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """We repeated what was agreed on (RFC 4028 §7.4), and the far end answers otherwise now."""

    offer: bytes
    """As it was said before."""
    sdp: bytes


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO in the dialog (RFC 6086); already answered 200."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class InfoCompleted:
    """Our `info` has its final status. Local ends: as for `ReinviteCompleted`."""

    operation: OperationId
    status: int


@dataclass(frozen=True, slots=True)
class Referred:
    """The far end asks us to call somebody (REFER): `accept` or `refuse` of it is owed."""

    referral: ReferRecipient


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; its last event, and there is exactly one."""

    by_remote: bool
    """The far end, or the network, ended it."""
    status: int | None = None
    """The final status of a call that was not answered.

    Of an answered one: 408 where the far end stopped answering, 481 where it knows no such call."""
    reason_text: str = ""
    q850: int | None = None
    """Cause of the Reason header field (RFC 3326), where one came or was sent."""
    error: TransportError | None = None
    """Set where the flow failed."""
    contacts: tuple[NameAddr, ...] = ()
    """Where a 3xx says that the called one may be reached, the most wanted first."""
    expired: bool = False
    """Nobody refreshed it in time (RFC 4028 §10)."""


SessionEvent = (
    Progress
    | EarlyAnswer
    | Answered
    | Confirmed
    | Reinvited
    | ReinviteCompleted
    | Refreshed
    | InfoReceived
    | InfoCompleted
    | Referred
    | Ended
)


# -- of one registration
# ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar took the binding: once after each change, not at every refresh."""

    contact: Uri
    expires_s: int
    """As granted."""
    public_address: tuple[str, int] | None = None
    """Where the registrar sees us: `received` and `rport` of its response (RFC 3581)."""


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar refused or could not be reached."""

    status: int | None
    text: str
    fatal: bool
    """True: not tried again by itself (wrong password, unknown user)."""
    retry_in_s: float | None = None
    error: TransportError | None = None


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The binding was removed at our wish; the registration is over."""


@dataclass(frozen=True, slots=True)
class WayWanted:
    """The way that we had to the registrar fails, or shall be looked for anew: another is wanted.

    Told only where the driver said that it knows how to find one (RFC 3263 §4.3).
    """


RegistrationEvent = Registered | RegistrationFailed | Unregistered | WayWanted


# -- of one subscription
# ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """Nobody is notified any more."""

    status: int | None
    """What a NOTIFY was answered, where that ended it; 408 and 503 where it was not answered."""
    reason: str = ""


# -- of one REFER of ours
# ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferAccepted:
    """The far end tries; it has said nothing of the outcome."""


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """A 100-199 of the call that was asked for."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReferCompleted:
    """What became of a REFER of ours; its last event, and there is exactly one."""

    status: int | None
    """Final status of the call that was asked for, or of the REFER where that was refused.

    408 where nothing was heard in time, 503 where the flow failed. None: the far end tries, and
    does not tell."""
    reason: str = ""


ReferEvent = ReferAccepted | ReferProgress | ReferCompleted


# -- of the stack
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A request outside any dialog that needs a decision (INVITE, REGISTER, MESSAGE, …).

    Authenticate it, then answer: `Stack.respond(transaction, …)` for any method (challenges
    included), or `Stack.open_session(transaction)` for an INVITE that may proceed. Nobody is rung
    before that.
    """

    transaction: TransactionId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestAbandoned:
    """A `RequestReceived` needs no answer any more: cancelled, timed out, or its flow is gone."""

    transaction: TransactionId


@dataclass(frozen=True, slots=True)
class RequestCompleted:
    """A request of `Stack.request` has its final response, or none."""

    request: RequestId
    status: int
    """408 where nobody answered, 503 where the flow failed (RFC 3261 §8.1.3.1)."""
    response: Response | None
    error: TransportError | None = None


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """An INVITE session of ours, either role, has something to tell."""

    session: InviteUsage
    event: SessionEvent


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A registration of ours has something to tell."""

    registration: RegistrationUsage
    event: RegistrationEvent


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """A subscription at us has something to tell."""

    subscription: NotifierUsage
    event: SubscriptionEnded


@dataclass(frozen=True, slots=True)
class ReferralChanged:
    """A REFER of ours has something to tell."""

    referral: ReferIssuer
    event: ReferEvent


Event = (
    RequestReceived
    | RequestAbandoned
    | RequestCompleted
    | SessionChanged
    | RegistrationChanged
    | SubscriptionChanged
    | ReferralChanged
)
