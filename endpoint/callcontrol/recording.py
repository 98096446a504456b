"""A call is recorded: by command or by rule, with pauses, until it is over.

A recording belongs to its call. It goes on while parties come, leave, hold and are replaced; what
somebody consults about is another call. Who is on it follows from the state (`recorded.py`).
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid5

from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import (
    PauseRecording,
    RecordingCommand,
    Rejection,
    ResumeRecording,
    StartRecording,
    StopRecording,
)
from endpoint.callcontrol.model import Call, Connection, Recording, TimerKind
from endpoint.callcontrol.refusals import check_allowed, refused
from endpoint.callcontrol.turn import Turn
from endpoint.legs.base import (
    Announcement,
    DeviceId,
    LegRole,
    RecordingBegan,
    RecordingEnded,
    RecordingEvent,
    RecordingId,
)

_NAMESPACE = UUID("5f0c1f0e-7a53-4f0e-9c58-2a4b8c1d9e60")


def carry_out(turn: Turn, command: RecordingCommand) -> None:
    """Begin, pause, resume or end it. Raises CommandRejected."""
    call, own = _subject(turn, command)
    recording = call.recording
    match command:
        case StartRecording():
            _begin(turn, call, by=command.device)
        case PauseRecording() if recording is not None:
            _put(turn, call, replace(recording, paused=True))
            turn.publish(told.RecordingPaused(**turn.facts(call, own), recording=recording.id))
        case ResumeRecording() if recording is not None:
            _put(turn, call, replace(recording, paused=False))
            turn.publish(told.RecordingResumed(**turn.facts(call, own), recording=recording.id))
        case StopRecording() if recording is not None:
            _put(turn, call, None)
            turn.publish(told.RecordingStopped(**turn.facts(call, own), recording=recording.id))


def follow(turn: Turn) -> None:
    """A call that is answered may be one that is recorded by rule; who is in it may hear so first.

    That is over when its deadline is gone, also with the leg that it was of.
    """
    for call in turn.state.calls:
        recording = call.recording
        if recording is not None and recording.announcement is not None:
            waits = any(
                timer.kind is TimerKind.ANNOUNCEMENT and timer.call == call.id
                for timer in turn.state.timers
            )
            if not waits:
                _put(turn, call, replace(recording, announcement=None))
        if call.is_established and not call.is_cleared and not call.recording_decided:
            turn.put_call(replace(call, recording_decided=True))
            devices = [each.device for each in call.connections if each.device is not None]
            rules = turn.state.settings.recording
            rule = rules.rule_for(call.id, str(call.direction), devices)
            if rule is not None and call.recording is None:
                _begin(turn, turn.call(call.id), rule=rule.name, announcement=rule.announcement)


def take(turn: Turn, event: RecordingEvent) -> None:
    """A file was begun, or ended by itself. What comes too late has no effect."""
    for call in turn.state.calls:
        recording = call.recording
        if recording is None or recording.id != event.recording or call.is_cleared:
            continue
        facts = turn.facts(call, _whose(call, recording))
        match event:
            case RecordingBegan():
                _put(turn, call, replace(recording, is_begun=True))
                turn.publish(
                    told.RecordingStarted(**facts, recording=recording.id, rule=recording.rule)
                )
            case RecordingEnded(text=text, again=again):
                _put(turn, call, None)
                turn.publish(told.RecordingFailed(**facts, recording=recording.id, text=text))
                if again:
                    _begin(turn, turn.call(call.id), recording.by, recording.rule)
                    begun = turn.call(call.id).recording
                    assert begun is not None
                    _put(turn, turn.call(call.id), replace(begun, paused=recording.paused))


def _begin(
    turn: Turn,
    call: Call,
    by: DeviceId | None = None,
    rule: str = "",
    announcement: Announcement | None = None,
) -> None:
    number = call.recordings_made + 1
    name = RecordingId(str(uuid5(_NAMESPACE, f"{call.id}/{number}")))
    recording = Recording(name, by, rule, announcement=announcement)
    turn.put_call(replace(call, recordings_made=number, recording=recording))
    if announcement is not None:
        leg = next(each.leg for each in call.connections if each.is_live)
        duration_s = announcement.duration_ms / 1000
        turn.start_timer(TimerKind.ANNOUNCEMENT, leg, duration_s, call.id)


def _put(turn: Turn, call: Call, recording: Recording | None) -> None:
    turn.put_call(replace(turn.call(call.id), recording=recording))


def _whose(call: Call, recording: Recording) -> Connection:
    """By whose connection it is told: who asked for it, else an agent in the call."""
    by = None if recording.by is None else call.connection_of(recording.by)
    stations = [each for each in call.connections if each.role is LegRole.STATION and each.is_live]
    return by or next(iter(stations), call.connections[0])


def _subject(turn: Turn, command: RecordingCommand) -> tuple[Call, Connection]:
    """The call, and whose it is: the device's, or by leave one of those whom it supervises.

    Raises: CommandRejected.
    """
    call = next((each for each in turn.state.calls if each.id == command.call), None)
    if call is None or call.is_cleared:
        raise refused(Rejection.UNKNOWN_CALL, command, f"there is no call {command.call}")
    own = call.connection_of(command.device)
    if own is None or not own.is_live:
        own = _supervised(turn, call, command)
    check_allowed(command, call, own)
    return call, own


def _supervised(turn: Turn, call: Call, command: RecordingCommand) -> Connection:
    may = turn.state.settings.permissions.may_supervise
    for each in call.connections:
        if each.is_party and each.device is not None and may(command.device, each.device):
            return each
    why = f"{command.device} neither talks in call {call.id} nor supervises anybody there"
    raise refused(Rejection.NOT_PERMITTED, command, why)
