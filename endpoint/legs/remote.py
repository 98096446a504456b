"""Remote agents' telephones that stay up between the calls of their devices.

A leg to such a telephone is part of one call after the other. Call control hears that it is
released, and of another leg by the next call; in between it is nobody's, and has a name of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto

import structlog

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    InteractionId,
    LegAlerting,
    LegEvent,
    LegId,
    LegReleased,
    MediaConfirmed,
    PlaceLeg,
    RegistrationEvent,
    Route,
    Side,
    Source,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import Refusal, Target
from endpoint.legs.placed import PlacedLeg
from endpoint.legs.ports import LegPorts
from endpoint.legs.redirection import Deflection, Redirections
from endpoint.legs.referrals import Referrals
from signaling.user_agent import InviteRequest, InviteSession

TELEPHONE = "telephone"
"""Where a device is registered whose telephone stays up, as events say it."""

log = structlog.get_logger(__name__)


class _Use(Enum):
    CALL = auto()
    """It is part of a call, as any leg."""
    NONE = auto()
    """The telephone hears silence, and waits for the next call."""
    NOTICE = auto()
    """It is in a call that its telephone is told of now, instead of ringing."""


class RemoteTelephones:
    """Those that are up, by their devices."""

    def __init__(
        self,
        emit: Callable[[RegistrationEvent], None],
        rename: Callable[[RemoteLeg, LegId, InteractionId], None],
    ) -> None:
        """Set up; `rename` lets a leg go on by another name, in another interaction."""
        self._emit = emit
        self._rename = rename
        self._up: dict[DeviceId, list[RemoteLeg]] = {}
        self._numbers = itertools.count(1)
        self._keeps = True

    def __repr__(self) -> str:
        return f"<RemoteTelephones of {list(self._up)}>"

    def free(self, device: DeviceId) -> RemoteLeg | None:
        """A telephone of the device that waits for a call."""
        return next((leg for leg in self._up.get(device, ()) if leg.is_free), None)

    def let_go(self) -> None:
        """Hang up those that wait, and each other one after its call."""
        self._keeps = False
        for legs in self._up.values():
            for leg in legs:
                if leg.is_waiting:
                    leg.release(Cause.NORMAL)

    # -- said by the legs -----------------------------------------------------------------------

    def rose(self, leg: RemoteLeg) -> None:
        """Its telephone was picked up."""
        device = leg.request.device
        legs = self._up.setdefault(device, [])
        if leg in legs:
            return
        legs.append(leg)
        if len(legs) == 1:
            self._emit(DeviceRegistered(device, leg.place, int(leg.keep_up_s), TELEPHONE))

    def fell(self, leg: RemoteLeg, cause: Cause, text: str) -> None:
        """It is down."""
        device = leg.request.device
        legs = self._up.get(device, [])
        if leg not in legs:
            return
        legs.remove(leg)
        if not legs:
            del self._up[device]
            self._emit(DeviceUnregistered(device, cause, server=TELEPHONE, text=text))

    def keeps(self, leg: RemoteLeg) -> bool:
        """Whether it stays up now that its call is over: one of a device does."""
        others = self._up.get(leg.request.device, ())
        return self._keeps and not any(other.is_waiting for other in others if other is not leg)

    def set_aside(self, leg: RemoteLeg) -> None:
        """It is nobody's until the next call."""
        name = f"{TELEPHONE}-{next(self._numbers)}"
        self._rename(leg, LegId(name), InteractionId(name))


