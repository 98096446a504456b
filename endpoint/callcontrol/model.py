"""The nouns of call control (ECMA-269): interaction, call, connection, and the legs under them.

State belongs to the *connection*: one device in one call. A leg realises a connection; a device
that consults has two connections and one leg, so legs are kept beside the calls, not inside them.
All values are frozen: `machine.step` makes new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from endpoint.callcontrol.callsettings import CallSettings as CallSettings
from endpoint.legs.base import (
    Announcement,
    Cause,
    DeviceId,
    InteractionId,
    LegId,
    LegQuality,
    LegRole,
    RecordingId,
    Side,
)

CallId = NewType("CallId", str)
"""One call; unique over all interactions. Made from the interaction's id and a number."""
ConnectionId = NewType("ConnectionId", int)
"""One connection in its call, counted from 1: who has no device of ours is named by it too."""
UNNAMED = ConnectionId(0)
"""Of a connection that is in no call yet."""


class ConnectionState(StrEnum):
    """What a device is to a call (ECMA-269 §6.1.5)."""

    NULL = "null"
    """Not, or no longer, in the call."""
    INITIATED = "initiated"
    """It asked for service: its station is being picked up to dial."""
    ALERTING = "alerting"
    """It rings."""
    CONNECTED = "connected"
    """It takes part. Its caller waits, or they talk."""
    HOLD = "hold"
    """It holds the call: it hears nothing, the others hear music."""
    QUEUED = "queued"
    """The call waits for it."""
    FAIL = "fail"
    """It could not be reached."""


class Participation(StrEnum):
    """How a device takes part in a call that it has joined (ECMA-269: active, silent)."""

    ACTIVE = "active"
    """It hears all others, and they hear it."""
    SILENT = "silent"
    """It hears all others, and nobody hears it (monitor)."""
    WHISPER = "whisper"
    """It hears all others, and only whom it is beside hears it."""


class CallDirection(StrEnum):
    """Who asked for the call."""

    OUTBOUND = "outbound"
    """A device of ours dialled, by command or by its own phone."""
    INBOUND = "inbound"
    """Somebody called a device of ours."""


class LegProgress(StrEnum):
    """How far a leg has come. A leg that is over is not kept."""

    OFFERED = "offered"
    """It came to us; its caller waits."""
    PLACED = "placed"
    """We asked for it and know nothing yet."""
    RINGING = "ringing"
    """It rings at the far end."""
    ANSWERING = "answering"
    """We answered; the confirmation is on its way."""
    UP = "up"
    """Answered: its port can be routed."""
    RELEASING = "releasing"
    """We let go of it; its end has not been reported yet."""


class TimerKind(StrEnum):
    """What we wait for."""

    NO_ANSWER = "no_answer"
    """A placed leg is not answered in time."""
    FAILURE_TONE = "failure_tone"
    """The caller has heard the busy tone long enough."""
    POST_DIAL = "post_dial"
    """The pause between the answer and the extension's digits (seed 000 §1.8)."""
    PARK = "park"
    """A parked call is not picked up in time."""
    TRANSFER = "transfer"
    """A far end that was asked to call somebody says nothing of the outcome."""
    ANNOUNCEMENT = "announcement"
    """What is played before a call is recorded is over."""


class StepKind(StrEnum):
    """What was done with a call, or with a place in it (ECMA-269 names where it has one)."""

    CONSULT = "consult"
    """A second call was made beside the first, which waited (ConsultationCall)."""
    LEND = "lend"
    """A party was lent to somebody by a second call (LendCall)."""
    CONFERENCE = "conference"
    """Two calls became one (ConferenceCall)."""
    TRANSFER = "transfer"
    """Another took a device's place, as that one wanted (SingleStepTransfer, TransferCall)."""
    INTERCEPT = "intercept"
    """A supervisor took a device's place (InterceptCall)."""
    REPLACE = "replace"
    """A telephone came with the right to a device's place (RFC 3891)."""
    DEFLECT = "deflect"
    """A device that rang sent the caller on (DeflectCall)."""
    FORWARD = "forward"
    """A device's telephone sent the caller on (302)."""
    PICK_UP = "pick_up"
    """Another answered what rang or waited at a device (DirectedPickupCall)."""
    PARK = "park"
    """The call was left to wait at a device, or at a number (ParkCall)."""


@dataclass(frozen=True, slots=True)
class CallStep:
    """One step of a call's way from device to device."""

    at: datetime
    """When it was done, or had failed (UTC)."""
    kind: StepKind
    """What was done."""
    by: DeviceId
    """Whose doing it was."""
    to: DeviceId
    """Who was called, came in, or took the place."""
    place_of: DeviceId | None = None
    """Whose place in the call it was."""
    call: CallId | None = None
    """The other call: which it was consulted or lent by, or which went into which."""
    cause: Cause | None = None
    """Why it failed; none where it did not."""


