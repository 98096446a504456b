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
    """Calls that it may be in when it dials one more."""


class Dials:
    """The dials of the last minute, by device. Only devices of ours dial, so they are few."""

    def __init__(self, limits: DialLimits) -> None:
        self._limits = limits
        self._times: dict[DeviceId, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def __repr__(self) -> str:
        return f"<Dials of {len(self)} devices>"

    def count(self, device: DeviceId, calls: int, now: float) -> str | None:
        """Count a dial of a device that is in so many calls; why it may not, else None.

        One that is refused counts for nothing, so who waits may dial again.
        """
        self._forget(now - WINDOW_S)
        limits = self._limits
        if limits.at_once is not None and calls >= limits.at_once:
            return f"{device} is in {calls} calls already, calls.at_once is {limits.at_once}"
        if limits.per_minute is None:
            return None
        times = self._times.setdefault(device, deque())
        if len(times) >= limits.per_minute:
            wait_s = times[0] + WINDOW_S - now
            return (
                f"{device} has dialled {len(times)} times within a minute, as much as "
                f"calls.dials_per_minute allows; wait {wait_s:.0f} s"
            )
        times.append(now)
        return None

    def _forget(self, before: float) -> None:
        for device, times in list(self._times.items()):
            while times and times[0] <= before:
                times.popleft()
            if not times:
                del self._times[device]
