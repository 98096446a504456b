"""One call's signalling as an object of the event loop: the driver's side of `InviteUsage`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signaling.errors import LocalProtocolError, TransportError
from signaling.mailbox import Mailbox
from signaling.referral import Refer, Referred
from signaling.sip.auth import DigestCredentials
from signaling.sip.events import (
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    InfoCompleted,
    InfoReceived,
    OperationId,
    Progress,
    Refreshed,
    ReinviteCompleted,
    Reinvited,
)
from signaling.sip.events import Referred as UsageReferred
from signaling.sip.events import SessionEvent as UsageEvent
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage, Role
from signaling.sip.message import Request
from signaling.sip.offers import OfferSource
from signaling.sip.refer import ReferIssuer
from signaling.sip.replaces import Replaces
from signaling.sip.uri import Uri

SessionEvent = (
    Progress
    | EarlyAnswer
    | Answered
    | Confirmed
    | Reinvited
    | Refreshed
    | InfoReceived
    | Referred
    | Ended
)
"""What `InviteSession.events` yields. Operations that are awaited answer their caller instead."""


@dataclass(frozen=True, slots=True)
class InviteRequest:
    """What `UserAgent.invite` needs to place a call."""

    target: Uri
    """The Request-URI."""
    from_: NameAddr
    to: NameAddr
    sdp: bytes | None = None
    """Our offer; None asks the far end to offer in its 2xx, or in a reliable 101-199."""
    flow: Flow | None = None
    """Where to send it; None goes where the first of `routes`, or the target, leads (RFC 3263)."""
    by: str | None = None
    """The connections to use then, see `UserAgent.open_streams`; None: those of nobody in
    particular."""
    credentials: DigestCredentials | None = None
    headers: Sequence[tuple[str, str]] = ()
    contact_user: str | None = None
    """User part of our Contact; None takes the From user."""
    routes: Sequence[NameAddr] = ()
    """The proxies on the way; the first one is at the end of the flow."""


class Driver(Protocol):
    """What a session needs of its user agent."""

    @property
    def is_closing(self) -> bool:
        """It is being left: nothing new is begun, or let in."""

    def now(self) -> float:
        """The loop's clock."""

    def drain(self) -> None:
        """Send and tell what the last mutation of the stack brought."""

    def follow_refer(self, issuer: ReferIssuer) -> Refer:
        """What becomes of a REFER of ours, from the next `drain` on."""

    def session_of(self, usage: InviteUsage) -> InviteSession | None:
        """The session that a usage belongs to, while it lives."""


