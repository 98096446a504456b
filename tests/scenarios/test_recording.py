"""Who is on the recording of a call, as parties come, leave, hold and are replaced."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.model import CallId, CallSettings, Participation
from endpoint.callcontrol.permissions import Rules as Permissions
from endpoint.callcontrol.permissions import Supervision
from endpoint.callcontrol.recordingrules import Rule, Rules, share_of
from endpoint.errors import CommandRejected
from endpoint.legs.base import Announcement, Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeRecording
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, S = "6001", "10086", "6002", "7001"
OURS = {A: A, C: C, S: S}
"""What the extensions of ours are called by; B is a customer outside."""


def on(recording: FakeRecording) -> str:
    """Who is left, and who right."""
    return f"{recording.left or '–'} | {recording.right or '–'}"


def recordings(desk: Desk) -> list[FakeRecording]:
    return list(desk.exchange.recordings.values())


async def recorded(desk: Desk) -> tuple[CallId, FakeRecording]:
    """A and B talk, and A has it recorded."""
    await desk.talking(A, B)
    await desk.controller.submit(do.StartRecording(DeviceId(A)))
    await desk.told(told.RecordingStarted, A)
    return desk.call.id, recordings(desk)[-1]


async def test_the_customer_is_on_the_left_and_the_agent_on_the_right() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        assert on(recording) == "10086 | 6001"
        await desk.controller.submit(do.StopRecording(DeviceId(A)))
        stopped = await desk.told(told.RecordingStopped, A)
        assert recording.is_over
        assert stopped.recording == recording.request.recording
        await desk.clear(A)
        await desk.told(told.CallCleared)
        assert [each for each in desk.events if isinstance(each, told.RecordingStopped)] == [
            stopped
        ]


async def test_so_it_is_where_the_customer_calls() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, station = await desk.coming_in(B, A)
        station.answer()
        await desk.told(told.Established)
        await desk.controller.submit(do.StartRecording(DeviceId(A)))
        await desk.told(told.RecordingStarted)
        assert on(recordings(desk)[0]) == "10086 | 6001"
        await desk.clear(A)


async def test_of_two_agents_the_one_who_is_called_is_on_the_left() -> None:
    async with open_desk(aliases=OURS) as desk:
        await desk.talking(A, C)
        await desk.controller.submit(do.StartRecording(DeviceId(C)))
        await desk.told(told.RecordingStarted, C)
        assert on(recordings(desk)[0]) == "6002 | 6001"
        await desk.clear(A)


async def test_who_joins_two_agents_is_on_the_right() -> None:
    async with open_desk(aliases=OURS) as desk:
        await desk.talking(A, C)
        await desk.controller.submit(do.StartRecording(DeviceId(A)))
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), S))
        (await desk.exchange.placed(S)).answer()
        await desk.told(told.Joined, S)
        assert on(recordings(desk)[0]) == "6002 | 6001 7001"
        await desk.controller.submit(do.ClearCall(DeviceId(A)))


async def test_a_ring_back_of_the_far_end_s_own_is_nobody_s_voice() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.transfer(A, C)
        (await desk.exchange.placed(C)).ring(early_media=True)
        await desk.told(told.Delivered, C)
        assert desk.exchange.heard()[B] == {C}
        assert on(recording) == "– | –"
        await desk.clear(C)
        await desk.clear(A)


async def test_what_a_supervisor_alone_hears_is_not_on_it() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A)))
        await desk.told(told.Joined, S)
        await desk.hold(A)
        await desk.told(told.Held)
        assert desk.exchange.heard()[S] == {B}
        assert on(recording) == "– | –"
        await desk.clear(A)


async def test_the_end_of_the_call_is_the_end_of_its_recording() -> None:
    """It is told before the call's last event."""
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.clear(A)
        await desk.told(told.CallCleared)
        assert recording.is_over
        assert [type(each).__name__ for each in desk.events[-2:]] == [
            "RecordingStopped",
            "CallCleared",
        ]


async def test_a_pause_is_silence_and_told() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.controller.submit(do.PauseRecording(DeviceId(A)))
        await desk.told(told.RecordingPaused, A)
        assert (on(recording), recording.paused) == ("– | –", True)
        with pytest.raises(CommandRejected, match="allowed now"):
            await desk.controller.submit(do.PauseRecording(DeviceId(A)))
        await desk.controller.submit(do.ResumeRecording(DeviceId(A)))
        await desk.told(told.RecordingResumed, A)
        assert (on(recording), recording.paused) == ("10086 | 6001", False)
        await desk.clear(A)


async def test_who_waits_with_music_is_not_on_it_and_nor_is_the_music() -> None:
    async with open_desk(aliases=OURS) as desk:
        call, recording = await recorded(desk)
        await desk.hold(A)
        await desk.told(told.Held)
        assert on(recording) == "– | –"
        await desk.retrieve(A)
        await desk.told(told.Retrieved)
        assert on(recording) == "10086 | 6001"
        await desk.controller.submit(do.SetMicrophoneMute(DeviceId(A), True, call))
        await desk.told(told.MicrophoneMute)
        assert on(recording) == "10086 | –"
        await desk.clear(A)


