"""Call records are found by what is known of a call, page by page, on both databases."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from endpoint.callcontrol.model import (
    CallDirection,
    CallId,
    CallRecord,
    CallStep,
    ConnectionRecord,
    Ending,
    Hold,
    IvrStep,
    Moments,
    Participation,
    StepKind,
)
from endpoint.legs.base import (
    AudioFigures,
    Cause,
    DeviceId,
    InteractionId,
    LegQuality,
    LegRole,
    Side,
)
from endpoint.storage import calls
from endpoint.storage.calls import (
    BadCursor,
    RecordFilter,
    RecordRefused,
    StoredCallRecords,
    talked_ms,
)
from endpoint.storage.database import Database
from endpoint.storage.schema import LONGEST_SEARCHED

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
ENDED = Ending(Cause.NORMAL, Side.DEVICE, DeviceId("10086"), 200, 16, "bye")


def connection(device: str, role: LegRole, *, from_outside: bool = False) -> ConnectionRecord:
    return ConnectionRecord(
        DeviceId(device),
        role,
        failed=False,
        ending=ENDED,
        media_confirmed=True,
        from_outside=from_outside,
    )


def record(
    call: str,
    *,
    at_s: float = 0,
    calling: str = "6001",
    called: str = "10086",
    talked_s: float | None = None,
    cause: Cause = Cause.NORMAL,
    interaction: str = "",
    data: dict[str, str] | None = None,
    inbound: bool = False,
    agent: str = "",
) -> CallRecord:
    began = NOON + timedelta(seconds=at_s)
    ended = began + timedelta(seconds=100)
    roles = (LegRole.LINE, LegRole.STATION) if inbound else (LegRole.STATION, LegRole.LINE)
    return CallRecord(
        interaction=InteractionId(interaction or f"of-{call}"),
        call=CallId(call),
        direction=CallDirection.INBOUND if inbound else CallDirection.OUTBOUND,
        calling=DeviceId(calling),
        called=DeviceId(called),
        started_at=began,
        delivered_at=began,
        established_at=None if talked_s is None else ended - timedelta(seconds=talked_s),
        ended_at=ended,
        ending=replace(ENDED, cause=cause),
        connections=(
            connection(calling, roles[0], from_outside=inbound),
            replace(connection(called, roles[1]), agent=agent),
        ),
        data=data or {},
    )


@pytest.fixture
async def records(database: Database) -> StoredCallRecords:
    return StoredCallRecords(database)


async def found(records: StoredCallRecords, wanted: RecordFilter) -> list[str]:
    return [each.call for each in (await records.search(wanted)).records]


async def test_all_that_a_record_tells_comes_back(records: StoredCallRecords) -> None:
    moments = Moments(NOON, NOON, NOON, (Hold(NOON, NOON + timedelta(microseconds=1)),), NOON)
    quality = LegQuality("OPUS", AudioFigures(7, 1.5, 2.25, 4.1), AudioFigures(8), 33.5)
    whole = replace(
        record("i1-1"),
        connections=(
            replace(
                connection("6001", LegRole.STATION),
                participation=Participation.WHISPER,
                moments=moments,
                quality=quality,
                agent="1001",
            ),
        ),
        steps=(
            CallStep(
                NOON,
                StepKind.TRANSFER,
                DeviceId("6001"),
                DeviceId("6002"),
                DeviceId("6001"),
                CallId("i1-2"),
                Cause.BUSY,
            ),
        ),
        ivr_path=(IvrStep(NOON, "survey", "welcome", "1"),),
        data={"order": "4711", "note": "é", "a.b": "dots"},
    )
    await records.write(whole)
    assert await records.read("i1-1") == whole
    assert await records.read("i1-2") is None


CALLS = (
    record("i1-1", at_s=0, talked_s=30, data={"order": "4711"}, interaction="i1"),
    record(
        "i1-2",
        at_s=1,
        calling="6001",
        called="6002",
        cause=Cause.BUSY,
        interaction="i1",
        agent="1001",
    ),
    record("i2-1", at_s=2, calling="6003", called="0108613800138000", talked_s=90.5),
    record(
        "i3-1",
        at_s=3,
        calling="6001",
        called="6002",
        inbound=True,
        cause=Cause.NO_ANSWER,
        agent="1002",
    ),
    record("i4-1", at_s=3, calling="13800138000", called="6003", inbound=True, talked_s=5),
)
ASKED: list[tuple[RecordFilter, set[str]]] = [
    (RecordFilter(), {"i1-1", "i1-2", "i2-1", "i3-1", "i4-1"}),
    (RecordFilter(since=NOON + timedelta(seconds=2)), {"i2-1", "i3-1", "i4-1"}),
    (RecordFilter(until=NOON + timedelta(seconds=2)), {"i1-1", "i1-2"}),
    # Of i3-1 somebody outside says that he is 6001.
    (RecordFilter(device="6001"), {"i1-1", "i1-2"}),
    (RecordFilter(device="6002"), {"i1-2", "i3-1"}),
    (RecordFilter(device="600"), set()),
    (RecordFilter(number="6001"), {"i1-1", "i1-2", "i3-1"}),
    (RecordFilter(number="600"), {"i1-1", "i1-2", "i2-1", "i3-1", "i4-1"}),
    (RecordFilter(number="138"), {"i4-1"}),
    (RecordFilter(number="%"), set()),
    (RecordFilter(number="_"), set()),
    (RecordFilter(cause="busy"), {"i1-2"}),
    (RecordFilter(direction="inbound"), {"i3-1", "i4-1"}),
    (RecordFilter(established=True), {"i1-1", "i2-1", "i4-1"}),
    (RecordFilter(established=False), {"i1-2", "i3-1"}),
    (RecordFilter(minimum_s=30), {"i1-1", "i2-1"}),
    (RecordFilter(minimum_s=90.501), set()),
    (RecordFilter(data=(("order", "4711"),)), {"i1-1"}),
    (RecordFilter(data=(("order", "471"),)), set()),
    (RecordFilter(data=(("order", "4711"), ("order2", "x"))), set()),
    (RecordFilter(call="i2-1"), {"i2-1"}),
    (RecordFilter(interaction="i1"), {"i1-1", "i1-2"}),
    (RecordFilter(interaction="i1", established=True), {"i1-1"}),
    (RecordFilter(agents=frozenset({"1001"})), {"i1-2"}),
    (RecordFilter(agents=frozenset({"1001", "1002", "1003"})), {"i1-2", "i3-1"}),
    (RecordFilter(agents=frozenset({"1001", "1002"}), device="6002", cause="busy"), {"i1-2"}),
    (RecordFilter(agents=frozenset({"6002"})), set()),
    (RecordFilter(agents=frozenset()), set()),
    (RecordFilter(number="1001"), set()),
    (RecordFilter(device="6001", number="10086", cause="normal"), {"i1-1"}),
    (RecordFilter(device="' OR 1=1 --", call="\0"), set()),
]


@pytest.mark.parametrize("few", [calls._FEW, 0], ids=["collected", "one by one"])
async def test_records_are_found_by_what_is_known_of_them(
    records: StoredCallRecords, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(calls, "_FEW", few)
    await records.write(*CALLS)
    for wanted, expected in ASKED:
        assert set(await found(records, wanted)) == expected, wanted


async def test_pages_hold_each_record_once_the_latest_first(records: StoredCallRecords) -> None:
    """Also of several that began at once, and where more are written meanwhile."""
    seed = random.Random(7)
    many = [record(f"c{number}", at_s=seed.randrange(5)) for number in range(50)]
    seed.shuffle(many)
    await records.write(*many)
    read = list[CallRecord]()
    after = ""
    while True:
        page = await records.search(limit=7, after=after)
        read += page.records
        await records.write(record(f"later {len(read)}", at_s=60))
        if not (after := page.next):
            break
    assert sorted(each.call for each in read) == sorted(each.call for each in many)
    began = [each.started_at for each in read]
    assert began == sorted(began, reverse=True)


async def test_a_cursor_that_no_search_gave_is_refused(records: StoredCallRecords) -> None:
    for cursor in ("1", "x-1", "1-2-3", "999999999999999999-1", "1-²", "1-' OR 1"):
        with pytest.raises(BadCursor):
            await records.search(after=cursor)


async def test_a_long_text_is_found_by_all_of_it(records: StoredCallRecords) -> None:
    long = "x" * LONGEST_SEARCHED
    await records.write(
        record("i1-1", data={"a.b": long + "1"}), record("i2-1", data={"a.b": long + "2"})
    )
    assert await found(records, RecordFilter(data=(("a.b", long + "2"),))) == ["i2-1"]


async def test_what_is_no_text_is_kept_without_that(records: StoredCallRecords) -> None:
    """A far end may say what it likes; its record must be kept all the same."""
    strange = record("i1-1", calling="60\0\udcff1", data={"k": "\0"}, inbound=True)
    await records.write(strange)
    kept = await records.read("i1-1")
    assert kept is not None
    assert kept.calling == "60\ufffd\ufffd1"
    assert kept.data == {"k": "\ufffd"}
    assert await found(records, RecordFilter(number="60\0")) == ["i1-1"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite takes what it is given
async def test_a_record_that_will_never_be_kept_is_told_from_a_database_that_is_away(
    records: StoredCallRecords,
) -> None:
    wrong = replace(record("i1-1"), direction=cast("CallDirection", "x" * 17))
    with pytest.raises(RecordRefused):
        await records.write(wrong, record("i2-1"))
    assert await records.latest() == ()


def test_they_talk_from_when_they_can_to_the_end() -> None:
    assert talked_ms(record("i1-1", talked_s=1.5)) == 1500
    assert talked_ms(record("i1-1")) is None
