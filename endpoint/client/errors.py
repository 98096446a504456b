"""What can go wrong for a client of the native interface."""

from __future__ import annotations

from endpoint.errors import EndpointError
from endpoint.gateways.native.messages import Refused


class ClientError(EndpointError):
    """Base of the client's errors."""


class EndpointUnreachable(ClientError):
    """No endpoint answers there, or it is not the one whose certificate we trust."""


class RequestRefused(ClientError):
    """The endpoint said no; nothing has changed."""

    def __init__(self, status: int, refused: Refused) -> None:
        text = refused.text
        if refused.field or refused.expected:
            text += f" ({refused.field}: expected {refused.expected or 'something else'})"
        super().__init__(text)
        self.status = status
        """The HTTP status."""
        self.reason = refused.error
        """A stable word, as `invalid_state`."""
        self.refused = refused
