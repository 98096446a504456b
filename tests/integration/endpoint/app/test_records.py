"""Calls that are over, as REST and the command line tell them; and a database that is locked."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from endpoint.app.exitcodes import ExitCode
from endpoint.callcontrol.model import CallRecord, ConnectionRecord, Ending, Side
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.unit.endpoint.app.test_journal import NOON, record

from .conftest import Desk
from .test_bans import said

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PATIENCE_S = 60.0


async def over(desk: Desk, *, hold: bool = False) -> str:
    """6002 calls 6003, talks, and hangs up; returns the call when its end was told."""
    async with desk.client.events() as frames:
        accepted = await desk.client.make_call("6002", "6003", data={"order": "4711"})
        call = accepted.call
        async with asyncio.timeout(PATIENCE_S):
            async for frame in frames:
                if not isinstance(frame, wire.EventFrame) or frame.fields.get("call") != call:
                    continue
                if frame.event == "Established":
                    if hold:
                        await desk.client.hold("6002", call)
                        await desk.client.retrieve("6002", call)
                    await desk.client.clear("6002", call)
                if frame.event == "CallCleared":
                    return call
    raise AssertionError("it did not end")


async def test_a_call_that_is_over_is_found_and_explained(desk: Desk) -> None:
    call = await over(desk, hold=True)
    found = await desk.client.record_of(call)
    assert found.record.call == call
    assert found.record.data == {"order": "4711"}
    own = found.record.connections[0]
    assert own.moments is not None
    assert len(own.moments.holds) == 1
    assert own.moments.established_at is not None
    assert found.explanation[0].startswith("6002 called 6003;")
    assert "6002 let go." in found.explanation[1]
    for query in (
        [("device", "6003")],
        [("number", "600"), ("cause", "normal"), ("established", "true")],
        [("data", "order=4711")],
        [("since", found.record.started_at.isoformat())],
        [("call", call)],
        [("interaction", found.record.interaction)],
    ):
        page = await desk.client.records(query)
        assert [each.call for each in page.records] == [call], query
    for query in ([("direction", "inbound")], [("minimum_s", "3600")], [("device", "6004")]):
        assert (await desk.client.records(query)).records == [], query


async def test_a_call_that_was_recorded_names_its_recording(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        async with asyncio.timeout(PATIENCE_S):
            async for frame in frames:
                event = frame.event if isinstance(frame, wire.EventFrame) else ""
                if event == "Established":
                    await desk.client.record("6002", call)
                if event == "RecordingStarted":
                    await desk.client.clear("6002", call)
                if event == "CallCleared":
                    break
    (recording,) = (await desk.client.record_of(call)).recordings
    assert recording.call == call


WRONG = (
    ("since=yesterday", "since"),
    ("until=2026-11-28T10:00", "until"),
    ("established=yes", "established"),
    ("minimum_s=nan", "minimum_s"),
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("cause=hm", "cause"),
    ("direction=up", "direction"),
    ("data=order", "data"),
    ("after=1", "after"),
    ("device=1&device=2", "device"),
    ("number=", "number"),
    ("colour=red", "colour"),
)


async def test_a_query_that_is_wrong_says_where_and_a_call_that_never_was_is_not_found(
    desk: Desk,
) -> None:
    for query, field in WRONG:
        async with desk.http.get(f"{desk.url}/records?{query}", headers=desk.bearer) as answer:
            assert answer.status == 400, query
            told = msgspec.json.decode(await answer.read(), type=wire.Refused)
        assert (told.error, told.field) == ("bad_field", field)
        assert told.expected
    for call in ("i1-1", "..%2f", "%00", "' OR 1=1"):
        with pytest.raises(RequestRefused) as refused:
            await desk.client.record_of(call)
        assert refused.value.status == 404


async def test_pages_and_files_hold_every_record_once(desk: Desk) -> None:
    many = 1203
    for begin in range(0, many, 100):
        await desk.endpoint.records.write(
            *(record(f"c{n}-1") for n in range(begin, min(begin + 100, many)))
        )
    read = list[str]()
    after = ""
    while True:
        query = [("limit", "500"), *([("after", after)] if after else [])]
        page = await desk.client.records(query)
        read += [each.call for each in page.records]
        if not (after := page.next):
            break
    wanted = sorted(f"c{n}-1" for n in range(many))
    assert sorted(read) == wanted
    files = {
        kind: b"".join([each async for each in desk.client.exported_records([("format", kind)])])
        for kind in ("csv", "jsonl")
    }
    rows = csv.DictReader(io.StringIO(files["csv"].decode(), newline=""))
    assert sorted(row["call"] for row in rows) == wanted
    lines = [msgspec.json.decode(line, type=CallRecord) for line in files["jsonl"].splitlines()]
    assert sorted(each.call for each in lines) == wanted
    few = [("format", "jsonl"), ("until", NOON.isoformat())]
    assert [each async for each in desk.client.exported_records(few)] == []


async def test_f5_calls_go_on_while_the_database_is_locked_and_their_records_come_later(
    desk: Desk,
) -> None:
    file = desk.endpoint.state.database
    loop = asyncio.get_running_loop()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calls = [await over(desk, hold=True) for _ in range(2)]
        for call in calls:
            began = loop.time()
            with pytest.raises(RequestRefused) as refused:
                await desk.client.record_of(call)
            assert refused.value.status == 404  # a reader is not kept from what is there
            assert loop.time() - began < PATIENCE_S
        assert not await desk.endpoint.journal.settled(2.5)
        (alarm,) = (await health(desk)).alarms
        assert alarm.startswith("2 call records wait for the database")
        other.execute("ROLLBACK")
    assert await desk.endpoint.journal.settled(PATIENCE_S)
    for call in calls:
        assert (await desk.client.record_of(call)).record.ending.released_by == "endpoint"
    assert not (await health(desk)).alarms


async def test_f5_who_asks_a_database_that_is_gone_is_told(desk: Desk, tmp_path: Path) -> None:
    call = await over(desk)
    file, away = desk.endpoint.state.database, tmp_path / "away"
    await desk.client.record_of(call)
    await asyncio.to_thread(file.rename, away)
    with pytest.raises(RequestRefused) as refused:
        await desk.client.records()
    assert refused.value.status == 503
    second = await over(desk)
    await asyncio.to_thread(away.rename, file)
    assert await desk.endpoint.journal.settled(PATIENCE_S)
    found = await desk.client.records()
    assert {each.call for each in found.records} == {call, second}


async def health(desk: Desk) -> wire.Health:
    return await desk.client.health()


# -- the command line -----------------------------------------------------------------------------


async def shown(desk: Desk, *arguments: str) -> Any:
    code, text = await said(desk.endpoint, *arguments, "--json")
    assert code == ExitCode.OK, text
    return json.loads(text)


async def test_the_command_line_lists_explains_and_exports(desk: Desk, tmp_path: Path) -> None:
    ended = Ending(Cause.NORMAL, Side.DEVICE)
    device = ConnectionRecord(DeviceId("6001"), LegRole.STATION, False, ended, True, agent="1001")
    await desk.endpoint.records.write(replace(record("old-1"), connections=(device,)))
    call = await over(desk)
    since = (NOON + timedelta(days=1)).date().isoformat()
    everything, of_agent, later = await asyncio.gather(
        shown(desk, "calls", "list"),
        shown(desk, "calls", "list", "--agent", "1001"),
        shown(desk, "calls", "list", "--since", since, "--device", "6003", "--answered"),
    )
    assert [each["call"] for each in everything["calls"]] == [call, "old-1"]
    assert [each["call"] for each in of_agent["calls"]] == ["old-1"]
    assert [each["call"] for each in later["calls"]] == [call]
    file = tmp_path / "calls.csv"
    (code, text), found, done, (_, printed) = await asyncio.gather(
        said(desk.endpoint, "calls", "show", call),
        shown(desk, "calls", "show", "last"),
        shown(desk, "calls", "export", str(file), "--device", "6003"),
        said(desk.endpoint, "calls", "export", "--format", "jsonl"),
    )
    assert code == ExitCode.OK
    assert "6002 called 6003" in text
    assert found["record"]["call"] == call
    assert done["octets"] == file.stat().st_size
    rows = csv.DictReader(io.StringIO(file.read_bytes().decode(), newline=""))
    assert [row["call"] for row in rows] == [call]
    assert [json.loads(line)["call"] for line in printed.splitlines()] == [call, "old-1"]
