"""A call whose signalling and RTP are PJSIP's, as a session of the legs.

PJSIP makes offers and answers of its own. Between it and the leg stands another description: of the
L16 that goes from process to process on this machine. A hold, theirs or ours, is in both.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from endpoint.errors import MediaError
from endpoint.legs.base import DigitKind
from endpoint.legs.cause import ProcessLost
from endpoint.legs.info import parse_info_digit
from endpoint.legs.session import CallSession
from endpoint.legs.terms import LOCAL_L16
from endpoint.media.messages import Command, Done
from endpoint.media.pjsip import messages as w
from signaling.errors import LocalProtocolError, SdpError
from signaling.mailbox import Mailbox
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.negotiation import LocalAudio, make_answer, make_offer
from signaling.sip.events import ReferCompleted
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request
from signaling.sip.offers import OfferSource
from signaling.sip.replaces import Replaces
from signaling.user_agent import (
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    Progress,
    Refer,
    Reinvited,
    SessionEvent,
)

log = structlog.get_logger(__name__)


class Asking(Protocol):
    """What a session needs of its line."""

    audio_host: str
    digits: DigitKind

    async def request(self, command: Command[Done]) -> Done:
        """Ask the process. Raises MediaError."""

    def send(self, command: Command[Done]) -> None:
        """The same, and nobody waits."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside."""


