"""A SIP leg that we place: to every phone of a device at once, or over a line."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.legs.audio_end import AudioEnd
from endpoint.legs.base import (
    CAUSES,
    Cause,
    LegAlerting,
    LegEvent,
    LegReleased,
    PlaceLeg,
    Side,
)
from endpoint.legs.cause import BEST_FIRST, MEDIA_FAILURES, cause_of_end
from endpoint.legs.leg import GiveUp, LegSettings
from endpoint.legs.line import Refusal, Target
from endpoint.legs.numbering import NumberRefused
from endpoint.legs.ports import LegPorts
from endpoint.legs.redirection import Deflection, Redirections
from endpoint.legs.referrals import Referrals
from endpoint.legs.session import CallSession
from endpoint.legs.sip import SipLeg
from endpoint.media import messages as m
from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sip.auto_answer import ask_to_answer
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Ended, InviteRequest, Progress

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Fork:
    """One of the INVITEs that ring together."""

    session: CallSession
    target: Target
    audio: AudioEnd
    offer: SessionDescription
    rang: bool = False
    progressed: bool = False
    """Something is on its way there: nobody else may be rung in its place."""
    early_sdp: bytes | None = None
    """The first answer that came with ringing."""
    agreed_anew: str | None = None
    """Which of its far ends has offered anew while it rang, the last of them: its tag."""


class PlacedLeg(SipLeg):
    """Rings all the phones of a device; the first answer wins, the others are cancelled.

    Over a line that leads there in several ways, the next is tried where one does not take the
    call, and nothing has rung there. Where none is left, redirections are followed.
    """

    def __init__(
        self,
        request: PlaceLeg,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
        *,
        faced: Callable[[], Sequence[str]],
        referrals: Referrals,
        resolve: Callable[[PlaceLeg], Awaitable[Sequence[Target] | Refusal]],
        invite: Callable[[InviteRequest], CallSession],
        redirections: Redirections,
        deflect: Callable[[PlacedLeg, Deflection], Awaitable[bool]],
    ) -> None:
        """Make a leg; `deflect` lets another leg go on in its place, if it may."""
        super().__init__(
            request.leg,
            request.interaction,
            request.role,
            ports,
            settings,
            emit,
            faced=faced,
            referrals=referrals,
        )
        self.request = request
        self.redirections = redirections
        self._deflect = deflect
        self._resolve = resolve
        self._invite = invite
        self._turns: deque[list[Target]] = deque()
        """Who is rung next."""
        self._forks: dict[str, _Fork] = {}
        self._refusals: list[LegReleased] = []
        self._said_alerting = False
        self._early: _Fork | None = None
        """Whose early media is heard."""
        self._picks_up = request.auto_answer
        """The phones are asked to pick up by themselves."""
        self._answer_after_s = request.answer_after_s

    async def _begin(self) -> None:
        await self._ring()

    async def _ring(self) -> None:
        targets = await self._resolve(self.request)
        if isinstance(targets, Refusal):
            self._end(
                targets.cause,
                targets.refused_by,
                sip_status=targets.sip_status,
                text=targets.text,
            )
            return
        by_turn = itertools.groupby(targets, key=lambda target: target.turn)
        self._turns = deque(list(group) for _, group in by_turn)
        await self._ring_next()

    async def _ring_next(self) -> None:
        while self._turns and not self._forks:
            await self._ring_all([t for t in self._turns.popleft() if self._enters(t)])
        if self._forks:
            self._after(self._settings.ring_timeout_s, self._ring_timed_out)
        else:
            await self._go_elsewhere()

    async def _go_elsewhere(self) -> None:
        """Try where a 3xx has sent us, one after the other; else it was the end."""
        while (goal := self.redirections.next()) is not None:
            match goal:
                case Target():
                    if self._early is not None:
                        await self._lose_early_media()
                    if self._enters(goal):
                        await self._ring_all([goal])
                    if self._forks:
                        return
                case Deflection():
                    if await self._deflect(self, goal):
                        return
        self._end_refused()

    def refuse_number(self, refused: NumberRefused) -> None:
        """A phone sends the call to a number that may not be called: if it ends, then for that."""
        end = LegReleased(self.id, refused.cause, Side.ENDPOINT, text=refused.text)
        self._refusals.append(end)

    def give_way(self) -> None:
        """Another leg, of the same name, goes on with the call: this one is over without a word."""
        self._released = True
        self._stop_timer()
        if self._early is not None:
            self._emit(LegAlerting(self.id))

    def _enters(self, target: Target) -> bool:
        if target.way is None or target.way.enter(self.id):
            return True
        text = f"trunk {target.way.name} has no line free"
        self._refusals.append(LegReleased(self.id, Cause.TRUNK_FULL, Side.ENDPOINT, text=text))
        return False

    async def _ring_all(self, targets: Sequence[Target]) -> None:
        # An end for each phone: each has its own ICE, its own keys, and may send early media.
        ends = await asyncio.gather(*(self._open_fork(target) for target in targets))
        faced = self._faced()
        for target, audio in zip(targets, ends, strict=True):
            if audio is None:
                continue
            audio.face(faced)
            offer = audio.offer(self._direction)
            session = self._invite(
                InviteRequest(
                    target=target.uri,
                    from_=target.from_,
                    to=target.to,
                    sdp=offer.serialise(),
                    flow=target.flow,
                    credentials=target.credentials,
                    headers=self._headers(target),
                    contact_user=target.contact_user,
                    routes=target.routes,
                )
            )
            fork = self._forks[session.id] = _Fork(session, target, audio, offer)
            self._follow(session)
            if target.way is not None:
                asyncio.get_running_loop().call_later(
                    target.way.first_response_s, self.post, partial(self._give_up_silent, fork)
                )

    def _headers(self, target: Target) -> tuple[tuple[str, str], ...]:
        """A phone of ours may be asked to pick up by itself; nobody outside is."""
        headers = target.headers
        if self._picks_up and target.is_phone:
            headers += ask_to_answer(self._answer_after_s)
        if self.request.referred_by is None or target.way is not None:
            return headers  # a trunk has no need to know our extensions
        referrer = Uri("sip", self.request.referred_by, host=target.from_.uri.host)
        return (*headers, ("Referred-By", str(NameAddr("", referrer))))

    async def _open_fork(self, target: Target) -> AudioEnd | None:
        """One phone for which no port opens leaves the others to ring."""
        try:
            terms = target.audio
            return await self._open_audio(terms.protection, controlling=True, terms=terms)
        except GiveUp as exc:
            log.warning("phone not rung", leg=self.id, phone=str(target.uri), reason=str(exc))
            end = LegReleased(self.id, exc.cause, Side.ENDPOINT, text=str(exc))
            self._refusals.append(end)
            return None

    async def _give_up_silent(self, fork: _Fork) -> None:
        """Before its transaction gives up by itself, after half a minute."""
        if fork.session.is_heard or self._forks.pop(fork.session.id, None) is None:
            return
        fork.session.hang_up()
        text = f"{fork.target.uri.host} does not answer"
        end = LegReleased(self.id, Cause.UNREACHABLE, Side.NETWORK, 408, text=text)
        await self._lose_fork(fork, end)

    async def _ring_timed_out(self) -> None:
        if self.session is None:  # else the answer came while the deadline was on its way
            self._end(Cause.NO_ANSWER, Side.ENDPOINT, text="nobody picked up")

    async def _progress(self, session: CallSession, progress: Progress) -> None:
        fork = self._forks.get(session.id)
        if fork is None:
            return
        fork.progressed = True
        fork.rang = fork.rang or progress.status == 180
        if progress.sdp is not None and fork.early_sdp is None:
            fork.early_sdp = progress.sdp
            await self._hear_early(fork, progress.sdp)
        if progress.status == 180 and not self._said_alerting:
            self._said_alerting = True
            self._emit(LegAlerting(self.id))

    async def _hear_early(self, fork: _Fork, sdp: bytes) -> None:
        """Early media of the first phone that has some."""
        if self._early is not None:
            return
        try:
            await fork.audio.agree(fork.audio.accept(fork.offer, sdp))
        except MediaUnavailable:
            raise
        except (SdpError, MediaError) as exc:
            log.info("early media can't be used", leg=self.id, reason=str(exc))
            return
        self._early = fork
        self._use(fork.audio)
        self._said_alerting = True
        self._emit(LegAlerting(self.id, early_media=True))

    async def _reinvited(self, session: CallSession, sdp: bytes | None, fork: str) -> None:
        ringing = self._forks.get(session.id)
        if ringing is None or sdp is None:
            await super()._reinvited(session, sdp, fork)
            return
        agreed = await self._answer_anew(ringing.audio, session, sdp, fork)
        if agreed is not None:
            ringing.agreed_anew = fork
            await ringing.audio.agree(agreed)

    @property
    def _offered_anew(self) -> CallSession | None:
        early = self._early
        if self.session is None and early is not None and early.session.may_update():
            return early.session
        return super()._offered_anew

    async def _answered(self, session: CallSession, answered: Answered) -> None:
        fork = self._forks.pop(session.id, None)
        if fork is None:
            return  # given up already, so its BYE is on the way
        self.session = session
        self._transfers = fork.target.transfers
        self._give_up_forks(Cause.CANCELLED)
        self._use(fork.audio)
        if fork.agreed_anew is None or fork.agreed_anew != answered.fork:
            await self._agree_on_answer(self._accepted(fork.offer, answered.sdp))
        self._answer_is_final()
        self._say_hold()

    async def _ended(self, session: CallSession, ended: Ended) -> None:
        if session is self.session:
            await super()._ended(session, ended)
            return
        fork = self._forks.pop(session.id, None)
        if fork is None:
            return  # we gave it up
        cause, side = cause_of_end(ended, answered=False, rang=fork.rang)
        end = LegReleased(self.id, cause, side, ended.status, ended.q850, ended.reason_text)
        self.redirections.take(fork.target, ended.contacts)
        # A 6xx refuses for all phones of the device (RFC 3261 §16.7 step 5).
        await self._lose_fork(fork, end, for_all=ended.status is not None and ended.status >= 600)

    async def _media_failed(self, port: m.PortName, failure: m.PortFailure) -> None:
        """A phone whose early media fails is given up; the others ring on."""
        fork = next((fork for fork in self._forks.values() if fork.audio.port == port), None)
        if fork is None:
            await super()._media_failed(port, failure)
            return
        del self._forks[fork.session.id]
        cause, text = MEDIA_FAILURES[failure]
        codes = CAUSES[cause]
        fork.session.hang_up(codes.sip_status, codes.q850)
        await self._lose_fork(fork, LegReleased(self.id, cause, Side.ENDPOINT, text=text))

    async def _lose_fork(self, fork: _Fork, end: LegReleased, *, for_all: bool = False) -> None:
        """One of the phones is out; with the last of them, or where it speaks for all, the leg."""
        self._ports.close_end(fork.audio)
        self._refusals.append(end)
        if fork.target.way is not None and _is_failure(fork, end):
            fork.target.way.fail()
            if not self._forks and not self._released:
                await self._ring_next()
                return
        if for_all:
            self._end_refused()
        elif not self._forks:
            await self._go_elsewhere()
        elif fork is self._early:
            await self._lose_early_media()

    def _end_refused(self) -> None:
        best = min(self._refusals, key=lambda end: BEST_FIRST.index(end.cause))
        self._end(
            best.cause,
            best.released_by,
            sip_status=best.sip_status,
            q850=best.q850,
            text=best.text,
        )

    async def _lose_early_media(self) -> None:
        """Who was heard is gone: hear another phone that rings, or ring-back of ours."""
        self._early = self._audio = None
        self._emit(LegAlerting(self.id))
        for fork in self._forks.values():
            if fork.early_sdp is not None:
                await self._hear_early(fork, fork.early_sdp)

    async def _alert(self, early_media: bool) -> None:
        """Nothing: the far end rings, we don't."""

    async def _answer(self) -> None:
        """Pick up a phone that rings.

        SIP has no word for that, so the phone is rung anew and asked to pick up by itself.
        """
        if self.session is not None or (self._picks_up and self._answer_after_s == 0):
            return
        self._picks_up, self._answer_after_s = True, 0.0
        self._give_up_forks(Cause.CANCELLED)
        if self._early is not None:
            await self._lose_early_media()
        await self._ring()

    def _give_up_forks(self, cause: Cause) -> None:
        """CANCEL, or BYE where an answer crosses; what they still tell is of no concern."""
        codes = CAUSES[cause]
        for fork in self._forks.values():
            fork.session.hang_up(codes.sip_status, codes.q850)
            self._ports.close_end(fork.audio)
        self._forks.clear()

    def _let_far_end_go(self, cause: Cause) -> None:
        super()._let_far_end_go(cause)
        self._give_up_forks(cause)


def _is_failure(fork: _Fork, end: LegReleased) -> bool:
    """The way failed, not whom it leads to: another way may do better (RFC 3263 §4.3)."""
    status = end.sip_status
    no_way = status is None or status == 408 or 500 <= status < 600
    return no_way and end.released_by is Side.NETWORK and not fork.progressed
