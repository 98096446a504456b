"""What commands do: each has its row here, and its own function where it has a noun of its own."""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import (
    calldata,
    consultation,
    lending,
    pickup,
    recording,
    supervision,
    transfer,
)
from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import (
    AlternateCall,
    AnswerCall,
    AssociateData,
    CallCommand,
    ClearCall,
    ClearConnection,
    Command,
    ConferenceCall,
    ConsultationCall,
    DeflectCall,
    DirectedPickupCall,
    GenerateDigits,
    HoldCall,
    InterceptCall,
    JoinCall,
    LendCall,
    MakeCall,
    ParkCall,
    PauseRecording,
    ReconnectCall,
    Rejection,
    ResumeRecording,
    RetrieveCall,
    SetMicrophoneMute,
    SingleStepConference,
    SingleStepTransfer,
    StartRecording,
    StopRecording,
    TransferCall,
)
from endpoint.callcontrol.dialstring import DIGITS
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    Connection,
    ConnectionState,
    LegProgress,
)
from endpoint.callcontrol.moves import (
    clear_call,
    clear_connection,
    hold,
    open_call,
    retrieve,
)
from endpoint.callcontrol.refusals import check_allowed, dial_string_of, refused
from endpoint.callcontrol.turn import Turn
from endpoint.legs.base import (
    LegRole,
)


def carry_out(turn: Turn, command: Command) -> None:
    """Do a command. Raises CommandRejected."""
    match command:
        case MakeCall():
            _make_call(turn, command)
        case AnswerCall():
            _answer_call(turn, command)
        case HoldCall():
            hold(turn, *_subject(turn, command))
        case RetrieveCall():
            _retrieve_call(turn, command)
        case GenerateDigits():
            _generate_digits(turn, command)
        case ClearConnection(connection=int()):
            supervision.drop(turn, command)
        case ClearConnection():
            clear_connection(turn, *_subject(turn, command))
        case ClearCall():
            clear_call(turn, *_subject(turn, command))
        case ConsultationCall():
            consultation.consult(turn, *_subject(turn, command), command)
        case AlternateCall():
            consultation.alternate(turn, *_subject(turn, command), command)
        case ReconnectCall():
            consultation.reconnect(turn, *_subject(turn, command), command)
        case ConferenceCall():
            consultation.conference(turn, *_subject(turn, command), command)
        case SingleStepConference():
            supervision.single_step_conference(turn, *_subject(turn, command), command)
        case JoinCall():
            supervision.join(turn, command)
        case InterceptCall():
            supervision.intercept(turn, command)
        case DirectedPickupCall():
            pickup.pick_up(turn, command)
        case ParkCall():
            pickup.park(turn, *_subject(turn, command), command)
        case LendCall():
            lending.lend(turn, *_subject(turn, command), command)
        case DeflectCall():
            transfer.deflect(turn, *_subject(turn, command), command)
        case AssociateData():
            calldata.associate(turn, *_subject(turn, command), command)
        case SetMicrophoneMute():
            supervision.set_mute(turn, *_subject(turn, command), command)
        case StartRecording() | PauseRecording() | ResumeRecording() | StopRecording():
            recording.carry_out(turn, command)
        case SingleStepTransfer():
            transfer.single_step_transfer(turn, *_subject(turn, command), command)
        case TransferCall():
            transfer.transfer_call(turn, *_subject(turn, command), command)


def _make_call(turn: Turn, command: MakeCall) -> None:
    for call in turn.state.calls:
        own = call.connection_of(command.device)
        if own is not None and own.is_live:
            check_allowed(command, call, own)
    dialled = dial_string_of(command, command.destination)
    data = calldata.given(command, {})
    # Its own phone shows whom it is about to talk to.
    leg = turn.place(command.device, LegRole.STATION, calling=dialled.number, answer_after_s=0.0)
    call = open_call(turn, CallDirection.OUTBOUND, command.device, dialled, command.calling_name)
    call = replace(call, calling_number=command.calling_number, withheld=command.withhold)
    call = replace(call, data=data)
    turn.put_call(call)
    queue = command.queue
    if queue is None:
        queue = calldata.queue_of(turn, command.device, call.called)
    call = calldata.made_for(turn, call, queue)
    own = turn.add_connection(call.id, leg, ConnectionState.INITIATED)
    turn.publish(told.ServiceInitiated(**turn.facts(call, own), queue=queue))


def _answer_call(turn: Turn, command: AnswerCall) -> None:
    _, own = _subject(turn, command)
    leg = turn.state.leg(own.leg)
    if leg is None or leg.progress is LegProgress.ANSWERING:
        return  # Asked for already; its answer is on the way.
    turn.put_leg(replace(leg, progress=LegProgress.ANSWERING))
    turn.effects.append(do.Answer(leg.id))


def _retrieve_call(turn: Turn, command: RetrieveCall) -> None:
    call, own = _subject(turn, command)
    for other, each in turn.live_connections(own.leg):
        if each.state is ConnectionState.CONNECTED:
            why = f"{command.device} talks in call {other.id}; AlternateCall puts that one aside"
            raise refused(Rejection.INVALID_STATE, command, why)
    retrieve(turn, call, own)


def _generate_digits(turn: Turn, command: GenerateDigits) -> None:
    call, own = _subject(turn, command)
    if not command.digits or not set(command.digits) <= DIGITS:
        raise refused(Rejection.BAD_DIGITS, command, "digits are 0-9, *, # and A-D, one at least")
    for other in call.connections:
        talks = other.is_party and other.state is ConnectionState.CONNECTED
        if other.leg != own.leg and talks and turn.is_up(other):
            turn.effects.append(do.SendDigits(other.leg, command.digits))


def _subject(turn: Turn, command: CallCommand) -> tuple[Call, Connection]:
    """The connection that a command is about.

    Raises: CommandRejected, if there is none, or its state does not allow the command.
    """
    calls = [
        call for call in turn.state.calls if command.call in (None, call.id) and not call.is_cleared
    ]
    for call in calls:
        own = call.connection_of(command.device)
        if own is not None and (own.is_live or command.call is not None):
            check_allowed(command, call, own)
            return call, own
    if not calls:
        raise refused(Rejection.UNKNOWN_CALL, command, f"there is no call {command.call}")
    raise refused(
        Rejection.NOT_IN_CALL,
        command,
        f"{command.device} has no part in call {calls[0].id}; "
        f"{', '.join(each.device for each in calls[0].connections if each.device)} have",
    )
