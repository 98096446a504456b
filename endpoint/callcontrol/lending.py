"""A party is lent: it talks with somebody else for a while and comes back, with what was collected.

LendCall is a consultation that the device begins for the other party: that one is in two calls by
one leg, its first is put aside for the second, and the device hears music. Whatever ends the second
call for it takes it back (`consultation.take_back`); what is left to do here is to bring the data
of that call along. Who lends may hang up meanwhile: then the two talk on, and nobody comes back.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import calldata
from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import LendCall, Rejection
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    Connection,
    ConnectionState,
    StepKind,
)
from endpoint.callcontrol.moves import brought, open_call, put_aside, retrieve
from endpoint.callcontrol.refusals import check_not_transferred, dial_string_of, refused
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, LegRole


def lend(turn: Turn, call: Call, own: Connection, command: LendCall) -> None:
    """Call somebody for the other party. Raises CommandRejected."""
    check_not_transferred(command, call)
    others = [each for each in call.connections if each.is_party and each.leg != own.leg]
    if len(others) != 1 or others[0].state is not ConnectionState.CONNECTED:
        why = f"call {call.id} is no conversation of {command.device} with one other"
        raise refused(Rejection.INVALID_STATE, command, why)
    (other,) = others
    leg = turn.state.leg(other.leg)
    assert leg is not None  # as its connection lives
    for elsewhere, _ in turn.live_connections(leg.id):
        if elsewhere.id != call.id:
            why = f"{other.number} is in call {elsewhere.id} too"
            raise refused(Rejection.DEVICE_BUSY, command, why)
    dialled = dial_string_of(command, command.destination)
    lent = brought(call, own)
    second = open_call(turn, CallDirection.OUTBOUND, other.number, dialled, lent.name)
    second = replace(second, data=call.data, withheld=lent.withheld)
    turn.put_call(second)
    turn.put_call(replace(call, away=second.id))
    his = turn.add_connection(second.id, leg, ConnectionState.CONNECTED)
    his = replace(his, media_confirmed=other.media_confirmed, muted=other.muted)
    his = turn.put_connection(second.id, his)
    put_aside(turn, turn.call(call.id), other, second)
    for one, with_ in ((call, second), (second, call)):
        turn.note(
            one.id,
            StepKind.LEND,
            command.device,
            dialled.number,
            place_of=other.number,
            other=with_.id,
        )
    turn.publish(told.Originated(**turn.facts(turn.call(second.id), his)))
    line = turn.place(
        dialled.number,
        LegRole.LINE,
        calling=command.device,
        calling_name=lent.name,
        on_behalf_of=lent.number,
        withheld=lent.withheld,
        referred_by=command.device,
        dialled_by=command.device,
    )
    turn.add_connection(second.id, line, ConnectionState.NULL)


def take_home(turn: Turn, call: Call, own: Connection) -> None:
    """The lent party is to come back at once; whom it talks with is let go."""
    other = next(each for each in turn.state.calls if each.id == call.away)
    for each in call.connections:
        if each.held_for == other.id:
            lent = other.connection_by(each.leg)
            assert lent is not None  # it is there until it is back
            cause = Cause.NORMAL if other.is_established else Cause.CANCELLED
            turn.end(other.id, lent, ended_by_us(cause, own.number), failed=False)
            break
    if own.state is ConnectionState.HOLD:
        retrieve(turn, turn.call(call.id), own)


def come_home(turn: Turn) -> None:
    """Who was lent is back: what was collected meanwhile is the call's."""
    for call in turn.state.calls:
        if call.away is None or call.is_cleared:
            continue
        second = turn.call(call.away)
        there = {each.leg for each in second.connections if each.is_live}
        if any(each.leg in there for each in call.connections if each.held_for == second.id):
            continue
        call = replace(call, away=None)
        turn.put_call(call)
        for back in (each for each in call.connections if each.is_live):
            left = second.connection_by(back.leg)
            if left is not None and left.muted is not back.muted:
                back = turn.put_connection(call.id, replace(back, muted=left.muted))
                turn.publish(told.MicrophoneMute(**turn.facts(call, back), muted=back.muted))
        call = turn.call(call.id)
        own = next(each for each in call.connections if each.is_live)
        calldata.join(turn, call, own, second)
