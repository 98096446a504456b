"""Calls wait in queues: what callers, agents and records come to know of it. In virtual time.

Customers call the IVR 999, whose flow leads into a queue; 6001 and 6002 are telephones that serve
it. What is offered to whom by which rule is proved by itself, in the unit tests of the queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from endpoint.agents.callback import KeptCallBack
from endpoint.agents.crew import SkillDevices
from endpoint.agents.directory import (
    Contents,
    DirectoryInUse,
    KnownPasswords,
    Overflow,
    QueueSettings,
    SkillWanted,
)
from endpoint.agents.queue import CALL_BACK_AGAIN_S, CALL_BACK_TRIES
from endpoint.agents.tally import Day, DayNotes
from endpoint.app.openstate import OpenState
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import CallRecord, IvrStep
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.ivrdesk import IvrDesk, open_ivr_desk

pytestmark = pytest.mark.scenario

IVR, A, C = "999", "6001", "6002"
FLOW = """
start = "ask"
variables = {{ priority = "" }}

[node.ask]
kind = "menu"
prompt = {{ tone_hz = [440], ms = 1 }}
choices = {{ 1 = "queue", 9 = "urgent" }}
no_input = "queue"
invalid = "queue"

[node.urgent]
kind = "set"
values = {{ priority = "9" }}
next = "queue"

[node.queue]
kind = "queue"
queue = "sales"
priority = "{{priority}}"
nobody = "closed"
timeout = "closed"
overflow = "crowded"
call_back = "promised"
max_wait_s = 1000
{more}

[node.closed]
kind = "play"
prompt = {{ tone_hz = [440], ms = 1000 }}
next = "end"

[node.crowded]
kind = "play"
prompt = {{ tone_hz = [440], ms = 1000 }}
next = "end"

[node.promised]
kind = "play"
prompt = {{ tone_hz = [440], ms = 1000 }}
next = "end"

[node.end]
kind = "hangup"
"""
SALES = QueueSettings("sales", skills=(SkillWanted("talk"),), ring_s=20, rest_s=10, call_back=True)


Centre = Callable[..., AbstractAsyncContextManager[IvrDesk]]


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Opens one: `async with centre(devices=(A,)) as desk`."""
    return partial(open_centre, tmp_path, monkeypatch)


@asynccontextmanager
async def open_centre(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    queues: Iterable[QueueSettings] = (SALES,),
    devices: tuple[str, ...] = (A, C),
    more: str = "",
    notes: Notes | None = None,
    days: DayNotes | None = None,
) -> AsyncIterator[IvrDesk]:
    (tmp_path / "flow.toml").write_text(FLOW.format(more=more))
    directory = DirectoryInUse(KnownPasswords({}), Contents(queues=tuple(queues)))
    talk = [SkillDevices("talk", tuple(map(DeviceId, devices)))]
    async with open_ivr_desk(
        monkeypatch, tmp_path / "flow.toml", IVR, talk, directory=directory, notes=notes, days=days
    ) as desk:
        yield desk


async def calls(desk: IvrDesk, customer: str, key: str = "1") -> FakeLeg:
    """A customer comes and is in the queue."""
    leg = desk.exchange.offer(customer, IVR, LegRole.LINE)
    await desk.desk.told(told.Established, IVR)
    leg.press(key)
    waits = await desk.desk.told(told.WaitsInQueue)
    assert waits.queue == "sales"
    return leg


async def rings(desk: IvrDesk, device: str) -> FakeLeg:
    leg = await desk.exchange.placed(device)
    leg.ring()
    return leg


async def answered(desk: IvrDesk, device: str) -> FakeLeg:
    leg = await rings(desk, device)
    leg.answer()
    left = await desk.desk.told(told.LeftQueue)
    assert left.outcome == "answered"
    return leg


async def is_called_back(desk: IvrDesk, at: datetime) -> None:
    """Then, and not before."""
    left_s = (at - desk.desk.controller.clock()).total_seconds()
    await desk.desk.let_pass(left_s - 1)
    assert desk.exchange.open_legs == []
    await desk.desk.let_pass(2)
    await rings(desk, A)


def outcomes(desk: IvrDesk, queue: str = "sales") -> dict[str, int]:
    return dict(desk.facts(queue).today.outcomes)


def waited(record: CallRecord) -> list[IvrStep]:
    return [each for each in record.ivr_path if each.queue]