@dataclass(frozen=True, slots=True)
class IvrStep:
    """One node of a flow that a caller went through; or that the call is a queue's own.

    A call that an agent makes for a queue goes through none: the step has neither flow nor node.
    """

    at: datetime
    """When the call came there (UTC)."""
    flow: str
    """The flow's name."""
    node: str
    """The node's name in it."""
    outcome: str = ""
    """What came of it, as a key that was chosen, `no_input`; nothing that was keyed in secretly.

    Empty where the call was left there, or there is nothing to say.
    """
    queue: str = ""
    """The queue in which the call waited there. The outcome is `answered` or `abandoned` then, or
    what its flow went on with; `outbound` where nobody waited, and it was made for the queue."""
    waited_s: float | None = None
    """How long."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Where a call waits for an agent."""

    leg: LegId
    """Of the IVR."""
    queue: str
    """Its code."""
    since: datetime
    """When it came there (UTC)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A time that a device held its call."""

    began_at: datetime
    """UTC, as all moments."""
    ended_at: datetime | None = None
    """None while it holds."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When a connection became what (UTC); see `moments.py`."""

    initiated_at: datetime
    """It came into the call: its telephone was called, or called us."""
    delivered_at: datetime | None = None
    """It rang first; none where it never did."""
    established_at: datetime | None = None
    """Its telephone was answered and it took part; none where it never did."""
    holds: tuple[Hold, ...] = ()
    """The times that it held."""
    ended_at: datetime | None = None
    """It left, or had failed; none while it lives."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One deadline; each leg has at most one of a kind, in each call."""

    kind: TimerKind
    leg: LegId
    """Whom the deadline is about."""
    call: CallId | None = None
    """In which call, where the leg may be in several."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection or a call ended."""

    cause: Cause
    """Why."""
    released_by: Side
    """Who let go of it."""
    releasing_device: DeviceId | None = None
    """Whose doing it was in the end; none when it was ours (a time-out, a shutdown)."""
    sip_status: int | None = None
    """What the far end or the network said; none when nothing was said."""
    q850: int | None = None
    """The Q.850 cause, as said or by `CAUSES`."""
    text: str = ""
    """For a person: reason phrase, or what to do about it."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg as call control knows it."""

    id: LegId
    """Also the key in the exchange."""
    number: DeviceId
    """Whom it reaches; of a caller from outside what he says."""
    role: LegRole
    """The agent's station, or a line to the far party."""
    progress: LegProgress
    """How far it has come."""
    early_media: bool = False
    """The far end sends its own ring-back."""
    refers: bool = False
    """Its line wants transfers to be done by the far end (REFER)."""
    hears_early: bool = False
    """Its caller hears what is called, though the call is not answered."""
    held_by_phone: bool = False
    """Its own phone holds (re-INVITE), so only that phone can be asked to come back."""
    from_outside: bool = False
    """Somebody outside called by it, whose number nobody has proven."""
    dialled_by: DeviceId | None = None
    """The device that called him, or had him called."""

    @property
    def device(self) -> DeviceId | None:
        """See `Connection.device`."""
        return None if self.from_outside else self.number


@dataclass(frozen=True, slots=True)
class Connection:
    """One device in one call."""

    number: DeviceId
    """Who, to be shown. A caller from outside says what he likes, a number of ours too."""
    role: LegRole
    """The agent's station, or a line to the far party."""
    leg: LegId
    """What realises it."""
    state: ConnectionState
    """What the device is to the call now."""
    id: ConnectionId = UNNAMED
    """Its name in the call, which it keeps; given by `Turn.add`."""
    media_confirmed: bool = False
    """Audio from it was seen."""
    held_by_phone: bool = False
    """Its own phone put it aside, and takes it back when it comes back."""
    held_for: CallId | None = None
    """It holds only while it is in that other call, and is back when that is over for it."""
    participation: Participation = Participation.ACTIVE
    """Who hears it."""
    beside: LegId | None = None
    """The leg of whom it supervises; leaves with it, unless it has become a party itself."""
    picks_up: LegId | None = None
    """The leg whose place it takes where it answers first (a pick-up); until then it waits."""
    parked_by: DeviceId | None = None
    """The call is parked here, by this one: its leg is only a name, which no exchange knows."""
    muted: bool = False
    """Nobody hears it, until it says so."""
    ending: Ending | None = None
    """How it ended; none while it lives."""
    from_outside: bool = False
    """It is that of a caller from outside, whose number nobody has proven."""
    agent: str = ""
    """Who worked at the device when it came into the call; given by `Turn.add`."""
    moments: Moments | None = None
    """When it became what; kept by `Turn`."""

    @property
    def device(self) -> DeviceId | None:
        """Whose it is, to be found by; nobody's where its number is only what a caller says.

        ECMA-269 tells the calling device, which is shown, from the associated one in the same way.
        """
        return None if self.from_outside else self.number

    @property
    def is_live(self) -> bool:
        """Whether the device is, or is about to be, in the call."""
        return self.ending is None

    @property
    def is_party(self) -> bool:
        """Whether it lives and counts among those who talk: two of them are a call.

        A supervisor does from when it is there, and so does who picks a call up.
        """
        is_coming = self.beside is not None and self.state is ConnectionState.INITIATED
        is_active = self.participation is Participation.ACTIVE and self.picks_up is None
        return self.is_live and is_active and not is_coming


