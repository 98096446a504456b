"""The IVRs and the queues over HTTP, at `/api/v1/ivr` and `/api/v1/queues`."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from endpoint.agents.skills import QueueFacts, SkillQueues
from endpoint.app.bodies import json_answer
from endpoint.gateways.native import messages as wire
from endpoint.ivr.host import Ivrs


@dataclass(frozen=True, slots=True)
class IvrRoutes:
    """Handlers that say how they are."""

    ivrs: Ivrs
    skill_queues: SkillQueues

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/ivr", self.all),
            web.get(f"{wire.API}/queues", self.queues),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /ivr`."""
        return json_answer(
            wire.Ivrs(
                [
                    wire.Ivr(
                        code=each.code,
                        flow=each.flow,
                        file=each.file,
                        title=each.title,
                        nodes=each.nodes,
                        calls=each.calls,
                        read_at=each.read_at,
                        mistakes=list(each.mistakes),
                    )
                    for each in self.ivrs.facts()
                ]
            )
        )

    async def queues(self, _request: web.Request) -> web.Response:
        """`GET /queues`."""
        return json_answer(wire.Queues([_queue(each) for each in self.skill_queues.facts()]))


def _queue(facts: QueueFacts) -> wire.Queue:
    calls, today = facts.calls, facts.today
    return wire.Queue(
        queue=facts.settings.code,
        name=facts.settings.name,
        devices=list(facts.devices),
        reachable=len(facts.devices),
        free=facts.free,
        agents=facts.agents,
        ready=facts.ready,
        busy=facts.busy,
        waiting=[
            wire.WaitingCall(
                call=each.call,
                caller=each.caller,
                position=each.position,
                waited_s=round(each.waited_s, 1),
                priority=each.priority,
                offered_to=each.offered_to,
                call_back=each.calls_back,
            )
            for each in calls
        ],
        longest_s=round(max((each.waited_s for each in calls), default=0.0), 1),
        wait_s=None if facts.wait_s is None else round(facts.wait_s, 1),
        today=wire.QueueDay(
            date=today.date,
            outcomes=dict(today.outcomes),
            waited_s={outcome: round(waited, 1) for outcome, waited in today.waited_s.items()},
        ),
    )
