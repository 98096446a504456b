"""Transfers: another device takes a device's place in its call, when it has answered.

We stay in the middle: the new party is placed beside the others, in the same call, and the one who
transfers is let go when it answers. Until it rings they talk on; then all who wait hear it ring.
Where it can't be had, the call is as it was. Who transfers may leave before: the others wait on.
Where the line of the one other party wants it, its far end is asked to call the new one (REFER),
and what it tells of that decides.
"""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import calldata
from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import (
    CommandName,
    DeflectCall,
    Rejection,
    SingleStepTransfer,
    TransferCall,
)
from endpoint.callcontrol.consultation import other_call
from endpoint.callcontrol.dialstring import DialString, parse_dial_string
from endpoint.callcontrol.model import (
    Call,
    CallId,
    Connection,
    ConnectionState,
    Ending,
    Interaction,
    Leg,
    LegProgress,
    StepKind,
    TimerKind,
    Transfer,
    are_of_one,
)
from endpoint.callcontrol.moves import brought, move
from endpoint.callcontrol.refusals import check_not_transferred, dial_string_of, refused
from endpoint.callcontrol.transitions import allowed_for
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.errors import DialStringError
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    LegId,
    LegOffered,
    LegRole,
    Side,
    TransferAsked,
    TransferOutcome,
)


def single_step_transfer(
    turn: Turn, call: Call, own: Connection, command: SingleStepTransfer
) -> None:
    """Begin one by command. Raises CommandRejected."""
    check_not_transferred(command, call)
    dialled = dial_string_of(command, command.destination)
    _begin(turn, call, own, dialled, dials=command.device)


def transfer_call(turn: Turn, call: Call, own: Connection, command: TransferCall) -> None:
    """Bring the others of two calls together, by command. Raises CommandRejected."""
    check_not_transferred(command, call)
    other, consulting = other_call(turn, own, command)
    if not _bring_together(turn, call, own, other, consulting):
        why = f"nobody in call {other.id} rings or talks"
        raise refused(Rejection.INVALID_STATE, command, why)


def transfer_asked(turn: Turn, event: TransferAsked) -> None:
    """A phone asks for one: it may what a command may, and is told."""
    found = _meant(turn.state, event.leg)
    if found is None:
        turn.effects.append(do.TellTransfer(event.leg, 481))
        return
    call, own = found
    by_dialling = event.replaces is None
    asked = CommandName.SINGLE_STEP_TRANSFER if by_dialling else CommandName.TRANSFER_CALL
    if call.transfer is not None or asked not in allowed_for(call, own):
        turn.effects.append(do.TellTransfer(event.leg, 488))
        return
    if not by_dialling:
        _attended_by_phone(turn, call, own, event)
        return
    try:
        dialled = parse_dial_string(event.destination)
    except DialStringError:
        turn.effects.append(do.TellTransfer(event.leg, 484))
        return
    dials = who_dials(turn.state, event)
    if dials is None:
        turn.effects.append(do.TellTransfer(event.leg, 403))
    else:
        _begin(turn, call, own, dialled, dials=dials, asked_by_phone=True)


def who_dials(state: Interaction, event: TransferAsked) -> DeviceId | None:
    """The device for whom a phone's transfer calls its new party; None where there is none.

    Where a far end outside asks, that is whom it talks with, a station first.
    """
    found = _meant(state, event.leg)
    parties = [
        each
        for each in (() if found is None else found[0].connections)
        if each.is_live and (event.from_outside or each.leg == event.leg)
    ]
    parties.sort(key=lambda each: (each.leg == event.leg, each.role is not LegRole.STATION))
    return next((each.device for each in parties if each.device is not None), None)


def _meant(state: Interaction, leg: LegId) -> tuple[Call, Connection] | None:
    """The call that a phone means by its dialog: of two by one leg, the one that it talks in."""
    own = [
        (call, each)
        for call in state.calls
        for each in call.connections
        if each.is_live and each.leg == leg
    ]
    own.sort(key=lambda found: found[1].state is not ConnectionState.CONNECTED)
    return next(iter(own), None)


