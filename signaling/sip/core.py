"""What the parts of a stack share: configuration, events, dialogs, how our messages look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from signaling.sip.dialog import Dialog, DialogKey
from signaling.sip.events import Event
from signaling.sip.flow import Flow
from signaling.sip.grammar import lower
from signaling.sip.headers import CSeq, NameAddr, Via
from signaling.sip.layer import Trace, TransactionLayer
from signaling.sip.message import Headers, Request, respond
from signaling.sip.reliable import RELIABLE, RingReliably
from signaling.sip.replaces import Departed
from signaling.sip.retired import Retired
from signaling.sip.screening import Abilities
from signaling.sip.session_timer import OPTION_TAG as TIMER
from signaling.sip.session_timer import SessionTimerSettings
from signaling.sip.subscription import Subscriptions
from signaling.sip.transaction import ServerTransaction, TimerSettings
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage
    from signaling.sip.registration import RegistrationUsage

MAX_FORWARDS = "70"

METHODS_TAKEN = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "PRACK", "UPDATE")
"""What a session takes."""

EXTENSIONS = (RELIABLE,)
"""Option tags of what is built here."""


def no_stream(flow: Flow) -> Flow | None:
    """The way by TCP of who has none."""
    return None


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Facts of the deployment."""

    local_uri: Callable[[Flow, str | None], Uri]
    """Our URI as the far end of a flow should reach it.

    With a user it is our Contact; its host and port alone are the sent-by of our Via. It must be
    the same as long as the flow lives. A WebSocket client has
    `sip:user@<random>.invalid;transport=ws` (RFC 7118 §5)."""
    stream_for: Callable[[Flow], Flow | None] = no_stream
    """The way by TCP to who is reached by datagrams, for requests that are too large for those."""
    datagram_octets: int = 1300
    """A larger request goes by TCP, where there is a way (RFC 3261 §18.1.1)."""
    user_agent: str = "agent-endpoint"
    """User-Agent and Server header fields; empty sends none."""
    is_named_to: Callable[[Flow], bool] = lambda flow: True
    """Whether the far end of a flow is sent them."""
    allow: tuple[str, ...] = METHODS_TAKEN
    """Methods taken; a registrar adds REGISTER. Known ones not here get 405, unknown ones 501."""
    accept: tuple[str, ...] = ("application/sdp",)
    """Media types of bodies in INVITE, in lower case."""
    supported: tuple[str, ...] = EXTENSIONS
    """Option tags beside our own `timer`: what Require may name, and our Supported."""
    ring_reliably: RingReliably = RingReliably.ASKED
    info_packages: tuple[str, ...] = ()
    """What INFO may bring us (RFC 6086 §5.2.2); empty says nothing of it."""
    timers: TimerSettings = field(default_factory=TimerSettings)
    session_timer: SessionTimerSettings = field(default_factory=SessionTimerSettings)
    max_transactions: int = 5000
    """A request outside any dialog that finds so many others is refused: 503 with Retry-After.

    Those in dialogs are not counted: each dialog has a rate, see `Dialog.bears`."""
    retry_after_s: int = 5
    random: Random = field(default_factory=SystemRandom)
    """Source of branches, tags, Call-IDs, cnonces and jitter; must not be guessable."""


