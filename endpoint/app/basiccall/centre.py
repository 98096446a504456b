"""What all connections share: roster, call control, the centre's settings, whose page is where."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from endpoint.agents.attempts import Attempts
from endpoint.agents.identity import of_agent
from endpoint.agents.model import Agent, AgentId, BasicMode, Role
from endpoint.agents.ownership import Liveness
from endpoint.agents.roster import Roster
from endpoint.agents.session import Session
from endpoint.agents.skills import SkillQueues
from endpoint.app.basiccall.dialkeys import DialKeys
from endpoint.app.basiccall.world import CallWorld
from endpoint.app.directory import Directory
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.model import CallId
from endpoint.callcontrol.permissions import Permissions
from endpoint.gateways.basiccall.agentlist import ListedAgent, ListedExtension, agent_list
from endpoint.gateways.basiccall.coinfos import shown_number
from endpoint.gateways.basiccall.fold import Fold
from endpoint.gateways.basiccall.frames import SPEvent
from endpoint.gateways.basiccall.names import IVR, CommandName, Destination, ListType, State
from endpoint.gateways.basiccall.parameters import Parameters
from endpoint.gateways.basiccall.queuelist import ListedCall
from endpoint.gateways.basiccall.settings import Reasons, settings_notified
from endpoint.legs.base import DeviceId, DeviceRegistered

_OF_SUPERVISORS = (ListType.MONITOR, ListType.MONITOR_CONTROL)
_OF_AGENTS_ALONE = (*_OF_SUPERVISORS, ListType.AGENT_MESSAGE)


MESSAGES = 60
"""So many a minute an agent may send to others."""


class Holder(Protocol):
    """A connection that has an agent's page."""

    @property
    def delegator_id(self) -> str:
        """By which it is known."""

    @property
    def agent(self) -> AgentId:
        """Whose."""

    @property
    def ins(self) -> str:
        """Its device."""

    @property
    def is_logged_on(self) -> bool:
        """Its agent."""

    @property
    def command_token(self) -> str:
        """Beside the `delegatorId` what other pages need that send scripts; empty: none may."""

    async def take_for(self, text: str) -> str:
        """A frame that another page sends in this one's name: the response."""

    async def be_replaced(self) -> None:
        """Another one has the page from now on."""

    def queue_changed(self) -> None:
        """Others may wait than the page shows."""

    def be_told(self, event: SPEvent) -> bool:
        """Beside what it is doing. False: its agent is not logged on there."""


