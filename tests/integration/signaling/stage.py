"""A SipServer on loopback (UDP, WS, WSS), and phones that are user agents of ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

from signaling.server import SipServer, SipServerConfig
from signaling.session import SessionEvent
from signaling.sip.auth import DigestCredentials, ha1
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.transport.tls import TlsPolicy
from signaling.transport.websocket import WebSocketSettings
from signaling.user_agent import (
    Account,
    Ended,
    InviteRequest,
    InviteSession,
    Registration,
    RegistrationEvent,
    TransportSettings,
    UserAgent,
    UserAgentConfig,
)
from tests.fakes.receiver import PATIENCE_S

T = TypeVar("T")
REALM = "test"
USERS = {"6001": "secret-of-6001", "6002": "secret-of-6002"}
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
ANSWER = OFFER.replace(b"4000", b"5000")
KINDS = tuple(TransportKind)
WEBSOCKETS = (TransportKind.WS, TransportKind.WSS)
STREAMS = (TransportKind.TCP, TransportKind.TLS)


class StaticCredentials:
    """USERS, as HA1 for MD5 and SHA-256."""

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        username.encode()  # what is no text, a database takes for no question
        password = USERS.get(username)
        if password is None or realm != REALM:
            return []
        return [
            (algorithm, ha1(username, realm, password, algorithm))
            for algorithm in ("SHA-256", "MD5")
        ]


async def within(waited: AsyncIterator[T]) -> T:
    """The next of a stream of events, or a failure."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(waited)


async def until(events: AsyncIterator[T], kind: type) -> T:
    """The next event of a kind, passing over others."""
    while True:
        event = await within(events)
        if isinstance(event, kind):
            return event


@dataclass
class Phone:
    """One user agent with one account."""

    stage: Stage
    user: str
    kind: TransportKind
    agent: UserAgent
    exit: AsyncExitStack
    tls: TlsPolicy | None = None
    registration: Registration | None = None

    def register(self, *, password: str | None = None, expires_s: int = 600) -> Registration:
        self.registration = self.agent.register(
            Account(
                name=self.user,
                aor=Uri("sip", self.user, host="127.0.0.1"),
                credentials=self.credentials(password),
                registrar=self.stage.registrar(self.kind),
                connection="server" if self.kind in WEBSOCKETS else None,
                tls=self.tls,
                expires_s=expires_s,
            )
        )
        return self.registration

    def credentials(self, password: str | None = None) -> DigestCredentials:
        return DigestCredentials(self.user, password=password or USERS.get(self.user, "none"))

    async def leave(self) -> None:
        """Leave the user agent as an orderly program does."""
        await self.exit.aclose()

    async def registration_event(self) -> RegistrationEvent:
        return await within(self.agent.registration_events())

    async def registered(self) -> Self:
        self.register()
        await self.registration_event()
        await until(self.stage.server.registrations(), object)
        return self

    def dial(self, user: str, sdp: bytes | None = OFFER) -> InviteSession:
        assert self.registration is not None
        return self.agent.invite(
            InviteRequest(
                target=Uri("sip", user, host="127.0.0.1", port=self.stage.udp_port),
                from_=NameAddr("", Uri("sip", self.user, host="127.0.0.1")),
                to=NameAddr("", Uri("sip", user, host="127.0.0.1")),
                sdp=sdp,
                flow=self.registration.flow,
                credentials=self.credentials(),
            )
        )

    async def invitation(self) -> InviteSession:
        return await within(self.agent.invitations())


class Stage:
    """`async with Stage(...)`: the server is up; `phone` adds phones."""

    def __init__(
        self,
        server_context: ssl.SSLContext,
        trusting_context: ssl.SSLContext,
        config: SipServerConfig | None = None,
    ) -> None:
        self.server_context = server_context
        self.trusting_context = trusting_context
        self.server = SipServer(config or SipServerConfig(realm=REALM), StaticCredentials())
        self.udp_port = self.tcp_port = self.tls_port = self.ws_port = self.wss_port = 0
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self.server)
        _, self.udp_port = await self.server.listen_udp("127.0.0.1", 0)
        _, self.tcp_port = await self.server.listen_tcp("127.0.0.1", 0)
        _, self.tls_port = await self.server.listen_tls("127.0.0.1", 0, self.server_context)
        _, self.ws_port = await self.server.listen_websocket("127.0.0.1", 0)
        _, self.wss_port = await self.server.listen_websocket(
            "127.0.0.1", 0, ssl_context=self.server_context
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exit.aclose()

    def cut(self, flow: Flow) -> None:
        """The server loses a TCP or TLS connection, without a word."""
        self.server.user_agent._layer._streams._connections[flow.connection].close()

    def registrar(self, kind: TransportKind) -> Uri:
        """Where phones of a kind register."""
        match kind:
            case TransportKind.TCP:
                tcp = (("transport", "tcp"),)
                return Uri("sip", host="127.0.0.1", port=self.tcp_port, parameters=tcp)
            case TransportKind.TLS:
                return Uri("sips", host="127.0.0.1", port=self.tls_port)
            case _:
                return Uri("sip", host="127.0.0.1", port=self.udp_port)

    async def phone(
        self, user: str, kind: TransportKind, *, ssl_context: ssl.SSLContext | None = None
    ) -> Phone:
        config = UserAgentConfig(
            name=f"phone-{user}",
            transport=TransportSettings(
                websocket=WebSocketSettings(first_delay_s=0.05, maximum_delay_s=0.2)
            ),
        )
        exit_ = AsyncExitStack()
        agent = await exit_.enter_async_context(UserAgent(config))
        self._exit.push_async_callback(exit_.aclose)
        context = ssl_context or self.trusting_context
        match kind:
            case TransportKind.UDP:
                await agent.listen_udp("127.0.0.1", 0)
            case TransportKind.WS:
                agent.connect("server", f"ws://127.0.0.1:{self.ws_port}/sip")
            case TransportKind.WSS:
                agent.connect("server", f"wss://127.0.0.1:{self.wss_port}/sip", context)
            case TransportKind.TCP | TransportKind.TLS:
                pass  # the account connects
        return Phone(self, user, kind, agent, exit_, TlsPolicy(context))

    def call(self, user: str, sdp: bytes | None = OFFER) -> InviteSession:
        """The server calls the best of a user's phones."""
        target, flow = self.targets(user)[0]
        return self.server.invite(
            InviteRequest(
                target=target,
                from_=NameAddr("", Uri("sip", "10086", host="127.0.0.1")),
                to=NameAddr("", Uri("sip", user, host="127.0.0.1")),
                sdp=sdp,
                flow=flow,
            )
        )

    def targets(self, user: str) -> list[tuple[Uri, Flow]]:
        return [(phone.uri, phone.flow) for phone in self.server.targets(user)]

    async def invitation(self) -> InviteSession:
        return await within(self.server.invitations())


async def ending(session: InviteSession) -> Ended:
    """How a session ends."""
    event = await until(session.events(), Ended)
    assert isinstance(event, Ended)
    return event


async def next_event(session: InviteSession) -> SessionEvent:
    return await within(session.events())
