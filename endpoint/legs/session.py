"""What a leg needs of one call's signalling, whoever speaks SIP for us: our own stack, or PJSIP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request
from signaling.sip.offers import OfferSource
from signaling.user_agent import Refer, SessionEvent


class CallSession(Protocol):
    """One call, in either role: the face of `InviteSession`, where each member is described."""

    id: str
    authenticated_user: str | None

    @property
    def replaces(self) -> CallSession | None:
        """The call that this one takes over."""

    @property
    def call_id(self) -> str:
        """The Call-ID; empty before the INVITE was sent."""

    @property
    def local(self) -> NameAddr:
        """Our address."""

    @property
    def remote(self) -> NameAddr:
        """The far end's address."""

    @property
    def request(self) -> Request:
        """The INVITE that began it."""

    @property
    def flow(self) -> Flow | None:
        """How the far end is reached."""

    @property
    def sdp(self) -> bytes | None:
        """The far end's current description."""

    @property
    def is_heard(self) -> bool:
        """Whether anything came back for our INVITE."""

    @property
    def rings_reliably(self) -> bool:
        """Whether what `ring` says is acknowledged."""

    def ring(self, sdp: bytes | None = None) -> None:
        """Send 180, or 183 with a description."""

    def accept(self, sdp: bytes) -> None:
        """Answer 200."""

    def hang_up(
        self,
        status: int = 480,
        q850: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Whatever the state needs. Never raises."""

    async def reinvite(self, offer: OfferSource) -> tuple[int, bytes | None]:
        """Offer anew; the final status and its description."""

    def may_update(self) -> bool:
        """Whether a call that rings can be offered anew."""

    def answer_reinvite(self, sdp: bytes, fork: str = "") -> bool:
        """Answer `Reinvited`."""

    def reject_reinvite(
        self, status: int, fork: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Refuse `Reinvited`."""

    async def info(
        self, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> int:
        """Send INFO; the final status."""

    def refer(self, refer_to: NameAddr, *, referred_by: NameAddr | None = None) -> Refer:
        """Ask the far end to call somebody."""

    def replaces_header(self) -> str:
        """What lets who is told it take our place. Raises LocalProtocolError."""

    def events(self) -> AsyncIterator[SessionEvent]:
        """Everything that happens, in order; ends after `Ended`."""
