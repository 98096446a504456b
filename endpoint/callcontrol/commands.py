"""What a client may ask of call control (ECMA-269 names). A command says what is wanted, never how.

A command that is accepted changes nothing for the client by itself: only events do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from endpoint.callcontrol.model import CallId, ConnectionId, Participation
from endpoint.legs.base import DeviceId, InteractionId


class CommandName(StrEnum):
    """The commands by name: what a client's buttons are made from."""

    MAKE_CALL = "MakeCall"
    ANSWER_CALL = "AnswerCall"
    HOLD_CALL = "HoldCall"
    RETRIEVE_CALL = "RetrieveCall"
    GENERATE_DIGITS = "GenerateDigits"
    CLEAR_CONNECTION = "ClearConnection"
    CLEAR_CALL = "ClearCall"
    CONSULTATION_CALL = "ConsultationCall"
    ALTERNATE_CALL = "AlternateCall"
    RECONNECT_CALL = "ReconnectCall"
    CONFERENCE_CALL = "ConferenceCall"
    SINGLE_STEP_CONFERENCE = "SingleStepConference"
    JOIN_CALL = "JoinCall"
    INTERCEPT_CALL = "InterceptCall"
    DIRECTED_PICKUP_CALL = "DirectedPickupCall"
    PARK_CALL = "ParkCall"
    LEND_CALL = "LendCall"
    ASSOCIATE_DATA = "AssociateData"
    DEFLECT_CALL = "DeflectCall"
    SET_MICROPHONE_MUTE = "SetMicrophoneMute"
    SINGLE_STEP_TRANSFER = "SingleStepTransfer"
    TRANSFER_CALL = "TransferCall"
    START_RECORDING = "StartRecording"
    PAUSE_RECORDING = "PauseRecording"
    RESUME_RECORDING = "ResumeRecording"
    STOP_RECORDING = "StopRecording"


class Rejection(StrEnum):
    """Why a command can't be done: the stable words of `CommandRejected.reason`.

    A bad dial string is refused with the reason of its `DialStringError`.
    """

    UNKNOWN_CALL = "unknown_call"
    """No such call, or the device is in no call."""
    UNKNOWN_DEVICE = "unknown_device"
    """No device of ours: nobody commands in its name."""
    NOT_IN_CALL = "not_in_call"
    """The device has no part in that call."""
    AMBIGUOUS_CALL = "ambiguous_call"
    """The device is in several calls and the command could mean more than one of them."""
    INVALID_STATE = "invalid_state"
    """The connection's state does not allow it."""
    DEVICE_BUSY = "device_busy"
    """The device is in a call already."""
    NOT_ESTABLISHED = "not_established"
    """There is nobody at the other end yet."""
    BAD_DIGITS = "bad_digits"
    """Something else than `0-9*#A-D`, or nothing at all."""
    BAD_DATA = "bad_data"
    """A key that is none, or more than a call may carry."""
    DIAL_LIMIT = "dial_limit"
    """The device has dialled too often within a minute, or is in too many calls."""
    NUMBER_REFUSED = "number_refused"
    """The dial plan does not let the device call that number."""
    TRANSFERRING = "transferring"
    """The call is being transferred already."""
    NOT_PERMITTED = "not_permitted"
    """No rule lets the device do so about a call of that other one."""
    SHUTTING_DOWN = "shutting_down"
    """No new calls: the endpoint is about to stop."""
    INTERNAL_ERROR = "internal_error"
    """The interaction broke; its calls are being ended."""


@dataclass(frozen=True, slots=True)
class MakeCall:
    """Pick the device's station up and dial."""

    name: ClassVar[CommandName] = CommandName.MAKE_CALL
    device: DeviceId
    """Who dials."""
    destination: str = field(repr=False)
    """A dial string: a number or a device, with post-dial digits if any (`10086-WW8001`)."""
    calling_name: str = ""
    """How the caller is shown to the far end."""
    calling_number: str = ""
    """The number to show there; empty: the one that the line has for the device.

    One that the line may not show is the end of the call: `caller_not_allowed`.
    """
    withhold: bool = False
    """The far end is not to know who calls."""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the call carries from its beginning, as of `AssociateData`."""
    queue: str | None = None
    """Whose call it is; empty: no queue's. None: the one that `CallSettings.queue_of` says."""


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Pick up for a device that rings."""

    name: ClassVar[CommandName] = CommandName.ANSWER_CALL
    device: DeviceId
    """Who rings."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class HoldCall:
    """Put the call aside: the device hears nothing, the others hear music."""

    name: ClassVar[CommandName] = CommandName.HOLD_CALL
    device: DeviceId
    """Who holds."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class RetrieveCall:
    """Take a held call back."""

    name: ClassVar[CommandName] = CommandName.RETRIEVE_CALL
    device: DeviceId
    """Who holds it."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class GenerateDigits:
    """Send DTMF to the others in the call."""

    name: ClassVar[CommandName] = CommandName.GENERATE_DIGITS
    device: DeviceId
    """Who presses the keys."""
    digits: str = field(repr=False)
    """`0-9*#A-D`; never logged."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class ClearConnection:
    """Take the device out of the call: give up, decline or hang up, as its state has it.

    Or another party, by who talks there too, or supervises somebody who does.
    """

    name: ClassVar[CommandName] = CommandName.CLEAR_CONNECTION
    device: DeviceId
    """Who leaves, or wants another one to."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""
    connection: ConnectionId | None = None
    """Who leaves, where it is not the device itself."""
    unanswered: bool = False
    """As nobody has answered there for long enough."""


