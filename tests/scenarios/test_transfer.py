"""Transfers: who hears whom in each outcome, and what everybody is told.

A is the agent 6001, B the customer 10086, C the colleague 6002.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol import machine
from endpoint.callcontrol.commands import SingleStepConference, SingleStepTransfer
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import (
    CallId,
    CallRecord,
    CallSettings,
    Interaction,
    Timer,
    TimerKind,
)
from endpoint.callcontrol.turn import call_record
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, InteractionId, LegRole, MediaConfirmed, Side
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

NOBODY: frozenset[str] = frozenset()
TALKING = {"6001": {"10086"}, "10086": {"6001"}}
TRANSFERRED = {"10086": {"6002"}, "6002": {"10086"}}


async def transferring(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg]:
    """A and B talk, and A has sent B to C, who rings: their telephones."""
    agent, customer = await desk.talking()
    await desk.transfer("6001", "6002")
    colleague = await desk.exchange.placed("6002")
    asked = await desk.told(told.Transferring, "6001")
    assert asked.transferred_to == "6002"
    assert desk.exchange.heard() == TALKING
    colleague.ring()
    await desk.told(told.Delivered, "6002")
    assert {"6001": {"ringback"}, "10086": {"ringback"}} == desk.exchange.heard()
    return agent, customer, colleague


async def test_c_answers_and_talks_with_b_and_a_is_let_go() -> None:
    async with open_desk() as desk:
        agent, customer, colleague = await transferring(desk)
        colleague.answer()
        done = await desk.told(told.Transferred, "6001")
        assert done.transferred_to == "6002"
        left = await desk.told(told.ConnectionCleared, "6001")
        assert (left.cause, left.text) == (Cause.NORMAL, "transferred to 6002")
        assert agent.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == TRANSFERRED
        customer.hang_up()
        over = await desk.told(told.CallCleared)
        assert over.releasing_device == "10086"
    (record,) = desk.records.written
    assert [(each.device, each.failed) for each in record.connections] == [
        ("6001", False),
        ("10086", False),
        ("6002", False),
    ]
    assert colleague.request is not None
    request = colleague.request
    assert (request.calling, request.calling_name) == ("6001", "10086")
    assert (request.on_behalf_of, request.withheld) == ("10086", False)


async def test_a_caller_who_withholds_his_number_is_not_shown_to_c() -> None:
    async with open_desk() as desk:
        desk.exchange.offer(DeviceId("10086"), DeviceId("6001"), LegRole.LINE, withheld=True)
        (await desk.exchange.placed("6001")).answer()
        await desk.told(told.Established)
        await desk.transfer("6001", "6002")
        colleague = await desk.exchange.placed("6002")
        assert colleague.request is not None
        assert (colleague.request.on_behalf_of, colleague.request.withheld) == ("10086", True)


async def test_of_a_conference_nobody_is_shown_to_c() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.controller.submit(SingleStepConference(DeviceId("6001"), "6003"))
        (await desk.exchange.placed("6003")).answer()
        await desk.told(told.Joined, "6003")
        await desk.transfer("6001", "6002")
        colleague = await desk.exchange.placed("6002")
        assert colleague.request is not None
        assert (colleague.request.on_behalf_of, colleague.request.calling_name) == (None, "")


@pytest.mark.parametrize(
    ("cause", "side"),
    [
        (Cause.BUSY, Side.DEVICE),
        (Cause.DECLINED, Side.DEVICE),
        (Cause.UNKNOWN_DEVICE, Side.NETWORK),
        (Cause.NOT_REGISTERED, Side.NETWORK),
    ],
)
async def test_c_can_not_be_had_and_a_and_b_talk_on(cause: Cause, side: Side) -> None:
    async with open_desk() as desk:
        _, customer, colleague = await transferring(desk)
        colleague.refuse(cause, by=side)
        failed = await desk.told(told.TransferFailed, "6001")
        assert (failed.cause, failed.transferred_to, failed.state) == (cause, "6002", "connected")
        assert desk.exchange.heard() == TALKING
        customer.hang_up()
        over = await desk.told(told.CallCleared)
        assert over.cause is Cause.NORMAL
    (record,) = desk.records.written
    assert record.connections[2].failed
    assert record.connections[2].ending.cause is cause


async def test_c_does_not_answer() -> None:
    settings = ControllerSettings(calls=CallSettings(no_answer_s=20))
    async with open_desk(settings) as desk:
        _, _, colleague = await transferring(desk)
        failed = await desk.told(told.TransferFailed, "6001")
        assert failed.cause is Cause.NO_ANSWER
        assert colleague.release_cause is Cause.NO_ANSWER
        assert desk.exchange.heard() == TALKING


async def test_c_declines_by_command() -> None:
    async with open_desk() as desk:
        await transferring(desk)
        await desk.clear("6002")
        failed = await desk.told(told.TransferFailed, "6001")
        assert failed.cause is Cause.DECLINED
        assert desk.exchange.heard() == TALKING


async def test_a_hangs_up_in_the_middle_and_b_waits_for_c() -> None:
    async with open_desk() as desk:
        agent, _, colleague = await transferring(desk)
        agent.hang_up()
        await desk.told(told.ConnectionCleared, "6001")
        assert {"10086": {"ringback"}} == desk.exchange.heard()
        colleague.answer()
        await desk.told(told.Transferred, "6001")
        assert desk.exchange.heard() == TRANSFERRED
        await desk.clear("6002")
        await desk.told(told.CallCleared)


async def test_a_has_left_before_c_rings_and_b_hears_that_somebody_is_called() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.transfer("6001", "6002")
        await desk.exchange.placed("6002")
        await desk.clear("6001")
        await desk.told(told.ConnectionCleared, "6001")
        assert {"10086": {"ringback"}} == desk.exchange.heard()


async def test_a_has_left_and_c_is_busy_so_b_hears_it_and_is_let_go() -> None:
    async with open_desk() as desk:
        agent, customer, colleague = await transferring(desk)
        agent.hang_up()
        await desk.told(told.ConnectionCleared, "6001")
        colleague.refuse(Cause.BUSY)
        failed = await desk.told(told.TransferFailed, "6001")
        assert failed.state == "null"
        assert {"10086": {"busy"}} == desk.exchange.heard()
        over = await desk.told(told.CallCleared)
        assert over.cause is Cause.BUSY
        assert customer.release_cause is Cause.BUSY
        assert desk.exchange.heard() == {}


async def test_b_hangs_up_in_the_middle_and_c_rings_no_more() -> None:
    async with open_desk() as desk:
        agent, customer, colleague = await transferring(desk)
        customer.hang_up()
        failed = await desk.told(told.TransferFailed, "6001")
        assert (failed.cause, failed.releasing_device) == (Cause.NORMAL, "10086")
        cancelled = await desk.told(told.ConnectionCleared, "6002")
        assert cancelled.cause is Cause.CANCELLED
        assert colleague.release_cause is Cause.CANCELLED
        await desk.told(told.CallCleared)
        assert agent.release_cause is Cause.NORMAL
        assert desk.exchange.heard() == {}


async def test_a_held_b_and_hears_nothing_until_c_answers() -> None:
    """As most telephones do it: hold, then transfer."""
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.hold("6001")
        await desk.told(told.Held)
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()
        await desk.transfer("6001", "6002")
        colleague = await desk.exchange.placed("6002")
        colleague.ring()
        await desk.told(told.Delivered, "6002")
        assert {"6001": NOBODY, "10086": {"ringback"}} == desk.exchange.heard()
        colleague.answer()
        await desk.told(told.Transferred)
        assert desk.exchange.heard() == TRANSFERRED
        assert customer.offers == ["hold", "resume"]


async def test_a_held_b_and_takes_it_back_when_c_is_busy() -> None:
    async with open_desk() as desk:
        await desk.talking()
        await desk.hold("6001")
        await desk.transfer("6001", "6002")
        (await desk.exchange.placed("6002")).refuse(Cause.BUSY)
        await desk.told(told.TransferFailed)
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()
        await desk.retrieve("6001")
        await desk.told(told.Retrieved)
        assert desk.exchange.heard() == TALKING


async def test_early_media_of_c_is_what_those_who_wait_hear() -> None:
    async with open_desk() as desk:
        _, _, colleague = await transferring(desk)
        colleague.ring(early_media=True)
        colleague.speak()
        await desk.told(told.MediaConfirmed, "6002")
        assert {"6001": {"6002"}, "10086": {"6002"}} == desk.exchange.heard()


async def test_a_customer_who_called_is_transferred() -> None:
    """The one who transfers is the called one."""
    async with open_desk() as desk:
        customer, agent = await desk.coming_in()
        agent.answer()
        await desk.told(told.Established)
        await desk.transfer("6001", "6002")
        colleague = await desk.exchange.placed("6002")
        colleague.ring()
        colleague.answer()
        await desk.told(told.Transferred)
        assert desk.exchange.heard() == TRANSFERRED
        colleague.hang_up()
        await desk.told(told.CallCleared)
        assert customer.release_cause is Cause.NORMAL


async def test_a_second_transfer_waits_for_the_first_and_may_follow_it() -> None:
    async with open_desk() as desk:
        _, _, colleague = await transferring(desk)
        with pytest.raises(CommandRejected, match="being transferred to 6002") as refusal:
            await desk.transfer("6001", "6003")
        assert refusal.value.reason == "transferring"
        colleague.answer()
        await desk.told(told.Transferred)
        await desk.transfer("6002", "6003")
        third = await desk.exchange.placed("6003")
        third.answer()
        await desk.told(told.Transferred, "6002")
        assert {"10086": {"6003"}, "6003": {"10086"}} == desk.exchange.heard()


@pytest.mark.parametrize("destination", ["", "a b", "1--2"])
async def test_a_destination_that_is_none(destination: str) -> None:
    async with open_desk() as desk:
        await desk.talking()
        with pytest.raises(CommandRejected):
            await desk.controller.submit(SingleStepTransfer(DeviceId("6001"), destination))
        assert desk.exchange.heard() == TALKING


async def test_digits_behind_the_number_are_for_who_takes_the_place() -> None:
    async with open_desk() as desk:
        _, customer = await desk.talking()
        await desk.transfer("6001", "6002-W7")
        colleague = await desk.exchange.placed("6002")
        colleague.answer()
        await desk.told(told.DigitsGenerated, "6002")
        assert (colleague.digits, customer.digits) == ("7", "")


async def test_digits_that_wait_for_b_are_not_sent_to_anybody_else() -> None:
    async with open_desk() as desk:
        await desk.dial("6001", "10086-W5")
        customer = await desk.exchange.placed("10086")
        customer.answer()
        await desk.told(told.Established)
        await desk.transfer("6001", "6002-WW7")
        colleague = await desk.exchange.placed("6002")
        await asyncio.sleep(1.5)
        colleague.answer()
        await desk.told(told.DigitsGenerated, "6002")
        assert (customer.digits, colleague.digits) == ("", "7")


# -- asked for by a phone (REFER) ----------------------------------------------------------------


async def test_a_phone_transfers_and_is_told_how_it_went() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("6002")
        colleague = await desk.exchange.placed("6002")
        colleague.ring()
        await desk.told(told.Delivered, "6002")
        assert agent.transfer == [100, 180]
        colleague.answer()
        await desk.told(told.Transferred, "6001")
        assert agent.transfer == [100, 180, 200]
        assert desk.exchange.heard() == TRANSFERRED


@pytest.mark.parametrize(("cause", "status"), [(Cause.BUSY, 486), (Cause.DECLINED, 603)])
async def test_a_phone_is_told_that_nobody_took_its_place(cause: Cause, status: int) -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("6002")
        (await desk.exchange.placed("6002")).refuse(cause)
        await desk.told(told.TransferFailed, "6001")
        assert agent.transfer == [100, status]
        assert desk.exchange.heard() == TALKING


async def test_a_phone_that_has_left_is_told_nevertheless() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("6002")
        colleague = await desk.exchange.placed("6002")
        agent.hang_up()
        colleague.answer()
        await desk.told(told.Transferred, "6001")
        assert agent.transfer == [100, 200]


async def test_a_phone_may_not_transfer_what_nobody_has_answered() -> None:
    async with open_desk() as desk:
        await desk.ringing()
        agent = await desk.exchange.placed("6001")
        agent.ask_transfer("6002")
        (await desk.exchange.placed("10086")).answer()
        await desk.told(told.Established)
        assert agent.transfer == [488]


async def test_s12_a_phone_may_dial_nothing_by_a_transfer_that_it_may_not_dial() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("00 1900")
        agent.speak()
        await desk.told(told.MediaConfirmed)
        assert agent.transfer == [484]
        assert desk.exchange.heard() == TALKING


async def test_s12_transfers_count_as_dials() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=2))
    async with open_desk(settings) as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("6002")
        (await desk.exchange.placed("6002")).refuse(Cause.BUSY)
        await desk.told(told.TransferFailed)
        agent.ask_transfer("6003")
        agent.speak()
        await desk.told(told.MediaConfirmed)
        assert agent.transfer == [100, 486, 403]
        with pytest.raises(CommandRejected) as refusal:
            await desk.transfer("6001", "6003")
        assert refusal.value.reason == "dial_limit"
        assert desk.exchange.heard() == TALKING


async def test_s12_who_asks_from_outside_has_our_device_dial() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=2))
    async with open_desk(settings) as desk:
        _, customer = await desk.talking()
        customer.ask_transfer("6002", from_outside=True)
        colleague = await desk.exchange.placed("6002")
        assert colleague.request is not None
        assert colleague.request.calling == "6001"
        colleague.refuse(Cause.BUSY)
        await desk.told(told.TransferFailed, "10086")
        customer.ask_transfer("6003", from_outside=True)
        customer.speak()
        await desk.told(told.MediaConfirmed)
        assert customer.transfer == [100, 486, 403]


async def test_an_alias_leads_to_its_extension() -> None:
    async with open_desk(aliases={"8002": "6002"}) as desk:
        agent, _ = await desk.talking()
        agent.ask_transfer("8002")
        (await desk.exchange.placed("6002")).answer()
        done = await desk.told(told.Transferred)
        assert done.transferred_to == "6002"


# -- two calls are brought together ----------------------------------------------------------------


async def consulting(desk: Desk) -> tuple[FakeLeg, FakeLeg, FakeLeg, FakeLeg, CallId, CallId]:
    """A's phone holds B, and has called C: A's two lines, B, C, and the two calls."""
    agent, customer = await desk.talking()
    first = desk.call.id
    agent.hold()
    await desk.told(told.Held)
    second = desk.exchange.offer("6001", "6002", LegRole.STATION)
    colleague = await desk.exchange.placed("6002")
    colleague.ring()
    other = (await desk.told(told.Delivered, "6002")).call
    return agent, customer, second, colleague, first, other


async def test_two_calls_are_brought_together_by_command() -> None:
    async with open_desk() as desk:
        agent, _, second, colleague, first, other = await consulting(desk)
        colleague.answer()
        await desk.told(told.Established, "6002")
        await desk.bring_together("6001", other, first)
        done = await desk.told(told.Transferred, "6001")
        assert (done.call, done.transferred_to) == (first, "6002")
        assert desk.exchange.heard() == TRANSFERRED
        assert (agent.release_cause, second.release_cause) == (Cause.NORMAL, Cause.NORMAL)
        assert [call.id for call in desk.controller.calls()] == [first]
        colleague.hang_up()
        await desk.told(told.CallCleared, "6001")
    assert sorted(record.call for record in desk.records.written) == sorted([first, other])


async def test_two_calls_are_brought_together_by_the_phone() -> None:
    """REFER with Replaces, where both calls are with us."""
    async with open_desk() as desk:
        agent, _, second, colleague, _, _ = await consulting(desk)
        colleague.answer()
        await desk.told(told.Established, "6002")
        agent.ask_transfer("6002", replaces=second)
        await desk.told(told.Transferred, "6001")
        assert desk.exchange.heard() == TRANSFERRED
        assert agent.transfer == [100, 200]
        assert (agent.release_cause, second.release_cause) == (Cause.NORMAL, Cause.NORMAL)


async def test_c_still_rings_when_the_calls_are_brought_together() -> None:
    async with open_desk() as desk:
        _, customer, second, colleague, first, other = await consulting(desk)
        await desk.bring_together("6001", other, first)
        await desk.told(told.CallCleared)
        assert second.is_over
        assert {"6001": NOBODY, "10086": {"ringback"}} == desk.exchange.heard()
        colleague.answer()
        await desk.told(told.Transferred, "6001")
        assert desk.exchange.heard() == TRANSFERRED
        assert customer.offers == ["hold", "resume"]


async def test_c_rings_on_after_the_calls_were_brought_together_and_is_given_up() -> None:
    """The deadline goes with the leg."""
    settings = ControllerSettings(calls=CallSettings(no_answer_s=20))
    async with open_desk(settings) as desk:
        _, _, _, colleague, first, other = await consulting(desk)
        await desk.bring_together("6001", other, first)
        failed = await desk.told(told.TransferFailed, "6001")
        assert failed.cause is Cause.NO_ANSWER
        assert colleague.release_cause is Cause.NO_ANSWER
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()


async def test_what_was_decided_is_done_before_another_interaction_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deadline that is to run behind a record which is being written is one of both."""
    async with open_desk() as desk:
        _, _, second, colleague, first, other = await consulting(desk)
        colleague.answer()
        await desk.told(told.Established, "6002")
        (record,) = (
            call_record(InteractionId("i"), call)
            for call in desk.controller.calls()
            if call.id == other
        )
        timer = Timer(TimerKind.POST_DIAL, colleague.id)
        may_write = asyncio.Event()

        async def slow(record: CallRecord) -> None:
            await may_write.wait()

        def step(
            state: Interaction, stimulus: machine.Stimulus, now: datetime
        ) -> tuple[Interaction, tuple[do.Effect, ...]]:
            state, effects = machine.step(state, stimulus, now)
            if isinstance(stimulus, MediaConfirmed):
                state = replace(state, timers=state.timers | {timer})
                effects += (do.WriteRecord(record), do.StartTimer(timer, 30.0))
            return state, effects

        desk.records.write = slow  # type: ignore[method-assign]
        monkeypatch.setattr("endpoint.callcontrol.runner.step", step)
        second.speak()
        await desk.told(told.MediaConfirmed)
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.bring_together("6001", other, first))
            await asyncio.sleep(1)
            may_write.set()
        await desk.told(told.Transferred, "6001")
        with capture_logs() as logs:
            colleague.hang_up()
            await desk.told(told.CallCleared, "6001")
            await asyncio.sleep(60)
        assert [each["event"] for each in logs] == ["call over"]


