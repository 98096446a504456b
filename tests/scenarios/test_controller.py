"""What the controller answers for: order, refusals, isolation, draining, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from types import UnionType

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol import commands, machine
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dialplan import DialPlan
from endpoint.callcontrol.feed import EventsMissed
from endpoint.callcontrol.model import CallId, CallRecord
from endpoint.errors import CommandRejected, StorageError
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    InteractionId,
    LegHeld,
    LegId,
    LegRetrieved,
    LegRole,
    Route,
    TransferAsked,
)
from endpoint.legs.numbering import TrunkNumbers
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

A = DeviceId("6001")


async def refusal(desk: Desk, command: commands.Command) -> tuple[str, str]:
    """Reason and text of the refusal that a command must get."""
    with pytest.raises(CommandRejected) as caught:
        await desk.controller.submit(command)
    return caught.value.reason, str(caught.value)


# -- refusals --------------------------------------------------------------------------------------


async def test_refusals_name_device_call_state_and_what_is_allowed() -> None:
    async with open_desk() as desk:
        await desk.ringing()
        reason, text = await refusal(desk, commands.RetrieveCall(A))
        assert reason == "invalid_state"
        for word in ("RetrieveCall", "6001", "i1-1", "connected", "ClearConnection"):
            assert word in text
        reason, text = await refusal(desk, commands.HoldCall(A))
        assert reason == "not_established"
        assert "allowed now: AssociateData, ClearCall, ClearConnection" in text


async def test_commands_about_no_call() -> None:
    async with open_desk() as desk:
        assert await refusal(desk, commands.HoldCall(A)) == (
            "unknown_call",
            "HoldCall by 6001: 6001 is in no call; allowed now: MakeCall",
        )
        assert (await refusal(desk, commands.HoldCall(A, CallId("i9-1"))))[0] == "unknown_call"
        await desk.talking()
        stranger = commands.HoldCall(DeviceId("6002"), desk.call.id)
        reason, text = await refusal(desk, stranger)
        assert reason == "not_in_call"
        assert "6001, 10086 have" in text


async def test_one_device_dials_once() -> None:
    """Also when both commands come at the same moment: a double click is one call."""
    async with open_desk() as desk:
        both = [desk.dial("6001", "10086"), desk.dial("6001", "10010")]
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert first == "i1-1"
        assert isinstance(second, CommandRejected)
        assert second.reason == "device_busy"
        await desk.told(told.Originated)
        reason, text = await refusal(desk, commands.MakeCall(A, "10010"))
        assert reason == "device_busy"
        assert "connected in call i1-1" in text


async def test_a_device_in_two_calls_must_name_one() -> None:
    """Two calls ring at one station: the command says which, or is refused."""
    async with open_desk() as desk:
        _, first = await desk.coming_in("10086")
        second = desk.exchange.offer("10010", "6001", LegRole.LINE)
        await asyncio.sleep(1)
        (await desk.exchange.placed("6001")).ring()
        await desk.told(told.Delivered)
        reason, text = await refusal(desk, commands.AnswerCall(A))
        assert reason == "ambiguous_call"
        assert "in1-1 (alerting), in2-1 (alerting)" in text
        await desk.answer("6001", CallId("in2-1"))
        await desk.told(told.Established)
        assert second.is_up
        assert not first.is_up


async def test_a_command_that_is_refused_brings_no_interactions_together() -> None:
    """Whoever named a call of others had his own made part of their interaction."""
    async with open_desk() as desk:
        await desk.talking()
        theirs = desk.call.id
        own = await desk.dial("6002", "10010")
        (await desk.exchange.placed("10010")).answer()
        await desk.told(told.Established, "10010")
        before = [[call.id for call in each.calls] for each in desk.controller.interactions()]
        command = commands.AlternateCall(DeviceId("6002"), other=own, call=theirs)
        reason, _ = await refusal(desk, command)
        assert reason == "not_in_call"
        after = [[call.id for call in each.calls] for each in desk.controller.interactions()]
        assert after == before == [[theirs], [own]]


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("1-2-3", "two_dashes"),
        ("938834600-", "empty_extension"),
        ("938834600-80W01", "pause_after_digits"),
        ("-8001", "empty_number"),
        ("9388 34600", "bad_character"),
    ],
)
async def test_a_bad_dial_string_is_refused_by_name(destination: str, reason: str) -> None:
    """And leaves nothing behind: the device may dial again at once."""
    async with open_desk() as desk:
        assert (await refusal(desk, commands.MakeCall(A, destination)))[0] == reason
        assert desk.controller.calls() == ()
        await desk.talking()


@pytest.mark.parametrize("digits", ["", "12a", "W1", "１"])
async def test_bad_digits_are_refused_and_not_repeated(digits: str) -> None:
    async with open_desk() as desk:
        await desk.talking()
        reason, text = await refusal(desk, commands.GenerateDigits(A, digits))
        assert reason == "bad_digits"
        assert not digits or digits not in text


# -- events ----------------------------------------------------------------------------------------


async def test_events_are_numbered_and_replayed() -> None:
    """Two readers see the same; one that comes back reads on where it was."""
    async with open_desk() as desk:
        _, far = await desk.talking()
        seen = desk.controller.last_number
        far.hang_up()
        await desk.told(told.CallCleared)
        behind = desk.controller.subscribe(seen)
        missed = [await anext(behind) for _ in range(desk.controller.last_number - seen)]
        assert [each.number for each in missed] == list(
            range(seen + 1, desk.controller.last_number + 1)
        )
        assert isinstance(missed[-1].event, told.CallCleared)
        assert [each.at for each in missed] == sorted(each.at for each in missed)


async def test_a_reader_that_is_too_late_is_told_so() -> None:
    """No gap is fed silently, and a number from another run is not believed."""
    async with open_desk(ControllerSettings(history=4)) as desk:
        late = desk.controller.subscribe()
        _, far = await desk.talking()
        far.hang_up()
        await asyncio.sleep(1)
        with pytest.raises(EventsMissed):
            await anext(late)
        with pytest.raises(EventsMissed):
            desk.controller.subscribe(0)
        with pytest.raises(EventsMissed):
            desk.controller.subscribe(desk.controller.last_number + 1)


async def test_registrations_are_told_and_kept() -> None:
    """The latest of each device at each server."""
    async with open_desk() as desk:
        desk.exchange.registered("6001")
        desk.exchange.registered("6001", server="kamailio")
        desk.exchange.unregistered("6001", Cause.NORMAL)
        desk.exchange.registered("6002")
        await desk.told(DeviceRegistered, "6002")
        assert [
            (each.device, each.server, isinstance(each, DeviceRegistered))
            for each in desk.controller.registrations()
        ] == [("6001", "", False), ("6001", "kamailio", True), ("6002", "", True)]


# -- faults ----------------------------------------------------------------------------------------


def break_at(monkeypatch: pytest.MonkeyPatch, stimuli: type | UnionType) -> None:
    """The machine has a fault: it breaks at these."""

    def step_that_breaks(state: object, stimulus: object, now: object) -> object:
        if isinstance(stimulus, stimuli):
            raise ZeroDivisionError
        return machine.step(state, stimulus, now)  # type: ignore[arg-type]

    monkeypatch.setattr("endpoint.callcontrol.runner.step", step_that_breaks)


async def test_an_interaction_that_breaks_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in one call's machine: its legs are released, its record written, one log line."""
    async with open_desk() as desk:
        await desk.talking("6001", "10086")
        _, good = await desk.talking("6002", "10010")

        break_at(monkeypatch, LegHeld)
        with capture_logs() as logs:
            (await desk.exchange.placed("10086")).hold()
            over = await desk.told(told.CallCleared)
        assert (over.call, over.cause) == ("i1-1", Cause.PROTOCOL_ERROR)
        assert [each["event"] for each in logs if each["log_level"] == "error"] == [
            "interaction broke, its calls end"
        ]
        assert desk.exchange.heard() == {"6002": {"10010"}, "10010": {"6002"}}
        good.hang_up()
        await desk.told(told.CallCleared)
    assert [each.ending.cause for each in desk.records.written] == [
        Cause.PROTOCOL_ERROR,
        Cause.NORMAL,
    ]


