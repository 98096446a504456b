"""Whoever goes while a call is in a flow, wherever it is: the flow ends or goes its way.

A is the agent 6001, B the customer 10086, C the colleague 6002, X an outside number. B comes to the
IVR by calling it, by A who transfers and has left, or by A who lends and waits. At no point is
anybody left in silence, but by a webhook, and each call has a record with its way through the flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from endpoint.agents.crew import SkillDevices
from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.ivr.interpreter import MOST_AHEAD
from endpoint.ivr.session import Session
from endpoint.legs.base import Cause, DeviceId, InteractionId, LegId, LegRole, PlaceLeg
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import PATIENCE_S
from tests.scenarios.ivrdesk import FakeMouth, IvrDesk, open_ivr_desk

pytestmark = pytest.mark.scenario

A, B, C, X, IVR = map(DeviceId, ("6001", "10086", "6002", "030123", "999"))
MUSIC = {"moh"}

FLOW = """
title = "Somebody goes"
start = "menu"
webhooks = ["http://127.0.0.1:9/"]

[node.menu]
kind = "menu"
prompt = { tone_hz = [440], ms = 5000 }
choices = { 1 = "say", 2 = "pin", 3 = "ask", 4 = "queue", 5 = "device", 6 = "number", 7 = "back" }
no_input = "end"
invalid = "end"

[node.say]
kind = "play"
prompt = { tone_hz = [440], ms = 5000 }
next = "end"

[node.pin]
kind = "collect"
prompt = { tone_hz = [440], ms = 5000 }
into = "pin"
secret = true
no_input = "end"
invalid = "end"
next = "check"

[node.check]
kind = "verify"
secret = "pin"
hash = "none"
again = "pin"
next = "end"
wrong = "end"

[node.ask]
kind = "webhook"
url = "http://127.0.0.1:9/"
timeout_s = 20
next = "say"
on_failure = "say"

[node.queue]
kind = "queue"
skill = "1001"
nobody = "say"
timeout = "say"

[node.device]
kind = "transfer"
to = "6002"
failed = "say"

[node.number]
kind = "transfer"
to = "030123"
failed = "say"

[node.back]
kind = "return"
otherwise = "say"

