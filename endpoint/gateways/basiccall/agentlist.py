"""`agentList`: who can be consulted, called, transferred to, listened to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from endpoint.gateways.basiccall.frames import dumped
from endpoint.gateways.basiccall.names import ListType, State

_FREE, _BUSY = "32", "1"
"""`calst` of an extension."""


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """Somebody who is logged on."""

    ins: str
    """Where."""
    number: str
    name: str
    state: State
    mode: int
    reason: str
    """Its number, of who has left."""
    department: str


@dataclass(frozen=True, slots=True)
class ListedExtension:
    """A telephone at which nobody is logged on."""

    ins: str
    name: str
    is_free: bool


class _Item(msgspec.Struct):
    # The page's names, in its order.
    state: str | None
    itemType: str
    ins: str
    workID: str | None
    agentName: str
    workMode: str | None
    leaveReason: str | None
    dept: str | None
    extnum: str | None
    devowner: str | None
    calst: str | None
    dworkID: str | None


class _List(msgspec.Struct):
    agentListType: str
    items: list[_Item]


def agent_list(
    kind: ListType, agents: Iterable[ListedAgent], extensions: Iterable[ListedExtension]
) -> str:
    """A JSON object in a string: the page evaluates it."""
    items = [
        _Item(
            state=str(int(each.state)),
            itemType="1",
            ins=each.ins,
            workID=each.number,
            agentName=each.name,
            workMode=str(each.mode),
            leaveReason=each.reason or None,
            dept=each.department or None,
            extnum=None,
            devowner=None,
            calst=None,
            dworkID=None,
        )
        for each in agents
    ]
    items += [
        _Item(
            state=None,
            itemType="0",
            ins=each.ins,
            workID=None,
            agentName=each.name,
            workMode=None,
            leaveReason=None,
            dept=None,
            extnum=each.ins,
            devowner=None,
            calst=_FREE if each.is_free else _BUSY,
            dworkID=None,
        )
        for each in extensions
    ]
    return dumped(_List(str(kind), items))