async def test_where_it_is_and_what_became_of_it_is_told_recorded_and_counted(
    centre: Centre,
) -> None:
    async with centre(devices=(A,)) as desk:
        await calls(desk, "10001")
        agent = await answered(desk, A)
        first = await calls(desk, "10002")
        second = await calls(desk, "10003")
        places = [each for each in desk.desk.events if isinstance(each, told.WaitsInQueue)]
        assert [(each.position, each.offered_to) for each in places] == [
            (1, A),
            (1, None),
            (2, None),
        ]
        await desk.desk.let_pass(30)
        facts = desk.facts("sales")
        assert [(each.caller, each.position) for each in facts.calls] == [
            ("10002", 1),
            ("10003", 2),
        ]
        assert facts.calls[0].waited_s == pytest.approx(30, abs=1)
        first.hang_up()
        left = await desk.desk.told(told.LeftQueue)
        assert (left.queue, left.outcome) == ("sales", "abandoned")
        assert left.waited_s == pytest.approx(30, abs=1)
        moved = await desk.desk.told(told.WaitsInQueue)
        assert moved.position == 1
        agent.hang_up()
        offered = await desk.desk.told(told.WaitsInQueue)
        assert offered.offered_to == A
        await answered(desk, A)
        second.hang_up()
        await desk.desk.let_pass(1)
        steps = [step for record in desk.desk.records.written for step in waited(record)]
        assert sorted(step.outcome for step in steps) == ["abandoned", "answered", "answered"]
        (abandoned,) = [step for step in steps if step.outcome == "abandoned"]
        assert abandoned.queue == "sales"
        assert abandoned.waited_s == pytest.approx(30, abs=1)
        assert outcomes(desk) == {"answered": 2, "abandoned": 1}
        assert desk.queues.tally.outcomes["sales", "abandoned"] == 1


async def test_a_higher_priority_goes_first_and_who_waits_hears_music(centre: Centre) -> None:
    async with centre(devices=(A,)) as desk:
        await calls(desk, "10001")
        agent = await answered(desk, A)
        await calls(desk, "10002")
        await calls(desk, "10003", key="9")
        sounds = desk.exchange.sounds()
        assert (sounds["10002"], sounds["10003"]) == ({"music"}, {"music"})
        agent.hang_up()
        await answered(desk, A)
        assert desk.exchange.heard()["10003"] == {A}


async def test_who_does_not_answer_is_passed_over_and_the_caller_goes_on_waiting(
    centre: Centre,
) -> None:
    async with centre() as desk:
        await calls(desk, "10001")
        first = await rings(desk, A)
        await desk.desk.let_pass(SALES.ring_s - 0.1)
        assert not first.is_over
        await answered(desk, C)
        assert first.release_cause is Cause.NO_ANSWER
        assert desk.exchange.heard()["10001"] == {C}


async def test_he_is_told_where_he_is_and_hears_music_again(centre: Centre) -> None:
    sales = replace(SALES, announce_every_s=30, announce_wait=True)
    async with centre([sales], devices=(A,)) as desk:
        await calls(desk, "10001")
        await answered(desk, A)
        customer = await calls(desk, "10002")
        await desk.desk.let_pass(30.5)
        assert desk.exchange.heard_on(customer.id) != set()
        assert desk.exchange.sounds()["10002"] == {"prompt"}
        await desk.desk.let_pass(10)
        assert desk.exchange.sounds()["10002"] == {"music"}
        await desk.desk.let_pass(20)
        assert desk.exchange.sounds()["10002"] == {"prompt"}


async def test_too_long_leads_into_another_queue_and_too_many_to_a_branch(centre: Centre) -> None:
    sales = replace(SALES, overflow=Overflow(after_s=60, queue="help"), most_waiting=1)
    help_ = QueueSettings("help", skills=(SkillWanted("talk"),))
    async with centre([sales, help_], devices=(A,)) as desk:
        await calls(desk, "10001")
        agent = await answered(desk, A)
        await calls(desk, "10002")
        third = desk.exchange.offer("10003", IVR, LegRole.LINE)
        await desk.desk.told(told.Established, IVR)
        third.press("1")
        crowded = await desk.desk.told(told.IvrVisited, IVR)
        while crowded.node != "crowded":
            crowded = await desk.desk.told(told.IvrVisited, IVR)
        left = await desk.desk.told(told.LeftQueue)
        assert (left.queue, left.outcome) == ("sales", "overflow")
        assert left.waited_s == pytest.approx(60, abs=0.5)
        assert (await desk.desk.told(told.WaitsInQueue)).queue == "help"
        agent.hang_up()
        await answered(desk, A)
        await desk.desk.clear(A)
        await desk.desk.let_pass(1)
        (record,) = [each for each in desk.desk.records.written if len(waited(each)) > 1]
        assert [(each.queue, each.outcome) for each in waited(record)] == [
            ("sales", "overflow"),
            ("help", "answered"),
        ]
        assert outcomes(desk, "help") == {"answered": 1}


