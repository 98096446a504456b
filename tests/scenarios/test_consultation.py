"""A device in two calls: who hears whom in each outcome, and that nobody is left with music.

A is the agent 6001, B the customer 10086, C the colleague 6002.
"""

from __future__ import annotations

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import CallSettings
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole, Side
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C = "6001", "10086", "6002"
TALKING = {A: {B}, B: {A}}
CONSULTING = {A: {C}, B: {"moh"}, C: {A}}
SWAPPED = {A: {B}, B: {A}, C: {"moh"}}
ALL = {A: {B, C}, B: {A, C}, C: {A, B}}


async def calling(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """A and B talked, A calls C, who rings: their telephones."""
    agent, customer = await desk.talking()
    second = await desk.consult(A, C)
    colleague = await desk.exchange.placed(C)
    held = await desk.told(told.Held, A)
    begun = await desk.told(told.ServiceInitiated, A)
    assert held.call != begun.call == second
    assert begun.state == "initiated"
    assert desk.exchange.heard() == {A: set(), B: {"moh"}}
    colleague.ring()
    await desk.told(told.Delivered, C)
    assert desk.exchange.heard() == {A: {"ringback"}, B: {"moh"}}
    return agent, customer, colleague


async def consulting(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """A talks with C, and B hears music."""
    agent, customer, colleague = await calling(desk)
    colleague.answer()
    await desk.told(told.Established, C)
    assert desk.exchange.heard() == CONSULTING
    return agent, customer, colleague


async def confer(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """A, B and C talk."""
    phones = await consulting(desk)
    await desk.conference(A)
    await desk.told(told.Conferenced, A)
    assert desk.exchange.heard() == ALL
    return phones


# -- consult ------------------------------------------------------------------------------------


async def test_a_consults_c_while_b_hears_music_and_goes_back() -> None:
    async with open_desk() as desk:
        _, customer, colleague = await consulting(desk)
        assert customer.offers == ["hold"]
        await desk.reconnect(A)
        left = await desk.told(told.ConnectionCleared, A)
        assert left.cause is Cause.NORMAL
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING
        assert customer.offers == ["hold", "resume"]
        assert colleague.release_cause is Cause.NORMAL
        customer.hang_up()
        await desk.told(told.CallCleared)
    first, second = sorted(desk.records.written, key=lambda record: record.call)
    assert (first.calling, first.called) == (A, B)
    assert (second.calling, second.called) == (A, C)
    assert first.interaction == second.interaction


@pytest.mark.parametrize(
    ("cause", "side"),
    [
        (Cause.BUSY, Side.DEVICE),
        (Cause.DECLINED, Side.DEVICE),
        (Cause.UNKNOWN_DEVICE, Side.NETWORK),
        (Cause.NOT_REGISTERED, Side.NETWORK),
    ],
)
async def test_c_can_not_be_had_so_a_hears_why_and_is_back_with_b(cause: Cause, side: Side) -> None:
    async with open_desk() as desk:
        _, _, colleague = await calling(desk)
        colleague.refuse(cause, by=side)
        failed = await desk.told(told.Failed, C)
        assert failed.cause is cause
        assert desk.exchange.heard() == {A: {"busy"}, B: {"moh"}}
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_a_does_not_wait_for_the_end_of_the_busy_tone() -> None:
    async with open_desk() as desk:
        _, _, colleague = await calling(desk)
        colleague.refuse(Cause.BUSY)
        await desk.told(told.Failed, C)
        await desk.reconnect(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_c_does_not_answer_the_consultation() -> None:
    settings = ControllerSettings(calls=CallSettings(no_answer_s=20))
    async with open_desk(settings) as desk:
        _, _, colleague = await calling(desk)
        failed = await desk.told(told.Failed, C)
        assert failed.cause is Cause.NO_ANSWER
        await desk.told(told.Retrieved, A)
        assert colleague.release_cause is Cause.NO_ANSWER
        assert desk.exchange.heard() == TALKING


@pytest.mark.parametrize("by", [do.ReconnectCall, do.ClearConnection])
async def test_a_gives_up_while_c_rings(
    by: type[do.ReconnectCall] | type[do.ClearConnection],
) -> None:
    async with open_desk() as desk:
        _, _, colleague = await calling(desk)
        second = desk.controller.calls()[-1].id
        if by is do.ReconnectCall:
            await desk.reconnect(A)
        else:
            await desk.clear(A, second)
        left = await desk.told(told.ConnectionCleared, A)
        assert (left.call, left.cause) == (second, Cause.CANCELLED)
        assert colleague.release_cause is Cause.CANCELLED
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_c_answers_while_a_gives_up() -> None:
    async with open_desk() as desk:
        desk.exchange.release_delay_s = 1.0
        _, _, colleague = await calling(desk)
        await desk.reconnect(A)
        colleague.answer()
        await desk.told(told.Retrieved, A)
        assert {A: {B}, B: {A}, C: set()} == desk.exchange.heard()


async def test_c_hangs_up_and_a_is_back_with_b() -> None:
    async with open_desk() as desk:
        _, _, colleague = await consulting(desk)
        colleague.hang_up()
        await desk.told(told.ConnectionCleared, C)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_c_s_telephone_is_lost_and_a_is_back_with_b() -> None:
    async with open_desk() as desk:
        _, _, colleague = await consulting(desk)
        colleague.vanish()
        lost = await desk.told(told.ConnectionCleared, C)
        assert lost.cause is Cause.MEDIA_TIMEOUT
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


@pytest.mark.parametrize("answered", [False, True])
async def test_b_hangs_up_meanwhile_and_a_goes_on_with_c(answered: bool) -> None:
    async with open_desk() as desk:
        _, customer, colleague = await (consulting(desk) if answered else calling(desk))
        customer.hang_up()
        over = await desk.told(told.CallCleared)
        assert over.called == B
        if not answered:
            assert desk.exchange.heard() == {A: {"ringback"}}
            colleague.answer()
            await desk.told(told.Established, C)
        assert desk.exchange.heard() == {A: {C}, C: {A}}
        await desk.clear(A)
        await desk.told(told.CallCleared)


async def test_a_hangs_up_her_telephone_and_both_calls_end() -> None:
    async with open_desk() as desk:
        agent, customer, colleague = await consulting(desk)
        agent.hang_up()
        await desk.told(told.CallCleared)
        await desk.told(told.CallCleared)
        assert customer.release_cause is colleague.release_cause is Cause.NORMAL


async def test_a_held_b_before_and_is_back_all_the_same() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.hold(A)
        await desk.told(told.Held)
        await desk.consult(A, C)
        colleague = await desk.exchange.placed(C)
        colleague.answer()
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == CONSULTING
        colleague.hang_up()
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_b_who_called_us_may_be_consulted_about() -> None:
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        station.answer()
        await desk.told(told.Established)
        await desk.consult(A, C)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == CONSULTING
        outside.hang_up()
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_the_phone_s_own_hold_is_of_the_call_that_it_talks_in() -> None:
    async with open_desk() as desk:
        agent, _, _ = await consulting(desk)
        agent.hold()
        held = await desk.told(told.Held, A)
        assert held.called == C
        assert desk.exchange.heard() == {A: set(), B: {"moh"}, C: {"moh"}}
        agent.retrieve()
        back = await desk.told(told.Retrieved, A)
        assert back.called == C
        assert desk.exchange.heard() == CONSULTING


async def test_one_phone_talks_in_one_call_at_a_time() -> None:
    async with open_desk() as desk:
        await consulting(desk)
        first, second = (call.id for call in desk.controller.calls())
        with pytest.raises(CommandRejected, match=f"talks in call {second}; AlternateCall") as why:
            await desk.retrieve(A, first)
        assert why.value.reason == "invalid_state"
        with pytest.raises(CommandRejected, match=f"is in call {first} too") as why:
            await desk.controller.submit(do.ConsultationCall(DeviceId(A), "6003", second))
        assert why.value.reason == "device_busy"
        assert desk.exchange.heard() == CONSULTING


async def test_a_bad_number_changes_nothing() -> None:
    async with open_desk() as desk:
        await desk.talking()
        with pytest.raises(CommandRejected) as why:
            await desk.consult(A, "60/02")
        assert why.value.reason == "bad_character"
        assert desk.exchange.heard() == TALKING
        assert len(desk.controller.calls()) == 1


async def test_consultations_count_as_dials() -> None:
    async with open_desk(ControllerSettings(dials=DialLimits(per_minute=1))) as desk:
        await desk.talking()
        with pytest.raises(CommandRejected) as why:
            await desk.consult(A, C)
        assert why.value.reason == "dial_limit"
        assert desk.exchange.heard() == TALKING


# -- alternate ----------------------------------------------------------------------------------


async def test_a_swaps_and_swaps_back() -> None:
    async with open_desk() as desk:
        _, customer, colleague = await consulting(desk)
        await desk.alternate(A)
        await desk.told(told.Held, A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == SWAPPED
        assert (customer.offers, colleague.offers) == (["hold", "resume"], ["hold"])
        await desk.alternate(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == CONSULTING


async def test_b_hangs_up_after_a_swap_and_a_is_back_with_c() -> None:
    async with open_desk() as desk:
        _, customer, _ = await consulting(desk)
        await desk.alternate(A)
        await desk.told(told.Retrieved, A)
        customer.hang_up()
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_c_hangs_up_on_hold_and_a_talks_on_with_b() -> None:
    async with open_desk() as desk:
        _, _, colleague = await consulting(desk)
        await desk.alternate(A)
        await desk.told(told.Retrieved, A)
        colleague.hang_up()
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == TALKING


async def test_who_still_rings_is_not_put_aside() -> None:
    async with open_desk() as desk:
        await calling(desk)
        with pytest.raises(CommandRejected) as why:
            await desk.alternate(A)
        assert why.value.reason == "not_established"
        assert desk.exchange.heard() == {A: {"ringback"}, B: {"moh"}}


async def test_there_is_nothing_to_swap_in_one_call() -> None:
    async with open_desk() as desk:
        await desk.talking()
        with pytest.raises(CommandRejected, match="holds 0 calls") as why:
            await desk.alternate(A)
        assert why.value.reason == "ambiguous_call"


# -- transfer -----------------------------------------------------------------------------------


async def test_a_transfers_b_to_c_and_needs_to_name_no_call() -> None:
    async with open_desk() as desk:
        agent, _, _ = await consulting(desk)
        await desk.controller.submit(do.TransferCall(DeviceId(A)))
        await desk.told(told.Transferred, A)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        assert agent.release_cause is Cause.NORMAL


async def test_a_transfers_b_to_c_who_rings_and_is_back_with_b_when_c_declines() -> None:
    async with open_desk() as desk:
        _, _, colleague = await calling(desk)
        await desk.controller.submit(do.TransferCall(DeviceId(A)))
        await desk.told(told.Transferring, A)
        assert desk.exchange.heard() == {A: set(), B: {"ringback"}}
        colleague.refuse(Cause.DECLINED)
        await desk.told(told.TransferFailed, A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


# -- conference ---------------------------------------------------------------------------------


async def test_all_three_talk_and_each_is_told() -> None:
    async with open_desk() as desk:
        _, customer, _ = await consulting(desk)
        first, second = (call.id for call in desk.controller.calls())
        await desk.conference(A)
        left = await desk.told(told.ConnectionCleared, C)
        assert (left.call, left.text) == (second, f"went on in call {first}")
        await desk.told(told.CallCleared)
        for device in (A, B, C):
            joined = await desk.told(told.Conferenced, device)
            assert (joined.call, joined.secondary, joined.conferencing) == (first, second, A)
            assert joined.state == "connected"
        assert desk.exchange.heard() == ALL
        assert customer.offers == ["hold", "resume"]
        assert len(desk.controller.calls()) == 1


@pytest.mark.parametrize("leaves", [A, B, C])
async def test_one_leaves_the_conference_and_two_talk_on(leaves: str) -> None:
    async with open_desk() as desk:
        await confer(desk)
        await desk.clear(leaves)
        await desk.told(told.ConnectionCleared, leaves)
        left, other = {A, B, C} - {leaves}
        assert desk.exchange.heard() == {left: {other}, other: {left}}
        await desk.clear(left)
        over = await desk.told(told.CallCleared)
        assert over.cause is Cause.NORMAL


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_telephone_of_a_conference_is_lost_and_two_talk_on(lost: int) -> None:
    async with open_desk() as desk:
        phones = await confer(desk)
        phones[lost].vanish()
        gone = await desk.told(told.ConnectionCleared, phones[lost].device)
        assert gone.cause is Cause.MEDIA_TIMEOUT
        left, other = {A, B, C} - {phones[lost].device}
        assert desk.exchange.heard() == {left: {other}, other: {left}}


async def test_the_owner_ends_the_conference_for_all() -> None:
    async with open_desk() as desk:
        phones = await confer(desk)
        await desk.controller.submit(do.ClearCall(DeviceId(A)))
        over = await desk.told(told.CallCleared)
        assert over.releasing_device == A
        assert [each.release_cause for each in phones] == [Cause.NORMAL] * 3
    records = {record.called: record for record in desk.records.written}
    assert [each.device for each in records[B].connections] == [A, B, C]


async def test_one_holds_the_conference_and_the_others_talk_on() -> None:
    async with open_desk() as desk:
        await confer(desk)
        await desk.hold(A)
        await desk.told(told.Held, A)
        assert desk.exchange.heard() == {A: set(), B: {C}, C: {B}}
        await desk.retrieve(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == ALL


async def test_a_conference_grows() -> None:
    async with open_desk() as desk:
        await confer(desk)
        for number in ("6003", "6004"):
            await desk.consult(A, number)
            (await desk.exchange.placed(number)).answer()
            await desk.told(told.Established, number)
            assert desk.exchange.heard()[number] == {A}
            assert A not in desk.exchange.heard()[B]
            assert C in desk.exchange.heard()[B]
            await desk.conference(A)
            await desk.told(told.Conferenced, number)
        everybody = {A, B, C, "6003", "6004"}
        assert desk.exchange.heard() == {each: everybody - {each} for each in everybody}


async def test_whom_nobody_answered_yet_is_no_party_of_a_conference() -> None:
    async with open_desk() as desk:
        _, _, colleague = await calling(desk)
        with pytest.raises(CommandRejected) as why:
            await desk.conference(A)
        assert why.value.reason == "not_established"
        colleague.answer()
        await desk.told(told.Established, C)
        await desk.conference(A)
        await desk.told(told.Conferenced, C)
        assert desk.exchange.heard() == ALL


async def test_two_calls_of_two_lines_of_a_phone_become_a_conference() -> None:
    """The phone made both by itself, each by a leg of its own; only one of them goes on."""
    async with open_desk() as desk:
        desk.exchange.offer(A, B, LegRole.STATION)
        (await desk.exchange.placed(B)).answer()
        first = await desk.told(told.Established, B)
        await desk.hold(A)
        await desk.told(told.Held, A)
        desk.exchange.offer(A, C, LegRole.STATION)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.conference(A)
        await desk.told(told.Conferenced, C)
        assert {call.id for call in desk.controller.calls()} == {first.call}
        assert desk.exchange.heard() == ALL


# -- what goes with whom ------------------------------------------------------------------------


async def test_who_is_muted_stays_so_in_a_conference() -> None:
    async with open_desk() as desk:
        await consulting(desk)
        second = desk.controller.calls()[-1].id
        await desk.controller.submit(do.SetMicrophoneMute(DeviceId(A), True, second))
        await desk.told(told.MicrophoneMute)
        await desk.conference(A)
        await desk.told(told.Conferenced, A)
        assert desk.exchange.heard() == {A: {B, C}, B: {C}, C: {B}}


@pytest.mark.parametrize("together", [do.ConferenceCall, do.TransferCall])
async def test_who_comes_into_a_call_leaves_his_own_one_on_hold_and_is_back_in_it(
    together: type[do.ConferenceCall] | type[do.TransferCall],
) -> None:
    """C talks with D, and consults A, who holds B: D must hear nothing of what the three say."""
    async with open_desk() as desk:
        await desk.talking(A, B)
        await desk.hold(A)
        await desk.told(told.Held, A)
        await desk.talking(C, "10010")
        await desk.consult(C, A)
        (await desk.exchange.placed(A)).answer()
        await desk.told(told.Established, A)
        assert desk.exchange.heard()["10010"] == {"moh"}
        await desk.controller.submit(together(DeviceId(A)))
        kind = told.Conferenced if together is do.ConferenceCall else told.Transferred
        await desk.told(kind)
        heard = desk.exchange.heard()
        assert heard["10010"] == {"moh"}
        assert "10010" not in heard[C] | heard[B]
        assert B in heard[C]
        await desk.clear(B)
        await desk.told(told.ConnectionCleared, B)
        if together is do.ConferenceCall:
            await desk.clear(A, desk.controller.calls()[0].id)
        await desk.told(told.Retrieved, C)
        assert desk.exchange.heard() == {C: {"10010"}, "10010": {C}}


async def test_a_phone_that_held_by_itself_is_asked_to_come_back() -> None:
    async with open_desk() as desk:
        agent, _, colleague = await consulting(desk)
        agent.hold()
        await desk.told(told.Held, A)
        colleague.hang_up()
        await desk.told(told.Retrieved, A)
        assert agent.offers == ["resume"]
        assert desk.exchange.heard() == TALKING


async def test_both_held_by_command_one_taken_back_the_other_ends() -> None:
    async with open_desk() as desk:
        _, customer, _ = await consulting(desk)
        first, second = (call.id for call in desk.controller.calls())
        await desk.hold(A, second)
        await desk.told(told.Held, A)
        await desk.retrieve(A, first)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == SWAPPED
        customer.hang_up()
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == {A: {C}, C: {A}}


async def test_digits_go_to_those_who_talk_in_the_call() -> None:
    async with open_desk() as desk:
        _, customer, colleague = await consulting(desk)
        first, second = (call.id for call in desk.controller.calls())
        await desk.controller.submit(do.GenerateDigits(DeviceId(A), "42", second))
        await desk.told(told.DigitsGenerated, C)
        await desk.controller.submit(do.GenerateDigits(DeviceId(B), "7", first))
        await desk.alternate(A)
        await desk.told(told.Retrieved, A)
        assert (customer.digits, colleague.digits) == ("", "42")


async def test_a_call_that_has_failed_is_no_part_of_a_conference() -> None:
    async with open_desk() as desk:
        _, _, colleague = await consulting(desk)
        await desk.hold(A, desk.controller.calls()[-1].id)
        await desk.told(told.Held, A)
        colleague.hang_up()
        await desk.told(told.CallCleared)
        with pytest.raises(CommandRejected):
            await desk.conference(A)


async def test_nobody_is_called_while_the_endpoint_stops() -> None:
    async with open_desk() as desk:
        await desk.talking()
        desk.controller.refuse_new_calls()
        for command in (
            do.ConsultationCall(DeviceId(A), C),
            do.SingleStepConference(DeviceId(A), C),
            do.SingleStepTransfer(DeviceId(A), C),
            do.JoinCall(DeviceId("7001"), DeviceId(A)),
        ):
            with pytest.raises(CommandRejected) as why:
                await desk.controller.submit(command)
            assert why.value.reason == "shutting_down"
        assert desk.exchange.heard() == TALKING


async def test_b_is_back_in_a_call_that_a_transfers_meanwhile() -> None:
    """Who is not the one that leaves does not wait for him in silence."""
    async with open_desk() as desk:
        await desk.talking(A, B)
        first = desk.call.id
        await desk.controller.submit(do.ConsultationCall(DeviceId(B), "6003"))
        other = await desk.exchange.placed("6003")
        other.answer()
        await desk.told(told.Established, "6003")
        await desk.controller.submit(do.SingleStepTransfer(DeviceId(A), C, first))
        await desk.told(told.Transferring, A)
        other.hang_up()
        await desk.told(told.Retrieved, B)
        assert desk.exchange.heard() == {A: {B}, B: {A}}
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Transferred, A)
        assert desk.exchange.heard() == {B: {C}, C: {B}}


async def test_a_s_telephone_transfers_whom_it_talks_with() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        second = await desk.consult("6001", "6002")
        (await desk.exchange.placed("6002")).answer()
        await desk.told(told.Established, "6002")
        agent.ask_transfer("6003")
        assert (await desk.told(told.Transferring, "6001")).call == second