async def test_what_is_consulted_about_is_another_call_and_a_conference_is_this_one() -> None:
    async with open_desk(aliases=OURS) as desk:
        call, recording = await recorded(desk)
        await desk.consult(A, C)
        far = await desk.exchange.placed(C)
        far.ring()
        far.answer()
        await desk.told(told.Established, C)
        assert on(recording) == "– | –"
        assert len(recordings(desk)) == 1
        await desk.conference(A)
        await desk.told(told.Conferenced)
        assert on(recording) == "10086 | 6001 6002"
        await desk.clear(C, call)
        await desk.told(told.ConnectionCleared, C)
        assert on(recording) == "10086 | 6001"
        await desk.clear(A)


async def test_it_goes_on_where_the_agent_is_replaced() -> None:
    """By a transfer, and by a supervisor who takes the call."""
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.transfer(A, C)
        far = await desk.exchange.placed(C)
        far.ring()
        await desk.told(told.Delivered, C)
        assert on(recording) == "– | –"  # both hear it ring
        far.answer()
        await desk.told(told.Transferred)
        assert on(recording) == "10086 | 6002"
        await desk.controller.submit(do.InterceptCall(DeviceId(S), DeviceId(C)))
        await desk.told(told.Transferred)
        await desk.let_pass(0.1)
        assert on(recording) == "10086 | 7001"
        assert not recording.is_over
        await desk.clear(S)


async def test_it_goes_on_when_a_parked_call_is_picked_up() -> None:
    async with open_desk(aliases=OURS) as desk:
        call, recording = await recorded(desk)
        await desk.controller.submit(do.ParkCall(DeviceId(A), DeviceId("701")))
        await desk.told(told.Queued)
        assert on(recording) == "– | –"
        await desk.controller.submit(do.DirectedPickupCall(DeviceId(C), DeviceId("701"), call))
        await desk.told(told.Established, C)
        assert on(recording) == "10086 | 6002"
        await desk.clear(C)


async def test_a_supervisor_is_on_it_as_a_party_alone() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        for how, expected in (
            (Participation.SILENT, "10086 | 6001"),
            (Participation.WHISPER, "10086 | 6001"),
            (Participation.ACTIVE, "10086 | 6001 7001"),
        ):
            await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A), how))
            await desk.told(told.Joined, S)
            assert on(recording) == expected
        await desk.clear(A)
        await desk.clear(S)


async def test_who_supervises_may_record_and_nobody_else_who_is_not_there() -> None:
    permissions = Permissions((Supervision(S, ("60*",)),))
    async with open_desk(aliases=OURS, permissions=permissions) as desk:
        await desk.talking(A, B)
        call = desk.call.id
        with pytest.raises(CommandRejected, match="nor supervises") as refusal:
            await desk.controller.submit(do.StartRecording(DeviceId(C), call))
        assert refusal.value.reason == "not_permitted"
        await desk.controller.submit(do.StartRecording(DeviceId(S), call))
        started = await desk.told(told.RecordingStarted)
        assert (started.device, started.rule) == (A, "")
        assert recordings(desk)[0].request.by == S
        await desk.controller.submit(do.PauseRecording(DeviceId(S), call))
        await desk.told(told.RecordingPaused)
        await desk.clear(A)


async def test_a_recording_that_can_not_begin_disturbs_nobody() -> None:
    async with open_desk(aliases=OURS) as desk:
        desk.exchange.refuses_recordings = "the disk is full"
        await desk.talking(A, B)
        await desk.controller.submit(do.StartRecording(DeviceId(A)))
        failed = await desk.told(told.RecordingFailed)
        assert failed.text == "the disk is full"
        assert desk.exchange.heard()[B] == {A}
        desk.exchange.refuses_recordings = ""
        await desk.controller.submit(do.StartRecording(DeviceId(A)))
        started = await desk.told(told.RecordingStarted)
        assert started.recording != failed.recording
        await desk.clear(A)


async def test_one_that_ends_by_itself_is_told_and_the_next_may_begin() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        recording.fail("the disk is full")
        await desk.told(told.RecordingFailed)
        await desk.controller.submit(do.StartRecording(DeviceId(A)))
        await desk.told(told.RecordingStarted)
        assert on(recordings(desk)[-1]) == "10086 | 6001"
        await desk.clear(A)


async def test_where_the_process_that_writes_dies_another_file_goes_on() -> None:
    """Also in a pause, which it keeps."""
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.controller.submit(do.PauseRecording(DeviceId(A)))
        recording.fail("it was killed", again=True)
        failed = await desk.told(told.RecordingFailed)
        started = await desk.told(told.RecordingStarted)
        assert failed.recording == recording.request.recording
        second = recordings(desk)[-1]
        assert second.request.recording == started.recording
        assert (on(second), second.paused) == ("– | –", True)
        await desk.controller.submit(do.ResumeRecording(DeviceId(A)))
        await desk.told(told.RecordingResumed)
        assert on(second) == "10086 | 6001"
        await desk.clear(A)
        await desk.told(told.CallCleared)
        assert second.is_over


