"""A SIP leg that was offered to us: somebody called."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from endpoint.errors import MediaError
from endpoint.legs.base import LegEvent, LegOffered
from endpoint.legs.leg import GiveUp, LegSettings
from endpoint.legs.ports import LegPorts
from endpoint.legs.sip import SipLeg
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
    ) -> None:
        super().__init__(offered.leg, offered.interaction, ports, settings, emit)
        self.session = session
        self._caller = session
        self._offered = offered
        self._prepared: tuple[SessionDescription, Negotiated] | None = None
        """Our answer, ready before we are asked for it; None: the INVITE held no offer."""

    async def _begin(self) -> None:
        self._follow(self._caller)
        try:
            await self._open_port()
            if self._caller.sdp is not None:
                self._prepared = self._answer_to(self._caller.sdp)
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
        if self._prepared is None:
            self._awaited = self._offer()
            self._caller.accept(self._awaited.serialise())
            return
        answer, agreed = self._prepared
        # The port first: audio may come as soon as the 200 is out.
        self._held_by_them = agreed.far_end_holds
        await self._agree(agreed)
        self._caller.accept(answer.serialise())
