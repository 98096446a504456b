"""Who may have part in calls of others because of who is logged on: monitors, administrators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from endpoint.agents.identity import Occupants, of_agent
from endpoint.agents.model import Role
from endpoint.callcontrol.permissions import Permissions
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class WithRoles:
    """`Permissions` of devices, and beside those what the role of who is logged on there gives.

    A monitor supervises the agents of its departments, an administrator all that are logged on,
    wherever both have sat down: no rule of devices can say that.
    """

    rules: Permissions
    """By device."""
    occupants: Occupants

    def may_supervise(self, device: DeviceId, other: DeviceId) -> bool:
        """See `Permissions`."""
        if self.rules.may_supervise(device, other):
            return True
        agent, another = self.occupants.agent_at(device), self.occupants.agent_at(other)
        return (
            agent is not None
            and another is not None
            and agent.role is not Role.AGENT
            and of_agent(agent).is_about(another)
        )

    def may_pick_up(self, device: DeviceId, other: DeviceId) -> bool:
        """See `Permissions`."""
        return self.rules.may_pick_up(device, other)

    def supervises(self, device: DeviceId) -> Iterable[str]:
        """See `Permissions`."""
        return self.rules.supervises(device)

    def picks_up(self, device: DeviceId) -> Iterable[str]:
        """See `Permissions`."""
        return self.rules.picks_up(device)
