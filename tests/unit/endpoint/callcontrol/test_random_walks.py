"""Any sequence of commands, leg events and deadlines keeps what must always be so (`walk.py`)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint.callcontrol import commands
from endpoint.callcontrol.machine import EndEverything, Stimulus, TimerFired
from endpoint.callcontrol.model import (
    CallId,
    ConnectionId,
    LegProgress,
    Participation,
    Timer,
    TimerKind,
)
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitDetected,
    DigitsSent,
    FarEndHold,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegDiverted,
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
from tests.unit.endpoint.callcontrol.walk import Walk

pytestmark = pytest.mark.unit

A, B = DeviceId("6001"), DeviceId("10086")
OTHER = DeviceId("6002")
DESTINATIONS = ("10086", "10086-W1", "10086-2", "10086--2", "6001")
OPENINGS: list[Stimulus] = [
    *(commands.MakeCall(A, each) for each in DESTINATIONS),
    *(
        LegOffered(LegId("in"), InteractionId("i"), A, DeviceId(each), LegRole.STATION)
        for each in DESTINATIONS
    ),
    LegOffered(LegId("in"), InteractionId("i"), B, A, LegRole.LINE),
]
COMMANDS: list[Stimulus] = (
    [
        command
        for device in (A, B, OTHER)
        for call in (None, CallId("i-1"), CallId("other"))
        for command in (
            commands.AnswerCall(device, call),
            commands.HoldCall(device, call),
            commands.RetrieveCall(device, call),
            commands.GenerateDigits(device, "1", call),
            commands.GenerateDigits(device, "x", call),
            commands.ClearConnection(device, call),
            *(commands.ClearConnection(device, call, ConnectionId(each)) for each in (1, 2, 3)),
            commands.SingleStepTransfer(device, "6002", call),
            commands.SingleStepTransfer(device, "x y", call),
            commands.TransferCall(device, CallId("other"), call or CallId("i-1")),
            commands.ConsultationCall(device, "6003", call),
            commands.ConsultationCall(device, "x y", call),
            commands.ClearCall(device, call),
            commands.SingleStepConference(device, "6004", call),
            commands.SingleStepConference(device, "6004", call, Participation.SILENT),
            commands.DeflectCall(device, "6005", call),
            commands.LendCall(device, "6007", call),
            commands.ReconnectCall(device, CallId("i-2"), call or CallId("i-1")),
            *(commands.ParkCall(device, DeviceId(at), call) for at in ("701", "6001")),
            commands.SetMicrophoneMute(device, True, call),
            commands.AssociateData(device, {"order": "1", "note": "x" * 4000}, call),
            commands.AssociateData(device, {"order": "", f"seen-by-{device}": "y" * 4000}, call),
            commands.AssociateData(device, {"no key": "1"}, call),
            commands.SetMicrophoneMute(device, False, call),
            commands.StartRecording(device, call),
            commands.PauseRecording(device, call),
            commands.ResumeRecording(device, call),
            commands.StopRecording(device, call),
        )
    ]
    + [commands.ConsultationCall(DeviceId("6003"), "6006", CallId(f"i-{each}")) for each in (1, 2)]
    + [
        command
        for supervisor in (DeviceId("7001"), DeviceId("7002"), OTHER)
        for beside in (A, B, DeviceId("6003"))
        for call in (CallId("i-1"), CallId("i-2"))
        for command in (
            commands.InterceptCall(supervisor, beside, call),
            *(commands.JoinCall(supervisor, beside, each, call) for each in Participation),
        )
    ]
    + [
        commands.DirectedPickupCall(device, beside, CallId(f"i-{call}"))
        for device in (DeviceId("7001"), OTHER, A)
        for beside in (A, B, OTHER, *map(DeviceId, ("6003", "6004", "701")))
        for call in (1, 2)
    ]
    + [
        kind(device, CallId(f"i-{other}"), CallId(f"i-{call}"))
        for device in (A, DeviceId("6003"))
        for kind in (
            commands.AlternateCall,
            commands.ReconnectCall,
            commands.ConferenceCall,
            commands.TransferCall,
        )
        for call, other in ((1, 2), (2, 1), (1, 3), (3, 1))
    ]
)
ENDS = [
    (Cause.NORMAL, Side.DEVICE),
    (Cause.BUSY, Side.DEVICE),
    (Cause.CANCELLED, Side.DEVICE),
    (Cause.UNREACHABLE, Side.NETWORK),
    (Cause.MEDIA_TIMEOUT, Side.ENDPOINT),
]


def stimuli(walk: Walk) -> dict[str, list[Stimulus]]:
    """What may happen next, by kind: any command, and whatever the open legs can tell."""
    open_legs = [leg for leg, truth in walk.legs.items() if not truth.over]
    placed = [leg for leg in open_legs if not walk.legs[leg].offered]
    kinds: dict[str, list[Stimulus]] = {
        "command": COMMANDS,
        "timer": [TimerFired(timer) for timer in sorted(walk.timers, key=repr)],
        "ring": [LegAlerting(leg, early) for leg in placed for early in (False, True)],
        # A placed leg may answer at any time; an offered one only when it was answered.
        "answer": [
            LegAnswered(leg, refers)
            for leg in open_legs
            for refers in (False, True)
            if leg in placed or walk.legs[leg].asked_to_answer
        ],
        "release": [LegReleased(leg, *end) for leg in open_legs for end in ENDS],
        "hold": [kind(leg) for leg in open_legs for kind in (LegHeld, LegRetrieved)],
        "told": [
            event
            for leg in open_legs
            for event in (
                MediaConfirmed(leg),
                LegDiverted(leg, DeviceId("6009")),
                MediaInterrupted(leg),
                MediaResumed(leg),
                FarEndHold(leg, held=True, accepted=False),
                DigitDetected(leg, "1", 100),
                DigitsSent(leg, "1"),
                TransferAsked(leg, OTHER),
                TransferAsked(leg, OTHER, replaces=LegId("none")),
                TransferOutcome(leg, 200, Cause.NORMAL),
                TransferOutcome(leg, 603, Cause.DECLINED),
            )
        ],
    }
    return {kind: choices for kind, choices in kinds.items() if choices}


def draw_stimulus(data: st.DataObject, walk: Walk) -> Stimulus:
    """Of any kind alike, though there are more commands than anything else."""
    kinds = stimuli(walk)
    return data.draw(st.sampled_from(kinds[data.draw(st.sampled_from(sorted(kinds)))]))


@given(st.data(), st.sampled_from(OPENINGS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_walk_keeps_what_must_always_be_so(data: st.DataObject, opening: Stimulus) -> None:
    """Routes between live legs only, no unexplained silence or music, one record a call."""
    walk = Walk()
    if walk.try_to(opening):
        for _ in range(data.draw(st.integers(0, 30))):
            walk.try_to(draw_stimulus(data, walk))
    walk.end()


CONSULTED: list[Stimulus] = [
    commands.MakeCall(A, "10086"),
    LegAnswered(LegId("i.1")),
    LegAnswered(LegId("i.2")),
    commands.ConsultationCall(A, "6003", CallId("i-1")),
    LegAlerting(LegId("i.3")),
    LegAnswered(LegId("i.3")),
    commands.ConferenceCall(A, CallId("i-2"), CallId("i-1")),
    commands.ConsultationCall(A, "6003", CallId("i-1")),
    LegAnswered(LegId("i.4")),
    commands.JoinCall(DeviceId("7001"), A, Participation.WHISPER, CallId("i-1")),
    LegAnswered(LegId("i.5")),
]


PICKED_UP: list[Stimulus] = [
    LegOffered(LegId("in"), InteractionId("i"), B, A, LegRole.LINE),
    LegAlerting(LegId("i.1")),
    commands.DirectedPickupCall(DeviceId("7001"), A, CallId("i-1")),
    commands.DirectedPickupCall(OTHER, A, CallId("i-1")),
    LegAnswered(LegId("i.2")),
    LegAnswered(LegId("in")),
]


PARKED: list[Stimulus] = [
    commands.MakeCall(A, "10086"),
    LegAnswered(LegId("i.1")),
    LegAnswered(LegId("i.2")),
    commands.ParkCall(A, DeviceId("701"), CallId("i-1")),
    TimerFired(Timer(TimerKind.PARK, LegId("i-1.parked2"))),
    LegAlerting(LegId("i.3")),
    commands.DirectedPickupCall(OTHER, DeviceId("701"), CallId("i-1")),
    LegAnswered(LegId("i.4")),
]


LENT: list[Stimulus] = [
    commands.MakeCall(A, "10086"),
    LegAnswered(LegId("i.1")),
    LegAnswered(LegId("i.2")),
    commands.LendCall(A, "6003", CallId("i-1")),
    LegAlerting(LegId("i.3")),
    LegAnswered(LegId("i.3")),
    commands.AssociateData(DeviceId("6003"), {"order": "7"}, CallId("i-2")),
    commands.JoinCall(DeviceId("7001"), A, Participation.WHISPER, CallId("i-1")),
    LegAnswered(LegId("i.4")),
]


def test_who_is_lent_is_home_when_its_call_is_over_though_it_was_to_be_transferred() -> None:
    """A walk has found it: B, a device that may command, asks for it while C does not talk yet."""
    walk = Walk()
    asked = commands.SingleStepTransfer(B, "6001", CallId("i-1"))
    for stimulus in (*LENT[:4], asked, LegReleased(LegId("i.3"), Cause.NORMAL, Side.DEVICE)):
        walk.try_to(stimulus)
    assert not any(call.away for call in walk.state.calls if not call.is_cleared)
    walk.end()


def test_who_has_left_a_call_comes_back_by_a_conference_of_another() -> None:
    """The record keeps both times that A was in it."""
    walk = Walk()
    for stimulus in (
        *CONSULTED[:9],
        commands.ClearConnection(A, CallId("i-1")),
        LegHeld(LegId("i.3")),
        commands.ConferenceCall(DeviceId("6003"), CallId("i-3"), CallId("i-1")),
    ):
        walk.take(stimulus)
    first = walk.state.calls[0]
    assert [each.is_live for each in first.connections if each.device == A] == [False, True]
    walk.end()


@given(st.data(), st.integers(4, len(CONSULTED)))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_walk_from_a_consultation_or_a_conference_on(data: st.DataObject, begun: int) -> None:
    """Nobody is left on hold for a call that is over, or hears two calls at once."""
    walk = Walk()
    for stimulus in CONSULTED[:begun]:
        walk.take(stimulus)
    for _ in range(data.draw(st.integers(0, 30))):
        walk.try_to(draw_stimulus(data, walk))
    walk.end()


@given(st.data(), st.sampled_from(OPENINGS))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_everything_can_be_ended_at_any_point(data: st.DataObject, opening: Stimulus) -> None:
    """After EndEverything no call lives, every leg is let go, and every record has the cause."""
    walk = Walk()
    if not walk.try_to(opening):
        return
    for _ in range(data.draw(st.integers(0, 10))):
        walk.try_to(draw_stimulus(data, walk))
    over = len(walk.records)
    walk.take(EndEverything(Cause.MEDIA_LOST, "gone"))
    assert all(call.is_cleared for call in walk.state.calls)
    assert all(leg.progress is LegProgress.RELEASING for leg in walk.state.legs)
    assert not walk.timers
    for record in walk.records[over:]:
        assert record.ending.cause is Cause.MEDIA_LOST or record.connections[-1].failed
    walk.end()


@pytest.mark.parametrize(
    "walks", [300, pytest.param(10_000, marks=pytest.mark.soak)], ids=["300 walks", "10,000 walks"]
)
def test_walks_of_forty_steps(walks: int) -> None:
    """Each from another seed; the seed of one that breaks is told."""
    for seed in range(walks):
        draws, walk = random.Random(seed), Walk()
        try:
            begun = draws.choice((CONSULTED, CONSULTED, PICKED_UP, PARKED, LENT))
            for stimulus in begun[: draws.randint(1, len(begun))]:
                walk.take(stimulus)
            for _ in range(40):
                kinds = stimuli(walk)
                walk.try_to(draws.choice(kinds[draws.choice(sorted(kinds))]))
            walk.end()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