@pytest.mark.parametrize("breaks_at", [TransferAsked, LegHeld])
async def test_a_phone_that_asked_for_a_transfer_is_told_where_its_interaction_breaks(
    monkeypatch: pytest.MonkeyPatch, breaks_at: type
) -> None:
    async with open_desk() as desk:
        agent, customer = await desk.talking()

        break_at(monkeypatch, breaks_at | machine.EndEverything)
        with capture_logs():
            agent.ask_transfer("6002")
            customer.hold()
            await asyncio.sleep(60)
        assert agent.transfer[-1] == 500


async def test_a_phone_that_asks_for_a_transfer_of_an_interaction_that_broke_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_desk() as desk:
        agent, customer = await desk.talking()

        break_at(monkeypatch, LegHeld)
        with capture_logs():
            customer.hold()
            agent.ask_transfer("6002")
            await desk.told(told.CallCleared)
            await asyncio.sleep(60)
        assert agent.transfer == [481]


async def test_an_effect_that_breaks_ends_its_interaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exchange fails at the routes of the answer: both legs are let go all the same."""
    async with open_desk() as desk:
        far = await desk.ringing()

        def broken(interaction: InteractionId, routes: Sequence[Route]) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(desk.exchange, "set_routes", broken)
        with capture_logs():
            far.answer()
            over = await desk.told(told.CallCleared)
        assert over.cause is Cause.PROTOCOL_ERROR
        assert desk.exchange.open_legs == []
    assert len(desk.records.written) == 1


async def test_a_record_that_cannot_be_written_is_logged_once() -> None:
    """The call is over for everybody all the same."""
    async with open_desk() as desk:

        async def locked(record: CallRecord) -> None:
            raise StorageError("the database is locked")

        desk.records.write = locked  # type: ignore[method-assign]
        with capture_logs() as logs:
            _, far = await desk.talking()
            far.hang_up()
            await desk.told(told.CallCleared)
            await asyncio.sleep(1)
        assert [each["log_level"] for each in logs].count("error") == 1
        assert desk.controller.calls() == ()


async def test_a_leg_that_nobody_knows_is_ignored() -> None:
    async with open_desk() as desk:
        desk.exchange.tell(LegRetrieved(LegId("stranger")))
        await desk.talking()


# -- the end ---------------------------------------------------------------------------------------


async def test_closing_ends_every_call() -> None:
    """Drain: all legs released, all records written, readers come to their end."""
    async with open_desk() as desk:
        await desk.talking()
        await desk.ringing("6002", "10010")
        outside, _ = await desk.coming_in("10000", "6003")
        reader = desk.controller.subscribe()
    assert desk.exchange.open_legs == []
    assert outside.is_over
    assert {each.ending.text for each in desk.records.written} == {"the endpoint stops"}
    assert len(desk.records.written) == 3
    rest = [each.event async for each in reader]
    assert [type(each) for each in rest].count(told.CallCleared) == 3


async def test_closing_does_not_wait_for_ever() -> None:
    """A leg that never ends is left after the drain time."""
    async with open_desk(ControllerSettings(drain_timeout_s=5), check=False) as desk:
        await desk.talking()
        desk.exchange.release_delay_s = 1000
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started == pytest.approx(5)
    assert len(desk.records.written) == 1


async def test_while_closing_nothing_new_begins() -> None:
    async with open_desk() as desk:
        await desk.talking()
        desk.exchange.release_delay_s = 2

        async def come_late() -> tuple[str, bool]:
            await asyncio.sleep(1)
            outside = desk.exchange.offer("10010", "6002", LegRole.LINE)
            reason, _ = await refusal(desk, commands.MakeCall(DeviceId("6003"), "10010"))
            await asyncio.sleep(3)
            return reason, outside.is_over

        async with asyncio.TaskGroup() as group:
            late = group.create_task(come_late())
            await desk.controller.__aexit__(None, None, None)
        assert late.result() == ("shutting_down", True)


async def test_a_command_whose_asker_is_gone_is_still_done() -> None:
    """Cancelling `submit` breaks nothing."""
    async with open_desk() as desk:
        await desk.talking()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(desk.hold("6001"))
            await asyncio.sleep(0)
            asking.cancel()
        await desk.told(told.Held)
        await desk.retrieve("6001")


def resident_memory() -> int:
    """Pages that the process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def live_objects() -> int:
    """Objects that the collector knows, after it ran."""
    gc.collect()
    return len(gc.get_objects())


