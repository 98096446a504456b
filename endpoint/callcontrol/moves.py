"""Moves of call control that several commands make: dial, put a call aside, take it back, end."""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.dialstring import DialString
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
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
    )
    turn.add_connection(call_id, line, ConnectionState.NULL)


def hold(turn: Turn, call: Call, connection: Connection) -> None:
    """Put a call aside."""
    holds = turn.put_connection(call.id, replace(connection, state=ConnectionState.HOLD))
    turn.publish(told.Held(**turn.facts(call, holds)))


def retrieve(turn: Turn, call: Call, connection: Connection) -> None:
    """Take a call back. A phone that holds by itself is asked to come back too."""
    if connection.held_by_phone:
        # Only the phone can end its own hold. If it stays on hold, it says so (LegHeld).
        turn.effects.append(do.Resume(connection.leg))
    back = replace(connection, state=ConnectionState.CONNECTED, held_by_phone=False, held_for=None)
    turn.put_connection(call.id, back)
    turn.publish(told.Retrieved(**turn.facts(call, back)))


def clear_connection(turn: Turn, call: Call, own: Connection) -> None:
    """Give up, decline or hang up, as the connection's state has it."""
    caller = call.connections[0]
    if own is not caller and own.state in (ConnectionState.NULL, ConnectionState.ALERTING):
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
