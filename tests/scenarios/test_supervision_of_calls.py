"""Listening, whispering, barging in, taking over, calling somebody in: who hears whom.

A is the agent 6001, B the customer 10086, S the supervisor 7001, C the colleague 6002.
"""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import Participation
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, S = "6001", "10086", "6002", "7001"
TALKING = {A: {B}, B: {A}}
HEARD = {
    Participation.SILENT: {A: {B}, B: {A}, S: {A, B}},
    Participation.WHISPER: {A: {B, S}, B: {A}, S: {A, B}},
    Participation.ACTIVE: {A: {B, S}, B: {A, S}, S: {A, B}},
}


async def join(desk: Desk, how: Participation = Participation.SILENT) -> None:
    await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A), how))
    joined = await desk.told(told.Joined, S)
    assert (joined.participation, joined.beside, joined.state) == (how, A, "connected")


async def joined(
    desk: Desk, how: Participation = Participation.SILENT
) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    agent, customer = await desk.talking()
    await join(desk, how)
    assert desk.exchange.heard() == HEARD[how]
    return agent, customer, await desk.exchange.placed(S)


async def intercept(desk: Desk) -> None:
    await desk.controller.submit(do.InterceptCall(DeviceId(S), DeviceId(A)))


# -- join ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", Participation)
async def test_a_supervisor_listens_whispers_or_talks_and_leaves_them_as_they_were(
    how: Participation,
) -> None:
    async with open_desk() as desk:
        _, customer, supervisor = await joined(desk, how)
        assert supervisor.request is not None
        assert (supervisor.request.calling, supervisor.request.auto_answer) == (A, True)
        assert customer.offers == []
        await desk.clear(S)
        left = await desk.told(told.ConnectionCleared, S)
        assert left.cause is Cause.NORMAL
        assert desk.exchange.heard() == TALKING
        await desk.clear(A)
        await desk.told(told.CallCleared)
    (record,) = desk.records.written
    assert [each.device for each in record.connections] == [A, B, S]


async def test_a_supervisor_changes_between_them() -> None:
    async with open_desk() as desk:
        await joined(desk)
        for how in (
            Participation.WHISPER,
            Participation.ACTIVE,
            Participation.SILENT,
            Participation.ACTIVE,
            Participation.WHISPER,
        ):
            await join(desk, how)
            assert desk.exchange.heard() == HEARD[how]
        assert desk.exchange.asked.count(f"place {S}") == 1


@pytest.mark.parametrize("how", [Participation.SILENT, Participation.WHISPER])
async def test_a_supervisor_s_telephone_lets_nobody_into_the_call(how: Participation) -> None:
    """It could have called anybody by a transfer (REFER), who would have talked with them."""
    async with open_desk() as desk:
        *_, supervisor = await joined(desk, how)
        supervisor.ask_transfer("10010")
        newcomer = desk.exchange.offer(C, S, LegRole.STATION, replaces=supervisor)
        await desk.let_pass(5)
        assert supervisor.transfer == [488]
        assert newcomer.release_cause is Cause.DECLINED
        assert "place 10010" not in desk.exchange.asked
        assert desk.exchange.heard() == HEARD[how]


async def test_a_supervisor_takes_nobody_into_another_call_of_its_telephone() -> None:
    async with open_desk() as desk:
        await joined(desk)
        supervised = desk.call.id
        desk.exchange.offer(S, C, LegRole.STATION)
        (await desk.exchange.placed(C)).answer()
        second = (await desk.told(told.Established, C)).call
        await desk.hold(S, second)
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(do.ConferenceCall(DeviceId(S), supervised, second))
        assert caught.value.reason == "invalid_state"
        heard = desk.exchange.heard()
        assert (heard[A], heard[B], heard[C]) == ({B}, {A}, {"moh"})


@pytest.mark.parametrize("how", [Participation.SILENT, Participation.WHISPER])
@pytest.mark.parametrize("leaves", [0, 1])
async def test_a_supervisor_leaves_with_those_whom_it_listens_to(
    how: Participation, leaves: int
) -> None:
    async with open_desk() as desk:
        *parties, supervisor = await joined(desk, how)
        parties[leaves].hang_up()
        over = await desk.told(told.CallCleared)
        assert over.releasing_device == parties[leaves].device
        assert supervisor.release_cause is Cause.NORMAL
        assert parties[1 - leaves].release_cause is Cause.NORMAL


