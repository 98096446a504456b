"""F3: whatever task or process of ours is killed, only its own call is hurt, and work goes on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from endpoint.app.doctor import check_running
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import CallCleared, Established, Event
from endpoint.callcontrol.feed import Subscription
from endpoint.callcontrol.model import CallId
from endpoint.legs.base import Cause, DeviceId, LegId

from .conftest import configuration

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

PATIENCE_S = 60.0
STATIONS = [{"device": str(number), "kind": "tone"} for number in range(6002, 6006)]
SERVICES = (
    "invitations",
    "registrations",
    "accounts",
    "bans",
    "media notices",
    "media notices of worker 1",
    "leg events",
    "call records",
    "TCP listener",
)
"""Tasks of the endpoint that no call may miss."""
MEDIA = ("media worker", "media worker's keeper")
VICTIMS = (*SERVICES, *MEDIA, "leg", "interaction")


class Desk:
    """A call that may be hurt, one beside it that may not, and what was told of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.events: Subscription = endpoint.controller.subscribe()
        self.hurt = CallId("")
        self.other = CallId("")

    async def told(self, kind: type[Event], call: CallId) -> Event:
        async with asyncio.timeout(PATIENCE_S):
            async for numbered in self.events:
                event = numbered.event
                if isinstance(event, kind) and getattr(event, "call", None) == call:
                    return event
        raise AssertionError("the stream of events ended")

    async def cleared(self, *calls: CallId) -> set[Cause]:
        """Wait until the calls are over, in whatever order; why."""
        over: dict[CallId, Cause] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for numbered in self.events:
                event = numbered.event
                if isinstance(event, CallCleared) and event.call in calls:
                    over[event.call] = event.cause
                if len(over) == len(calls):
                    return set(over.values())
        raise AssertionError("the stream of events ended")

    async def left_after_one_ends(self) -> set[CallId]:
        """Wait until the legs of one of the two are lost; the calls that are left."""
        async with asyncio.timeout(PATIENCE_S):
            async for numbered in self.events:
                event = numbered.event
                if isinstance(event, CallCleared) and event.call in (self.hurt, self.other):
                    assert event.cause is Cause.MEDIA_LOST
                    return {call.id for call in self.endpoint.controller.calls()}
        raise AssertionError("the stream of events ended")

    async def hears(self, leg: LegId) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = await self.endpoint.exchange.read_heard(leg, 20)
                if any(told.samples):
                    return
                await asyncio.sleep(0.01)

    async def dial(self, device: str, called: str) -> CallId:
        accepted = await self.endpoint.controller.submit(MakeCall(DeviceId(device), called))
        await self.told(Established, accepted.call)
        return accepted.call

    async def both_talk(self) -> None:
        live = {call.id for call in self.endpoint.controller.calls()}
        if self.hurt not in live:
            self.hurt = await self.dial("6002", "6003")
        if self.other not in live:
            self.other = await self.dial("6004", "6005")

    async def service(self, name: str) -> asyncio.Task[object]:
        """The task that does it now."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for task in asyncio.all_tasks():
                    if task.get_name() == name and not task.done():
                        return task
                await asyncio.sleep(0.01)

    async def kill(self, victim: str) -> None:
        """Kill it, and wait until those that it hurts have ended and it is begun anew."""
        controller = self.endpoint.controller
        if victim == "media worker":
            assert self.endpoint.media_workers[0].pid is not None
            os.kill(self.endpoint.media_workers[0].pid, signal.SIGKILL)
        elif victim in (*SERVICES, *MEDIA):
            task = await self.service(victim)
            task.cancel()
            await asyncio.wait([task])
        else:
            call = next(call for call in controller.calls() if call.id == self.hurt)
            legs = [connection.leg for connection in call.connections]
            names = {f"leg {legs[0]}"} if victim == "leg" else {f"interaction {self.hurt[:-2]}"}
            (task,) = (task for task in asyncio.all_tasks() if task.get_name() in names)
            task.cancel()
        if victim in MEDIA:
            assert await self.cleared(self.hurt, self.other) == {Cause.MEDIA_LOST}
        elif victim in ("leg", "interaction"):
            await self.cleared(self.hurt)
        live = {call.id for call in controller.calls()}
        assert (self.other in live) is (victim not in MEDIA)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    config = configuration(
        tmp_path / "state", calls={"dials_per_minute": 1_000_000}, station=STATIONS
    )
    with capture_logs():
        async with Endpoint(config) as endpoint:
            yield Desk(endpoint)


@pytest.mark.parametrize("kills", [0, pytest.param(100, marks=pytest.mark.soak)])
async def test_f3_only_the_call_is_hurt_whose_own_was_killed(desk: Desk, kills: int) -> None:
    """Each kind once, and then at random."""
    chance = random.Random(3)
    for victim in (*VICTIMS, *chance.choices(VICTIMS, k=kills)):
        await desk.both_talk()
        await desk.kill(victim)
    await desk.both_talk()
    for device in ("6002", "6004"):
        await desk.endpoint.controller.submit(ClearConnection(DeviceId(device)))
    await desk.cleared(desk.hurt, desk.other)
    assert desk.endpoint.controller.calls() == ()
    assert desk.endpoint.exchange.leg_count == 0


async def test_f3_one_of_two_media_workers_is_killed_and_hurts_its_own_call_alone(
    tmp_path: Path,
) -> None:
    config = configuration(
        tmp_path / "state",
        calls={"dials_per_minute": 1_000_000},
        station=STATIONS,
        media={"workers": 2},
    )
    with capture_logs():
        async with Endpoint(config) as endpoint:
            desk = Desk(endpoint)
            await desk.both_talk()
            for worker in endpoint.media_workers:
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                (spared,) = await desk.left_after_one_ends()
                await desk.both_talk()  # the other one again, while this one goes on
                assert spared in (desk.hurt, desk.other)
                for call in endpoint.controller.calls():
                    for connection in call.connections:
                        await desk.hears(connection.leg)


async def test_f3_what_dies_again_and_again_is_an_alarm(desk: Desk) -> None:
    """It is tried on; the doctor and `GET /health` say so."""
    (check,) = await check_running(desk.endpoint.config)
    assert check.outcome == "ok"
    for _ in range(6):
        (await desk.service("registrations")).cancel()
        await asyncio.sleep(0)
    await desk.service("registrations")
    async with asyncio.timeout(PATIENCE_S):
        while (check := (await check_running(desk.endpoint.config))[0]).outcome == "ok":
            (await desk.service("registrations")).cancel()
    assert check.outcome == "failed"
    assert "registrations was begun anew more than 5 times" in check.text
