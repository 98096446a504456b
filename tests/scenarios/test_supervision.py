"""What must live as long as its owner: begun anew where it dies, and too often is an alarm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from signaling.supervision import RestartRule, Supervision

pytestmark = pytest.mark.scenario


class Work:
    """Does nothing until it is told what becomes of it."""

    def __init__(self) -> None:
        self.begun = 0
        self.task: asyncio.Task[None] | None = None
        self.fate: asyncio.Future[None]
        self.has_begun = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        self.task = asyncio.current_task()
        self.fate = asyncio.get_running_loop().create_future()
        self.has_begun.set()
        await self.fate

    async def again(self) -> None:
        """Wait until it has begun."""
        async with asyncio.timeout(60):
            await self.has_begun.wait()
        self.has_begun.clear()

    async def killed(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await self.again()


@pytest.fixture
async def group() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        yield group


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


async def test_work_that_is_done_is_not_begun_anew(group):
    work = Work()
    keeping = group.create_task(Supervision().keep("it", work))
    await work.again()
    work.fate.set_result(None)
    await keeping
    assert work.begun == 1


async def test_work_that_fails_or_is_killed_is_begun_anew(group):
    work = Work()
    keeping = group.create_task(Supervision().keep("it", work))
    await work.again()
    work.fate.set_exception(RuntimeError("broken"))
    await work.again()
    await work.killed()
    assert work.begun == 3
    work.fate.set_result(None)
    await keeping


async def test_its_owner_ends_it_for_good(group):
    work = Work()
    keeping = group.create_task(Supervision().keep("it", work))
    await work.again()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert work.begun == 1
    assert work.task is not None
    assert work.task.cancelled()


async def test_f3_more_than_five_times_in_a_minute_is_an_alarm_that_is_told_once(group):
    supervision = Supervision(RestartRule(pause_s=0.001))
    work, other = Work(), Work()
    keeping = [
        group.create_task(supervision.keep(name, w)) for name, w in (("a", work), ("b", other))
    ]
    with capture_logs() as logs:
        for each in (work, other):
            await each.again()
        for _ in range(5):
            await work.killed()
        assert supervision.alarms() == []
        for _ in range(5):
            await work.killed()
        await other.killed()
        (alarm,) = supervision.alarms()
        assert alarm.startswith("a was begun anew more than 5 times in 60 s")
    assert [log["task"] for log in logs if log["log_level"] == "critical"] == ["a"]
    for task in keeping:
        task.cancel()


async def test_an_alarm_is_over_when_it_was_calm_for_a_minute():
    supervision = Supervision(RestartRule(restarts=1))
    assert not supervision.restarted("a", "x")
    assert supervision.restarted("a", "x")
    await asyncio.sleep(59)
    assert supervision.alarms()
    await asyncio.sleep(2)
    assert supervision.alarms() == []


async def test_while_the_alarm_lasts_it_pauses_before_each_new_beginning(group):
    supervision, loop = (
        Supervision(RestartRule(restarts=1, pause_s=5.0)),
        asyncio.get_running_loop(),
    )
    work = Work()
    keeping = group.create_task(supervision.keep("a", work))
    await work.again()
    await work.killed()
    assert loop.time() == 0
    await work.killed()
    assert loop.time() == 5.0
    keeping.cancel()
