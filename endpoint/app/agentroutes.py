"""REST of agents, at `/api/v1/agents`: who is logged on, what they and their supervisors ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from endpoint.agents.eventlog import Entry
from endpoint.agents.events import LogOffCause
from endpoint.agents.identity import Kind
from endpoint.agents.logon import LogOn, LogOnRefused, Refusal
from endpoint.agents.model import AgentId
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.agents.session import (
    AgentCommand,
    FinishWrapUp,
    LogOff,
    SetNotReady,
    SetReady,
    SetWorkMode,
)
from endpoint.agents.times import spent
from endpoint.app.access import identity_of
from endpoint.app.agentview import WORDS, AgentView
from endpoint.app.bodies import json_answer, read_body
from endpoint.app.records import moment
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native.messages import API
from endpoint.legs.base import DeviceId

States = Callable[[AgentId, datetime, datetime], Awaitable[Sequence[Entry]]]
"""What tells of an agent's states from one moment to another, and the last before."""


@dataclass(frozen=True, slots=True)
class AgentRoutes:
    """Handlers over the roster."""

    roster: Roster
    view: AgentView
    liveness: Liveness
    """Of clients that listen through the WebSocket."""
    body_timeout_s: float
    states: States
    """Reads logs for reports."""

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        agents = f"{API}/agents"
        one = f"{agents}/{{agent}}"
        plain: dict[type[AgentCommand], Callable[[web.Request], Awaitable[web.Response]]] = {
            SetReady: self.ready,
            SetNotReady: self.not_ready,
            SetWorkMode: self.work_mode,
            FinishWrapUp: self.finish_wrap_up,
            LogOff: self.log_off,
        }
        return [
            web.get(agents, self.agents),
            web.get(one, self.agent),
            web.get(f"{one}/times", self.times),
            web.post(f"{one}/log-on", self.log_on),
            *(web.post(f"{one}/{WORDS[kind]}", handler) for kind, handler in plain.items()),
        ]

    async def agents(self, request: web.Request) -> web.Response:
        """`GET /agents`."""
        return json_answer(wire.Agents(self.view.agents(identity_of(request))))

    async def agent(self, request: web.Request) -> web.Response:
        """`GET /agents/{agent}`."""
        return json_answer(self._shown(_agent(request)))

    async def times(self, request: web.Request) -> web.Response:
        """`GET /agents/{agent}/times`."""
        agent, clock = _agent(request), self.view.calls.controller.clock
        self._shown(agent)
        now = clock()
        since = moment(request.query.get("since"), "since")
        until = min(now, moment(request.query.get("until"), "until") or now)
        since = now.replace(hour=0, minute=0, second=0, microsecond=0) if since is None else since
        found = spent(await self.states(agent, since, until), since, until)
        rows = [
            wire.AgentSpent(
                str(what.state), what.reason, what.mode, round(each.seconds, 3), each.times
            )
            for what, each in sorted(found.items(), key=lambda one: -one[1].seconds)
        ]
        return json_answer(wire.AgentTimes(agent, since, until, rows))

    async def log_on(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/log-on`."""
        wanted = await read_body(request, wire.LogOnAgent, timeout_s=self.body_timeout_s)
        agent, identity = _agent(request), identity_of(request)
        is_known = identity.agent == agent or identity.kind is Kind.MACHINE
        if wanted.password is None and not is_known:
            why = f"say the password of {agent}: this token is not the agent's own"
            raise LogOnRefused(Refusal.WRONG_PASSWORD, why)
        is_own = wanted.password is not None or identity.agent == agent
        logged_on = await self.roster.log_on(
            LogOn(
                agent=agent,
                device=DeviceId(wanted.device),
                password=wanted.password,
                mode=wanted.mode,
                ready=wanted.ready,
                reason=wanted.reason,
                take_over=wanted.take_over,
                dials_for_skill=wanted.dials_for_skill,
                liveness=Liveness(grace_s=None) if wanted.keep_logged_on else self.liveness,
                source=request.remote or "",
                by=None if is_own else AgentId(identity.credential),
            )
        )
        return json_answer(wire.AgentLoggedOn(self._shown(agent), logged_on.delegator_id))

    async def log_off(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/log-off`: in a call, after it."""
        by = self._by(request)
        cause = LogOffCause.ASKED if by is None else LogOffCause.FORCED
        return await self._do(request, LogOff(cause), by)

    async def ready(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/ready`."""
        return await self._do(request, SetReady(), self._by(request))

    async def not_ready(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/not-ready`."""
        wanted = await read_body(request, wire.NotReady, timeout_s=self.body_timeout_s)
        return await self._do(request, SetNotReady(wanted.reason), self._by(request))

    async def work_mode(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/work-mode`."""
        wanted = await read_body(request, wire.ChooseWorkMode, timeout_s=self.body_timeout_s)
        by = self._by(request)
        return await self._do(request, SetWorkMode(self.roster.work_mode(wanted.mode, by)), by)

    async def finish_wrap_up(self, request: web.Request) -> web.Response:
        """`POST /agents/{agent}/finish-wrap-up`."""
        return await self._do(request, FinishWrapUp(), self._by(request))

    async def _do(
        self, request: web.Request, what: AgentCommand, by: AgentId | None
    ) -> web.Response:
        number = await self.roster.command(_agent(request), what, by)
        return json_answer(wire.AgentCommandDone(number))

    def _by(self, request: web.Request) -> AgentId | None:
        """Whose doing it is; None: of the client that has the agent's session.

        Others than the agent force what they want; the agent itself must have its session.
        """
        agent, identity = _agent(request), identity_of(request)
        delegator_id = request.headers.get(wire.DELEGATOR_HEADER)
        if delegator_id is None and identity.agent != agent:
            return identity.agent or AgentId(identity.credential)
        self.roster.check_owner(agent, delegator_id or "", request.remote or "")
        return None

    def _shown(self, agent: AgentId) -> wire.AgentNow:
        shown = self.view.agent(agent)
        if shown is None:
            raise LogOnRefused(Refusal.UNKNOWN_AGENT, f"there is no agent {agent}")
        return shown


def _agent(request: web.Request) -> AgentId:
    return AgentId(request.match_info["agent"])
