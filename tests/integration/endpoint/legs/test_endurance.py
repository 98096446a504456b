"""Nothing is left over: not after many calls, and not after the media worker has died."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.legs.base import Cause, LegAnswered, LegReleased, Side
from endpoint.legs.leg import LegSettings
from endpoint.media.link import WorkerLink
from tests.integration.endpoint.legs.conftest import MEDIA, Office, open_office
from tests.integration.endpoint.legs.phones import Answered, Ended, Phone

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

CALLS = 50


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def call(agent: Phone, customer: Phone, office: Office) -> None:
    """One short call, from dialling to the last BYE."""
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    for _ in range(2):
        await office.operator.saw(LegAnswered)
    b.session.bye()
    await b.until(Ended)
    await a.until(Ended)
    a.go_silent()
    b.go_silent()
    await office.idle()


async def test_tasks_ports_and_descriptors_are_where_they_began(office: Office) -> None:
    agent = await office.phone("6001", websocket=True)
    customer = await office.phone("10086")
    await call(agent, customer, office)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    for _ in range(CALLS):
        await call(agent, customer, office)
    # What the first call began may have ended since; nothing may have come.
    assert len(asyncio.all_tasks()) <= tasks
    assert descriptors() == files
    assert office.exchange.leg_count == 0
    assert "0 ports" in repr(office.exchange)


@pytest.fixture
async def worker() -> AsyncIterator[WorkerLink]:
    async with WorkerLink(MEDIA) as link:
        yield link


@pytest.mark.virtual_time(False)
async def test_a_killed_worker_ends_its_calls_and_new_calls_work(worker: WorkerLink) -> None:
    async with open_office(LegSettings(domain="127.0.0.1"), worker) as office:
        agent = await office.phone("6001")
        customer = await office.phone("10086")
        a = await agent.dial("10086")
        b = await customer.rings()
        await b.pick_up()
        await a.take_answer((await a.until(Answered)).sdp)
        await b.hears("6001")

        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        ends = [await office.operator.saw(LegReleased) for _ in range(2)]
        assert {(end.cause, end.released_by) for end in ends} == {(Cause.MEDIA_LOST, Side.ENDPOINT)}
        assert (await a.until(Ended)).q850 == (await b.until(Ended)).q850 == 41
        await office.idle()

        again = await agent.dial("10086")
        there = await customer.rings()
        await there.pick_up()
        await again.take_answer((await again.until(Answered)).sdp)
        await there.hears("6001")
        await again.hears("10086")
