"""What who asks is shown of calls, devices and events: what is about those that it may act for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from endpoint.agents.identity import Identity
from endpoint.agents.model import Role
from endpoint.app.rights import Rights
from endpoint.gateways.native import messages as wire

_OUT_OF_IT = ("null", "fail")


class Sight:
    """One for each answer, and one for as long as somebody reads events."""

    def __init__(self, rights: Rights, identity: Identity) -> None:
        self._rights = rights
        self._identity = identity
        self._seen: set[str] = set()
        """Calls that it was shown, whose end it is told of too."""

    @property
    def is_whole(self) -> bool:
        """Whether everything is shown."""
        return self._identity.role is Role.ADMINISTRATOR

    def is_device(self, device: object) -> bool:
        """Whether it is shown what is about a device."""
        return self.is_whole or self._rights.may_act(self._identity, str(device))

    def is_call(self, call: wire.Call) -> bool:
        """Whether it is shown a call: one of its parties, that is still there, is such a device."""
        return self.is_whole or any(
            not party.from_outside
            and party.state not in _OUT_OF_IT
            and self.is_device(party.device)
            for party in call.parties
        )

    def calls(self, calls: Iterable[wire.Call]) -> list[wire.Call]:
        """Those that it is shown."""
        return [call for call in calls if self.is_call(call)]

    def devices(self, devices: Iterable[wire.DeviceState]) -> list[wire.DeviceState]:
        """Those that it is shown."""
        return [each for each in devices if self.is_device(each.device)]

    def registrations(self, told: Iterable[wire.Registration]) -> list[wire.Registration]:
        """Those that it is shown."""
        return [each for each in told if self.is_device(each.device)]

    def snapshot(self, snapshot: wire.Snapshot) -> wire.Snapshot:
        """What it is shown of all that is true now."""
        if self.is_whole:
            return snapshot
        calls = self.calls(snapshot.calls)
        self._seen = {call.call for call in calls}
        return replace(
            snapshot,
            calls=calls,
            registrations=self.registrations(snapshot.registrations),
            devices=self.devices(snapshot.devices),
            trunks=[],
        )

    def frame(self, frame: wire.EventFrame) -> wire.EventFrame | None:
        """What it is shown of an event; None: nothing. In the order in which they come.

        Of a call from when a device of its own comes into it, until it has left; and that it ended.
        """
        if self.is_whole:
            return frame
        if not self._is_shown(frame):
            return None
        return replace(
            frame,
            call=frame.call if frame.call is not None and self.is_call(frame.call) else None,
            devices=self.devices(frame.devices),
            others=self.calls(frame.others),
        )

    def _is_shown(self, frame: wire.EventFrame) -> bool:
        fields = frame.fields
        is_own = not fields.get("from_outside") and self.is_device(fields.get("device", ""))
        call = str(fields.get("call", ""))
        if not call:  # of a registration, a text, a sound device; trunks and bans are no device's
            is_sender = "sender" in fields and self.is_device(fields["sender"])
            return (is_own or is_sender) and frame.event not in _OF_ADMINISTRATORS
        if frame.event == "CallCleared":
            was_seen = call in self._seen
            self._seen.discard(call)
            return was_seen or is_own
        if is_own or (frame.call is not None and self.is_call(frame.call)):
            self._seen.add(call)
            return True
        return False


_OF_ADMINISTRATORS = ("SourceBanned", "LineFull", "TrunkUp", "TrunkDown")
