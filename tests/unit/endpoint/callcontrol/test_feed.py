"""The stream of events: numbers, history, readers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from endpoint.callcontrol.feed import EventFeed, EventsMissed
from endpoint.legs.base import DeviceId, DeviceRegistered

pytestmark = pytest.mark.unit

AT = datetime(2024, 5, 1, tzinfo=UTC)


def publish(feed: EventFeed, count: int) -> None:
    for number in range(count):
        feed.publish(DeviceRegistered(DeviceId(f"{number}"), "sip:a@b", 60), AT)


async def test_a_reader_waits_for_what_comes_next() -> None:
    feed = EventFeed(10)
    publish(feed, 2)
    reader = feed.subscribe()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        reading = group.create_task(anext(reader))
        await asyncio.sleep(0)
        publish(feed, 1)
    assert reading.result().number == 3
    assert repr(reader) == "<Subscription read 3 of 3>"


async def test_every_reader_has_its_own_place() -> None:
    feed = EventFeed(10)
    publish(feed, 3)
    early, late = feed.subscribe(0), feed.subscribe(2)
    feed.close()
    assert [each.number async for each in early] == [1, 2, 3]
    assert [each.number async for each in late] == [3]


async def test_a_reader_that_falls_behind_gets_no_gap() -> None:
    feed = EventFeed(3)
    reader = feed.subscribe()
    publish(feed, 4)
    with pytest.raises(EventsMissed) as caught:
        await anext(reader)
    assert (caught.value.wanted, caught.value.oldest) == (1, 2)


@pytest.mark.parametrize(
    ("after", "kept"), [(0, False), (1, True), (4, True), (5, False), (-1, False)]
)
async def test_only_what_is_kept_can_be_replayed(after: int, kept: bool) -> None:
    """History of 3, four events: 2 to 4 are there; 5 has not happened."""
    feed = EventFeed(3)
    publish(feed, 4)
    if kept:
        feed.subscribe(after)
    else:
        with pytest.raises(EventsMissed):
            feed.subscribe(after)


async def test_closing_ends_a_waiting_reader() -> None:
    feed = EventFeed(3)

    async def read() -> list[int]:
        return [each.number async for each in feed.subscribe()]

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await asyncio.sleep(0)
        feed.close()
    assert reading.result() == []
