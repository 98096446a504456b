"""The transport layer of one user agent (RFC 3261 §18): its sockets, and the way to a far end."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from signaling.errors import LocalProtocolError, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.uri import Uri
from signaling.transport import DatagramTransport, Receiver, Transport
from signaling.transport.udp import UdpTransport, address_towards, is_numeric, resolve
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


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Where we are reached, and the limits of what reaches us."""

    advertised_host: str | None = None
    """What far ends are told to reach us at; None: the local address that faces them."""
    advertised_port: int | None = None
    """The same for UDP ports; None: the bound one."""
    websocket: WebSocketSettings = field(default_factory=WebSocketSettings)
    origin_rule: OriginRule = refuse_browsers
    """Which pages may connect to the WebSocket listener."""


class TransportLayer:
    """All transports of one user agent, by name."""

    def __init__(self, receiver: Receiver, settings: TransportSettings, random: Random) -> None:
        self._receiver = receiver
        self._settings = settings
        self._random = random
        self._websocket = WebSocketListener(
            WEBSOCKET_LISTENER, receiver, settings.websocket, settings.origin_rule
        )
        self._transports: dict[str, Transport] = {WEBSOCKET_LISTENER: self._websocket}
        self._datagrams: list[DatagramTransport] = []
        self._invalid_hosts: dict[str, str] = {}
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

    def attach(self, transport: DatagramTransport) -> None:
        """Use a datagram transport made elsewhere."""
        self._check_new(transport.name)
        self._transports[transport.name] = transport
        self._datagrams.append(transport)

    async def remove(self, name: str) -> None:
        """Close one transport; its name is free again."""
        await self._transports[name].close()
        del self._transports[name]
        self._invalid_hosts.pop(name, None)

    def keep(self, flow: Flow) -> None:
        """Lift the idle limit of a WebSocket whose user has proved who it is."""
        if flow.listener == WEBSOCKET_LISTENER:
            self._websocket.keep(flow)

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where the flow is gone."""
        transport = self._transports.get(flow.listener)
        if transport is None:
            raise TransportError(f"the transport of {flow} is closed")
        transport.send(flow, octets)

    def is_ours(self, flow: Flow) -> bool:
        """Whether it is a connection that we opened."""
        return flow.connection != 0 and self._local_address(flow) is None

    async def close(self) -> None:
        """Close every socket."""
        for transport in self._transports.values():
            await transport.close()
        await self._servers.aclose()
        self._transports.clear()

    # -- the way to a far end ---------------------------------------------------------------------

    async def flow_to(self, uri: Uri) -> Flow:
        """The datagram flow to a URI's host. Raises TransportError."""
        transport = (uri.parameter("transport") or "udp").lower()
        if transport != "udp" or uri.scheme != "sip":
            raise TransportError(f"{uri} asks for a connection, and there is none")
        host, port = uri.parameter("maddr") or uri.host, uri.port or 5060
        if not is_numeric(host):
            families = [":" in transport.local_host for transport in self._datagrams]
            host, port = await resolve(host, port, ipv4=False in families, ipv6=True in families)
        return self._listener_towards(host).flow_to(host, port)

    def local_uri(self, flow: Flow, user: str | None) -> Uri:
        """What the far end of a flow is told to reach us at."""
        address = self._local_address(flow)
        if flow.transport is not TransportKind.UDP and address is None:
            # A WebSocket client can't be connected to, and says so (RFC 7118 §5).
            host = self._invalid_hosts.get(flow.listener)
            if host is None:
                host = f"{self._random.getrandbits(48):012x}.invalid"
                self._invalid_hosts[flow.listener] = host
            return Uri("sip", user, host=host, parameters=(("transport", "ws"),))
        host, port = address or ("localhost", 5060)
        host = self._settings.advertised_host or host
        if flow.transport is TransportKind.UDP:
            return Uri("sip", user, host=host, port=self._settings.advertised_port or port)
        return Uri("sip", user, host=host, port=port, parameters=(("transport", "ws"),))

    def _local_address(self, flow: Flow) -> tuple[str, int] | None:
        transport = self._transports.get(flow.listener)
        return transport.local_address(flow) if transport is not None else None

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

    def _check_new(self, name: str) -> None:
        if name in self._transports:
            raise LocalProtocolError(f"there is a transport named {name} already")
