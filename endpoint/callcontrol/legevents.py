"""What legs tell, and what becomes of calls by it: they come in, ring, are answered and end."""

from __future__ import annotations

from dataclasses import replace

from endpoint.callcontrol import calldata, pickup, supervision, transfer
from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.dialstring import DialString, parse_dial_string
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    Ending,
    Leg,
    LegProgress,
    StepKind,
    TimerKind,
)
from endpoint.callcontrol.moves import (
    hold,
    open_call,
    originate,
    retrieve,
)
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.errors import DialStringError
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    DigitDetected,
    DigitsSent,
    FarEndHold,
    IvrQueued,
    IvrVisited,
    LegAlerting,
    LegAnswered,
    LegDiverted,
    LegEvent,
    LegHeld,
    LegId,
    LegOffered,
    LegReleased,
    LegRetrieved,
    LegRole,
    MediaConfirmed,
    MediaInterrupted,
    MediaResumed,
    Side,
    TransferAsked,
    TransferOutcome,
)

_BEFORE_ANSWER = (LegProgress.PLACED, LegProgress.RINGING, LegProgress.ANSWERING)


def take(turn: Turn, event: LegEvent) -> None:
    """One about a leg that is over, or that comes too late, has no effect."""
    match event:
        case LegOffered(replaces=str()):
            transfer.takes_over(turn, event)
        case LegOffered(role=LegRole.STATION):
            _own_phone_dials(turn, event)
        case LegOffered():
            _call_comes_in(turn, event)
        case LegAlerting():
            _leg_alerting(turn, event)
        case LegAnswered():
            _leg_answered(turn, event)
        case LegReleased():
            _leg_released(turn, event)
        case LegHeld():
            _leg_held(turn, event)
        case LegRetrieved():
            _leg_retrieved(turn, event)
        case TransferAsked():
            transfer.transfer_asked(turn, event)
        case TransferOutcome():
            transfer.referral_ended(turn, event)
        case (
            FarEndHold()
            | DigitDetected()
            | DigitsSent()
            | IvrVisited()
            | IvrQueued()
            | LegDiverted()
            | MediaConfirmed()
            | MediaInterrupted()
            | MediaResumed()
        ):
            _tell(turn, event)


# -- calls that come to us ------------------------------------------------------------------------


def _own_phone_dials(turn: Turn, offer: LegOffered) -> None:
    try:
        dialled = parse_dial_string(offer.called)
    except DialStringError as error:
        refuse_dial(turn, offer, Cause.UNKNOWN_DEVICE, str(error))
        return
    call, caller = _offered(turn, offer, dialled, ConnectionState.INITIATED)
    queue = calldata.queue_of(turn, offer.calling, call.called)
    call = calldata.made_for(turn, call, queue)
    turn.publish(told.ServiceInitiated(**turn.facts(call, caller), queue=queue))
    originate(turn, call.id, caller)


def refuse_dial(turn: Turn, offer: LegOffered, cause: Cause, text: str) -> None:
    """A phone of ours dials in vain: its call is told as failed, and it hears so."""
    number = DeviceId(offer.called.partition("-")[0])
    call, caller = _offered(turn, offer, DialString(number), ConnectionState.INITIATED)
    turn.publish(told.ServiceInitiated(**turn.facts(call, caller)))
    turn.end(call.id, caller, ended_by_us(cause, text=text), failed=True)


def _call_comes_in(turn: Turn, offer: LegOffered) -> None:
    call, _ = _offered(turn, offer, DialString(offer.called), ConnectionState.CONNECTED)
    station = turn.place(
        offer.called,
        LegRole.STATION,
        calling=offer.calling,
        calling_name=offer.calling_name,
        withheld=offer.withheld,
        answer_after_s=offer.answer_after_s,
    )
    turn.add_connection(call.id, station, ConnectionState.NULL)


def _offered(
    turn: Turn, offer: LegOffered, dialled: DialString, state: ConnectionState
) -> tuple[Call, Connection]:
    leg = turn.put_offered(offer, LegProgress.OFFERED)
    outbound = offer.role is LegRole.STATION
    direction = CallDirection.OUTBOUND if outbound else CallDirection.INBOUND
    call = open_call(turn, direction, offer.calling, dialled, offer.calling_name)
    call = replace(
        call,
        withheld=offer.withheld,
        first_called=offer.first_called,
        last_redirection=offer.last_redirection,
        answer_after_s=offer.answer_after_s,
    )
    turn.put_call(call)
    caller = turn.add_connection(call.id, leg, state)
    return turn.call(call.id), caller


