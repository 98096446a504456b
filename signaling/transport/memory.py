"""A network in memory: datagrams and connections in one loop, with loss where a test wants it.

It runs in virtual time: the only clock is the loop's. Ships, so that users can test against it too.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from signaling.errors import TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.transport import Receiver

Address = tuple[str, int]
DropRule = Callable[["Packet"], bool]


@dataclass(frozen=True, slots=True)
class Packet:
    """One message on its way."""

    source: Address
    destination: Address
    octets: bytes
    index: int
    """Counts all messages of the network, from 0."""


class MemoryNetwork:
    """Joins `MemoryTransport`s. `drop` decides what is lost; `sent` keeps all, lost ones too."""

    def __init__(self, *, latency_s: float = 0.0, drop: DropRule | None = None) -> None:
        self.latency_s = latency_s
        self.drop = drop
        self.sent: list[Packet] = []
        self._hosts: dict[Address, MemoryTransport] = {}
        self._connections = itertools.count(1)

    def attach(self, name: str, host: str, port: int, receiver: Receiver) -> MemoryTransport:
        """A new host. Raises TransportError where the address is taken."""
        if (host, port) in self._hosts:
            raise TransportError(f"{host}:{port} is taken")
        transport = MemoryTransport(self, name, (host, port), receiver)
        self._hosts[host, port] = transport
        return transport

    def _detach(self, address: Address) -> None:
        self._hosts.pop(address, None)

    def _connect(self, client: MemoryTransport, server: Address, kind: TransportKind) -> Flow:
        other = self._hosts.get(server)
        if other is None:
            raise TransportError(f"{server[0]}:{server[1]} refused the connection")
        number = next(self._connections)
        ours = Flow(kind, *server, client.name, number)
        theirs = Flow(kind, *client.address, other.name, number)
        client._opened_here.add(number)
        client._opened(ours, other)
        other._opened(theirs, client)
        return ours

    def _carry(
        self, source: Address, destination: Address, octets: bytes, arrive: Callable[[], None]
    ) -> None:
        packet = Packet(source, destination, octets, len(self.sent))
        self.sent.append(packet)
        if self.drop is not None and self.drop(packet):
            return
        loop = asyncio.get_running_loop()
        if self.latency_s:
            loop.call_later(self.latency_s, arrive)
        else:
            loop.call_soon(arrive)

    def _datagram(self, source: Address, destination: Address, octets: bytes) -> None:
        def arrive() -> None:
            host = self._hosts.get(destination)
            if host is not None:  # else nobody listens there, as with UDP
                host._receiver.received(octets, Flow(TransportKind.UDP, *source, host.name, 0))

        self._carry(source, destination, octets, arrive)


class MemoryTransport:
    """One host of a `MemoryNetwork`."""

    def __init__(
        self, network: MemoryNetwork, name: str, address: Address, receiver: Receiver
    ) -> None:
        self._network = network
        self._name = name
        self.address = address
        self._receiver = receiver
        self._peers: dict[int, tuple[Flow, MemoryTransport]] = {}
        self._closed = False
        self._opened_here: set[int] = set()

    def __repr__(self) -> str:
        return f"<MemoryTransport {self._name} {self.address[0]}:{self.address[1]}>"

    @property
    def name(self) -> str:
        """The `listener` of this host's flows."""
        return self._name

    @property
    def local_host(self) -> str:
        """This host's address."""
        return self.address[0]

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """This host's address; None on a connection that we opened."""
        return None if flow.connection in self._opened_here else self.address

    def flow_to(self, host: str, port: int) -> Flow:
        """The datagram flow to another host."""
        return Flow(TransportKind.UDP, host, port, self._name, 0)

    def connect(self, host: str, port: int, kind: TransportKind = TransportKind.WS) -> Flow:
        """Open a connection. Raises TransportError where nobody listens."""
        return self._network._connect(self, (host, port), kind)

    def disconnect(self, flow: Flow, error: TransportError | None = None) -> None:
        """End a connection at both ends; messages on their way are lost."""
        entry = self._peers.get(flow.connection)
        if entry is not None:
            entry[1]._lost(flow.connection, error)
            self._lost(flow.connection, error)

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Raises TransportError where the connection is gone."""
        if self._closed:
            raise TransportError(f"{self!r} is closed")
        if flow.connection == 0:
            self._network._datagram(self.address, (flow.host, flow.port), octets)
            return
        if flow.connection not in self._peers:
            raise TransportError(f"connection to {flow.host}:{flow.port} is closed")
        peer = self._peers[flow.connection][1]

        def arrive() -> None:
            if flow.connection in peer._peers:
                peer._receiver.received(octets, peer._peers[flow.connection][0])

        self._network._carry(self.address, peer.address, octets, arrive)

    async def close(self) -> None:
        """Leave the network."""
        for flow, _ in list(self._peers.values()):
            self.disconnect(flow)
        self._closed = True
        self._network._detach(self.address)

    def _opened(self, flow: Flow, peer: MemoryTransport) -> None:
        self._peers[flow.connection] = (flow, peer)
        self._receiver.opened(flow)

    def _lost(self, connection: int, error: TransportError | None) -> None:
        flow, _ = self._peers.pop(connection)
        self._receiver.closed(flow, error)
