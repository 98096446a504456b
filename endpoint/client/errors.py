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
        super().__init__(in_words(refused))
        self.status = status
        """The HTTP status."""
        self.reason = refused.error
        """A stable word, as `invalid_state`."""
        self.refused = refused


def in_words(refused: Refused) -> str:
    """What it says, with every field that is wrong."""
    if len(refused.mistakes) > 1:
        said = (
            f"{each.field}: found {each.found}, expected {each.expected}"
            for each in refused.mistakes
        )
        return f"{refused.text}: {'; '.join(said)}"
    if refused.field or refused.expected:
        return f"{refused.text} ({refused.field}: expected {refused.expected or 'something else'})"
    return refused.text
