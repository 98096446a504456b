"""The machine, step by step: order of effects, the table, what comes too late, the record.

How whole calls go is told in `tests/scenarios`; that any walk keeps the invariants, in
`test_random_walks.py`. Every step here is checked by the walk, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from endpoint.callcontrol import commands
from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.machine import EndEverything, Stimulus, TimerFired, step
from endpoint.callcontrol.model import (
    CallDirection,
    CallId,
    ConnectionState,
    Interaction,
    Timer,
    TimerKind,
)
from endpoint.callcontrol.transitions import ALLOWED, allowed_for
from endpoint.errors import CommandRejected
from endpoint.legs.base import (
    WITHHELD,
    Cause,
    DeviceId,
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
    PlaceLeg,
    Side,
)
from tests.unit.endpoint.callcontrol.build import NOW, call, interaction, leg
from tests.unit.endpoint.callcontrol.walk import Walk

pytestmark = pytest.mark.unit

A, B = DeviceId("6001"), DeviceId("10086")
STATION, LINE, OFFERED = LegId("i.1"), LegId("i.2"), LegId("in")


def names(effects: tuple[do.Effect, ...]) -> list[str]:
    """What was done, short: events by their own name."""
    return [
        type(each.event).__name__ if isinstance(each, do.Publish) else type(each).__name__.lower()
        for each in effects
    ]


def walked(*stimuli: Stimulus) -> Walk:
    walk = Walk()
    for each in stimuli:
        walk.take(each)
    return walk


def dialling() -> Walk:
    return walked(commands.MakeCall(A, "10086", "Ann"))


def placed() -> Walk:
    return walked(commands.MakeCall(A, "10086", "Ann"), LegAnswered(STATION))


def ringing() -> Walk:
    walk = placed()
    walk.take(LegAlerting(LINE))
    return walk


def talking() -> Walk:
    walk = ringing()
    walk.take(LegAnswered(LINE))
    return walk


def held() -> Walk:
    walk = talking()
    walk.take(commands.HoldCall(A))
    return walk


def failed() -> Walk:
    walk = placed()
    walk.take(LegReleased(LINE, Cause.BUSY, Side.DEVICE, 486))
    return walk


def coming_in() -> Walk:
    return walked(
        LegOffered(OFFERED, InteractionId("i"), B, A, LegRole.LINE, "Bob"), LegAlerting(STATION)
    )


STAGES = [dialling, placed, ringing, talking, held, failed, coming_in]


# -- the order of effects --------------------------------------------------------------------------


def test_making_a_call_picks_the_station_up_first() -> None:
    walk = Walk()
    place, timer, initiated = walk.take(commands.MakeCall(A, "10086", "Ann"))
    assert place == do.Place(
        PlaceLeg(STATION, InteractionId("i"), A, LegRole.STATION, calling=B, auto_answer=True)
    )
    assert timer == do.StartTimer(Timer(TimerKind.NO_ANSWER, STATION), 60)
    assert isinstance(initiated, do.Publish)
    assert names((initiated,)) == ["ServiceInitiated"]


def test_the_far_party_is_called_when_the_station_is_up() -> None:
    walk = dialling()
    effects = walk.take(LegAnswered(STATION))
    assert names(effects) == ["canceltimer", "Originated", "place", "starttimer"]
    assert effects[2] == do.Place(
        PlaceLeg(LINE, InteractionId("i"), B, LegRole.LINE, calling=A, calling_name="Ann")
    )


def test_the_line_is_told_which_number_to_show_and_the_own_station_is_not() -> None:
    walk = Walk()
    wanted = commands.MakeCall(A, "10086", calling_number="+49301", withhold=True)
    (station, *_) = walk.take(wanted)
    assert station == do.Place(
        PlaceLeg(STATION, InteractionId("i"), A, LegRole.STATION, calling=B, auto_answer=True)
    )
    line = walk.take(LegAnswered(STATION))[2]
    assert isinstance(line, do.Place)
    assert (line.request.calling_number, line.request.withheld) == ("+49301", True)


def test_a_phone_of_ours_that_withholds_its_number_does_so_outside() -> None:
    walk = Walk()
    offer = LegOffered(OFFERED, InteractionId("i"), A, B, LegRole.STATION, withheld=True)
    places = [each for each in walk.take(offer) if isinstance(each, do.Place)]
    assert [place.request.withheld for place in places] == [True]


def test_who_was_called_first_and_who_is_withheld_are_told_where_it_rings() -> None:
    walk = Walk()
    offer = LegOffered(
        OFFERED,
        InteractionId("i"),
        WITHHELD,
        A,
        LegRole.LINE,
        withheld=True,
        first_called=DeviceId("6000"),
        last_redirection=DeviceId("6009"),
    )
    (place, _) = walk.take(offer)
    assert isinstance(place, do.Place)
    assert (place.request.calling, place.request.withheld) == (WITHHELD, True)
    published = [each for each in walk.take(LegAlerting(STATION)) if isinstance(each, do.Publish)]
    (delivered,) = (each.event for each in published)
    assert isinstance(delivered, told.Delivered)
    assert (delivered.calling, delivered.withheld) == (WITHHELD, True)
    assert (delivered.first_called, delivered.last_redirection) == ("6000", "6009")


def test_routes_stand_before_events() -> None:
    assert names(ringing().take(LegAnswered(LINE))) == ["setroutes", "canceltimer", "Established"]


def test_hold_switches_routes_then_asks_the_far_end_then_tells() -> None:
    effects = talking().take(commands.HoldCall(A))
    assert names(effects) == ["setroutes", "hold", "Held"]
    assert effects[1] == do.Hold(LINE)


def test_retrieve_switches_routes_then_asks_the_far_end_then_tells() -> None:
    effects = held().take(commands.RetrieveCall(A))
    assert names(effects) == ["setroutes", "resume", "Retrieved"]
    assert effects[1] == do.Resume(LINE)


def test_a_phones_own_hold_does_the_same() -> None:
    assert talking().take(LegHeld(STATION)) == talking().take(commands.HoldCall(A))
    walk = talking()
    walk.take(LegHeld(STATION))
    assert names(walk.take(LegRetrieved(STATION))) == ["setroutes", "resume", "Retrieved"]


def test_a_far_partys_hold_mirrors_ours() -> None:
    """Our agent hears music and its station is told so."""
    effects = talking().take(LegHeld(LINE))
    assert names(effects) == ["setroutes", "hold", "Held"]
    assert effects[1] == do.Hold(STATION)


def test_clearing_cuts_the_routes_before_the_legs_and_writes_before_the_last_event() -> None:
    assert names(talking().take(commands.ClearConnection(A))) == [
        "setroutes",
        "release",
        "ConnectionCleared",
        "release",
        "ConnectionCleared",
        "writerecord",
        "CallCleared",
    ]


def test_a_call_from_outside_rings_our_station() -> None:
    walk = Walk()
    effects = walk.take(LegOffered(OFFERED, InteractionId("i"), B, A, LegRole.LINE, "Bob"))
    assert names(effects) == ["place", "starttimer"]
    assert effects[0] == do.Place(
        PlaceLeg(STATION, InteractionId("i"), A, LegRole.STATION, calling=B, calling_name="Bob")
    )
    assert names(walk.take(LegAlerting(STATION))) == ["alert", "Delivered"]
    assert names(walk.take(LegAlerting(STATION))) == []
    assert names(walk.take(LegAnswered(STATION))) == ["canceltimer", "answer"]
    assert names(walk.take(LegAnswered(OFFERED))) == ["setroutes", "Established"]


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("device", [A, B])
@pytest.mark.parametrize(
    "command",
    [
        commands.AnswerCall,
        commands.HoldCall,
        commands.RetrieveCall,
        lambda device, call: commands.GenerateDigits(device, "1", call),
        commands.ClearConnection,
    ],
)
def test_the_table_decides(
    stage: Callable[[], Walk],
    device: DeviceId,
    command: Callable[[DeviceId, CallId], commands.CallCommand],
) -> None:
    """In every stage of a call: what the buttons offer is accepted, everything else refused."""
    walk = stage()
    (only,) = walk.state.calls
    connection = only.connection_of(device)
    asked = command(device, only.id)
    offered = connection is not None and asked.name in allowed_for(only, connection)
    assert walk.try_to(asked) == offered


def test_every_row_of_the_table_is_met_but_for_queues() -> None:
    """The stages above see every state; a call waits in no queue yet."""
    seen = {
        connection.state
        for stage in STAGES
        for each in stage().state.calls
        for connection in each.connections
    }
    assert seen == set(ALLOWED) - {ConnectionState.QUEUED}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (commands.HoldCall(A, CallId("other")), "unknown_call"),
        (commands.HoldCall(DeviceId("6002")), "not_in_call"),
        (commands.HoldCall(A), "not_established"),
        (commands.RetrieveCall(A), "invalid_state"),
        (commands.MakeCall(A, "10010"), "device_busy"),
    ],
)
def test_refusals_have_a_stable_reason(command: commands.Command, reason: str) -> None:
    with pytest.raises(CommandRejected) as caught:
        step(ringing().state, command, NOW)
    assert caught.value.reason == reason


# -- what comes too late ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        LegAlerting(LINE),
        LegAnswered(LINE),
        LegHeld(LINE),
        LegRetrieved(LINE),
        MediaConfirmed(LINE),
        FarEndHold(LINE, held=True, accepted=True),
        TimerFired(Timer(TimerKind.NO_ANSWER, LINE)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_leg_that_was_let_go_has_nothing_to_say(late: Stimulus) -> None:
    """As a 200 that crosses our CANCEL."""
    walk = ringing()
    walk.take(commands.ClearConnection(A))
    before = walk.state
    assert walk.take(late) == ()
    assert walk.state == before


def test_a_leg_that_nobody_knows_changes_nothing() -> None:
    state = talking().state
    unknown = LegReleased(LegId("stranger"), Cause.NORMAL, Side.DEVICE)
    assert step(state, unknown, NOW) == (state, ())


def test_the_end_of_a_leg_that_was_let_go_changes_no_cause() -> None:
    """The far end's own BYE crossed ours: what was told stays true."""
    walk = talking()
    walk.take(commands.ClearConnection(A))
    assert walk.take(LegReleased(LINE, Cause.BUSY, Side.DEVICE, 486)) == ()
    assert walk.take(LegReleased(STATION, Cause.NORMAL, Side.DEVICE)) == ()
    assert walk.state.is_finished