# -- what legs tell -----------------------------------------------------------------------------


def _leg_alerting(turn: Turn, event: LegAlerting) -> None:
    leg = turn.state.leg(event.leg)
    if leg is None or leg.progress not in _BEFORE_ANSWER:
        return
    progress = LegProgress.RINGING if leg.progress is LegProgress.PLACED else leg.progress
    leg = turn.put_leg(replace(leg, progress=progress, early_media=event.early_media))
    for call, connection in turn.live_connections(leg.id):
        if connection.state is not ConnectionState.NULL:
            # The caller's own station rings, or the far end says it once more.
            if connection.state is ConnectionState.ALERTING:
                _tell_caller(turn, call, leg, again=True)
            continue
        rings = turn.put_connection(call.id, replace(connection, state=ConnectionState.ALERTING))
        if call.delivered_at is None and not call.is_established:
            turn.put_call(replace(turn.call(call.id), delivered_at=turn.now))
        transfer.rings(turn, call, leg)
        _tell_caller(turn, call, leg)
        turn.publish(
            told.Delivered(
                **turn.facts(call, rings),
                calling_name=call.calling_name,
                withheld=call.withheld,
                first_called=call.first_called,
                last_redirection=call.last_redirection,
                early_media=leg.early_media,
            )
        )


def _tell_caller(turn: Turn, call: Call, ringing: Leg, *, again: bool = False) -> None:
    """A caller whose leg is not answered is told that it rings, and hears it where that is meant.

    Once it hears something it hears ring-back too: its own telephone makes none any more.
    """
    caller = turn.state.leg(call.connections[0].leg)
    if caller is None or caller.progress is not LegProgress.OFFERED:
        return
    if ringing.early_media and not caller.hears_early:
        turn.put_leg(replace(caller, hears_early=True))
        turn.effects.append(do.Alert(caller.id, early_media=True))
    elif not again:
        turn.effects.append(do.Alert(caller.id))


def _leg_answered(turn: Turn, event: LegAnswered) -> None:
    leg = turn.state.leg(event.leg)
    if leg is None or leg.progress in (LegProgress.UP, LegProgress.RELEASING):
        return
    turn.stop_timer(TimerKind.NO_ANSWER, leg.id)
    turn.put_leg(replace(leg, progress=LegProgress.UP, refers=event.refers))
    for call, connection in turn.live_connections(leg.id):
        if connection is not call.connections[0]:
            _called_one_answered(turn, call, connection)
        elif connection.state is ConnectionState.INITIATED:
            originate(turn, call.id, connection)
        _establish(turn, call.id)
        under_way = turn.call(call.id).transfer
        if under_way is not None and under_way.target == leg.id:
            transfer.completed(turn, call.id)


def _called_one_answered(turn: Turn, call: Call, connection: Connection) -> None:
    connection = replace(connection, state=ConnectionState.CONNECTED)
    turn.put_connection(call.id, connection)
    if connection.picks_up is not None:
        connection = pickup.taken(turn, call, connection)
        call = turn.call(call.id)
    if connection.beside is not None:
        supervision.answered(turn, call.id, connection)
        return
    if call.post_dial is not None:
        if call.post_dial.pause_s:
            turn.start_timer(TimerKind.POST_DIAL, connection.leg, call.post_dial.pause_s)
        else:
            dial_extension(turn, call.id, connection.leg)
    caller = turn.state.leg(call.connections[0].leg)
    if caller is not None and caller.progress is LegProgress.OFFERED:
        turn.put_leg(replace(caller, progress=LegProgress.ANSWERING))
        turn.effects.append(do.Answer(caller.id))


def _establish(turn: Turn, call_id: CallId) -> None:
    """Both ends are up: they can talk."""
    call = turn.call(call_id)
    up = [each for each in call.connections if each.is_live and turn.is_up(each)]
    if call.is_established or len(up) < 2:
        return
    call = replace(call, established_at=turn.now)
    turn.put_call(call)
    turn.publish(told.Established(**turn.facts(call, up[1])))


