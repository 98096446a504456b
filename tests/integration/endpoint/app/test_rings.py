"""Nothing of a request waits to be found as garbage: looking for it holds calls up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearCall, MakeCall
from endpoint.callcontrol.events import CallCleared, Established, Event
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory
from endpoint.legs.base import DeviceId
from tests.interop.peers.process import free_port
from tests.rings import rings_left
from tests.virtual_endpoint import have_it_in_this_loop

from .basiccall.floor import carrier_of, trunk
from .conftest import Desk, configuration

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


@pytest.mark.virtual_time
async def test_calls_over_sip_leave_no_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at who called nor at who was called; what the last one leaves goes with the next."""
    have_it_in_this_loop(monkeypatch)
    ours, theirs = free_port(), free_port()
    office_has = configuration(
        tmp_path / "office",
        sip={"port": ours, "tcp": False, "tls": False},
        trunk=[trunk(theirs, "6*", "1*")],
    )
    carrier_has = carrier_of(tmp_path / "carrier", theirs, ours)
    async with Endpoint(carrier_has) as carrier, Endpoint(office_has) as office:

        async def call(caller: Endpoint, device: str, number: str) -> None:
            made = await caller.controller.submit(MakeCall(DeviceId(device), number))
            await asyncio.sleep(5)
            for endpoint in (office, carrier):
                assert endpoint.controller.calls()[0].is_established
            await caller.controller.submit(ClearCall(DeviceId(device), made.call))
            await asyncio.sleep(200)

        for who, device, number in ((office, "6002", "10086"), (carrier, "10086", "6002")):
            await call(who, device, number)  # what is made once for all
            with rings_left("endpoint.", "signaling.") as left:
                await call(who, device, number)
                await call(who, device, number)
            # The media plane has a process of its own, and looks through that.
            own = {
                name for name in left if not name.startswith(("endpoint.media", "endpoint.audio"))
            }
            assert own == set()