[node.end]
kind = "hangup"
"""


class By(StrEnum):
    """How B comes to the flow."""

    CALL = "called"
    TRANSFER = "transferred"
    LOAN = "lent"


class Point(StrEnum):
    """Where the flow is then: the node, or what goes on at it."""

    MENU = "menu"
    SAY = "say"
    PIN = "pin"
    ASK = "ask"
    QUEUE = "queue"
    """C rings."""
    QUEUE_WAITS = "queue, waiting"
    """C has declined, and rests."""
    DEVICE = "device"
    NUMBER = "number"
    BACK = "back"
    """A has left and is called."""


KEYS = {
    Point.SAY: "1",
    Point.PIN: "2",
    Point.ASK: "3",
    Point.QUEUE: "4",
    Point.QUEUE_WAITS: "4",
    Point.DEVICE: "5",
    Point.NUMBER: "6",
    Point.BACK: "7",
}
RINGS = {Point.QUEUE: C, Point.DEVICE: C, Point.NUMBER: X, Point.BACK: A}
"""Who is called."""
REACHED = [
    (by, point)
    for by in By
    for point in Point
    # Who has called has nobody to return to, and who waits has the call back at once.
    if point is not Point.BACK or by is By.TRANSFER
]
RINGING = [(by, point) for by, point in REACHED if point in RINGS]


@dataclass
class There:
    """B is in the flow, at the point."""

    desk: IvrDesk
    point: Point
    customer: FakeLeg
    agent: FakeLeg | None
    """Who waits."""
    ringing: FakeLeg | None

    def way(self, queue: str = "abandoned") -> list[tuple[str, str]]:
        """Of the record, if it ends here; `queue`: what has become of who waits for an agent."""
        if self.point is Point.MENU:
            return [("menu", "")]
        node = self.point.partition(",")[0]
        return [("menu", KEYS[self.point]), (node, queue if node == "queue" else "")]

    async def over(self, calls: int = 1) -> None:
        """Nobody is left of so many calls."""
        for _ in range(calls):
            await self.desk.desk.told(told.CallCleared)
        await self.is_left()
        assert self.desk.exchange.open_legs == []

    async def is_left(self) -> None:
        """The flow has ended, and nothing is done for it any more."""
        await self.desk.desk.let_pass(0.1)
        assert self.desk.calls_in_flows == 0
        assert [each.calls for each in self.desk.queues.facts()] == [()]
        assert self.desk.webhook.waiting == 0

    def nobody_in_silence(self) -> None:
        sounds = self.desk.exchange.sounds()
        assert sounds
        assert all(sounds.values()), sounds


@asynccontextmanager
async def at(
    point: Point, by: By, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[There]:
    """B has come to the flow, and to the point."""
    (tmp_path / "flow.toml").write_text(FLOW)
    skills = [SkillDevices("1001", (C,), rest_s=PATIENCE_S)]
    async with open_ivr_desk(monkeypatch, tmp_path / "flow.toml", IVR, skills) as desk:
        agent = None
        if by is By.CALL:
            customer = desk.exchange.offer(B, IVR, LegRole.LINE)
        else:
            agent, customer = await desk.desk.talking(A, B)
            if by is By.LOAN:
                await desk.desk.controller.submit(do.LendCall(A, IVR))
            else:
                await desk.desk.transfer(A, IVR)
        await desk.desk.told(told.IvrVisited)
        await desk.desk.let_pass(0.1)
        assert desk.exchange.sounds()[B] == {"prompt"}
        if by is By.TRANSFER:
            assert agent is not None
            assert agent.is_over
            agent = None
        if point is not Point.MENU:
            customer.press(KEYS[point])
        ringing = None
        if point in RINGS or point is Point.QUEUE_WAITS:
            ringing = await desk.exchange.placed(RINGS.get(point, C))
            ringing.ring()
            await desk.desk.told(told.Delivered, ringing.device)
        if point is Point.QUEUE_WAITS:
            assert ringing is not None
            ringing.refuse(Cause.DECLINED)
            await desk.desk.told(told.TransferFailed)
            ringing = None
        await desk.desk.let_pass(0.1)
        there = There(desk, point, customer, agent, ringing)
        expected = {
            Point.ASK: set(),
            Point.QUEUE_WAITS: {"music"},
            **{ringing: {"ringback"} for ringing in RINGS},
        }
        sounds = desk.exchange.sounds()
        assert sounds[B] == expected.get(point, {"prompt"})
        assert sounds.get(A, MUSIC) == MUSIC
        assert desk.calls_in_flows == 1
        assert desk.webhook.waiting == (point is Point.ASK)
        yield there


@pytest.mark.parametrize("lost", [False, True], ids=["hangs up", "is lost"])
@pytest.mark.parametrize(("by", "point"), REACHED)
async def test_b_goes_and_nothing_is_left(
    by: By, point: Point, lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever rings for him is cancelled, who waits for him is let go."""
    async with at(point, by, tmp_path, monkeypatch) as there:
        if lost:
            there.customer.vanish()
        else:
            there.customer.hang_up()
        await there.over(1 + (by is By.LOAN))
        if there.ringing is not None:
            assert there.ringing.release_cause is Cause.CANCELLED
        (record,) = [each for each in there.desk.desk.records.written if each.ivr_path]
        assert [(each.node, each.outcome) for each in record.ivr_path] == there.way()
        assert record.ending.cause is (Cause.MEDIA_TIMEOUT if lost else Cause.NORMAL)
        assert record.ending.releasing_device == (None if lost else B)


