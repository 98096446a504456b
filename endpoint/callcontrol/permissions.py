"""Which device may do what about a call of another one: what call control asks, and its answer.

Call control knows nobody but devices, so a right is one of a device. Whatever can say yes or no
may answer; `Rules` does by lists of the configuration, and says no where they are empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from endpoint.legs.base import DeviceId


class Permissions(Protocol):
    """Asked at each command about a call of another device."""

    def may_supervise(self, device: DeviceId, other: DeviceId) -> bool:
        """Whether it may listen to the other's calls, come into them, take them and end them."""

    def may_pick_up(self, device: DeviceId, other: DeviceId) -> bool:
        """Whether it may take what rings at the other, is parked there, or was parked by it."""

    def supervises(self, device: DeviceId) -> Iterable[str]:
        """Whom it may supervise, for a client to show: devices, or how they begin, as `60*`."""

    def picks_up(self, device: DeviceId) -> Iterable[str]:
        """Where it may pick up, in the same way."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """Supervisors, and those whom they supervise."""

    supervisor: str
    """A device, or how some begin, as `69*`."""
    devices: tuple[str, ...]
    """Whom, in the same way."""


@dataclass(frozen=True, slots=True)
class Rules:
    """By lists of devices. The default lets nobody."""

    supervision: tuple[Supervision, ...] = ()
    pickup_groups: tuple[tuple[str, ...], ...] = ()
    """Those of one group pick up for each other."""

    def may_supervise(self, device: DeviceId, other: DeviceId) -> bool:
        """See `Permissions`."""
        return is_among(other, self.supervises(device))

    def may_pick_up(self, device: DeviceId, other: DeviceId) -> bool:
        """See `Permissions`."""
        return is_among(other, self.picks_up(device))

    def supervises(self, device: DeviceId) -> list[str]:
        """See `Permissions`."""
        own = (each for each in self.supervision if is_among(device, [each.supervisor]))
        return list(dict.fromkeys(other for each in own for other in each.devices))

    def picks_up(self, device: DeviceId) -> list[str]:
        """See `Permissions`."""
        own = (group for group in self.pickup_groups if is_among(device, group))
        return list(dict.fromkeys(other for group in own for other in group))


def is_among(device: DeviceId, names: Iterable[str]) -> bool:
    """Whether a device is named, or begins as some name with a star does."""
    return any(
        device.startswith(name[:-1]) if name.endswith("*") else device == name for name in names
    )