@dataclass(frozen=True, slots=True)
class ClearCall:
    """End the call for everybody in it."""

    name: ClassVar[CommandName] = CommandName.CLEAR_CALL
    device: DeviceId
    """Who ends it; has part in it."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class ConsultationCall:
    """Put the call aside and call somebody else from the same station."""

    name: ClassVar[CommandName] = CommandName.CONSULTATION_CALL
    device: DeviceId
    """Who consults."""
    destination: str = field(repr=False)
    """A dial string, as of `MakeCall`."""
    call: CallId | None = None
    """The call to put aside; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class AlternateCall:
    """Put the call aside that the device talks in, and take the one back that it holds."""

    name: ClassVar[CommandName] = CommandName.ALTERNATE_CALL
    device: DeviceId
    """Who alternates."""
    other: CallId | None = None
    """The call that it talks in; not needed when it is in two calls only."""
    call: CallId | None = None
    """The call that it holds; not needed when it is in two calls only."""


@dataclass(frozen=True, slots=True)
class ReconnectCall:
    """Leave the call that the device talks or rings in, and take the one back that it holds.

    Who has lent the other party (LendCall) takes that one back.
    """

    name: ClassVar[CommandName] = CommandName.RECONNECT_CALL
    device: DeviceId
    """Who goes back."""
    other: CallId | None = None
    """The call that it leaves; not needed when it is in two calls only."""
    call: CallId | None = None
    """The call that it holds; not needed when it is in two calls only."""


@dataclass(frozen=True, slots=True)
class ConferenceCall:
    """Bring everybody of two calls of the device together; it stays."""

    name: ClassVar[CommandName] = CommandName.CONFERENCE_CALL
    device: DeviceId
    """Who brings them together."""
    other: CallId | None = None
    """The call that it talks in, whose others come into the first."""
    call: CallId | None = None
    """The call that goes on, which it holds; not needed when it is in two calls only."""


@dataclass(frozen=True, slots=True)
class SingleStepConference:
    """Call somebody into the call of the device."""

    name: ClassVar[CommandName] = CommandName.SINGLE_STEP_CONFERENCE
    device: DeviceId
    """In whose call."""
    destination: str = field(repr=False)
    """A dial string, as of `MakeCall`: who is to join."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""
    participation: Participation = Participation.ACTIVE
    """Who hears the one that joins."""


@dataclass(frozen=True, slots=True)
class JoinCall:
    """Pick the device's station up and join a call of another one, to supervise it.

    A device that is in the call takes part in it another way from now on.
    """

    name: ClassVar[CommandName] = CommandName.JOIN_CALL
    device: DeviceId
    """Who joins."""
    beside: DeviceId
    """Whom it supervises: the one that hears it whisper, and with whom it leaves."""
    participation: Participation = Participation.SILENT
    """Who hears it."""
    call: CallId | None = None
    """Which call; not needed when the other one is in one only."""


@dataclass(frozen=True, slots=True)
class InterceptCall:
    """Pick the device's station up and take another one's place in its call."""

    name: ClassVar[CommandName] = CommandName.INTERCEPT_CALL
    device: DeviceId
    """Who takes it."""
    beside: DeviceId
    """Whose place: it leaves when the other has come."""
    call: CallId | None = None
    """Which call; not needed when the other one is in one only."""


@dataclass(frozen=True, slots=True)
class DirectedPickupCall:
    """Pick the device's station up and take the call that rings, or is parked, at another one."""

    name: ClassVar[CommandName] = CommandName.DIRECTED_PICKUP_CALL
    device: DeviceId
    """Who takes it."""
    beside: DeviceId
    """Where it rings or waits, until the device has answered; whoever answers first has it."""
    call: CallId | None = None
    """Which call; not needed when one only rings or waits there."""


