"""`coInfos`: what a page is told of a call, to pop up the customer's data by."""

from __future__ import annotations

import re
from datetime import tzinfo

from endpoint.callcontrol.model import CallId
from endpoint.gateways.basiccall.calls import CallFacts, Part, World
from endpoint.legs.base import DeviceId

OWN_KEYS = frozenset(
    {
        *("COID", "ANI", "DNIS", "SK", "IT", "IVRROOT", "17", "TASKPR"),
        *("CN0_UserPhoneNum", "CN2_ChannelANI", "tenantID"),
    }
)
"""Keys that are ours to fill: data of the same name does not replace them."""
_DIRECTION = {
    Part.CALLED: "0",
    Part.CONSULTED: "2",
    Part.MONITORS: "0",
    Part.DIALLED: "1",
    Part.CALLS_OUT: "1",
    Part.INNER_CALLED: "2",
    Part.INNER_DIALLED: "2",
    Part.CONSULTS: "2",
}
_CALLS = (Part.DIALLED, Part.INNER_DIALLED, Part.CONSULTS, Part.CALLS_OUT)

HIDDEN = "EncryptMode"
"""Data of a call whose outside numbers no page is to show, by which mode it was dialled."""


_NUMBER = re.compile("[0-9]{4,}", re.ASCII)


def masked(number: str) -> str:
    """As far as it may be shown: `138****8000`."""
    first, last = (3, 4) if len(number) > 7 else (0, 2)
    return number[:first] + "*" * max(0, len(number) - first - last) + number[-last:]


def shown_number(number: DeviceId, facts: CallFacts, world: World) -> str:
    """As it may be shown in a call."""
    hides = facts.data.get(HIDDEN) and not world.is_ours(number)
    return masked(number) if hides else number


def shown_text(text: str) -> str:
    """What is said of a call whose numbers no page is to show; the plan may have changed them."""
    return _NUMBER.sub(lambda found: masked(found[0]), text)


def co_infos(
    call: CallId, part: Part, facts: CallFacts, world: World, zone: tzinfo | None = None
) -> dict[str, str]:
    """A call's. `zone` is that in which times are told; None: the machine's."""
    customer = facts.outside or (facts.called if part in _CALLS else facts.calling)
    ani = customer if part is Part.CALLED else facts.calling
    data = {key: text for key, text in facts.data.items() if key not in OWN_KEYS}
    data.pop(HIDDEN, None)

    def shown(number: DeviceId) -> str:
        return shown_number(number, facts, world)

    return {
        "COID": call,
        "ANI": shown(ani),
        "DNIS": shown(facts.called),
        "SK": facts.queue,
        "IT": facts.started_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
        "IVRROOT": "",
        "17": _DIRECTION[part],
        "CN0_UserPhoneNum": shown(customer),
        "CN2_ChannelANI": shown(facts.calling),
        "TASKPR": "",
        "tenantID": world.tenant,
        **data,
    }


def went_to(device: DeviceId, facts: CallFacts | None, world: World) -> dict[str, str]:
    """Who has got a call by a transfer, as newer scripts hand it to their hosts."""
    shown = device if facts is None else shown_number(device, facts, world)
    return {"CCIVR_TRANSFERTYPE": world.kind_of(device), "CCIVR_TRANSFERDEST": shown}
