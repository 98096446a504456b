"""A desk with a controller and telephones that are played: what the call scenarios sit at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from endpoint.callcontrol import commands
from endpoint.callcontrol.controller import CallController, ControllerSettings
from endpoint.callcontrol.dialplan import DialPlan, PlanInUse
from endpoint.callcontrol.events import CallEvent, Delivered, Established, Event
from endpoint.callcontrol.model import Call, CallId, CallRecord
from endpoint.callcontrol.permissions import Permissions
from endpoint.callcontrol.runner import OpenCalls
from endpoint.legs.base import DeviceId, InteractionId, LegRole
from tests.fakes.exchange import FakeExchange, FakeLeg
from tests.fakes.permissions import EVERYBODY

START = datetime(2024, 5, 1, 12, tzinfo=UTC)
PATIENCE_S = 1000.0
"""Virtual seconds that a test waits for anything."""

E = TypeVar("E", bound=Event)


class MemoryRecords:
    """Keeps call records in a list."""

    def __init__(self) -> None:
        self.written: list[CallRecord] = []

    async def write(self, record: CallRecord) -> None:
        self.written.append(record)


class Desk:
    """The controller, the telephones, and everything that was told so far."""

    def __init__(
        self, controller: CallController, exchange: FakeExchange, records: MemoryRecords
    ) -> None:
        self.controller = controller
        self.exchange = exchange
        self.records = records
        self.events: list[Event] = []
        self.calls_over = 0
        """Calls whose record `forget_what_is_over` has counted."""
        self._stream = controller.subscribe(0)
        self._read = 0

    # -- commands, short --------------------------------------------------------------------------

    async def dial(self, device: str, destination: str) -> CallId:
        accepted = await self.controller.submit(commands.MakeCall(DeviceId(device), destination))
        return accepted.call

    async def answer(self, device: str, call: CallId | None = None) -> None:
        await self.controller.submit(commands.AnswerCall(DeviceId(device), call))

    async def hold(self, device: str, call: CallId | None = None) -> None:
        await self.controller.submit(commands.HoldCall(DeviceId(device), call))

    async def retrieve(self, device: str, call: CallId | None = None) -> None:
        await self.controller.submit(commands.RetrieveCall(DeviceId(device), call))

    async def clear(self, device: str, call: CallId | None = None) -> None:
        await self.controller.submit(commands.ClearConnection(DeviceId(device), call))

    async def digits(self, device: str, digits: str) -> None:
        await self.controller.submit(commands.GenerateDigits(DeviceId(device), digits))

    async def transfer(self, device: str, destination: str, call: CallId | None = None) -> None:
        command = commands.SingleStepTransfer(DeviceId(device), destination, call)
        await self.controller.submit(command)

    async def bring_together(self, device: str, other: CallId, call: CallId) -> None:
        await self.controller.submit(commands.TransferCall(DeviceId(device), other, call))

    async def consult(self, device: str, destination: str) -> CallId:
        """Returns the second call."""
        command = commands.ConsultationCall(DeviceId(device), destination)
        return (await self.controller.submit(command)).call

    async def alternate(self, device: str) -> None:
        await self.controller.submit(commands.AlternateCall(DeviceId(device)))

    async def reconnect(self, device: str) -> None:
        await self.controller.submit(commands.ReconnectCall(DeviceId(device)))

    async def conference(self, device: str) -> None:
        await self.controller.submit(commands.ConferenceCall(DeviceId(device)))

    # -- what is told -----------------------------------------------------------------------------

    async def told(self, kind: type[E], device: str | None = None) -> E:
        """The next event of that kind (about that device); those before it are read past."""
        async with asyncio.timeout(PATIENCE_S):
            async for numbered in self._stream:
                event, self._read = numbered.event, numbered.number
                self.events.append(event)
                if isinstance(event, kind) and device in (None, event.device):
                    return event
        raise AssertionError("the stream of events ended")

    async def let_pass(self, seconds: float) -> list[Event]:
        """Everything that is told while so much virtual time passes, and was not read before."""
        await asyncio.sleep(seconds)
        seen = len(self.events)
        while self._read < self.controller.last_number:
            numbered = await anext(self._stream)
            self._read = numbered.number
            self.events.append(numbered.event)
        return self.events[seen:]

    @property
    def call(self) -> Call:
        """The one call that there is."""
        (call,) = self.controller.calls()
        return call

    def state(self, device: str) -> str:
        connection = self.call.connection_of(DeviceId(device))
        assert connection is not None
        return connection.state.value

    def story(self) -> list[str]:
        """What was told, short: `Delivered 10086 alerting`."""
        return [
            f"{type(event).__name__} {event.device} {event.state}"
            for event in self.events
            if isinstance(event, CallEvent)
        ]

    def forget_what_is_over(self) -> None:
        """Drop events, records and ended legs, for long runs; each call has one record."""
        calls = [record.call for record in self.records.written]
        assert len(calls) == len(set(calls))
        self.calls_over += len(calls)
        self.records.written.clear()
        self.events.clear()
        self.exchange.forget_what_is_over()

    # -- ways into a call -------------------------------------------------------------------------

    async def dialled(self, caller: str = "6001", called: str = "10086") -> FakeLeg:
        """MakeCall; returns the far party, which has heard nothing yet."""
        await self.dial(caller, called)
        return await self.exchange.placed(called.partition("-")[0])

    async def ringing(self, caller: str = "6001", called: str = "10086") -> FakeLeg:
        """MakeCall; returns the far party, which rings."""
        far = await self.dialled(caller, called)
        far.ring()
        await self.told(Delivered, far.device)
        return far

    async def talking(self, caller: str = "6001", called: str = "10086") -> tuple[FakeLeg, FakeLeg]:
        """MakeCall, answered; returns both telephones."""
        far = await self.ringing(caller, called)
        far.answer()
        await self.told(Established, far.device)
        return await self.exchange.placed(caller), far

    async def coming_in(
        self, caller: str = "10086", called: str = "6001"
    ) -> tuple[FakeLeg, FakeLeg]:
        """A call from outside that rings at our station; returns caller and station."""
        outside = self.exchange.offer(caller, called, LegRole.LINE)
        station = await self.exchange.placed(called)
        station.ring()
        await self.told(Delivered, called)
        return outside, station


@asynccontextmanager
async def open_desk(
    settings: ControllerSettings | None = None,
    *,
    check: bool = True,
    aliases: Mapping[str, str] | None = None,
    permissions: Permissions = EVERYBODY,
    ours: Collection[str] | None = None,
    plan: DialPlan | None = None,
    open_calls: OpenCalls | None = None,
    exchange: FakeExchange | None = None,
) -> AsyncIterator[Desk]:
    """A desk; at its end no leg may be left, and nothing may have been asked out of turn.

    `ours` are the devices that may be commanded, by default all; `exchange` one with more in it.
    """
    settings = settings or ControllerSettings()
    settings = replace(settings, calls=replace(settings.calls, permissions=permissions))
    exchange, records, numbers = exchange or FakeExchange(), MemoryRecords(), count(1)
    loop = asyncio.get_running_loop()

    def clock() -> datetime:
        return START + timedelta(seconds=loop.time())

    def new_interaction() -> InteractionId:
        return InteractionId(f"i{next(numbers)}")

    async def extension(number: DeviceId) -> DeviceId | None:
        found = (aliases or {}).get(number)
        return DeviceId(found) if found is not None else None

    async def is_ours(device: DeviceId) -> bool:
        return ours is None or device in ours

    async with CallController(
        exchange,
        records,
        settings=settings,
        clock=clock,
        new_interaction=new_interaction,
        extension=extension,
        plan=PlanInUse(plan or DialPlan(), clock),
        is_ours=is_ours,
        open_calls=open_calls,
    ) as controller:
        yield Desk(controller, exchange, records)
    if check:
        assert exchange.faults == []
        assert exchange.open_legs == []