def test_answering_stops_the_no_answer_timer() -> None:
    assert talking().timers == {}


def test_a_deadline_that_was_cancelled_on_its_way_is_ignored() -> None:
    """It fired just before the answer was taken: the call goes on."""
    state = talking().state
    assert step(state, TimerFired(Timer(TimerKind.NO_ANSWER, LINE)), NOW) == (state, ())


def test_a_leg_that_another_call_needs_is_kept() -> None:
    """Who consults has one leg in two calls: the end of one call does not end it."""
    state = interaction(
        call(1, d6001=ConnectionState.HOLD, d10086=ConnectionState.CONNECTED),
        call(2, d6001=ConnectionState.CONNECTED, d10010=ConnectionState.CONNECTED),
        legs=(leg("6001"), leg("10086"), leg("10010")),
    )
    _, effects = step(state, LegReleased(LegId("10010"), Cause.NORMAL, Side.DEVICE), NOW)
    assert names(effects) == [
        "setroutes",
        "ConnectionCleared",
        "ConnectionCleared",
        "writerecord",
        "CallCleared",
    ]


def test_asking_twice_answers_once() -> None:
    walk = coming_in()
    assert names(walk.take(commands.AnswerCall(A))) == ["answer"]
    assert names(walk.take(commands.AnswerCall(A))) == []