async def test_too_many_lead_to_a_device(centre: Centre) -> None:
    sales = replace(SALES, overflow=Overflow(waiting=1, device="6009"))
    async with centre([sales], devices=(A,)) as desk:
        await calls(desk, "10001")
        await answered(desk, A)
        await calls(desk, "10002")
        third = desk.exchange.offer("10003", IVR, LegRole.LINE)
        await desk.desk.told(told.Established, IVR)
        third.press("1")
        other = await rings(desk, "6009")
        other.answer()
        await desk.desk.told(told.Transferred)
        assert desk.exchange.heard()["10003"] == {"6009"}


async def test_who_asks_to_be_called_back_is_and_the_agent_is_called_first(centre: Centre) -> None:
    async with centre(devices=(A,)) as desk:
        await calls(desk, "10001")
        agent = await answered(desk, A)
        first = await calls(desk, "10002")
        await calls(desk, "10003")
        first.press("1")
        left = await desk.desk.told(told.LeftQueue)
        assert left.outcome == "call_back"
        await desk.desk.let_pass(5)
        assert first.is_over
        facts = desk.facts("sales")
        assert [(each.caller, each.calls_back) for each in facts.calls] == [
            ("10002", True),
            ("10003", False),
        ]
        agent.hang_up()
        phone = await rings(desk, A)  # before that of 10003, who came after
        phone.answer()
        customer = await desk.exchange.placed("10002")
        customer.ring()
        customer.answer()
        await desk.desk.told(told.Established, "10002")
        await desk.desk.let_pass(1)
        assert desk.exchange.heard()["10002"] == {A}
        facts = desk.facts("sales")
        assert [each.caller for each in facts.calls] == ["10003"]
        assert outcomes(desk) == {"answered": 1, "call_back": 1, "called_back": 1}
        back = [each.data for each in desk.desk.controller.calls() if each.called == "10002"]
        assert back == [{"CallBackOf": "sales"}]


async def test_a_call_back_that_nobody_answers_is_tried_again_and_given_up(centre: Centre) -> None:
    async with centre(devices=(A,)) as desk:
        await calls(desk, "10001")
        agent = await answered(desk, A)
        customer = await calls(desk, "10002")
        customer.press("1")
        await desk.desk.let_pass(5)
        agent.hang_up()
        # The agent does not pick up: that is none of the customer's tries.
        await rings(desk, A)
        await desk.desk.let_pass(SALES.ring_s + SALES.rest_s + 1)
        for _ in range(CALL_BACK_TRIES):
            phone = await rings(desk, A)
            phone.answer()
            far = await desk.exchange.placed("10002")
            far.refuse(Cause.BUSY)
            phone.hang_up()
            await desk.desk.let_pass(CALL_BACK_AGAIN_S - 1)
            assert not [leg for leg in desk.exchange.open_legs if leg.device == A]
            await desk.desk.let_pass(1)
        facts = desk.facts("sales")
        assert facts.calls == ()
        assert outcomes(desk) == {"answered": 1, "call_back": 1, "not_reached": 1}


@pytest.mark.parametrize("caller", ["anonymous", "J\N{REPLACEMENT CHARACTER}rg", "+49 89 1"])
async def test_nobody_is_promised_a_call_at_what_can_not_be_dialled(
    centre: Centre, caller: str
) -> None:
    async with centre(devices=(A,)) as desk:
        await calls(desk, "10001")
        await answered(desk, A)
        waits = await calls(desk, caller)
        waits.press("1")
        await desk.desk.let_pass(5)
        assert not waits.is_over
        assert outcomes(desk) == {"answered": 1}


class Notes:
    """Implements `CallBackNotes` in memory; one that comes after has what one before has left."""

    def __init__(self, left: dict[str, KeptCallBack] | None = None) -> None:
        self.kept = dict(left or {})
        self.left = dict(self.kept)

    def put(self, key: str, value: KeptCallBack) -> None:
        self.kept[key] = value

    def drop(self, key: str) -> None:
        del self.kept[key]


async def test_whoever_is_to_be_called_back_is_so_after_a_restart(centre: Centre) -> None:
    before = Notes()
    async with centre(devices=(A,), notes=before) as desk:
        await calls(desk, "10001")
        await answered(desk, A)
        customer = await calls(desk, "10002", key="9")
        customer.press("1")
        await desk.desk.let_pass(5)
        (kept,) = before.kept.values()
        assert (kept.number, kept.queue, kept.priority, kept.tries) == ("10002", "sales", 9, 0)
        await desk.desk.clear(A)
        await desk.desk.let_pass(1)
    after = Notes(before.kept)
    async with centre(devices=(A,), notes=after) as desk:
        phone = await rings(desk, A)
        phone.answer()
        far = await desk.exchange.placed("10002")
        far.refuse(Cause.BUSY)
        phone.hang_up()
        await desk.desk.let_pass(1)
        (kept,) = after.kept.values()
        assert kept.tries == 1
        await desk.desk.let_pass(CALL_BACK_AGAIN_S)
        phone = await rings(desk, A)
        phone.answer()
        far = await desk.exchange.placed("10002")
        far.ring()
        far.answer()
        await desk.desk.told(told.Established, "10002")
        await desk.desk.let_pass(1)
        assert after.kept == {}


