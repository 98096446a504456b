"""What all legs share: one task that takes one step at a time, and one end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from endpoint.errors import MediaError
from endpoint.legs.audio_end import AudioSettings, Protection
from endpoint.legs.base import (
    Announcement,
    Cause,
    DeviceId,
    DigitDetected,
    DigitKind,
    DigitsSent,
    InteractionId,
    LegEvent,
    LegId,
    LegReleased,
    LegRole,
    MediaConfirmed,
    Side,
    Source,
)
from endpoint.legs.info import DIGITS
from endpoint.legs.numbering import telephone_of
from endpoint.legs.ports import SOUNDS, LegPorts
from endpoint.media import messages as m
from signaling.errors import LocalProtocolError

log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[None]]


class AutoAnswer(StrEnum):
    """Whose callers may have a device pick up by itself."""

    NEVER = "never"
    TRUSTED = "trusted"
    """Devices of ours, and trusted lines."""
    ALWAYS = "always"

    def allows(self, *, trusted: bool) -> bool:
        """Whether a caller's wish is heard."""
        return self is AutoAnswer.ALWAYS or (trusted and self is AutoAnswer.TRUSTED)


@dataclass(frozen=True, slots=True)
class LegSettings:
    """Facts of the deployment, and how long legs wait."""

    domain: str = "localhost"
    """What follows the @ of our devices' addresses in From and To."""
    audio: AudioSettings = field(default_factory=AudioSettings)
    websocket_media: Protection = Protection.WEBRTC
    """What is offered to phones that are registered with us over WS or WSS."""
    telephone_media: Protection = Protection.RTP
    """What is offered to our other phones."""
    tls_media: Protection | None = None
    """The same of those that come by TLS, where keys in the SDP are secret; None: no difference."""
    media_timeout_s: float = 30.0
    """An answered leg that hears nothing for so long, and is not held, is released. 0: never."""
    ring_timeout_s: float = 180.0
    """A placed leg that nobody answers is given up. Call control mostly gives up earlier."""
    maximum_redirections: int = 3
    """So often a call that is being placed may be sent elsewhere by 3xx."""
    reinvite_timeout_s: float = 40.0
    """Longer than the stack's own 32 s: a re-INVITE has an outcome by then."""
    goodbye_s: float = 2.0
    """A browser that hangs up closes its audio first: so long its BYE may take."""
    browser_grace_s: float = 15.0
    """A browser that was lost may come back so long, by an ICE restart or a new session."""
    digit_pause_s: float = 0.25
    """Between two digits in INFO: who makes tones of them needs so long for each."""
    shutdown_timeout_s: float = 3.0
    """How long closing waits for the far ends of all legs."""
    auto_answer: AutoAnswer = AutoAnswer.TRUSTED
    """Whose wish that a device picks up by itself is heard."""
    auto_answer_devices: Mapping[str, AutoAnswer] = field(default_factory=dict)
    """The same for single devices."""
    keep_up_s: float = 0.0
    """A remote agent's telephone stays up so long without a call; 0: it is rung for each."""
    keep_up_devices: Mapping[str, float] = field(default_factory=dict)
    """The same for single devices."""
    notice_s: float = 0.4
    """So long it is told of a call, before it is in it."""
    music_file: str | None = None
    """A WAV file for music on hold; None: two soft tones."""
    announcements: tuple[Announcement, ...] = ()
    """What parties may be routed to hear, once."""
    sounds: Mapping[Source, Sequence[m.Segment]] = field(default_factory=lambda: SOUNDS)

    def keep_up_of(self, device: DeviceId) -> float:
        """How long a telephone stays up without a call: that of a remote agent alone does."""
        is_remote = telephone_of(device) is not None
        return self.keep_up_devices.get(device, self.keep_up_s) if is_remote else 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around every leg of an exchange."""

    ports: LegPorts
    """Where it has its audio."""
    settings: LegSettings
    emit: Callable[[LegEvent], None]
    """Who is told of it."""


class GiveUp(Exception):
    """A step found that the leg can't go on."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Leg(ABC):
    """One leg as the exchange sees it.

    Its methods return at once; `run` does what they ask, in order.
    """

    def __init__(
        self,
        leg: LegId,
        interaction: InteractionId,
        role: LegRole,
        ports: LegPorts,
        settings: LegSettings,
        emit: Callable[[LegEvent], None],
    ) -> None:
        self.id = leg
        self.interaction = interaction
        self.role = role
        self._ports = ports
        self._settings = settings
        self._emit = emit
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._released = False
        self._is_over = False
        """Nobody takes steps any more."""
        self._confirmed = False
        self.is_leaving = False
        """Its release was asked for."""

    hears_digits = False
    """It is told of each digit of each whom it hears, by `hear_digit`."""
    called: DeviceId | None = None
    """Whom it called; of one that was offered to us."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}{' released' if self._released else ''}>"

    @property
    def sip_call_ids(self) -> Sequence[str]:
        """Of the SIP calls that it has had so far; none where it is no SIP leg."""
        return ()

    # -- asked by the exchange ------------------------------------------------------------------

    def alert(self, *, early_media: bool = False) -> None:
        """See `Exchange.alert`."""
        self.post(lambda: self._alert(early_media))

    def answer(self) -> None:
        """See `Exchange.answer`."""
        self.post(self._answer)

    def release(self, cause: Cause) -> None:
        """See `Exchange.release`."""
        self.is_leaving = True
        self.post(lambda: self._release(cause))

    def hold(self) -> None:
        """See `Exchange.hold`."""
        self.post(lambda: self._hold(True))

    def resume(self) -> None:
        """See `Exchange.resume`."""
        self.post(lambda: self._hold(False))

    def send_digits(self, digits: str) -> None:
        """See `Exchange.send_digits`."""
        self.post(lambda: self._send_digits(digits))

    def hear_digit(self, digit: str) -> None:  # noqa: B027 # most legs have no ears of their own
        """Somebody whom it hears has pressed a key."""

    def receive_notice(self, notice: m.Notice) -> None:
        """The media plane says something of one of the leg's ports."""
        self.post(lambda: self._take_notice(notice))

    def lose_media(self, reason: str) -> None:
        """The media worker is gone, and the leg's port with it."""
        self.post(lambda: self._lose_media(reason))

    @property
    def digit_kind(self) -> DigitKind:
        """How digits go to the leg's far end."""
        return DigitKind.EVENTS

    @property
    def encodings(self) -> tuple[str, ...]:
        """Codecs that can be sent to the leg's far end, as far as known, most wanted first."""
        return ()

    async def run(self) -> None:
        """Live: take step after step until the leg is released."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._take(self._begin)
                while not self._released:
                    await self._take(await self._steps.get())
        except Exception:
            # A fault in one leg is that leg's alone: no other leg hears of it.
            log.exception("leg failed", leg=self.id)
            self._end(Cause.PROTOCOL_ERROR, Side.ENDPOINT, text="internal fault, see the log")
        finally:
            self._end(Cause.NORMAL, Side.ENDPOINT, text="the exchange closes")
            self._is_over = True
            while not self._steps.empty():  # each knows its leg, which would never be forgotten
                self._steps.get_nowait()

    def post(self, step: Step) -> None:
        """Have a step taken after those that were asked before, if the leg lives so long."""
        if not self._is_over:
            self._steps.put_nowait(step)

    # -- for the kinds of leg -------------------------------------------------------------------

    @abstractmethod
    async def _begin(self) -> None:
        """Open what the leg needs, and ring or be offered."""

    @abstractmethod
    async def _alert(self, early_media: bool) -> None: ...

    @abstractmethod
    async def _answer(self) -> None: ...

    @abstractmethod
    async def _hold(self, held: bool) -> None: ...

    @abstractmethod
    async def _lose_silence(self) -> None:
        """Nothing came from the far end for `media_timeout_s`."""

    @abstractmethod
    async def _media_failed(self, port: m.PortName, failure: m.PortFailure) -> None:
        """A port of the leg has no way to its far end, or no longer."""

    @abstractmethod
    def _let_far_end_go(self, cause: Cause) -> None:
        """Tell the far end, by what the state of the leg needs; harmless where it has gone.

        Nobody waits for its last word: the sessions end at once, and the stack sees to the rest.
        """

    async def _release(self, cause: Cause) -> None:
        self._end(cause, Side.ENDPOINT)

    async def _lose_media(self, reason: str) -> None:
        self._end(Cause.MEDIA_LOST, Side.ENDPOINT, text=reason)

    async def _send_digits(self, digits: str) -> None:
        if not digits or any(digit not in DIGITS for digit in digits):
            self._emit(DigitsSent(self.id, ""))
            return
        try:
            await self._ports.send_digits(self.id, digits)
        except MediaError as exc:
            log.warning("digits not sent", leg=self.id, reason=str(exc))
            self._emit(DigitsSent(self.id, ""))

    async def _take_notice(self, notice: m.Notice) -> None:
        match notice:
            case m.FirstPacket():
                if not self._confirmed:
                    self._confirmed = True
                    self._emit(MediaConfirmed(self.id))
            case m.DigitReceived(digit=digit, duration_ms=duration_ms, in_band=in_band):
                kind = DigitKind.INBAND if in_band else DigitKind.EVENTS
                self._emit(DigitDetected(self.id, digit, duration_ms, kind))
            case m.DigitsSent(digits=digits):
                self._emit(DigitsSent(self.id, digits))
            case m.MediaTimedOut():
                await self._lose_silence()
            case m.PortFailed(port=port, failure=failure):
                await self._media_failed(port, failure)
            case (
                m.PlaybackEnded()
                | m.PortClosed()
                | m.RecordingFailed()
                | m.PortConnected()
                | m.RestartFailed()
                | m.CandidatesFound()
            ):
                """Of no leg's concern."""

    def _end(
        self,
        cause: Cause,
        side: Side,
        *,
        sip_status: int | None = None,
        q850: int | None = None,
        text: str = "",
    ) -> None:
        """End the leg, once: the port is closed, the event said, the far end told."""
        if self._released:
            return
        self._released = True
        self._stop_timer()
        self._ports.close(self.id)
        self._emit(LegReleased(self.id, cause, side, sip_status, q850, text))
        self._let_far_end_go(cause)

    def _after(self, delay_s: float, step: Step) -> None:
        """Post a step later; at most one waits, and none after the leg is released."""
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.post, step)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _take(self, step: Step) -> None:
        try:
            await step()
        except GiveUp as exc:
            self._end(exc.cause, Side.ENDPOINT, text=str(exc))
        except MediaError as exc:
            self._end(Cause.MEDIA_LOST, Side.ENDPOINT, text=str(exc))
        except LocalProtocolError as exc:
            # The far end was faster: what it did is among the next steps.
            log.debug("step came too late", leg=self.id, reason=str(exc))