class Core:
    """The inside of a `Stack`, as its sessions, registrations and requests see it."""

    def __init__(self, config: StackConfig, trace: Trace | None) -> None:
        self.config = config
        self.layer = TransactionLayer(config.timers, trace)
        self.timers = self.layer.timers
        self.required = (RELIABLE,) if config.ring_reliably is RingReliably.ALWAYS else ()
        """Option tags that whoever calls us, or is called, must know."""
        self.abilities = Abilities(
            config.allow,
            config.accept,
            (*config.supported, TIMER),
            config.session_timer.minimum_s,
            self.required,
        )
        self.dialogs: dict[DialogKey, InviteUsage] = {}
        self.sessions: dict[str, InviteUsage] = {}
        self.changed: dict[InviteUsage, None] = {}
        """Sessions of which something may have to be noted, in order."""
        self.departed = Departed()
        # A first 1xx to the INVITE, a last answer to its CANCEL, and what repeats that: each may
        # take its whole time.
        self.retired = Retired(4 * config.timers.timeout_s)
        self.registrations: dict[str, RegistrationUsage] = {}
        self.subscriptions = Subscriptions()
        self._events: list[Event] = []
        self._count = 0

    def tell(self, event: Event) -> None:
        """Put an event in the queue."""
        self._events.append(event)

    def take_events(self) -> list[Event]:
        """All events, in order; handed out once."""
        events, self._events = self._events, []
        return events

    def next_id(self, prefix: str) -> str:
        """A name that is unique in this stack."""
        self._count += 1
        return f"{prefix}{self._count}"

    def token(self) -> str:
        """64 random bits, for tags, branches and Call-IDs (RFC 3261 §19.3 asks for 32)."""
        return f"{self.config.random.getrandbits(64):016x}"

    # -- requests -----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        uri: Uri,
        *,
        from_: NameAddr,
        to: NameAddr,
        call_id: str,
        cseq: int,
        routes: Iterable[NameAddr] = (),
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """A request without Via: `stamp` adds that when it is sent."""
        lines = Headers()
        lines.add("Max-Forwards", MAX_FORWARDS)
        for route in routes:
            lines.add("Route", str(route))
        lines.add("From", str(from_))
        lines.add("To", str(to))
        lines.add("Call-ID", call_id)
        lines.add("CSeq", str(CSeq(cseq, method)))
        for name, value in headers:
            lines.add(name, value)
        if self.config.user_agent and method != "ACK":
            lines.add("User-Agent", self.config.user_agent)
        if content_type is not None:
            lines.add("Content-Type", content_type)
        return Request(method, uri.for_request(), lines, body)

    def dialog_request(
        self,
        dialog: Dialog,
        method: str,
        *,
        cseq: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """A request in a dialog (§12.2.1.1); `cseq` None takes the next number."""
        uri, routes = dialog.addressing()
        return self.request(
            method,
            uri,
            from_=dialog.local,
            to=dialog.remote,
            call_id=dialog.call_id,
            cseq=dialog.next_cseq() if cseq is None else cseq,
            routes=routes,
            headers=headers,
            body=body,
            content_type=content_type,
        )

    def stamp(self, request: Request, flow: Flow) -> None:
        """Put our Via with a fresh branch on top (§18.1.1); asks where we are seen (RFC 3581)."""
        here = self.config.local_uri(flow, None)
        if not self.config.is_named_to(flow):
            request.headers.remove("User-Agent")
        via = Via(flow.transport, here.host, here.port).with_parameter(
            "branch", f"z9hG4bK{self.token()}"
        )
        if flow.transport.is_stream or not flow.reliable:  # who connects by WebSocket is nowhere
            via = via.with_parameter("rport")
        request.headers.set("Via")
        request.headers.add_first("Via", str(via))

    def stream_for(self, request: Request, flow: Flow) -> Flow | None:
        """The way for a request that is too large for a datagram (§18.1.1); None where it is not.

        Its Via must be in place: that counts too.
        """
        if flow.reliable or len(request.serialise()) <= self.config.datagram_octets:
            return None
        return self.config.stream_for(flow)

    def contact_uri(self, flow: Flow, user: str | None, *, secure: bool) -> Uri:
        """Our URI for a Contact; who is asked for by `sips` answers by `sips` (§8.1.1.8)."""
        uri = self.config.local_uri(flow, user)
        if not (secure and flow.secure):
            return uri
        kept = tuple(each for each in uri.parameters if each != ("transport", "tls"))
        return Uri("sips", uri.user, uri.password, uri.host, uri.port, kept)

    def contact(self, flow: Flow, user: str | None, *, secure: bool = False) -> tuple[str, str]:
        """Our Contact header field; that of an account, where one is registered over the flow."""
        own = (each.call_contact for each in self.registrations.values() if each.serves(flow, user))
        uri = next((uri for uri in own if uri is not None), None)
        return "Contact", str(NameAddr("", uri or self.contact_uri(flow, user, secure=secure)))

    @property
    def offer_headers(self) -> tuple[tuple[str, str], ...]:
        """What an INVITE and its 2xx say of us (§13.2.1, §13.3.1.4)."""
        return self._abilities_in_dialog(self.abilities.supported)

    @property
    def reoffer_headers(self) -> tuple[tuple[str, str], ...]:
        """The same for a re-INVITE or UPDATE: nobody rings there, so nothing of 100rel."""
        return self._abilities_in_dialog(
            tuple(tag for tag in self.abilities.supported if tag != RELIABLE)
        )

    def _abilities_in_dialog(self, supported: Sequence[str]) -> tuple[tuple[str, str], ...]:
        said = (("Supported", supported), ("Recv-Info", self.config.info_packages))
        extra = tuple((name, ", ".join(words)) for name, words in said if words)
        return (self.abilities.allow_header, *extra)

    # -- responses ----------------------------------------------------------------------------

    def respond(
        self,
        server: ServerTransaction,
        status: int,
        reason: str | None = None,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        now: float,
    ) -> None:
        """Answer by a transaction. A 503 says when to come back: without it is a 500 (§21.5.4)."""
        if status == 503 and not any(lower(name) == "retry-after" for name, _ in headers):
            headers = (*headers, ("Retry-After", str(self.config.retry_after_s)))
        response = respond(
            server.request,
            status,
            reason,
            to_tag=server.to_tag if status > 100 else None,
            headers=(*headers, *self.server_header(server.flow)),
            body=body,
            content_type=content_type,
        )
        server.respond(response, now)

    def server_header(self, flow: Flow) -> tuple[tuple[str, str], ...]:
        """Server (§20.35)."""
        if not self.config.user_agent or not self.config.is_named_to(flow):
            return ()
        return (("Server", self.config.user_agent),)
