"""What call control tells (ECMA-269 names): past participles, each true when it is told.

Every event names interaction, call, the device it is about and what that device now is to the call.
Registrations and trunks are told in the same stream, as the legs report them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from endpoint.callcontrol.model import UNNAMED, CallId, ConnectionId, ConnectionState, Participation
from endpoint.legs.base import (
    Cause,
    DeviceId,
    InteractionId,
    OfNoCall,
    RecordingId,
    RegistrationEvent,
    Side,
)


class FarEndAnswer(StrEnum):
    """What a far end said to our hold or resume. Our local hold stands either way."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """What every event of a call carries."""

    interaction: InteractionId
    """Where."""
    call: CallId
    """Which call."""
    device: DeviceId
    """Whom it is about: who rings, answered, holds, failed, left."""
    connection: ConnectionId = UNNAMED
    """Its name in the call."""
    from_outside: bool = False
    """That is a caller from outside: no device of ours, whatever number he says."""
    state: ConnectionState
    """What that device is to the call now."""
    calling: DeviceId
    """Who dialled."""
    called: DeviceId
    """Whom."""
    cause: Cause | None = None
    """Why, where something ended."""
    sip_status: int | None = None
    """What the far end or the network said, where it did."""
    q850: int | None = None
    """The Q.850 cause, where something ended."""
    released_by: Side | None = None
    """Who let go, where something ended."""
    releasing_device: DeviceId | None = None
    """Whose doing the end was; none when it was ours (a time-out, a shutdown)."""
    media_confirmed: bool = False
    """Audio from the device was seen."""
    text: str = ""
    """For a person: reason phrase, or what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInitiated(CallEvent):
    """A device of ours begins to dial."""

    queue: str = ""
    """The code of the queue whose call it is; empty: it is no queue's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Originated(CallEvent):
    """The dialling device is off hook and the far party is being called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(CallEvent):
    """The called device rings."""

    calling_name: str = ""
    """How the caller is shown."""
    withheld: bool = False
    """The caller does not want to be known to whom is called."""
    first_called: DeviceId | None = None
    """Whom the caller dialled, where the call was sent on to us (calledDevice)."""
    last_redirection: DeviceId | None = None
    """Who sent it on to us (lastRedirectionDevice)."""
    early_media: bool = False
    """The caller hears the far end's own ring-back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Established(CallEvent):
    """The device answered and both can talk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfirmed(CallEvent):
    """The first audio from the device was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverted(CallEvent):
    """The device's telephone forwards the call, or it was sent on, or picked up by another.

    What follows is told of that one.
    """

    diverted_to: DeviceId
    """Who is called in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInterrupted(CallEvent):
    """The device's network is lost to audio; another way to it is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaResumed(CallEvent):
    """Audio goes to and from the device again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(CallEvent):
    """The device holds the call; the audio has already switched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved(CallEvent):
    """The device took the call back; the audio has already switched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarEndHold(CallEvent):
    """The held device's end answered our re-INVITE for a hold or a retrieve."""

    held: bool
    """It was asked to be held; else, to come back."""
    far_end: FarEndAnswer
    """What it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsGenerated(CallEvent):
    """Digits were sent to the device."""

    digits: str = field(repr=False)
    """For the agents of the call alone; anyone else gets `masked(event)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsFailed(CallEvent):
    """No digits could be sent to the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitDetected(CallEvent):
    """The device pressed a key."""

    digits: str = field(repr=False)
    """One digit. For the agents of the call alone; anyone else gets `masked(event)`."""
    duration_ms: int
    """How long it was pressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IvrVisited(CallEvent):
    """The call has come to a node of the device's flow; told again with what came of that.

    The device is an IVR.
    """

    flow: str
    """The flow's name."""
    node: str
    """The node's name in it."""
    kind: str
    """What is done there, as `menu`."""
    result: str
    """What came of it: a key that was chosen, `no_input`; nothing secret. Empty: it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsInQueue(CallEvent):
    """The call waits for an agent, at the device, an IVR; told again when its place is another."""

    queue: str
    """The code of the queue."""
    position: int
    """From 1."""
    wait_s: float | None = None
    """How long it may take; None: nobody knows."""
    offered_to: DeviceId | None = None
    """Where it rings for the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftQueue(CallEvent):
    """The call waits in the queue no longer."""

    queue: str
    """The code of the queue."""
    outcome: str
    """`answered`, `abandoned` by its caller, `ended` by somebody else, `timeout`, `overflow`,
    `call_back`, or why nobody comes, as `nobody`."""
    waited_s: float
    """So long it was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferring(CallEvent):
    """The device's place in the call is to be taken by another, who is being called."""

    transferred_to: DeviceId
    """Who."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred(CallEvent):
    """Another has taken the device's place in the call; the audio has already switched."""

    transferred_to: DeviceId
    """Who."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed(CallEvent):
    """Nobody took the device's place, for the cause that is told; those who are left talk on."""

    transferred_to: DeviceId
    """Who was to take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conferenced(CallEvent):
    """The device hears all others of the call, among them those of another call.

    Told once for each device in it. What was told of the other call goes on in this one.
    """

    secondary: CallId
    """The other call; it is over (secondaryOldCall)."""
    conferencing: DeviceId
    """Whose doing it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(CallEvent):
    """The device has joined the call, or takes part in it another way from now on."""

    participation: Participation
    """Who hears it."""
    beside: DeviceId | None = None
    """Whom it supervises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrophoneMute(CallEvent):
    """Nobody hears the device any more, or all do again."""

    muted: bool
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInformation(CallEvent):
    """The call carries other data than before, by the device or as another call went into it."""

    data: dict[str, str] = field(repr=False)
    """All of it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStarted(CallEvent):
    """The call is recorded, as the device wanted it, or a rule."""

    recording: RecordingId
    """By which its file is found."""
    rule: str = ""
    """The rule; empty where the device has asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPaused(CallEvent):
    """Nothing that is said goes into the recording, until it is resumed."""

    recording: RecordingId
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResumed(CallEvent):
    """The recording goes on."""

    recording: RecordingId
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStopped(CallEvent):
    """The call is recorded no more, by command or as it is over; its file is being finished."""

    recording: RecordingId
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFailed(CallEvent):
    """The recording could not begin, or ended by itself; `text` says why. The call goes on."""

    recording: RecordingId
    """Which. What was recorded until then can be played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(CallEvent):
    """The call waits at the device, whose number may be nobody's; the others hear music."""

    parked_by: DeviceId
    """Who parked it there, and gets it back where nobody picks it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(CallEvent):
    """The device could not be reached. Its caller hears the busy tone for a while, where we can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionCleared(CallEvent):
    """The device left the call. Every connection ends with this or with `Failed`, never both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCleared(CallEvent):
    """The call is over and its record is written: its last event.

    `device` is the caller; cause and the rest are the call's outcome.
    """


CallEvents = (
    ServiceInitiated
    | Originated
    | Delivered
    | Diverted
    | Established
    | MediaConfirmed
    | MediaInterrupted
    | MediaResumed
    | Held
    | Retrieved
    | FarEndHold
    | DigitsGenerated
    | DigitsFailed
    | DigitDetected
    | IvrVisited
    | WaitsInQueue
    | LeftQueue
    | Transferring
    | Transferred
    | TransferFailed
    | Conferenced
    | Joined
    | MicrophoneMute
    | CallInformation
    | RecordingStarted
    | RecordingPaused
    | RecordingResumed
    | RecordingStopped
    | RecordingFailed
    | Queued
    | Failed
    | ConnectionCleared
    | CallCleared
)
"""Everything that is told about calls."""
Event = CallEvents | RegistrationEvent | OfNoCall
"""Everything that is told."""


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event in its place in the stream."""

    number: int
    """Counts from 1 without gaps, over all calls and registrations."""
    at: datetime
    """When it was told (UTC)."""
    event: Event
    """What happened."""


AnyEvent = TypeVar("AnyEvent", bound=Event)


def masked(event: AnyEvent) -> AnyEvent:
    """The event as others than the call's agents may see it: each digit becomes `•`."""
    if isinstance(event, DigitsGenerated | DigitDetected):
        return replace(event, digits="•" * len(event.digits))
    return event
