"""The whole SIP stack behind five verbs: receive, hear of closed flows, handle timers, take output, take events.

Sans-IO: `now` is a monotonic time in seconds given by the driver; it must never go back. **Every mutation (any method
that takes `now`) must be followed by one full drain**: `take_output`, `take_events`, `next_deadline`, in this order.
Nothing is sent or told by itself.

A driver::

    stack.receive_message(octets, flow, now)          # or session.accept(sdp, now=now), stack.handle_timer(now), …
    for flow, octets in stack.take_output(): transport.send(flow, octets)
    for event in stack.take_events(): ...
    timer.set(stack.next_deadline())

An INVITE comes in two steps, so that nobody is rung before it is authenticated: `RequestReceived(transaction, request,
flow)` first; then the driver either refuses (`respond(transaction, 401, headers=digest_server.challenges(…))`) or
opens the session (`open_session(transaction)`), rings and accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random, SystemRandom

from signaling.errors import TransportError
from signaling.sip.auth import DigestCredentials
from signaling.sip.events import Event, RequestId, TransactionId
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage
from signaling.sip.registration import RegistrationUsage
from signaling.sip.transaction import TimerSettings
from signaling.sip.uri import Uri


class Direction(StrEnum):
    """Which way a traced message went."""

    RECEIVED = "received"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Facts of the deployment."""

    local_uri: Callable[[Flow, str | None], Uri]
    """Our URI as the far end of a flow should reach it: Contact (with a user) and, its host and port alone, Via.

    For a WebSocket client it is `sip:user@<random>.invalid;transport=ws` (RFC 7118 §5): see `websocket_local_uri`."""
    user_agent: str = "agent-endpoint"
    """User-Agent and Server header fields; empty sends none."""
    allow: tuple[str, ...] = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO")
    """Methods taken; a registrar adds REGISTER. Known methods that are missing get 405, unknown ones 501."""
    accept: tuple[str, ...] = ("application/sdp",)
    """Media types of bodies in INVITE."""
    supported: tuple[str, ...] = ()
    """Option tags: what Require may name, and our Supported."""
    timers: TimerSettings = field(default_factory=TimerSettings)
    max_transactions: int = 5000
    """More server transactions than these are refused: 503 with Retry-After."""
    retry_after_s: int = 5
    random: Random = field(default_factory=SystemRandom)
    """Source of branches, tags, Call-IDs, cnonces and jitter."""


class Stack:
    """RFC 3261's transaction, dialog and user-agent layers for one user agent (client and server)."""

    def __init__(
        self,
        config: StackConfig,
        *,
        trace: Callable[[Direction, Flow, bytes, float], None] | None = None,
    ) -> None: ...

    # -- driver: in ---------------------------------------------------------------------------------------------

    def receive_message(self, octets: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, one WebSocket message or one framed stream message. Never raises for what is in it."""

    def flow_closed(self, flow: Flow, now: float, error: TransportError | None = None) -> None:
        """A connection is gone, or sending to a datagram peer failed (ICMP). Transactions on it fail at once."""

    def handle_timer(self, now: float) -> None:
        """Do all that is due. Early calls are harmless."""

    # -- driver: out --------------------------------------------------------------------------------------------

    def take_output(self) -> list[tuple[Flow, bytes]]:
        """All that is to be sent, in order; handed out once."""

    def take_events(self) -> list[Event]:
        """All that happened, in order; handed out once."""

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next; None: nothing is waited for."""

    # -- user agent client --------------------------------------------------------------------------------------

    def invite(
        self,
        target: Uri,
        flow: Flow,
        *,
        from_: NameAddr,
        to: NameAddr,
        sdp: bytes | None,
        credentials: DigestCredentials | None = None,
        headers: Sequence[tuple[str, str]] = (),
        contact_user: str | None = None,
        routes: Sequence[NameAddr] = (),
        now: float,
    ) -> InviteUsage:
        """Send an INVITE. `sdp` None asks the far end to offer. Its life follows as `SessionChanged` events."""

    def request(
        self,
        method: str,
        target: Uri,
        flow: Flow,
        *,
        from_: NameAddr,
        to: NameAddr,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        credentials: DigestCredentials | None = None,
        now: float,
    ) -> RequestId:
        """Send a request outside any dialog (not INVITE, ACK, CANCEL). Then one `RequestCompleted`."""

    def register(
        self,
        registrar: Uri,
        aor: Uri,
        flow: Flow | None,
        *,
        credentials: DigestCredentials,
        display_name: str = "",
        expires_s: int = 600,
        instance: str | None = None,
        now: float,
    ) -> RegistrationUsage:
        """Keep `aor` registered. `flow` None waits for `RegistrationUsage.flow_available`."""

    # -- user agent server --------------------------------------------------------------------------------------

    def respond(
        self,
        transaction: TransactionId,
        status: int,
        reason: str | None = None,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        now: float,
    ) -> None:
        """Answer a `RequestReceived`. To one that was abandoned or answered meanwhile: nothing happens."""

    def open_session(self, transaction: TransactionId, *, now: float) -> InviteUsage | None:
        """Let an INVITE proceed: a session in state PROCEEDING. None if the caller is gone meanwhile."""

    # -- counts -------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """No transaction, dialog, session, registration or timer is left."""

    @property
    def transaction_count(self) -> int: ...
    @property
    def dialog_count(self) -> int: ...
    @property
    def session_count(self) -> int: ...
    @property
    def timer_count(self) -> int: ...