@pytest.mark.parametrize(
    ("by", "point", "cause"),
    [
        (by, point, (Cause.BUSY, Cause.NO_ANSWER, Cause.UNREACHABLE)[at % 3])
        for at, (by, point) in enumerate(RINGING)
    ],
)
async def test_who_is_called_does_not_come_and_the_flow_goes_its_way(
    by: By, point: Point, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the queue B waits on with music; elsewhere he goes through the rest of the flow."""
    async with at(point, by, tmp_path, monkeypatch) as there:
        assert there.ringing is not None
        there.ringing.refuse(cause)
        await there.desk.desk.told(told.TransferFailed)
        await there.desk.desk.let_pass(0.1)
        there.nobody_in_silence()
        heard = there.desk.exchange.sounds()[B]
        if point is Point.QUEUE:
            assert heard == {"music"}
            there.customer.hang_up()
            way = there.way()
        else:
            assert heard == {"prompt"}
            way = [*there.way()[:-1], (str(point), str(cause)), ("say", ""), ("end", "")]
            await there.desk.desk.told(told.CallCleared)
            if by is By.LOAN:
                assert there.desk.exchange.heard() == {A: {B}, B: {A}}
                there.customer.hang_up()
        await there.over((by is By.LOAN) + (point is Point.QUEUE))
        assert way in [there.desk.path(at) for at in range(len(there.desk.desk.records.written))]


@pytest.mark.parametrize(("by", "point"), RINGING)
async def test_who_is_called_comes_and_goes(
    by: By, point: Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow has ended by that he came; who lent B has him back by that he goes."""
    async with at(point, by, tmp_path, monkeypatch) as there:
        assert there.ringing is not None
        there.ringing.answer()
        await there.desk.desk.told(told.Transferred)
        await there.is_left()
        other = there.ringing.device
        waits = {str(A): MUSIC} if by is By.LOAN else {}
        assert there.desk.exchange.heard() == {B: {other}, other: {B}, **waits}
        there.ringing.hang_up()
        await there.desk.desk.told(told.CallCleared)
        assert there.desk.path() == there.way("answered")
        if by is By.LOAN:
            assert there.desk.exchange.heard() == {A: {B}, B: {A}}
            await there.desk.desk.clear(A)
        await there.over(by is By.LOAN)


@pytest.mark.parametrize("point", [point for by, point in REACHED if by is By.LOAN])
async def test_who_waits_takes_b_back(
    point: Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(point, By.LOAN, tmp_path, monkeypatch) as there:
        await there.desk.desk.reconnect(A)
        await there.desk.desk.told(told.Retrieved, B)
        await there.is_left()
        assert there.desk.exchange.heard() == {A: {B}, B: {A}}
        if there.ringing is not None:
            assert there.ringing.release_cause is Cause.CANCELLED
        assert there.desk.path() == there.way()
        await there.desk.desk.clear(A)
        await there.over()


@pytest.mark.parametrize("point", [point for by, point in REACHED if by is By.LOAN])
async def test_who_waits_goes_and_b_stays_in_the_flow(
    point: Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(point, By.LOAN, tmp_path, monkeypatch) as there:
        assert there.agent is not None
        before = there.desk.exchange.sounds()[B]
        there.agent.hang_up()
        await there.desk.desk.told(told.CallCleared)
        await there.desk.desk.let_pass(0.1)
        assert there.desk.exchange.sounds() == {B: before}
        assert there.desk.calls_in_flows == 1
        if there.ringing is not None:
            there.ringing.answer()
            await there.desk.desk.told(told.Transferred)
            there.nobody_in_silence()
        there.customer.hang_up()
        await there.over()
        assert there.desk.path() == there.way("answered" if there.ringing else "abandoned")


@pytest.mark.parametrize("lost", [False, True], ids=["is taken out", "loses its audio"])
@pytest.mark.parametrize(("by", "point"), REACHED)
async def test_the_ivr_goes_and_b_is_let_go_or_comes_back_or_waits_for_who_rings(
    by: By, point: Point, lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a command, or with the process that plays its prompts."""
    async with at(point, by, tmp_path, monkeypatch) as there:
        desk = there.desk.desk
        (mouth,) = there.desk.exchange.mouths.values()
        if lost:
            mouth.leg.lose_media()
        else:
            (call,) = [each.id for each in desk.controller.calls() if each.connection_by(mouth.id)]
            await desk.controller.submit(do.ClearConnection(IVR, call))
        await desk.told(told.ConnectionCleared, IVR)
        if there.ringing is not None:
            await there.is_left()
            there.nobody_in_silence()
            there.ringing.answer()
            await desk.told(told.Transferred)
            there.nobody_in_silence()
            there.ringing.hang_up()
        await desk.told(told.CallCleared)
        await there.is_left()
        if by is By.LOAN:
            assert there.desk.exchange.heard() == {A: {B}, B: {A}}
            await desk.clear(A)
        await there.over(by is By.LOAN)
        ways = [there.desk.path(at) for at in range(len(desk.records.written))]
        assert there.way("answered" if there.ringing else "ended") in ways


@pytest.mark.parametrize(("by", "point"), RINGING)
@pytest.mark.parametrize("first", [B, C])
async def test_b_goes_at_the_moment_in_which_who_is_called_comes(
    by: By, point: Point, first: DeviceId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(point, by, tmp_path, monkeypatch) as there:
        assert there.ringing is not None
        if first == B:
            there.customer.hang_up()
            there.ringing.answer()
        else:
            there.ringing.answer()
            there.customer.hang_up()
        await there.over(1 + (by is By.LOAN))
        assert there.way("abandoned" if first == B else "answered") in [
            there.desk.path(at) for at in range(1 + (by is By.LOAN))
        ]


@pytest.mark.parametrize("goes", [False, True], ids=["stays", "goes"])
async def test_who_waits_has_b_back_by_return_unless_b_goes_at_that_moment(
    goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(Point.MENU, By.LOAN, tmp_path, monkeypatch) as there:
        there.customer.press(KEYS[Point.BACK])
        if goes:
            there.customer.hang_up()
        else:
            await there.desk.desk.told(told.Retrieved, B)
            await there.is_left()
            assert there.desk.exchange.heard() == {A: {B}, B: {A}}
            assert there.desk.path() == [("menu", "7"), ("back", "")]
            await there.desk.desk.clear(A)
        await there.over(1 + goes)


async def test_who_goes_while_a_webhook_is_asked_is_asked_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is waited for no longer; without that it would be as long as it may take."""
    async with at(Point.ASK, By.CALL, tmp_path, monkeypatch) as there:
        assert there.desk.webhook.asked == 1
        await there.desk.desk.let_pass(19.0)
        assert there.desk.webhook.waiting == 1
        await there.desk.desk.let_pass(2.0)
        assert there.desk.webhook.waiting == 0
        assert there.desk.exchange.sounds() == {B: {"prompt"}}
        await there.over()
        assert there.desk.path() == [
            ("menu", "3"),
            ("ask", "timed_out"),
            ("say", ""),
            ("end", ""),
        ]


def small(start: str, **limits: str) -> str:
    """A flow that begins elsewhere; `limits` are lines of its nodes."""
    text = FLOW.replace('start = "menu"', f'start = "{start}"')
    for node, line in limits.items():
        text = text.replace(f"[node.{node}]\n", f"[node.{node}]\n{line}\n")
    # What no way leads to is a mistake.
    kept = {"device": ("device", "say", "end"), "queue": ("queue", "say", "end")}[start]
    head, *nodes = text.split("\n[node.")
    return "\n[node.".join([head, *(n for n in nodes if n.partition("]")[0] in kept)])


@pytest.mark.parametrize("start", ["device", "queue"])
async def test_what_was_told_faster_than_it_was_read_is_found_by_a_look(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the flow would never begin, and B wait in silence for one who has declined already."""
    (tmp_path / "flow.toml").write_text(small(start))
    skills = [SkillDevices("1001", (C,), rest_s=5.0)]
    settings = ControllerSettings(history=1)
    async with open_ivr_desk(
        monkeypatch, tmp_path / "flow.toml", IVR, skills, settings=settings
    ) as desk:
        customer = desk.exchange.offer(B, IVR, LegRole.LINE)
        first = await desk.exchange.placed(C)
        first.ring()
        await asyncio.sleep(0.1)
        first.refuse(Cause.BUSY)
        await asyncio.sleep(0.1)
        if start == "queue":
            assert desk.exchange.sounds()[B] == {"music"}
            await asyncio.sleep(5.0)
            assert await desk.exchange.placed(C) is not first
        else:
            assert desk.exchange.sounds()[B] == {"prompt"}
        customer.hang_up()
        await asyncio.sleep(0.1)
        assert desk.calls_in_flows == 0


async def test_who_is_looked_up_while_the_time_in_the_queue_ends_is_not_left_ringing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offer was decided and not begun yet: who is asked whom 6002 means takes his time."""
    (tmp_path / "flow.toml").write_text(small("queue", queue="max_wait_s = 1"))
    async with open_ivr_desk(
        monkeypatch, tmp_path / "flow.toml", IVR, [SkillDevices("1001", (C,))]
    ) as desk:
        known, asked = asyncio.Event(), asyncio.Event()

        async def extension(number: DeviceId) -> DeviceId | None:
            if number == C:
                asked.set()
                await known.wait()
            return None

        desk.desk.controller.extension = extension
        desk.exchange.offer(B, IVR, LegRole.LINE)
        await asked.wait()
        await desk.desk.let_pass(2.0)
        known.set()
        await desk.desk.let_pass(1.0)
        assert desk.exchange.sounds() == {B: {"prompt"}}
        (called,) = [each for each in desk.exchange.legs.values() if each.device == C]
        assert called.release_cause is Cause.CANCELLED
        await desk.desk.told(told.CallCleared)
        assert desk.path() == [("queue", "timeout"), ("say", ""), ("end", "")]


async def test_of_a_call_that_never_begins_no_more_keys_are_kept_than_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.toml").write_text(FLOW)
    async with open_ivr_desk(monkeypatch, tmp_path / "flow.toml", IVR, []) as desk:
        request = PlaceLeg(LegId("x"), InteractionId("x"), IVR, LegRole.STATION, B)
        leg = FakeLeg(desk.exchange, LegId("x"), InteractionId("x"), IVR, LegRole.STATION, False)
        session = desk.ivrs.stations()[0].begin(request, FakeMouth(leg))
        assert isinstance(session, Session)
        for _ in range(10 * MOST_AHEAD):
            session.press("1")
        assert len(session._early) == MOST_AHEAD
