"""The asyncio driver of the SIP stack: sockets, one timer, and calls and registrations as objects."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from signaling.errors import TransportError
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, Response
from signaling.sip.uri import Uri


class Role(StrEnum):
    UAC = "uac"
    UAS = "uas"


@dataclass(frozen=True, slots=True)
class InviteRequest:
    """What `UserAgent.invite` needs to place a call."""

    target: Uri
    """The Request-URI."""
    from_: NameAddr
    to: NameAddr
    sdp: bytes | None = None
    """Our offer; None asks the far end to offer in its 2xx."""
    flow: Flow | None = None
    """Where to send it; None resolves the target's host and uses UDP."""
    credentials: DigestCredentials | None = None
    headers: Sequence[tuple[str, str]] = ()
    contact_user: str | None = None
    """User part of our Contact; None takes the From user."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response above 100 (UAC)."""

    status: int
    reason: str
    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The far end's 2xx came (UAC). `sdp` is its answer, or its offer where we offered none."""

    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of our 2xx came (UAS). `sdp` is the answer to an offer that we made in the 2xx."""

    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reinvited:
    """The far end offers anew; call `answer_reinvite` or `reject_reinvite`."""

    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO in the dialog; already answered 200."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; the last event, and there is exactly one."""

    by_remote: bool
    status: int | None = None
    """The final status of a call that was not answered."""
    reason_text: str = ""
    q850: int | None = None
    error: TransportError | None = None


SessionEvent = Progress | Answered | Confirmed | Reinvited | InfoReceived | Ended


class InviteSession:
    """One call's signalling, in either role."""

    id: str
    call_id: str
    role: Role
    remote: NameAddr
    local: NameAddr
    request: Request
    """The INVITE that began it."""
    flow: Flow | None
    sdp: bytes | None
    """The far end's current description."""
    authenticated_user: str | None
    """Who proved to be the caller by digest (at a `SipServer`), else None."""

    def ring(self, sdp: bytes | None = None) -> None: ...
    def accept(self, sdp: bytes) -> None: ...
    def reject(
        self, status: int, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None: ...
    def cancel(self) -> None: ...
    def bye(self, q850: int | None = None) -> None: ...
    def hang_up(self, status: int = 480, q850: int | None = None) -> None:
        """Whatever the state needs: CANCEL, `reject(status)`, BYE, or nothing."""

    async def reinvite(self, sdp: bytes | None) -> tuple[int, bytes | None]:
        """Offer anew. Returns the final status and the answer."""
        ...

    def answer_reinvite(self, sdp: bytes) -> None: ...
    def reject_reinvite(self, status: int) -> None: ...
    async def info(self, content_type: str, body: bytes) -> int:
        """Send INFO in the dialog; returns the final status."""
        ...

    def events(self) -> AsyncIterator[SessionEvent]:
        """Everything that happens, in order, ending after `Ended`. One reader."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """An address of record of ours at an outside registrar."""

    name: str
    """Names the account in events."""
    aor: Uri
    credentials: DigestCredentials
    registrar: Uri | None = None
    """Where to register; None takes the address of record's host."""
    connection: str | None = None
    """The name given to `connect`; None sends over UDP to the registrar's host."""
    display_name: str = ""
    expires_s: int = 600


@dataclass(frozen=True, slots=True)
class Registered:
    account: Account
    contact: Uri
    expires_s: int


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    account: Account
    status: int | None
    text: str
    fatal: bool
    """True: not tried again before the account changes (wrong password, unknown user)."""
    error: TransportError | None = None


@dataclass(frozen=True, slots=True)
class Unregistered:
    account: Account


RegistrationEvent = Registered | RegistrationFailed | Unregistered


class RegistrationState(StrEnum):
    TRYING = "trying"
    REGISTERED = "registered"
    FAILED = "failed"
    UNREGISTERED = "unregistered"


class Registration:
    """An account that the user agent keeps registered."""

    account: Account
    state: RegistrationState
    flow: Flow | None
    """How the registrar is reached now; calls of the account go the same way."""

    def unregister(self) -> None: ...


class UserAgent:
    """Drives one `Stack`: `async with UserAgent(config) as ua`."""

    async def listen_udp(self, host: str, port: int) -> tuple[str, int]: ...
    async def websocket_route(self, request: web.Request) -> web.StreamResponse: ...
    def connect(self, name: str, url: str, ssl_context: ssl.SSLContext | None = None) -> object: ...
    def register(self, account: Account) -> Registration: ...
    def registration_events(self) -> AsyncIterator[RegistrationEvent]: ...
    async def request(
        self,
        method: str,
        target: Uri,
        *,
        from_: NameAddr,
        to: NameAddr,
        flow: Flow | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        credentials: DigestCredentials | None = None,
    ) -> Response: ...
    def invite(self, invitation: InviteRequest) -> InviteSession: ...
    def invitations(self) -> AsyncIterator[InviteSession]: ...
