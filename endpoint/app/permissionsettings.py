"""`[[supervision]]` and `[[pickup_group]]`: who may have part in calls of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from endpoint.app.section import STRICT, like
from endpoint.callcontrol.permissions import Rules, Supervision

Devices = Annotated[
    str,
    like(r"[A-Za-z0-9_.+#-]{1,64}|[A-Za-z0-9_.+#-]{0,63}\*", "a device, or how some begin, as 60*"),
]


class SupervisionSettings(BaseModel):
    """`[[supervision]]`: a supervisor, and whose calls it may listen to, come into, take and end.

    Without any nobody may. It is a right of devices: whoever has the token may command any device.
    """

    model_config = STRICT

    supervisor: Devices
    """A device, or how some begin, as `69*`."""
    devices: Annotated[list[Devices], Field(min_length=1)]
    """Whom, in the same way."""


class PickupGroupSettings(BaseModel):
    """`[[pickup_group]]`: devices that may take what rings, or is parked, at one of them.

    Also what one of them has parked elsewhere. Without any each device takes only what it has
    parked itself, or is parked at it.
    """

    model_config = STRICT

    devices: Annotated[list[Devices], Field(min_length=1)]
    """Devices, or how some begin, as `60*`."""


def rules(
    supervision: Sequence[SupervisionSettings], groups: Sequence[PickupGroupSettings]
) -> Rules:
    """What call control asks."""
    return Rules(
        tuple(Supervision(each.supervisor, tuple(each.devices)) for each in supervision),
        tuple(tuple(each.devices) for each in groups),
    )
