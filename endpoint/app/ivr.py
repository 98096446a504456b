"""The IVRs and the queues over HTTP, at `/api/v1/ivr` and `/api/v1/queues`."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

from endpoint.agents.skills import SkillQueues
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
        return _json(
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
        return _json(
            wire.Queues(
                [
                    wire.Queue(
                        skill=each.skill,
                        devices=list(each.devices),
                        reachable=each.reachable,
                        free=each.free,
                        waiting_s=[round(waited, 1) for waited in each.waiting_s],
                        ringing=list(each.ringing),
                    )
                    for each in self.skill_queues.facts()
                ]
            )
        )


def _json(message: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(message), content_type="application/json")
