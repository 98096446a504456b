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

What commands do is in `commanding.py`, what legs tell in `legevents.py`; time, and the end, here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from endpoint.callcontrol import (
    commanding,
    consultation,
    legevents,
    lending,
    pickup,
    recording,
    supervision,
    transfer,
)
from endpoint.callcontrol import effects as do
from endpoint.callcontrol.commands import Command
from endpoint.callcontrol.model import Interaction, Timer, TimerKind
from endpoint.callcontrol.turn import Turn, ended_by_us
from endpoint.legs.base import Cause, LegEvent, LegOffered, RecordingEvent


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
    """A phone of ours dials more than it may, or whom it may not."""

    offer: LegOffered
    """Its call, that comes about no further than to be told as failed."""
    text: str
    """Which limit it is, or which rule of the dial plan."""
    cause: Cause = Cause.DIAL_LIMIT
    """What it is told as."""


Stimulus = Command | LegEvent | RecordingEvent | DialRefused | TimerFired | EndEverything


def step(
    state: Interaction, stimulus: Stimulus, now: datetime
) -> tuple[Interaction, tuple[do.Effect, ...]]:
    """What becomes of the interaction, and what is to be done about it, in order.

    Raises: CommandRejected; then nothing has changed. Never for a leg event or a timer: one about a
    leg that is over, or that comes too late, has no effect.
    """
    turn = Turn(state, now, transfer.somebody_left)
    if isinstance(stimulus, Command):
        commanding.carry_out(turn, stimulus)
    elif isinstance(stimulus, LegEvent):
        legevents.take(turn, stimulus)
    elif isinstance(stimulus, RecordingEvent):
        recording.take(turn, stimulus)
    else:
        match stimulus:
            case DialRefused(offer, text, cause):
                legevents.refuse_dial(turn, offer, cause, text)
            case TimerFired():
                _timer_fired(turn, stimulus.timer)
            case EndEverything():
                _end_everything(turn, stimulus)
    pickup.follow(turn)
    supervision.leave(turn)
    consultation.take_back(turn)
    lending.come_home(turn)
    recording.follow(turn)
    return turn.state, tuple(turn.all_effects())


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
            case TimerKind.ANNOUNCEMENT:
                pass  # `recording.follow` sees that it runs no longer
            case TimerKind.POST_DIAL:
                legevents.dial_extension(turn, call.id, timer.leg)


def _end_everything(turn: Turn, end: EndEverything) -> None:
    ending = ended_by_us(end.cause, text=end.text)
    for call in turn.state.calls:
        for connection in call.connections:
            now = turn.call(call.id).connection_by(connection.leg)
            if now is not None and now.is_live:
                turn.end(call.id, now, ending, failed=False)
    for leg in turn.state.legs:
        turn.release(leg.id, end.cause)
