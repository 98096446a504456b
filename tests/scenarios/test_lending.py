"""A party is lent to somebody else and comes back: LendCall, and everything that can go wrong.

A is the agent 6001, B the customer 10086, C to whom B is lent (6002), D a colleague (6003).
"""

from __future__ import annotations

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import Call, CallId, Participation
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A, B, C, D, S = map(DeviceId, ("6001", "10086", "6002", "6003", "7001"))
TALKING = {A: {B}, B: {A}}
LENT = {A: {"moh"}, B: {C}, C: {B}}


async def lend(desk: Desk, destination: str = C) -> CallId:
    return (await desk.controller.submit(do.LendCall(A, destination))).call


async def called(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """A and B talked, C rings for B: their telephones."""
    agent, customer = await desk.talking()
    second = await lend(desk)
    other = await desk.exchange.placed(C)
    held = await desk.told(told.Held, B)
    begun = await desk.told(told.Originated, B)
    assert held.call != begun.call == second
    assert desk.exchange.heard() == {A: {"moh"}, B: set()}
    other.ring()
    await desk.told(told.Delivered, C)
    assert desk.exchange.heard() == {A: {"moh"}, B: {"ringback"}}
    return agent, customer, other


async def lent(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """B talks with C, and A waits with music."""
    phones = await called(desk)
    phones[2].answer()
    await desk.told(told.Established, C)
    assert desk.exchange.heard() == LENT
    return phones


async def is_home(desk: Desk) -> told.Retrieved:
    """B is back with A, and nobody else is there."""
    back = await desk.told(told.Retrieved, B)
    assert desk.exchange.heard() == TALKING
    return back


def by_id(desk: Desk, call: CallId) -> Call:
    return next(each for each in desk.controller.calls() if each.id == call)


async def test_b_comes_back_with_what_c_has_collected() -> None:
    """Also in the record; each of the two calls has one."""
    async with open_desk() as desk:
        agent, _, other = await lent(desk)
        first, second = desk.controller.calls()
        assert agent.offers == ["hold"]
        await desk.controller.submit(do.AssociateData(C, {"order": "4711"}, second.id))
        assert (await desk.told(told.CallInformation)).call == second.id
        other.hang_up()
        assert (await is_home(desk)).call == first.id
        news = await desk.told(told.CallInformation)
        assert (news.call, news.data) == (first.id, {"order": "4711"})
        assert agent.offers == ["hold", "resume"]
        await desk.clear(A)
        await desk.told(told.CallCleared)
        assert {each.call: each.data for each in desk.records.written} == {
            first.id: {"order": "4711"},
            second.id: {"order": "4711"},
        }


async def test_what_b_presses_for_c_is_told_of_their_call_alone() -> None:
    """It may be a password, which A is not to know, nor whoever reads A's call."""
    async with open_desk() as desk:
        _, customer, other = await lent(desk)
        first, second = desk.controller.calls()
        customer.press("7")
        assert (await desk.told(told.DigitDetected)).call == second.id
        other.hang_up()
        await is_home(desk)
        customer.press("8")
        pressed = await desk.told(told.DigitDetected)
        assert (pressed.call, pressed.digits) == (first.id, "8")


async def test_c_begins_with_the_data_of_the_call_and_sees_whom_it_talks_with() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.AssociateData(A, {"order": "1"}))
        second = await lend(desk, "6002-1#")
        other = await desk.exchange.placed(C)
        assert by_id(desk, second).data == {"order": "1"}
        assert other.request is not None
        assert (other.request.calling, other.request.calling_name) == (A, B)
        assert other.request.on_behalf_of == B
        assert other.request.referred_by == A
        other.answer()
        await desk.told(told.Established, C)
        await desk.told(told.DigitsGenerated)
        assert other.digits == "1#"


@pytest.mark.parametrize("withheld", [True, False])
async def test_a_caller_who_withholds_his_number_is_not_shown_to_c(withheld: bool) -> None:
    async with open_desk() as desk:
        outside = desk.exchange.offer(B, A, LegRole.LINE, withheld=withheld)
        (await desk.exchange.placed(A)).ring()
        await desk.told(told.Delivered, A)
        await desk.answer(A)
        await desk.told(told.Established)
        await lend(desk)
        other = await desk.exchange.placed(C)
        assert other.request is not None
        assert other.request.withheld is withheld
        other.answer()
        await desk.told(told.Established, C)
        assert outside.hears() == {C}
        other.hang_up()
        assert (await is_home(desk)).from_outside


async def test_who_was_called_without_a_number_is_shown_to_c() -> None:
    """It was A's that was withheld."""
    async with open_desk() as desk:
        await desk.controller.submit(do.MakeCall(A, B, withhold=True))
        (await desk.exchange.placed(A)).answer()
        (await desk.exchange.placed(B)).answer()
        await desk.told(told.Established)
        await lend(desk)
        other = await desk.exchange.placed(C)
        assert other.request is not None
        assert not other.request.withheld


@pytest.mark.parametrize("cause", [Cause.BUSY, Cause.DECLINED, Cause.NOT_REGISTERED])
async def test_c_can_not_be_had_and_b_is_back_at_once(cause: Cause) -> None:
    """No busy tone: A is there to talk about it."""
    async with open_desk() as desk:
        _, _, other = await called(desk)
        other.refuse(cause)
        assert (await desk.told(told.Failed, C)).cause is cause
        await is_home(desk)
        assert "CallCleared" in [each.split()[0] for each in desk.story()]


async def test_c_does_not_answer_and_b_is_back() -> None:
    async with open_desk() as desk:
        await called(desk)
        assert (await desk.told(told.Failed, C)).cause is Cause.NO_ANSWER
        await is_home(desk)


async def test_a_takes_b_back_from_c() -> None:
    async with open_desk() as desk:
        await lent(desk)
        await desk.reconnect(A)
        assert (await desk.told(told.ConnectionCleared, B)).releasing_device == A
        assert (await desk.told(told.ConnectionCleared, C)).cause is Cause.NORMAL
        await is_home(desk)


async def test_c_answers_while_a_takes_b_back() -> None:
    async with open_desk() as desk:
        desk.exchange.release_delay_s = 1.0
        _, _, other = await called(desk)
        await desk.reconnect(A)
        other.answer()
        assert (await desk.told(told.ConnectionCleared, C)).cause is Cause.CANCELLED
        await desk.told(told.Retrieved, B)
        assert desk.exchange.heard() == TALKING | {C: set()}


async def test_a_hangs_up_and_b_stays_with_c() -> None:
    """And nobody has it back afterwards."""
    async with open_desk() as desk:
        agent, customer, other = await lent(desk)
        agent.hang_up()
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {B: {C}, C: {B}}
        other.hang_up()
        await desk.told(told.CallCleared)
        assert customer.is_over


async def test_a_hangs_up_while_c_rings_and_b_hears_why_c_can_not_be_had() -> None:
    async with open_desk() as desk:
        agent, customer, other = await called(desk)
        agent.hang_up()
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {B: {"ringback"}}
        other.refuse(Cause.BUSY)
        await desk.told(told.Failed, C)
        assert desk.exchange.heard() == {B: {"busy"}}
        await desk.told(told.CallCleared)
        assert customer.is_over


@pytest.mark.parametrize("lost", [False, True])
async def test_b_leaves_c_and_a_is_freed_with_the_cause(lost: bool) -> None:
    async with open_desk() as desk:
        agent, customer, other = await lent(desk)
        if lost:
            customer.vanish()
        else:
            customer.hang_up()
        expected = Cause.MEDIA_TIMEOUT if lost else Cause.NORMAL
        assert (await desk.told(told.ConnectionCleared, A)).cause is expected
        assert (await desk.told(told.ConnectionCleared, C)).cause is expected
        await desk.told(told.CallCleared)
        assert (agent.is_over, other.is_over) == (True, True)


async def test_c_s_telephone_is_lost_and_b_is_back() -> None:
    async with open_desk() as desk:
        _, _, other = await lent(desk)
        other.vanish()
        assert (await desk.told(told.ConnectionCleared, C)).cause is Cause.MEDIA_TIMEOUT
        await is_home(desk)


async def test_c_sends_b_on_and_it_comes_back_from_there() -> None:
    """C brings B together with D, whom it consulted: A still waits, and has it back from D."""
    async with open_desk() as desk:
        await lent(desk)
        _, second = desk.controller.calls()
        accepted = await desk.controller.submit(do.ConsultationCall(C, D))
        colleague = await desk.exchange.placed(D)
        colleague.answer()
        await desk.told(told.Established, D)
        await desk.bring_together(C, second.id, accepted.call)
        await desk.told(told.Transferred)
        assert desk.exchange.heard() == {A: {"moh"}, B: {D}, D: {B}}
        await desk.controller.submit(do.AssociateData(D, {"order": "2"}))
        await desk.told(told.CallInformation)
        colleague.hang_up()
        await is_home(desk)
        assert (await desk.told(told.CallInformation)).data == {"order": "2"}


async def test_a_takes_b_back_from_whom_c_has_sent_it_to() -> None:
    async with open_desk() as desk:
        await lent(desk)
        _, second = desk.controller.calls()
        accepted = await desk.controller.submit(do.ConsultationCall(C, D))
        (await desk.exchange.placed(D)).answer()
        await desk.told(told.Established, D)
        await desk.bring_together(C, second.id, accepted.call)
        await desk.told(told.Transferred)
        await desk.reconnect(A)
        gone = [await desk.told(told.ConnectionCleared) for _ in range(2)]
        assert [(each.device, each.releasing_device) for each in gone] == [(C, C), (B, A)]
        await is_home(desk)


async def test_c_lets_somebody_else_take_its_place_and_b_comes_back_from_there() -> None:
    async with open_desk() as desk:
        await lent(desk)
        _, second = desk.controller.calls()
        await desk.transfer(C, D, second.id)
        colleague = await desk.exchange.placed(D)
        colleague.answer()
        await desk.told(told.Transferred)
        assert desk.exchange.heard() == {A: {"moh"}, B: {D}, D: {B}}
        await desk.reconnect(A)
        await is_home(desk)


async def test_a_holds_meanwhile_and_b_comes_back_to_music() -> None:
    async with open_desk() as desk:
        _, _, other = await lent(desk)
        await desk.hold(A)
        await desk.told(told.Held, A)
        assert desk.exchange.heard() == LENT | {A: set()}
        other.hang_up()
        await desk.told(told.Retrieved, B)
        assert desk.exchange.heard() == {A: set(), B: {"moh"}}
        await desk.retrieve(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_a_holds_meanwhile_and_takes_b_back() -> None:
    async with open_desk() as desk:
        await lent(desk)
        await desk.hold(A)
        await desk.told(told.Held, A)
        await desk.reconnect(A)
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard() == TALKING


async def test_b_comes_back_by_itself() -> None:
    """By its own client: B swaps, and A has the data without waiting for the end of C's call."""
    async with open_desk() as desk:
        await lent(desk)
        first, second = desk.controller.calls()
        await desk.controller.submit(do.AssociateData(C, {"order": "3"}, second.id))
        await desk.told(told.CallInformation)
        await desk.alternate(B)
        await desk.told(told.Retrieved, B)
        assert desk.exchange.heard() == {A: {B}, B: {A}, C: {"moh"}}
        news = await desk.told(told.CallInformation)
        assert (news.call, news.data) == (first.id, {"order": "3"})


async def test_who_waits_with_another_call_on_hold_may_say_which_is_meant() -> None:
    """A consults B beside another call, and lends B: unnamed, ReconnectCall has B back."""
    async with open_desk() as desk:
        await desk.talking(A, "10010")
        first = desk.call.id
        second = await desk.consult(A, B)
        (await desk.exchange.placed(B)).answer()
        await desk.told(told.Established, B)
        await desk.controller.submit(do.LendCall(A, C, second))
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {A: {"moh"}, "10010": {"moh"}, B: {C}, C: {B}}
        await desk.reconnect(A)
        await desk.told(told.Retrieved, B)
        assert desk.exchange.heard() == {A: {B}, B: {A}, "10010": {"moh"}}
        await desk.controller.submit(do.LendCall(A, C, second))
        await desk.told(told.Held, B)
        await desk.controller.submit(do.ReconnectCall(A, second, first))
        await desk.told(told.Retrieved, A)
        assert desk.exchange.heard()[A] == {"10010"}


@pytest.mark.parametrize(
    ("destination", "reason"), [("", "empty_number"), ("x y", "bad_character")]
)
async def test_a_bad_number_is_refused(destination: str, reason: str) -> None:
    async with open_desk() as desk:
        await desk.talking()
        with pytest.raises(CommandRejected) as caught:
            await lend(desk, destination)
        assert caught.value.reason == reason
        assert desk.exchange.heard() == TALKING


async def test_only_the_one_other_party_who_is_in_no_other_call_can_be_lent() -> None:
    async with open_desk() as desk:
        await lent(desk)
        first, second = desk.controller.calls()
        for who, call, reason in ((A, first, "invalid_state"), (C, second, "device_busy")):
            with pytest.raises(CommandRejected) as caught:
                await desk.controller.submit(do.LendCall(who, D, call.id))
            assert caught.value.reason == reason
        assert desk.exchange.heard() == LENT


async def test_of_several_nobody_is_lent() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.SingleStepConference(A, D))
        (await desk.exchange.placed(D)).answer()
        await desk.told(told.Joined, D)
        with pytest.raises(CommandRejected) as caught:
            await lend(desk)
        assert caught.value.reason == "invalid_state"
        assert desk.exchange.heard() == {A: {B, D}, B: {A, D}, D: {A, B}}


async def test_who_only_listens_is_no_party_that_could_be_lent() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(do.JoinCall(S, A, Participation.SILENT))
        (await desk.exchange.placed(S)).answer()
        await desk.told(told.Joined)
        await lend(desk)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        assert desk.exchange.heard() == {**LENT, S: {A}}


@pytest.mark.parametrize("called", [True, False])
async def test_who_hangs_up_there_is_home_no_more_and_his_data_is(called: bool) -> None:
    """A supervisor keeps A company, so that call goes on, and nobody is muted in it."""
    async with open_desk() as desk:
        if called:
            _, customer = await desk.talking()
        else:
            customer, station = await desk.coming_in(B, A)
            station.answer()
            await desk.told(told.Established)
        first = desk.call.id
        second = await lend(desk)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.controller.submit(do.JoinCall(S, A, Participation.ACTIVE))
        (await desk.exchange.placed(S)).answer()
        await desk.told(told.Joined)
        await desk.controller.submit(do.AssociateData(C, {"order": "5"}, second))
        await desk.told(told.CallInformation)
        if called:  # a caller from outside has no client
            await desk.controller.submit(do.SetMicrophoneMute(B, True, second))
        customer.hang_up()
        await desk.told(told.ConnectionCleared, C)
        news = await desk.told(told.CallInformation)
        assert (news.call, news.device, news.data) == (first, A, {"order": "5"})
        assert desk.exchange.heard() == {A: {S}, S: {A}}
        await desk.clear(A)
        while (await desk.told(told.CallCleared)).call != first:
            continue
        muted = [each for each in desk.events if isinstance(each, told.MicrophoneMute)]
        assert [each.call for each in muted] == [second] * called


async def test_nobody_is_lent_while_somebody_is_about_to_take_a_place() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.transfer(A, D)
        (await desk.exchange.placed(D)).ring()
        await desk.told(told.Delivered, D)
        with pytest.raises(CommandRejected) as caught:
            await lend(desk)
        assert caught.value.reason == "transferring"


async def test_lending_counts_as_a_dial() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=1))
    async with open_desk(settings) as desk:
        await desk.talking()
        with pytest.raises(CommandRejected) as caught:
            await lend(desk)
        assert caught.value.reason == "dial_limit"


