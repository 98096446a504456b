"""Moves of call control that several commands make: dial, put a call aside, take it back, end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.dialstring import DialString
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    are_of_one,
)
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, DeviceId, LegRole


def open_call(
    turn: Turn,
    direction: CallDirection,
    calling: DeviceId,
    dialled: DialString,
    calling_name: str,
) -> Call:
    """A new call of the interaction, that nobody is in yet."""
    call = Call(
        id=CallId(f"{turn.state.id}-{len(turn.state.calls) + 1}"),
        direction=direction,
        calling=calling,
        called=dialled.number,
        calling_name=calling_name,
        started_at=turn.now,
        post_dial=dialled.post_dial,
    )
    turn.put_call(call)
    return call


def originate(turn: Turn, call_id: CallId, caller: Connection) -> None:
    """The caller is off hook: call the far party."""
    caller = turn.put_connection(call_id, replace(caller, state=ConnectionState.CONNECTED))
    call = turn.call(call_id)
    turn.publish(told.Originated(**turn.facts(call, caller)))
    line = turn.place(
        call.called,
        LegRole.LINE,
        calling=call.calling,
        calling_name=call.calling_name,
        calling_number=call.calling_number,
        withheld=call.withheld,
        answer_after_s=call.answer_after_s,
        dialled_by=caller.device,
    )
    turn.add_connection(call_id, line, ConnectionState.NULL)


@dataclass(frozen=True, slots=True)
class Brought:
    """How who is transferred or lent is shown to whom he comes to."""

    number: DeviceId | None = None
    name: str = ""
    withheld: bool = False


def brought(call: Call, own: Connection) -> Brought:
    """Whom a device brings to somebody else; of several none is shown."""
    others = [each.number for each in call.connections if each.is_party and each is not own]
    if len(others) != 1:
        return Brought()
    (number,) = others
    if number != call.calling:
        return Brought(number, number)
    return Brought(number, call.calling_name or number, call.withheld)


def hold(turn: Turn, call: Call, connection: Connection) -> None:
    """Put a call aside."""
    holds = turn.put_connection(call.id, replace(connection, state=ConnectionState.HOLD))
    turn.publish(told.Held(**turn.facts(call, holds)))


def put_aside(turn: Turn, call: Call, own: Connection, other: Call) -> None:
    """Put a call aside for as long as its device is in the other one."""
    own = replace(own, held_for=other.id)
    if own.state is ConnectionState.HOLD:
        turn.put_connection(call.id, own)
    else:
        hold(turn, call, own)


def retrieve(turn: Turn, call: Call, connection: Connection) -> None:
    """Take a call back. One station talks in one call: where it talks in another, nothing."""
    if not talks(turn, connection):
        back = connect(turn, call, connection)
        turn.publish(told.Retrieved(**turn.facts(call, back)))


def talks(turn: Turn, connection: Connection) -> bool:
    """Whether the station of a connection talks in some call."""
    own = turn.live_connections(connection.leg)
    return any(each.state is ConnectionState.CONNECTED for _, each in own)


def connect(turn: Turn, call: Call, connection: Connection) -> Connection:
    """Let a device talk in a call; what else it holds, it holds for that one.

    A phone that holds by itself is asked to come back.
    """
    leg = turn.state.leg(connection.leg)
    if leg is not None and leg.held_by_phone:
        # Only the phone can end its own hold. If it stays on hold, it says so (LegHeld).
        turn.put_leg(replace(leg, held_by_phone=False))
        turn.effects.append(do.Resume(leg.id))
    back = replace(connection, state=ConnectionState.CONNECTED, held_by_phone=False, held_for=None)
    for other, each in turn.live_connections(connection.leg):
        if other.id != call.id and each.state is ConnectionState.HOLD:
            turn.put_connection(other.id, replace(each, held_for=call.id))
    return turn.put_connection(call.id, back)


def move(turn: Turn, connection: Connection, other: Call, call: Call) -> Connection:
    """Take somebody from one call into another, with all that is true of him."""
    leg = turn.state.leg(connection.leg)
    assert leg is not None  # as its connection lives
    turn.add_connection(call.id, leg, connection.state)
    connection = turn.put_connection(call.id, connection)
    for each in turn.state.calls:
        for own in each.connections:
            if own.is_live and own.held_for == other.id and are_of_one(own, connection):
                turn.put_connection(each.id, replace(own, held_for=call.id))
                if each.away == other.id:
                    turn.put_call(replace(turn.call(each.id), away=call.id))
    return connection


def clear_connection(turn: Turn, call: Call, own: Connection) -> None:
    """Give up, decline or hang up, as the connection's state has it."""
    caller = call.connections[0]
    if own is not caller and own.state is ConnectionState.ALERTING:
        turn.end(call.id, own, ended_by_us(Cause.DECLINED, own.number), failed=True)
        return
    gave_up = own is caller and not call.is_established and call.outcome is None
    cause = Cause.CANCELLED if gave_up else Cause.NORMAL
    turn.end(call.id, own, ended_by_us(cause, own.number), failed=False)


def clear_call(turn: Turn, call: Call, own: Connection) -> None:
    """Everybody is let go; who asked for it last, as it is his doing."""
    ending = ended_by_us(Cause.NORMAL, own.number)
    for each in (*(each for each in call.connections if each.leg != own.leg), own):
        if each.is_live and not turn.call(call.id).is_cleared:
            turn.end(call.id, each, ending, failed=False)
