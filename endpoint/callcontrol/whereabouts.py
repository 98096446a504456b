"""Which calls a device is in, and where a leg is: an index, kept as each interaction changes.

Without it every event would look at every party of every call, for each device that it tells of.
"""

from __future__ import annotations

from collections.abc import Sequence

from endpoint.callcontrol.model import Call, CallId, Connection, Interaction
from endpoint.legs.base import DeviceId, InteractionId, LegId


class Whereabouts:
    """What interactions hold, by device. A device is in a call while its connection lives."""

    def __init__(self) -> None:
        self._found: dict[DeviceId, dict[CallId, tuple[Interaction, Call]]] = {}
        self._told: dict[InteractionId, list[tuple[DeviceId, CallId]]] = {}
        self._legs: dict[LegId, Interaction] = {}
        self._legs_told: dict[InteractionId, list[LegId]] = {}

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
        self._put_legs(interaction)

    def _put_legs(self, interaction: Interaction) -> None:
        for leg in self._legs_told.pop(interaction.id, ()):
            if leg in self._legs and self._legs[leg].id == interaction.id:  # not moved meanwhile
                del self._legs[leg]
        if legs := [each.id for each in interaction.legs]:
            self._legs.update(dict.fromkeys(legs, interaction))
            self._legs_told[interaction.id] = legs

    def interaction_of(self, leg: LegId) -> Interaction | None:
        """The one that a leg belongs to; none once it is over."""
        return self._legs.get(leg)

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
