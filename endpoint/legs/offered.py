"""A SIP leg that was offered to us: somebody called."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from endpoint.errors import MediaError
from endpoint.legs.audio_end import encodings_of
from endpoint.legs.base import (
    WITHHELD,
    DeviceId,
    InteractionId,
    LegEvent,
    LegId,
    LegOffered,
    LegRole,
)
from endpoint.legs.info import TRICKLE_ICE
from endpoint.legs.leg import GiveUp, LegSettings
from endpoint.legs.line import Transfers
from endpoint.legs.ports import LegPorts
from endpoint.legs.referrals import Referrals
from endpoint.legs.session import CallSession
from endpoint.legs.sip import SipLeg
from endpoint.legs.terms import AudioTerms
from endpoint.legs.trunk import Trunk
from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sdp.negotiation import Negotiated
from signaling.server import SipServer
from signaling.sip.grammar import legible
from signaling.sip.identity import Claim, caller_of, number_of, redirection_of
from signaling.sip.rates import Rate, Rates
from signaling.sip.source import Source, source_of
from signaling.sip.warning import warning_of

log = structlog.get_logger(__name__)

REFUSALS_SAID = 20
"""Of one source within a minute."""
_SOURCES = 10_000


class RefusalLog:
    """Says which calls were refused before anybody was told of them: of each source some a minute.

    Whoever calls in a loop with an offer that nobody can answer must not fill the log.
    """

    def __init__(self) -> None:
        self._rates: Rates[Source] = Rates(Rate(REFUSALS_SAID / 60, REFUSALS_SAID), _SOURCES)

    def say(self, caller: CallSession, status: int, text: str) -> None:
        """One was refused."""
        source = source_of(caller.flow.host if caller.flow is not None else "")
        if self._rates.take(source, asyncio.get_running_loop().time()):
            log.info("call refused", source=source, status=status, reason=text)


class OfferedLeg(SipLeg):
    """A call that came in.

    `LegOffered` says so once its port is open and its audio can be answered.
    """

    def __init__(
        self,
        session: CallSession,
        offered: LegOffered,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
        *,
        faced: Callable[[], Sequence[str]],
        referrals: Referrals,
        terms: AudioTerms,
        transfers: Transfers,
        answer_after_s: Callable[[], Awaitable[float | None]],
        refusals: RefusalLog,
    ) -> None:
        """Make a leg.

        `terms` say what we offer a caller that offers nothing, `answer_after_s` in how many seconds
        the called is to pick up by itself. That may be asked of a database, and is so here: other
        callers do not wait for it.
        """
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
        self.called = offered.called
        self._terms = terms
        self._answer_after_s = answer_after_s
        self._refusals = refusals
        self._offer_of_caller = session.sdp
        """None: the INVITE held none."""
        self._foreseen: Negotiated | None = None
        """What may come of the caller's offer."""
        self._said: SessionDescription | None = None
        """Our answer, or our offer to a caller that made none; it is said once."""
        self._is_accepted = False

    @property
    def encodings(self) -> tuple[str, ...]:
        """See `Leg`. Before the answer: what the caller offers."""
        if self._foreseen is not None and not self._talking:
            return encodings_of(self._foreseen)
        return super().encodings

    async def _begin(self) -> None:
        self._follow(self._caller)
        offer = self._offer_of_caller
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
            self._refuse_unsaid(exc.status_hint, str(exc), warning_of(exc))
            return
        except (GiveUp, MediaError) as exc:
            self._refuse_unsaid(503, str(exc))
            return
        self._emit(replace(self._offered, answer_after_s=await self._answer_after_s()))

    def _refuse_unsaid(
        self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Nobody was told of the call, so nobody is told of its end."""
        self._refusals.say(self._caller, status, text)
        self._released = True
        self._ports.close(self.id)
        self._caller.hang_up(status, headers=headers)

    async def _alert(self, early_media: bool) -> None:
        if self._offer_of_caller is None:
            # An offer must be acknowledged, and then the first must hold it (RFC 3261 §13.2.1).
            early_media = self._caller.rings_reliably
        self._caller.ring(await self._describe() if early_media else None)

    async def _answer(self) -> None:
        if not self._is_accepted:
            self._is_accepted = True
            self._caller.accept(await self._describe())

    async def _describe(self) -> bytes:
        """What we say of our audio, the same each time."""
        said = self._said
        if said is None:
            said = self._said = await self._first_description()
        return said.serialise()

    async def _first_description(self) -> SessionDescription:
        if self._offer_of_caller is None:
            self._awaited = self._offer()
            return self._awaited
        answer, agreed = await self._answer_to(self._in_call, self._offer_of_caller)
        # The port first: audio may come as soon as the answer is out.
        self._held_by_them = agreed.far_end_holds
        await self._agree(agreed)
        return answer


def dialled(server: SipServer, session: CallSession) -> tuple[str | None, str | None]:
    """What a phone of ours calls, and the instance where it is a GRUU.

    Of a number nothing that is said beside it, as `;phone-context`.
    """
    uri = session.request.uri
    called, instance = server.resolve(uri) or (None, None)
    if instance is None and (called is not None or not uri.is_sip):
        called = number_of(uri) or None
    return called, instance


def offer_of(leg: LegId, session: CallSession, called: DeviceId, trunk: Trunk | None) -> LegOffered:
    """What is told of a call that came in."""
    request = session.request
    trusted = trunk is not None and trunk.settings.claim is not Claim.NONE
    caller = caller_of(request, trusted=trusted)
    uri, name = caller.address.uri, legible(caller.address.display_name)
    calling, role = number_of(uri) or uri.host, LegRole.LINE
    if session.authenticated_user is not None:
        calling, role = session.authenticated_user, LegRole.STATION
    elif caller.is_withheld:
        calling, name = WITHHELD, ""
    before = redirection_of(request.headers) if trusted else None
    return LegOffered(
        leg=leg,
        interaction=InteractionId(secrets.token_hex(8)),
        calling=DeviceId(calling),
        called=called,
        role=role,
        calling_name=name,
        withheld=caller.is_withheld,
        first_called=DeviceId(number_of(before.first_called)) if before else None,
        last_redirection=DeviceId(number_of(before.last)) if before else None,
    )