class PjsipSession(CallSession):
    """One call, in either role."""

    authenticated_user: str | None = None
    replaces: CallSession | None = None
    rings_reliably = False

    def __init__(
        self,
        line: Asking,
        name: w.CallName,
        flow: Flow,
        *,
        local: NameAddr,
        remote: NameAddr,
        invite: Request | None = None,
        rtp_port: int = 0,
    ) -> None:
        """A call that came in has its `invite`, and takes audio at `rtp_port` already."""
        self.id = name
        self._line = line
        self._flow = flow
        self._local, self._remote = local, remote
        self._invite = invite
        self._mailbox: Mailbox[SessionEvent] = Mailbox()
        self._call_id = ""
        self._tags = ("", "")
        self._session_id = secrets.randbits(31)
        self._rtp_port = rtp_port
        self._offer: SessionDescription | None = None
        """Of the leg, that our answer is about."""
        self._said: SessionDescription | None = None
        self._held_by_us = False
        self._held_by_them = False
        self._is_heard = invite is not None
        self._is_answered = False
        self._holding: asyncio.Future[int] | None = None
        self._refer: Refer | None = None
        self._ended: Ended | None = None

    def __repr__(self) -> str:
        return f"<PjsipSession {self.id} {self.remote.uri}{' ended' if self._ended else ''}>"

    # -- what it is -----------------------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """See `CallSession`."""
        return self._call_id

    @property
    def local(self) -> NameAddr:
        """See `CallSession`."""
        return self._local

    @property
    def remote(self) -> NameAddr:
        """See `CallSession`."""
        return self._remote

    @property
    def flow(self) -> Flow | None:
        """See `CallSession`."""
        return self._flow

    @property
    def request(self) -> Request:
        """See `CallSession`."""
        if self._invite is None:
            raise LocalProtocolError("PJSIP does not show what it has sent")
        return self._invite

    @property
    def is_heard(self) -> bool:
        """See `CallSession`."""
        return self._is_heard

    @property
    def sdp(self) -> bytes | None:
        """See `CallSession`: what the process takes and sends of a call that came in."""
        return self._describe() if self._invite is not None else None

    def events(self) -> AsyncIterator[SessionEvent]:
        """See `CallSession`."""
        return self._mailbox

    # -- asked by the leg -----------------------------------------------------------------------

    def place(
        self, target: str, from_: str, headers: Sequence[tuple[str, str]], sdp: bytes
    ) -> None:
        """Send the INVITE; an empty `from_` is the account's own."""
        host, port = self._take(sdp)
        command = w.PlaceCall(self.id, target, from_, list(headers), host, port)
        self._line.spawn(self._place(command))

    async def _place(self, command: w.PlaceCall) -> None:
        try:
            await self._line.request(command)
        except MediaError as exc:
            self.end(Ended(by_remote=True, status=503, reason_text=str(exc)))

    def ring(self, sdp: bytes | None = None) -> None:
        """See `CallSession`."""
        host, port = self._address_in(sdp) if sdp is not None else ("", 0)
        self._line.send(w.RingCall(self.id, host, port))

    def accept(self, sdp: bytes) -> None:
        """See `CallSession`."""
        self._line.send(w.AnswerCall(self.id, *self._address_in(sdp)))

    def hang_up(
        self,
        status: int = 480,
        q850: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """See `CallSession`. PJSIP says no header of ours."""
        if self._ended is None:
            self._line.send(w.EndCall(self.id, status))

    async def reinvite(self, offer: OfferSource) -> tuple[int, bytes | None]:
        """See `CallSession`."""
        made = offer() if callable(offer) else offer
        if self._ended is not None or made is None:
            raise LocalProtocolError("there is no call, or nothing to offer in it")
        self._take(made)
        assert self._offer is not None
        held = not self._offer.direction_of(self._offer.media[0]).receives
        if held is not self._held_by_us:
            self._holding = asyncio.get_running_loop().create_future()
            try:
                await self._line.request(w.HoldCall(self.id, held))
                status = await self._holding
            except MediaError as exc:
                log.info("re-INVITE not sent", session=self.id, reason=str(exc))
                status = 491
            finally:
                self._holding = None
            if not 200 <= status < 300:
                return status, None
            self._held_by_us = held
        return 200, self._answer()

    def may_update(self) -> bool:
        """See `CallSession`."""
        return False

    def answer_reinvite(self, sdp: bytes, fork: str = "") -> bool:
        """See `CallSession`: PJSIP has answered already."""
        return True

    def reject_reinvite(
        self, status: int, fork: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """See `CallSession`: likewise."""

    async def info(
        self, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> int:
        """See `CallSession`: digits alone, in the way of the line."""
        found = parse_info_digit(content_type, body)
        if found is None or self._ended is not None:
            return 415
        by_info = self._line.digits is DigitKind.INFO
        try:
            await self._line.request(w.SendDigit(self.id, *found, by_info))
        except MediaError as exc:
            log.warning("digit not sent", session=self.id, reason=str(exc))
            return 503
        return 200

    def refer(self, refer_to: NameAddr, *, referred_by: NameAddr | None = None) -> Refer:
        """See `CallSession`."""
        self._complete_refer(None)
        refer = self._refer = Refer()
        by = "" if referred_by is None else str(referred_by)
        self._line.spawn(self._ask(w.ReferCall(self.id, str(refer_to), by)))
        return refer

    async def _ask(self, command: w.ReferCall) -> None:
        try:
            await self._line.request(command)
        except MediaError as exc:
            self._complete_refer(503, str(exc))

    def replaces_header(self) -> str:
        """See `CallSession`."""
        local, remote = self._tags
        if not (self._call_id and local and remote):
            raise LocalProtocolError("the dialog is not known")
        return str(Replaces(self._call_id, to_tag=remote, from_tag=local))

    # -- told by the process --------------------------------------------------------------------

    def take(self, notice: w.CallNotice) -> None:
        """What PJSIP says of the call."""
        match notice:
            case w.CallArrived():
                pass
            case w.CallPlaced(call_id=call_id, rtp_port=rtp_port):
                self._call_id, self._rtp_port = call_id, rtp_port
            case w.CallProgress(status=status, reason=reason):
                self._is_heard = True
                self._mailbox.put(Progress(status, reason))
            case w.CallHeard():
                if self._invite is None:
                    self._mailbox.put(Progress(183, "Session Progress", self._answer()))
            case w.CallConfirmed():
                self._confirmed(notice)
            case w.FarEndHeld(held=held):
                self._held_by_them = held
                if self._is_answered:
                    self._mailbox.put(Reinvited(self._describe()))
            case w.HoldAnswered(status=status):
                if self._holding is not None and not self._holding.done():
                    self._holding.set_result(status)
            case w.DigitHeard(digit=digit, duration_ms=duration_ms):
                body = f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode()
                self._mailbox.put(InfoReceived("application/dtmf-relay", body))
            case w.ReferTold(status=status, reason=reason, final=final):
                if final:
                    self._complete_refer(status, reason)
            case w.CallMoved(to=to):
                log.warning("far end had another take its place", session=self.id, to=to)
            case w.CallEnded():
                self.end(
                    Ended(
                        by_remote=notice.by_remote,
                        status=None if self._is_answered else notice.status,
                        reason_text=notice.reason,
                        q850=notice.q850,
                    )
                )

    def lose(self, reason: str) -> None:
        """The process is gone."""
        self.end(Ended(by_remote=True, reason_text=reason, error=ProcessLost(reason)))

    def end(self, ended: Ended) -> None:
        """It is over, once."""
        if self._ended is not None:
            return
        self._ended = ended
        if self._holding is not None and not self._holding.done():
            self._holding.set_result(481)
        self._complete_refer(503 if ended.error is not None else None)
        self._mailbox.put(ended)
        self._mailbox.close()

    def _confirmed(self, notice: w.CallConfirmed) -> None:
        self._call_id = notice.call_id
        self._tags = notice.local_tag, notice.remote_tag
        if self._is_answered:
            return
        self._is_answered = True
        if self._invite is None:
            self._mailbox.put(Answered(self._answer()))
        else:
            self._mailbox.put(Confirmed())
            if self._held_by_them:
                self._mailbox.put(Reinvited(self._describe()))

    def _complete_refer(self, status: int | None, reason: str = "") -> None:
        refer, self._refer = self._refer, None
        if refer is not None:
            refer.deliver(ReferCompleted(status, reason))

    # -- descriptions ---------------------------------------------------------------------------

    @property
    def _audio(self) -> LocalAudio:
        return LocalAudio(
            host=self._line.audio_host,
            rtp_port=self._rtp_port,
            session_id=self._session_id,
            codecs=(LOCAL_L16,),
        )

    @property
    def _direction(self) -> Direction:
        """Of the audio that comes from the process: who is held by the far end is not heard."""
        return Direction.of(sends=True, receives=not self._held_by_them)

    def _describe(self) -> bytes:
        """What we offer the leg."""
        self._said = make_offer(self._audio, self._direction, previous=self._said)
        return self._said.serialise()

    def _answer(self) -> bytes:
        """What we answer the leg's offer."""
        if self._offer is None:
            raise LocalProtocolError("the leg has offered nothing")
        self._said, _ = make_answer(self._offer, self._audio, self._direction, previous=self._said)
        return self._said.serialise()

    def _take(self, sdp: bytes) -> tuple[str, int]:
        """Keep an offer of the leg's. Returns where the media plane takes audio."""
        self._offer = SessionDescription.parse(sdp)
        return self._address_in(sdp)

    def _address_in(self, sdp: bytes) -> tuple[str, int]:
        described = SessionDescription.parse(sdp)
        if not described.media:
            raise SdpError("the leg describes no audio")
        return described.host_of(described.media[0]) or "", described.media[0].port