@dataclass(frozen=True, slots=True)
class ParkCall:
    """Leave the call, whose other party waits with music until somebody picks it up."""

    name: ClassVar[CommandName] = CommandName.PARK_CALL
    device: DeviceId
    """Who leaves it; it rings there again where nobody has come in time."""
    at: DeviceId
    """A device or any number, by which it is picked up (`DirectedPickupCall.beside`)."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class LendCall:
    """Let the other party talk with somebody else, wait with music, and have it back afterwards."""

    name: ClassVar[CommandName] = CommandName.LEND_CALL
    device: DeviceId
    """Who waits; `ReconnectCall` has the other back at once."""
    destination: str = field(repr=False)
    """A dial string, as of `MakeCall`: with whom the other talks meanwhile."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class DeflectCall:
    """Send the call that rings at the device on to somebody else."""

    name: ClassVar[CommandName] = CommandName.DEFLECT_CALL
    device: DeviceId
    """Where it rings; for it the other is called, by whatever line it has."""
    destination: str = field(repr=False)
    """A dial string, as of `MakeCall`."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class AssociateData:
    """Give the call data that follows it: through consultation, conference and transfer."""

    name: ClassVar[CommandName] = CommandName.ASSOCIATE_DATA
    device: DeviceId
    """Who has part in it."""
    data: Mapping[str, str] = field(repr=False)
    """Texts by their key; an empty one takes the key away, and those that are not named stay."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class SetMicrophoneMute:
    """Let nobody in the call hear the device, or let them again."""

    name: ClassVar[CommandName] = CommandName.SET_MICROPHONE_MUTE
    device: DeviceId
    """Who is muted; it hears as before."""
    muted: bool
    """Or no longer."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class SingleStepTransfer:
    """Let somebody else take the device's place: it leaves when that one has answered."""

    name: ClassVar[CommandName] = CommandName.SINGLE_STEP_TRANSFER
    device: DeviceId
    """Who transfers."""
    destination: str = field(repr=False)
    """A dial string, as of `MakeCall`: who is to talk with the others."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class TransferCall:
    """Let the others of two calls of the device talk with each other; it leaves both."""

    name: ClassVar[CommandName] = CommandName.TRANSFER_CALL
    device: DeviceId
    """Who transfers."""
    other: CallId | None = None
    """The call whose others come into the first; they may still ring."""
    call: CallId | None = None
    """The call that goes on; it must be established. By default the one that the device holds."""


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record the call. Who talks there may ask for it, and who supervises one of them."""

    name: ClassVar[CommandName] = CommandName.START_RECORDING
    device: DeviceId
    """Who asks."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Have silence of the same length on the recording, as while a card number is told."""

    name: ClassVar[CommandName] = CommandName.PAUSE_RECORDING
    device: DeviceId
    """Who asks, as of `StartRecording`."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    """Go on with a recording that was paused."""

    name: ClassVar[CommandName] = CommandName.RESUME_RECORDING
    device: DeviceId
    """Who asks, as of `StartRecording`."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Record the call no more; the next `StartRecording` begins another file."""

    name: ClassVar[CommandName] = CommandName.STOP_RECORDING
    device: DeviceId
    """Who asks, as of `StartRecording`."""
    call: CallId | None = None
    """Which call; not needed when the device is in one only."""


RecordingCommand = StartRecording | PauseRecording | ResumeRecording | StopRecording
"""Commands about a recording; by leave also about that of a call that the device is not in."""
SupervisionCommand = JoinCall | InterceptCall
"""Commands about a conversation of another device."""
CommandOfOthers = SupervisionCommand | DirectedPickupCall
"""Commands about a call of another device."""
MakingCommand = MakeCall | ConsultationCall | LendCall
"""Commands that make a call, which is the newest one then."""
PairCommand = AlternateCall | ReconnectCall | ConferenceCall | TransferCall
"""Commands about two calls of a device: the one that it holds, and the other."""
CallCommand = (
    AnswerCall
    | HoldCall
    | RetrieveCall
    | GenerateDigits
    | ClearConnection
    | ClearCall
    | ConsultationCall
    | SingleStepTransfer
    | SingleStepConference
    | DeflectCall
    | ParkCall
    | LendCall
    | AssociateData
    | SetMicrophoneMute
    | RecordingCommand
    | CommandOfOthers
    | PairCommand
)
"""Commands about a call that exists."""
Command = MakeCall | CallCommand


@dataclass(frozen=True, slots=True)
class CommandAccepted:
    """The command is being done; what becomes of it is told by events."""

    command: CommandName
    """Which."""
    interaction: InteractionId
    """Where."""
    call: CallId
    """The call it made, or is about."""