def _leg_released(turn: Turn, event: LegReleased) -> None:
    leg = turn.state.leg(event.leg)
    if leg is None:
        return
    connections = turn.live_connections(leg.id)
    turn.forget_leg(leg.id)
    by_device = event.released_by is Side.DEVICE
    for call, connection in connections:
        is_caller = connection is call.connections[0]
        gave_up = is_caller and not call.is_established and call.outcome is None
        cause = event.cause
        if cause is Cause.NORMAL and gave_up and by_device:
            cause = Cause.CANCELLED
        ending = Ending(
            cause=cause,
            released_by=event.released_by,
            releasing_device=connection.number if by_device else None,
            sip_status=event.sip_status,
            q850=event.q850 if event.q850 is not None else CAUSES[cause].q850,
            text=event.text,
        )
        never_reached = connection.state in (
            ConnectionState.NULL,
            ConnectionState.INITIATED,
            ConnectionState.ALERTING,
            ConnectionState.QUEUED,
        )
        turn.end(call.id, connection, ending, failed=never_reached)


def _leg_held(turn: Turn, event: LegHeld) -> None:
    leg = turn.state.leg(event.leg)
    if leg is None or leg.progress is not LegProgress.UP:
        return
    turn.put_leg(replace(leg, held_by_phone=True))
    for call, connection in turn.live_connections(leg.id):
        if connection.state is ConnectionState.CONNECTED:
            hold(turn, call, replace(connection, held_by_phone=True))


def _leg_retrieved(turn: Turn, event: LegRetrieved) -> None:
    leg = turn.state.leg(event.leg)
    if leg is None or leg.progress is not LegProgress.UP:
        return
    turn.put_leg(replace(leg, held_by_phone=False))
    own = [each for each in turn.live_connections(leg.id) if each[1].state is ConnectionState.HOLD]
    # What the phone put aside; else what was put aside for no other call. One of them.
    own.sort(key=lambda each: (not each[1].held_by_phone, each[1].held_for is not None))
    for call, connection in own[:1]:
        retrieve(turn, call, connection)


def _tell(
    turn: Turn,
    event: FarEndHold
    | DigitDetected
    | DigitsSent
    | IvrVisited
    | IvrQueued
    | LegDiverted
    | MediaConfirmed
    | MediaInterrupted
    | MediaResumed,
) -> None:
    """What changes no state, but who is reached and whether audio was seen."""
    for call, connection in turn.live_connections(event.leg):
        facts = turn.facts(call, connection)
        match event:
            case FarEndHold():
                answer = told.FarEndAnswer.ACCEPTED if event.accepted else told.FarEndAnswer.REFUSED
                turn.publish(
                    told.FarEndHold(
                        **facts, held=event.held, far_end=answer, sip_status=event.sip_status
                    )
                )
            case DigitDetected() if connection.held_for is not None:
                """Who is lent, or consults, presses keys for those whom he talks with there."""
            case DigitDetected():
                turn.publish(
                    told.DigitDetected(**facts, digits=event.digit, duration_ms=event.duration_ms)
                )
            case DigitsSent():
                if event.digits:
                    turn.publish(told.DigitsGenerated(**facts, digits=event.digits))
                else:
                    turn.publish(told.DigitsFailed(**facts, text="the digits could not be sent"))
            case IvrVisited(flow=flow, node=node, kind=kind, result=result):
                visited = told.IvrVisited(**facts, flow=flow, node=node, kind=kind, result=result)
                turn.publish(visited)
                calldata.visited(turn, call.id, event)
                if result:
                    turn.left_queue(call.id, connection, result)
            case IvrQueued():
                calldata.queued(turn, call.id, connection, event)
            case LegDiverted():
                turn.publish(told.Diverted(**facts, diverted_to=event.to))
                who = connection.number
                turn.note(call.id, StepKind.FORWARD, who, event.to, place_of=who)
                turn.put_connection(call.id, replace(connection, number=event.to))
                if (leg := turn.state.leg(event.leg)) is not None:
                    turn.put_leg(replace(leg, number=event.to))
            case MediaConfirmed():
                seen = turn.put_connection(call.id, replace(connection, media_confirmed=True))
                if not connection.media_confirmed:
                    turn.publish(told.MediaConfirmed(**turn.facts(call, seen)))
            case MediaInterrupted():
                turn.publish(told.MediaInterrupted(**facts))
            case MediaResumed():
                turn.publish(told.MediaResumed(**facts))


def dial_extension(turn: Turn, call_id: CallId, leg: LegId) -> None:
    """Send the digits that wait for the answer."""
    call = turn.call(call_id)
    if call.post_dial is not None:
        turn.effects.append(do.SendDigits(leg, call.post_dial.digits))
        turn.put_call(replace(call, post_dial=None))
