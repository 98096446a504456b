"""How much one device may dial: toll fraud costs a stolen password no more than this."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from endpoint.legs.base import DeviceId

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class DialLimits:
    """Of each device, by command and at its telephone together; None limits nothing."""

    per_minute: int | None = None
    at_once: int | None = None
    """Those whom it has called, and calls that came to it, while it is in these calls itself."""


class Dials:
    """The dials of the last minute, by device. Only devices of ours dial, so they are few."""

    def __init__(self, limits: DialLimits) -> None:
        self._limits = limits
        self._times: dict[DeviceId, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def __repr__(self) -> str:
        return f"<Dials of {len(self)} devices>"

    def refusal(self, device: DeviceId, at_once: int, now: float) -> str | None:
        """Why a device that has so many at once may not dial one more, else None."""
        self._forget(now - WINDOW_S)
        limits = self._limits
        if limits.at_once is not None and at_once >= limits.at_once:
            return f"{device} has {at_once} at once already, calls.at_once is {limits.at_once}"
        times = self._times.get(device) or deque()
        if limits.per_minute is not None and len(times) >= limits.per_minute:
            wait_s = times[0] + WINDOW_S - now
            return (
                f"{device} has dialled {len(times)} times within a minute, as much as "
                f"calls.dials_per_minute allows; wait {wait_s:.0f} s"
            )
        return None

    def count(self, device: DeviceId, now: float) -> None:
        """A device has dialled. One that was refused counts for nothing: it may dial later."""
        if self._limits.per_minute is not None:
            self._times.setdefault(device, deque()).append(now)

    def _forget(self, before: float) -> None:
        for device, times in list(self._times.items()):
            while times and times[0] <= before:
                times.popleft()
            if not times:
                del self._times[device]