def are_of_one(one: Leg | Connection, other: Leg | Connection) -> bool:
    """Whether both are of one party: the same device, or from outside under one number.

    What is parked at a device is nothing that the device does.
    """
    if any(isinstance(each, Connection) and each.parked_by is not None for each in (one, other)):
        return False
    return (one.number, one.from_outside) == (other.number, other.from_outside)


@dataclass(frozen=True, slots=True)
class PostDial:
    """Digits to send after the answer."""

    pause_s: float
    """Counted from the 200."""
    digits: str = field(repr=False)
    """`0-9*#A-D`; never logged."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A device is about to be replaced by another in its call."""

    leg: LegId
    """That of who transfers; it may be gone already."""
    to: DeviceId
    """Who takes its place."""
    target: LegId | None = None
    """The leg of that one; none where the far end calls it (REFER)."""
    referred: LegId | None = None
    """The leg whose far end was asked to call it, where the line wants that."""
    asked: bool = True
    """Who is replaced has asked for it, and waits; else the other one comes by himself."""
    asked_by_phone: bool = False
    """The device's phone asked for it, and is told what becomes of it."""
    kind: StepKind = StepKind.TRANSFER
    """As what it goes into the record."""
    other: CallId | None = None
    """The call that the new party comes from."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A call is recorded."""

    id: RecordingId
    by: DeviceId | None = None
    """Who asked for it; none where a rule did."""
    rule: str = ""
    """By which rule."""
    is_begun: bool = False
    """There is a file for it."""
    paused: bool = False
    """Nobody is on it until it is resumed."""
    announcement: Announcement | None = None
    """It begins when the parties have heard this."""