class RemoteLeg(PlacedLeg):
    """A leg to a remote agent's telephone, which stays up when call control releases it."""

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
        invite: Callable[[InviteRequest], InviteSession],
        redirections: Redirections,
        deflect: Callable[[PlacedLeg, Deflection], Awaitable[bool]],
        telephones: RemoteTelephones,
    ) -> None:
        """Make a leg as `PlacedLeg`."""
        super().__init__(
            request,
            ports,
            settings,
            self._tell,
            faced=faced,
            referrals=referrals,
            resolve=resolve,
            invite=invite,
            redirections=redirections,
            deflect=deflect,
        )
        self._sounds = InteractionId(f"{TELEPHONE} of {request.leg}")
        """Whose routes its sounds are; one device may have several telephones up."""
        self.keep_up_s = settings.keep_up_of(request.device)
        """So long it may wait for a call."""
        self._telephones = telephones
        self._tell_in_call = emit
        self._use_now = _Use.CALL
        self._is_held = False
        """By call control, which its far end may not know yet."""

    @property
    def is_waiting(self) -> bool:
        """It is in no call."""
        return self._use_now is _Use.NONE

    @property
    def is_free(self) -> bool:
        """It may be part of a call: it is in none, and the telephone did not put us on hold."""
        return self.is_waiting and not self._held_by_them and not self._released

    @property
    def place(self) -> str:
        """Where the telephone is."""
        return str(self.session.remote.uri) if self.session is not None else ""

    def serve(self, request: PlaceLeg, faced: Callable[[], Sequence[str]]) -> None:
        """Be the leg that was asked for: it has its name already."""
        self.request, self.role, self._faced = request, request.role, faced
        self._stop_timer()
        self._use_now = _Use.NOTICE
        self.post(self._give_notice)

    async def _give_notice(self) -> None:
        """Who has the receiver in his hand hears no ringing: he picks up by hearing a tone."""
        self._emit(LegAlerting(self.id))
        self._play(Source.NOTICE)
        notice_s, request = self._settings.notice_s, self.request
        wait_s = request.answer_after_s if request.auto_answer else 0.0
        self._after(max(notice_s, wait_s), self._answer)

    async def _answer(self) -> None:
        if self._use_now is not _Use.NOTICE:
            await super()._answer()
            return
        self._use_now = _Use.CALL
        self._play(None)
        self._answer_is_final()
        if self._confirmed:
            self._emit(MediaConfirmed(self.id))
        self._say_hold()

    def _answer_is_final(self) -> None:
        super()._answer_is_final()
        self._telephones.rose(self)

    def _say_hold(self) -> None:
        if self._use_now is _Use.CALL:
            super()._say_hold()

    async def _hold(self, held: bool) -> None:
        self._is_held = held
        await super()._hold(held)

    async def _release(self, cause: Cause) -> None:
        if not self._talking or not self._telephones.keeps(self):
            await super()._release(cause)
        elif not self.is_waiting:
            await self._wait(cause)

    async def _wait(self, cause: Cause) -> None:
        """The call is over; the telephone stays up."""
        if self._referring is not None:
            self._referring.cancel()
        before = self.id
        self._telephones.set_aside(self)
        self._emit(LegReleased(before, cause, Side.ENDPOINT))
        self._use_now, self.is_leaving, self._said_held = _Use.NONE, False, False
        self._play(Source.SILENCE)
        if self._is_held:
            await self._hold(False)
        log.info("telephone stays up", device=self.request.device, up_to_s=self.keep_up_s)
        self._after(self.keep_up_s, self._wait_no_longer)

    async def _wait_no_longer(self) -> None:
        if self.is_waiting:
            text = f"no call for {self.keep_up_s:g} s: the telephone was hung up"
            self._end(Cause.NORMAL, Side.ENDPOINT, text=text)

    def _end(
        self,
        cause: Cause,
        side: Side,
        *,
        sip_status: int | None = None,
        q850: int | None = None,
        text: str = "",
    ) -> None:
        if not self._released and self._use_now is not _Use.CALL:
            self._play(None)
        if self._use_now is _Use.NOTICE and side is Side.DEVICE and cause is Cause.NORMAL:
            cause = Cause.DECLINED  # who hangs up then does not want the call
        super()._end(cause, side, sip_status=sip_status, q850=q850, text=text)
        self._telephones.fell(self, cause, text)

    def _play(self, source: Source | None) -> None:
        """What the telephone hears of ours while it is in no call."""
        routes = [] if source is None else [Route(source, self.id)]
        self._ports.set_routes(self._sounds, routes)

    def _tell(self, event: LegEvent) -> None:
        """What happens in no call is not for call control."""
        if not self.is_waiting:
            self._tell_in_call(event)
