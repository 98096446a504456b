"""Text messages between users of one server (MESSAGE in pager mode, RFC 3428)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from signaling.errors import SipParseError, TransportError
from signaling.sip.events import RequestCompleted
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.uri import Uri

ACCEPT = ("Accept", "text/plain")
LONGEST_OCTETS = 1300
"""What RFC 3428 §8 allows where a hop may be UDP."""
DELIVERY_TIMEOUT_S = 20.0
"""Less than the sender waits for us (timer F, 32 s)."""


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A text that a user has sent, or was sent to one."""

    sender: str
    recipient: str
    text: str = field(repr=False)
    """For the two of them; in no log."""
    status: int
    """What the sender was told: 200 where a phone of the recipient took it."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One place to deliver to."""

    uri: Uri
    flow: Flow
    routes: Sequence[NameAddr] = ()


class Sender(Protocol):
    """What delivers: a user agent."""

    async def request(self, wanted: OutOfDialogRequest) -> RequestCompleted:
        """Send a request outside any dialog and wait for its final response."""


def unfit(request: Request) -> tuple[int, Sequence[tuple[str, str]]] | None:
    """Why a MESSAGE is refused whoever sends it: status and headers."""
    try:
        if request.content_type != "text/plain":
            return 415, (ACCEPT,)
    except SipParseError:
        return 415, (ACCEPT,)
    return (413, ()) if len(request.body) > LONGEST_OCTETS else None


async def deliver(
    sender: Sender, phones: Sequence[Phone], *, from_: NameAddr, to: NameAddr, body: bytes
) -> int:
    """Send a text to every phone of a user at once.

    Returns 200 where one took it, else what one said; 480 where there is none, 408 where all are
    silent.
    """
    if not phones:
        return 480
    statuses = await asyncio.gather(
        *(_deliver_to(sender, phone, from_, to, body) for phone in phones)
    )
    taken = [status for status in statuses if 200 <= status < 300]
    return 200 if taken else max(statuses, key=lambda status: status not in (408, 503))


async def _deliver_to(
    sender: Sender, phone: Phone, from_: NameAddr, to: NameAddr, body: bytes
) -> int:
    try:
        async with asyncio.timeout(DELIVERY_TIMEOUT_S):
            done = await sender.request(
                OutOfDialogRequest(
                    method="MESSAGE",
                    target=phone.uri,
                    from_=from_,
                    to=to,
                    flow=phone.flow,
                    body=body,
                    content_type="text/plain",
                    routes=phone.routes,
                )
            )
    except (TimeoutError, TransportError):
        return 408
    # A phone has no business with our password, nor a sender with its redirections.
    return done.status if done.status < 300 or done.status >= 404 else 480
