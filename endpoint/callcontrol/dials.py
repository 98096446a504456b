"""How much one device may dial: toll fraud costs a stolen password no more than this."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from endpoint.legs.base import DeviceId
from endpoint.legs.numbering import matches

WINDOW_S = 60.0
REFUSALS_KEPT = 20
"""Of one device's within that time; who dials in a loop must fill neither records nor the log."""


@dataclass(frozen=True, slots=True)
class DialLimits:
    """Of each device, by command and at its telephone together; None limits nothing."""

    per_minute: int | None = None
    at_once: int | None = None
    """Those whom it has called, and calls that came to it, while it is in these calls itself.

    Where it has brought others together and left, those outside whom it had called still count.
    """
    devices: str = ""
    """Pattern of the devices that have these limits; empty: all."""

    @property
    def names(self) -> tuple[str, str]:
        """The settings where they are from."""
        where = f"calls.limits of {self.devices}: " if self.devices else "calls."
        return f"{where}dials_per_minute", f"{where}at_once"


class Dials:
    """The dials of the last minute, by device. Only devices of ours dial, so they are few."""

    def __init__(self, limits: DialLimits, of_devices: Sequence[DialLimits] = ()) -> None:
        """Set up; of `of_devices` the first that is of a device counts in place of `limits`."""
        self._limits = limits
        self._of_devices = of_devices
        self._times: dict[DeviceId, deque[float]] = {}
        self._refused: dict[DeviceId, deque[float]] = {}
        """When those that were kept were refused."""

    def __len__(self) -> int:
        return len(self._times)

    def __repr__(self) -> str:
        return f"<Dials of {len(self)} devices>"

    def refusal(self, device: DeviceId, at_once: int, now: float) -> str | None:
        """Why a device that has so many at once may not dial one more, else None."""
        _forget(self._times, now - WINDOW_S)
        limits = self.limits_of(device)
        often, many = limits.names
        if limits.at_once is not None and at_once >= limits.at_once:
            return f"{device} has {at_once} at once already, {many} is {limits.at_once}"
        times = self._times.get(device) or deque()
        if limits.per_minute is not None and len(times) >= limits.per_minute:
            wait_s = times[0] + WINDOW_S - now
            return (
                f"{device} has dialled {len(times)} times within a minute, as much as "
                f"{often} allows; wait {wait_s:.0f} s"
            )
        return None

    def count(self, device: DeviceId, now: float) -> None:
        """A device has dialled. One that was refused counts for nothing: it may dial later."""
        if self.limits_of(device).per_minute is not None:
            self._times.setdefault(device, deque()).append(now)

    def keeps_refusal(self, device: DeviceId, now: float) -> bool:
        """A dial of a device was refused: whether that is recorded, too."""
        _forget(self._refused, now - WINDOW_S)
        times = self._refused.setdefault(device, deque())
        if len(times) >= REFUSALS_KEPT:
            return False
        times.append(now)
        return True

    def limits_of(self, device: DeviceId) -> DialLimits:
        """Those that count for a device."""
        own = (each for each in self._of_devices if matches(device, each.devices))
        return next(own, self._limits)


def _forget(found: dict[DeviceId, deque[float]], before: float) -> None:
    for device, times in list(found.items()):
        while times and times[0] <= before:
            times.popleft()
        if not times:
            del found[device]