async def test_who_waits_alone_for_another_hears_so_also_beside_a_supervisor() -> None:
    """It was in silence until the new party rang, which not every telephone tells."""
    async with open_desk() as desk:
        agent, _ = await desk.talking(A, "6003")
        await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId("6003")))
        await desk.told(told.Joined, S)
        await desk.transfer(A, C)
        await desk.exchange.placed(C)
        agent.hang_up()
        await desk.told(told.ConnectionCleared, A)
        assert desk.exchange.heard() == {"6003": {"ringback"}, S: {"ringback"}}
        await desk.clear("6003")
        await desk.told(told.CallCleared)


@pytest.mark.parametrize("leaves", [0, 1])
async def test_who_has_barged_in_talks_on_with_the_one_who_stays(leaves: int) -> None:
    async with open_desk() as desk:
        *parties, _ = await joined(desk, Participation.ACTIVE)
        parties[leaves].hang_up()
        await desk.told(told.ConnectionCleared, parties[leaves].device)
        other = parties[1 - leaves].device
        assert desk.exchange.heard() == {other: {S}, S: {other}}


async def test_b_hears_music_and_no_supervisor_while_a_holds() -> None:
    async with open_desk() as desk:
        _, customer, _ = await joined(desk, Participation.WHISPER)
        await desk.hold(A)
        await desk.told(told.Held, A)
        assert desk.exchange.heard() == {A: set(), B: {"moh"}, S: {B}}
        assert customer.offers == ["hold"]
        await desk.retrieve(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == HEARD[Participation.WHISPER]


async def test_a_supervisor_who_can_not_be_had_disturbs_nobody() -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(S)
        await desk.talking()
        await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A)))
        (await desk.exchange.placed(S)).refuse(Cause.NOT_REGISTERED)
        failed = await desk.told(told.Failed, S)
        assert failed.cause is Cause.NOT_REGISTERED
        assert desk.exchange.heard() == TALKING


async def test_a_supervisor_s_telephone_is_lost_and_they_talk_on() -> None:
    async with open_desk() as desk:
        _, _, supervisor = await joined(desk, Participation.ACTIVE)
        supervisor.vanish()
        await desk.told(told.ConnectionCleared, S)
        assert desk.exchange.heard() == TALKING


async def test_the_call_ends_while_the_supervisor_is_still_being_picked_up() -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(S)
        _, customer = await desk.talking()
        await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A)))
        supervisor = await desk.exchange.placed(S)
        customer.hang_up()
        await desk.told(told.CallCleared)
        assert supervisor.release_cause is Cause.NORMAL


async def test_nobody_joins_what_is_no_conversation_or_who_talks_himself() -> None:
    async with open_desk() as desk:
        far = await desk.ringing()
        with pytest.raises(CommandRejected) as why:
            await join(desk)
        assert why.value.reason == "not_established"
        far.answer()
        await desk.told(told.Established)
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(C)))
        assert why.value.reason == "unknown_call"
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.JoinCall(DeviceId(A), DeviceId(B)))
        assert why.value.reason == "invalid_state"
        await desk.talking(S, "10010")
        with pytest.raises(CommandRejected) as why:
            await join(desk)
        assert why.value.reason == "device_busy"


# -- intercept ----------------------------------------------------------------------------------


async def test_a_supervisor_takes_the_agent_s_place() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        await intercept(desk)
        done = await desk.told(told.Transferred, A)
        assert done.transferred_to == S
        await desk.told(told.ConnectionCleared, A)
        assert agent.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {B: {S}, S: {B}}


async def test_a_supervisor_who_listens_takes_the_agent_s_place() -> None:
    async with open_desk() as desk:
        agent, _, _ = await joined(desk)
        await intercept(desk)
        left = await desk.told(told.ConnectionCleared, A)
        assert (left.text, left.releasing_device) == (f"taken over by {S}", S)
        assert agent.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {B: {S}, S: {B}}


