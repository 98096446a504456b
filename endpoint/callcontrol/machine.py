"""The machine of call control: `(interaction, stimulus) -> (interaction, effects)`, and no I/O.

A call lives like this:

    MakeCall             caller  INITIATED ─ its station answers ─▶ CONNECTED
                         called  ─ rings ─▶ ALERTING ─ answers ─▶ CONNECTED ⇄ HOLD
    a phone of ours or   caller  CONNECTED, its leg waits; it is answered when the called one is
    the outside dials    called  as above; a call from outside rings our station

Whatever ends one of two connections settles the call: the other is released, or hears the busy
tone for a while when it is our own caller and the call never came about. A connection is over for
us as soon as we let go of its leg; the leg stays in the state, without a route, until its end is
reported. Routes and far-end holds are not decided here: they follow from the state (`routes.py`)
and stand before all other effects of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from endpoint.callcontrol import calldata, consultation, lending, pickup, supervision, transfer
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
    ReconnectCall,
    Rejection,
    RetrieveCall,
    SetMicrophoneMute,
    SingleStepConference,
    SingleStepTransfer,
    TransferCall,
)
from endpoint.callcontrol.dialstring import DIGITS, DialString, parse_dial_string
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    Ending,
    Interaction,
    Leg,
    LegProgress,
    Timer,
    TimerKind,
)
from endpoint.callcontrol.moves import (
    clear_call,
    clear_connection,
    hold,
    open_call,
    originate,
    retrieve,
)
from endpoint.callcontrol.refusals import check_allowed, dial_string_of, refused
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.errors import DialStringError
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    DigitDetected,
    DigitsSent,
    FarEndHold,
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


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A deadline passed."""

    timer: Timer
    """Which; one that was cancelled meanwhile is ignored."""


@dataclass(frozen=True, slots=True)
class EndEverything:
    """End all calls of the interaction: we stop, or it broke."""

    cause: Cause
    """What everybody is told."""
    text: str = ""
    """For a person."""


@dataclass(frozen=True, slots=True)
class DialRefused:
    """A phone of ours dials more than it may."""

    offer: LegOffered
    """Its call, that comes about no further than to be told as failed."""
    text: str
    """Which limit it is."""


Stimulus = Command | LegEvent | DialRefused | TimerFired | EndEverything


def step(
    state: Interaction, stimulus: Stimulus, now: datetime
) -> tuple[Interaction, tuple[do.Effect, ...]]:
    """What becomes of the interaction, and what is to be done about it, in order.

    Raises: CommandRejected; then nothing has changed. Never for a leg event or a timer: one about a
    leg that is over, or that comes too late, has no effect.
    """
    turn = Turn(state, now, transfer.somebody_left)
    match stimulus:
        case MakeCall():
            _make_call(turn, stimulus)
        case AnswerCall():
            _answer_call(turn, stimulus)
        case HoldCall():
            hold(turn, *_subject(turn, stimulus))
        case RetrieveCall():
            _retrieve_call(turn, stimulus)
        case GenerateDigits():
            _generate_digits(turn, stimulus)
        case ClearConnection(connection=int()):
            supervision.drop(turn, stimulus)
        case ClearConnection():
            clear_connection(turn, *_subject(turn, stimulus))
        case ClearCall():
            clear_call(turn, *_subject(turn, stimulus))
        case ConsultationCall():
            consultation.consult(turn, *_subject(turn, stimulus), stimulus)
        case AlternateCall():
            consultation.alternate(turn, *_subject(turn, stimulus), stimulus)
        case ReconnectCall():
            consultation.reconnect(turn, *_subject(turn, stimulus), stimulus)
        case ConferenceCall():
            consultation.conference(turn, *_subject(turn, stimulus), stimulus)
        case DialRefused(offer, text):
            _refuse_dial(turn, offer, Cause.DIAL_LIMIT, text)
        case SingleStepConference():
            supervision.single_step_conference(turn, *_subject(turn, stimulus), stimulus)
        case JoinCall():
            supervision.join(turn, stimulus)
        case InterceptCall():
            supervision.intercept(turn, stimulus)
        case DirectedPickupCall():
            pickup.pick_up(turn, stimulus)
        case ParkCall():
            pickup.park(turn, *_subject(turn, stimulus), stimulus)
        case LendCall():
            lending.lend(turn, *_subject(turn, stimulus), stimulus)
        case DeflectCall():
            transfer.deflect(turn, *_subject(turn, stimulus), stimulus)
        case AssociateData():
            calldata.associate(turn, *_subject(turn, stimulus), stimulus)
        case SetMicrophoneMute():
            supervision.set_mute(turn, *_subject(turn, stimulus), stimulus)
        case SingleStepTransfer():
            transfer.single_step_transfer(turn, *_subject(turn, stimulus), stimulus)
        case TransferCall():
            transfer.transfer_call(turn, *_subject(turn, stimulus), stimulus)
        case LegOffered(replaces=str()):
            transfer.takes_over(turn, stimulus)
        case LegOffered(role=LegRole.STATION):
            _own_phone_dials(turn, stimulus)
        case LegOffered():
            _call_comes_in(turn, stimulus)
        case LegAlerting():
            _leg_alerting(turn, stimulus)
        case LegAnswered():
            _leg_answered(turn, stimulus)
        case LegReleased():
            _leg_released(turn, stimulus)
        case LegHeld():
            _leg_held(turn, stimulus)
        case LegRetrieved():
            _leg_retrieved(turn, stimulus)
        case TransferAsked():
            transfer.transfer_asked(turn, stimulus)
        case TransferOutcome():
            transfer.referral_ended(turn, stimulus)
        case (
            FarEndHold()
            | DigitDetected()
            | DigitsSent()
            | LegDiverted()
            | MediaConfirmed()
            | MediaInterrupted()
            | MediaResumed()
        ):
            _tell(turn, stimulus)
        case TimerFired():
            _timer_fired(turn, stimulus.timer)
        case EndEverything():
            _end_everything(turn, stimulus)
    pickup.follow(turn)
    supervision.leave(turn)
    consultation.take_back(turn)
    lending.come_home(turn)
    return turn.state, tuple(turn.all_effects())


