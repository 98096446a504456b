"""The dial plan in calls: what it refuses is refused by every way, and kept with its reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dialplan import Action, DialPlan, Rule
from endpoint.callcontrol.dials import REFUSALS_KEPT, WINDOW_S, DialLimits
from endpoint.callcontrol.explanation import explain
from endpoint.callcontrol.model import CallDirection, CallRecord
from endpoint.errors import CommandRejected
from endpoint.legs.base import (
    Cause,
    DeviceId,
    InteractionId,
    LegDiverted,
    LegRole,
    OfferRefused,
    Side,
)
from endpoint.legs.numbering import NumberRule, TrunkNumbers
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A = DeviceId("6001")
CUSTOMER = DeviceId("10086")
PREMIUM = "0900123456"
PLAN = DialPlan(
    trunks=(TrunkNumbers("carrier", (NumberRule("*"),)),),
    refused=("0900*", "+49900*"),
    emergency=("112",),
)


def refused_dials(desk: Desk) -> list[CallRecord]:
    return [record for record in desk.records.written if not record.connections]


# -- what is refused ----------------------------------------------------------------------------


async def in_a_call(desk: Desk) -> None:
    await desk.talking("6001")


async def ringing(desk: Desk) -> None:
    await desk.coming_in("10086", "6001")


async def nowhere(_desk: Desk) -> None:
    pass


WAYS: dict[str, tuple[Callable[[Desk], Awaitable[None]], Callable[[str], do.Command]]] = {
    "dial": (nowhere, lambda to: do.MakeCall(A, to)),
    "consult": (in_a_call, lambda to: do.ConsultationCall(A, to)),
    "transfer": (in_a_call, lambda to: do.SingleStepTransfer(A, to)),
    "add": (in_a_call, lambda to: do.SingleStepConference(A, to)),
    "lend": (in_a_call, lambda to: do.LendCall(A, to)),
    "deflect": (ringing, lambda to: do.DeflectCall(A, to)),
}
SPELLINGS = [PREMIUM, "0.900.123456", "+49900123456", "0900-123456", "09-W00123456", "*31#0900123"]


@pytest.mark.parametrize("way", WAYS)
async def test_s12_a_refused_number_is_refused_by_every_command_and_recorded(way: str) -> None:
    prepare, command = WAYS[way]
    async with open_desk(plan=PLAN) as desk:
        await prepare(desk)
        legs = len(desk.exchange.open_legs)
        # Who is called in is called without digits behind the number.
        spellings = [each for each in SPELLINGS if way != "add" or "-" not in each]
        for spelling in spellings:
            with capture_logs() as logs, pytest.raises(CommandRejected) as caught:
                await desk.controller.submit(command(spelling))
            assert caught.value.reason == "number_refused"
            assert "plan.refused" in str(caught.value)
            (line,) = (log for log in logs if log["event"] == "dial refused")
            assert (line["device"], line["reason"]) == ("6001", "plan.refused")
        assert len(desk.exchange.open_legs) == legs
        records = refused_dials(desk)
        assert [record.called for record in records] == [
            spelling.partition("-")[0] for spelling in spellings
        ]
        assert len({record.call for record in records}) == len(spellings)
        (one, *_) = records
        assert (one.calling, one.direction) == (A, CallDirection.OUTBOUND)
        assert (one.ending.cause, one.ending.released_by) == (Cause.NUMBER_REFUSED, Side.ENDPOINT)
        assert "0900*" in one.ending.text


async def test_s12_a_telephone_that_dials_a_refused_number_hears_so() -> None:
    async with open_desk(plan=PLAN) as desk:
        phone = desk.exchange.offer("6001", PREMIUM, LegRole.STATION)
        failed = await desk.told(told.Failed, "6001")
        assert (failed.cause, failed.q850) == (Cause.NUMBER_REFUSED, 21)
        await desk.told(told.CallCleared)
        assert phone.release_cause is Cause.NUMBER_REFUSED
        (record,) = desk.records.written
        assert (record.called, record.ending.cause) == (PREMIUM, Cause.NUMBER_REFUSED)


async def test_s12_who_dials_in_vain_in_a_loop_does_not_fill_the_records() -> None:
    """By command and at the telephone; every one is refused, and others' are recorded as ever."""
    async with open_desk(plan=PLAN) as desk:
        with capture_logs() as logs:
            for _ in range(REFUSALS_KEPT + 5):
                with pytest.raises(CommandRejected, match="0900"):
                    await desk.controller.submit(do.MakeCall(A, PREMIUM))
            phone = desk.exchange.offer(A, PREMIUM, LegRole.STATION)
            other = desk.exchange.offer("6002", PREMIUM, LegRole.STATION)
            await desk.told(told.CallCleared)
        assert [phone.release_cause, other.release_cause] == [Cause.NUMBER_REFUSED] * 2
        devices = [record.calling for record in desk.records.written]
        assert devices == [A] * REFUSALS_KEPT + ["6002"]
        assert sum(log["event"] == "dial refused" for log in logs) == REFUSALS_KEPT + 1
        await asyncio.sleep(WINDOW_S)
        with pytest.raises(CommandRejected):
            await desk.controller.submit(do.MakeCall(A, PREMIUM))
        assert desk.records.written[-1].calling == A


