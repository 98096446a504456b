"""What the record tells of a call: when each connection became what, and the way that it took."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from endpoint.app.lostcalls import OpenCallNotes
from endpoint.callcontrol import commands
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.model import (
    CallId,
    CallRecord,
    CallSettings,
    Hold,
    Moments,
    StepKind,
)
from endpoint.legs.base import (
    AudioFigures,
    Cause,
    DeviceId,
    IvrVisited,
    LegDiverted,
    LegQuality,
    LegRole,
)
from tests.scenarios.desk import START, Desk, MemoryRecords, open_desk

pytestmark = pytest.mark.scenario

AGENT, COLLEAGUE, CUSTOMER = "6001", "6002", "10086"
Told = tuple[str, str, str, str | None, CallId | None, Cause | None]


def steps(record: CallRecord) -> list[Told]:
    """Kind, by whom, to whom, whose place, the other call, why it failed."""
    return [
        (each.kind, each.by, each.to, each.place_of, each.call, each.cause) for each in record.steps
    ]


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


async def record_of(desk: Desk, call: CallId | None = None) -> CallRecord:
    """The record of a call that is over, or soon will be."""
    while True:
        for record in desk.records.written:
            if call in (None, record.call):
                return record
        await desk.told(told.CallCleared)


async def test_each_connection_has_its_moments() -> None:
    async with open_desk() as desk:
        far = await desk.dialled()
        await asyncio.sleep(1.5)
        far.ring()
        await asyncio.sleep(4.25)
        far.answer()
        await desk.told(told.Established)
        await asyncio.sleep(10)
        for seconds in (2, 3):
            await desk.hold(AGENT)
            await asyncio.sleep(seconds)
            await desk.retrieve(AGENT)
            await asyncio.sleep(1)
        far.hang_up()
        record = await record_of(desk)
    agent, customer = record.connections
    answered, end = START + after(5.75), START + after(22.75)
    assert customer.moments == Moments(START, START + after(1.5), answered, (), end)
    first, second = START + after(15.75), START + after(18.75)
    holds = (Hold(first, first + after(2)), Hold(second, second + after(3)))
    assert agent.moments == Moments(START, None, START, holds, end)


async def test_who_calls_us_is_there_when_he_is_answered() -> None:
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        await asyncio.sleep(3)
        await desk.answer(AGENT)
        await desk.told(told.Established)
        outside.hang_up()
        record = await record_of(desk)
    caller, agent = record.connections
    assert caller.from_outside
    assert not agent.from_outside
    assert caller.moments == Moments(START, None, START + after(3), (), START + after(3))
    assert agent.moments == Moments(START, START, START + after(3), (), START + after(3))
    assert station.is_over


async def test_what_was_held_at_the_end_was_held_until_then() -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()
        await desk.hold(AGENT)
        await asyncio.sleep(7)
        far.hang_up()
        record = await record_of(desk)
    assert record.connections[0].moments is not None
    assert record.connections[0].moments.holds == (Hold(START, START + after(7)),)


async def test_who_is_never_reached_was_never_there() -> None:
    async with open_desk() as desk:
        far = await desk.ringing()
        await asyncio.sleep(2)
        far.refuse(Cause.BUSY)
        record = await record_of(desk)
    _, customer = record.connections
    assert customer.failed
    assert customer.moments == Moments(START, START, None, (), START + after(2))


async def test_the_record_has_the_last_figures_of_each_leg() -> None:
    quality = LegQuality("PCMU", AudioFigures(100, 1.0, 2.5, 4.1), AudioFigures(99), 20.0)
    async with open_desk() as desk:
        agent, far = await desk.talking()
        far.quality = quality
        far.hang_up()
        record = await record_of(desk)
    assert [each.quality for each in record.connections] == [None, quality]
    assert agent.is_over


async def test_figures_that_do_not_come_keep_no_record_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()

        async def never(leg: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(desk.exchange, "last_quality", never)
        far.hang_up()
        record = await record_of(desk)
    assert [each.quality for each in record.connections] == [None, None]


# -- its way --------------------------------------------------------------------------------------


async def test_a_consultation_is_told_of_both_calls_and_a_transfer_where_it_went() -> None:
    async with open_desk() as desk:
        await desk.talking()
        first = desk.call.id
        second = await desk.consult(AGENT, COLLEAGUE)
        colleague = await desk.exchange.placed(COLLEAGUE)
        colleague.answer()
        await desk.told(told.Established, COLLEAGUE)
        await desk.bring_together(AGENT, second, first)
        await desk.told(told.Transferred)
        colleague.hang_up()
        of_second, of_first = await record_of(desk, second), await record_of(desk, first)
    assert steps(of_first) == [
        (StepKind.CONSULT, AGENT, COLLEAGUE, None, second, None),
        (StepKind.TRANSFER, AGENT, COLLEAGUE, AGENT, second, None),
    ]
    assert steps(of_second) == [
        (StepKind.CONSULT, AGENT, COLLEAGUE, None, first, None),
        (StepKind.TRANSFER, AGENT, COLLEAGUE, None, first, None),
    ]


async def test_a_transfer_that_failed_says_why() -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()
        await desk.transfer(AGENT, COLLEAGUE)
        (await desk.exchange.placed(COLLEAGUE)).refuse(Cause.BUSY)
        await desk.told(told.TransferFailed)
        far.hang_up()
        record = await record_of(desk)
    assert steps(record) == [(StepKind.TRANSFER, AGENT, COLLEAGUE, AGENT, None, Cause.BUSY)]


async def test_a_conference_is_told_of_both_calls() -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()
        first = desk.call.id
        second = await desk.consult(AGENT, COLLEAGUE)
        (await desk.exchange.placed(COLLEAGUE)).answer()
        await desk.told(told.Established, COLLEAGUE)
        await desk.conference(AGENT)
        await desk.told(told.Conferenced)
        of_second = await record_of(desk, second)
        await desk.controller.submit(commands.ClearCall(DeviceId(AGENT), first))
        of_first = await record_of(desk, first)
    last = (StepKind.CONFERENCE, AGENT, COLLEAGUE, None)
    assert steps(of_first)[-1] == (*last, second, None)
    assert steps(of_second)[-1] == (*last, first, None)
    assert far.is_over


async def test_a_party_that_is_lent_is_told_of_both_calls() -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()
        first = desk.call.id
        lent = await desk.controller.submit(commands.LendCall(DeviceId(AGENT), "8888"))
        ivr = await desk.exchange.placed("8888")
        ivr.answer()
        await desk.told(told.Established, "8888")
        ivr.hang_up()
        of_second = await record_of(desk, lent.call)
        far.hang_up()
        of_first = await record_of(desk, first)
    step = (StepKind.LEND, AGENT, "8888", CUSTOMER)
    assert steps(of_first) == [(*step, lent.call, None)]
    assert steps(of_second) == [(*step, first, None)]


async def test_a_parked_call_tells_who_parked_it_and_who_has_it() -> None:
    async with open_desk() as desk:
        await desk.talking()
        call = desk.call.id
        await desk.controller.submit(commands.ParkCall(DeviceId(AGENT), DeviceId("700")))
        await desk.told(told.Queued)
        pick_up = commands.DirectedPickupCall(DeviceId(COLLEAGUE), DeviceId("700"), call)
        await desk.controller.submit(pick_up)
        await desk.told(told.Established, COLLEAGUE)
        await desk.clear(COLLEAGUE, call)
        record = await record_of(desk)
    assert steps(record) == [
        (StepKind.PARK, AGENT, "700", AGENT, None, None),
        (StepKind.PICK_UP, COLLEAGUE, COLLEAGUE, "700", None, None),
    ]


async def test_who_sends_a_call_on_is_told_and_so_is_his_telephone() -> None:
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        deflect = commands.DeflectCall(DeviceId(AGENT), COLLEAGUE, desk.call.id)
        await desk.controller.submit(deflect)
        await desk.told(told.Diverted)
        colleague = await desk.exchange.placed(COLLEAGUE)
        desk.exchange.tell(LegDiverted(colleague.id, DeviceId("6003")))
        await desk.told(told.Diverted)
        outside.hang_up()
        record = await record_of(desk)
    assert steps(record) == [
        (StepKind.DEFLECT, AGENT, COLLEAGUE, AGENT, None, None),
        (StepKind.FORWARD, COLLEAGUE, "6003", COLLEAGUE, None, None),
    ]
    assert station.is_over


@pytest.mark.parametrize("listens_first", [False, True])
async def test_a_supervisor_who_takes_a_call_over_is_told(*, listens_first: bool) -> None:
    async with open_desk() as desk:
        await desk.talking()
        call = desk.call.id
        if listens_first:
            join = commands.JoinCall(DeviceId("6009"), DeviceId(AGENT), call=call)
            await desk.controller.submit(join)
            await desk.told(told.Joined)
        take = commands.InterceptCall(DeviceId("6009"), DeviceId(AGENT), call)
        await desk.controller.submit(take)
        await desk.told(told.ConnectionCleared, AGENT)
        await desk.clear("6009", call)
        record = await record_of(desk)
    assert steps(record) == [(StepKind.INTERCEPT, "6009", "6009", AGENT, None, None)]


async def test_a_telephone_that_takes_a_place_by_itself_is_told() -> None:
    async with open_desk() as desk:
        agent, far = await desk.talking()
        other = desk.exchange.offer(COLLEAGUE, AGENT, LegRole.STATION, replaces=agent)
        await desk.told(told.Transferred)
        other.hang_up()
        record = await record_of(desk)
    assert steps(record) == [(StepKind.REPLACE, COLLEAGUE, COLLEAGUE, AGENT, None, None)]
    assert far.is_over


async def test_a_transfer_by_the_far_end_is_told() -> None:
    settings = ControllerSettings(calls=CallSettings())
    async with open_desk(settings) as desk:
        far = await desk.ringing()
        far.refers = True
        far.answer()
        await desk.told(told.Established)
        await desk.transfer(AGENT, "10010")
        await desk.told(told.Transferring)
        far.tell_outcome(200)
        record = await record_of(desk)
    assert steps(record) == [(StepKind.TRANSFER, AGENT, "10010", AGENT, None, None)]


async def test_who_worked_at_a_device_when_it_came_into_the_call_is_told() -> None:
    """Who sits down there later had no part in it: past calls are shown by who had them."""
    seats = {AGENT: "1001"}
    settings = CallSettings(agent_at=lambda device: seats.get(device, ""))
    async with open_desk(ControllerSettings(calls=settings)) as desk:
        agent, far = await desk.talking()
        seats |= {AGENT: "1002", COLLEAGUE: "1003", CUSTOMER: "1004"}
        await desk.transfer(AGENT, COLLEAGUE)
        far.hang_up()
        record = await record_of(desk)
    found = {each.device: each.agent for each in record.connections if not each.from_outside}
    assert found[DeviceId(AGENT)] == "1001"
    assert found[DeviceId(COLLEAGUE)] == "1003"
    assert agent.is_over


async def test_a_caller_from_outside_works_nowhere_whatever_number_he_says() -> None:
    settings = CallSettings(agent_at=lambda device: f"at {device}")
    async with open_desk(ControllerSettings(calls=settings)) as desk:
        caller, _ = await desk.coming_in(COLLEAGUE, AGENT)
        caller.hang_up()
        record = await record_of(desk)
    found = {each.device: each.agent for each in record.connections}
    assert found == {COLLEAGUE: "", AGENT: f"at {AGENT}"}


# -- the flow -------------------------------------------------------------------------------------


async def test_the_nodes_of_a_flow_are_in_the_record_with_what_came_of_each() -> None:
    """Where the caller hangs up at one nothing has come of it."""
    visits = [
        ("welcome", ""),
        ("score", ""),
        ("score", "1"),
        ("score", ""),
        ("thanks", ""),
    ]
    async with open_desk() as desk:
        _, far = await desk.talking()
        for node, result in visits:
            far.exchange.tell(IvrVisited(far.id, "survey", node, "menu", result))
            seen = await desk.told(told.IvrVisited)
            assert (seen.node, seen.result) == (node, result)
        far.hang_up()
        record = await record_of(desk)
    assert [(each.flow, each.node, each.outcome) for each in record.ivr_path] == [
        ("survey", "welcome", ""),
        ("survey", "score", "1"),
        ("survey", "score", ""),
        ("survey", "thanks", ""),
    ]
    assert all(each.at >= START for each in record.ivr_path)


@pytest.mark.parametrize("sign_s", [-0.004, 0.7], ids=["before", "later"])
async def test_who_is_in_a_call_that_is_lost_leaves_it_when_we_died(
    tmp_path: Path, sign_s: float
) -> None:
    """Nothing in a record is later than its end, nothing goes on behind it."""
    notes, copy = OpenCallNotes(tmp_path / "notes"), tmp_path / "left"
    with notes.opened():
        async with open_desk(open_calls=notes) as desk:
            far = await desk.dialled()
            await asyncio.sleep(1)
            far.answer()
            await desk.told(told.Established, CUSTOMER)
            await asyncio.sleep(1)
            await desk.hold(AGENT)
            copy.write_bytes((tmp_path / "notes").read_bytes())
            far.hang_up()
            await desk.told(told.CallCleared)
    last = START + after(2 + sign_s)
    os.utime(copy, (last.timestamp(), last.timestamp()))
    records = MemoryRecords()
    left = OpenCallNotes(copy)
    with left.opened():
        assert await left.bring_in(records) == 1
    (record,) = records.written
    end = max(last, START + after(2))
    assert (record.ending.cause, record.ended_at) == (Cause.LOST, end)
    agent, customer = (each.moments for each in record.connections)
    assert agent is not None
    assert customer is not None
    assert agent.holds == (Hold(START + after(2), end),)
    assert agent.ended_at == customer.ended_at == end