class InviteSession:
    """One call, in either role. `Ended` is its last event, and there is exactly one.

    Methods raise LocalProtocolError in a state that forbids them, except `hang_up`, which fits
    every state. A UAC session whose target is still being resolved has no `request` yet.
    """

    def __init__(
        self,
        id: str,
        driver: Driver,
        usage: InviteUsage | None = None,
        *,
        local: NameAddr,
        remote: NameAddr,
        authenticated_user: str | None = None,
        replaces: InviteSession | None = None,
    ) -> None:
        self.id = id
        """Unique in this user agent."""
        self.replaces = replaces
        """The call that this one takes over: it ends when this one is answered (RFC 3891)."""
        self.authenticated_user = authenticated_user
        """Who proved to be the caller by digest (at a `SipServer`), else None."""
        self._driver = driver
        self._usage = usage
        self._local = local
        self._remote = remote
        self._mailbox: Mailbox[SessionEvent] = Mailbox()
        self._operations: dict[OperationId, asyncio.Future[tuple[int, bytes | None]]] = {}
        self._ended: Ended | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "live"
        return f"<InviteSession {self.id} {self.role} {self.remote.uri} {state}>"

    # -- what it is --------------------------------------------------------------------------------

    @property
    def role(self) -> Role:
        """Which end of the INVITE we are."""
        return self._usage.role if self._usage is not None else Role.UAC

    @property
    def call_id(self) -> str:
        """The Call-ID; empty before the INVITE was sent."""
        return self._usage.call_id if self._usage is not None else ""

    @property
    def local(self) -> NameAddr:
        """Our address, From or To."""
        return self._usage.local if self._usage is not None else self._local

    @property
    def remote(self) -> NameAddr:
        """The far end's address, To or From."""
        return self._usage.remote if self._usage is not None else self._remote

    @property
    def request(self) -> Request:
        """The INVITE that began it. Raises LocalProtocolError before it was sent."""
        return self._begun().request

    @property
    def flow(self) -> Flow | None:
        """How the far end is reached; None before the INVITE was sent."""
        return self._usage.flow if self._usage is not None else None

    @property
    def remote_target(self) -> Uri | None:
        """How the far end names itself in the dialog; None while there is none."""
        return self._usage.remote_target if self._usage is not None else None

    @property
    def sdp(self) -> bytes | None:
        """The far end's current description."""
        return self._usage.sdp if self._usage is not None else None

    @property
    def is_heard(self) -> bool:
        """Whether anything came back for our INVITE, `100 Trying` too."""
        return self._usage is not None and self._usage.is_heard

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it lives."""
        return self._ended

    # -- UAS ---------------------------------------------------------------------------------------

    @property
    def rings_reliably(self) -> bool:
        """Whether what `ring` says is acknowledged (PRACK); see `InviteUsage.rings_reliably`."""
        return self._usage is not None and self._usage.rings_reliably

    def ring(self, sdp: bytes | None = None) -> None:
        """Send 180, or 183 with a description for early media."""
        self._begun().ring(sdp, now=self._driver.now())
        self._driver.drain()

    def accept(self, sdp: bytes, fork: str = "") -> None:
        """UAS: answer 200. UAC: answer the offer that came in a 101-199 or a 2xx.

        It goes in the PRACK or the ACK.
        """
        self._begun().accept(sdp, fork, now=self._driver.now())
        self._driver.drain()

    def reject(
        self, status: int, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Refuse with 3xx-6xx."""
        self._begun().reject(status, reason, headers, now=self._driver.now())
        self._driver.drain()

    # -- either end --------------------------------------------------------------------------------

    def cancel(self, q850: int | None = None) -> None:
        """Take back an INVITE that is not answered (UAC)."""
        if self._usage is None:
            self._abandon()
            return
        self._usage.cancel(q850, now=self._driver.now())
        self._driver.drain()

    def bye(self, q850: int | None = None) -> None:
        """End an answered call."""
        self._begun().bye(q850, now=self._driver.now())
        self._driver.drain()

    def hang_up(
        self,
        status: int = 480,
        q850: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Whatever the state needs: CANCEL, `reject(status)`, BYE, or nothing. Never raises.

        `headers` go with a refusal.
        """
        if self._ended is not None:
            return
        if self._usage is None:
            self._abandon()
            return
        self._usage.hang_up(status, q850, headers, now=self._driver.now())
        self._driver.drain()

    async def reinvite(self, offer: OfferSource, fork: str = "") -> tuple[int, bytes | None]:
        """Offer anew (None: ask for an offer). Returns the final status and its description.

        A call that rings is offered anew by UPDATE, where `may_update`. Local ends: 408 time-out,
        481 where the session ended first, 503 where the flow was lost.
        """
        operation = self._begun().reinvite(offer, fork, now=self._driver.now())
        return await self._completed(operation)

    async def update(self, offer: OfferSource, fork: str = "") -> tuple[int, bytes | None]:
        """The same by UPDATE in any case; None offers nothing."""
        operation = self._begun().update(offer, fork, now=self._driver.now())
        return await self._completed(operation)

    def may_update(self, fork: str = "") -> bool:
        """Whether UPDATE can be sent: the far end takes it, and the first offer is answered."""
        return self._usage is not None and self._usage.may_update(fork)

    def answer_reinvite(self, sdp: bytes, fork: str = "") -> bool:
        """Answer `Reinvited` with 200. False: it was taken back, and what was agreed stands."""
        is_answered = self._begun().answer_reinvite(sdp, fork, now=self._driver.now())
        self._driver.drain()
        return is_answered

    def reject_reinvite(
        self, status: int, fork: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Refuse `Reinvited`; the session stays as it was."""
        self._begun().reject_reinvite(status, fork, headers, now=self._driver.now())
        self._driver.drain()

    async def info(
        self, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> int:
        """Send INFO in the dialog; returns the final status. Local ends: as for `reinvite`."""
        operation = self._begun().info(content_type, body, headers, now=self._driver.now())
        status, _ = await self._completed(operation)
        return status

    def refer(self, refer_to: NameAddr, *, referred_by: NameAddr | None = None) -> Refer:
        """Ask the far end of an answered call to call somebody (RFC 3515).

        What becomes of it is told by the `Refer` alone; the call itself goes on until somebody ends
        it.
        """
        issuer = self._begun().refer(refer_to, referred_by=referred_by, now=self._driver.now())
        refer = self._driver.follow_refer(issuer)
        self._driver.drain()
        return refer

    def replaces_header(self) -> str:
        """What lets who is told it take our place with the far end. Raises LocalProtocolError."""
        return str(Replaces.of(self._begun().dialog))

    def events(self) -> AsyncIterator[SessionEvent]:
        """Everything that happens, in order; ends after `Ended`. One reader."""
        return self._mailbox

    # -- for the user agent ------------------------------------------------------------------------

    def follow(self, flow: Flow, names: Callable[[Uri], bool] | None = None) -> None:
        """The far end is reached over another flow from now on: if its Contact is so named."""
        if self._usage is not None:
            target = self._usage.remote_target
            if names is None or (target is not None and names(target)):
                self._usage.use_flow(flow)

    def is_with(self, user: str) -> bool:
        """Whether the far end is a phone of that user: it has proved it, or was called so."""
        if self.role is Role.UAC:
            return self.remote.uri.user == user
        return self.authenticated_user == user

    def begin(self, usage: InviteUsage) -> None:
        """The INVITE is sent."""
        self._usage = usage

    def begin_again(self) -> None:
        """It is about to be sent another way: there was no answer by the last one."""
        self._usage = None

    def fail(self, error: TransportError) -> None:
        """The far end can't be reached at all."""
        for operation in list(self._operations):
            self._complete(operation, 503, None)
        self.deliver(Ended(by_remote=True, status=503, reason_text=str(error), error=error))

    def deliver(self, event: UsageEvent) -> None:
        """Tell the reader, or whoever waits for an operation."""
        match event:
            case ReinviteCompleted(operation, status, sdp):
                self._complete(operation, status, sdp)
            case InfoCompleted(operation, status):
                self._complete(operation, status, None)
            case Ended():
                self._ended = event
                self._mailbox.put(event)
                self._mailbox.close()
            case UsageReferred(referral):
                usage = referral.replaced
                replaced = None if usage is None else self._driver.session_of(usage)
                self._mailbox.put(Referred(referral, self._driver, replaced))
            case (
                Progress()
                | EarlyAnswer()
                | Answered()
                | Confirmed()
                | Reinvited()
                | Refreshed()
                | InfoReceived()
            ):
                self._mailbox.put(event)

    def _begun(self) -> InviteUsage:
        if self._usage is None:
            raise LocalProtocolError("the INVITE is not sent yet: its target is being resolved")
        return self._usage

    def _abandon(self) -> None:
        if self._ended is None:
            self.deliver(Ended(by_remote=False, status=487, reason_text="Request Terminated"))

    async def _completed(self, operation: OperationId) -> tuple[int, bytes | None]:
        waiter: asyncio.Future[tuple[int, bytes | None]]
        waiter = asyncio.get_running_loop().create_future()
        self._operations[operation] = waiter
        self._driver.drain()
        return await waiter

    def _complete(self, operation: OperationId, status: int, sdp: bytes | None) -> None:
        waiter = self._operations.pop(operation, None)
        if waiter is not None and not waiter.done():
            waiter.set_result((status, sdp))