async def test_a_caller_whom_nobody_has_answered_is_not_brought_into_another_call() -> None:
    """Nobody would answer him there: he would wait for ever, and the transfer with him."""
    async with open_desk() as desk:
        desk.exchange.offer("6001", "10086", LegRole.STATION)
        (await desk.exchange.placed("10086")).answer()
        first = (await desk.told(told.Established)).call
        caller, station = await desk.coming_in("10010")
        (other,) = (call.id for call in desk.controller.calls() if call.id != first)
        with pytest.raises(CommandRejected) as refusal:
            await desk.bring_together("6001", other, first)
        assert refusal.value.reason == "invalid_state"
        assert not caller.is_over
        station.answer()
        await desk.told(told.Established)
        await desk.bring_together("6001", other, first)
        await desk.told(told.Transferred, "6001")
        assert desk.exchange.heard() == {"10010": {"10086"}, "10086": {"10010"}}


async def test_digits_that_wait_for_c_are_never_sent_to_b() -> None:
    async with open_desk() as desk:
        desk.exchange.offer("6001", "10086-WWW5", LegRole.STATION)
        customer = await desk.exchange.placed("10086")
        customer.answer()
        first = (await desk.told(told.Established)).call
        desk.exchange.offer("6001", "10010-WWWWW7", LegRole.STATION)
        colleague = await desk.exchange.placed("10010")
        colleague.answer()
        other = (await desk.told(told.Established)).call
        await desk.bring_together("6001", other, first)
        await desk.told(told.Transferred)
        await desk.told(told.DigitsGenerated)
        await asyncio.sleep(10)
        assert (customer.digits, colleague.digits) == ("", "7")