# -- commands -----------------------------------------------------------------------------------


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
    own = turn.add_connection(call.id, leg, ConnectionState.INITIATED)
    turn.publish(told.ServiceInitiated(**turn.facts(call, own)))


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


# -- calls that come to us ------------------------------------------------------------------------


def _own_phone_dials(turn: Turn, offer: LegOffered) -> None:
    try:
        dialled = parse_dial_string(offer.called)
    except DialStringError as error:
        _refuse_dial(turn, offer, Cause.UNKNOWN_DEVICE, str(error))
        return
    call, caller = _offered(turn, offer, dialled, ConnectionState.INITIATED)
    turn.publish(told.ServiceInitiated(**turn.facts(call, caller)))
    originate(turn, call.id, caller)


def _refuse_dial(turn: Turn, offer: LegOffered, cause: Cause, text: str) -> None:
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
            _dial_extension(turn, call.id, connection.leg)
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
            case DigitDetected():
                turn.publish(
                    told.DigitDetected(**facts, digits=event.digit, duration_ms=event.duration_ms)
                )
            case DigitsSent():
                if event.digits:
                    turn.publish(told.DigitsGenerated(**facts, digits=event.digits))
                else:
                    turn.publish(told.DigitsFailed(**facts, text="the digits could not be sent"))
            case LegDiverted():
                turn.publish(told.Diverted(**facts, diverted_to=event.to))
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


# -- time, and the end ----------------------------------------------------------------------------


def _timer_fired(turn: Turn, timer: Timer) -> None:
    if timer not in turn.state.timers:
        return  # Cancelled while it was on its way.
    turn.state = replace(turn.state, timers=turn.state.timers - {timer})
    for call, connection in turn.live_connections(timer.leg):
        if timer.call not in (None, call.id):
            continue
        match timer.kind:
            case TimerKind.NO_ANSWER:
                turn.end(call.id, connection, ended_by_us(Cause.NO_ANSWER), failed=True)
            case TimerKind.FAILURE_TONE:
                outcome = call.outcome or ended_by_us(Cause.NORMAL)
                over = ended_by_us(outcome.cause, outcome.releasing_device)
                turn.end(call.id, connection, over, failed=False)
            case TimerKind.PARK:
                pickup.timed_out(turn, call, connection)
            case TimerKind.TRANSFER:
                transfer.timed_out(turn, call)
            case TimerKind.POST_DIAL:
                _dial_extension(turn, call.id, timer.leg)


def _dial_extension(turn: Turn, call_id: CallId, leg: LegId) -> None:
    call = turn.call(call_id)
    if call.post_dial is not None:
        turn.effects.append(do.SendDigits(leg, call.post_dial.digits))
        turn.put_call(replace(call, post_dial=None))


def _end_everything(turn: Turn, end: EndEverything) -> None:
    ending = ended_by_us(end.cause, text=end.text)
    for call in turn.state.calls:
        for connection in call.connections:
            now = turn.call(call.id).connection_by(connection.leg)
            if now is not None and now.is_live:
                turn.end(call.id, now, ending, failed=False)
    for leg in turn.state.legs:
        turn.release(leg.id, end.cause)