async def test_a_trunk_s_call_that_is_refused_is_recorded_and_not_without_end() -> None:
    async with open_desk(plan=PLAN) as desk:
        with capture_logs() as logs:
            for number in range(REFUSALS_KEPT + 5):
                desk.exchange.tell(
                    OfferRefused(
                        InteractionId(f"x{number}"), "carrier", CUSTOMER, A, Cause.BUSY, "Closed."
                    )
                )
            await desk.talking("6002")
        said = [(log["device"], log["reason"]) for log in logs if log["event"] == "dial refused"]
        assert said == [("trunk carrier", "Closed.")] * REFUSALS_KEPT
        found = refused_dials(desk)
        assert len({record.call for record in found}) == len(found) == REFUSALS_KEPT
        one = found[0]
        assert (one.direction, one.calling, one.called) == (CallDirection.INBOUND, CUSTOMER, A)
        assert (one.ending.cause, one.ending.text) == (Cause.BUSY, "Closed.")
        assert "called from outside" in explain(one)[0]
        await desk.clear("6002")
        await desk.told(told.CallCleared)


async def test_s12_a_telephone_transfers_to_no_refused_number() -> None:
    """Whoever asks: our telephone, or the far end, for whom our device dials."""
    async with open_desk(plan=PLAN) as desk:
        agent, customer = await desk.talking()
        agent.ask_transfer(PREMIUM)
        customer.ask_transfer("+49900123456", from_outside=True)
        agent.speak()
        await desk.told(told.MediaConfirmed)
        assert (agent.transfer, customer.transfer) == ([403], [403])
        assert [(each.calling, each.called) for each in refused_dials(desk)] == [
            (A, PREMIUM),
            (A, "+49900123456"),
        ]


async def test_s12_a_far_end_is_asked_to_call_no_refused_number() -> None:
    """A line that wants transfers by REFER dials for us."""
    async with open_desk(plan=PLAN) as desk:
        far = await desk.ringing()
        far.refers = True
        far.answer()
        await desk.told(told.Established)
        with pytest.raises(CommandRejected) as caught:
            await desk.transfer("6001", PREMIUM)
        assert caught.value.reason == "number_refused"
        assert far.referred_to == ""


async def test_what_can_not_be_done_anyway_is_told_first() -> None:
    async with open_desk(plan=PLAN) as desk:
        await desk.talking()
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(do.DeflectCall(A, PREMIUM))
        assert caught.value.reason == "invalid_state"
        assert refused_dials(desk) == []


async def test_a_record_that_can_not_be_kept_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_desk(plan=PLAN) as desk:
        await desk.talking()

        async def fail(_record: CallRecord) -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(desk.records, "write", fail)
            with capture_logs() as logs, pytest.raises(CommandRejected) as caught:
                await desk.transfer("6001", PREMIUM)
        assert caught.value.reason == "number_refused"
        assert [log for log in logs if log["event"] == "record of a refused call is lost"]
        await desk.hold("6001")
        await desk.told(told.Held)


async def test_a_limit_s_refusal_is_recorded_too() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=1))
    async with open_desk(settings, plan=PLAN) as desk:
        await desk.talking()
        for _ in range(2):
            with pytest.raises(CommandRejected):
                await desk.transfer("6001", "10087")
        assert [each.ending.cause for each in refused_dials(desk)] == [Cause.DIAL_LIMIT] * 2


# -- rules -------------------------------------------------------------------------------------


async def test_a_rule_of_the_plan_means_a_device() -> None:
    operator = Rule("operator", "0", Action.DEVICE, device="8009", callers=("6001",))
    plan = replace(PLAN, rules=(operator,))
    async with open_desk(plan=plan, aliases={"8009": "6009"}) as desk:
        await desk.dial("6001", "0")
        (await desk.exchange.placed("6009")).refuse(Cause.BUSY)
        await desk.told(told.CallCleared)
        await desk.dial("6002", "0")
        (await desk.exchange.placed("0")).refuse(Cause.BUSY)
        await desk.told(told.CallCleared)


async def test_a_plan_that_is_exchanged_counts_from_the_next_number_on() -> None:
    async with open_desk(plan=PLAN) as desk:
        far = await desk.dialled("6001", "030123")
        no_more = Rule("closed", "0*", Action.REFUSE, text="Closed.")
        desk.controller.plan.plan = replace(PLAN, rules=(no_more,))
        far.ring()
        await desk.told(told.Delivered)
        with pytest.raises(CommandRejected, match="Closed"):
            await desk.dial("6002", "030124")


