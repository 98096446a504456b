"""Call records as files: CSV for a spreadsheet, JSON lines for a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from endpoint import plaintext
from endpoint.app.csvtable import harmless, row
from endpoint.app.formats import ExportFormat as ExportFormat
from endpoint.callcontrol.model import CallRecord
from endpoint.storage.calls import talked_ms

TYPES = {ExportFormat.CSV: "text/csv", ExportFormat.JSONL: "application/jsonl"}


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="milliseconds")


def _talked_s(record: CallRecord) -> str:
    talked = talked_ms(record)
    return "" if talked is None else f"{talked / 1000:.3f}"


COLUMNS: dict[str, Callable[[CallRecord], object]] = {
    "call": lambda record: record.call,
    "interaction": lambda record: record.interaction,
    "direction": lambda record: record.direction,
    "calling": lambda record: record.calling,
    "called": lambda record: record.called,
    "started_at": lambda record: _moment(record.started_at),
    "delivered_at": lambda record: _moment(record.delivered_at),
    "established_at": lambda record: _moment(record.established_at),
    "ended_at": lambda record: _moment(record.ended_at),
    "talked_s": _talked_s,
    "cause": lambda record: record.ending.cause,
    "sip_status": lambda record: record.ending.sip_status,
    "q850": lambda record: record.ending.q850,
    "released_by": lambda record: record.ending.released_by,
    "releasing_device": lambda record: record.ending.releasing_device,
    "text": lambda record: record.ending.text,
    "devices": lambda record: " ".join(each.device for each in record.connections),
    "agents": lambda record: " ".join(each.agent for each in record.connections if each.agent),
    "steps": lambda record: "; ".join(
        f"{each.kind} {each.by} → {each.to}" for each in record.steps
    ),
    "queue": lambda record: next(
        (each.queue for each in reversed(record.ivr_path) if each.queue), ""
    ),
    "data": lambda record: plaintext.encode(record.data).decode() if record.data else "",
}
"""What a line of CSV has, by its title."""


def heading(kind: ExportFormat) -> bytes:
    """What stands before all records."""
    return row(COLUMNS) if kind is ExportFormat.CSV else b""


def lines(records: Iterable[CallRecord], kind: ExportFormat) -> bytes:
    """A line for each record."""
    if kind is ExportFormat.JSONL:
        return b"".join(plaintext.encode(record) + b"\n" for record in records)
    return b"".join(row(_harmless(cell(record)) for cell in COLUMNS.values()) for record in records)


def _harmless(value: object) -> str:
    """A far end says what its name is."""
    return harmless("" if value is None else str(value))