def deflect(turn: Turn, call: Call, own: Connection, command: DeflectCall) -> None:
    """Another is called where it rings, for the device. Raises CommandRejected."""
    dialled = dial_string_of(command, command.destination)
    call = replace(call, post_dial=dialled.post_dial)
    turn.put_call(call)
    leg = turn.place(
        dialled.number,
        LegRole.LINE,
        calling=command.device,
        calling_name=call.calling_name or call.calling,
        on_behalf_of=call.calling,
        withheld=call.withheld,
        referred_by=command.device,
        dialled_by=command.device,
    )
    called = turn.add_connection(call.id, leg, ConnectionState.NULL)
    turn.put_connection(call.id, replace(called, picks_up=own.picks_up))
    call = turn.call(call.id)
    turn.publish(told.Diverted(**turn.facts(call, own), diverted_to=dialled.number))
    turn.note(call.id, StepKind.DEFLECT, command.device, dialled.number, place_of=own.number)
    over = ended_by_us(Cause.NORMAL, command.device, f"sent on to {dialled.number}")
    turn.end(call.id, own, over, failed=False)


def takes_over(turn: Turn, offer: LegOffered) -> None:
    """Who came with the right to a party's place (Replaces) is answered, and gets it.

    That of one who only listens or whispers is nobody's to give away.
    """
    leg = turn.put_offered(offer, LegProgress.ANSWERING)
    found = _meant(turn.state, offer.replaces or offer.leg)
    if found is not None:
        call, own = found
        if call.is_established and call.transfer is None and own.is_party:
            turn.effects.append(do.Answer(leg.id))
            transfer = Transfer(
                own.leg, offer.calling, target=leg.id, asked=False, kind=StepKind.REPLACE
            )
            _announce(turn, _without_digits(turn, call), own, transfer)
            turn.add_connection(call.id, leg, ConnectionState.NULL)
            return
    turn.release(leg.id, Cause.DECLINED)


def _attended_by_phone(turn: Turn, call: Call, own: Connection, event: TransferAsked) -> None:
    for other in turn.state.calls:
        for consulting in other.connections:
            if consulting.leg == event.replaces and consulting.is_live and other.id != call.id:
                if not are_of_one(consulting, own):
                    continue  # somebody else's call is not to be had by knowing its tags
                if not _bring_together(turn, call, own, other, consulting, asked_by_phone=True):
                    turn.effects.append(do.TellTransfer(event.leg, 488))
                return
    turn.effects.append(do.TellTransfer(event.leg, 481))


# -- its way ------------------------------------------------------------------------------------


def _begin(
    turn: Turn,
    call: Call,
    own: Connection,
    dialled: DialString,
    *,
    dials: DeviceId,
    asked_by_phone: bool = False,
) -> None:
    """`dials` is the device for whom the new party is called, by whatever line it has."""
    call = _without_digits(turn, call)
    transfer = Transfer(own.leg, dialled.number, asked_by_phone=asked_by_phone)
    referred = _whose_line_refers(turn, call, own)
    beyond = dialled.post_dial is None and dialled.number not in turn.state.ours
    if referred is not None and beyond:  # no other server finds an extension of ours
        _refer(turn, call, own, replace(transfer, referred=referred.id))
        return
    others = brought(call, own)
    leg = turn.place(
        dialled.number,
        LegRole.LINE,
        calling=dials,
        calling_name=others.name,
        on_behalf_of=others.number,
        withheld=others.withheld,
        referred_by=own.device,
        dialled_by=dials,
    )
    call = replace(call, post_dial=dialled.post_dial)
    _announce(turn, call, own, replace(transfer, target=leg.id))
    turn.add_connection(call.id, leg, ConnectionState.NULL)