async def test_rules_count_at_their_hours() -> None:
    """The desk opens on a Wednesday at noon, in UTC."""
    closed = Rule("evening", "0*", Action.REFUSE, hours="wed 12:05-13:00", text="Closed.")
    async with open_desk(plan=replace(PLAN, rules=(closed,))) as desk:
        await desk.dialled("6001", "030123")
        await desk.clear("6001")
        await desk.told(told.CallCleared)
        await desk.let_pass(5 * 60)
        with pytest.raises(CommandRejected, match="Closed"):
            await desk.dial("6001", "030123")


# -- emergencies -------------------------------------------------------------------------------


async def test_who_is_in_need_is_kept_back_by_no_limit() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=1, at_once=1))
    refuse_all = Rule("nothing", "*", Action.REFUSE)
    async with open_desk(settings, plan=replace(PLAN, rules=(refuse_all,))) as desk:
        for _ in range(3):
            await desk.dialled("6001", "112")
            await desk.clear("6001")
            await desk.told(told.CallCleared)
        phone = desk.exchange.offer("6001", "112", LegRole.STATION)
        await desk.exchange.placed("112")
        phone.hang_up()
        await desk.told(told.CallCleared)
        assert refused_dials(desk) == []


async def test_nobody_of_ours_is_called_for_help_by_an_alias() -> None:
    async with open_desk(plan=PLAN, aliases={"112": "6005"}) as desk:
        await desk.dialled("6001", "112")
        assert [leg.device for leg in desk.exchange.open_legs] == ["6001", "112"]
        await desk.clear("6001")
        await desk.told(told.CallCleared)


async def test_an_emergency_counts_for_nothing_against_the_next_dial() -> None:
    settings = ControllerSettings(dials=DialLimits(per_minute=1))
    async with open_desk(settings, plan=PLAN) as desk:
        for number in ("112", "10086"):
            await desk.dialled("6001", number)
            await desk.clear("6001")
            await desk.told(told.CallCleared)


# -- how much ----------------------------------------------------------------------------------


def at_once(most: int, **facts: Any) -> ControllerSettings:
    return ControllerSettings(dials=DialLimits(None, most), **facts)


async def test_s12_parties_outside_that_a_device_brought_together_and_left_still_count() -> None:
    async with open_desk(at_once(2), plan=PLAN) as desk:
        _, customer = await desk.talking("6001", "10086")
        await desk.transfer("6001", "10087")
        other = await desk.exchange.placed("10087")
        other.answer()
        await desk.told(told.Transferred)
        assert desk.call.connection_of(A) is not None
        with pytest.raises(CommandRejected) as caught:
            await desk.dial("6001", "10088")
        assert caught.value.reason == "dial_limit"
        assert "2 at once" in str(caught.value)
        customer.hang_up()
        await desk.told(told.CallCleared)
        await desk.dialled("6001", "10088")


async def test_colleagues_to_whom_it_has_sent_calls_do_not() -> None:
    """Who transfers calls all day long is not kept from that."""
    plan = replace(PLAN, devices={"6003": "station"})
    async with open_desk(at_once(2), plan=plan, aliases={"6002": "6002"}) as desk:
        for colleague in ("6002", "6003"):
            caller, station = await desk.coming_in("10086", "6001")
            station.answer()
            await desk.told(told.Established)
            caller.is_up = True
            await desk.controller.submit(do.SingleStepTransfer(A, colleague))
            (await desk.exchange.placed(colleague)).answer()
            await desk.told(told.Transferred)
        await desk.dialled("6001", "10088")


async def test_s12_a_call_that_is_forwarded_is_a_dial_of_who_had_that_telephone_called() -> None:
    """An outside caller's agent calls somebody in, whose telephone sends the call on."""
    settings = ControllerSettings(dials=DialLimits(per_minute=2))
    async with open_desk(settings, plan=PLAN) as desk:
        caller, station = await desk.coming_in("10086", "6001")
        station.answer()
        await desk.told(told.Established)
        await desk.controller.submit(do.SingleStepConference(A, "6002"))
        colleague = await desk.exchange.placed("6002")
        colleague.ring()
        desk.exchange.tell(LegDiverted(colleague.id, DeviceId("10087")))
        await desk.told(told.Diverted)
        with pytest.raises(CommandRejected) as caught:
            await desk.controller.submit(do.SingleStepConference(A, "6003"))
        assert caught.value.reason == "dial_limit"
        caller.hang_up()


async def test_devices_that_a_pattern_names_have_limits_of_their_own() -> None:
    own = (DialLimits(2, 4, "_60[1-9]X"), DialLimits(9, 4, "60*"))
    settings = ControllerSettings(dials=DialLimits(per_minute=1), dials_of=own)
    async with open_desk(settings, plan=PLAN) as desk:
        for device, most in (("6010", 2), ("6001", 9), ("7001", 1)):
            for _ in range(most):
                await desk.dialled(device)
                await desk.clear(device)
                await desk.told(told.CallCleared)
            with pytest.raises(CommandRejected) as caught:
                await desk.dial(device, "10086")
            assert caught.value.reason == "dial_limit"
            of = "calls.dials_per_minute" if device == "7001" else "calls.limits of"
            assert of in str(caught.value)
