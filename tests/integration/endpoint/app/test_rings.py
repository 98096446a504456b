"""Nothing of a request waits to be found as garbage: looking for it holds calls up."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol.events import CallCleared, Established, Event
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory
from tests.rings import rings_left

from .conftest import Desk

pytestmark = pytest.mark.integration


async def test_requests_and_calls_of_an_agent_leave_no_rings(desk: Desk) -> None:
    do = desk.client
    await do.add_to_directory("agents", directory.Agent("1001", "Anna", devices=["6002"]))

    events = desk.endpoint.controller.subscribe()

    async def told(kind: type[Event]) -> None:
        async with asyncio.timeout(60):
            async for numbered in events:
                if isinstance(numbered.event, kind):
                    return

    async def work() -> None:
        shown = (await do.log_on("1001", wire.LogOnAgent("6002", ready=True))).delegator_id
        call = (await do.make_call("6002", "6003")).call
        await told(Established)
        await do.hold("6002", call)
        await do.retrieve("6002", call)
        await do.end("6002", call)
        await told(CallCleared)
        await do.set_not_ready("1001", "", shown)
        await do.log_off("1001", shown)

    await work()  # what is made once for all
    with rings_left("endpoint.", "signaling.", "aiohttp.web", "sqlalchemy.sql.s") as left:
        await work()
    assert left == {}
