"""A device in two calls by one station: it talks in one, and the other is held for it.

ConsultationCall makes the second call. AlternateCall swaps the two, ReconnectCall leaves one,
ConferenceCall and TransferCall (see transfer.py) make one of both. However one of them ends for the
device, it is back in the other: nobody is left with music.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import calldata, lending
from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import (
    AlternateCall,
    ConferenceCall,
    ConsultationCall,
    PairCommand,
    ReconnectCall,
    Rejection,
)
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    StepKind,
    are_of_one,
)
from endpoint.callcontrol.moves import connect, move, open_call, originate, put_aside, retrieve
from endpoint.callcontrol.refusals import check_not_transferred, dial_string_of, refused
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause


def consult(turn: Turn, call: Call, own: Connection, command: ConsultationCall) -> None:
    """Begin a second call. Raises CommandRejected."""
    for other, _ in turn.live_connections(own.leg):
        if other.id != call.id:
            why = f"{command.device} is in call {other.id} too"
            raise refused(Rejection.DEVICE_BUSY, command, why)
    check_not_transferred(command, call)
    dialled = dial_string_of(command, command.destination)
    leg = turn.state.leg(own.leg)
    assert leg is not None  # its connection is live, and the call established
    second = open_call(turn, CallDirection.OUTBOUND, command.device, dialled, "")
    turn.put_call(second := replace(second, data=call.data))
    mine = turn.add_connection(second.id, leg, ConnectionState.INITIATED)
    mine = turn.put_connection(second.id, replace(mine, media_confirmed=own.media_confirmed))
    put_aside(turn, call, own, second)
    turn.note(call.id, StepKind.CONSULT, command.device, dialled.number, other=second.id)
    turn.note(second.id, StepKind.CONSULT, command.device, dialled.number, other=call.id)
    turn.publish(told.ServiceInitiated(**turn.facts(second, mine)))
    originate(turn, second.id, mine)


def alternate(turn: Turn, call: Call, own: Connection, command: AlternateCall) -> None:
    """Swap the two calls. Raises CommandRejected."""
    other, talks = other_call(turn, own, command)
    if talks.state is not ConnectionState.CONNECTED or not other.is_established:
        why = f"{command.device} does not talk in call {other.id}"
        raise refused(Rejection.NOT_ESTABLISHED, command, why)
    put_aside(turn, other, talks, call)
    retrieve(turn, turn.call(call.id), own)


def reconnect(turn: Turn, call: Call, own: Connection, command: ReconnectCall) -> None:
    """Leave the other call. Raises CommandRejected."""
    if command.other is not None and command.other == call.away:
        lending.take_home(turn, call, own)
        return
    other, talks = other_call(turn, own, command)
    if own.held_for is None:  # by a command of its own, before or since
        turn.put_connection(call.id, replace(own, held_for=other.id))
    cause = Cause.NORMAL if other.is_established else Cause.CANCELLED
    turn.end(other.id, talks, ended_by_us(cause, own.number), failed=False)


def conference(turn: Turn, call: Call, own: Connection, command: ConferenceCall) -> None:
    """Make one call of both. Raises CommandRejected."""
    check_not_transferred(command, call)
    other, talks = other_call(turn, own, command)
    check_not_transferred(command, other)
    if not (own.is_party and talks.is_party):
        why = f"{command.device} only listens in one of calls {call.id} and {other.id}"
        raise refused(Rejection.INVALID_STATE, command, why)
    joining = [each for each in other.connections if each.is_live and each is not talks]
    is_parked = all(each.parked_by is not None for each in joining)
    if not other.is_established or other.outcome is not None or is_parked:
        why = f"nobody talks in call {other.id}"
        raise refused(Rejection.NOT_ESTABLISHED, command, why)
    there = {each.leg for each in call.connections if each.is_live}
    if any(each.leg in there for each in joining):
        why = f"somebody is in both calls, {call.id} and {other.id}"
        raise refused(Rejection.INVALID_STATE, command, why)
    moved = ended_by_us(Cause.NORMAL, own.number, f"went on in call {call.id}")
    for into, of in ((call, other), (other, call)):
        turn.note(into.id, StepKind.CONFERENCE, command.device, joining[0].number, other=of.id)
    for each in joining:
        if each.parked_by is None:
            move(turn, each, other, call)
    turn.put_call(replace(turn.call(call.id), post_dial=call.post_dial or other.post_dial))
    for each in joining:
        left = turn.call(other.id).connection_by(each.leg)
        if left is not None and left.is_live:  # the last two leave together
            turn.end(other.id, left, moved, failed=False)
    is_muted = own.muted or talks.muted
    back = connect(turn, turn.call(call.id), replace(own, muted=is_muted))
    calldata.join(turn, call, back, other)
    call = turn.call(call.id)
    others = [each for each in call.connections if each.is_live and each != back]
    for each in (back, *(one for one in others if not (one.parked_by or one.picks_up))):
        facts = turn.facts(call, each)
        turn.publish(told.Conferenced(**facts, secondary=other.id, conferencing=own.number))


def other_call(turn: Turn, own: Connection, command: PairCommand) -> tuple[Call, Connection]:
    """The other call of a command about two. Raises CommandRejected."""
    call = next((each for each in turn.state.calls if each.id == command.other), None)
    if call is None or call.is_cleared or call.id == command.call:
        raise refused(Rejection.UNKNOWN_CALL, command, f"there is no call {command.other}")
    for each in call.connections:
        if each.is_live and are_of_one(each, own):
            return call, each
    why = f"{command.device} has no part in call {call.id}"
    raise refused(Rejection.NOT_IN_CALL, command, why)


def take_back(turn: Turn) -> None:
    """A device is back in the call that it holds for another one, when that is over for it."""
    for call in turn.state.calls:
        for each in call.connections:
            if each.held_for is None or not each.is_live or _has_given_away(call, each):
                continue
            if not _is_in(turn, each.held_for, each) and turn.is_up(each):
                retrieve(turn, turn.call(call.id), each)


def _has_given_away(call: Call, own: Connection) -> bool:
    """Whether it waits in the call for nothing but somebody who is to take its place."""
    return call.transfer is not None and call.transfer.asked and call.transfer.leg == own.leg


def _is_in(turn: Turn, call: CallId, own: Connection) -> bool:
    others = turn.call(call).connections
    return any(c.is_live and are_of_one(c, own) for c in others)
