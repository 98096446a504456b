"""A flow: the one way by which octets go to and come from a far end (RFC 5626 §3 has the word)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TransportKind(StrEnum):
    """The transport token of a Via (RFC 3261 §18, RFC 7118 §5)."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"

    @property
    def reliable(self) -> bool:
        """Whether it delivers or fails by itself, so that nothing is sent twice (RFC 3261 §17)."""
        return self is not TransportKind.UDP

    @property
    def secure(self) -> bool:
        """Whether the hop is encrypted."""
        return self in (TransportKind.TLS, TransportKind.WSS)

    @property
    def is_stream(self) -> bool:
        """Whether messages must be cut out of a stream of octets (RFC 3261 §18.3)."""
        return self in (TransportKind.TCP, TransportKind.TLS)

    @property
    def default_port(self) -> int:
        """The port of a URI or Via that names none (RFC 3261 §18.2.2, RFC 7118 §5)."""
        return _DEFAULT_PORTS[self]


_DEFAULT_PORTS = {
    TransportKind.UDP: 5060,
    TransportKind.TCP: 5060,
    TransportKind.TLS: 5061,
    TransportKind.WS: 80,
    TransportKind.WSS: 443,
}


@dataclass(frozen=True, slots=True)
class Flow:
    """One far end, as reached from one listener of ours or over one connection."""

    transport: TransportKind
    host: str
    """The far end's address, as the socket tells it; IPv6 without brackets."""
    port: int
    listener: str = ""
    """Name of the local listener, or of the client connection."""
    connection: int = 0
    """For a stream or WebSocket a number that is never used again.

    0 for datagrams; over TCP and TLS it means whichever connection leads there, a new one where
    none does: see `at`."""
    name: str = ""
    """What a TLS far end must prove to be called, where we connect to it; empty: its address."""

    @property
    def reliable(self) -> bool:
        """Whether nothing has to be sent twice on it."""
        return self.transport.reliable

    @property
    def secure(self) -> bool:
        """Whether it is encrypted."""
        return self.transport.secure

    @property
    def is_address(self) -> bool:
        """Whether it is a place that can be sent to without a connection being there already."""
        return self.connection == 0 and (self.transport.is_stream or not self.reliable)

    def at(self, host: str, port: int) -> Flow:
        """The far end at an address, by the same transport and listener but no connection."""
        return Flow(self.transport, host, port, self.listener, 0, self.name)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        suffix = f"#{self.connection}" if self.connection else ""
        return f"{self.transport}:{host}:{self.port}{suffix}"
