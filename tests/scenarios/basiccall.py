"""A page of BasicCall over a small centre: what it is told, written short."""

from __future__ import annotations

import asyncio

from endpoint.agents.model import AgentId
from endpoint.app.basiccall.world import CallWorld
from endpoint.gateways.basiccall.fold import Fold
from endpoint.gateways.basiccall.frames import SPEvent
from endpoint.gateways.basiccall.names import CommandName, EventName
from tests.scenarios.centre import ANNA, Centre

TENANT = "acme"
OURS = {"6001", "6002", "6003", "6101", "999"}


class Page:
    """`told` is what its agent's page was told since the last time, as `HoldSucc 7`."""

    def __init__(self, centre: Centre, agent: AgentId = ANNA) -> None:
        self.world = CallWorld(centre.desk.controller, OURS.__contains__, TENANT)
        self.events: list[SPEvent] = []
        """Of the last `told`."""
        self._centre, self._agent = centre, agent
        session = centre.session(agent)
        self.fold = Fold(session, self.world, self.world.own_calls(session.device))
        standing = centre.roster.standing(agent)
        assert standing is not None
        self._read = standing.number
        self._waiting: list[SPEvent] = []

    def ask(self, command: CommandName) -> None:
        self._waiting += self.fold.ask(command)

    def answered(self) -> None:
        self._waiting += self.fold.answered()

    def prepare(self, command: CommandName) -> None:
        self._waiting += self.fold.prepare(command)

    async def told(self) -> list[str]:
        await asyncio.sleep(0.01)
        self.events, self._waiting = self._waiting, []
        for entry in await self._centre.log(self._agent, self._read):
            self._read = entry.number
            self.events += self.fold.heed(entry.event)
        return [short(event) for event in self.events]


def short(event: SPEvent) -> str:
    match event.name:
        case EventName.STATE_CHANGE:
            return f"={event.agent['agentState']}"
        case EventName.MONITOR_CONTROLED:
            return f"{event.name} {event.params['controlType']}"
        case _ if event.code:
            return f"{event.name} {event.code}"
        case _:
            return str(event.name)
