"""When a rule of the dial plan counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.callcontrol.hours import parse_hours

pytestmark = pytest.mark.unit

FRIDAY = datetime(2026, 11, 27, tzinfo=UTC)
CHRISTMAS = datetime(2026, 12, 25, tzinfo=UTC)
"""A Friday too."""


def at(clock: str, day: datetime = FRIDAY, *, days: int = 0) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return day + timedelta(days=days, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", [at("8:00"), at("17:59")], [at("7:59"), at("18:00")]),
        ("mon-fri 08:00-18:00", [at("9:00", days=3)], [at("9:00", days=1)]),
        ("sat+mon 09:00-12:00", [at("9:00", days=1), at("9:00", days=3)], [at("9:00")]),
        ("08:00-09:00", [at("8:30", days=day) for day in range(7)], [at("9:00")]),
        ("fri", [at("0:00"), at("23:59")], [at("0:00", days=1)]),
        ("fri 22:00-06:00", [at("22:00"), at("5:59", days=1)], [at("5:59"), at("6:00", days=1)]),
        ("sat-mon", [at("1:00", days=day) for day in (1, 2, 3)], [at("1:00")]),
        ("mon 08:00-09:00, fri 10:00-11:00", [at("10:30")], [at("8:30")]),
    ],
)
def test_hours(hours: str, inside: list[datetime], outside: list[datetime]) -> None:
    parsed = parse_hours(hours)
    assert [moment for moment in inside + outside if parsed.are_open(moment)] == inside


def test_they_are_of_a_place_in_summer_and_in_winter() -> None:
    berlin = parse_hours("08:00-09:00", "Europe/Berlin")
    assert berlin.are_open(datetime(2026, 7, 1, 6, 30, tzinfo=UTC))
    assert berlin.are_open(datetime(2026, 12, 1, 7, 30, tzinfo=UTC))
    assert not berlin.are_open(datetime(2026, 12, 1, 6, 30, tzinfo=UTC))


@pytest.mark.parametrize("holiday", ["2026-12-25", "12-25"])
def test_a_holiday_is_no_day_of_the_week(holiday: str) -> None:
    week = parse_hours("mon-sun 00:00-24:00", "UTC", (holiday,))
    rest = parse_hours("hol 10:00-12:00", "UTC", (holiday,))
    assert week.are_open(at("11:00"))
    assert not week.are_open(at("11:00", CHRISTMAS))
    assert rest.are_open(at("11:00", CHRISTMAS))
    assert not rest.are_open(at("9:00", CHRISTMAS))
    assert not rest.are_open(at("11:00"))


@pytest.mark.parametrize(
    ("hours", "zone", "holidays"),
    [
        ("", "UTC", ()),
        ("noon", "UTC", ()),
        ("mon-xyz", "UTC", ()),
        ("mon-hol", "UTC", ()),
        ("25:00-26:00", "UTC", ()),
        ("mon 08:00", "UTC", ()),
        ("mon,", "UTC", ()),
        ("mon", "Europe/Nowhere", ()),
        ("mon", "../etc/passwd", ()),
        ("mon", "UTC", ("25.12.",)),
        ("mon", "UTC", ("13-01",)),
    ],
)
def test_what_can_not_be_read_says_what_was_expected(
    hours: str, zone: str, holidays: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_hours(hours, zone, holidays)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse_hours(text)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017 - that it may also be understood is the point