def _bring_together(
    turn: Turn,
    call: Call,
    own: Connection,
    other: Call,
    consulting: Connection,
    *,
    asked_by_phone: bool = False,
) -> bool:
    """Bring the other party of `other` into `call`; False where there is none to be had."""
    found = [
        each
        for each in other.connections
        if each.is_party and each is not consulting and each.state is not ConnectionState.INITIATED
    ]
    leg = turn.state.leg(found[0].leg) if len(found) == 1 else None
    if leg is not None and any(each.leg == leg.id and each.is_live for each in call.connections):
        return False  # he is in both
    # Who calls and has no answer yet would get none from anybody: that call is to be taken first.
    if leg is None or leg.progress is LegProgress.OFFERED or other.transfer is not None:
        return False
    (joining,) = found
    transfer = Transfer(own.leg, joining.number, asked_by_phone=asked_by_phone, other=other.id)
    referred = _whose_line_refers(turn, call, own)
    if referred is not None and leg.refers and turn.is_up(joining):
        _refer(turn, call, own, replace(transfer, referred=referred.id), replacing=leg.id)
        return True
    call = replace(_without_digits(turn, call), post_dial=other.post_dial)
    _announce(turn, call, own, replace(transfer, target=leg.id))
    move(turn, joining, other, call)
    calldata.join(turn, call, own, other)
    turn.note(other.id, StepKind.TRANSFER, own.number, joining.number, other=call.id)
    moved = ended_by_us(Cause.NORMAL, own.number, f"went on in call {call.id}")
    turn.end(other.id, joining, moved, failed=False)
    if leg.progress is LegProgress.UP:
        completed(turn, call.id)
    return True


def _without_digits(turn: Turn, call: Call) -> Call:
    """Digits that still wait are for nobody now."""
    for each in call.connections:
        turn.stop_timer(TimerKind.POST_DIAL, each.leg)
    return replace(call, post_dial=None)


def _refer(
    turn: Turn, call: Call, own: Connection, transfer: Transfer, replacing: LegId | None = None
) -> None:
    """Let the far end call the new one, and tell."""
    if transfer.referred is not None:
        turn.effects.append(do.Refer(transfer.referred, transfer.to, replacing))
        turn.start_timer(TimerKind.TRANSFER, transfer.referred, turn.state.settings.refer_s)
        _announce(turn, call, own, transfer)


def _announce(turn: Turn, call: Call, own: Connection, transfer: Transfer) -> None:
    """It is under way."""
    call = replace(call, transfer=transfer)
    turn.put_call(call)
    _tell_phone(turn, transfer, 100)
    turn.publish(told.Transferring(**turn.facts(call, own), transferred_to=transfer.to))


def announce(turn: Turn, call: Call, own: Connection, leg: Leg) -> None:
    """Somebody is called who is to take the device's place by himself."""
    transfer = Transfer(own.leg, leg.number, target=leg.id, asked=False, kind=StepKind.INTERCEPT)
    _announce(turn, _without_digits(turn, call), own, transfer)


def rings(turn: Turn, call: Call, leg: Leg) -> None:
    """The new party rings."""
    if call.transfer is not None and call.transfer.target == leg.id:
        _tell_phone(turn, call.transfer, 180)


def completed(turn: Turn, call_id: CallId) -> None:
    """The new party is there: who transferred is let go."""
    call = turn.call(call_id)
    transfer = call.transfer
    if transfer is None:
        return
    turn.put_call(replace(call, transfer=None))
    for each in call.connections:
        if each.leg == transfer.target and each.is_live:
            turn.publish(told.Established(**turn.facts(call, each)))
    _tell_phone(turn, transfer, 200)
    own = call.connection_by(transfer.leg)
    if own is None:
        return
    _note(turn, call_id, transfer, own)
    turn.left_queue(call_id, own, "answered")
    turn.publish(told.Transferred(**turn.facts(call, own), transferred_to=transfer.to))
    if own.is_live:
        over = ended_by_us(Cause.NORMAL, own.number, f"transferred to {transfer.to}")
        turn.end(call_id, own, over, failed=False)


