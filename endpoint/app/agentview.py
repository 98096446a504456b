"""What is shown of agents: as they are now, and each event of their logs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from endpoint.agents.eventlog import Entry
from endpoint.agents.identity import Identity
from endpoint.agents.keeping import Clocks
from endpoint.agents.model import Agent, AgentId, AgentState
from endpoint.agents.roster import Roster, Standing
from endpoint.agents.session import (
    AgentCommand,
    FinishWrapUp,
    LogOff,
    SetNotReady,
    SetReady,
    SetWorkMode,
    allowed,
)
from endpoint.app.native import NativeView
from endpoint.callcontrol.events import CallEvent
from endpoint.gateways.native import agentmessages as wire

WORDS: dict[type[AgentCommand], str] = {
    SetReady: "ready",
    SetNotReady: "not-ready",
    SetWorkMode: "work-mode",
    FinishWrapUp: "finish-wrap-up",
    LogOff: "log-off",
}
"""How each command is called in addresses."""


@dataclass(frozen=True, slots=True)
class AgentView:
    """Reads the roster; changes nothing."""

    roster: Roster
    calls: NativeView

    def agents(self, identity: Identity) -> list[wire.AgentNow]:
        """Those that who asks may know of: itself, its department, those that it is over."""
        own = self.roster.directory.agent(identity.agent) if identity.agent else None
        return [
            self._now(standing)
            for standing in self.roster.standings()
            if identity.is_about(standing.agent) or _is_colleague(own, standing.agent)
        ]

    def agent(self, agent: AgentId) -> wire.AgentNow | None:
        """One; None where there is none."""
        standing = self.roster.standing(agent)
        return None if standing is None else self._now(standing)

    def snapshot(self, agent: AgentId, *, missed: bool) -> wire.AgentSnapshot | None:
        """All that is true of one now; None where there is none."""
        now = self.agent(agent)
        if now is None:
            return None
        clock = self.calls.controller.clock()
        return wire.AgentSnapshot(now.number, clock, missed, now, self.calls.calls_of(now.device))

    def frame(self, agent: AgentId, entry: Entry) -> wire.AgentEventFrame | None:
        """An event, with the agent as it is now, and the call as far as the agent is in it still.

        Who reads an old log is not to see what has become of a call that the agent has left.
        """
        now = self.agent(agent)
        if now is None:
            return None
        event = entry.event
        named = event.call if isinstance(event, CallEvent) else None
        call = None if named is None else self.calls.call_of(now.device, named)
        return wire.AgentEventFrame(
            number=entry.number,
            at=entry.at,
            event=type(event).__name__,
            fields=msgspec.to_builtins(event),  # keys are masked already
            agent=now,
            call=call,
        )

    def _now(self, standing: Standing) -> wire.AgentNow:
        agent, session = standing.agent, standing.session
        if session is None:
            return wire.AgentNow(
                agent=agent.id,
                name=agent.name,
                department=agent.department,
                role=str(agent.role),
                state=str(AgentState.NULL),
                number=standing.number,
                commands=["log-on"] if agent.enabled else [],
            )
        loop = asyncio.get_running_loop().time()
        clocks = Clocks(loop, self.calls.controller.clock())
        rest, wrap_up = session.rest, session.wrap_up
        is_pending = session.state is AgentState.BUSY
        ends_at = wrap_up.ends_at if wrap_up is not None else None
        return wire.AgentNow(
            agent=agent.id,
            name=agent.name,
            department=agent.department,
            role=str(agent.role),
            state=str(session.state),
            number=standing.number,
            commands=sorted(WORDS[each] for each in allowed(session)),
            device=session.device,
            mode=session.mode.code,
            since=clocks.to_wall(session.since),
            reason=rest.reason if session.state is AgentState.NOT_READY else "",
            wrap_up_ends_at=None if ends_at is None else clocks.to_wall(ends_at),
            pending=wire.PendingState(rest.ready, rest.reason, rest.logs_off is not None)
            if is_pending
            else None,
            reachable=session.reachable,
            is_owned=standing.is_owned,
            dials_for=session.dials_for,
        )


def _is_colleague(own: Agent | None, other: Agent) -> bool:
    return own is not None and own.department != "" and own.department == other.department
