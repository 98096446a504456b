"""An exchange without telephones: does what the real one promises, and checks what it is asked.

Devices are driven by the test through `FakeLeg`: ring, answer, refuse, hang up, hold, vanish.
A station that is asked to answer by itself does. `heard()` is the hearing matrix that the routes
make. Whatever call control asks against the contract of `legs.base` is kept in `faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from endpoint.legs.base import (
    CAUSES,
    Announcement,
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    DigitDetected,
    DigitsSent,
    ExchangeEvent,
    FarEndHold,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegHeld,
    LegId,
    LegOffered,
    LegQuality,
    LegReleased,
    LegRetrieved,
    LegRole,
    MediaConfirmed,
    PlaceLeg,
    RecordingBegan,
    RecordingEnded,
    RecordingId,
    RecordingRequest,
    RecordingSide,
    Route,
    Side,
    Source,
    Track,
    TransferAsked,
    TransferOutcome,
)


@dataclass
class FakeLeg:
    """A telephone at the far end of a leg, played by the test."""

    exchange: FakeExchange
    id: LegId
    interaction: InteractionId
    device: DeviceId
    role: LegRole
    offered: bool
    request: PlaceLeg | None = None
    """What was asked for; none for a leg that came to us."""
    is_alerted: bool = False
    """Its caller was told that it rings (180)."""
    is_up: bool = False
    early_media: bool = False
    hears_early: bool = False
    """Its caller was let hear what is called."""
    is_asked_to_answer: bool = False
    is_over: bool = False
    release_cause: Cause | None = None
    """With which cause we let go of it."""
    digits: str = ""
    """What it received."""
    offers: list[str] = field(default_factory=list)
    """`hold` and `resume`, as it was asked."""
    replaces: FakeLeg | None = None
    """Whose place it came for."""
    refers: bool = False
    """Its line wants transfers by REFER."""
    referred_to: str = ""
    """Whom it was asked to call."""
    quality: LegQuality | None = None
    """What its audio was like."""
    transfer: list[int] = field(default_factory=list)
    """What it was told of the transfer that it asked for."""

    @property
    def is_early_listener(self) -> bool:
        """Whether its caller may hear something before it is answered; routes go before alerts."""
        return self.offered and not self.is_up

    def ring(self, *, early_media: bool = False) -> None:
        self.early_media = early_media
        self.exchange.tell(LegAlerting(self.id, early_media=early_media))

    def answer(self) -> None:
        if self.replaces is not None:
            self.replaces.hang_up()
        self.is_up = True
        self.exchange.tell(LegAnswered(self.id, refers=self.refers))

    def ask_transfer(
        self, destination: str, replaces: FakeLeg | None = None, *, from_outside: bool = False
    ) -> None:
        """Its phone sends REFER."""
        other = None if replaces is None else replaces.id
        self.exchange.tell(TransferAsked(self.id, DeviceId(destination), other, from_outside))

    def tell_outcome(self, sip_status: int | None, cause: Cause = Cause.NORMAL) -> None:
        """Its phone says by NOTIFY what came of our REFER."""
        self.exchange.tell(TransferOutcome(self.id, sip_status, cause))

    def refuse(self, cause: Cause, *, by: Side = Side.DEVICE, text: str = "") -> None:
        """End it before it was answered, or give up as its caller."""
        self._over(LegReleased(self.id, cause, by, CAUSES[cause].sip_status, text=text))

    def hang_up(self) -> None:
        self._over(LegReleased(self.id, Cause.NORMAL, Side.DEVICE, q850=16))

    def vanish(self) -> None:
        """No RTP for too long."""
        self._over(LegReleased(self.id, Cause.MEDIA_TIMEOUT, Side.ENDPOINT))

    def lose_media(self) -> None:
        """The media worker died under it."""
        self._over(LegReleased(self.id, Cause.MEDIA_LOST, Side.ENDPOINT))

    def hold(self) -> None:
        self.exchange.tell(LegHeld(self.id))

    def retrieve(self) -> None:
        self.exchange.tell(LegRetrieved(self.id))

    def speak(self) -> None:
        self.exchange.tell(MediaConfirmed(self.id))

    def press(self, digit: str) -> None:
        self.exchange.tell(DigitDetected(self.id, digit, 100))

    def hears(self) -> frozenset[str]:
        return self.exchange.heard().get(self.device, frozenset())

    def _over(self, event: LegReleased) -> None:
        if not self.is_over:
            self.is_over, self.is_up = True, False
            self.exchange.tell(event)


@dataclass
class FakeRecording:
    """A recording, by who is on it."""

    exchange: FakeExchange
    request: RecordingRequest
    tracks: tuple[Track, ...] = ()
    paused: bool = False
    is_over: bool = False

    def on(self, side: RecordingSide) -> str:
        """Who is on one side."""
        return " ".join(sorted(each.number for each in self.tracks if each.side is side))

    @property
    def left(self) -> str:
        return self.on(RecordingSide.LEFT)

    @property
    def right(self) -> str:
        return self.on(RecordingSide.RIGHT)

    def fail(self, text: str, *, again: bool = False) -> None:
        """The disk is full, or the process that writes is gone."""
        self.is_over = True
        self.exchange.tell(RecordingEnded(self.request.recording, text, again))


class FakeExchange:
    """Implements `legs.base.Exchange`."""

    def __init__(self) -> None:
        self.legs: dict[LegId, FakeLeg] = {}
        self.asked: list[str] = []
        """What was asked for, in order: `place 6001`, `routes`, `hold 10086`."""
        self.faults: list[str] = []
        """What was asked against the contract."""
        self.no_auto_answer: set[str] = set()
        """Devices whose phone does not pick up by itself."""
        self.rings_on: set[str] = set()
        """Devices whose phone does not answer when it is asked to."""
        self.refuses_hold: set[str] = set()
        """Devices whose phone refuses a re-INVITE."""
        self.confirms_answers = True
        """Whether callers send the ACK to our answer."""
        self.release_delay_s = 0.0
        """How long a leg takes to end when we let go of it."""
        self.refuses_recordings = ""
        """Why no recording can begin."""
        self.recordings: dict[RecordingId, FakeRecording] = {}
        self._events: asyncio.Queue[ExchangeEvent] = asyncio.Queue()
        self._routes: dict[InteractionId, tuple[Route, ...]] = {}
        self._placed: dict[str, asyncio.Event] = {}
        self._numbers = count(1)

    # -- what the test does -----------------------------------------------------------------------

    def tell(self, event: ExchangeEvent) -> None:
        self._events.put_nowait(event)

    def registered(self, device: str, *, server: str = "") -> None:
        self.tell(DeviceRegistered(DeviceId(device), f"sip:{device}@127.0.0.1", 600, server))

    def unregistered(self, device: str, cause: Cause, *, server: str = "") -> None:
        status = CAUSES[cause].sip_status
        self.tell(DeviceUnregistered(DeviceId(device), cause, status, server))

    def offer(
        self,
        calling: str,
        called: str,
        role: LegRole,
        *,
        replaces: FakeLeg | None = None,
        withheld: bool = False,
    ) -> FakeLeg:
        """A call comes in, or a phone of ours dials; it may come for another leg's place."""
        number = next(self._numbers)
        leg = FakeLeg(
            self,
            LegId(f"offered{number}"),
            InteractionId(f"in{number}") if replaces is None else replaces.interaction,
            DeviceId(calling),
            role,
            offered=True,
            replaces=replaces,
        )
        self.legs[leg.id] = leg
        self.tell(
            LegOffered(
                leg.id,
                leg.interaction,
                DeviceId(calling),
                DeviceId(called),
                role,
                withheld=withheld,
                replaces=None if replaces is None else replaces.id,
            )
        )
        return leg

    async def placed(self, device: str) -> FakeLeg:
        """The leg to a device, as soon as it is asked for; the newest, if there are several."""
        while True:
            found = [
                leg
                for leg in self.legs.values()
                if leg.device == device and not leg.offered and not leg.is_over
            ]
            if found:
                return found[-1]
            await self._placed.setdefault(device, asyncio.Event()).wait()

    @property
    def open_legs(self) -> list[FakeLeg]:
        return [leg for leg in self.legs.values() if not leg.is_over]

    def heard(self) -> dict[str, frozenset[str]]:
        """Who hears whom, by the routes: every device with an answered leg has a row."""
        rows: dict[str, set[str]] = {leg.device: set() for leg in self.legs.values() if leg.is_up}
        for routes in self._routes.values():
            for route in routes:
                sink = self.legs[route.sink]
                if sink.is_up:
                    rows[sink.device].add(self._name(route.source))
        return {device: frozenset(heard) for device, heard in rows.items()}

    def heard_on(self, leg: LegId) -> set[str]:
        """What one leg hears: legs by their id, sounds of ours by their name."""
        return {
            self._name(route.source) if not isinstance(route.source, str) else route.source
            for routes in self._routes.values()
            for route in routes
            if route.sink == leg
        }

    def forget_what_is_over(self) -> None:
        """Drop ended legs, for long runs."""
        self.legs = {leg.id: leg for leg in self.open_legs}
        live = {leg.interaction for leg in self.legs.values()}
        self._routes = {each: routes for each, routes in self._routes.items() if each in live}
        self.asked.clear()

    # -- what call control asks -------------------------------------------------------------------

    def place(self, request: PlaceLeg) -> None:
        self.asked.append(f"place {request.device}")
        if request.leg in self.legs:
            self.faults.append(f"placed twice: {request.leg}")
        leg = FakeLeg(
            self,
            request.leg,
            request.interaction,
            request.device,
            request.role,
            offered=False,
            request=request,
        )
        self.legs[leg.id] = leg
        self._placed.pop(request.device, asyncio.Event()).set()
        if request.auto_answer and request.device not in self.no_auto_answer:
            leg.answer()

    def alert(self, leg: LegId, *, early_media: bool = False) -> None:
        self.asked.append(f"alert {self.legs[leg].device}{' early' if early_media else ''}")
        self.legs[leg].hears_early |= early_media
        self._must(leg, self.legs[leg].offered and not self.legs[leg].is_up, "alert")
        self.legs[leg].is_alerted = True

    def answer(self, leg: LegId) -> None:
        party = self.legs[leg]
        self.asked.append(f"answer {party.device}")
        self._must(leg, not party.is_up and not party.is_asked_to_answer, "answer")
        party.is_asked_to_answer = True
        answers = self.confirms_answers if party.offered else party.device not in self.rings_on
        if not party.is_over and answers:
            party.answer()

    def release(self, leg: LegId, cause: Cause) -> None:
        party = self.legs[leg]
        self.asked.append(f"release {party.device} {cause}")
        self._must(leg, party.release_cause is None, "release")
        party.release_cause = cause
        over = LegReleased(leg, cause, Side.ENDPOINT)
        if self.release_delay_s and not party.is_over:
            loop = asyncio.get_running_loop()
            loop.call_later(self.release_delay_s, party._over, over)
        else:
            party._over(over)

    def hold(self, leg: LegId) -> None:
        self._re_invite(leg, held=True)

    def resume(self, leg: LegId) -> None:
        self._re_invite(leg, held=False)

    def send_digits(self, leg: LegId, digits: str) -> None:
        party = self.legs[leg]
        self.asked.append(f"digits {party.device}")
        self._must(leg, party.is_up or party.is_over, "send_digits")
        party.digits += digits
        self.tell(DigitsSent(leg, digits))

    def tell_transfer(self, leg: LegId, sip_status: int) -> None:
        self.asked.append(f"tell {self.legs[leg].device} {sip_status}")
        self.legs[leg].transfer.append(sip_status)

    def refer(self, leg: LegId, destination: DeviceId, replacing: LegId | None = None) -> None:
        self.asked.append(f"refer {self.legs[leg].device} {destination}")
        self._must(leg, self.legs[leg].is_up or self.legs[leg].is_over, "refer")
        self.legs[leg].referred_to = destination

    def move(self, leg: LegId, interaction: InteractionId) -> None:
        self.legs[leg].interaction = interaction

    def set_routes(self, interaction: InteractionId, routes: Sequence[Route]) -> None:
        self.asked.append("routes")
        self._routes[interaction] = tuple(routes)
        for route in routes:
            sink = self.legs[route.sink]
            listens = sink.is_up or sink.is_over or sink.is_early_listener
            self._must(route.sink, listens, "sink of a route")
            self._must(route.sink, sink.interaction == interaction, "route of another")
            if isinstance(route.source, str):
                source = self.legs[route.source]
                audible = source.is_up or source.is_over or source.early_media
                self._must(route.source, audible, "source of a route")

    async def last_quality(self, leg: LegId) -> LegQuality | None:
        return self.legs[leg].quality if leg in self.legs else None

    def begin_recording(self, request: RecordingRequest) -> None:
        self.asked.append(f"record {request.call}")
        if request.recording in self.recordings:
            self.faults.append(f"begun twice: {request}")
        self.recordings[request.recording] = FakeRecording(self, request)
        if self.refuses_recordings:
            self.recordings[request.recording].fail(self.refuses_recordings)
        else:
            self.tell(RecordingBegan(request.recording))

    def set_tracks(self, recording: RecordingId, tracks: Sequence[Track], *, paused: bool) -> None:
        found = self.recordings[recording]
        found.tracks, found.paused = tuple(tracks), paused
        for track in tracks:
            leg = self.legs[track.leg]
            self._must(track.leg, leg.is_up or leg.is_over, "on a recording")
        if tracks and paused:
            self.faults.append(f"on a recording that is paused: {tracks}")

    def end_recording(self, recording: RecordingId) -> None:
        self.recordings[recording].is_over = True

    async def events(self) -> AsyncIterator[ExchangeEvent]:
        while True:
            yield await self._events.get()

    # -- inside -----------------------------------------------------------------------------------

    def _re_invite(self, leg: LegId, *, held: bool) -> None:
        party = self.legs[leg]
        word = "hold" if held else "resume"
        self.asked.append(f"{word} {party.device}")
        self._must(leg, party.is_up or party.is_over, word)
        party.offers.append(word)
        accepted = party.device not in self.refuses_hold
        self.tell(FarEndHold(leg, held, accepted, 200 if accepted else 488))

    def _must(self, leg: LegId, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(f"{what}: {self.legs[leg]!r}")

    def _name(self, source: LegId | Source | Announcement) -> str:
        if isinstance(source, Announcement):
            return source.path
        return source.value if isinstance(source, Source) else self.legs[source].device
