"""Agents' logs and sessions in both databases: whole, once, in order, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from endpoint.agents.eventlog import AgentLog, read, written
from endpoint.agents.events import AgentNotReady
from endpoint.agents.keeping import Kept, KeptSession, Write
from endpoint.agents.model import STANDARD_MODES, AgentId, AgentState
from endpoint.agents.ownership import Liveness
from endpoint.agents.session import Rest
from endpoint.callcontrol.events import DigitDetected, Established
from endpoint.callcontrol.model import CallId, ConnectionState
from endpoint.legs.base import DeviceId, InteractionId
from endpoint.storage import agentlogs
from endpoint.storage.agentlogs import StoredAgentLogs
from endpoint.storage.database import Database

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANNA, BERT = AgentId("1001"), AgentId("1002")


def session(device: str = "6001") -> KeptSession:
    return KeptSession(
        device=DeviceId(device),
        mode=STANDARD_MODES[0],
        rest=Rest(reason="meal"),
        skills=(),
        wrap_up_s=10,
        since=NOON,
        reachable=True,
        owner="0" * 64,
        liveness=Liveness(silence_s=None, grace_s=60),
    )


def not_ready(reason: str) -> AgentNotReady:
    return AgentNotReady(
        agent=ANNA,
        device=DeviceId("6001"),
        mode=0,
        was=AgentState.READY,
        lasted_s=1.5,
        reason=reason,
    )


def write(log: AgentLog, *reasons: str, at: datetime = NOON, logged_on: bool = True) -> Write:
    lines = tuple(written(log.append(not_ready(reason), at)) for reason in reasons)
    kept = Kept(agent=log.agent, number=log.last, session=session() if logged_on else None)
    return Write(kept, lines)


async def test_lines_and_sessions_come_back_as_they_were_and_twice_is_as_once(
    database: Database,
) -> None:
    logs, log = StoredAgentLogs(database), AgentLog(ANNA)
    stored: list[tuple[AgentId, int]] = []
    logs.stored = lambda agent, number: stored.append((agent, number))
    first, second = write(log, "rest", "meal"), write(log, "other")
    await logs.write(first, second)
    await logs.write(first, second)
    await logs.write(write(AgentLog(BERT), "rest", logged_on=False))
    assert stored[:2] == [(ANNA, 3), (ANNA, 3)]
    lines = await logs.lines(ANNA, 0, 10)
    assert [read(line).event for line in lines] == [
        not_ready("rest"),
        not_ready("meal"),
        not_ready("other"),
    ]
    assert [line.number for line in await logs.lines(ANNA, 1, 1)] == [2]
    kept = {each.agent: each for each in await logs.sessions()}
    assert kept[ANNA] == second.kept
    assert kept[BERT].session is None


async def test_of_a_time_there_are_the_lines_of_some_kinds_and_the_last_one_before(
    database: Database,
) -> None:
    logs, log = StoredAgentLogs(database), AgentLog(ANNA)
    hours = [NOON + timedelta(hours=hour) for hour in range(4)]
    for number, at in enumerate(hours):
        await logs.write(write(log, str(number), at=at))
    await logs.write(write(AgentLog(BERT), "rest", at=hours[2]))
    kinds = ["AgentNotReady"]
    found = await logs.states(ANNA, kinds, hours[2], hours[3])
    assert [line.fields["reason"] for line in found] == ["1", "2"]
    assert await logs.states(ANNA, ["AgentReady"], hours[0], hours[3]) == []


async def test_an_old_write_that_comes_again_changes_no_session(database: Database) -> None:
    logs, log = StoredAgentLogs(database), AgentLog(ANNA)
    old, new = write(log, "rest"), write(log, "meal", logged_on=False)
    await logs.write(old)
    await logs.write(new)
    await logs.write(old)
    assert await logs.sessions() == [new.kept]


async def test_events_of_calls_are_kept_without_the_keys_and_what_is_no_text(
    database: Database,
) -> None:
    logs, log = StoredAgentLogs(database), AgentLog(ANNA)
    about = {
        "interaction": InteractionId("i1"),
        "call": CallId("i1-1"),
        "device": DeviceId("6001"),
        "state": ConnectionState.CONNECTED,
        "calling": DeviceId("10086"),
        "called": DeviceId("6001"),
    }
    pressed = DigitDetected(**about, digits="7", duration_ms=80)  # type: ignore[arg-type]
    talking = Established(**about, text="a\0b\ud800c")  # type: ignore[arg-type]
    lines = tuple(written(log.append(event, NOON)) for event in (pressed, talking))
    await logs.write(Write(Kept(agent=ANNA, number=2, session=None), lines))
    found = [read(line).event for line in await logs.lines(ANNA, 0, 10)]
    assert isinstance(found[0], DigitDetected)
    assert found[0].digits == "•"
    assert isinstance(found[1], Established)
    assert found[1].text == "a\ufffdb\ufffdc"


async def test_old_lines_go_a_few_at_a_time_and_numbers_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agentlogs, "EXPIRED_AT_ONCE", 3)
    logs, log = StoredAgentLogs(database), AgentLog(ANNA)
    await logs.write(write(log, "rest", "rest", "rest", "rest"))
    await logs.write(write(log, "meal", at=NOON + timedelta(days=2), logged_on=False))
    before = NOON + timedelta(days=1)
    assert [await logs.expire(before) for _ in range(3)] == [3, 1, 0]
    assert await logs.oldest(ANNA) == 5
    assert await logs.oldest(BERT) == 0
    assert await logs.expire(NOON + timedelta(days=9)) == 1
    (kept,) = await logs.sessions()
    assert kept.number == 5