def test_a_station_that_was_asked_and_does_not_answer_is_given_up() -> None:
    walk = coming_in()
    walk.take(commands.AnswerCall(A))
    assert names(walk.fire(TimerKind.NO_ANSWER))[:2] == ["release", "Failed"]


# -- causes and the record -------------------------------------------------------------------------


def test_what_was_said_is_kept_and_what_was_not_is_filled() -> None:
    """Q.850 as the far end said it; by the table where it said none. No status is invented."""
    walk = placed()
    walk.take(LegReleased(LINE, Cause.BUSY, Side.DEVICE, 600, 34, "Busy Everywhere"))
    (told_,) = [each for each in walk.events if isinstance(each, told.Failed)]
    assert (told_.sip_status, told_.q850, told_.text) == (600, 34, "Busy Everywhere")
    walk = ringing()
    walk.fire(TimerKind.NO_ANSWER)
    (told_,) = [each for each in walk.events if isinstance(each, told.Failed)]
    assert (told_.sip_status, told_.q850) == (None, 19)


def test_lost_audio_and_audio_that_is_back_are_told_and_change_nothing() -> None:
    walk = talking()
    before = walk.state
    walk.take(MediaInterrupted(LINE))
    walk.take(MediaResumed(LINE))
    assert walk.state == before
    assert [(type(event), event.device) for event in walk.events[-2:]] == [
        (told.MediaInterrupted, B),
        (told.MediaResumed, B),
    ]


def test_a_call_that_is_forwarded_goes_on_as_the_connection_that_it_was() -> None:
    walk = ringing()
    before = [(each.leg, each.state) for each in walk.state.calls[0].connections]
    walk.take(LegDiverted(LINE, DeviceId("6003")))
    assert [(each.leg, each.state) for each in walk.state.calls[0].connections] == before
    (event,) = (event for event in walk.events if isinstance(event, told.Diverted))
    assert (event.device, event.diverted_to) == (B, "6003")


