"""REFERs as objects of the event loop: ours, and those that come in (RFC 3515)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from signaling.mailbox import Mailbox
from signaling.sip.events import ReferCompleted, ReferEvent
from signaling.sip.headers import NameAddr
from signaling.sip.refer import ReferRecipient
from signaling.sip.replaces import Replaces
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.session import InviteSession


class Clock(Protocol):
    """What a REFER needs of its user agent."""

    def now(self) -> float:
        """The loop's clock."""

    def drain(self) -> None:
        """Send and tell what the last mutation of the stack brought."""


class Refer:
    """A REFER of ours: what becomes of it, from `InviteSession.refer`."""

    def __init__(self) -> None:
        self._mailbox: Mailbox[ReferEvent] = Mailbox()
        self._completed: ReferCompleted | None = None

    def __repr__(self) -> str:
        return f"<Refer {self._completed or 'open'}>"

    def events(self) -> AsyncIterator[ReferEvent]:
        """`ReferAccepted`?, `ReferProgress`…, and `ReferCompleted` as the last. One reader."""
        return self._mailbox

    async def outcome(self) -> ReferCompleted:
        """Wait for the last event, and pass over those before it."""
        async for _ in self._mailbox:
            pass
        return self._completed or ReferCompleted(None)

    def deliver(self, event: ReferEvent) -> None:
        """For the user agent: tell the reader."""
        self._mailbox.put(event)
        if isinstance(event, ReferCompleted):
            self._completed = event
            self._mailbox.close()


class Referred:
    """The far end of a call asks us to call somebody: `accept` or `refuse` is owed.

    After `accept`, what becomes of it is told by `progress`, and once by `complete`; that the far
    end has hung up, or does not listen, changes nothing. Methods raise LocalProtocolError where it
    was decided already.
    """

    def __init__(
        self, recipient: ReferRecipient, clock: Clock, replaced: InviteSession | None
    ) -> None:
        self._recipient = recipient
        self._clock = clock
        self.replaced = replaced
        """The call of ours that is to be taken over (RFC 3891): it is with whom is to be called."""

    def __repr__(self) -> str:
        return f"<Referred {self._recipient!r}>"

    @property
    def refer_to(self) -> Uri:
        """Whom to call."""
        return self._recipient.refer_to

    @property
    def replaces(self) -> Replaces | None:
        """Which call there to take over; not of ours where `replaced` is None."""
        return self._recipient.replaces

    @property
    def referred_by(self) -> NameAddr | None:
        """As the far end says it (RFC 3892); it may say anything."""
        return self._recipient.referred_by

    def accept(self) -> None:
        """Answer 202: we try."""
        self._recipient.accept(now=self._clock.now())
        self._clock.drain()

    def refuse(self, status: int, reason: str | None = None) -> None:
        """Answer 3xx-6xx: we don't."""
        self._recipient.refuse(status, reason, now=self._clock.now())
        self._clock.drain()

    def progress(self, status: int) -> None:
        """Tell a 101-199 of the call that was asked for."""
        self._recipient.progress(status, now=self._clock.now())
        self._clock.drain()

    def complete(self, status: int, reason: str = "") -> None:
        """Tell its final status."""
        self._recipient.complete(status, reason, now=self._clock.now())
        self._clock.drain()
