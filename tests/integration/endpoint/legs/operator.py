"""The simplest call control: joins who calls with whom they call, and keeps what it was told."""

from __future__ import annotations

import asyncio
import itertools
from typing import TypeVar

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegEvent,
    LegId,
    LegOffered,
    LegReleased,
    LegRole,
    PlaceLeg,
    RegistrationEvent,
    Route,
)
from endpoint.legs.exchange import LegExchange
from tests.integration.endpoint.legs.phones import WAIT_S

E = TypeVar("E", bound=LegEvent | RegistrationEvent)


class Operator:
    """Sits at an exchange."""

    def __init__(self, exchange: LegExchange) -> None:
        self.exchange = exchange
        self.log: list[LegEvent | RegistrationEvent] = []
        self.is_joining = True
        """Places a leg to whom a call is for; else offered legs are left to the test."""
        self._numbers = itertools.count(1)
        self._partner: dict[LegId, LegId] = {}
        self._interaction: dict[LegId, InteractionId] = {}
        self._read = 0
        self._news = asyncio.Event()

    async def run(self) -> None:
        async for event in self.exchange.events():
            self.log.append(event)
            self._handle(event)
            self._news.set()

    def place(
        self,
        device: str,
        calling: str,
        role: LegRole = LegRole.LINE,
        *,
        auto_answer: bool = False,
    ) -> LegId:
        """A leg of an interaction of its own."""
        interaction = InteractionId(f"test-{next(self._numbers)}")
        return self._place(device, calling, interaction, role=role, auto_answer=auto_answer)

    def join(self, first: LegId, second: LegId) -> None:
        """Let two legs hear each other."""
        self.exchange.set_routes(
            self._interaction[first], [Route(first, second), Route(second, first)]
        )

    def join_interactions(self, line: LegId, station: LegId) -> None:
        """The same for legs that were placed apart."""
        self._interaction[station] = self._interaction[line]
        self.join(line, station)

    def route(self, leg: LegId, *routes: Route) -> None:
        self.exchange.set_routes(self._interaction[leg], routes)

    async def saw(self, kind: type[E]) -> E:
        """The next event of a kind, in the order of the log."""
        async with asyncio.timeout(WAIT_S):
            while True:
                while self._read < len(self.log):
                    event = self.log[self._read]
                    self._read += 1
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()

    async def talk(self) -> tuple[LegId, LegId]:
        """Wait until a call that came in is joined: caller's leg, called one's leg."""
        called = await self.saw(LegAnswered)
        caller = await self.saw(LegAnswered)
        return caller.leg, called.leg

    def _place(
        self,
        device: str,
        calling: str,
        interaction: InteractionId,
        *,
        role: LegRole = LegRole.LINE,
        auto_answer: bool = False,
    ) -> LegId:
        leg = LegId(f"out-{next(self._numbers)}")
        self._interaction[leg] = interaction
        self.exchange.place(
            PlaceLeg(
                leg,
                interaction,
                DeviceId(device),
                role,
                DeviceId(calling),
                auto_answer=auto_answer,
            )
        )
        return leg

    def _handle(self, event: LegEvent | RegistrationEvent) -> None:
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            return
        partner = self._partner.get(event.leg)
        match event:
            case LegOffered() if self.is_joining:
                self._interaction[event.leg] = event.interaction
                placed = self._place(event.called, event.calling, event.interaction)
                self._partner |= {placed: event.leg, event.leg: placed}
            case LegOffered():
                self._interaction[event.leg] = event.interaction
            case LegAlerting() if partner is not None:
                self.exchange.alert(partner)
            case LegAnswered() if partner is not None:
                if event.leg.startswith("out-"):
                    self.exchange.answer(partner)
                else:
                    self.join(event.leg, partner)
            case LegReleased() if partner is not None:
                self.exchange.set_routes(self._interaction[event.leg], [])
                self.exchange.release(
                    partner, event.cause if event.cause is not Cause.CANCELLED else Cause.CANCELLED
                )
            case _:
                pass
