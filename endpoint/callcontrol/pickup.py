"""A call that rings at one device is taken at another one: DirectedPickupCall (ECMA-269).

Both ring, or are picked up, until one of them has answered: that one has the call. Who picks up is
no party before, so whatever else becomes of the call is as if he had never come.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import DirectedPickupCall, Rejection
from endpoint.callcontrol.model import Call, Connection, ConnectionState, TimerKind
from endpoint.callcontrol.refusals import refused
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, LegRole


def pick_up(turn: Turn, command: DirectedPickupCall) -> None:
    """Begin to. Raises CommandRejected."""
    call, rings = _ringing(turn, command)
    mine = call.connection_of(command.device)
    if mine is not None and mine.is_live:
        why = f"{command.device} is {mine.state} in call {call.id} itself"
        raise refused(Rejection.INVALID_STATE, command, why)
    leg = turn.place(
        command.device,
        LegRole.STATION,
        calling=call.calling,
        calling_name=call.calling_name,
        withheld=call.withheld,
        answer_after_s=0.0,
    )
    comes = turn.add_connection(call.id, leg, ConnectionState.INITIATED)
    turn.put_connection(call.id, replace(comes, picks_up=rings.leg))
    # Nobody is told that no one answers while somebody is about to.
    turn.stop_timer(TimerKind.NO_ANSWER, rings.leg)
    turn.start_timer(TimerKind.NO_ANSWER, rings.leg, turn.state.settings.no_answer_s)


def taken(turn: Turn, call: Call, comes: Connection) -> Connection:
    """Who picks up has answered first: it has the place, and the other one rings no more."""
    rings = call.connection_by(comes.picks_up) if comes.picks_up is not None else None
    assert rings is not None  # `give_up` lets nobody wait longer
    comes = replace(comes, picks_up=None, participation=rings.participation, beside=rings.beside)
    comes = turn.put_connection(call.id, comes)
    turn.publish(told.Diverted(**turn.facts(call, rings), diverted_to=comes.number))
    transfer = call.transfer
    if transfer is not None and transfer.target == rings.leg:
        transfer = replace(transfer, target=comes.leg, to=comes.number)
        turn.put_call(replace(turn.call(call.id), transfer=transfer))
    over = ended_by_us(Cause.NORMAL, comes.number, f"picked up by {comes.number}")
    turn.over(call.id, rings, over, failed=False)
    return comes


def give_up(turn: Turn) -> None:
    """Nobody picks up what rings no more."""
    for call in turn.state.calls:
        for each in call.connections:
            if not each.is_live or each.picks_up is None or call.is_cleared:
                continue
            rings = turn.call(call.id).connection_by(each.picks_up)
            if rings is None or not rings.is_live or rings.state is not ConnectionState.ALERTING:
                over = ended_by_us(Cause.CANCELLED, text="it rings no more")
                turn.end(call.id, each, over, failed=False)


def _ringing(turn: Turn, command: DirectedPickupCall) -> tuple[Call, Connection]:
    """Where it rings. Raises CommandRejected."""
    call = next((each for each in turn.state.calls if each.id == command.call), None)
    rings = None if call is None else call.connection_of(command.beside)
    if call is None or rings is None or not rings.is_live:
        why = f"{command.beside} has no part in call {command.call}"
        raise refused(Rejection.NOT_IN_CALL, command, why)
    if rings.state is not ConnectionState.ALERTING or rings.picks_up is not None:
        why = f"{command.beside} is {rings.state} in call {call.id}: there is nothing to pick up"
        raise refused(Rejection.INVALID_STATE, command, why)
    return call, rings
