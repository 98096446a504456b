"""Who comes into a call of others: parties by SingleStepConference, supervisors by JoinCall.

A supervisor listens (silent), is heard by the one beside whom it is (whisper), or by all (active:
it has become a party). It leaves with whom it supervises, unless it is a party. InterceptCall
takes that one's place. Routes follow from the connection's participation alone.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import events as told
from endpoint.callcontrol import transfer
from endpoint.callcontrol.commands import (
    ClearConnection,
    InterceptCall,
    JoinCall,
    Rejection,
    SetMicrophoneMute,
    SingleStepConference,
    SupervisionCommand,
)
from endpoint.callcontrol.model import (
    Call,
    CallId,
    Connection,
    ConnectionState,
    Leg,
    Participation,
    StepKind,
)
from endpoint.callcontrol.moves import clear_connection
from endpoint.callcontrol.refusals import check_not_transferred, dial_string_of, refused
from endpoint.callcontrol.transitions import TALKS
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, DeviceId, LegRole


def single_step_conference(
    turn: Turn, call: Call, own: Connection, command: SingleStepConference
) -> None:
    """Call somebody in. Raises CommandRejected."""
    check_not_transferred(command, call)
    dialled = dial_string_of(command, command.destination)
    if dialled.post_dial is not None:
        why = "who is called into a call is sent no digits; press them when he is there"
        raise refused(Rejection.BAD_DIGITS, command, why)
    leg = turn.place(
        dialled.number,
        LegRole.LINE,
        calling=command.device,
        calling_name=call.calling_name,
        dialled_by=command.device,
    )
    _add(turn, call, leg, ConnectionState.NULL, command.participation, own)


def join(turn: Turn, command: JoinCall) -> None:
    """Come into a call of another device, or take part another way. Raises CommandRejected."""
    call, beside = _supervised(turn, command)
    mine = call.connection_of(command.device)
    if mine is None or not mine.is_live:
        leg = turn.place(command.device, LegRole.STATION, calling=beside.number, answer_after_s=0.0)
        mine = _add(turn, call, leg, ConnectionState.INITIATED, command.participation, beside)
        turn.publish(told.ServiceInitiated(**turn.facts(call, mine)))
        return
    if mine.beside is None:
        why = f"{command.device} talks in call {call.id} itself"
        raise refused(Rejection.INVALID_STATE, command, why)
    parties = [each for each in call.connections if each.is_party and each is not mine]
    if command.participation is not Participation.ACTIVE and len(parties) < 2:
        why = f"nobody but {command.beside} would talk in call {call.id}"
        raise refused(Rejection.INVALID_STATE, command, why)
    mine = replace(mine, participation=command.participation, beside=beside.leg)
    turn.put_connection(call.id, mine)
    if mine.state is ConnectionState.CONNECTED:
        _tell(turn, call.id, mine)


def intercept(turn: Turn, command: InterceptCall) -> None:
    """Take another device's place. Raises CommandRejected."""
    call, beside = _supervised(turn, command)
    check_not_transferred(command, call)
    mine = call.connection_of(command.device)
    if mine is None or not mine.is_live:
        leg = turn.place(command.device, LegRole.STATION, calling=beside.number, answer_after_s=0.0)
        transfer.announce(turn, call, beside, leg)
        mine = turn.add_connection(call.id, leg, ConnectionState.INITIATED)
        turn.publish(told.ServiceInitiated(**turn.facts(call, mine)))
    elif mine.beside is None or mine.state is not ConnectionState.CONNECTED:
        why = f"{command.device} is {mine.state} in call {call.id} itself"
        raise refused(Rejection.INVALID_STATE, command, why)
    else:
        mine = replace(mine, participation=Participation.ACTIVE, beside=None)
        turn.put_connection(call.id, mine)
        _tell(turn, call.id, mine)
        who = command.device
        turn.note(call.id, StepKind.INTERCEPT, who, who, place_of=beside.number)
        over = ended_by_us(Cause.NORMAL, who, f"taken over by {who}")
        turn.end(call.id, beside, over, failed=False)


