"""The embedded sipWsServer: a registrar with digest over every transport, and calls of its phones.

Every REGISTER, SUBSCRIBE and MESSAGE, and every other request outside a dialog that is not from a
trusted peer, must prove its user by digest; From (and To of a REGISTER) must name that very user.
Who is unknown gets the same answers, after the same work, as who has the wrong password.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_bytes
from types import TracebackType
from typing import Protocol, Self

import structlog
from aiohttp import web

from signaling.account import ContactKeeper
from signaling.decisions import Admit, AdmitSubscription, Answer, Decision
from signaling.errors import CredentialsUnavailable, RemoteProtocolError, SipParseError
from signaling.keeping import CallKeeper
from signaling.keptbindings import BindingKeeper, KeptBinding, note, restored
from signaling.mailbox import Mailbox
from signaling.peers import TrustedPeers
from signaling.registrar import (
    Binding,
    Expired,
    Registered,
    Registrar,
    RegistrarEvent,
    RegistrarSettings,
    Unregistered,
)
from signaling.sip.auth import DigestAlgorithm, DigestServer, Verdict
from signaling.sip.bans import Ban
from signaling.sip.dialog import is_numeric
from signaling.sip.event_documents import Package
from signaling.sip.flow import Flow
from signaling.sip.grammar import as_utf8
from signaling.sip.guard import SourceBanned
from signaling.sip.headers import AuthCredentials, NameAddr
from signaling.sip.message import Request
from signaling.sip.stack import Direction
from signaling.sip.uri import Uri
from signaling.supervision import Supervision
from signaling.textmessages import Phone, TextMessage, deliver, unfit
from signaling.user_agent import InviteRequest, InviteSession, UserAgent, UserAgentConfig
from signaling.watchers import ALLOW_EVENTS, DeviceStates, Unfit, WatcherLimits, Watchers

__all__ = [
    "Credentials",
    "Expired",
    "PhoneAddress",
    "Registered",
    "SipServer",
    "SipServerConfig",
    "Unregistered",
]

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5
"""So soon who could not be looked up may ask again: a phone that waits for long can't be called."""


class Credentials(Protocol):
    """Who may register and call."""

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        """(algorithm, HA1 in hex) pairs of a user; empty for one that is not known.

        Raises CredentialsUnavailable.
        """


@dataclass(frozen=True, slots=True)
class PhoneAddress:
    """Where one phone is: the target, flow and routes of an `InviteRequest`."""

    uri: Uri
    flow: Flow
    routes: tuple[NameAddr, ...] = ()
    """The proxies that lead to it (Path, RFC 3327)."""


@dataclass(frozen=True, slots=True)
class SipServerConfig:
    """Facts of the deployment."""

    realm: str = "agent-endpoint"
    user_agent: UserAgentConfig = field(default_factory=UserAgentConfig)
    registrar: RegistrarSettings = field(default_factory=RegistrarSettings)
    watchers: WatcherLimits = field(default_factory=WatcherLimits)
    nonce_secret: bytes = field(default_factory=lambda: token_bytes(32), repr=False)
    """Signs nonces; those of another secret are stale."""
    nonce_lifetime_s: float = 300.0
    digest_algorithms: tuple[DigestAlgorithm, ...] = (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)
    """Offered in this order, one challenge each (RFC 8760 §2.3)."""


