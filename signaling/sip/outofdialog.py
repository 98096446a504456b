"""A request outside any dialog (RFC 3261 §8.1), on its way down to the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfDialogRequest:
    """What is to be sent, and by which way; never an INVITE."""

    method: str
    target: Uri
    """The Request-URI."""
    from_: NameAddr
    """Without its tag."""
    to: NameAddr
    flow: Flow | None = None
    """None: the target's host is resolved, and its servers are tried in turn (RFC 3263)."""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    content_type: str | None = None
    credentials: DigestCredentials | None = None
    """For a challenge; none: it is the answer."""
    routes: Sequence[NameAddr] = ()