@pytest.mark.parametrize("muted", [True, False])
async def test_who_comes_back_is_muted_as_he_was_there(muted: bool) -> None:
    async with open_desk() as desk:
        await desk.talking()
        first = desk.call.id
        await desk.controller.submit(do.SetMicrophoneMute(B, not muted))
        second = await lend(desk)
        (await desk.exchange.placed(C)).answer()
        await desk.told(told.Established, C)
        await desk.controller.submit(do.SetMicrophoneMute(B, muted, second))
        await desk.clear(C)
        await desk.told(told.Retrieved, B)
        said = await desk.told(told.MicrophoneMute, B)
        assert (said.call, said.muted) == (first, muted)
        assert desk.exchange.heard() == {A: set() if muted else {B}, B: {A}}


async def test_the_lent_one_s_telephone_transfers_whom_it_talks_with() -> None:
    """It was the one who waits for him, and was sent away."""
    async with open_desk() as desk:
        _, customer, _ = await lent(desk)
        first, second = (call.id for call in desk.controller.calls())
        customer.ask_transfer(D, from_outside=True)
        assert (await desk.told(told.Transferring, B)).call == second
        (await desk.exchange.placed(D)).answer()
        assert (await desk.told(told.Transferred, B)).call == second
        assert (await desk.told(told.Retrieved, B)).call == first
        assert desk.exchange.heard() == {**TALKING, C: {D}, D: {C}}
