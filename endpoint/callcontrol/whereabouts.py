"""Which calls a device is in, where a call and a leg is: indices, kept as an interaction changes.

Without it every event would look at every party of every call, for each device that it tells of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from endpoint.callcontrol.model import Call, CallId, Connection, Interaction
from endpoint.legs.base import DeviceId, InteractionId, LegId

K = TypeVar("K")


class _Holders(Generic[K]):
    """Which interaction has something: the one that has said so last."""

    def __init__(self) -> None:
        self._by: dict[K, Interaction] = {}
        self._told: dict[InteractionId, list[K]] = {}

    def put(self, interaction: Interaction, keys: Iterable[K]) -> None:
        """It has these now, in place of what it had."""
        for key in self._told.pop(interaction.id, ()):
            if key in self._by and self._by[key].id == interaction.id:  # not moved meanwhile
                del self._by[key]
        if held := list(keys):
            self._by.update(dict.fromkeys(held, interaction))
            self._told[interaction.id] = held

    def of(self, key: K) -> Interaction | None:
        return self._by.get(key)


class Whereabouts:
    """What interactions hold, by device. A device is in a call while its connection lives."""

    def __init__(self) -> None:
        self._found: dict[DeviceId, dict[CallId, tuple[Interaction, Call]]] = {}
        self._told: dict[InteractionId, list[tuple[DeviceId, CallId]]] = {}
        self._legs = _Holders[LegId]()
        self._calls = _Holders[CallId]()

    def put(self, interaction: Interaction) -> None:
        """Take an interaction as it stands now, in place of how it stood."""
        for device, call_id in self._told.pop(interaction.id, ()):
            calls = self._found.get(device, {})
            if call_id in calls and calls[call_id][0].id == interaction.id:  # not moved meanwhile
                del calls[call_id]
                if not calls:
                    del self._found[device]
        told: list[tuple[DeviceId, CallId]] = []
        for call in interaction.calls:
            if call.is_cleared:
                continue
            for each in call.connections:
                if each.is_live and each.device is not None:
                    self._found.setdefault(each.device, {})[call.id] = interaction, call
                    told.append((each.device, call.id))
        if told:
            self._told[interaction.id] = told
        self._legs.put(interaction, (each.id for each in interaction.legs))
        self._calls.put(interaction, (each.id for each in interaction.calls))

    def interaction_of(self, leg: LegId) -> Interaction | None:
        """The one that a leg belongs to; none once it is over."""
        return self._legs.of(leg)

    def call(self, call: CallId) -> tuple[Interaction, Call] | None:
        """A call, also one that is over where others of its interaction are not."""
        interaction = self._calls.of(call)
        found = interaction.call(call) if interaction is not None else None
        return None if interaction is None or found is None else (interaction, found)

    def living(self, call: CallId) -> tuple[Interaction, Call] | None:
        """A call that is not over."""
        found = self.call(call)
        return None if found is None or found[1].is_cleared else found

    def calls_of(self, device: DeviceId) -> Sequence[tuple[Interaction, Call]]:
        """Those that it is in, also where it only has a place in which a call is parked."""
        return tuple(self._found.get(device, {}).values())

    def connections_of(self, device: DeviceId) -> Sequence[tuple[Interaction, Call, Connection]]:
        """Its own connections: those that it takes part by, not its places of parked calls."""
        found = ((at, call, call.connection_of(device)) for at, call in self.calls_of(device))
        return tuple(
            (at, call, own)
            for at, call, own in found
            if own is not None and own.is_live and own.parked_by is None
        )