async def test_who_is_to_be_called_back_later_is_not_before_also_after_a_restart(
    centre: Centre,
) -> None:
    before = Notes()
    async with centre(devices=(A,), notes=before) as desk:
        at = desk.desk.controller.clock() + timedelta(seconds=600)
        key, _ = desk.queues.ask_call_back("10002", "sales", priority=9, not_before=at)
        facts = desk.facts("sales")
        (waits,) = facts.calls
        assert (waits.caller, waits.call_back, waits.priority) == ("10002", key, 9)
        assert (waits.position, facts.due, facts.longest_s) == (0, [], 0)
        assert waits.not_before is not None
        assert abs((waits.not_before - at).total_seconds()) < 0.01
        await desk.desk.let_pass(60)
        assert desk.exchange.open_legs == []
    (kept,) = before.kept.values()
    assert kept.not_before == at
    async with centre(devices=(A,), notes=Notes(before.kept)) as desk:
        await is_called_back(desk, at)


async def test_who_was_called_back_in_vain_rests_after_a_restart_too(centre: Centre) -> None:
    before = Notes()
    async with centre(devices=(A,), notes=before) as desk:
        desk.queues.ask_call_back("10002", "sales")
        phone = await rings(desk, A)
        phone.answer()
        far = await desk.exchange.placed("10002")
        far.refuse(Cause.BUSY)
        phone.hang_up()
        await desk.desk.let_pass(1)
        (kept,) = before.kept.values()
        now = desk.desk.controller.clock()
        assert kept.not_before is not None
        rests_s = (kept.not_before - now).total_seconds()
        assert 0 < CALL_BACK_AGAIN_S - rests_s < 5
    async with centre(devices=(A,), notes=Notes(before.kept)) as desk:
        await is_called_back(desk, kept.not_before)


async def test_a_call_back_is_withdrawn_unless_it_rings_for_him(centre: Centre) -> None:
    notes = Notes()
    async with centre(devices=(A,), notes=notes) as desk:
        desk.exchange.no_auto_answer.add(A)
        key, _ = desk.queues.ask_call_back("10002", "sales")
        await rings(desk, A)
        with pytest.raises(CommandRejected, match="rings for him at 6001"):
            desk.queues.withdraw_call_back("sales", key)
        await desk.desk.let_pass(SALES.ring_s + 1)
        with pytest.raises(CommandRejected, match="no such call-back waits in talk"):
            desk.queues.withdraw_call_back("talk", key)
        desk.queues.withdraw_call_back("sales", key)
        assert notes.kept == {}
        await desk.desk.let_pass(SALES.rest_s + SALES.ring_s)
        assert desk.exchange.open_legs == []
        assert outcomes(desk) == {"withdrawn": 1}
        with pytest.raises(CommandRejected, match="no such call-back"):
            desk.queues.withdraw_call_back("sales", key)


@pytest.mark.parametrize(
    ("queue", "changes", "reason"),
    [
        ("gone", {}, "unknown_queue"),
        ("sales", {"call_back": False}, "no_call_backs"),
        ("sales", {"enabled": False}, "no_call_backs"),
    ],
)
async def test_who_can_not_be_called_back_is_refused(
    centre: Centre,
    queue: str,
    changes: dict[str, bool],
    reason: str,
) -> None:
    sales = replace(SALES, **changes)  # type: ignore[arg-type]  # switches
    async with centre((sales,)) as desk:
        with pytest.raises(CommandRejected) as rejected:
            desk.queues.ask_call_back("10002", queue)
        assert rejected.value.reason == reason


async def test_what_has_become_of_todays_calls_is_known_after_a_restart(
    tmp_path: Path, centre: Centre
) -> None:
    for count in (1, 2):
        with OpenState(tmp_path / "days", Day).opened() as days:
            async with centre(devices=(A,), days=days) as desk:
                customer = await calls(desk, "10001")
                agent = await answered(desk, A)
                agent.hang_up()
                customer.hang_up()
                await desk.desk.let_pass(1)
                assert outcomes(desk) == {"answered": count}