async def call_in_every_way(desk: Desk, number: int) -> None:
    """One call; the number decides how it goes."""
    caller, called = f"6{number % 7}01", f"10{number % 11}86"
    far = await desk.ringing(caller, called)
    match number % 5:
        case 0:
            far.answer()
            await desk.told(told.Established)
            await desk.hold(caller)
            await desk.retrieve(caller)
            await desk.clear(caller)
        case 1:
            far.refuse(Cause.BUSY)
        case 2:
            await desk.clear(caller)
        case 3:
            pass  # Nobody answers.
        case _:
            far.answer()
            await desk.told(told.Established)
            far.vanish()
    await desk.told(told.CallCleared)
    await asyncio.sleep(1)
    desk.forget_what_is_over()


async def test_500_calls_leave_nothing_behind() -> None:
    """Every way a call can go: tasks, timers, legs and memory are where they began."""
    async with open_desk(ControllerSettings(history=100)) as desk:
        await call_in_every_way(desk, 0)
        tasks = len(asyncio.all_tasks())
        for number in range(1, 50):
            await call_in_every_way(desk, number)
        objects, memory = live_objects(), resident_memory()
        for number in range(50, 500):
            await call_in_every_way(desk, number)
        assert live_objects() - objects < 450, "objects that grow with the calls"
        assert resident_memory() <= memory * 1.05
        assert len(asyncio.all_tasks()) == tasks
        assert desk.controller.calls() == ()
        assert repr(desk.controller) == "<CallController 0 interactions, 0 legs>"
        assert desk.calls_over == 500


