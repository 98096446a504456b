"""What call control knows of calls beside what was told, as the gateway asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.model import Call, CallId, StepKind
from endpoint.gateways.basiccall.calls import CallFacts, OwnCall, own_calls
from endpoint.gateways.basiccall.names import CommandName, Destination
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class CallWorld:
    """`World` over the controller; changes nothing."""

    controller: CallController
    ours: Callable[[DeviceId], bool]
    """Whether a device is ours."""
    tenant: str
    """See `World`."""
    names: Callable[[str], str] = str
    """Of agents, by their numbers."""
    by_pages: Mapping[tuple[DeviceId, CallId], CommandName] = field(default_factory=dict)
    """See `asked`."""
    kinds: Callable[[DeviceId], str] = lambda _: Destination.EXTENSION
    """Of devices of ours; see `World`."""

    def is_ours(self, device: DeviceId) -> bool:
        """See `World`."""
        return self.ours(device)

    def kind_of(self, device: DeviceId) -> str:
        """See `World`."""
        return self.kinds(device) if self.ours(device) else Destination.OUTSIDE

    def asked(self, device: DeviceId, call: CallId) -> CommandName | None:
        """See `World`."""
        return self.by_pages.get((device, call))

    def call(self, call: CallId) -> CallFacts | None:
        """See `World`."""
        found = self.controller.whereabouts.call(call)
        return None if found is None else self._facts(found[1])

    def name_of(self, agent: str) -> str:
        """See `World`."""
        return self.names(agent)

    def own_calls(self, device: DeviceId) -> dict[CallId, OwnCall]:
        """See `World`."""
        return own_calls(device, self.controller.whereabouts.connections_of(device), self)

    def _facts(self, call: Call) -> CallFacts:
        outside = [
            each for each in call.connections if each.from_outside or not self.ours(each.number)
        ]
        living = [each for each in outside if each.is_live]
        return CallFacts(
            call.calling,
            call.called,
            call.started_at,
            call.data,
            next((step.queue for step in reversed(call.ivr_path) if step.queue), ""),
            next((each.number for each in living or outside), None),
            call.transfer is not None and not call.transfer.asked,
            self._lent_in_vain(call),
        )

    def _lent_in_vain(self, call: Call) -> str:
        lent = [each.call for each in call.steps if each.kind is StepKind.LEND and each.call]
        found = self.controller.whereabouts.call(lent[-1]) if lent else None
        if found is None or found[1].is_established:
            return ""
        outcome = found[1].outcome
        return "failed" if outcome is None else str(outcome.cause)
