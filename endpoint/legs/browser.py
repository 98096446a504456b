"""Browsers as stations: audio that is negotiated over HTTPS, stays up, and takes calls meanwhile.

A session is one page's audio. It has a WebRTC port of its own that outlives the calls: a leg to the
device uses the port while it lasts, and frees it. What rings and who picks up is said by events and
commands of the native interface, so hold, answer and hang-up need no signalling here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from functools import partial
from itertools import takewhile

import structlog

from endpoint.errors import MediaError
from endpoint.legs.audio_end import AudioEnd, Protection, codecs_for, encodings_of
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    FarEndHold,
    LegAlerting,
    LegAnswered,
    LegEvent,
    LegHeld,
    LegRetrieved,
    MediaInterrupted,
    MediaResumed,
    PlaceLeg,
    RegistrationEvent,
    Side,
)
from endpoint.legs.cause import MEDIA_FAILURES
from endpoint.legs.leg import Leg, LegSettings
from endpoint.legs.ports import LegPorts
from endpoint.media import messages as m
from endpoint.media.link import MediaLink

BROWSER = "browser"
"""Where a device with a session is registered, as events say it."""

log = structlog.get_logger(__name__)


class BrowserSession:
    """The audio of one page, from its offer until it goes."""

    def __init__(self, device: DeviceId, end: AudioEnd) -> None:
        self.device = device
        self.end = end
        """Its port, and its side of offer and answer."""
        self.changing = asyncio.Lock()
        """One offer or fragment at a time."""
        self.leg: BrowserLeg | None = None
        """The call that it is in, or that rings."""
        self.is_connected = False
        """Audio can go both ways now."""
        self.is_heard = False
        """Audio has come from it."""
        self._patience: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<BrowserSession {self.id} of {self.device}>"

    @property
    def id(self) -> str:
        """Also the name of its port."""
        return self.end.port

    @property
    def ice(self) -> str:
        """Of its ICE session; another one after a restart."""
        return self.end.ice

    @property
    def is_held(self) -> bool:
        """Its last offer wanted to hear nothing."""
        return self.end.current is not None and self.end.current.far_end_holds

    @property
    def encodings(self) -> tuple[str, ...]:
        """Codecs that it takes, most wanted first."""
        return encodings_of(self.end.current) if self.end.current is not None else ()

    async def take_offer(self, offer: bytes) -> bytes:
        """Answer an offer, and do what comes of it. Raises SdpError and MediaError."""
        answer, agreed = await self.end.answer(offer)
        await self.end.agree(agreed)
        return answer.serialise()

    @property
    def is_awaited(self) -> bool:
        """It was lost, and is given time."""
        return self._patience is not None

    def wait(self, delay_s: float, give_up: Callable[[], None]) -> None:
        """Give up later, unless it connects before."""
        self.stop_waiting()
        self._patience = asyncio.get_running_loop().call_later(delay_s, give_up)

    def stop_waiting(self) -> None:
        """Give nothing up."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class BrowserStations:
    """The sessions of all devices: one each, and one that is about to take its place."""

    def __init__(
        self,
        link: MediaLink,
        settings: LegSettings,
        emit: Callable[[RegistrationEvent], None],
    ) -> None:
        self._link = link
        self._settings = settings
        self._emit = emit
        self._sessions: dict[m.PortName, BrowserSession] = {}
        """All, by their ports."""
        self._of_device: dict[DeviceId, BrowserSession] = {}
        """Those that were connected: where calls go."""

    def __repr__(self) -> str:
        return f"<BrowserStations {len(self._sessions)} sessions>"

    # -- asked by pages -------------------------------------------------------------------------

    async def open(self, device: DeviceId, offer: bytes) -> tuple[BrowserSession, bytes]:
        """Begin a session with a page's offer; returns our answer too.

        It takes the place of the device's other one, and that one's call, when it has connected;
        then `DeviceRegistered`. Where it never does, `DeviceUnregistered`, unless the other one
        goes on. Raises SdpError for an offer that can't be answered by WebRTC, and MediaError.
        """
        name = f"{BROWSER}.{secrets.token_hex(8)}"
        end = AudioEnd(self._link, name, Protection.WEBRTC, self._settings.audio)
        # Calls come from telephones more than from browsers, and whom it will talk with is not
        # known yet: what telephones take comes first, and is forwarded.
        end.codecs, end.own_order = codecs_for(Protection.WEBRTC), True
        await end.open(controlling=False)
        session = BrowserSession(device, end)
        self._sessions[name] = session
        try:
            answer = await session.take_offer(offer)
        except BaseException:
            self._close(session)
            raise
        for older in takewhile(lambda one: one is not session, list(self._sessions.values())):
            if older.device == device and older is not self.of(device):
                self._close(older)
        return session, answer

    def find(self, device: DeviceId, session: str) -> BrowserSession | None:
        """A session that lives."""
        found = self._sessions.get(session)
        return found if found is not None and found.device == device else None

    async def renew(self, session: BrowserSession, offer: bytes) -> bytes:
        """Answer a further offer: another direction, ICE begun anew.

        Raises SdpError, and nothing has changed then; and MediaError, which ends the session.
        """
        try:
            answer = await session.take_offer(offer)
        except MediaError as exc:
            self._end(session, Cause.MEDIA_LOST, Side.ENDPOINT, str(exc))
            raise
        if session.leg is not None:
            session.leg.tell_hold()
        return answer

    def close(self, session: BrowserSession) -> None:
        """The page wants no more calls; one that it is in ends."""
        self._end(session, Cause.NORMAL, Side.DEVICE, "the browser left")

    # -- asked by the exchange ------------------------------------------------------------------

    def of(self, device: DeviceId) -> BrowserSession | None:
        """The session that a device's calls go to."""
        return self._of_device.get(device)

    def take(self, notice: m.Notice) -> bool:
        """Take what the media plane says of a session's port; False where it is of none."""
        if isinstance(notice, m.RecordingFailed):
            return False
        session = self._sessions.get(notice.port)
        if session is None:
            return False
        if isinstance(notice, m.PortConnected):
            self._connected(session)
        elif isinstance(notice, m.PortFailed):
            self._failed(session, notice.failure)
        elif isinstance(notice, m.RestartFailed):
            log.warning("ICE restart failed", media=session.id, failure=notice.failure)
            session.end.restart_failed()
        elif isinstance(notice, m.FirstPacket):
            session.is_heard = True
        if session.leg is not None:
            session.leg.receive_notice(notice)
        return True

    def lose(self, ports: Collection[m.PortName], reason: str) -> None:
        """A media worker is gone, and these ports with it."""
        for session in [each for each in self._sessions.values() if each.id in ports]:
            self._forget(session)
            self._tell_end(session, Cause.MEDIA_LOST, Side.ENDPOINT, reason)

    def close_all(self) -> None:
        """Close all ports, and say nothing."""
        for session in list(self._sessions.values()):
            self._close(session)

    # -- inside ---------------------------------------------------------------------------------

    def _connected(self, session: BrowserSession) -> None:
        session.is_connected = True
        session.stop_waiting()
        before = self._of_device.get(session.device)
        if before is session:
            return
        self._of_device[session.device] = session
        if before is not None:
            if before.leg is not None:
                before.leg.move(session)
            self._close(before)
        self._emit(DeviceRegistered(session.device, session.id, expires_s=0, server=BROWSER))

    def _failed(self, session: BrowserSession, failure: m.PortFailure) -> None:
        was_connected, session.is_connected = session.is_connected, False
        if was_connected and failure is m.PortFailure.CLOSED and session.leg is None:
            self.close(session)
            return
        cause, text = MEDIA_FAILURES[failure]
        give_up = partial(self._end, session, cause, Side.ENDPOINT, text)
        # A page that is reloaded, or whose network has changed, comes back; also at a second try.
        if was_connected and failure in (m.PortFailure.CLOSED, m.PortFailure.CONSENT_LOST):
            session.wait(self._settings.browser_grace_s, give_up)
        elif not session.is_awaited:
            give_up()

    def _end(self, session: BrowserSession, cause: Cause, side: Side, text: str) -> None:
        if session.id in self._sessions:
            self._close(session)
            self._tell_end(session, cause, side, text)

    def _tell_end(self, session: BrowserSession, cause: Cause, side: Side, text: str) -> None:
        if session.leg is not None:
            session.leg.desert(cause, side, text)
        if self.of(session.device) is None:
            self._emit(DeviceUnregistered(session.device, cause, server=BROWSER, text=text))

    def _close(self, session: BrowserSession) -> None:
        if session.id in self._sessions:
            self._forget(session)
            session.end.close()

    def _forget(self, session: BrowserSession) -> None:
        session.stop_waiting()
        del self._sessions[session.id]
        if self.of(session.device) is session:
            del self._of_device[session.device]


