"""What somebody else did to the demo's telephones while its walk went on.

A telephone of the demo picks up whoever calls, and one that the walk needs may be in a call: the
colleague's is free from `drop-one` on, and was heard to hear whoever called it then. Nobody is kept
from that; but the step says why it failed.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallEvents
from endpoint.callcontrol.feed import EventsMissed
from endpoint.rig.walk import StepResult


async def explained(
    result: StepResult, controller: CallController, own: Collection[str]
) -> StepResult:
    """A step's result: where it failed, with the calls that others have made.

    Args:
        result: the step's.
        controller: of the demo's endpoint.
        own: the interactions of the walk's own calls.
    """
    if result.ok or not (others := await _of_others(controller, own)):
        return result
    why = (
        f"somebody else has called meanwhile: {', '.join(others)}. The walk needs its telephones "
        "for itself: run it again, and leave them alone until it is over"
    )
    return replace(result, faults=(*result.faults, why))


async def _of_others(controller: CallController, own: Collection[str]) -> list[str]:
    """Calls that the walk has not made, as `7001 → 6002`."""
    found: dict[str, str] = {}
    last = controller.last_number
    if not last:
        return []
    with suppress(EventsMissed):  # of a walk they are all kept
        async for numbered in controller.subscribe(0):
            event = numbered.event
            if isinstance(event, CallEvents) and event.interaction not in own:
                found.setdefault(event.call, f"{event.calling} → {event.called}")
            if numbered.number >= last:
                break
    return list(found.values())
