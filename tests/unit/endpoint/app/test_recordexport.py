"""Records as CSV and JSON lines: whole, readable again, and no formula for a spreadsheet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from endpoint.app.recordexport import COLUMNS, ExportFormat, heading, lines
from endpoint.callcontrol.model import CallRecord, IvrStep
from endpoint.legs.base import DeviceId
from tests.unit.endpoint.app.test_journal import NOON, record

pytestmark = pytest.mark.unit


def read(*records: CallRecord) -> list[dict[str, str]]:
    octets = heading(ExportFormat.CSV) + lines(records, ExportFormat.CSV)
    return list(csv.DictReader(io.StringIO(octets.decode(), newline="")))


def test_a_line_has_all_columns() -> None:
    talked = replace(
        record("i1-1"),
        established_at=NOON,
        ended_at=NOON + timedelta(seconds=1.5),
        data={"note": 'a "b", c\r\nd'},
    )
    (line,) = read(talked)
    assert list(line) == list(COLUMNS)
    assert line["talked_s"] == "1.500"
    assert line["started_at"] == "2026-11-21T12:00:00.000+00:00"
    assert msgspec.json.decode(line["data"]) == talked.data


@pytest.mark.parametrize(
    "said",
    ["=HYPERLINK(1)", "+86138", "-1+1|cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "\u3000=1"],
)
def test_s23_nothing_that_a_far_end_says_is_a_formula(said: str) -> None:
    (line,) = read(replace(record("i1-1"), calling=DeviceId(said)))
    assert line["calling"] == f"'{said}"
    (plain,) = read(replace(record("i1-1"), calling=DeviceId("a=b")))
    assert plain["calling"] == "a=b"


def test_the_queue_is_the_last_in_which_it_waited_or_the_one_that_it_was_made_for() -> None:
    came = IvrStep(NOON, "hotline", "welcome")
    sales, orders = (IvrStep(NOON, "hotline", "wait", queue=each) for each in ("sales", "orders"))
    made = IvrStep(NOON, "", "", "outbound", "bills")
    for path, queue in (((), ""), ((came, sales, orders, came), "orders"), ((made,), "bills")):
        (line,) = read(replace(record("i1-1"), ivr_path=path))
        assert line["queue"] == queue


def test_json_lines_are_the_records() -> None:
    records = [record("i1-1"), replace(record("i2-1"), calling=DeviceId("=1"))]
    octets = heading(ExportFormat.JSONL) + lines(records, ExportFormat.JSONL)
    found = [msgspec.json.decode(line, type=CallRecord) for line in octets.splitlines()]
    assert found == records
