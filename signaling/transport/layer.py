"""The transport layer of one user agent (RFC 3261 §18): its sockets, and the way to a far end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from aiohttp import web

from signaling.errors import CertificateRefused, LocalProtocolError, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.uri import Uri
from signaling.supervision import Supervision
from signaling.transport import DatagramTransport, Receiver, Transport
from signaling.transport.locating import Destination, DnsResolver, Locator, Resolver, Search
from signaling.transport.stream import StreamSettings
from signaling.transport.tcp import StreamTransport
from signaling.transport.tls import TlsPolicy
from signaling.transport.udp import UdpTransport, address_towards, is_numeric
from signaling.transport.websocket import (
    OriginRule,
    WebSocketClient,
    WebSocketListener,
    WebSocketSettings,
    refuse_browsers,
    serve,
)

WEBSOCKET_LISTENER = "ws"
"""Name of the listener behind `websocket_route`."""
MAXIMUM_AVOIDED = 1000
STREAMS = "stream"
"""Name of the TCP and TLS connections that belong to nobody in particular."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Where we are reached, and the limits of what reaches us."""

    advertised_host: str | None = None
    """What far ends are told to reach us at; None: the local address that faces them."""
    advertised_port: int | None = None
    """The same for UDP ports; None: the bound one."""
    advertised_tcp_port: int | None = None
    advertised_tls_port: int | None = None
    avoid_s: float = 300.0
    """How long others are preferred to a place that did not answer."""
    resolver: Resolver | None = None
    """Who knows where names are; None: the system, and its DNS servers."""
    stream: StreamSettings = field(default_factory=StreamSettings)
    """Of TCP and TLS."""
    tls: TlsPolicy | None = None
    """Whom we believe where we connect by TLS; None: whom the system's CAs vouch for."""
    websocket: WebSocketSettings = field(default_factory=WebSocketSettings)
    origin_rule: OriginRule = refuse_browsers
    """Which pages may connect to the WebSocket listener."""
    has_room: Callable[[], bool] = lambda: True
    """Whether the process may have another descriptor for a TCP or TLS connection."""
    identity: str = ""
    """Names us for ever. The host of a WebSocket client is made of it, so that its registration
    after a restart takes the place of the one before, at servers without outbound too. Empty: it is
    made anew each time."""


_STREAM_KINDS = (TransportKind.TCP, TransportKind.TLS)


class Ways:
    """The ways to one URI, best first: where one fails, the next is asked for (RFC 3263 §4.3)."""

    def __init__(
        self,
        search: Search | None = None,
        open_: Callable[[Destination], Awaitable[Flow]] | None = None,
        is_avoided: Callable[[Destination], bool] = lambda place: False,
    ) -> None:
        """Who `is_avoided` comes last."""
        self._search = search
        self._open = open_
        self._is_avoided = is_avoided
        self._last: list[Destination] = []

    def __repr__(self) -> str:
        return f"<Ways {self._search}, {self._last}>"

    @property
    def has_more(self) -> bool:
        """Whether one may be left that was not tried."""
        return bool(self._last) or (self._search is not None and self._search.has_more)

    async def next(self) -> Flow:
        """The next that can be gone. Raises TransportError where there is none left: why not."""
        failure: TransportError | None = None
        while self._open is not None and (place := await self._place()) is not None:
            try:
                return await self._open(place)
            except TransportError as error:
                if not isinstance(failure, CertificateRefused):  # of all reasons it says the most
                    failure = error
        raise failure or TransportError("there is no other way")

    async def _place(self) -> Destination | None:
        while self._search is not None and self._search.has_more:
            place = await self._search.next()
            if place is not None and not self._is_avoided(place):
                return place
            if place is not None:
                self._last.append(place)
        return self._last.pop(0) if self._last else None