async def test_nobody_takes_somebody_elses_call() -> None:
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        first = desk.call.id
        stranger, _ = await desk.talking("6003", "10010")
        others = [call.id for call in desk.controller.calls() if call.id != first]
        with pytest.raises(CommandRejected) as refusal:
            await desk.bring_together("6001", others[0], first)
        assert refusal.value.reason == "unknown_call"
        agent.ask_transfer("10010", replaces=stranger)
        agent.speak()
        await desk.told(told.MediaConfirmed)
        assert agent.transfer == [481]
        talking = {**TALKING, "6003": {"10010"}, "10010": {"6003"}}
        assert desk.exchange.heard() == talking


# -- the far end does it (REFER sent by us) -------------------------------------------------------


async def referring(desk: Desk) -> tuple[FakeLeg, FakeLeg]:
    """A and B talk over a line that wants REFER, and A has sent B to C."""
    customer = await desk.ringing()
    customer.refers = True
    customer.answer()
    await desk.told(told.Established)
    await desk.transfer("6001", "6002")
    await desk.told(told.Transferring)
    assert customer.referred_to == "6002"
    assert desk.exchange.heard() == TALKING
    return await desk.exchange.placed("6001"), customer


async def test_the_far_end_calls_c_and_we_are_out() -> None:
    async with open_desk() as desk:
        agent, customer = await referring(desk)
        customer.tell_outcome(200)
        done = await desk.told(told.Transferred, "6001")
        assert done.transferred_to == "6002"
        await desk.told(told.CallCleared)
        assert (agent.release_cause, customer.release_cause) == (Cause.NORMAL, Cause.NORMAL)


