"""The IVRs and the queues over HTTP, at `/api/v1/ivr` and `/api/v1/queues`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from endpoint.agents.skills import QueueFacts, SkillQueues
from endpoint.app.bodies import BadRequest, json_answer, read_body
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import queuemessages as queues
from endpoint.ivr.host import Ivrs

LATEST = timedelta(days=366)
"""Nobody asks today to be called back later."""


@dataclass(frozen=True, slots=True)
class IvrRoutes:
    """Handlers that say how they are."""

    ivrs: Ivrs
    skill_queues: SkillQueues
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/ivr", self.all),
            web.get(f"{wire.API}/queues", self.queues),
            web.post(f"{wire.API}/queues/{{queue}}/call-backs", self.ask_call_back),
            web.delete(
                f"{wire.API}/queues/{{queue}}/call-backs/{{call_back}}", self.withdraw_call_back
            ),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /ivr`."""
        return json_answer(
            queues.Ivrs(
                [
                    queues.Ivr(
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
        return json_answer(queues.Queues([_queue(each) for each in self.skill_queues.facts()]))

    async def ask_call_back(self, request: web.Request) -> web.Response:
        """`POST /queues/{queue}/call-backs`."""
        wanted = await read_body(request, queues.AskCallBack, timeout_s=self.body_timeout_s)
        key, made = self.skill_queues.ask_call_back(
            wanted.number,
            request.match_info["queue"],
            priority=wanted.priority,
            not_before=_not_before(wanted.not_before, datetime.now(UTC)),
        )
        answer = queues.CallBack(key, made.queue, made.number, made.not_before, made.priority)
        return json_answer(answer, 201)

    async def withdraw_call_back(self, request: web.Request) -> web.Response:
        """`DELETE /queues/{queue}/call-backs/{call_back}`."""
        queue, key = request.match_info["queue"], request.match_info["call_back"]
        self.skill_queues.withdraw_call_back(queue, key)
        return web.Response(status=204)


def _not_before(at: datetime | None, now: datetime) -> datetime | None:
    """None where that is over. Raises `BadRequest` where nobody can mean it."""
    if at is None or at <= now:
        return None
    if at - now > LATEST:
        expected = f"a moment within {LATEST.days} days"
        raise BadRequest(400, wire.Refused("bad_field", f"found {at}", "$.not_before", expected))
    return at.astimezone(UTC)


def _queue(facts: QueueFacts) -> queues.Queue:
    calls, today = facts.calls, facts.today
    return queues.Queue(
        queue=facts.settings.code,
        name=facts.settings.name,
        devices=list(facts.devices),
        reachable=len(facts.devices),
        free=facts.free,
        agents=facts.agents,
        ready=facts.ready,
        busy=facts.busy,
        waiting=[
            queues.WaitingCall(
                call=each.call,
                caller=each.caller,
                position=each.position,
                waited_s=round(each.waited_s, 1),
                priority=each.priority,
                offered_to=each.offered_to,
                call_back=each.calls_back,
                call_back_id=each.call_back or None,
                not_before=each.not_before,
            )
            for each in calls
        ],
        longest_s=round(facts.longest_s, 1),
        wait_s=None if facts.wait_s is None else round(facts.wait_s, 1),
        today=queues.QueueDay(
            date=today.date,
            outcomes=dict(today.outcomes),
            waited_s={outcome: round(waited, 1) for outcome, waited in today.waited_s.items()},
            outbound=dict(today.outbound),
        ),
    )