class TransportLayer:
    """All transports of one user agent, by name."""

    def __init__(
        self,
        receiver: Receiver,
        settings: TransportSettings,
        random: Random,
        supervision: Supervision | None = None,
    ) -> None:
        self._receiver = receiver
        self._settings = settings
        self._random = random
        self._websocket = WebSocketListener(
            WEBSOCKET_LISTENER, receiver, settings.websocket, settings.origin_rule
        )
        self._streams = StreamTransport(
            STREAMS,
            receiver,
            settings.stream,
            tls=settings.tls,
            random=random,
            supervision=supervision,
            has_room=settings.has_room,
        )
        self._transports: dict[str, Transport] = {
            WEBSOCKET_LISTENER: self._websocket,
            STREAMS: self._streams,
        }
        self._datagrams: list[DatagramTransport] = []
        self._invalid_hosts: dict[str, str] = {}
        self._locator = Locator(settings.resolver or DnsResolver(), random)
        self._avoided: dict[tuple[TransportKind, str, int], float] = {}
        """Places that did not answer, and until when others are tried first."""
        self._servers = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<TransportLayer {list(self._transports.values())}>"

    def __contains__(self, name: str) -> bool:
        """Whether there is a transport of that name."""
        return name in self._transports

    async def listen_udp(self, host: str, port: int) -> tuple[str, int]:
        """Bind a UDP socket, IPv4 or IPv6; returns the bound address. Raises TransportError."""
        name = f"udp{len(self._datagrams)}"
        transport = await UdpTransport.open(name, host, port, self._receiver)
        self.attach(transport)
        return transport.address

    async def listen_stream(
        self, host: str, port: int, ssl_context: ssl.SSLContext | None
    ) -> tuple[str, int]:
        """Accept TCP connections, TLS ones with a context; returns the bound address.

        Raises TransportError.
        """
        return await self._streams.listen(host, port, ssl_context)

    async def listen_websocket(
        self, host: str, port: int, *, ssl_context: ssl.SSLContext | None, path: str
    ) -> tuple[str, int]:
        """Serve the WebSocket listener by an HTTP server of its own; returns the bound address."""
        server = serve(self._websocket, host, port, path=path, ssl_context=ssl_context)
        return await self._servers.enter_async_context(server)

    async def websocket_route(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket listener as an aiohttp handler."""
        return await self._websocket.handle(request)

    def connect(
        self,
        name: str,
        url: str,
        ssl_context: ssl.SSLContext | None,
        on_state: Callable[[WebSocketClient], None],
    ) -> WebSocketClient:
        """A WebSocket client; the caller runs it."""
        self._check_new(name)
        client = WebSocketClient(
            name,
            url,
            self._receiver,
            ssl_context=ssl_context,
            settings=self._settings.websocket,
            random=self._random,
            on_state=on_state,
        )
        self._transports[name] = client
        return client

    def open_streams(self, name: str, tls: TlsPolicy | None) -> None:
        """TCP and TLS connections of their own name and policy, for `flow_to`; harmless if known.

        Far ends are told to come back over these very connections, not to our listeners.
        """
        if name not in self._transports:
            self._transports[name] = StreamTransport(
                name, self._receiver, self._settings.stream, tls=tls, random=self._random
            )

    def attach(self, transport: DatagramTransport) -> None:
        """Use a datagram transport made elsewhere."""
        self._check_new(transport.name)
        self._transports[transport.name] = transport
        self._datagrams.append(transport)

    @property
    def is_listening(self) -> bool:
        """Whether every listener takes what comes."""
        return self._streams.is_accepting and all(each.is_open for each in self._datagrams)

    async def remove(self, name: str) -> None:
        """Close one transport; its name is free again."""
        await self._transports[name].close()
        self._transports.pop(name, None)  # the layer may have been closed meanwhile
        self._invalid_hosts.pop(name, None)

    def keep(self, flow: Flow) -> None:
        """Lift the idle limit of a connection whose user has proved who it is."""
        transport = self._transports.get(flow.listener)
        if isinstance(transport, WebSocketListener | StreamTransport):
            transport.keep(flow)

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where the flow is gone."""
        transport = self._transports.get(flow.listener)
        if transport is None:
            raise TransportError(f"the transport of {flow} is closed")
        transport.send(flow, octets)

    def is_ours(self, flow: Flow) -> bool:
        """Whether it is a connection to a server that we have an account or a name for."""
        if flow.transport.is_stream:
            # One that a call's far end has had us open, by its Contact, is nobody's that we know.
            streams = self._transports.get(flow.listener)
            known = isinstance(streams, StreamTransport) and streams.was_wanted(flow)
            return known and flow.listener != STREAMS
        return flow.connection != 0 and self.local_address(flow) is None

    async def close(self) -> None:
        """Close every socket."""
        for transport in list(self._transports.values()):
            await transport.close()
        await self._servers.aclose()
        self._transports.clear()

    # -- the way to a far end ---------------------------------------------------------------------

    async def ways_to(self, uri: Uri, by: str = STREAMS) -> Ways:
        """The ways to a URI (RFC 3263); connections are opened as they are asked for.

        `by` names the connections to use, see `open_streams`. Raises TransportError where the URI
        asks for no transport of ours.
        """
        streams = self._transports.get(by)
        if not isinstance(streams, StreamTransport):
            raise TransportError(f"there are no connections named {by}")
        ipv6 = {":" in transport.local_host for transport in self._datagrams}
        families = {(TransportKind.UDP, each) for each in ipv6}
        families |= {(kind, each) for kind in _STREAM_KINDS for each in (False, True)}
        search = await self._locator.locate(uri, families)
        # Who has failed lately comes last; RFC 3263 §4.3 leaves it to us when to try it again.
        return Ways(
            search,
            lambda place: self._open(place, streams),
            lambda place: self._is_avoided(place.transport, place.host, place.port),
        )

    async def flow_to(self, uri: Uri, by: str = STREAMS) -> Flow:
        """The first way to a URI that can be gone, see `ways_to`. Raises TransportError."""
        ways = await self.ways_to(uri, by)
        return await ways.next()

    async def _open(self, place: Destination, streams: StreamTransport) -> Flow:
        if place.transport is TransportKind.UDP:
            return self._listener_towards(place.host).flow_to(place.host, place.port)
        try:
            return await streams.connect(place.transport, place.host, place.port, place.name)
        except TransportError:
            self.avoid(Flow(place.transport, place.host, place.port))
            raise

    def stream_for(self, flow: Flow) -> Flow | None:
        """The way by TCP to who is reached by UDP; None where it was tried in vain lately."""
        if self._is_avoided(TransportKind.TCP, flow.host, flow.port):
            return None
        return Flow(TransportKind.TCP, flow.host, flow.port, STREAMS)

    def avoid(self, flow: Flow) -> None:
        """There was no answer by a flow: for a while, try others first."""
        now = self._now()
        if len(self._avoided) >= MAXIMUM_AVOIDED:
            kept = {place: until for place, until in self._avoided.items() if until > now}
            self._avoided = {} if len(kept) >= MAXIMUM_AVOIDED else kept
        self._avoided[flow.transport, flow.host, flow.port] = now + self._settings.avoid_s

    def _is_avoided(self, kind: TransportKind, host: str, port: int) -> bool:
        return self._now() < self._avoided.get((kind, host, port), 0.0)

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """Address and port of our end of a flow; None where that is not known."""
        transport = self._transports.get(flow.listener)
        return transport.local_address(flow) if transport is not None else None

    def local_uri(self, flow: Flow, user: str | None) -> Uri:
        """What the far end of a flow is told to reach us at."""
        if flow.transport.is_stream:
            return self._stream_uri(flow, user)
        address = self.local_address(flow)
        if flow.transport is not TransportKind.UDP and address is None:
            # A WebSocket client can't be connected to, and says so (RFC 7118 §5).
            host = self._invalid_hosts.get(flow.listener)
            if host is None:
                host = f"{self._unreachable_name(flow.listener)}.invalid"
                self._invalid_hosts[flow.listener] = host
            return Uri("sip", user, host=host, parameters=(("transport", "ws"),))
        host, port = address or ("localhost", 5060)
        host = self._told(host, flow)
        if flow.transport is TransportKind.UDP:
            return Uri("sip", user, host=host, port=self._settings.advertised_port or port)
        return Uri("sip", user, host=host, port=port, parameters=(("transport", "ws"),))

    def _unreachable_name(self, client: str) -> str:
        if not self._settings.identity:
            return f"{self._random.getrandbits(48):012x}"
        return sha256(f"{self._settings.identity} {client}".encode()).hexdigest()[:12]

    def _stream_uri(self, flow: Flow, user: str | None) -> Uri:
        """Our listener; without one, the connection itself, for who finds it by its address."""
        host, port = self.local_address(flow) or ("", 0)
        if not host:
            with contextlib.suppress(TransportError):
                host = address_towards(flow.host)
        tls = flow.transport is TransportKind.TLS
        if flow.listener == STREAMS:
            listening = self._streams.listening(flow.transport, flow.host)
            told = self._settings.advertised_tls_port if tls else self._settings.advertised_tcp_port
            port = (told if listening else None) or listening or port
        return Uri(
            "sip",
            user,
            host=self._told(host or "localhost", flow),
            port=port or flow.transport.default_port,
            parameters=(("transport", "tls" if tls else "tcp"),),
        )

    def _told(self, host: str, flow: Flow) -> str:
        """Our host as a far end is told: as advertised, but for an address of another family."""
        told = self._settings.advertised_host
        if not told or (is_numeric(told) and is_numeric(flow.host) and _differ(told, flow.host)):
            return host
        return told

    def another_way(self, flow: Flow) -> Flow:
        """To the same far end, where the transport of a flow is not there any more.

        Raises TransportError where there is none.
        """
        if flow.transport.is_stream:
            return Flow(flow.transport, flow.host, flow.port, STREAMS, 0, flow.name)
        return self._listener_towards(flow.host).flow_to(flow.host, flow.port)

    def _listener_towards(self, host: str) -> DatagramTransport:
        """The listener for a numeric host: on the address that faces it, else a wildcard one."""
        family = [t for t in self._datagrams if (":" in t.local_host) == (":" in host)]
        if not family:
            raise TransportError(f"no UDP listener can reach {host}")
        if len(family) == 1:
            return family[0]
        facing = address_towards(host)
        order = [t for t in family if t.local_host == facing]
        order += [t for t in family if t.local_host in ("0.0.0.0", "::")]
        return (order or family)[0]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _check_new(self, name: str) -> None:
        if name in self._transports:
            raise LocalProtocolError(f"there is a transport named {name} already")


def _differ(host: str, other: str) -> bool:
    """Whether one is an IPv4 and the other an IPv6 address."""
    return (":" in host) != (":" in other)