@dataclass(slots=True)
class Centre:
    """One for all connections."""

    roster: Roster
    queues: SkillQueues
    controller: CallController
    directory: Directory
    """Of devices."""
    permissions: Permissions
    parameters: Parameters
    liveness: Liveness
    is_seat: Callable[[DeviceId], Awaitable[bool]]
    """Whether somebody can work at a device."""
    tenant: str
    """Whose centre it is."""
    keys: DialKeys
    """Of numbers that come encrypted."""
    jsonp: bool
    """Other pages may send scripts."""
    kept: Liveness
    """Of who stays logged on without its page."""
    messages: Attempts = field(default_factory=lambda: Attempts(MESSAGES))
    """Of agents to each other."""
    holders: dict[AgentId, Holder] = field(default_factory=dict)
    """Whose page is where."""
    by_pages: dict[tuple[DeviceId, CallId], CommandName] = field(default_factory=dict)
    """By which commands pages have begun or answered the calls that there are."""

    @property
    def world(self) -> CallWorld:
        """What is known of calls."""
        ours = self.directory.__contains__
        return CallWorld(
            self.controller, ours, self.tenant, self.name_of, self.by_pages, self._kind_of
        )

    def _kind_of(self, device: DeviceId) -> str:
        if self.roster.agent_at(device) is not None:
            return Destination.AGENT
        is_ivr = any("ivr" in known.kinds for known in self.directory.find([device]))
        return IVR if is_ivr else Destination.EXTENSION

    def note(self, device: DeviceId, call: CallId, command: CommandName) -> None:
        """A page has begun or answered a call by a command, as it is shown from then on."""
        living = self.controller.whereabouts.living
        for known in [each for each in self.by_pages if living(each[1]) is None]:
            del self.by_pages[known]
        self.by_pages[device, call] = command

    def name_of(self, agent: str) -> str:
        """By which an agent's colleagues know it."""
        known = self.roster.directory.agent(AgentId(agent))
        return agent if known is None else known.name or agent

    @property
    def reasons(self) -> Reasons:
        """For leaving."""
        return Reasons(self.roster.directory.reasons())

    def fold(self, session: Session, infos: Callable[[], dict[str, str]] = dict) -> Fold:
        """What an agent's page shows, as it stands."""
        world = self.world
        return Fold(session, world, world.own_calls(session.device), infos)

    def supervises(self, agent: Agent | None, device: DeviceId) -> bool:
        """Whether there may be somebody whom it supervises."""
        if agent is not None and agent.role is not Role.AGENT:
            return True
        return any(True for _ in self.permissions.supervises(device))

    def may_supervise(self, agent: Agent, device: DeviceId, other: Agent, at: DeviceId) -> bool:
        """Whether it may listen to another agent, and make that one do things."""
        if other.id == agent.id:
            return False
        is_over = agent.role is not Role.AGENT and of_agent(agent).is_about(other)
        return is_over or self.permissions.may_supervise(device, at)

    def notified(self, agent: AgentId, device: DeviceId, *, is_proven: bool) -> dict[str, str]:
        """What a page is told of the centre; buttons of supervisors where it is proven who asks."""
        directory = self.roster.directory
        return {
            **settings_notified(
                device,
                self.parameters,
                directory.modes(),
                self.reasons,
                supervises=is_proven and self.supervises(directory.agent(agent), device),
            )
        }

    def is_away(self, mode: int | None) -> bool:
        """Whether who logs on in a work mode leaves by that."""
        known = None if mode is None else self.roster.directory.mode(mode)
        leaves = known is not None and known.basic is BasicMode.LEAVE
        return leaves and self.parameters.leave_mode_sync

    # -- who waits ----------------------------------------------------------------------------

    def waiting_for(self, session: Session) -> Iterator[tuple[ListedCall, float]]:
        """Who waits where an agent serves, and how long he has."""
        now, world = asyncio.get_running_loop().time(), self.world
        for place, call, caller in self.queues.waiting(session.serves):
            facts = world.call(call)
            if facts is not None:
                ringing = self._name_at(place.at)
                number = shown_number(DeviceId(caller), facts, world)
                listed = ListedCall(
                    call, place.queue, number, facts.called, place.priority, ringing
                )
                yield listed, now - place.since

    def _name_at(self, device: DeviceId | None) -> str:
        known = None if device is None else self.roster.agent_at(device)
        return "" if known is None else known.name or known.id

    def queue_changed(self) -> None:
        """Pages are told, where it is about them."""
        for holder in list(self.holders.values()):
            holder.queue_changed()

    # -- lists ------------------------------------------------------------------------------------

    def list_for(self, agent: AgentId, device: DeviceId, kind: ListType) -> str:
        """Whom an agent may choose from."""
        extensions = () if kind in _OF_AGENTS_ALONE else self._extensions(device)
        return agent_list(kind, self._agents(agent, device, kind), extensions)

    def _agents(self, agent: AgentId, device: DeviceId, kind: ListType) -> Iterator[ListedAgent]:
        own = self.roster.directory.agent(agent)
        for session in self.roster.sessions():
            other = self.roster.directory.agent(session.agent)
            if other is None or own is None or other.id == agent:
                continue
            if kind in _OF_SUPERVISORS and not self.may_supervise(
                own, device, other, session.device
            ):
                continue
            state = self.fold(session).state
            yield ListedAgent(
                session.device,
                other.id,
                other.name,
                state,
                session.mode.code,
                self.reasons.number(session.rest.reason) if state is State.LEAVE else "",
                other.department,
            )

    def _extensions(self, device: DeviceId) -> Iterator[ListedExtension]:
        registered = {
            event.device
            for event in self.controller.registrations()
            if isinstance(event, DeviceRegistered)
        }
        for known in self.directory.all():
            ins = DeviceId(known.device)
            is_reached = ins in registered or "station" in known.kinds
            is_empty = self.roster.agent_at(ins) is None and "ivr" not in known.kinds
            if ins != device and is_reached and is_empty:
                is_free = not self.controller.whereabouts.connections_of(ins)
                yield ListedExtension(ins, known.display_name, is_free)
