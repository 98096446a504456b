"""A SIP server and a media plane that do what a test tells them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from endpoint.errors import MediaError
from endpoint.legs.base import ExchangeEvent, LegAnswered, LegId, LegOffered
from endpoint.legs.exchange import LegExchange
from endpoint.media import messages as m
from endpoint.media.link import WorkerLost
from signaling.errors import LocalProtocolError
from signaling.mailbox import Mailbox
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.dtls import Fingerprint
from signaling.sdp.ice import IceDescription
from signaling.sdp.negotiation import LocalAudio, make_answer, make_offer
from signaling.sdp.security import Dtls
from signaling.server import PhoneAddress
from signaling.sip.auth import DigestCredentials
from signaling.sip.fields import Headers
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.liveness import LivenessEvent
from signaling.sip.uri import Uri
from signaling.textmessages import TextMessage
from signaling.user_agent import Account, Confirmed, Ended, InviteRequest, Refer, SessionEvent

WAIT_S = 5.0
E = TypeVar("E")
FLOW = Flow(TransportKind.UDP, "198.51.100.9", 5060, "udp1")
BROWSERS_FLOW = Flow(TransportKind.WSS, "198.51.100.9", 5060, "wss1", 1)


class FakeMedia:
    """Grants every request and remembers it."""

    def __init__(self) -> None:
        self.asked: list[m.AnyCommand] = []
        self.refuse: set[type[Any]] = set()
        self._told: Mailbox[m.Notice | WorkerLost] = Mailbox()
        self._lost: set[m.PortName] = set()
        self._ports = itertools.count(20000, 2)

    async def request(self, command: Any) -> Any:
        self.asked.append(command)
        if type(command) in self.refuse:
            raise MediaError(f"{type(command).__name__} refused")
        match command:
            case m.OpenRtpPort():
                port = next(self._ports)
                return m.RtpAddress(
                    host="127.0.0.1", rtp_port=port, rtcp_port=port + 1, ssrc=port, cname="c"
                )
            case m.OpenWebRtcPort() | m.RestartIce():
                port = next(self._ports)
                return m.WebRtcAddress(
                    ufrag=f"ufrag{port}",
                    pwd=f"password{port}" * 2,
                    candidates=[f"1 1 udp 2130706431 127.0.0.1 {port} typ host"],
                    fingerprints=[m.Fingerprint("sha-256", ":".join(["AB"] * 32))],
                    ssrc=port,
                    cname="c",
                )
            case _:
                return m.Done()

    def send(self, command: Any) -> None:
        self.asked.append(command)

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        return self._told

    def tell(self, notice: m.Notice | WorkerLost) -> None:
        self._told.put(notice)

    def die(self, reason: str) -> None:
        """Lose all but the sounds that are played over and over."""
        loops = {a.port for a in self.asked if isinstance(a, m.Opening) and m.is_loop(a)}
        lost = frozenset(self.open_ports - loops)
        self._lost |= lost
        self._told.put(WorkerLost(reason, lost))

    def all(self, kind: type[E]) -> list[E]:
        return [command for command in self.asked if isinstance(command, kind)]

    @property
    def open_ports(self) -> set[str]:
        opened: set[str] = set()
        for command in self.asked:
            match command:
                case (
                    m.OpenRtpPort(port=port)
                    | m.OpenWebRtcPort(port=port)
                    | m.OpenPlayer(port=port)
                    | m.OpenFilePlayer(port=port)
                    | m.OpenSink(port=port)
                ):
                    opened.add(port)
                case m.ClosePort(port=port):
                    opened.remove(port)
        return opened - self._lost


@dataclass
class FakeRequest:
    uri: Uri
    from_: NameAddr
    to: NameAddr
    headers: Headers = field(default_factory=Headers)
    supported: tuple[str, ...] = ()


class FakeSession:
    """An INVITE session whose far end is the test."""

    _numbers = itertools.count(1)

    def __init__(
        self,
        *,
        caller: str = "10086",
        called: str = "6001",
        sdp: bytes | None = None,
        user: str | None = None,
        flow: Flow | None = FLOW,
        invitation: InviteRequest | None = None,
        headers: Sequence[tuple[str, str]] = (),
        rings_reliably: bool = False,
    ) -> None:
        self.id = f"call-{next(self._numbers)}"
        self.call_id = self.id
        self.invitation = invitation
        self.remote = NameAddr("", Uri("sip", caller, host="example.test"))
        self.local = NameAddr("", Uri("sip", called, host="example.test"))
        uri = Uri("sip", called, host="example.test")
        self.request = FakeRequest(uri, self.remote, NameAddr("", uri), Headers(headers))
        self.is_heard = False
        """Something came back for its INVITE."""
        self.flow = flow
        self.sdp = sdp
        self.authenticated_user = user
        self.replaces: FakeSession | None = None
        self.is_cancelled = False
        """Its re-INVITE is taken back before it is answered."""
        self.rings_reliably = rings_reliably
        self.takes_update = False
        """While it rings, its audio can be offered anew."""
        self.did: list[tuple[Any, ...]] = []
        self.ended: Ended | None = None
        self.offers: asyncio.Queue[bytes] = asyncio.Queue()
        self.answers: asyncio.Queue[tuple[int, bytes | None]] = asyncio.Queue()
        self.informed: list[tuple[str, bytes]] = []
        self.takes_info: dict[str, int] = {}
        """Content type to the status that an INFO of it gets; 200 where it has none."""
        self.refused_with: list[tuple[str, str]] = []
        """Headers of refusals."""
        self._acted = asyncio.Condition()
        self._mailbox: Mailbox[SessionEvent] = Mailbox()

    # -- what legs call

    def ring(self, sdp: bytes | None = None) -> None:
        self._do("ring", *([] if sdp is None else [sdp]))

    def accept(self, sdp: bytes, fork: str = "") -> None:
        self._do("accept", sdp)

    def hang_up(
        self,
        status: int = 480,
        q850: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Ends at once, as the real one: the stack itself waits for the far end."""
        if self.ended is None:
            self.did.append(("hang_up", status, q850))
            self.refused_with.extend(headers)
            self.end(by_remote=False, status=487, q850=q850)

    def may_update(self) -> bool:
        return self.takes_update

    def answer_reinvite(self, sdp: bytes, fork: str = "") -> bool:
        self._do("answer_reinvite", sdp, *([fork] if fork else []))
        return not self.is_cancelled

    def reject_reinvite(
        self, status: int, fork: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.refused_with.extend(headers)
        self._do("reject_reinvite", status, *([fork] if fork else []))

    def refer(self, refer_to: NameAddr, *, referred_by: NameAddr | None = None) -> Refer:
        self._do("refer", str(refer_to), str(referred_by))
        self.referring = Refer()
        return self.referring

    def replaces_header(self) -> str:
        return f"{self.id};to-tag=1;from-tag=2"

    async def reinvite(self, offer: Callable[[], bytes]) -> tuple[int, bytes | None]:
        self.offers.put_nowait(offer())
        return await self.answers.get()

    async def info(self, content_type: str, body: bytes) -> int:
        self.informed.append((content_type, body))
        return self.takes_info.get(content_type, 200)

    def events(self) -> AsyncIterator[SessionEvent]:
        return self._mailbox

    def _do(self, *act: Any) -> None:
        if self.ended is not None:
            raise LocalProtocolError("the session is over")
        self.did.append(act)

    # -- what the test does

    def tell(self, event: SessionEvent) -> None:
        self._mailbox.put(event)
        if isinstance(event, Ended):
            self.ended = event
            self._mailbox.close()

    def end(self, **facts: Any) -> None:
        self.tell(Ended(**{"by_remote": True, **facts}))

    async def until(self, what: str) -> tuple[Any, ...]:
        """The first act of that name, once it is done."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for act in self.did:
                    if act[0] == what:
                        return act
                await asyncio.sleep(0)


@dataclass
class FakeRegistration:
    account: Account
    flow: Flow | None = None
    taken_back: bool = False
    service_route: tuple[NameAddr, ...] = ()
    realm: str | None = "pbx"
    """By which the server registers the account."""

    @property
    def credentials(self) -> DigestCredentials | None:
        if self.realm is None:
            return None
        return replace(self.account.credentials, realm=self.realm)

    def unregister(self) -> None:
        self.taken_back = True


@dataclass
class FakeWatch:
    """A peer that is asked by OPTIONS; the test says what it answers."""

    target: Uri
    told: Mailbox[LivenessEvent] = field(default_factory=Mailbox)
    suspected: int = 0

    def events(self) -> AsyncIterator[LivenessEvent]:
        return self.told

    def suspect(self) -> None:
        self.suspected += 1

    def stop(self) -> None:
        self.told.close()


@dataclass
class FakeUserAgent:
    watches: dict[str, FakeWatch] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)
    registrations: list[FakeRegistration] = field(default_factory=list)
    events: Mailbox[Any] = field(default_factory=Mailbox)

    def connect(self, name: str, url: str, ssl_context: Any = None) -> None:
        self.connections[name] = url

    async def disconnect(self, name: str) -> None:
        self.connections.pop(name, None)

    def watch(self, target: Uri, *, settings: Any = None) -> FakeWatch:
        return self.watches.setdefault(str(target), FakeWatch(target))

    def register(self, account: Account) -> FakeRegistration:
        self.registrations.append(FakeRegistration(account))
        return self.registrations[-1]

    def registration_events(self) -> AsyncIterator[Any]:
        return self.events


def _udp(uri: Uri) -> Flow:
    return Flow(TransportKind.UDP, uri.host, uri.port or 5060, "udp")


class FakeServer:
    """Our sipWsServer, with phones of which the test says where they are."""

    def __init__(self) -> None:
        self.user_agent = FakeUserAgent()
        self.phones: dict[str, list[tuple[Uri, Flow | None]]] = {}
        self.trusted: set[str] = set()
        self.sent_texts: Mailbox[TextMessage] = Mailbox()
        self.sessions: asyncio.Queue[FakeSession] = asyncio.Queue()
        self.offered: Mailbox[FakeSession] = Mailbox()
        self.bans: Mailbox[Any] = Mailbox()
        self.events: Mailbox[Any] = Mailbox()

    def targets(self, user: str, instance: str | None = None) -> list[PhoneAddress]:
        phones = self.phones.get(user, [])
        return [PhoneAddress(uri, flow or _udp(uri)) for uri, flow in phones]

    def texts(self) -> AsyncIterator[TextMessage]:
        return self.sent_texts

    def is_trusted(self, flow: Flow | None) -> bool:
        return flow is not None and flow.host in self.trusted

    def resolve(self, uri: Uri) -> tuple[str, str | None] | None:
        return (uri.user, None) if uri.user else None

    def invite(self, invitation: InviteRequest) -> FakeSession:
        session = FakeSession(invitation=invitation)
        self.sessions.put_nowait(session)
        return session

    def invitations(self) -> AsyncIterator[FakeSession]:
        return self.offered

    def registrations(self) -> AsyncIterator[Any]:
        return self.events

    def bans_begun(self) -> AsyncIterator[Any]:
        return self.bans

    def add_phone(self, user: str, host: str = "198.51.100.9", flow: Flow | None = None) -> None:
        self.phones.setdefault(user, []).append((Uri("sip", user, host=host), flow))


@dataclass
class Desk:
    """An exchange between a fake server and a fake media plane."""

    server: FakeServer
    media: FakeMedia
    exchange: LegExchange
    _events: AsyncIterator[ExchangeEvent] | None = None
    _closed: bool = False

    async def close(self) -> None:
        """Leave the exchange; once is enough."""
        if not self._closed:
            self._closed = True
            await self.exchange.__aexit__(None, None, None)

    async def next(self) -> ExchangeEvent:
        if self._events is None:
            self._events = self.exchange.events()
        async with asyncio.timeout(WAIT_S):
            return await anext(self._events)

    async def offered(self, session: FakeSession) -> LegOffered:
        """Somebody calls."""
        self.server.offered.put(session)
        event = await self.next()
        assert isinstance(event, LegOffered)
        return event

    async def answered(self, session: FakeSession) -> LegId:
        """Somebody has called, and both ways are open."""
        leg = (await self.offered(session)).leg
        self.exchange.answer(leg)
        await session.until("accept")
        session.tell(Confirmed())
        assert await self.next() == LegAnswered(leg)
        return leg

    async def session(self) -> FakeSession:
        """The next INVITE that the exchange sends."""
        async with asyncio.timeout(WAIT_S):
            return await self.server.sessions.get()

    async def settle(self) -> None:
        """Until every leg is gone."""
        async with asyncio.timeout(WAIT_S):
            await self.exchange.wait_idle()


FAR = LocalAudio(host="198.51.100.9", rtp_port=30000, session_id=9)
"""The far end's audio."""


def far_offer(direction: Direction = Direction.SENDRECV, **changes: Any) -> bytes:
    return make_offer(_far(changes), direction).serialise()


def far_answer(
    offer: bytes | None, direction: Direction = Direction.SENDRECV, **changes: Any
) -> bytes:
    assert offer is not None
    return make_answer(SessionDescription.parse(offer), _far(changes), direction)[0].serialise()


def browser(octet: str) -> Dtls:
    """What a browser says of itself; another octet is another one."""
    fingerprint = Fingerprint("sha-256", ":".join([octet] * 32))
    return Dtls((fingerprint,), IceDescription(f"far{octet}", octet * 11))


def ice_in(sdp: bytes) -> str | None:
    return SessionDescription.parse(sdp).media[0].attribute("ice-ufrag")


def direction_in(sdp: bytes) -> Direction | None:
    return SessionDescription.parse(sdp).media[0].direction


def _far(changes: dict[str, Any]) -> LocalAudio:
    facts = {"host": FAR.host, "rtp_port": FAR.rtp_port, "session_id": FAR.session_id, **changes}
    return LocalAudio(**facts)