@pytest.mark.parametrize(
    ("status", "cause"),
    [(603, Cause.DECLINED), (486, Cause.BUSY), (408, Cause.NO_ANSWER), (None, Cause.BUSY)],
)
async def test_the_far_end_does_not_get_c_and_a_and_b_talk_on(
    status: int | None, cause: Cause
) -> None:
    async with open_desk() as desk:
        _, customer = await referring(desk)
        customer.tell_outcome(status, cause)
        failed = await desk.told(told.TransferFailed, "6001")
        assert (failed.sip_status, failed.cause) == (status, cause)
        assert desk.exchange.heard() == TALKING


async def test_the_far_end_is_not_sent_to_an_extension_of_ours() -> None:
    """It would not find it: we stay in the middle."""
    async with open_desk(aliases={"6002": "6002"}) as desk:
        customer = await desk.ringing()
        customer.refers = True
        customer.answer()
        await desk.told(told.Established)
        await desk.transfer("6001", "6002")
        (await desk.exchange.placed("6002")).answer()
        await desk.told(told.Transferred)
        assert customer.referred_to == ""
        assert desk.exchange.heard() == TRANSFERRED


async def test_the_far_end_tells_nothing() -> None:
    async with open_desk() as desk:
        await referring(desk)
        failed = await desk.told(told.TransferFailed, "6001")
        assert failed.cause is Cause.NO_ANSWER
        assert desk.exchange.heard() == TALKING


async def test_the_far_end_hangs_up_before_it_tells() -> None:
    async with open_desk() as desk:
        _, customer = await referring(desk)
        customer.hang_up()
        await desk.told(told.TransferFailed, "6001")
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {}
