"""What every transport offers, and what it delivers to.

A transport moves whole SIP messages; it knows nothing of transactions. Its `name` is the `listener`
of the flows that it makes, so an owner of several finds the one that a flow belongs to.
"""

from __future__ import annotations

from typing import Protocol

from signaling.errors import SipParseError, TransportError
from signaling.sip.flow import Flow
from signaling.sip.message import Message


class Receiver(Protocol):
    """Whom a transport delivers to; never from inside `send`."""

    def received(
        self, octets: bytes, flow: Flow, message: Message | SipParseError | None = None
    ) -> None:
        """One message (or one datagram) came; `message` is what it is, where it is read already."""

    def pinged(self, flow: Flow) -> bool:
        """A keep-alive of CRLFs came over a connection; whether it is answered."""

    def opened(self, flow: Flow) -> None:
        """A connection is up and can be sent on."""

    def closed(self, flow: Flow, error: TransportError | None) -> None:
        """A connection is gone, once for each `opened`; no `error` where it ended in good order.

        Also of an address (a flow of no connection): what was sent there is lost.
        """


class Transport(Protocol):
    """One listener, or one client connection."""

    @property
    def name(self) -> str:
        """The `listener` of this transport's flows."""

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message; never blocks. Raises TransportError where the flow is gone."""

    def local_address(self, flow: Flow) -> tuple[str, int] | None:
        """Where the far end could reach us; None where it can't, as with a WebSocket client."""

    async def close(self) -> None:
        """Close every socket; flows end with `closed`. Safe to call twice."""


class DatagramTransport(Transport, Protocol):
    """A transport that needs no connection."""

    @property
    def local_host(self) -> str:
        """The bound address; `0.0.0.0` or `::` for all."""

    @property
    def is_open(self) -> bool:
        """Whether datagrams come."""

    def flow_to(self, host: str, port: int) -> Flow:
        """The flow to a far end, given by its numeric address."""
