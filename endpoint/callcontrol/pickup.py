"""A call that rings or waits at one device is taken at another one: DirectedPickupCall (ECMA-269).

Both ring, or are picked up, until one of them has answered: that one has the call. Who picks up is
no party before, so whatever else becomes of the call is as if he had never come.

ParkCall lets the call wait at a device, or at a number that is nobody's: a connection without a
telephone, `queued`, that keeps the other party in the call. It is picked up in the same way. Where
nobody comes in time it rings at who parked it, who picks it up so; and again, where he does not,
after twice as long each time: who has gone home is tried while somebody waits.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import DirectedPickupCall, ParkCall, Rejection
from endpoint.callcontrol.model import (
    Call,
    Connection,
    ConnectionState,
    Leg,
    StepKind,
    Timer,
    TimerKind,
)
from endpoint.callcontrol.refusals import check_not_transferred, refused
from endpoint.callcontrol.transitions import TO_BE_HAD
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, DeviceId, LegId, LegRole


def pick_up(turn: Turn, command: DirectedPickupCall) -> None:
    """Begin to. Raises CommandRejected."""
    call, waits = _waiting(turn, command)
    _check_permitted(turn, command, waits)
    mine = call.connection_of(command.device)
    if mine is not None and mine.is_live and mine.parked_by is None:
        why = f"{command.device} is {mine.state} in call {call.id} itself"
        raise refused(Rejection.INVALID_STATE, command, why)
    leg = _place(turn, call, waits, command.device, answer_after_s=0.0)
    comes = turn.add_connection(call.id, leg, ConnectionState.INITIATED)
    comes = turn.put_connection(call.id, replace(comes, picks_up=waits.leg))
    turn.publish(told.ServiceInitiated(**turn.facts(call, comes)))
    if waits.state is ConnectionState.ALERTING:
        # Nobody is told that no one answers while somebody is about to.
        turn.stop_timer(TimerKind.NO_ANSWER, waits.leg)
        turn.start_timer(TimerKind.NO_ANSWER, waits.leg, turn.state.settings.no_answer_s)


def park(turn: Turn, call: Call, own: Connection, command: ParkCall) -> None:
    """Leave a call, and let it wait. Raises CommandRejected."""
    check_not_transferred(command, call)
    others = [each for each in call.connections if each.is_party and each.leg != own.leg]
    if not own.is_party or len(others) != 1 or not turn.is_up(others[0]):
        why = f"call {call.id} is no conversation of {command.device} with one other"
        raise refused(Rejection.INVALID_STATE, command, why)
    place = Connection(
        command.at,
        LegRole.LINE,
        LegId(f"{call.id}.parked{len(call.connections)}"),
        ConnectionState.QUEUED,
        parked_by=command.device,
    )
    place = turn.add(call.id, place)
    turn.publish(told.Queued(**turn.facts(call, place), parked_by=command.device))
    turn.note(call.id, StepKind.PARK, command.device, command.at, place_of=own.number)
    over = ended_by_us(Cause.NORMAL, command.device, f"parked at {command.at}")
    turn.end(call.id, own, over, failed=False)


def timed_out(turn: Turn, call: Call, place: Connection) -> None:
    """Nobody has picked a parked call up: it rings where it was parked from."""
    if place.parked_by is not None and not _is_picked_up(call, place):
        leg = _place(turn, call, place, place.parked_by)
        comes = turn.add_connection(call.id, leg, ConnectionState.NULL)
        turn.put_connection(call.id, replace(comes, picks_up=place.leg))


def taken(turn: Turn, call: Call, comes: Connection) -> Connection:
    """Who picks up has answered first: it has the place, and the other one rings no more."""
    waits = call.connection_by(comes.picks_up) if comes.picks_up is not None else None
    assert waits is not None  # `follow` lets nobody wait longer
    comes = replace(comes, picks_up=None, participation=waits.participation, beside=waits.beside)
    comes = turn.put_connection(call.id, comes)
    turn.publish(told.Diverted(**turn.facts(call, waits), diverted_to=comes.number))
    turn.note(call.id, StepKind.PICK_UP, comes.number, comes.number, place_of=waits.number)
    transfer = call.transfer
    if transfer is not None and transfer.target == waits.leg:
        transfer = replace(transfer, target=comes.leg, to=comes.number)
        turn.put_call(replace(turn.call(call.id), transfer=transfer))
    over = ended_by_us(Cause.NORMAL, comes.number, f"picked up by {comes.number}")
    turn.over(call.id, waits, over, failed=False)
    if waits.state is ConnectionState.QUEUED:
        turn.publish(told.Established(**turn.facts(turn.call(call.id), comes)))
    return comes


def follow(turn: Turn) -> None:
    """Nobody picks up what rings or waits no more; and nothing waits without an end."""
    for call in turn.state.calls:
        for each in call.connections:
            now = turn.call(call.id).connection_by(each.leg)
            if now is None or not now.is_live:
                continue
            if now.picks_up is not None:
                waits = turn.call(call.id).connection_by(now.picks_up)
                if waits is None or not waits.is_live or waits.state not in TO_BE_HAD:
                    over = ended_by_us(Cause.CANCELLED, text="nothing is left to be picked up")
                    turn.end(call.id, now, over, failed=False)
            elif now.parked_by is not None:
                runs = Timer(TimerKind.PARK, now.leg) in turn.state.timers
                if not runs and not _is_picked_up(turn.call(call.id), now):
                    after_s = turn.state.settings.park_s * 2 ** max(0, _tries(call, now) - 1)
                    turn.start_timer(TimerKind.PARK, now.leg, after_s)


def to_be_had(call: Call, device: DeviceId) -> Connection | None:
    """What rings or waits at a device, and may be picked up; what rings for it leads to it."""
    for each in call.connections:
        if each.device == device and each.is_live and each.state in TO_BE_HAD:
            return each if each.picks_up is None else call.connection_by(each.picks_up)
    return None


def _waiting(turn: Turn, command: DirectedPickupCall) -> tuple[Call, Connection]:
    """What is to be picked up. Raises CommandRejected."""
    call = next((each for each in turn.state.calls if each.id == command.call), None)
    there = None if call is None else call.connection_of(command.beside)
    if call is None or there is None or not there.is_live:
        why = f"{command.beside} has no part in call {command.call}"
        raise refused(Rejection.NOT_IN_CALL, command, why)
    waits = to_be_had(call, command.beside)
    if waits is None:
        why = f"{command.beside} is {there.state} in call {call.id}: there is nothing to pick up"
        raise refused(Rejection.INVALID_STATE, command, why)
    return call, waits


def _check_permitted(turn: Turn, command: DirectedPickupCall, waits: Connection) -> None:
    """Let a device take what is its own, and what is of those for whom it picks up.

    Raises: CommandRejected.
    """
    whose = {each for each in (command.beside, waits.device, waits.parked_by) if each is not None}
    may = turn.state.settings.permissions.may_pick_up
    if command.device not in whose and not any(may(command.device, each) for each in whose):
        names = " and ".join(sorted(whose))
        why = f"{command.device} is in no [[pickup_group]] with {names}"
        raise refused(Rejection.NOT_PERMITTED, command, why)


def _tries(call: Call, place: Connection) -> int:
    """How often it has rung at who parked it."""
    own = (place.parked_by, place.leg)
    return sum((each.device, each.picks_up) == own for each in call.connections)


def _is_picked_up(call: Call, place: Connection) -> bool:
    return any(each.is_live and each.picks_up == place.leg for each in call.connections)


def _place(
    turn: Turn,
    call: Call,
    waits: Connection,
    device: DeviceId,
    *,
    answer_after_s: float | None = None,
) -> Leg:
    """Reach who is to take the place: his telephone shows whom he will talk with."""
    leaves = None if call.transfer is None else call.transfer.leg
    others = [each for each in call.connections if each.is_party and each.leg != waits.leg]
    shown = next((each.number for each in others if each.leg != leaves), call.calling)
    is_caller = shown == call.calling
    return turn.place(
        device,
        LegRole.STATION,
        calling=shown,
        calling_name=call.calling_name if is_caller else "",
        withheld=call.withheld and is_caller,
        answer_after_s=answer_after_s,
    )
