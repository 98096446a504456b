"""The errors of `signaling`, as one tree.

SignalingError
├── LocalProtocolError          we broke the rules: a call the state does not allow, unsendable text
├── RemoteProtocolError         they did; `status_hint` is the answer that fits
│   ├── SipParseError           the one error of the SIP grammar
│   └── SdpError                the one error of SDP and of offer/answer
├── CredentialsUnavailable      whether somebody is a user can't be said now
└── TransportError              refused, lost, or the name does not resolve
    └── CertificateRefused      the far end's certificate is not trusted
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.sip.message import Request


class SignalingError(Exception):
    """Base of all errors that this package raises on purpose."""


class LocalProtocolError(SignalingError):
    """We broke the rules; nothing was sent."""


class RemoteProtocolError(SignalingError):
    """The far end broke the rules."""

    def __init__(self, text: str, status_hint: int = 400) -> None:
        super().__init__(text)
        self.status_hint = status_hint
        """The status that a request like this is answered with."""


class SipParseError(RemoteProtocolError):
    """Octets that are not SIP (RFC 3261 §25), or that RFC 3261 §8.2 tells us to refuse."""

    def __init__(
        self,
        text: str,
        status_hint: int = 400,
        request: Request | None = None,
        *,
        fatal: bool = False,
    ) -> None:
        super().__init__(text, status_hint)
        self.request = request
        """What could be read of a request, enough for `message.respond`; None means drop it.

        Its typed properties may raise; `headers` hold the text as it came."""
        self.fatal = fatal
        """In a stream: the place of the next message is lost, so the connection must be closed."""


class Misfit(IntEnum):
    """What of a description does not fit, as a Warning header field counts it (RFC 3261 §20.43)."""

    ADDRESS = 301
    TRANSPORT = 302
    MEDIA_TYPE = 304
    FORMAT = 305
    MULTICAST = 330
    OTHER = 399


class SdpError(RemoteProtocolError):
    """A session description that can't be read, or that has nothing in common with ours."""

    def __init__(self, text: str, status_hint: int = 488, misfit: Misfit = Misfit.OTHER) -> None:
        super().__init__(text, status_hint)
        self.misfit = misfit


class CredentialsUnavailable(SignalingError):
    """Whether somebody is a user can't be said now: what knows it does not answer."""


class TransportError(SignalingError):
    """A connection was refused or lost, or a name does not resolve."""


class CertificateRefused(TransportError):
    """The far end's TLS certificate is not trusted."""
