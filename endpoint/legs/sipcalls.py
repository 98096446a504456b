"""Which SIP calls an interaction's legs have had: by them its messages are found in a trace."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from endpoint.legs.base import DeviceId, InteractionId
from endpoint.legs.leg import Leg

MOST_INTERACTIONS: Final = 1000
"""Of those without a leg, the latest are remembered."""


@dataclass(frozen=True, slots=True)
class SipCall:
    """One SIP call, of one of a device's telephones."""

    device: DeviceId
    call_id: str
    """Of SIP."""


@dataclass(slots=True)
class _Entry:
    device: DeviceId
    leg: Leg | None
    """None when it is over; then `call_ids` are all that it had."""
    call_ids: tuple[str, ...] = ()

    @property
    def calls(self) -> list[SipCall]:
        ids = self.call_ids if self.leg is None else self.leg.sip_call_ids
        return [SipCall(self.device, call_id) for call_id in ids]


class SipCalls:
    """The SIP calls of every interaction that lives, and of the latest others."""

    def __init__(self) -> None:
        self._entries: OrderedDict[InteractionId, list[_Entry]] = OrderedDict()
        self._living: dict[Leg, _Entry] = {}
        """By the leg itself, for it may move to another interaction."""

    def __repr__(self) -> str:
        return f"<SipCalls of {len(self._entries)} interactions>"

    def began(self, leg: Leg, device: DeviceId) -> None:
        """A leg lives."""
        entry = self._living[leg] = _Entry(device, leg)
        self._entries.setdefault(leg.interaction, []).append(entry)
        self._entries.move_to_end(leg.interaction)
        for interaction in list(self._entries)[:-MOST_INTERACTIONS]:
            if all(entry.leg is None for entry in self._entries[interaction]):
                del self._entries[interaction]

    def ended(self, leg: Leg) -> None:
        """A leg is over."""
        entry = self._living.pop(leg, None)
        if entry is not None:
            entry.call_ids, entry.leg = tuple(leg.sip_call_ids), None

    def of(self, interaction: InteractionId) -> list[SipCall]:
        """In the order of its legs; empty where it had none, or is forgotten."""
        return [call for entry in self._entries.get(interaction, ()) for call in entry.calls]

    def interactions(self) -> list[InteractionId]:
        """All that are remembered, the latest last."""
        return list(self._entries)