async def test_the_agent_is_back_in_a_call_that_is_about_to_be_taken_over() -> None:
    """It has not asked for that, so it talks there until the supervisor has come."""
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(S)
        await desk.talking()
        held = desk.call.id
        await desk.consult(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.controller.submit(do.InterceptCall(DeviceId(S), DeviceId(A), held))
        await desk.told(told.Transferring, A)
        assert desk.exchange.heard() == {A: {C}, C: {A}, B: {"ringback"}}
        await desk.reconnect(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING
        (await desk.exchange.placed(S)).answer()
        await desk.told(told.ConnectionCleared, A)
        assert desk.exchange.heard() == {B: {S}, S: {B}}


async def test_a_call_that_the_agent_holds_is_taken_over() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.hold(A)
        await desk.told(told.Held)
        await intercept(desk)
        await desk.told(told.ConnectionCleared, A)
        assert desk.exchange.heard() == {B: {S}, S: {B}}
        assert customer.offers == ["hold", "resume"]


@pytest.mark.parametrize("cause", [Cause.BUSY, Cause.DECLINED, Cause.NOT_REGISTERED])
async def test_the_agent_talks_on_where_the_supervisor_can_not_be_had(cause: Cause) -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(S)
        await desk.talking()
        await intercept(desk)
        (await desk.exchange.placed(S)).refuse(cause)
        failed = await desk.told(told.TransferFailed, A)
        assert failed.cause is cause
        assert desk.exchange.heard() == TALKING


# -- called in, dropped, muted, sent on ---------------------------------------------------------


@pytest.mark.parametrize("how", [Participation.ACTIVE, Participation.SILENT])
async def test_somebody_is_called_into_the_call(how: Participation) -> None:
    async with open_desk() as desk:
        await desk.talking()
        command = do.SingleStepConference(DeviceId(A), C, participation=how)
        await desk.controller.submit(command)
        colleague = await desk.exchange.placed(C)
        colleague.ring()
        await desk.told(told.Delivered, C)
        assert desk.exchange.heard() == TALKING
        colleague.answer()
        await desk.told(told.Joined, C)
        heard = {A: {B, C}, B: {A, C}} if how is Participation.ACTIVE else TALKING
        assert desk.exchange.heard() == {**heard, C: {A, B}}


@pytest.mark.parametrize("cause", [Cause.BUSY, Cause.DECLINED, Cause.UNKNOWN_DEVICE])
async def test_who_is_called_in_and_can_not_be_had_disturbs_nobody(cause: Cause) -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), C))
        (await desk.exchange.placed(C)).refuse(cause)
        failed = await desk.told(told.Failed, C)
        assert failed.cause is cause
        assert desk.exchange.heard() == TALKING


async def test_b_hangs_up_while_somebody_is_called_in() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), C))
        colleague = await desk.exchange.placed(C)
        colleague.ring()
        await desk.told(told.Delivered, C)
        customer.hang_up()
        await desk.told(told.ConnectionCleared, B)
        assert desk.exchange.heard() == {A: {"ringback"}}
        colleague.answer()
        await desk.told(told.Joined, C)
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_nobody_hears_who_is_muted_until_he_says_so() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        alone = {A: {B}, B: set()}
        # Told also where it was so: who asked waits for that.
        for muted, heard in ((True, alone), (True, alone), (False, TALKING)):
            await desk.controller.submit(do.SetMicrophoneMute(DeviceId(A), muted))
            said = await desk.told(told.MicrophoneMute, A)
            assert said.muted is muted
            assert desk.exchange.heard() == heard
        assert customer.offers == []


async def test_a_call_that_rings_is_sent_on() -> None:
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        await desk.controller.submit(do.DeflectCall(DeviceId(A), C))
        sent_on = await desk.told(told.Diverted, A)
        assert sent_on.diverted_to == C
        await desk.told(told.ConnectionCleared, A)
        assert station.release_cause is Cause.NORMAL
        colleague = await desk.exchange.placed(C)
        assert colleague.request is not None
        assert (colleague.request.calling, colleague.request.calling_name) == (A, B)
        assert colleague.request.on_behalf_of == B
        colleague.ring()
        await desk.told(told.Delivered, C)
        colleague.answer()
        await desk.told(told.Established)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        outside.hang_up()
        await desk.told(told.CallCleared)


async def test_where_a_call_is_sent_on_to_somebody_who_can_not_be_had_the_caller_is_told() -> None:
    async with open_desk() as desk:
        outside, _ = await desk.coming_in()
        await desk.controller.submit(do.DeflectCall(DeviceId(A), C))
        (await desk.exchange.placed(C)).refuse(Cause.BUSY)
        over = await desk.told(told.CallCleared)
        assert over.cause is Cause.BUSY
        assert outside.release_cause is Cause.BUSY