class SipServer:
    """`async with SipServer(config, credentials) as server`."""

    def __init__(
        self,
        config: SipServerConfig,
        credentials: Credentials,
        *,
        on_refused: Callable[[Flow, str | None], None] | None = None,
        trace: Callable[[Direction, Flow, bytes, float], None] | None = None,
        supervision: Supervision | None = None,
        keeper: CallKeeper | None = None,
        binding_keeper: BindingKeeper | None = None,
        contact_keeper: ContactKeeper | None = None,
    ) -> None:
        """`on_refused` hears of each wrong or replayed digest: its flow and the user it named.

        `supervision`, `keeper` and `contact_keeper` are the user agent's; `binding_keeper` is told
        of registrations over UDP, see `restore`.
        """
        self.config = config
        self._credentials = credentials
        self._on_refused = on_refused
        self._peers = TrustedPeers(config.user_agent.trusted_peers)
        self._digest = DigestServer(
            config.realm,
            config.nonce_secret,
            algorithms=config.digest_algorithms,
            nonce_lifetime_s=config.nonce_lifetime_s,
            random=config.user_agent.random,
        )
        self._registrar = Registrar(config.registrar, config.user_agent.random)
        self._registrations: Mailbox[RegistrarEvent] = Mailbox()
        self._watchers = Watchers(config.watchers)
        self._texts: Mailbox[TextMessage] = Mailbox(1000)  # of a reader that is not there
        self._binding_keeper = binding_keeper
        self._timer: asyncio.TimerHandle | None = None
        self.user_agent = UserAgent(
            replace(
                config.user_agent,
                allow=(*config.user_agent.allow, "REGISTER", "MESSAGE", "SUBSCRIBE"),
                supported=(*config.user_agent.supported, "path", "outbound", "gruu"),
            ),
            handler=self._decide,
            on_flow_closed=self._flow_closed,
            trace=trace,
            supervision=supervision,
            keeper=keeper,
            contact_keeper=contact_keeper,
        )

    def __repr__(self) -> str:
        return f"<SipServer {self.config.realm} users={len(self._registrar.users())}>"

    async def __aenter__(self) -> Self:
        await self.user_agent.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchers.close(self.user_agent.now())
        try:
            await self.user_agent.__aexit__(kind, error, traceback)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._registrations.close()
            self._texts.close()

    # -- listeners --------------------------------------------------------------------------------

    async def listen_udp(self, host: str, port: int) -> tuple[str, int]:
        """Bind a UDP socket; returns the bound address. Raises TransportError."""
        return await self.user_agent.listen_udp(host, port)

    async def listen_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Accept TCP connections; returns the bound address. Raises TransportError."""
        return await self.user_agent.listen_tcp(host, port)

    async def listen_tls(
        self, host: str, port: int, ssl_context: ssl.SSLContext
    ) -> tuple[str, int]:
        """Accept TLS connections; returns the bound address. Raises TransportError."""
        return await self.user_agent.listen_tls(host, port, ssl_context)

    async def listen_websocket(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None = None,
        path: str = "/sip",
    ) -> tuple[str, int]:
        """Serve SIP over WebSocket by an HTTP server of our own; returns the bound address."""
        return await self.user_agent.listen_websocket(
            host, port, ssl_context=ssl_context, path=path
        )

    async def websocket_route(self, request: web.Request) -> web.StreamResponse:
        """The aiohttp handler to mount at `/sip`; see `UserAgent.websocket_route`."""
        return await self.user_agent.websocket_route(request)

    def restore(self, left: Mapping[str, KeptBinding]) -> None:
        """Take over registrations that a process before us has left, as its keeper has them."""
        now = self.user_agent.now()
        found = restored(left, now, datetime.now(UTC))
        for key in left.keys() - found.keys():
            if self._binding_keeper is not None:
                self._binding_keeper.drop(key)
        for binding in found.values():
            self._registrar.restore(binding, now)
        self._drain()

    def forget(self, user: str) -> None:
        """Let go of all that a user has registered: he is none any more, or has another password.

        His calls go on.
        """
        self._registrar.forget(user)
        self._drain()

    # -- phones and calls -------------------------------------------------------------------------

    def targets(self, user: str, instance: str | None = None) -> list[PhoneAddress]:
        """Where a user's phones are, best q first; with an instance that one's alone.

        A phone that came by a connection is reached over that very one, a UDP phone at its contact,
        from the socket that it registered with. One whose contact names another address than it
        registered from is behind NAT, and reached where it came from. A phone behind proxies is
        reached through them.
        """
        phones = self._registrar.phones(user, self.user_agent.now(), instance)
        return [
            PhoneAddress(binding.contact.uri, _flow(binding), binding.path) for binding in phones
        ]

    def is_trusted(self, flow: Flow | None) -> bool:
        """Whether a call came from a trusted peer."""
        return flow is not None and flow.host in self._peers

    def resolve(self, uri: Uri) -> tuple[str, str | None] | None:
        """The user that an address of ours leads to, and the instance where it is a GRUU.

        None where it leads to nobody.
        """
        return self._registrar.resolve(uri)

    def bindings(self, user: str) -> list[Binding]:
        """All that is known of a user's phones, best q first."""
        return self._registrar.bindings(user, self.user_agent.now())

    def registrations(self) -> AsyncIterator[RegistrarEvent]:
        """Bindings as they come and go; ends when the server is left. One reader."""
        return self._registrations

    def publish(self, states: DeviceStates) -> None:
        """Notify who subscribes of what is true of devices; before, there is nothing to tell."""
        self._watchers.states = states

    def changed(self, users: Iterable[str], packages: Iterable[Package] = tuple(Package)) -> None:
        """What `publish` was given tells something else of these users now."""
        self._watchers.changed(users, self.user_agent.now(), packages)
        self.user_agent.drain()

    @property
    def watcher_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._watchers)

    def texts(self) -> AsyncIterator[TextMessage]:
        """Texts that users sent to each other; ends when the server is left. One reader."""
        return self._texts

    async def send_text(self, sender: str, recipient: str, text: str, *, domain: str) -> int:
        """Send a text to all phones of a user; returns 200 where one took it, see `deliver`."""
        from_ = NameAddr("", Uri("sip", sender, host=domain))
        return await self._deliver(from_, recipient, text.encode())

    def invite(self, invitation: InviteRequest) -> InviteSession:
        """Place a call, to one of the `targets` or elsewhere."""
        return self.user_agent.invite(invitation)

    def invitations(self) -> AsyncIterator[InviteSession]:
        """Calls that come in; one reader.

        `authenticated_user` is None only from a trusted peer, or a server that we registered with.
        """
        return self.user_agent.invitations()

    def bans(self) -> list[Ban]:
        """Sources that are not listened to, for they guessed passwords."""
        return self.user_agent.guard.bans(self.user_agent.now())

    def bans_begun(self) -> AsyncIterator[SourceBanned]:
        """Bans as they begin; ends when the server is left. One reader."""
        return self.user_agent.banned

    def lift_ban(self, host: str) -> bool:
        """Listen to a source again, given by any address of it; False where it is not banned."""
        return self.user_agent.guard.lift(host)

    # -- decisions --------------------------------------------------------------------------------

    async def _decide(self, request: Request, flow: Flow) -> Decision:
        try:
            return await self._judge(request, flow)
        except CredentialsUnavailable as error:
            log.warning("users can't be looked up", method=request.method, reason=str(error))
            return Answer(503, headers=[("Retry-After", str(RETRY_AFTER_S))])

    async def _judge(self, request: Request, flow: Flow) -> Decision:
        if request.method == "REGISTER":
            return await self._register(request, flow)
        if request.method == "SUBSCRIBE":
            return await self._subscribe(request, flow)
        if request.method == "MESSAGE":
            return await self._message(request, flow)
        user: str | None = None
        if not (flow.host in self._peers or self.user_agent.is_server_of_ours(flow)):
            proved = await self._authenticate(request, flow)
            if isinstance(proved, Answer):
                return proved
            user = proved
        self.user_agent.keep(flow)
        return Admit(user)

    async def _subscribe(self, request: Request, flow: Flow) -> Decision:
        """RFC 6665 §4.2.1. Digest even from trusted peers: what devices do is for our users."""
        user = await self._authenticate(request, flow)
        if not isinstance(user, str):
            return user
        resource, _ = self._registrar.resolve(request.uri) or ("", None)
        try:
            wish = self._watchers.judge(request, user, resource)
        except RemoteProtocolError as error:
            return Answer(error.status_hint, headers=[ALLOW_EVENTS])
        if isinstance(wish, Unfit):
            return Answer(wish.status, wish.reason, wish.headers)
        if not await self._watchers.knows(wish):
            return Answer(404)
        return AdmitSubscription(
            wish.expires_s,
            lambda usage: self._watchers.opened(wish, usage, self.user_agent.now()),
            self._watchers.ended,
        )

    async def _message(self, request: Request, flow: Flow) -> Answer:
        """RFC 3428: delivered to the phones of another user. Digest even from trusted peers."""
        user = await self._authenticate(request, flow)
        if not isinstance(user, str):
            return user
        refusal = unfit(request)
        if refusal is not None:
            return Answer(refusal[0], headers=refusal[1])
        recipient, instance = self._registrar.resolve(request.uri) or ("", None)
        if not await self._credentials.lookup(recipient, self.config.realm):
            return Answer(404)
        status = await self._deliver(request.from_, recipient, request.body, instance)
        text = request.body.decode("utf-8", "replace")
        self._texts.put(TextMessage(user, recipient, text, status))
        return Answer(status)

    async def _deliver(
        self, sender: NameAddr, recipient: str, body: bytes, instance: str | None = None
    ) -> int:
        host = sender.uri.host
        return await deliver(
            self.user_agent,
            [Phone(p.uri, p.flow, p.routes) for p in self.targets(recipient, instance)],
            from_=NameAddr(sender.display_name, sender.uri.aor()),
            to=NameAddr("", Uri("sip", recipient, host=host)),
            body=body,
        )

    async def _register(self, request: Request, flow: Flow) -> Answer:
        """RFC 3261 §10.3. Digest even from trusted peers: a trunk has nothing to register here."""
        unfit = self._registrar.check(request)
        if unfit is not None:
            return Answer(unfit.status, unfit.reason)
        user = await self._authenticate(request, flow)
        if not isinstance(user, str):
            return user
        if request.to.uri.user != user:
            return Answer(403)
        if not self.user_agent.is_open(flow):  # lost while the user was looked up
            return Answer(503)
        outcome = self._registrar.register(request, flow, self.user_agent.now())
        self._drain()
        return Answer(outcome.status, outcome.reason, outcome.headers)

    async def _authenticate(self, request: Request, flow: Flow) -> str | Answer:
        """The user that a request proves to be from, or what to answer instead."""
        try:
            offered = _credentials(request)
            identities = _identities(request)
        except SipParseError as error:
            return Answer(400, str(error))
        username = self._digest.username(offered)
        if username is not None and as_utf8(username) != username:
            username = None  # nobody is called so, and a database would choke on the question
        ha1s: Sequence[tuple[str, str]] = ()
        if username is not None:
            ha1s = await self._credentials.lookup(username, self.config.realm)
        source, now = flow.host, self.user_agent.now()
        verdict = self._digest.verify(request.method, str(request.uri), offered, ha1s, source, now)
        match verdict:
            case Verdict.OK:
                assert username is not None
                if any(identity != username for identity in identities):
                    return Answer(403)
                if not self._is_served(request.from_.uri):
                    return Answer(403, "Another Domain's User")
                if not self._is_served(request.uri):
                    return Answer(404, "Domain Not Served")
                self.user_agent.keep(flow)
                return username
            case Verdict.MISSING | Verdict.STALE:
                pass
            case Verdict.WRONG | Verdict.WRONG_AGAIN | Verdict.REPLAYED:
                log.info("digest refused", source=str(flow), user=username, verdict=str(verdict))
                if verdict is not Verdict.REPLAYED:  # that is what phones do that don't count
                    self.user_agent.distrust(flow, username)
                if self._on_refused is not None:
                    self._on_refused(flow, username)
                if verdict is Verdict.WRONG_AGAIN:
                    return Answer(403, "Wrong user or password")
            case Verdict.BAD_REQUEST:
                return Answer(400, "Bad Authorization")
        # Who repeats a right answer, since ours to it was lost, has the right password.
        stale = verdict in (Verdict.STALE, Verdict.REPLAYED)
        wrong = verdict is Verdict.WRONG
        challenges = self._digest.challenges(source, now, stale=stale, wrong=wrong)
        return Answer(401, headers=[("WWW-Authenticate", value) for value in challenges])

    def _is_served(self, uri: Uri) -> bool:
        """Whether an address is of our domains; who knows us by our number alone names none."""
        domains = self.config.registrar.domains
        if not domains or not uri.is_sip or is_numeric(uri.host):
            return True
        return uri.host in domains or uri.host == self.config.user_agent.transport.advertised_host

    # -- the registrar's driver -------------------------------------------------------------------

    def _flow_closed(self, flow: Flow) -> None:
        self._registrar.flow_closed(flow)
        self._drain()

    def _drain(self) -> None:
        events = self._registrar.take_events()
        if self._binding_keeper is not None and events:
            users = {event.binding.user for event in events}
            held = [binding for user in users for binding in self.bindings(user)]
            now = self.user_agent.now()
            note(self._binding_keeper, events, held, now, datetime.now(UTC))
        for event in events:
            if isinstance(event, Registered) and event.binding.bound_to_flow:
                self._came_back(event.binding)
            self._registrations.put(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._registrar.next_deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _came_back(self, binding: Binding) -> None:
        self.user_agent.came_back(
            binding.user, lambda uri: self._registrar.names(uri, binding), binding.flow
        )

    def _expire(self) -> None:
        self._registrar.handle_timer(self.user_agent.now())
        self._drain()


def _credentials(request: Request) -> list[AuthCredentials]:
    """All credentials offered, of any scheme. Raises SipParseError."""
    return [AuthCredentials.parse(text) for text in request.headers.get_all("Authorization")]


def _identities(request: Request) -> list[str | None]:
    """The users that a request says it is from: From, and RFC 3325's headers where they are set."""
    texts = [
        *request.headers.get_all("P-Asserted-Identity"),
        *request.headers.get_all("P-Preferred-Identity"),
    ]
    asserted = [address for text in texts for address in NameAddr.parse_many(text)]
    return [address.uri.user for address in (request.from_, *asserted)]


def _flow(binding: Binding) -> Flow:
    flow = binding.flow
    contact = binding.path[0].uri if binding.path else binding.contact.uri
    if binding.bound_to_flow or contact.host != flow.host:
        return flow
    return replace(flow, port=contact.port or flow.transport.default_port)
