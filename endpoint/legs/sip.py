"""A SIP leg in its call: one INVITE session, one end of audio, and what may be done to it.

How a call begins is in `placed` and `offered`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.legs.audio_end import AudioEnd, Protection, encodings_of
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    DigitDetected,
    DigitKind,
    DigitsSent,
    FarEndHold,
    InteractionId,
    LegAnswered,
    LegEvent,
    LegHeld,
    LegId,
    LegRetrieved,
    LegRole,
    MediaInterrupted,
    MediaResumed,
    Side,
    TransferOutcome,
)
from endpoint.legs.cause import MEDIA_FAILURES, cause_of_end, cause_of_status
from endpoint.legs.info import (
    DIGITS,
    TRICKLE_HEADERS,
    InfoForm,
    format_info_digit,
    is_fragment,
    parse_info_digit,
)
from endpoint.legs.leg import GiveUp, Leg, LegSettings
from endpoint.legs.line import NO_TRANSFERS, Transfers
from endpoint.legs.ports import LegPorts
from endpoint.legs.referrals import Referrals
from endpoint.legs.session import CallSession
from endpoint.legs.terms import AudioTerms
from endpoint.media import messages as m
from signaling.errors import LocalProtocolError, SdpError
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.ice import FRAGMENT_CONTENT_TYPE
from signaling.sdp.negotiation import Negotiated
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.sip.warning import warning_of
from signaling.user_agent import (
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    InfoReceived,
    Progress,
    Refer,
    Referred,
    Refreshed,
    Reinvited,
    SessionEvent,
)

log = structlog.get_logger(__name__)


class SipLeg(Leg):
    """What placed and offered legs share once they have a session."""

    def __init__(
        self,
        leg: LegId,
        interaction: InteractionId,
        role: LegRole,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
        *,
        faced: Callable[[], Sequence[str]],
        referrals: Referrals,
    ) -> None:
        """Make a leg; `faced` says what codecs whom it talks with takes, as far as known.

        `referrals` takes a REFER of its far end.
        """
        super().__init__(leg, interaction, role, ports, settings, emit)
        self._faced = faced
        self._referrals = referrals
        self._sessions: list[CallSession] = []
        self._changing = asyncio.Lock()
        """One re-INVITE of ours at a time."""
        self._informing = asyncio.Lock()
        """One digit at a time, in their order."""

    session: CallSession | None = None
    """The one that holds the call; a placed leg has none before the answer."""
    _transfers: Transfers = NO_TRANSFERS
    """What its line does about transfers."""
    _referring: asyncio.Task[None] | None = None
    """Waits for what its far end tells of a REFER of ours."""
    _audio: AudioEnd | None = None
    """What is heard of the leg: its call's audio; before the answer, that of who is heard early."""
    _awaited: SessionDescription | None = None
    """An offer of ours in a 2xx, whose answer comes in the ACK (RFC 3261 §13.2.1)."""
    _talking: bool = False
    """Answered, and `LegAnswered` was said."""
    _held_by_us: bool = False
    _held_by_them: bool = False
    _said_held: bool = False
    _is_interrupted: bool = False
    """The far end was lost, and a new way to it is looked for."""
    _info_form: InfoForm = InfoForm.RELAY
    """Of the digits that we send in INFO; the other one where the far end knows that alone."""

    @property
    def sip_call_ids(self) -> Sequence[str]:
        """See `Leg`."""
        return [each.call_id for each in self._sessions if each.call_id]

    # -- media ----------------------------------------------------------------------------------

    @property
    def encodings(self) -> tuple[str, ...]:
        """See `Leg`."""
        if self._audio is None or self._audio.current is None:
            return ()
        return encodings_of(self._audio.current)

    @property
    def digit_kind(self) -> DigitKind:
        """See `Leg`."""
        return self._audio.terms.digits if self._audio is not None else DigitKind.EVENTS

    async def _open_audio(
        self,
        protection: Protection,
        *,
        controlling: bool,
        trickle: bool = False,
        terms: AudioTerms | None = None,
    ) -> AudioEnd:
        """Open one end of audio, that is in no route yet."""
        try:
            return await self._ports.open_end(
                self.id,
                protection,
                controlling=controlling,
                rtp_timeout_s=self._settings.media_timeout_s,
                trickle=trickle,
                terms=terms,
            )
        except MediaUnavailable:
            raise
        except MediaError as exc:
            raise GiveUp(Cause.OVERLOAD, str(exc)) from exc

    def _use(self, audio: AudioEnd) -> None:
        """From now on this is what is heard of the leg."""
        self._audio = audio
        self._ports.use(self.id, audio)

    @property
    def _in_call(self) -> AudioEnd:
        """The audio of a leg that has a call."""
        if self._audio is None:
            raise LocalProtocolError("the leg has no audio yet")
        return self._audio

    async def _agree(self, agreed: Negotiated) -> None:
        """Let the port do what was negotiated."""
        try:
            await self._in_call.agree(agreed)
        except MediaUnavailable:
            raise
        except MediaError as exc:
            raise GiveUp(Cause.INCOMPATIBLE_MEDIA, str(exc)) from exc

    @property
    def _direction(self) -> Direction:
        """What we want now."""
        return Direction.SENDONLY if self._held_by_us else Direction.SENDRECV

    @property
    def _wanted(self) -> Sequence[str]:
        """Codecs that can be forwarded; in a call with nobody that is known, what is spoken now."""
        return self._faced() or (self.encodings[:1] if self._talking else ())

    def _offer(self) -> SessionDescription:
        """What we offer now, so that what can be forwarded comes first."""
        audio = self._in_call
        audio.face(self._wanted)
        return audio.offer(self._direction)

    async def _answer_to(
        self, audio: AudioEnd, offer: bytes
    ) -> tuple[SessionDescription, Negotiated]:
        """Our answer, likewise, and what comes of it. Raises SdpError and MediaError."""
        audio.face(self._wanted, offering=False)
        audio.own_order = True
        return await audio.answer(offer, self._direction)

    def _accepted(self, offer: SessionDescription, sdp: bytes | None) -> Negotiated:
        """What came of our first offer; an answer that can't be used ends the leg."""
        try:
            return self._in_call.accept(offer, sdp)
        except SdpError as exc:
            raise GiveUp(Cause.INCOMPATIBLE_MEDIA, str(exc)) from exc

    async def _media_failed(self, port: m.PortName, failure: m.PortFailure) -> None:
        if self._audio is None or port != self._audio.port:
            return
        cause, text = MEDIA_FAILURES[failure]
        if failure is m.PortFailure.CONSENT_LOST and self._talking:
            self._is_interrupted = True
            self._emit(MediaInterrupted(self.id))
            self.restart_ice(text)
        elif failure is m.PortFailure.CLOSED:
            self._after(
                self._settings.goodbye_s, partial(self._end_later, cause, Side.DEVICE, text)
            )
        else:
            self._end(cause, Side.ENDPOINT, text=text)

    async def _end_later(self, cause: Cause, side: Side, text: str) -> None:
        self._end(cause, side, text=text)

    async def _add_candidates(self, fragment: bytes) -> None:
        if self._audio is None:
            return
        try:
            await self._audio.add_candidates(fragment)
        except MediaUnavailable:
            raise
        except (SdpError, MediaError) as exc:
            log.info("candidates can't be used", leg=self.id, reason=str(exc))

    async def _take_notice(self, notice: m.Notice) -> None:
        if isinstance(notice, m.CandidatesFound):
            self._tell_candidates(notice)
        elif isinstance(notice, m.RestartFailed):
            log.warning("ICE restart failed", leg=self.id, failure=notice.failure)
            self._in_call.restart_failed()
        elif isinstance(notice, m.PortConnected) and self._is_interrupted:
            self._is_interrupted = False
            self._emit(MediaResumed(self.id))
        else:
            await super()._take_notice(notice)

    def _tell_candidates(self, found: m.CandidatesFound) -> None:
        if self._audio is None or self._audio.port != found.port:
            return
        fragment = self._audio.take_found(found)
        if fragment is not None and self.session is not None:
            telling = self.session.info(FRAGMENT_CONTENT_TYPE, fragment, TRICKLE_HEADERS)
            self._tasks.create_task(_quietly(telling), name=f"candidates {self.id}")

    def restart_ice(self, lost: str = "") -> None:
        """Look for a new way to the far end; by default while the old one still works.

        With `lost`, which says what happened, a leg that finds none has lost its audio.
        """
        if self.session is not None:
            again = self._reconnect(self.session, lost)
            self._tasks.create_task(again, name=f"ICE restart {self.id}")

    async def _reconnect(self, session: CallSession, lost: str) -> None:
        async with self._changing:
            if self._released:
                return
            before = self._in_call.ice
            try:
                await self._in_call.restart()
            except MediaError as exc:
                self.post(partial(self._not_reconnected, lost, before, str(exc)))
                return
            offer, status, sdp = await self._ask(session)
            self.post(partial(self._reconnected, lost, before, offer, status, sdp))

    async def _reconnected(
        self,
        lost: str,
        before: str,
        offer: SessionDescription | None,
        status: int,
        sdp: bytes | None,
    ) -> None:
        audio = self._in_call
        if offer is None or not 200 <= status < 300:
            await self._not_reconnected(lost, before, f"the re-INVITE was answered {status}")
            return
        try:
            agreed = audio.accept(offer, sdp)
            if audio.is_restarting and not agreed.ice_restarted:
                raise SdpError("the far end did not begin ICE anew")
        except SdpError as exc:
            await self._not_reconnected(lost, before, str(exc))
            return
        await self._agree(agreed)
        if audio.ice == before:
            self.restart_ice(lost)  # an offer of theirs came first, and ours gave way

    async def _not_reconnected(self, lost: str, before: str, reason: str) -> None:
        if lost and self._in_call.ice == before:
            self._end(Cause.MEDIA_TIMEOUT, Side.ENDPOINT, text=f"{lost}; {reason}")
        else:
            log.info("ICE was not restarted", leg=self.id, reason=reason)
            await self._in_call.drop_restart()

    # -- the session ----------------------------------------------------------------------------

    def _follow(self, session: CallSession) -> None:
        """Have the session's events taken as steps, in order, until it has ended."""
        self._sessions.append(session)
        self._tasks.create_task(self._pump(session), name=f"session {session.id}")

    async def _pump(self, session: CallSession) -> None:
        async for event in session.events():
            self.post(partial(self._take_event, session, event))

    async def _take_event(self, session: CallSession, event: SessionEvent) -> None:
        match event:
            case Progress():
                await self._progress(session, event)
            case EarlyAnswer(sdp=sdp):
                await self._answered_early(sdp)
            case Answered():
                await self._answered(session, event)
            case Confirmed(sdp=sdp):
                await self._acknowledged(sdp)
            case Reinvited(sdp=sdp, fork=fork):
                await self._reinvited(session, sdp, fork)
            case Refreshed(offer=offer, sdp=sdp):
                await self._refreshed(offer, sdp)
            case InfoReceived(content_type=content_type, body=body) if is_fragment(content_type):
                await self._add_candidates(body)
            case InfoReceived(content_type=content_type, body=body):
                digit = parse_info_digit(content_type, body)
                if digit is not None:
                    self._emit(DigitDetected(self.id, *digit, DigitKind.INFO))
            case Referred():
                self._referrals.ask(self.id, event, self._transfers)
            case Ended():
                await self._ended(session, event)

    async def _progress(self, session: CallSession, progress: Progress) -> None:
        """A placed leg rings."""

    async def _answered_early(self, sdp: bytes | None) -> None:
        """The caller of an offered leg has answered our offer, while it still waits."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            await self._agree_on_answer(self._accepted(awaited, sdp))

    async def _answered(self, session: CallSession, answered: Answered) -> None:
        """A placed leg was answered."""

    async def _acknowledged(self, sdp: bytes | None) -> None:
        """An ACK came: of our first 2xx, or of one to a re-INVITE without an offer."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            await self._agree_on_answer(self._accepted(awaited, sdp))
        if not self._talking:
            self._answer_is_final()
        self._say_hold()

    def _answer_is_final(self) -> None:
        self._talking = True
        self._stop_timer()
        self._emit(LegAnswered(self.id, refers=self._transfers.by_refer))

    async def _reinvited(self, session: CallSession, sdp: bytes | None, fork: str) -> None:
        """The far end offers anew: hold, retrieve, another address, or just the same again."""
        if sdp is None:
            offer = self._offer()
            self._awaited = offer if session.answer_reinvite(offer.serialise()) else None
            return
        agreed = await self._answer_anew(self._in_call, session, sdp, fork)
        if agreed is None:
            return
        if agreed.ice_restarted:
            self._stop_timer()  # it has not gone, though its old audio was closed
        self._held_by_them = agreed.far_end_holds
        await self._agree(agreed)
        self._say_hold()

    async def _refreshed(self, offer: bytes, sdp: bytes) -> None:
        """The far end changed something when its session was refreshed."""
        try:
            agreed = self._in_call.accept(SessionDescription.parse(offer), sdp)
        except SdpError as exc:
            log.info("answer to a refresh can't be used", leg=self.id, reason=str(exc))
            return
        await self._agree_on_answer(agreed)
        self._say_hold()

    async def _answer_anew(
        self, audio: AudioEnd, session: CallSession, sdp: bytes, fork: str
    ) -> Negotiated | None:
        """Answer an offer; None where it can't be used, or was taken back, and nothing changes."""
        try:
            answer, agreed = await self._answer_to(audio, sdp)
        except SdpError as exc:
            log.info("re-INVITE refused", leg=self.id, reason=str(exc))
            session.reject_reinvite(exc.status_hint, fork, warning_of(exc))
            return None
        except MediaUnavailable:
            raise
        except MediaError as exc:  # no port for new ICE; what there is goes on
            log.warning("re-INVITE refused", leg=self.id, reason=str(exc))
            session.reject_reinvite(503, fork)
            return None
        if not session.answer_reinvite(answer.serialise(), fork):
            await audio.drop_restart()
            return None
        return agreed

    async def _agree_on_answer(self, agreed: Negotiated) -> None:
        if not self._held_by_us:  # whether it holds us, an answer to our hold does not tell
            self._held_by_them = agreed.far_end_holds
        if agreed.ice_restarted and not self._in_call.is_restarting:
            # It is another one than before, as where a proxy rang several by our one offer and
            # one was heard early. ICE can't begin twice by one offer.
            self.restart_ice("another phone was heard before")
        else:
            await self._agree(agreed)

    def _say_hold(self) -> None:
        if self._talking and self._held_by_them is not self._said_held:
            self._said_held = self._held_by_them
            self._emit(LegHeld(self.id) if self._held_by_them else LegRetrieved(self.id))

    async def _ended(self, session: CallSession, ended: Ended) -> None:
        cause, side = cause_of_end(ended, answered=self._talking, rang=False)
        self._end(cause, side, sip_status=ended.status, q850=ended.q850, text=ended.reason_text)

    # -- digits ---------------------------------------------------------------------------------

    async def _send_digits(self, digits: str) -> None:
        session = self.session
        if self.digit_kind is not DigitKind.INFO or session is None:
            await super()._send_digits(digits)
        elif not digits or any(digit not in DIGITS for digit in digits):
            self._emit(DigitsSent(self.id, ""))
        else:
            self._tasks.create_task(self._inform(session, digits), name=f"digits {self.id}")

    async def _inform(self, session: CallSession, digits: str) -> None:
        """Send digits in INFO, one after the other; all that the far end has taken count."""
        sent = ""
        async with self._informing:
            for digit in digits:
                if sent:
                    await asyncio.sleep(self._settings.digit_pause_s)
                if not await self._inform_of(session, digit):
                    break
                sent += digit
        if not self._released:
            self._emit(DigitsSent(self.id, sent))

    async def _inform_of(self, session: CallSession, digit: str) -> bool:
        """Whether the far end has taken a digit, in the one form or the other."""
        try:
            status = await session.info(*format_info_digit(digit, self._info_form))
            if status == 415:
                self._info_form = self._info_form.other
                status = await session.info(*format_info_digit(digit, self._info_form))
        except LocalProtocolError:
            return False
        return 200 <= status < 300

    # -- hold -----------------------------------------------------------------------------------

    @property
    def _offered_anew(self) -> CallSession | None:
        """The session whose audio an offer of ours can change; while it rings, by UPDATE alone."""
        session = self.session
        return session if session and (self._talking or session.may_update()) else None

    async def _hold(self, held: bool) -> None:
        session = self._offered_anew
        if session is None:
            self._emit(FarEndHold(self.id, held, accepted=False))
            return
        # Beside the steps, for the far end may take half a minute, and may hang up meanwhile.
        self._tasks.create_task(self._reoffer(session, held), name=f"re-INVITE {self.id}")

    async def _reoffer(self, session: CallSession, held: bool) -> None:
        async with self._changing:
            if self._released:
                return
            # Also where the far end refuses: our own hold stands then, and later answers say so.
            self._held_by_us = held
            offer, status, sdp = await self._ask(session)
            self.post(partial(self._reoffered, held, offer, status, sdp))

    async def _ask(
        self, session: CallSession
    ) -> tuple[SessionDescription | None, int, bytes | None]:
        """Offer anew, and wait for the final status and its description."""
        offers: list[SessionDescription] = []

        def offer() -> bytes:
            """Made when it is sent: an answer of ours may come first (RFC 3264 §8)."""
            offers.append(self._offer())
            return offers[-1].serialise()

        try:
            async with asyncio.timeout(self._settings.reinvite_timeout_s):
                status, sdp = await session.reinvite(offer)
        except TimeoutError:
            status, sdp = 408, None
        except LocalProtocolError:
            status, sdp = 481, None
        return (offers[-1] if offers else None), status, sdp

    async def _reoffered(
        self, held: bool, offer: SessionDescription | None, status: int, sdp: bytes | None
    ) -> None:
        accepted = 200 <= status < 300 and sdp is not None
        if accepted and offer is not None:
            try:
                agreed = self._in_call.accept(offer, sdp)
            except SdpError as exc:
                log.info("answer to re-INVITE can't be used", leg=self.id, reason=str(exc))
                accepted, status = False, exc.status_hint
            else:
                await self._agree_on_answer(agreed)
        self._emit(FarEndHold(self.id, held, accepted, status))
        if not held:
            # Asked to talk again, a phone that holds us says whether it still does; one that
            # refuses the question does.
            self._said_held = self._said_held and not self._held_by_them
            self._say_hold()

    async def _lose_silence(self) -> None:
        if self._talking and not (self._held_by_us or self._held_by_them):
            text = f"no audio came for {self._settings.media_timeout_s:g} s"
            self._end(Cause.MEDIA_TIMEOUT, Side.ENDPOINT, text=text)

    # -- transfer -------------------------------------------------------------------------------

    def refer(self, destination: DeviceId, other: SipLeg | None = None) -> None:
        """See `Exchange.refer`; `other` is the leg whose call is to be taken over."""
        self.post(partial(self._refer, destination, other))

    async def _refer(self, destination: DeviceId, other: SipLeg | None) -> None:
        session, consulted = self.session, None if other is None else other.session
        if session is None or not self._talking:
            self._emit(TransferOutcome(self.id, None, Cause.PROTOCOL_ERROR, "there is no call"))
            return
        if consulted is None:
            far = session.remote.uri
            to = Uri("sip", destination, host=far.host, port=far.port)
        else:
            replaces = (("Replaces", consulted.replaces_header()),)
            to = dataclasses.replace(consulted.remote.uri, parameters=(), headers=replaces)
        local = session.local.uri.without_parameters()
        refer = session.refer(NameAddr("", to), referred_by=NameAddr("", local))
        self._referring = self._tasks.create_task(self._follow_refer(refer))

    async def _follow_refer(self, refer: Refer) -> None:
        outcome = await refer.outcome()
        status = outcome.status
        if status is None:
            cause, text = Cause.NETWORK_FAILURE, "the far end does not tell what came of it"
        elif 200 <= status < 300:
            cause, text = Cause.NORMAL, outcome.reason
        else:
            cause, text = cause_of_status(status, rang=True), outcome.reason
        self._emit(TransferOutcome(self.id, status, cause, text))

    # -- the end --------------------------------------------------------------------------------

    def _let_far_end_go(self, cause: Cause) -> None:
        if self._referring is not None:
            self._referring.cancel()
        if self.session is not None:
            codes = CAUSES[cause]
            self.session.hang_up(codes.sip_status, codes.q850)


async def _quietly(telling: Awaitable[int]) -> None:
    """Who ends meanwhile, or takes no INFO, does without what was to be told."""
    with contextlib.suppress(LocalProtocolError):
        await telling