async def test_a_graceful_stop_lets_who_is_in_need_call() -> None:
    async with open_desk(
        plan=DialPlan(trunks=(TrunkNumbers("carrier"),), emergency=("112",))
    ) as desk:
        desk.controller.refuse_new_calls()
        others = [
            desk.exchange.offer("6003", "10010", LegRole.STATION),
            desk.exchange.offer("10010", "112", LegRole.LINE),
        ]
        await desk.dialled("6001", "112")
        await desk.clear("6001")
        await desk.told(told.CallCleared)
        phone = desk.exchange.offer("6002", "112-W1", LegRole.STATION)
        await desk.exchange.placed("112")
        phone.hang_up()
        await desk.told(told.CallCleared)
        assert [each.release_cause for each in others] == [Cause.UNREACHABLE] * 2


async def test_a_graceful_stop_lets_calls_go_on() -> None:
    """No new calls from either side; those that live are held, retrieved and ended as ever."""
    async with open_desk() as desk:
        _, far = await desk.talking()
        desk.controller.refuse_new_calls()
        assert not desk.controller.takes_new_calls
        outside = desk.exchange.offer("10010", "6002", LegRole.LINE)
        reason, _ = await refusal(desk, commands.MakeCall(DeviceId("6003"), "10010"))
        assert reason == "shutting_down"
        await desk.hold("6001")
        await desk.told(told.Held)
        assert outside.release_cause is Cause.UNREACHABLE
        far.hang_up()
        await desk.told(told.CallCleared)
