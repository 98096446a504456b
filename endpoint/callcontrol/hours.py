"""When a rule of the dial plan counts: `mon-fri 08:00-18:00, sat 09:00-12:00`, at a place.

A day that is a holiday is `hol` and no day of the week: without `hol` the rule rests on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "hol")
_HOLIDAY = len(DAYS) - 1
_SPAN = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:-[a-z]{3})?(?: ?\+ ?[a-z]{3}(?:-[a-z]{3})?)*)(?: |$))?"
    r"(?:(?P<from>[0-2]?[0-9]:[0-5][0-9]) ?- ?(?P<to>[0-2]?[0-9]:[0-5][0-9]))?"
)
_DATE = re.compile(r"(?:[0-9]{4}-)?(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_EXPECTED = "expected as mon-fri 08:00-18:00, sat+hol 09:00-12:00"
_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class _Span:
    days: frozenset[int]
    first: int
    """Minute of the day, and the one after the last; less than that: it ends the day after."""
    after: int


@dataclass(frozen=True, slots=True)
class Hours:
    """When something is open. Made by `parse_hours`."""

    spans: tuple[_Span, ...]
    zone: ZoneInfo
    holidays: frozenset[str]
    """`2026-12-25`, or `12-25` of each year."""

    def are_open(self, now: datetime) -> bool:
        """Whether a moment is among them."""
        here = now.astimezone(self.zone)
        minute, today = here.hour * 60 + here.minute, self._day(here)
        before = self._day(here - timedelta(days=1))
        for span in self.spans:
            over_night = span.after <= span.first
            if today in span.days and minute >= span.first and (over_night or minute < span.after):
                return True
            if over_night and before in span.days and minute < span.after:
                return True
        return False

    def _day(self, moment: datetime) -> int:
        is_holiday = {f"{moment:%Y-%m-%d}", f"{moment:%m-%d}"} & self.holidays
        return _HOLIDAY if is_holiday else moment.weekday()


@lru_cache(1024)
def parse_hours(text: str, time_zone: str = "UTC", holidays: tuple[str, ...] = ()) -> Hours:
    """Understand hours. Raises ValueError that says what was expected."""
    return Hours(
        tuple(_span(part.strip()) for part in text.lower().split(",")),
        checked_zone(time_zone),
        frozenset(map(checked_date, holidays)),
    )


def checked_zone(name: str) -> ZoneInfo:
    """A time zone by its name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"found {name!r}, expected a time zone, as Europe/Berlin") from None


def checked_date(text: str) -> str:
    """A holiday. Raises ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError(f"found {text!r}, expected a date, as 2026-12-25, or 12-25 of each year")
    return text


def _span(text: str) -> _Span:
    match = _SPAN.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"found {text!r}, {_EXPECTED}")
    days: set[int] = set()
    for part in re.split(r" ?\+ ?", match["days"] or "mon-sun"):
        names = part.split("-")
        if not set(names) <= set(DAYS) or (len(names) == 2 and "hol" in names):
            raise ValueError(f"found {part!r}, expected days as mon, mon-fri, or hol")
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        days |= (
            {day % 7 for day in range(first, last + 1 + 7 * (last < first))}
            if len(names) == 2
            else {first}
        )
    return _Span(
        frozenset(days), _minute(match["from"] or "00:00"), _minute(match["to"] or "24:00")
    )


def _minute(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    if hour * 60 + minute > _MINUTES:
        raise ValueError(f"found {text!r}, expected 00:00 to 24:00")
    return hour * 60 + minute
