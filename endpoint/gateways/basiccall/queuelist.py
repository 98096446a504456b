"""`queueList`: who waits in the queues that an agent serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from endpoint.callcontrol.model import CallId
from endpoint.gateways.basiccall.frames import dumped
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class ListedCall:
    """Somebody who waits on the line."""

    call: CallId
    queue: str
    caller: str
    called: DeviceId
    """What he has called."""
    priority: int
    offered_to: str
    """The agent at whom it rings for him, by name; empty: it does at none."""


class _Row(msgspec.Struct):
    # The page's names, in its order.
    mCOType: str
    level: int
    cotype: int
    ani: str
    aid: str
    isOut: str
    dnis: str
    coid: str
    sk: str
    qtm: int
    reserved: None
    tenantID: str
    isValid: bool
    keyStr: str
    iconKey: str
    phoneNum: str


def queue_list(calls: Iterable[tuple[ListedCall, float]], tenant: str) -> str:
    """A JSON array in a string: the page evaluates it. Calls with how long each has waited."""
    return dumped(
        [
            _Row(
                mCOType="",
                level=each.priority,
                cotype=0,
                ani=each.caller,
                aid=each.offered_to,
                isOut="",
                dnis=each.called,
                coid=each.call,
                sk=each.queue,
                qtm=int(waited_s),
                reserved=None,
                tenantID=tenant,
                isValid=True,
                keyStr="",
                iconKey="",
                phoneNum=each.caller,
            )
            for each, waited_s in calls
        ]
    )
