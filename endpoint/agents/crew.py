"""Who can take calls of queues now: agents who are logged on, and devices that need none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from endpoint.agents.model import AgentId, AgentState, SkillLevel
from endpoint.agents.queue import Member
from endpoint.agents.session import AgentCommand, Session
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallEvent, ConnectionCleared, Failed
from endpoint.callcontrol.model import CallId
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class SkillDevices:
    """A skill that devices have though no agent is logged on there: its calls ring at them."""

    code: str
    devices: tuple[DeviceId, ...]
    ring_s: float = 20.0
    """So long it rings at one; then at the next."""
    rest_s: float = 10.0
    """A device that did not answer is left alone for so long."""
    name: str = ""
    """For a person."""


class Crew(Protocol):
    """The agents who are logged on."""

    def sessions(self) -> Iterable[Session]:
        """Of all of them, as they stand."""

    def watch(self, changed: Callable[[AgentId], None]) -> Callable[[], None]:
        """Be told whose state may be another, until what is returned is called."""

    def do(self, agent: AgentId, what: AgentCommand, by: AgentId | None = None) -> int:
        """Have a command done. Raises CommandRejected."""

    def note_offer(self, device: DeviceId, call: CallId) -> None:
        """A queue offers a call there: what it brings about may have to be written down.

        Until `note_verdict` who lets it ring in vain is not ready: the queue may set him aside.
        """

    def note_verdict(self, device: DeviceId) -> None:
        """The offer is over, and what the queue does about it is done."""


class NoCrew:
    """Where no agents log on."""

    def sessions(self) -> Iterable[Session]:
        """See `Crew`."""
        return ()

    def watch(self, changed: Callable[[AgentId], None]) -> Callable[[], None]:
        """See `Crew`."""
        return lambda: None

    def do(self, agent: AgentId, what: AgentCommand, by: AgentId | None = None) -> int:
        """See `Crew`."""
        raise AssertionError("nobody is logged on")

    def note_offer(self, device: DeviceId, call: CallId) -> None:
        """See `Crew`."""

    def note_verdict(self, device: DeviceId) -> None:
        """See `Crew`."""


class Members:
    """Both, as they are now. A device where an agent is logged on is the agent's alone."""

    def __init__(
        self,
        controller: CallController,
        skills: Sequence[SkillDevices],
        is_reached: Callable[[DeviceId], bool],
        crew: Crew,
    ) -> None:
        self._controller = controller
        self._is_reached = is_reached
        self._crew = crew
        self._skills: dict[DeviceId, tuple[SkillLevel, ...]] = {}
        for skill in skills:
            for device in skill.devices:
                has = self._skills.get(device, ())
                self._skills[device] = (*has, SkillLevel(skill.code))
        self._idle_since: dict[DeviceId, float] = {}
        """Of devices without agents."""

    def all(self) -> list[Member]:
        """Agents, also those whose telephone is lost for now; devices that can be reached."""
        whereabouts = self._controller.whereabouts
        members, taken = [], set()
        for session in self._crew.sessions():
            device = session.device
            taken.add(device)
            free = session.state is AgentState.READY and not whereabouts.calls_of(device)
            since, reachable = session.since, session.reachable
            members.append(Member(device, session.agent, session.serves, free, since, reachable))
        is_registered = self._controller.is_registered
        for device, has in self._skills.items():
            if device not in taken and (is_registered(device) or self._is_reached(device)):
                free = not whereabouts.calls_of(device)
                since = self._idle_since.get(device, 0.0)
                members.append(Member(device, None, has, free, since))
        return members

    def heed(self, event: CallEvent, now: float) -> None:
        """Take note of who is idle from now on."""
        if isinstance(event, ConnectionCleared | Failed) and event.device in self._skills:
            self._idle_since[event.device] = now
