"""The whole SIP stack behind a few verbs: receive, handle timers, take output, take events.

Sans-IO: `now` is a monotonic time in seconds given by the driver; it must never go back. **Every
mutation (any method that takes `now`) must be followed by one full drain**: `take_output`,
`take_events`, `next_deadline`, in this order. Nothing is sent or told by itself.

A driver::

    stack.receive_message(octets, flow, now)     # or session.accept(sdp, now=now), …
    for flow, octets in stack.take_output():
        transport.send(flow, octets)             # it can't? stack.flow_closed(flow, now, error)
    for event in stack.take_events(): ...
    timer.set(stack.next_deadline())             # then: stack.handle_timer(now), and drain again

An INVITE comes in two steps, so that nobody is rung before it is authenticated: first
`RequestReceived(transaction, request, flow)`; then the driver refuses it, with
`respond(transaction, 401, headers=…)`, or opens the session, with `open_session(transaction)`,
rings and accepts.

What the stack answers by itself, without keeping any state for it (RFC 3261 §8.2.7): messages
that the grammar refuses (400, 505, 513, 501), what `screening` refuses (405, 406, 415, 416, 420,
421, 501), OPTIONS (200), requests to no dialog of ours (481), merged requests (482), requests over
the limit (503).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial

from signaling.errors import RemoteProtocolError, SipParseError, TransportError
from signaling.sip import stun
from signaling.sip.answer import SDP
from signaling.sip.auth import DigestClient, DigestCredentials
from signaling.sip.core import Core, StackConfig
from signaling.sip.dialog import DialogKey
from signaling.sip.events import (
    Event,
    RequestCompleted,
    RequestId,
    TransactionId,
)
from signaling.sip.exchange import Exchange
from signaling.sip.flow import Flow
from signaling.sip.grammar import split_values
from signaling.sip.headers import NameAddr, Via
from signaling.sip.invite import InviteUsage, Role
from signaling.sip.kept import KeptCall, release
from signaling.sip.layer import Direction, Trace
from signaling.sip.message import Message, Request, Response, parse_message, respond
from signaling.sip.notifier import NotifierUsage
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.registration import RegistrationSettings, RegistrationUsage
from signaling.sip.replaces import replaced_by
from signaling.sip.screening import Refusal, screen
from signaling.sip.session_timer import SessionTimer
from signaling.sip.subscription import EventType
from signaling.sip.transaction import Failure, ServerTransaction
from signaling.sip.undecided import Undecided
from signaling.sip.uri import Uri

__all__ = ["Direction", "Stack", "StackConfig", "Trace"]

_NO_DIALOG = Refusal(481)
_IN_SESSION = ("BYE", "INVITE", "INFO", "PRACK", "REFER", "UPDATE")
_OF_SUBSCRIPTIONS = ("NOTIFY", "SUBSCRIBE")
_ONLY_IN_DIALOG = ("BYE", "INFO", "NOTIFY", "PRACK", "UPDATE")


class Stack:
    """RFC 3261's transaction, dialog and user-agent layers for one user agent."""

    def __init__(self, config: StackConfig, *, trace: Trace | None = None) -> None:
        self.config = config
        self._core = Core(config, trace)
        self._layer = self._core.layer
        self._trace = trace
        self._undecided = Undecided(self._core)
        self._requests: dict[RequestId, Exchange] = {}
        self._tag_key = self._core.token()

    def __repr__(self) -> str:
        return (
            f"<Stack sessions={self.session_count} dialogs={self.dialog_count} "
            f"transactions={self.transaction_count} timers={self.timer_count}>"
        )

    # -- driver: in ---------------------------------------------------------------------------

    def receive_message(
        self,
        octets: bytes,
        flow: Flow,
        now: float,
        message: Message | SipParseError | None = None,
    ) -> None:
        """Take one datagram, one WebSocket message or one framed stream message.

        `message` is what they are, where `framing.StreamFramer` has read them already. Never raises
        for what is in it. Keep-alives of CRLF are passed over, those of STUN are answered.
        """
        if self._trace is not None:
            self._trace(Direction.RECEIVED, flow, octets, now)
        if not octets.strip(b"\r\n\0\t "):
            return
        if not flow.reliable and stun.is_stun(octets):
            self._receive_stun(octets, flow, now)
            return
        if message is None:
            try:
                message = parse_message(octets, stream=flow.transport.is_stream)
            except SipParseError as error:
                message = error
        if isinstance(message, Response):
            self._layer.receive_response(message, now)
        elif isinstance(message, Request):
            self._receive_request(message, flow, now)
        elif isinstance(message, SipParseError):
            self._refuse_malformed(message, flow, now)

    def _receive_stun(self, octets: bytes, flow: Flow, now: float) -> None:
        """A keep-alive over UDP, or the answer to one of ours (RFC 5626 §8)."""
        answer = stun.answer(octets, flow.host, flow.port)
        if answer is not None:
            self._layer.send(flow, answer, now)
            return
        for registration in list(self._core.registrations.values()):
            registration.receive_stun(octets, flow, now)

    def flow_closed(self, flow: Flow, now: float, error: TransportError | None = None) -> None:
        """A connection is gone, or sending to a datagram peer failed (ICMP).

        Transactions on it fail at once, and registrations over it wait for `flow_available`.
        Answered calls go on. Over TCP and TLS another connection may be opened: our answers, and
        the next requests of calls, go to the address (§18.2.2).
        """
        self._layer.flow_closed(flow, now, error)
        for session in {*self._core.sessions.values(), *self._core.dialogs.values()}:
            session.flow_closed(flow)
        for registration in list(self._core.registrations.values()):
            registration.flow_closed(flow, error, now)

    def handle_timer(self, now: float) -> None:
        """Do all that is due. Early calls are harmless."""
        self._core.timers.fire(now)

    # -- driver: out --------------------------------------------------------------------------

    def take_output(self) -> list[tuple[Flow, bytes]]:
        """All that is to be sent, in order; handed out once."""
        return self._layer.take_output()

    def take_events(self) -> list[Event]:
        """All that happened, in order; handed out once."""
        return self._core.take_events()

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next; None: nothing is waited for."""
        return self._core.timers.next_deadline()

    # -- user agent client --------------------------------------------------------------------

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
        """Send an INVITE. Its life follows as `SessionChanged` events.

        `sdp` None asks the far end to offer. `credentials` are for the server at the end of `flow`.
        `contact_user` None takes the user of `from_`. Raises LocalProtocolError, and keeps nothing,
        where it can't be put on the wire.
        """
        user = from_.uri.user if contact_user is None else contact_user
        required = [("Require", ", ".join(self._core.required))] if self._core.required else []
        request = self._core.request(
            "INVITE",
            target,
            from_=from_.with_parameter("tag", self._core.token()),
            to=to,
            call_id=self._core.token(),
            cseq=1,
            routes=routes,
            headers=(
                self._core.contact(flow, user, secure=target.scheme == "sips"),
                *self._core.offer_headers,
                *required,
                *SessionTimer(self.config.session_timer).ask(),
                *headers,
            ),
            body=sdp or b"",
            content_type=SDP if sdp else None,
        )
        session = InviteUsage(
            self._core, Role.UAC, request, flow, contact_user=user, credentials=credentials
        )
        session.start(now)
        return session

    def request(self, wanted: OutOfDialogRequest, flow: Flow, *, now: float) -> RequestId:
        """Send a request outside any dialog, by `flow`. Then one `RequestCompleted`."""
        id = RequestId(self._core.next_id("r"))
        cseq = itertools.count(2)
        request = self._core.request(
            wanted.method,
            wanted.target,
            from_=wanted.from_.with_parameter("tag", self._core.token()),
            to=wanted.to,
            call_id=self._core.token(),
            cseq=1,
            routes=wanted.routes,
            headers=wanted.headers,
            body=wanted.body,
            content_type=wanted.content_type,
        )
        credentials = wanted.credentials
        exchange = Exchange(
            self._core,
            request,
            flow,
            on_response=partial(self._request_answered, id),
            on_failure=partial(self._request_failed, id),
            next_cseq=lambda: next(cseq),
            digest=DigestClient(credentials, self.config.random) if credentials else None,
        )
        exchange.start(now)
        self._requests[id] = exchange
        return id

    def forget(self, request: RequestId) -> None:
        """Wait no more for the answer to a `request`; nothing is told of it."""
        exchange = self._requests.pop(request, None)
        if exchange is not None:
            exchange.forget()

    def _request_answered(self, id: RequestId, response: Response, now: float) -> None:
        if response.status >= 200:
            self._requests.pop(id, None)
            self._core.tell(RequestCompleted(id, response.status, response))

    def _request_failed(self, id: RequestId, failure: Failure, now: float) -> None:
        self._requests.pop(id, None)
        error = self._layer.last_error if failure is Failure.TRANSPORT else None
        self._core.tell(RequestCompleted(id, failure.status, None, error))

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
        settings: RegistrationSettings | None = None,
        before: Uri | None = None,
        now: float,
    ) -> RegistrationUsage:
        """Keep `aor` registered. `flow` None waits for `RegistrationUsage.flow_available`.

        `instance` is a URN that names the device for ever (RFC 5626 §4.1), `before` what a process
        before us had bound.
        """
        registration = RegistrationUsage(
            self._core,
            registrar,
            aor,
            credentials=credentials,
            display_name=display_name,
            expires_s=expires_s,
            instance=instance,
            settings=settings or RegistrationSettings(),
            before=before,
        )
        if flow is not None:
            registration.flow_available(flow, now=now)
        return registration

    # -- user agent server --------------------------------------------------------------------

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
        """Answer a `RequestReceived`; nothing happens if it was abandoned or answered meanwhile.

        A refusal ends the transaction at once (§8.2.7): whoever floods us with requests is kept
        nowhere, and nobody is sent more of it than he asked for. A repeated request is decided on
        again.
        """
        if status < 200:
            server = self._undecided.get(transaction)
        else:
            server = self._undecided.take(transaction)
        if server is None:
            return
        self._core.respond(
            server,
            status,
            reason,
            headers=headers,
            body=body,
            content_type=content_type,
            now=now,
        )
        if status >= 300:
            server.forget()

    def open_session(self, transaction: TransactionId, *, now: float) -> InviteUsage | None:
        """Let an INVITE proceed: a session in state PROCEEDING.

        None if the caller is gone, or asks for the place of a call that it can't have (RFC 3891
        §3): it is told so.
        """
        server = self._undecided.get(transaction)
        if server is None or server.request.method != "INVITE":
            return None
        try:
            replaces = replaced_by(server.request, self._core, now)
        except RemoteProtocolError as error:
            self.respond(transaction, error.status_hint, str(error), now=now)
            return None
        self._undecided.take(transaction)
        session = InviteUsage(
            self._core,
            Role.UAS,
            server.request,
            server.source,
            contact_user=server.request.uri.user,
        )
        session.replaces = replaces
        session.adopt(server, now)
        return session

    def accept_subscription(
        self, transaction: TransactionId, expires_s: int | None = None, *, now: float
    ) -> NotifierUsage | None:
        """Grant a SUBSCRIBE outside any dialog; its first `notify` is owed at once (RFC 6665).

        `expires_s` None grants what it asks for, within MAX_EXPIRES_S. None if nobody waits for it
        any more, or its Event can't be read: then it is told so.
        """
        server = self._undecided.get(transaction)
        if server is None or server.request.method != "SUBSCRIBE":
            return None
        try:
            event = EventType.of(server.request)
        except RemoteProtocolError as error:
            self.respond(transaction, error.status_hint, str(error), now=now)
            return None
        self._undecided.take(transaction)
        return NotifierUsage.granted(self._core, event, server, expires_s, now)

    # -- for whoever comes after us -----------------------------------------------------------

    def token(self) -> str:
        """A name that nobody else has."""
        return self._core.token()

    def take_changed(self) -> list[InviteUsage]:
        """Sessions of which something may have to be noted, before the output is sent."""
        changed = list(self._core.changed)
        self._core.changed.clear()
        return changed

    def release(self, kept: KeptCall, on_done: Callable[[int], None], *, now: float) -> None:
        """End a call that a process before us has left; see `kept.release`."""
        release(self._core, kept, on_done, now)

    # -- counts -------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """No transaction, dialog, session, registration or timer is left."""
        counts = (
            self.transaction_count,
            self.dialog_count,
            self.session_count,
            self.timer_count,
            len(self._core.registrations),
            len(self._core.subscriptions),
            len(self._undecided),
            len(self._requests),
        )
        return not any(counts)

    @property
    def transaction_count(self) -> int:
        """Transactions that live, those that only absorb stragglers included."""
        return self._layer.client_count + self._layer.server_count

    @property
    def unanswered_count(self) -> int:
        """Requests of ours without a final response yet: what a driver that closes waits for."""
        return self._layer.unanswered_count

    @property
    def dialog_count(self) -> int:
        """Dialogs, early ones and those with a BYE on its way included."""
        return len(self._core.dialogs)

    @property
    def session_count(self) -> int:
        """Sessions that have not told `Ended`."""
        return len(self._core.sessions)

    @property
    def timer_count(self) -> int:
        """Timers that run."""
        return len(self._core.timers)

    # -- requests that come in ----------------------------------------------------------------

    def _receive_request(self, request: Request, source: Flow, now: float) -> None:
        flow = _stamp_source(request, source)
        server = self._layer.find_server(request)
        if server is not None:
            server.receive(request, now)
        elif request.method == "ACK":
            session = self._core.dialogs.get(_dialog_key(request))
            if session is not None:
                session.receive_ack(request, now)
        elif request.method == "CANCEL":
            self._cancel(request, flow, now)
        elif request.to.tag is not None and request.method != "REGISTER":
            self._receive_in_dialog(request, flow, source, now)
        else:
            self._receive_outside(request, flow, source, now)

    def _receive_in_dialog(self, request: Request, flow: Flow, source: Flow, now: float) -> None:
        session = self._core.dialogs.get(_dialog_key(request))
        dialog = None if session is None else session.dialog_for(request)
        dialog = dialog or self._core.subscriptions.dialog_for(request)
        refusal = screen(request, self._core.abilities)
        if dialog is None:
            self._refuse(request, flow, _NO_DIALOG, now)
        elif refusal is not None:
            self._refuse(request, flow, refusal, now)
        elif request.method != "BYE" and not dialog.bears(now):
            self._refuse(request, flow, self._busy, now)
        else:
            try:
                dialog.check_order(request)
            except RemoteProtocolError as error:
                self._refuse(request, flow, Refusal(error.status_hint), now)
                return
            server = self._layer.start_server(request, flow, source, dialog.local.tag or "", now)
            if request.method == "OPTIONS":
                self._core.respond(server, 200, headers=self._core.abilities.headers, now=now)
            elif request.method in _OF_SUBSCRIPTIONS:
                self._receive_of_subscription(request, server, now)
            elif session is None:  # its dialog lives by a subscription alone
                self._core.respond(server, 481, now=now)
            elif request.method in _IN_SESSION:
                session.receive(request, server, now)
            else:
                self._undecided.ask(server, now)

    def _receive_of_subscription(
        self, request: Request, server: ServerTransaction, now: float
    ) -> None:
        try:
            usage = self._core.subscriptions.find(request)
        except RemoteProtocolError as error:
            self._core.respond(server, error.status_hint, str(error), now=now)
            return
        if usage is None:
            self._core.respond(server, 481, now=now)
        else:
            usage.receive(request, server, now)

    def _receive_outside(self, request: Request, flow: Flow, source: Flow, now: float) -> None:
        refusal = screen(request, self._core.abilities)
        if refusal is None and request.method in _ONLY_IN_DIALOG:
            refusal = _NO_DIALOG
        if refusal is None and self._layer.find_merged(request) is not None:
            refusal = Refusal(482)  # §8.2.2.2
        if refusal is None and request.method == "OPTIONS":
            refusal = self._options
        if refusal is None and self._layer.newcomer_count >= self.config.max_transactions:
            refusal = self._busy
        if refusal is not None:
            self._refuse(request, flow, refusal, now)
            return
        server = self._layer.start_server(request, flow, source, self._core.token(), now)
        self._undecided.ask(server, now)

    @property
    def _options(self) -> Refusal:
        """The answer to OPTIONS (§11.2): what a refusal is made of, with 200."""
        return Refusal(200, self._core.abilities.headers)

    @property
    def _busy(self) -> Refusal:
        """The answer to what is too much (§21.5.4)."""
        return Refusal(503, (("Retry-After", str(self.config.retry_after_s)),))

    def _cancel(self, cancel: Request, flow: Flow, now: float) -> None:
        """§9.2: the CANCEL is answered in any case; it changes only what has no final response."""
        server = self._layer.find_cancelled(cancel)
        if server is None:
            self._refuse(cancel, flow, _NO_DIALOG, now)
            return
        self._refuse(cancel, flow, Refusal(200), now, to_tag=server.to_tag)
        if not server.is_answered:
            server.on_cancel(cancel, now)

    # -- answers without a transaction --------------------------------------------------------

    def _refuse(
        self,
        request: Request,
        flow: Flow,
        refusal: Refusal,
        now: float,
        *,
        to_tag: str | None = None,
    ) -> None:
        response = respond(
            request,
            refusal.status,
            refusal.reason,
            to_tag=to_tag or self._stateless_tag(request),
            headers=(*refusal.headers, *self._core.server_header(flow)),
        )
        self._layer.send(flow, response.serialise(), now)

    def _refuse_malformed(self, error: SipParseError, source: Flow, now: float) -> None:
        """Answer what can be answered (§8.2); bad responses and ACKs are dropped."""
        request = error.request
        if request is None:
            return
        try:
            flow = _stamp_source(request, source)
        except SipParseError:
            flow = source
        reason = f"Bad Request: {error}" if error.status_hint == 400 else None
        refusal = Refusal(error.status_hint, reason=reason)
        if error.status_hint == 501:
            refusal = Refusal(501, (self._core.abilities.allow_header,))
        self._refuse(request, flow, refusal, now)

    def _stateless_tag(self, request: Request) -> str:
        """The same for each repetition of a request (§8.2.7), and not to be guessed."""
        parts = [self._tag_key]
        parts += [request.headers.get(name) or "" for name in ("Via", "From", "Call-ID", "CSeq")]
        octets = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.sha256(octets).hexdigest()[:16]


def _dialog_key(request: Request) -> DialogKey:
    return DialogKey(request.call_id, request.to.tag or "", request.from_.tag or "")


def _stamp_source(request: Request, source: Flow) -> Flow:
    """Note in the top Via where a request came from; returns where its answers go.

    RFC 3261 §18.2.1, §18.2.2 and RFC 3581 §4. `maddr` is not followed: it would let anybody send
    our answers to anybody. Raises SipParseError for a Via that can't be read.
    """
    via = request.via
    asks_for_port = via.parameter("rport") is not None
    if via.host != source.host or asks_for_port or via.parameter("received") is not None:
        stamped: Via = via.with_parameter("received", source.host)
        if asks_for_port:
            stamped = stamped.with_parameter("rport", str(source.port))
        first, *lines = request.headers.get_all("Via")
        rest = split_values(first)[1:]
        request.headers.set("Via", ", ".join([str(stamped), *rest]), *lines)
    if source.reliable or asks_for_port:
        return source
    port = via.port or source.transport.default_port
    return Flow(source.transport, source.host, port, source.listener)
