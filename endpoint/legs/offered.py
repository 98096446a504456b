"""A SIP leg that was offered to us: somebody called."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from endpoint.errors import MediaError
from endpoint.legs.audio_end import encodings_of
from endpoint.legs.base import LegEvent, LegOffered
from endpoint.legs.info import TRICKLE_ICE
from endpoint.legs.leg import GiveUp, LegSettings
from endpoint.legs.line import Transfers
from endpoint.legs.ports import LegPorts
from endpoint.legs.referrals import Referrals
from endpoint.legs.sip import SipLeg
from endpoint.legs.terms import AudioTerms
from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sdp.negotiation import Negotiated
from signaling.user_agent import InviteSession

log = structlog.get_logger(__name__)


class OfferedLeg(SipLeg):
    """A call that came in.

    `LegOffered` says so once its port is open and its audio can be answered.
    """

    def __init__(
        self,
        session: InviteSession,
        offered: LegOffered,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
        *,
        faced: Callable[[], Sequence[str]],
        referrals: Referrals,
        terms: AudioTerms,
        transfers: Transfers,
    ) -> None:
        """Make a leg; `terms` say what we offer a caller that offers nothing."""
        super().__init__(
            offered.leg,
            offered.interaction,
            offered.role,
            ports,
            settings,
            emit,
            faced=faced,
            referrals=referrals,
        )
        self._transfers = transfers
        self.session = session
        self._caller = session
        self._offered = offered
        self._terms = terms
        self._foreseen: Negotiated | None = None
        """What may come of the caller's offer; None: the INVITE held none."""

    @property
    def encodings(self) -> tuple[str, ...]:
        """See `Leg`. Before the answer: what the caller offers."""
        if self._foreseen is not None and not self._talking:
            return encodings_of(self._foreseen)
        return super().encodings

    async def _begin(self) -> None:
        self._follow(self._caller)
        offer = self._caller.sdp
        try:
            terms = self._terms
            protection = terms.protection
            if offer is not None:
                protection = terms.protection_for(SessionDescription.parse(offer))
            # Who takes candidates later need not wait for them, nor let others wait.
            trickle = offer is not None and TRICKLE_ICE in self._caller.request.supported
            audio = await self._open_audio(
                protection, controlling=offer is None, trickle=trickle, terms=terms
            )
            self._use(audio)
            if offer is not None:
                audio.face(offering=False)
                self._foreseen = audio.foresee(offer)
        except SdpError as exc:
            self._refuse_unsaid(exc.status_hint, str(exc))
            return
        except (GiveUp, MediaError) as exc:
            self._refuse_unsaid(503, str(exc))
            return
        self._emit(self._offered)

    def _refuse_unsaid(self, status: int, text: str) -> None:
        """Nobody was told of the call, so nobody is told of its end."""
        log.info("call refused", leg=self.id, status=status, reason=text)
        self._released = True
        self._ports.close(self.id)
        self._caller.hang_up(status)

    async def _alert(self) -> None:
        self._caller.ring()

    async def _answer(self) -> None:
        if self._talking or self._awaited is not None:
            return
        offer = self._caller.sdp
        if offer is None:
            self._awaited = self._offer()
            self._caller.accept(self._awaited.serialise())
            return
        if self._in_call.current is not None:
            return
        answer, agreed = await self._answer_to(offer)
        # The port first: audio may come as soon as the 200 is out.
        self._held_by_them = agreed.far_end_holds
        await self._agree(agreed)
        self._caller.accept(answer.serialise())
