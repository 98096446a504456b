"""A SIP leg that we place: to every phone of a device at once, or over a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from endpoint.legs.base import (
    CAUSES,
    Cause,
    LegAlerting,
    LegEvent,
    LegReleased,
    PlaceLeg,
    Side,
)
from endpoint.legs.cause import BEST_FIRST, cause_of_end
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AUTO_ANSWER_HEADERS, Refusal, Target
from endpoint.legs.ports import LegPorts
from endpoint.legs.sip import SipLeg
from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sdp.negotiation import apply_answer
from signaling.user_agent import Ended, InviteRequest, InviteSession, Progress

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Fork:
    """One of the INVITEs that ring together."""

    session: InviteSession
    rang: bool = False
    early_sdp: bytes | None = None
    """An answer that came with ringing; the 2xx may come without one."""


class PlacedLeg(SipLeg):
    """Rings all the phones of a device; the first answer wins, the others are cancelled."""

    def __init__(
        self,
        request: PlaceLeg,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
        *,
        resolve: Callable[[PlaceLeg], Awaitable[Sequence[Target] | Refusal]],
        invite: Callable[[InviteRequest], InviteSession],
    ) -> None:
        super().__init__(request.leg, request.interaction, ports, settings, emit)
        self._request = request
        self._resolve = resolve
        self._invite = invite
        self._forks: dict[str, _Fork] = {}
        self._refusals: list[LegReleased] = []
        self._said_alerting = False
        self._early: _Fork | None = None
        """Whose early media the port is set to."""
        self._picks_up = request.auto_answer
        """The phones are asked to pick up by themselves."""

    async def _begin(self) -> None:
        await self._ring()

    async def _ring(self) -> None:
        targets = await self._resolve(self._request)
        if isinstance(targets, Refusal):
            self._end(targets.cause, Side.NETWORK, sip_status=targets.sip_status, text=targets.text)
            return
        if self._sent is None:
            await self._open_port()
        sdp = self._offer().serialise()
        for target in targets:
            session = self._invite(
                InviteRequest(
                    target=target.uri,
                    from_=target.from_,
                    to=target.to,
                    sdp=sdp,
                    flow=target.flow,
                    credentials=target.credentials,
                    headers=AUTO_ANSWER_HEADERS if self._picks_up else (),
                    contact_user=target.contact_user,
                )
            )
            self._forks[session.id] = _Fork(session)
            self._follow(session)
        self._after(self._settings.ring_timeout_s, self._ring_timed_out)

    async def _ring_timed_out(self) -> None:
        if self.session is None:  # else the answer came while the deadline was on its way
            self._end(Cause.NO_ANSWER, Side.ENDPOINT, text="nobody picked up")

    async def _progress(self, session: InviteSession, progress: Progress) -> None:
        fork = self._forks.get(session.id)
        if fork is None:
            return
        fork.rang = fork.rang or progress.status == 180
        if progress.sdp is not None and fork.early_sdp is None:
            fork.early_sdp = progress.sdp
            await self._hear_early(fork, progress.sdp)
        if progress.status == 180 and not self._said_alerting:
            self._said_alerting = True
            self._emit(LegAlerting(self.id))

    async def _hear_early(self, fork: _Fork, sdp: bytes) -> None:
        """Early media of the first phone that has some: one port hears one far end."""
        if self._early is not None or self._sent is None:
            return
        try:
            agreed = apply_answer(self._sent, SessionDescription.parse(sdp))
        except SdpError as exc:
            log.info("early media can't be used", leg=self.id, reason=str(exc))
            return
        self._early = fork
        await self._agree(agreed)
        self._said_alerting = True
        self._emit(LegAlerting(self.id, early_media=True))

    async def _answered(self, session: InviteSession, sdp: bytes | None) -> None:
        fork = self._forks.pop(session.id, None)
        if fork is None or self._sent is None:
            return  # given up already, so its BYE is on the way
        self.session = session
        self._give_up_forks(Cause.CANCELLED)
        agreed = self._accepted(self._sent, sdp or fork.early_sdp)
        self._read_hold(agreed)
        await self._agree(agreed)
        self._answer_is_final()
        self._say_hold()

    async def _ended(self, session: InviteSession, ended: Ended) -> None:
        if session is self.session:
            await super()._ended(session, ended)
            return
        fork = self._forks.pop(session.id, None)
        if fork is None:
            return  # we gave it up
        cause, side = cause_of_end(ended, answered=False, rang=fork.rang)
        self._refusals.append(
            LegReleased(self.id, cause, side, ended.status, ended.q850, ended.reason_text)
        )
        # A 6xx refuses for all phones of the device (RFC 3261 §16.7 step 5).
        if not self._forks or (ended.status is not None and ended.status >= 600):
            best = min(self._refusals, key=lambda end: BEST_FIRST.index(end.cause))
            self._end(
                best.cause,
                best.released_by,
                sip_status=best.sip_status,
                q850=best.q850,
                text=best.text,
            )
        elif fork is self._early:
            await self._lose_early_media()

    async def _lose_early_media(self) -> None:
        """Who was heard is gone: hear another phone that rings, or ring-back of ours."""
        self._early = None
        self._emit(LegAlerting(self.id))
        for fork in self._forks.values():
            if fork.early_sdp is not None:
                await self._hear_early(fork, fork.early_sdp)

    async def _alert(self) -> None:
        """Nothing: the far end rings, we don't."""

    async def _answer(self) -> None:
        """Pick up a phone that rings.

        SIP has no word for that, so the phone is rung anew and asked to pick up by itself.
        """
        if self.session is not None or self._picks_up:
            return
        self._picks_up = True
        self._give_up_forks(Cause.CANCELLED)
        if self._early is not None:
            await self._lose_early_media()
        await self._ring()

    def _give_up_forks(self, cause: Cause) -> None:
        """CANCEL, or BYE where an answer crosses; what they still tell is of no concern."""
        codes = CAUSES[cause]
        for fork in self._forks.values():
            fork.session.hang_up(codes.sip_status, codes.q850)
        self._forks.clear()

    def _let_far_end_go(self, cause: Cause) -> None:
        super()._let_far_end_go(cause)
        self._give_up_forks(cause)