def referral_ended(turn: Turn, event: TransferOutcome) -> None:
    """The far end tells what became of the call that it was asked to make."""
    for call, connection in turn.live_connections(event.leg):
        transfer = call.transfer
        if transfer is None or transfer.referred != event.leg:
            continue
        turn.stop_timer(TimerKind.TRANSFER, event.leg)
        if event.sip_status is not None and 200 <= event.sip_status < 300:
            completed_elsewhere(turn, call, connection)
        else:
            ending = Ending(
                cause=event.cause,
                released_by=Side.DEVICE,
                sip_status=event.sip_status,
                q850=CAUSES[event.cause].q850,
                text=event.text,
            )
            failed(turn, call.id, ending)


def completed_elsewhere(turn: Turn, call: Call, referred: Connection) -> None:
    """The two talk without us: the call is over for us."""
    transfer = call.transfer
    if transfer is None:
        return
    turn.put_call(replace(call, transfer=None))
    _tell_phone(turn, transfer, 200)
    own = call.connection_by(transfer.leg)
    if own is not None:
        _note(turn, call.id, transfer, own)
        turn.left_queue(call.id, own, "answered")
        turn.publish(told.Transferred(**turn.facts(call, own), transferred_to=transfer.to))
    by = own.number if own is not None else None
    over = ended_by_us(Cause.NORMAL, by, f"transferred to {transfer.to}")
    turn.end(call.id, referred, over, failed=False)


def timed_out(turn: Turn, call: Call) -> None:
    """The far end does not tell what became of it."""
    failed(turn, call.id, ended_by_us(Cause.NO_ANSWER, text="the far end did not tell"))


def somebody_left(turn: Turn, call_id: CallId, gone: Connection, ending: Ending) -> None:
    """A connection ended while its call was being transferred: is there anybody left to join?"""
    call = turn.call(call_id)
    transfer = call.transfer
    if transfer is None:
        return
    if gone.leg != transfer.target and not gone.is_party:
        return  # a supervisor
    if gone.leg == transfer.target or transfer.referred is not None:
        failed(turn, call_id, ending)
        return
    live = [each for each in call.connections if each.is_live]
    waiting = [
        each for each in live if each.is_party and each.leg not in (transfer.target, transfer.leg)
    ]
    if waiting:
        return
    failed(turn, call_id, ending)
    # That one left is why the call ends, not that the new party is called no more.
    call = turn.call(call_id)
    turn.put_call(replace(call, outcome=call.outcome or ending))
    for each in live:
        if each.leg == transfer.target:
            cancelled = ended_by_us(Cause.CANCELLED, ending.releasing_device)
            turn.over(call_id, each, cancelled, failed=False)


def failed(turn: Turn, call_id: CallId, ending: Ending) -> None:
    """Nobody takes the place; those who are there go on."""
    call = turn.call(call_id)
    transfer = call.transfer
    if transfer is None:
        return
    if transfer.referred is not None:
        turn.stop_timer(TimerKind.TRANSFER, transfer.referred)
    turn.put_call(replace(call, transfer=None, post_dial=None))
    _tell_phone(turn, transfer, ending.sip_status or CAUSES[ending.cause].sip_status)
    own = call.connection_by(transfer.leg)
    if own is not None:
        _note(turn, call_id, transfer, own, ending.cause)
        facts = turn.end_facts(call, own, ending)
        turn.publish(told.TransferFailed(**facts, transferred_to=transfer.to))


def _whose_line_refers(turn: Turn, call: Call, own: Connection) -> Leg | None:
    """The one other party's leg, where its line wants its far end to do it."""
    others = [each for each in call.connections if each.is_party and each is not own]
    legs = [turn.state.leg(each.leg) for each in others]
    if len(legs) == 1 and legs[0] is not None and legs[0].refers:
        return legs[0]
    return None


def _note(
    turn: Turn, call: CallId, transfer: Transfer, own: Connection, cause: Cause | None = None
) -> None:
    """What became of it. Who comes by himself does it; else who is replaced."""
    by = own.number if transfer.asked else transfer.to
    turn.note(
        call,
        transfer.kind,
        by,
        transfer.to,
        place_of=own.number,
        other=transfer.other,
        cause=cause,
    )


def _tell_phone(turn: Turn, transfer: Transfer, sip_status: int) -> None:
    if transfer.asked_by_phone:
        turn.effects.append(do.TellTransfer(transfer.leg, sip_status))