def drop(turn: Turn, command: ClearConnection) -> None:
    """Another's connection is cleared. Raises CommandRejected."""
    call = next((each for each in turn.state.calls if each.id == command.call), None)
    named = () if call is None else call.connections
    theirs = next((each for each in named if each.id == command.connection), None)
    if call is None or theirs is None or not theirs.is_live:
        why = f"nobody is in call {command.call} by connection {command.connection}"
        raise refused(Rejection.NOT_IN_CALL, command, why)
    own = call.connection_of(command.device)
    if theirs is own:
        clear_connection(turn, call, own)
        return
    if not _may_drop(turn, call, command.device, own, theirs):
        why = f"{command.device} neither talks with {theirs.number} in call {call.id} nor"
        why = f"{why} supervises anybody there"
        raise refused(Rejection.NOT_PERMITTED, command, why)
    cause, why = Cause.CANCELLED, f"dropped by {command.device}"
    if turn.is_up(theirs):
        cause = Cause.NORMAL
    elif command.unanswered and theirs.state is ConnectionState.ALERTING:
        cause, why = Cause.NO_ANSWER, "rang for long enough"
    elif command.unanswered:
        cause, why = Cause.UNREACHABLE, "has not rung in all that time"
    over = ended_by_us(cause, command.device, why)
    turn.end(call.id, theirs, over, failed=False)


def _may_drop(
    turn: Turn, call: Call, device: DeviceId, own: Connection | None, theirs: Connection
) -> bool:
    """Who talks with somebody may, unless it is his supervisor; and who supervises one of them."""
    may_supervise = turn.state.settings.permissions.may_supervise
    others = {each.device for each in call.connections if each.is_live} - {None, device}
    if any(may_supervise(device, each) for each in others if each is not None):
        return True
    talks = own is not None and own.is_party and own.state in TALKS and call.is_established
    return talks and (theirs.device is None or not may_supervise(theirs.device, device))


def set_mute(turn: Turn, call: Call, own: Connection, command: SetMicrophoneMute) -> None:
    """Let nobody hear a device, or all again. Told also where it was so: whoever asks waits."""
    own = turn.put_connection(call.id, replace(own, muted=command.muted))
    turn.publish(told.MicrophoneMute(**turn.facts(call, own), muted=command.muted))


def answered(turn: Turn, call_id: CallId, connection: Connection) -> None:
    """Who was called into a call is there."""
    _tell(turn, call_id, connection)


def leave(turn: Turn) -> None:
    """A supervisor leaves with whom it supervises."""
    for call in turn.state.calls:
        for each in call.connections:
            if not each.is_live or each.is_party or call.is_cleared or each.picks_up is not None:
                continue
            beside = turn.call(call.id).connection_by(each.beside) if each.beside else None
            if beside is None or not beside.is_live:
                over = ended_by_us(Cause.NORMAL, text="whom it supervised has left")
                turn.end(call.id, each, over, failed=False)


def _supervised(turn: Turn, command: SupervisionCommand) -> tuple[Call, Connection]:
    """The connection that a command is beside. Raises CommandRejected."""
    if not turn.state.settings.permissions.may_supervise(command.device, command.beside):
        why = f"no [[supervision]] lets {command.device} supervise {command.beside}"
        raise refused(Rejection.NOT_PERMITTED, command, why)
    call = next((each for each in turn.state.calls if each.id == command.call), None)
    beside = None if call is None else call.connection_of(command.beside)
    if call is None or beside is None or not beside.is_live:
        why = f"{command.beside} has no part in call {command.call}"
        raise refused(Rejection.NOT_IN_CALL, command, why)
    talks = call.is_established and call.outcome is None
    if not talks or beside.state not in TALKS:
        why = f"{command.beside} is {beside.state} in call {call.id}, and nobody talks there"
        raise refused(Rejection.NOT_ESTABLISHED, command, why)
    if not beside.is_party or command.beside == command.device:
        why = f"{command.beside} is no party of call {call.id} that could be supervised"
        raise refused(Rejection.INVALID_STATE, command, why)
    return call, beside


def _add(
    turn: Turn,
    call: Call,
    leg: Leg,
    state: ConnectionState,
    participation: Participation,
    beside: Connection,
) -> Connection:
    joins = turn.add_connection(call.id, leg, state)
    joins = replace(joins, participation=participation, beside=beside.leg)
    return turn.put_connection(call.id, joins)


def _tell(turn: Turn, call_id: CallId, joined: Connection) -> None:
    call = turn.call(call_id)
    beside = call.connection_by(joined.beside) if joined.beside is not None else None
    turn.publish(
        told.Joined(
            **turn.facts(call, joined),
            participation=joined.participation,
            beside=None if beside is None else beside.number,
        )
    )