@dataclass(frozen=True, slots=True)
class Call:
    """Devices that talk, or are about to."""

    id: CallId
    """Unique over all interactions."""
    direction: CallDirection
    """Who asked for it."""
    calling: DeviceId
    """Who dialled."""
    called: DeviceId
    """Whom; without the post-dial digits."""
    started_at: datetime
    """When it was asked for (UTC)."""
    calling_name: str = ""
    """How the caller is shown."""
    calling_number: str = ""
    """The number to show outside; empty: the one that the line has for the caller."""
    withheld: bool = False
    """The caller does not want to be known to whom is called."""
    first_called: DeviceId | None = None
    """Whom the caller dialled, where the call was sent on to us."""
    last_redirection: DeviceId | None = None
    """Who sent it on to us."""
    answer_after_s: float | None = None
    """The caller asks that the called picks up by itself after so long."""
    connections: tuple[Connection, ...] = ()
    """The caller's first. Ended ones stay: the record needs them."""
    post_dial: PostDial | None = None
    """What to send after the answer; none when sent or never asked for."""
    delivered_at: datetime | None = None
    """When it first rang (UTC)."""
    established_at: datetime | None = None
    """When caller and called could first talk (UTC)."""
    cleared_at: datetime | None = None
    """When its last connection ended (UTC)."""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a client has given to it; never changed, always replaced."""
    transfer: Transfer | None = None
    """The transfer that is under way."""
    away: CallId | None = None
    """The call that one of its parties is lent to, and comes back from."""
    steps: tuple[CallStep, ...] = ()
    """Its way from device to device so far."""
    ivr_path: tuple[IvrStep, ...] = ()
    """The nodes of flows that its caller went through so far, and the queues."""
    waits: Waits | None = None
    """Where it waits for an agent; None: it does not."""
    recording: Recording | None = None
    """The recording that runs; none where none does. That of a call that is over is over too."""
    recordings_made: int = 0
    """How many it has had."""
    recording_decided: bool = False
    """It was looked whether it is recorded by rule."""
    outcome: Ending | None = None
    """Why it ended: the ending of the first connection that left less than two others."""

    @property
    def is_established(self) -> bool:
        """Whether caller and called have talked."""
        return self.established_at is not None

    @property
    def is_cleared(self) -> bool:
        """Whether it is over and its record is written."""
        return self.cleared_at is not None

    def connection_of(self, device: DeviceId) -> Connection | None:
        """The connection of a device, the live one first; none when it never took part.

        One that it takes part by comes before a place there where the call is parked.
        """
        return _live_or_last([each for each in self.connections if each.device == device])

    def connection_by(self, leg: LegId) -> Connection | None:
        """The connection that a leg realises, the live one first; none when it never did."""
        return _live_or_last([each for each in self.connections if each.leg == leg])


def _live_or_last(connections: list[Connection]) -> Connection | None:
    live = sorted(
        (each for each in connections if each.is_live), key=lambda each: each.parked_by is not None
    )
    return next(iter(live or connections[-1:]), None)


@dataclass(frozen=True, slots=True)
class Interaction:
    """Calls that belong together, and their legs: the unit of one machine and one task."""

    id: InteractionId
    """Legs of one interaction share a media worker."""
    settings: CallSettings = field(default_factory=CallSettings)
    """How long to wait for what."""
    calls: tuple[Call, ...] = ()
    """One now; consultation adds more."""
    legs: tuple[Leg, ...] = ()
    """Those that are not over yet."""
    timers: frozenset[Timer] = frozenset()
    """The deadlines that run."""
    ours: frozenset[DeviceId] = frozenset()
    """Extensions of ours among the numbers that were named in it."""
    legs_made: int = 0
    """How many leg ids were given out."""

    @property
    def is_finished(self) -> bool:
        """Whether every call is cleared and every leg is over: nothing more can happen."""
        return bool(self.calls) and not self.legs and all(c.is_cleared for c in self.calls)

    def at_once_of(self, device: DeviceId, is_ours: Callable[[DeviceId], bool]) -> int:
        """How many a device has at once here: of calls that it is in, each whom it has called.

        Where it has left, those outside whom it has called go on at its cost; those of ours do not.
        """
        called = {leg.id for leg in self.legs if leg.dialled_by == device}
        count = 0
        for call in self.calls:
            own = call.connection_of(device)
            live = [each for each in call.connections if each.is_live and each.leg in called]
            if own is not None and own.is_live and own.parked_by is None:
                count += max(1, len(live))
            else:
                count += sum(
                    each.number not in self.ours and not is_ours(each.number) for each in live
                )
        return count

    def leg(self, leg: LegId) -> Leg | None:
        """A leg that is not over; else none."""
        return next((each for each in self.legs if each.id == leg), None)

    def call(self, call: CallId) -> Call | None:
        """A call of this interaction, cleared or not; else none."""
        return next((each for each in self.calls if each.id == call), None)


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """What the record keeps of one connection."""

    device: DeviceId
    """Who."""
    role: LegRole
    """The agent's station, or a line to the far party."""
    failed: bool
    """It could not be reached."""
    ending: Ending
    """How it ended."""
    media_confirmed: bool
    """Audio from it was seen."""
    from_outside: bool = False
    """It is that of a caller from outside, whose number nobody has proven."""
    participation: Participation = Participation.ACTIVE
    """Who heard it, at last."""
    moments: Moments | None = None
    """When it became what; none in records of versions that did not keep it."""
    quality: LegQuality | None = None
    """What its audio was like, by the last figures; none where nothing was counted."""
    agent: str = ""
    """Who was logged on at the device when it came into the call."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What stays of a call: exactly one each, written when its last connection ended."""

    interaction: InteractionId
    """Links the calls of one interaction."""
    call: CallId
    """Unique."""
    direction: CallDirection
    """Who asked for it."""
    calling: DeviceId
    """Who dialled."""
    called: DeviceId
    """Whom."""
    started_at: datetime
    """When it was asked for (UTC)."""
    delivered_at: datetime | None
    """When it first rang (UTC); none when it never did."""
    established_at: datetime | None
    """When they could first talk (UTC); none when they never could."""
    ended_at: datetime
    """When its last connection ended (UTC)."""
    ending: Ending
    """Why it ended."""
    connections: tuple[ConnectionRecord, ...]
    """The caller's first."""
    data: dict[str, str] = field(default_factory=dict, repr=False)
    """What clients gave to it."""
    steps: tuple[CallStep, ...] = ()
    """Its way from device to device: consulted, transferred, picked up, parked."""
    ivr_path: tuple[IvrStep, ...] = ()
    """The nodes of flows that its caller went through."""