async def test_what_fails_when_it_is_over_is_told_to_nobody() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        await desk.controller.submit(do.StopRecording(DeviceId(A)))
        recording.fail("too late", again=True)
        await desk.clear(A)
        await desk.told(told.CallCleared)
        assert not any(isinstance(each, told.RecordingFailed) for each in desk.events)


def settings_of(*rules: Rule) -> ControllerSettings:
    return ControllerSettings(calls=CallSettings(recording=Rules(rules)))


async def test_by_rule_a_call_is_recorded_from_its_answer() -> None:
    settings = settings_of(Rule("sales", ("60*",), "outbound"))
    async with open_desk(settings, aliases=OURS) as desk:
        far = await desk.ringing(A, B)
        assert recordings(desk) == []
        far.answer()
        started = await desk.told(told.RecordingStarted)
        assert (started.device, started.rule) == (A, "sales")
        assert on(recordings(desk)[0]) == "10086 | 6001"
        await desk.controller.submit(do.StopRecording(DeviceId(A)))
        await desk.told(told.RecordingStopped)
        # It was decided; nobody records what was stopped by hand.
        await desk.hold(A)
        await desk.retrieve(A)
        await desk.told(told.Retrieved)
        assert len(recordings(desk)) == 1
        await desk.clear(A)


SOUND = Announcement("recorded.wav", duration_ms=4000)
ANNOUNCED = settings_of(Rule("sales", ("60*",), announcement=SOUND))


async def test_all_hear_that_they_will_be_recorded_and_talk_when_it_is_over() -> None:
    async with open_desk(ANNOUNCED, aliases=OURS) as desk:
        await desk.talking(A, B)
        assert desk.exchange.heard() == {A: {SOUND.path}, B: {SOUND.path}}
        assert recordings(desk) == []
        answered = asyncio.get_running_loop().time()
        await desk.told(told.RecordingStarted)
        assert asyncio.get_running_loop().time() - answered == 4.0
        assert desk.exchange.heard() == {A: {B}, B: {A}}
        assert on(recordings(desk)[0]) == "10086 | 6001"
        await desk.clear(A)


async def test_who_holds_while_it_is_announced_has_the_other_hear_music() -> None:
    async with open_desk(ANNOUNCED, aliases=OURS) as desk:
        await desk.talking(A, B)
        await desk.hold(A)
        await desk.told(told.Held)
        assert desk.exchange.heard() == {A: set(), B: {"moh"}}
        await desk.told(told.RecordingStarted)
        assert on(recordings(desk)[0]) == "– | –"
        await desk.clear(A)


async def test_it_begins_at_once_where_who_was_told_it_has_gone_and_others_came() -> None:
    async with open_desk(ANNOUNCED, aliases=OURS) as desk:
        await desk.talking(A, B)
        await desk.transfer(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Transferred)
        await desk.told(told.RecordingStarted)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        await desk.clear(C)


async def test_what_is_stopped_while_it_is_announced_does_not_begin() -> None:
    async with open_desk(ANNOUNCED, aliases=OURS) as desk:
        await desk.talking(A, B)
        await desk.controller.submit(do.StopRecording(DeviceId(A)))
        await desk.told(told.RecordingStopped)
        assert desk.exchange.heard() == {A: {B}, B: {A}}
        await asyncio.sleep(5.0)
        assert recordings(desk) == []
        await desk.clear(A)


async def test_a_rule_is_about_a_way_and_about_devices() -> None:
    settings = settings_of(Rule("in", ("60*",), "inbound"), Rule("ours", ("7001",)))
    async with open_desk(settings, aliases=OURS) as desk:
        await desk.talking(A, B)
        assert recordings(desk) == []
        await desk.clear(A)
        await desk.told(told.CallCleared)
        desk.exchange.offer("10010", A, LegRole.LINE)
        station = await desk.exchange.placed(A)
        station.answer()
        started = await desk.told(told.RecordingStarted)
        assert started.rule == "in"
        await desk.clear(A)


def test_so_many_of_a_hundred_calls_are_recorded_and_always_the_same() -> None:
    rules = Rules((Rule("some", ("*",), percent=30.0),))
    calls = [f"call-{number}" for number in range(2000)]
    chosen = [call for call in calls if rules.rule_for(call, "inbound", [DeviceId(A)])]
    assert 0.26 < len(chosen) / len(calls) < 0.34
    assert chosen == [c for c in calls if rules.rule_for(c, "outbound", [DeviceId(B)])]
    assert all(share_of(call) < 0.3 for call in chosen)
    everything = Rule("all", ("*",))
    assert Rules((everything,)).rule_for("call", "inbound", [DeviceId(A)]) is everything
    assert Rules((Rule("none", ("*",), percent=0),)).rule_for("c", "inbound", [DeviceId(A)]) is None


async def test_a_leg_that_is_lost_ends_the_recording_with_its_call() -> None:
    async with open_desk(aliases=OURS) as desk:
        _, recording = await recorded(desk)
        (await desk.exchange.placed(B)).refuse(Cause.MEDIA_LOST)
        await desk.told(told.CallCleared)
        assert recording.is_over
