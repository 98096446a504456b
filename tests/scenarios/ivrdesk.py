"""A desk whose IVRs go through real flows, with real queues; what they say is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import pytest

from endpoint.agents.callback import CallBackNotes
from endpoint.agents.crew import Crew, SkillDevices
from endpoint.agents.directory import Directory
from endpoint.agents.skills import QueueFacts, SkillQueues
from endpoint.agents.tally import DayNotes
from endpoint.callcontrol.controller import CallController
from endpoint.ivr import host
from endpoint.ivr.host import Ivrs, IvrSettings
from endpoint.ivr.leg import IvrStation, Listener, Part, QueuePlace
from endpoint.ivr.model import Visit
from endpoint.legs.base import (
    DeviceId,
    DigitDetected,
    IvrQueued,
    IvrVisited,
    LegEvent,
    LegId,
    LegReleased,
    PlaceLeg,
    RecordingEvent,
    RegistrationEvent,
)
from tests.fakes.exchange import FakeExchange, FakeLeg
from tests.scenarios.desk import Desk, open_desk

FILE_S = 1.0
"""So long is every sound that comes from a file."""


class FakeMouth:
    """Implements `Mouth`: what an IVR says is a word, and takes its time."""

    def __init__(self, leg: FakeLeg) -> None:
        self.leg = leg
        self.says = ""
        """`prompt`, `music`, or nothing."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def id(self) -> LegId:
        return self.leg.id

    def play(self, parts: Sequence[Part], ended: Callable[[], None]) -> None:
        self.stop()
        self.says = "prompt"
        lasts_s = sum(
            FILE_S if isinstance(part, Path) else sum(each.duration_ms for each in part) / 1000
            for part in parts
        )

        def over() -> None:
            self.stop()
            ended()

        self._timer = asyncio.get_running_loop().call_later(lasts_s, over)

    def music(self, file: Path | None) -> None:
        self.stop()
        self.says = "music"

    def stop(self) -> None:
        self.says = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tell(self, flow: str, visit: Visit) -> None:
        if not self.leg.is_over:
            told = IvrVisited(self.id, flow, visit.node, visit.kind, visit.result)
            self.leg.exchange.tell(told)

    def tell_queued(self, place: QueuePlace) -> None:
        if not self.leg.is_over:
            self.leg.exchange.tell(
                IvrQueued(self.id, place.queue, place.position, place.wait_s, place.offered_to)
            )

    def hang_up(self) -> None:
        self.leg.hang_up()


class IvrExchange(FakeExchange):
    """Telephones are played by the test, IVRs answer and hear keys by themselves."""

    def __init__(self, stations: Sequence[IvrStation]) -> None:
        super().__init__()
        self.mouths: dict[LegId, FakeMouth] = {}
        self._stations = {each.device: each for each in stations}
        self._listeners: dict[LegId, Listener] = {}
        self._flows: list[asyncio.Task[None]] = []
        self.placing: Callable[[FakeLeg], None] = lambda leg: None
        """Told of each leg to a telephone."""

    def place(self, request: PlaceLeg) -> None:
        super().place(request)
        station = self._stations.get(request.device)
        if station is None:
            self.placing(self.legs[request.leg])
            return
        leg = self.legs[request.leg]
        mouth = self.mouths[leg.id] = FakeMouth(leg)
        listener = self._listeners[leg.id] = station.begin(request, mouth)
        leg.ring()
        if not leg.is_up:
            leg.answer()
        self._flows.append(asyncio.get_running_loop().create_task(listener.run()))

    def tell(self, event: LegEvent | RecordingEvent | RegistrationEvent) -> None:
        super().tell(event)
        match event:
            case LegReleased(leg=leg) if leg in self._listeners:
                self.mouths[leg].stop()
                self._listeners[leg].end()
            case DigitDetected(leg=leg, digit=digit):
                for routes in self._routes.values():
                    for route in routes:
                        if route.source == leg and route.sink in self._listeners:
                            self._listeners[route.sink].press(digit)
            case _:
                pass

    async def flows_ended(self) -> None:
        """Wait until each has; raises what one has raised."""
        await asyncio.gather(*self._flows)

    def sounds(self) -> dict[str, set[str]]:
        """Who hears what: an IVR is what it says at the moment, as far as it says anything."""
        says: dict[str, str] = {
            mouth.leg.device: mouth.says for mouth in self.mouths.values() if mouth.leg.is_up
        }
        return {
            device: {each for each in (says.get(each, each) for each in heard) if each}
            for device, heard in self.heard().items()
            if device not in says
        }


class SilentWebhook:
    """In place of an HTTP client: it asks, and no answer comes."""

    def __init__(self) -> None:
        self.asked = 0
        self.waiting = 0

    def post(self, url: str, **_: object) -> Self:
        return self

    async def __aenter__(self) -> None:
        self.asked += 1
        self.waiting += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        """It never gets so far."""


class IvrDesk:
    """The desk, what its telephones and IVRs are, and its queues."""

    def __init__(self, desk: Desk, exchange: IvrExchange, ivrs: Ivrs, queues: SkillQueues) -> None:
        self.desk = desk
        self.exchange = exchange
        self.ivrs = ivrs
        self.queues = queues
        self.webhook = SilentWebhook()
        ivrs.http = cast(aiohttp.ClientSession, self.webhook)

    @property
    def calls_in_flows(self) -> int:
        return sum(each.calls for each in self.ivrs.facts())

    def facts(self, queue: str) -> QueueFacts:
        """How a queue is now."""
        (found,) = [each for each in self.queues.facts() if each.settings.code == queue]
        return found

    def path(self, record: int = -1) -> list[tuple[str, str]]:
        """Of the calls' records that are written, the nodes and what came of them."""
        steps = self.desk.records.written[record].ivr_path
        return [(each.node, each.outcome) for each in steps]


@asynccontextmanager
async def open_ivr_desk(
    monkeypatch: pytest.MonkeyPatch,
    flow: Path,
    code: str | Sequence[str],
    skills: Sequence[SkillDevices],
    directory: Directory | None = None,
    crew: Callable[[CallController], AbstractAsyncContextManager[Crew]] | None = None,
    notes: CallBackNotes | None = None,
    days: DayNotes | None = None,
    **options: Any,
) -> AsyncIterator[IvrDesk]:
    """A desk where one code, or some, are IVRs; every device of a skill can be reached."""
    # Files are looked at in a thread, which lives in real time.
    monkeypatch.setattr(host, "LOOK_S", 1e9)
    codes = [code] if isinstance(code, str) else code
    ivrs = Ivrs([IvrSettings(DeviceId(each), str(flow)) for each in codes])
    exchange = IvrExchange(ivrs.stations())
    async with open_desk(exchange=exchange, **options) as desk:
        controller = desk.controller
        agents = nullcontext(None) if crew is None else crew(controller)
        async with (
            agents as agents_there,
            SkillQueues(
                controller,
                skills,
                lambda _: True,
                directory=directory,
                crew=agents_there,
                notes=notes,
                days=days,
            ) as queues,
            ivrs.serve(controller, queues),
        ):
            http = ivrs.http
            try:
                yield IvrDesk(desk, exchange, ivrs, queues)
                await exchange.flows_ended()
            finally:
                ivrs.http = http