class BrowserLeg(Leg):
    """A leg to a device whose station is a browser; of one browser, one at a time."""

    def __init__(
        self,
        request: PlaceLeg,
        session: BrowserSession,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
    ) -> None:
        super().__init__(request.leg, request.interaction, request.role, ports, settings, emit)
        self._answer_after_s = request.answer_after_s if request.auto_answer else None
        self._session = session
        self._talking = False
        self._said_held = False
        self._is_interrupted = False
        session.leg = session.leg or self

    @property
    def encodings(self) -> tuple[str, ...]:
        """See `Leg`."""
        return self._session.encodings

    # -- said by the session --------------------------------------------------------------------

    def move(self, session: BrowserSession) -> None:
        """Go on at another session of the device."""
        self._session.leg, self._session = None, session
        session.leg = self
        if self._talking:
            self._ports.use(self.id, session.end)
        self.tell_hold()

    def tell_hold(self) -> None:
        """Tell whether the browser holds, where that has changed."""
        self.post(self._say_hold)

    def desert(self, cause: Cause, side: Side, text: str) -> None:
        """The session is over."""

        async def end() -> None:
            self._end(cause, side, text=text)

        self.post(end)

    # -- steps ----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._session.leg is not self:
            self._end(Cause.BUSY, Side.DEVICE, text="its browser is in another call")
            return
        self._emit(LegAlerting(self.id))
        if self._answer_after_s == 0:
            await self._answer()
        elif self._answer_after_s is not None:
            self._after(self._answer_after_s, self._answer)

    async def _alert(self, early_media: bool) -> None:
        """Nothing: only offered legs are told so."""

    async def _answer(self) -> None:
        if self._talking:
            return
        self._talking = True
        self._ports.use(self.id, self._session.end)
        self._emit(LegAnswered(self.id))
        if self._session.is_connected:
            await self._confirm()
        else:
            self._interrupt()
        await self._say_hold()

    async def _hold(self, held: bool) -> None:
        self._emit(FarEndHold(self.id, held, accepted=True))

    async def _say_hold(self) -> None:
        if self._talking and self._session.is_held is not self._said_held:
            self._said_held = self._session.is_held
            self._emit(LegHeld(self.id) if self._said_held else LegRetrieved(self.id))

    async def _take_notice(self, notice: m.Notice) -> None:
        if not self._talking:
            return
        if isinstance(notice, m.PortConnected) and self._is_interrupted:
            self._is_interrupted = False
            self._emit(MediaResumed(self.id))
            await self._confirm()
        else:
            await super()._take_notice(notice)

    async def _confirm(self) -> None:
        """Its port has told of the first packet mostly before the call."""
        if self._session.is_heard:
            await super()._take_notice(m.FirstPacket(self._session.id))

    async def _media_failed(self, port: m.PortName, failure: m.PortFailure) -> None:
        # The session sees to the rest: it comes back, is replaced, or deserts us.
        self._interrupt()

    def _interrupt(self) -> None:
        if not self._is_interrupted:
            self._is_interrupted = True
            self._emit(MediaInterrupted(self.id))

    async def _lose_silence(self) -> None:
        """Never: the port has no such time-out, for a microphone may be off; consent tells."""

    def _let_far_end_go(self, cause: Cause) -> None:
        if self._session.leg is self:
            self._session.leg = None
