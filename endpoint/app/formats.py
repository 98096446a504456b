"""As what traces and records of calls may be had, over HTTP and by commands."""

from __future__ import annotations

from enum import StrEnum


class TraceFormat(StrEnum):
    """What `?format=` may ask for of a trace."""

    JSON = "json"
    TEXT = "text"
    SVG = "svg"
    PCAPNG = "pcapng"


class ExportFormat(StrEnum):
    """As what records are exported."""

    CSV = "csv"
    JSONL = "jsonl"
