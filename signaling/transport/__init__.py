"""What every transport offers, and what it delivers to.

A transport moves whole SIP messages; it knows nothing of transactions. Its `name` is the `listener` of the flows
that it makes, so an owner of several finds the one that a flow belongs to.
"""

from __future__ import annotations

from typing import Protocol

from signaling.errors import TransportError
from signaling.sip.flow import Flow


class Receiver(Protocol):
    """Whom a transport delivers to. All calls come from the event loop, never from inside `send`."""

    def received(self, octets: bytes, flow: Flow) -> None:
        """One message (or one datagram) came."""

    def opened(self, flow: Flow) -> None:
        """A connection is up and can be sent on."""

    def closed(self, flow: Flow, error: TransportError | None) -> None:
        """A connection is gone; `error` is None where it was closed in good order. Sent once for each `opened`."""


class Transport(Protocol):
    """One listener, or one client connection."""

    @property
    def name(self) -> str:
        """The `listener` of this transport's flows."""

    def send(self, flow: Flow, octets: bytes) -> None:
        """Send one message. Never blocks. Raises TransportError where the flow is known to be gone."""

    async def close(self) -> None:
        """Close every socket; flows end with `closed`. Safe to call twice."""
