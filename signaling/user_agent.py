"""The asyncio driver of the SIP stack: sockets, one timer, calls and registrations as objects."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from aiohttp import web

from signaling.account import (
    Account,
    Accounts,
    ContactKeeper,
    Registered,
    Registration,
    RegistrationEvent,
    RegistrationFailed,
    Unregistered,
)
from signaling.admission import Admission
from signaling.agent_config import UserAgentConfig
from signaling.decisions import Admit, AdmitSubscription, Answer, Decision, RequestHandler
from signaling.errors import LocalProtocolError, SipParseError, TransportError
from signaling.keeping import FORGET_S, CallKeeper, Keeping, KeptCall
from signaling.mailbox import Mailbox
from signaling.peers import TrustedPeers
from signaling.placing import Placing
from signaling.referral import Refer, Referred
from signaling.requests import LEFT, Requests
from signaling.session import InviteRequest, InviteSession, SessionEvent
from signaling.sip.core import EXTENSIONS
from signaling.sip.events import (
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    Event,
    InfoReceived,
    Progress,
    ReferAccepted,
    ReferCompleted,
    ReferProgress,
    ReferralChanged,
    Refreshed,
    RegistrationChanged,
    Reinvited,
    RequestAbandoned,
    RequestCompleted,
    RequestReceived,
    SessionChanged,
    SubscriptionChanged,
)
from signaling.sip.flow import Flow
from signaling.sip.guard import Guard, SourceBanned, SourceLimited
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage, Role
from signaling.sip.liveness import (
    Liveness,
    LivenessEvent,
    LivenessSettings,
    LivenessState,
    PeerDown,
    PeerUp,
)
from signaling.sip.message import Message, Request
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.refer import ReferIssuer
from signaling.sip.registration import RegistrationState
from signaling.sip.reliable import RingReliably
from signaling.sip.stack import Direction, Stack, StackConfig
from signaling.sip.stun import is_stun
from signaling.sip.uri import Uri
from signaling.supervision import Supervision
from signaling.transport import DatagramTransport
from signaling.transport.layer import STREAMS, TransportLayer, TransportSettings
from signaling.transport.stream import PING
from signaling.transport.tls import TlsPolicy
from signaling.transport.websocket import ConnectionState, WebSocketClient
from signaling.watch import Watch

__all__ = [
    "EXTENSIONS",
    "Account",
    "Admit",
    "AdmitSubscription",
    "Answer",
    "Answered",
    "Confirmed",
    "EarlyAnswer",
    "Ended",
    "InfoReceived",
    "InviteRequest",
    "InviteSession",
    "LivenessEvent",
    "LivenessSettings",
    "LivenessState",
    "OutOfDialogRequest",
    "PeerDown",
    "PeerUp",
    "Progress",
    "Refer",
    "ReferAccepted",
    "ReferCompleted",
    "ReferProgress",
    "Referred",
    "Refreshed",
    "Registered",
    "Registration",
    "RegistrationEvent",
    "RegistrationFailed",
    "RegistrationState",
    "Reinvited",
    "RequestCompleted",
    "RingReliably",
    "Role",
    "SessionEvent",
    "TransportSettings",
    "Unregistered",
    "UserAgent",
    "UserAgentConfig",
    "Watch",
]

log = structlog.get_logger(__name__)

ANONYMOUS = "anonymous.invalid"
"""The host of who need not say who it is (RFC 3261 §8.1.1.3, RFC 3323 §4.1)."""


class UserAgent:
    """Drives one `Stack`: `async with UserAgent(config) as ua`.

    Leaving hangs up what lives and un-registers, within `close_timeout_s`, then closes all
    sockets. All methods belong to the event loop that it was entered in.
    """

    def __init__(
        self,
        config: UserAgentConfig | None = None,
        *,
        handler: RequestHandler | None = None,
        on_flow_closed: Callable[[Flow], None] | None = None,
        trace: Callable[[Direction, Flow, bytes, float], None] | None = None,
        supervision: Supervision | None = None,
        keeper: CallKeeper | None = None,
        contact_keeper: ContactKeeper | None = None,
    ) -> None:
        """`supervision` keeps our connections alive, and counts.

        `keeper` is told of each call before anything is sent for it: see `end_left_over`;
        `contact_keeper` of what accounts have bound, and knows what they had.
        """
        self.config = config or UserAgentConfig()
        self._supervision = supervision or Supervision()
        self._on_flow_closed = on_flow_closed
        self._peers = TrustedPeers(self.config.trusted_peers)
        exempt = TrustedPeers((*self.config.trusted_peers, *self.config.exempt))
        self.guard = Guard(self.config.guard, exempt.__contains__)
        """What is not read, and whom it has banned."""
        self.banned: Mailbox[SourceBanned] = Mailbox(1000)  # of a reader that is not there
        """Bans as they begin; ends when the agent is left. One reader."""
        hidden = TrustedPeers(self.config.hide_from)
        self._layer = TransportLayer(
            self, self.config.transport, self.config.random, self._supervision
        )
        self._stack = Stack(
            StackConfig(
                local_uri=self._layer.local_uri,
                stream_for=self._layer.stream_for,
                user_agent=self.config.name,
                is_named_to=lambda flow: flow.host not in hidden,
                allow=self.config.allow,
                supported=self.config.supported,
                ring_reliably=self.config.ring_reliably,
                info_packages=self.config.info_packages,
                session_timer=self.config.session_timer,
                timers=self.config.timers,
                retry_after_s=self.config.calls.retry_after_s,
                random=self.config.random,
            ),
            trace=trace,
        )
        self._accounts = Accounts(
            self._stack,
            self,
            first_delay_s=self.config.transport.websocket.first_delay_s,
            maximum_delay_s=self.config.transport.websocket.maximum_delay_s,
            random=self.config.random,
            keeper=contact_keeper,
        )
        self._clients: dict[str, WebSocketClient] = {}
        self._connections: dict[str, Flow] = {}
        self._open_flows: set[Flow] = set()
        self._sessions: dict[str, InviteSession] = {}
        self._placing = Placing(self._stack, self._layer, self, self._sessions, self._spawn)
        self._refers: dict[str, Refer] = {}
        self._requests = Requests(self._stack, self._layer, self)
        self._watches: list[Watch] = []
        self._invitations: Mailbox[InviteSession] = Mailbox()
        self._keeping = Keeping(self._stack, self._layer, self, keeper)
        self._numbers = itertools.count(1)
        self._admission = Admission(
            self._stack,
            self,
            self.config,
            handler or self._decide,
            self._sessions,
            self._invitations,
            self._next_name,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self.is_closing = False
        """For sessions: see `Driver`."""
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def transaction_count(self) -> int:
        """How many SIP transactions live, those that wait for their last timer among them."""
        return self._stack.transaction_count

    def __repr__(self) -> str:
        return (
            f"<UserAgent {self.config.name} {self._layer} "
            f"sessions={len(self._sessions)} accounts={len(self._accounts)}>"
        )

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._hang_up_all()
        finally:
            await self._layer.close()
            for task in list(self._tasks):
                task.cancel()
            try:
                # The body's error is its caller's, unwrapped; a cancellation may be our group's.
                if isinstance(error, asyncio.CancelledError):
                    await self._group.__aexit__(kind, error, traceback)
                else:
                    await self._group.__aexit__(None, None, None)
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                self._accounts.events.close()
                self.banned.close()
                self._abandon()

    # -- ways in and out ---------------------------------------------------------------------------

    async def listen_udp(self, host: str, port: int) -> tuple[str, int]:
        """Bind a UDP socket, IPv4 or IPv6; returns the bound address. Raises TransportError."""
        return await self._layer.listen_udp(host, port)

    async def listen_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Accept TCP connections; returns the bound address. Raises TransportError."""
        return await self._layer.listen_stream(host, port, None)

    async def listen_tls(
        self, host: str, port: int, ssl_context: ssl.SSLContext
    ) -> tuple[str, int]:
        """Accept TLS connections, see `tls.server_context`; returns the bound address.

        Raises TransportError.
        """
        return await self._layer.listen_stream(host, port, ssl_context)

    async def listen_websocket(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None = None,
        path: str = "/sip",
    ) -> tuple[str, int]:
        """Serve `websocket_route` by an HTTP server of our own; returns the bound address."""
        return await self._layer.listen_websocket(host, port, ssl_context=ssl_context, path=path)

    async def websocket_route(self, request: web.Request) -> web.StreamResponse:
        """The aiohttp handler for SIP over WebSocket, for an HTTP server that somebody else owns.

        Leave the user agent before that server is shut down: it closes the WebSockets.
        """
        return await self._layer.websocket_route(request)

    def connect(
        self, name: str, url: str, ssl_context: ssl.SSLContext | None = None
    ) -> WebSocketClient:
        """Keep a WebSocket to an outside server open; returns at once.

        Accounts and invitations go over it by its name and its `flow`.
        """
        self._check_open()
        client = self._layer.connect(name, url, ssl_context, self._client_changed)
        self._clients[name] = client
        self._spawn(self._supervision.keep(f"connection {name}", client.run))
        return client

    def open_streams(self, name: str, tls: TlsPolicy | None = None) -> None:
        """Have TCP and TLS connections of that name, for `flow_to`: for an account, or a trunk.

        `tls` says whose certificates are believed. Far ends are told to come back over these very
        connections, and what they ask there is taken as from a server of ours.
        """
        self._check_open()
        self._layer.open_streams(name, tls)

    async def flow_to(self, target: Uri, by: str = STREAMS) -> Flow:
        """The way to a URI; opens a TCP or TLS connection, or uses one again, where it asks for it.

        `by` names connections of `open_streams`. Raises TransportError, and CertificateRefused.
        """
        return await self._layer.flow_to(target, by)

    async def disconnect(self, name: str) -> None:
        """Close what `connect` or `open_streams` keeps open for good. Harmless if unknown."""
        self._clients.pop(name, None)
        if name in self._layer:
            await self._layer.remove(name)

    def attach(self, transport: DatagramTransport) -> None:
        """Use a datagram transport made elsewhere: another socket, or a `MemoryTransport`."""
        self._layer.attach(transport)

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """Address and port of our end of a flow; None where that is not known."""
        return self._layer.local_address(flow)

    @property
    def is_listening(self) -> bool:
        """Whether every listener takes what comes."""
        return self._layer.is_listening

    def keep(self, flow: Flow) -> None:
        """A flow's user has proved who it is: no idle limit, and the guard knows it."""
        self._layer.keep(flow)
        self.guard.know(flow, self.now())

    def distrust(self, flow: Flow, user: str | None) -> None:
        """A flow's user gave a wrong digest: the guard counts those."""
        self.guard.failed(flow, user, self.now())
        self._heed_guard()

    # -- registrations -----------------------------------------------------------------------------

    def register(self, account: Account) -> Registration:
        """Keep an account registered until `Registration.unregister`. What happens comes as events.

        Raises LocalProtocolError where `connect` was not called for its connection.
        """
        self._check_open()
        flow: Flow | None = None
        if account.connection is not None:
            if account.connection not in self._layer:
                raise LocalProtocolError(f"there is no connection named {account.connection}")
            flow = self._connections.get(account.connection)
        registration = self._accounts.register(account, flow)
        if account.connection is None:
            self._layer.open_streams(account.name, account.tls)
            locate = partial(self._keep_located, registration)
            self._spawn(self._supervision.keep(f"way to {account.registrar_uri}", locate))
        elif account.connection in self._clients:
            self._client_changed(self._clients[account.connection])
        return registration

    async def _keep_located(self, registration: Registration) -> None:
        await self._accounts.keep_located(registration, self._layer)
        await self.disconnect(registration.account.name)

    def is_server_of_ours(self, flow: Flow) -> bool:
        """Whether a flow leads to a server that we connected to, or hold an account at."""
        if flow.transport.is_stream and self._layer.is_ours(flow):
            return True  # one of several, where a server has several addresses
        return self._connections.get(flow.listener) == flow or self._accounts.leads_to(flow)

    def is_open(self, flow: Flow) -> bool:
        """Whether something can be sent on a flow without connecting; datagrams always can."""
        return flow in self._open_flows or not flow.reliable

    def came_back(self, user: str, names: Callable[[Uri], bool], flow: Flow) -> None:
        """Calls of a user whose connection was lost go on over this one, where it is theirs.

        `names` knows the Contact of the far end that came back: as it says, so it is not asked of
        calls with anybody else.
        """
        for session in self._stranded():
            if session.is_with(user):
                session.follow(flow, names)
        self._keeping.came_back(user, flow)

    def _stranded(self) -> list[InviteSession]:
        """Calls whose connection was lost."""
        live = self._sessions.values()
        return [each for each in live if each.flow is not None and not self.is_open(each.flow)]

    def registration_events(self) -> AsyncIterator[RegistrationEvent]:
        """What becomes of all accounts, in order; ends when the user agent is left. One reader."""
        return self._accounts.events

    def _client_changed(self, client: WebSocketClient) -> None:
        if client.state is ConnectionState.WAITING and client.error is not None:
            self._accounts.unreachable(client.name, client.error)

    # -- calls and requests ------------------------------------------------------------------------

    def invite(self, invitation: InviteRequest) -> InviteSession:
        """Place a call; returns at once.

        A target that can't be reached, or written down, ends the session with an error.
        """
        session = InviteSession(
            self._next_name(),
            self,
            local=invitation.from_,
            remote=invitation.to,
        )
        if self.is_closing:
            session.fail(TransportError(LEFT))
        else:
            self._placing.place(session, invitation)
        return session

    def _next_name(self) -> str:
        return f"call-{next(self._numbers)}"

    def sessions(self) -> list[InviteSession]:
        """The calls that live."""
        return list(self._sessions.values())

    def invitations(self) -> AsyncIterator[InviteSession]:
        """Calls that come in, to ring, accept or reject; ends with the agent. One reader."""
        return self._invitations

    def end_left_over(self, left: Mapping[str, KeptCall]) -> None:
        """End the calls that a process before us has left, as its `keeper` has them.

        By a connection of ours that is not up yet: when it is.
        """
        if left:
            self._keeping.release(left, self._connections)
            self._spawn(self._forget_left_over())

    async def _forget_left_over(self) -> None:
        await asyncio.sleep(FORGET_S)
        self._keeping.forget()

    async def request(self, wanted: OutOfDialogRequest) -> RequestCompleted:
        """Send a request outside any dialog and wait for its final response (408, 503 if none).

        Raises TransportError where the target's name can't be resolved, or the agent was left.
        """
        if self.is_closing:
            raise TransportError(LEFT)
        return await self._requests.request(wanted)

    def watch(
        self,
        target: Uri,
        *,
        from_: NameAddr | None = None,
        flow: Flow | None = None,
        settings: LivenessSettings | None = None,
    ) -> Watch:
        """Ask a peer by OPTIONS whether it lives, until `Watch.stop`; returns at once.

        Without a flow the target's host is resolved for each probe. `from_` None says nobody.
        """
        self._check_open()
        chosen = settings or LivenessSettings()
        watch = Watch(
            self,
            Liveness(chosen, self.config.random, now=self.now()),
            chosen,
            target,
            from_=from_ or NameAddr("", Uri("sip", host=ANONYMOUS)),
            flow=flow,
        )
        watch.start(self._spawn)
        self._watches.append(watch)
        return watch

    # -- the stack's driver ------------------------------------------------------------------------

    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()

    def drain(self) -> None:
        """Send and tell all that the last mutation of the stack brought, then set the timer."""
        while True:
            self._keeping.note()
            failed: dict[Flow, TransportError] = {}
            for flow, octets in self._stack.take_output():
                if flow not in failed and self._may_send(flow, octets):
                    try:
                        self._layer.send(flow, octets)
                    except TransportError as failure:
                        failed[flow] = failure
            for event in self._stack.take_events():
                self._dispatch(event)
            if not failed:
                break
            for flow, error in failed.items():
                self._stack.flow_closed(flow, self.now(), error)
        self._set_timer()
        if self.is_closing and not (
            self._sessions or self._accounts or self._stack.unanswered_count
        ):
            self._quiet.set()

    def follow_refer(self, issuer: ReferIssuer) -> Refer:
        """For sessions: see `Driver`."""
        refer = self._refers[issuer.id] = Refer()
        return refer

    def session_of(self, usage: InviteUsage) -> InviteSession | None:
        """For sessions: see `Driver`."""
        return self._sessions.get(usage.id)

    def received(
        self, octets: bytes, flow: Flow, message: Message | SipParseError | None = None
    ) -> None:
        """For transports: one message came; `message` is what it is, where that is read already."""
        if self._admits(flow, len(octets)):
            self._stack.receive_message(octets, flow, self.now(), message)
            self.drain()

    def pinged(self, flow: Flow) -> bool:
        """For transports: a keep-alive came, which counts as a message; whether it is answered."""
        return self._admits(flow, len(PING))

    def _admits(self, flow: Flow, size: int) -> bool:
        admitted = self.guard.admits(flow, size, self.now())
        if not admitted:
            self._heed_guard()
        return admitted

    def _may_send(self, flow: Flow, octets: bytes) -> bool:
        """Who is sent a request is known from then on; an answer may be too much for a stranger."""
        if octets.startswith(b"SIP/2.0 ") or is_stun(octets):
            return self.guard.may_answer(flow, len(octets), self.now())
        self.guard.know(flow, self.now())
        return True

    def _heed_guard(self) -> None:
        for notice in self.guard.take_notices():
            match notice:
                case SourceBanned(ban, for_s):
                    self.banned.put(notice)
                    log.warning(
                        "source banned: too many wrong passwords",
                        source=ban.source,
                        user=ban.user,
                        failures=ban.failures,
                        for_s=round(for_s),
                    )
                case SourceLimited(source):
                    log.warning("messages dropped: over the rate", source=source)

    def opened(self, flow: Flow) -> None:
        """For transports: a connection is up."""
        self._open_flows.add(flow)
        if not self._layer.is_ours(flow):
            return
        self._connections[flow.listener] = flow
        for session in self._stranded():
            if session.flow is not None and session.flow.listener == flow.listener:
                session.follow(flow)
        self._accounts.connected(flow.listener, flow)
        self._keeping.opened(flow)

    def closed(self, flow: Flow, error: TransportError | None) -> None:
        """For transports: a connection is gone."""
        self._open_flows.discard(flow)
        self.guard.closed(flow)
        if flow.is_address and error is not None:
            self._layer.avoid(flow)
        if self._connections.get(flow.listener) == flow:
            del self._connections[flow.listener]
        self._stack.flow_closed(flow, self.now(), error)
        self.drain()
        self._accounts.flow_closed()
        if self._on_flow_closed is not None:
            self._on_flow_closed(flow)

    def _set_timer(self) -> None:
        deadline = self._stack.next_deadline()
        if self._timer is not None:
            if self._timer.when() == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._stack.handle_timer(self.now())
        self.drain()

    def _dispatch(self, event: Event) -> None:
        match event:
            case SessionChanged():
                session = self._sessions.get(event.session.id)
                if session is not None and not self._placing.goes_another_way(event):
                    session.deliver(event.event)
                    if session.ended is not None:
                        del self._sessions[event.session.id]
            case ReferralChanged(referral, change):
                refer = self._refers.get(referral.id)
                if refer is not None:
                    refer.deliver(change)
                    if isinstance(change, ReferCompleted):
                        del self._refers[referral.id]
            case SubscriptionChanged(subscription):
                self._admission.subscription_ended(subscription)
            case RegistrationChanged():
                self._accounts.changed(event)
            case RequestCompleted():
                self._requests.completed(event)
            case RequestReceived():
                self._spawn(self._admission.decide_on(event))
            case RequestAbandoned():
                pass  # the decision, when it comes, is answered to nobody

    async def _decide(self, request: Request, flow: Flow) -> Decision:
        """A plain user agent takes calls from whom it knows."""
        if self.is_server_of_ours(flow) or flow.host in self._peers:
            return Admit()
        return Answer(403)

    # -- the end -----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.is_closing:
            raise LocalProtocolError(LEFT)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _hang_up_all(self) -> None:
        self.is_closing = True
        self._invitations.close()
        for watch in self._watches:
            watch.stop()
        for session in list(self._sessions.values()):
            session.hang_up(503)
        self._accounts.unregister_all()
        self.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.close_timeout_s):
                await self._quiet.wait()

    def _abandon(self) -> None:
        """Give up on what did not end in time, so that nobody waits for it."""
        error = TransportError(LEFT)
        for session in self._sessions.values():
            session.fail(error)
        self._sessions.clear()
        for refer in self._refers.values():
            refer.deliver(ReferCompleted(503, LEFT))
        self._refers.clear()
        self._requests.abandon(error)
