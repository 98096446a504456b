"""Which calls are recorded from when they are answered, by rule.

Whatever can say so may answer; `Rules` does by lists of the configuration, and is empty by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from endpoint.callcontrol.permissions import is_among
from endpoint.legs.base import Announcement, DeviceId


class RecordingRules(Protocol):
    """Asked once a call, when it is answered."""

    def rule_for(self, call: str, direction: str, devices: Sequence[DeviceId]) -> Rule | None:
        """The rule by which it is recorded; None where it is not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that are recorded for one of their devices."""

    name: str
    devices: tuple[str, ...]
    """Devices, or how some begin, as `60*`."""
    direction: str = ""
    """`inbound` or `outbound`; empty: both."""
    percent: float = 100.0
    """Of those calls. Which ones follows from their names, so that it can be proven afterwards."""
    announcement: Announcement | None = None
    """What all hear before it begins; none: nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """By lists. The first rule that fits counts."""

    rules: tuple[Rule, ...] = ()

    def rule_for(self, call: str, direction: str, devices: Sequence[DeviceId]) -> Rule | None:
        """See `RecordingRules`."""
        for rule in self.rules:
            is_meant = any(is_among(device, rule.devices) for device in devices)
            is_way = rule.direction in ("", direction)
            if is_meant and is_way and share_of(call) * 100 < rule.percent:
                return rule
        return None


def share_of(call: str) -> float:
    """A number from 0 to 1 that is made from a call's name, evenly spread."""
    return int.from_bytes(sha256(call.encode()).digest()[:4]) / 2**32
