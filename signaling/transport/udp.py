"""SIP over UDP, IPv4 and IPv6 (RFC 3261 §18)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import Any, cast

from signaling.errors import TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.transport import Receiver

RECEIVE_BUFFER = 4 * 1024 * 1024


class UdpTransport(asyncio.DatagramProtocol):
    """One bound UDP socket. Made by `open`."""

    def __init__(self, name: str, receiver: Receiver) -> None:
        self._name = name
        self._receiver = receiver
        self._socket: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self._congested = False
        self._error: Exception | None = None
        self.address: tuple[str, int] = ("", 0)
        """Host and port that are bound."""

    @classmethod
    async def open(cls, name: str, host: str, port: int, receiver: Receiver) -> UdpTransport:
        """Bind; port 0 takes a free one. Raises TransportError where the address is not free."""
        loop = asyncio.get_running_loop()
        try:
            family, address = await address_to_bind(host, port, socket.SOCK_DGRAM)
            bound = socket.socket(family, socket.SOCK_DGRAM)
            try:
                if family == socket.AF_INET6:  # what comes by IPv4 is for a listener of IPv4
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.bind(address)
                _, transport = await loop.create_datagram_endpoint(
                    lambda: cls(name, receiver), sock=bound
                )
            except BaseException:
                bound.close()
                raise
        except OSError as error:
            raise TransportError(
                f"UDP {host}:{port} can't be bound: {error.strerror or error}"
            ) from error
        return transport

    def __repr__(self) -> str:
        state = "closed" if self._socket is None else f"{self.address[0]}:{self.address[1]}"
        return f"<UdpTransport {self._name} {state}>"

    @property
    def name(self) -> str:
        """The `listener` of this socket's flows."""
        return self._name

    @property
    def local_host(self) -> str:
        """The bound address; `0.0.0.0` or `::` for all."""
        return self.address[0]

    def local_address(self, flow: Flow) -> tuple[str, int]:
        """The bound address; of a wildcard, the one that faces the far end."""
        host, port = self.address
        if host in ("0.0.0.0", "::"):
            with contextlib.suppress(TransportError):
                host = address_towards(flow.host)
        return host, port

    @property
    def is_open(self) -> bool:
        """Whether datagrams come."""
        return self._socket is not None and not self._socket.is_closing()

    def flow_to(self, host: str, port: int) -> Flow:
        """The flow to a far end, given by its numeric address."""
        return Flow(TransportKind.UDP, host, port, self._name, 0)

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one datagram. Raises TransportError where the system refuses it at once."""
        if self._socket is None:
            raise TransportError(f"UDP listener {self._name} is closed")
        if self._congested:
            raise TransportError(f"UDP listener {self._name} is congested")
        self._error = None
        self._socket.sendto(octets, (flow.host, flow.port))
        # asyncio reports what sendto() raised by error_received(), before it returns.
        if self._error is not None:
            raise TransportError(f"UDP to {flow.host}:{flow.port}: {self._error}") from self._error

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            await self._closed

    # -- asyncio.DatagramProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        self._socket = cast(asyncio.DatagramTransport, transport)  # no subclass of it, before 3.12
        # As much as the system grants: in a flood what is short is first the queue, and phones'
        # messages are lost with the rest.
        bound = transport.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, octets: bytes, address: tuple[str | Any, int]) -> None:
        """One datagram came; empty ones and keep-alives end here."""
        if not octets.strip(b"\r\n\0 "):
            return
        host, port = address[:2]
        self._receiver.received(octets, self.flow_to(host.partition("%")[0], port))

    def error_received(self, error: Exception) -> None:
        """The last `sendto` failed, or an ICMP error came for this socket."""
        self._error = error

    def pause_writing(self) -> None:
        """The system takes no more; what is sent now is refused, not queued."""
        self._congested = True

    def resume_writing(self) -> None:
        """It takes more again."""
        self._congested = False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._socket = None
        if not self._closed.done():
            self._closed.set_result(None)


async def address_to_bind(
    host: str, port: int, kind: socket.SocketKind
) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The family and address of a host of ours. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=kind, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    return family, address


def is_numeric(host: str) -> bool:
    """Whether a host is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def address_towards(host: str) -> str:
    """The local address that faces a numeric host. Sends nothing. Raises TransportError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError as error:
            raise TransportError(f"no route to {host}: {error.strerror or error}") from error
        return str(probe.getsockname()[0])
