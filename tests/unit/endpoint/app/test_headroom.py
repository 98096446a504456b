"""When too few descriptors, or too little memory, are left for another call."""

from __future__ import annotations

from itertools import count

import pytest
from structlog.testing import capture_logs

from endpoint.app.headroom import Headroom, descriptors

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("files", "memory", "short"),
    [
        ((100, 1024), None, False),
        ((1008, 1024), None, False),
        ((1009, 1024), None, True),
        ((1024, 1024), None, True),
        (None, None, False),
        ((100, 1024), (94, 100), False),
        ((100, 1024), (96, 100), True),
        (None, (96, 100), True),
    ],
)
def test_what_is_too_little(
    files: tuple[int, int] | None, memory: tuple[int, int] | None, short: bool
) -> None:
    assert Headroom(lambda: files, lambda: memory).is_short() is short


def test_it_is_said_once_that_it_begins_and_once_that_it_is_over() -> None:
    used = [10, 1024, 1024, 1024, 10, 10]
    headroom = Headroom(lambda: (used.pop(0), 1024), lambda: None, count(1).__next__)
    with capture_logs() as logs:
        assert [headroom.is_short() for _ in range(6)] == [False, True, True, True, False, False]
    assert [log["event"] for log in logs] == [
        "no new calls are taken",
        "new calls are taken again",
    ]
    assert "ulimit -n" in logs[0]["reason"]


def test_a_flood_of_calls_is_no_flood_of_looks() -> None:
    looks: list[int] = []
    moments = iter([10.0, 10.05, 10.09, 10.11])
    headroom = Headroom(lambda: looks.append(1), lambda: None, moments.__next__)  # type: ignore[func-returns-value]  # None: not told
    for _ in range(4):
        headroom.is_short()
    assert len(looks) == 2


def test_a_flood_of_connections_is_no_flood_of_looks_and_gets_no_more_than_there_is() -> None:
    """Each look reads a directory with an entry for every descriptor."""
    looks, moments = iter([(890, 1024), (100, 1024)]), [10.0 + i / 100 for i in range(11)]
    headroom = Headroom(lambda: next(looks), lambda: None, iter(moments).__next__)
    found = [headroom.has_room() for _ in moments]
    assert found == [True] * 7 + [False] * 3 + [True]


def test_this_process_has_some_left() -> None:
    found = descriptors()
    assert found is not None
    assert 0 < found[0] < found[1]
    assert not Headroom().is_short()