def test_a_call_that_is_forwarded_is_of_whom_it_comes_to() -> None:
    walk = ringing()
    walk.take(LegDiverted(LINE, DeviceId("6003")))
    walk.take(LegAnswered(LINE))
    assert walk.state.calls[0].connection_of(B) is None
    (established,) = (event for event in walk.events if isinstance(event, told.Established))
    assert established.device == "6003"
    walk.take(commands.ClearConnection(DeviceId("6003")))
    (record,) = walk.records
    assert record.called == B
    assert [each.device for each in record.connections] == [A, "6003"]
    walk.end()


def test_the_record_of_a_call() -> None:
    """Times in order, everybody's ending, the outcome of the first."""
    walk = talking()
    walk.take(MediaConfirmed(LINE))
    walk.take(LegReleased(LINE, Cause.NORMAL, Side.DEVICE, q850=16))
    (record,) = walk.records
    assert (record.interaction, record.call) == ("i", "i-1")
    assert (record.direction, record.calling, record.called) == (CallDirection.OUTBOUND, A, B)
    assert record.started_at == NOW + timedelta(seconds=1)
    assert record.delivered_at == NOW + timedelta(seconds=3)
    assert record.established_at == NOW + timedelta(seconds=4)
    assert record.ended_at == NOW + timedelta(seconds=6)
    assert (record.ending.cause, record.ending.released_by, record.ending.releasing_device) == (
        Cause.NORMAL,
        Side.DEVICE,
        B,
    )
    assert [
        (each.device, each.failed, each.ending.released_by, each.media_confirmed)
        for each in record.connections
    ] == [(A, False, Side.ENDPOINT, False), (B, False, Side.DEVICE, True)]
    walk.end()


def test_the_record_of_a_call_that_failed() -> None:
    """The caller's own end comes later and does not replace the outcome."""
    walk = failed()
    walk.fire(TimerKind.FAILURE_TONE)
    (record,) = walk.records
    assert record.established_at is None
    assert record.ending.cause is Cause.BUSY
    assert [each.failed for each in record.connections] == [False, True]
    walk.end()


@pytest.mark.parametrize("stage", STAGES, ids=lambda each: each.__name__)
def test_every_stage_can_be_ended(stage: Callable[[], Walk]) -> None:
    walk = stage()
    walk.take(EndEverything(Cause.MEDIA_LOST, "gone"))
    assert len(walk.records) == 1
    walk.end()


def test_ending_nothing_is_nothing() -> None:
    state = Interaction(InteractionId("i"))
    assert step(state, EndEverything(Cause.NORMAL), NOW) == (state, ())


# -- digits ----------------------------------------------------------------------------------------


def test_digits_are_told_when_they_are_out() -> None:
    """And when they could not be sent: nothing was generated then."""
    walk = talking()
    assert walk.take(commands.GenerateDigits(A, "12")) == (do.SendDigits(LINE, "12"),)
    walk.take(DigitsSent(LINE, "12"))
    walk.take(DigitsSent(LINE, ""))
    (sent,) = [each for each in walk.events if isinstance(each, told.DigitsGenerated)]
    assert (sent.device, sent.digits) == (B, "12")
    (failed_,) = [each for each in walk.events if isinstance(each, told.DigitsFailed)]
    assert (failed_.device, failed_.text) == (B, "the digits could not be sent")


def test_the_pause_counts_from_the_answer_and_the_digits_go_once() -> None:
    walk = walked(commands.MakeCall(A, "10086-Ww42"), LegAnswered(STATION), LegAlerting(LINE))
    walk.take(LegAnswered(LINE))
    assert walk.timers == {Timer(TimerKind.POST_DIAL, LINE): 1.5}
    assert walk.fire(TimerKind.POST_DIAL) == (do.SendDigits(LINE, "42"),)
    assert walk.state.calls[0].post_dial is None


def test_without_a_pause_the_digits_go_with_the_answer() -> None:
    walk = walked(commands.MakeCall(A, "10086-42"), LegAnswered(STATION))
    assert names(walk.take(LegAnswered(LINE))) == [
        "setroutes",
        "canceltimer",
        "senddigits",
        "Established",
    ]


@pytest.mark.parametrize("role", LegRole)
def test_a_caller_may_ask_that_the_called_picks_up_by_itself(role: LegRole) -> None:
    calling, called = (A, B) if role is LegRole.STATION else (B, A)
    walk = Walk()
    effects = walk.take(
        LegOffered(OFFERED, InteractionId("i"), calling, called, role, answer_after_s=3.0)
    )
    (place,) = [effect.request for effect in effects if isinstance(effect, do.Place)]
    assert (place.device, place.auto_answer, place.answer_after_s) == (called, True, 3.0)