# -- what a supervisor may not ------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        do.ClearCall(DeviceId(S)),
        do.HoldCall(DeviceId(S)),
        do.GenerateDigits(DeviceId(S), "1"),
        do.ConsultationCall(DeviceId(S), "0999"),
        do.SingleStepConference(DeviceId(S), "0999"),
        do.SingleStepTransfer(DeviceId(S), "0999"),
    ],
    ids=lambda command: command.name.value,
)
@pytest.mark.parametrize("how", [Participation.SILENT, Participation.WHISPER])
async def test_who_is_no_party_may_leave_and_nothing_else(
    command: do.CallCommand, how: Participation
) -> None:
    async with open_desk() as desk:
        await joined(desk, how)
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(command)
        assert why.value.reason == "invalid_state"
        assert desk.exchange.heard() == HEARD[how]


async def test_a_silent_one_gets_no_digits() -> None:
    async with open_desk() as desk:
        _, customer, supervisor = await joined(desk)
        await desk.digits(A, "4711")
        await desk.told(told.DigitsGenerated, B)
        assert (customer.digits, supervisor.digits) == ("4711", "")


async def test_nobody_is_left_in_silence_by_a_supervisor_who_becomes_silent() -> None:
    async with open_desk() as desk:
        await joined(desk, Participation.ACTIVE)
        await desk.clear(A)
        await desk.told(told.ConnectionCleared, A)
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(B)))
        assert why.value.reason == "invalid_state"
        assert desk.exchange.heard() == {B: {S}, S: {B}}


async def test_a_station_is_picked_up_once() -> None:
    """Also when three commands come at the same moment."""
    async with open_desk() as desk:
        await desk.talking()
        await desk.talking(C, "10010")
        three = [
            desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A))),
            desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(C))),
            desk.controller.submit(do.MakeCall(DeviceId(S), "10000")),
        ]
        results = await asyncio.gather(*three, return_exceptions=True)
        refusals = [each for each in results if isinstance(each, CommandRejected)]
        assert [each.reason for each in refusals] == ["device_busy", "device_busy"]
        assert desk.exchange.asked.count(f"place {S}") == 1


async def test_joining_counts_as_a_dial() -> None:
    async with open_desk(ControllerSettings(dials=DialLimits(per_minute=1))) as desk:
        await desk.talking()
        await join(desk)
        await join(desk, Participation.WHISPER)
        await desk.clear(S)
        await desk.told(told.ConnectionCleared, S)
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(A)))
        assert why.value.reason == "dial_limit"


async def test_a_supervisor_who_is_busy_ends_no_transfer() -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add(S)
        await desk.talking()
        await desk.transfer(A, C)
        colleague = await desk.exchange.placed(C)
        await desk.controller.submit(do.JoinCall(DeviceId(S), DeviceId(B)))
        (await desk.exchange.placed(S)).refuse(Cause.BUSY)
        await desk.told(told.Failed, S)
        colleague.answer()
        await desk.told(told.Transferred, A)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_who_is_called_in_sends_nobody_else() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), C))
        (await desk.exchange.placed(C)).ring()
        await desk.told(told.Delivered, C)
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.DeflectCall(DeviceId(C), "6005"))
        assert why.value.reason == "invalid_state"
        with pytest.raises(CommandRejected) as why:
            await desk.controller.submit(do.SingleStepConference(DeviceId(A), "10010-8001"))
        assert why.value.reason == "bad_digits"


async def test_digits_behind_the_number_go_where_a_call_is_sent_on() -> None:
    async with open_desk() as desk:
        _, _ = await desk.coming_in()
        await desk.controller.submit(do.DeflectCall(DeviceId(A), "10010-8001"))
        far = await desk.exchange.placed("10010")
        far.answer()
        await desk.told(told.Established)
        assert far.digits == "8001"


async def test_a_busy_tone_is_heard_when_somebody_is_busy_and_no_later() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), C))
        (await desk.exchange.placed(C)).refuse(Cause.BUSY)
        await desk.told(told.Failed, C)
        await desk.controller.submit(do.SingleStepConference(DeviceId(A), "6003"))
        await desk.exchange.placed("6003")
        customer.hang_up()
        await desk.told(told.ConnectionCleared, B)
        assert desk.exchange.heard() == {A: set()}
