"""IVRs and queues, as the native interface and its clients say them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from endpoint.gateways.native.messages import DialText


class Ivr(Struct, frozen=True):
    """A device that is a flow."""

    code: str
    """Which."""
    flow: str
    """The flow's name."""
    file: str
    """Where it is read from."""
    title: str
    """What it is, for a person."""
    nodes: int
    """How many it has."""
    calls: int
    """That are in it now."""
    read_at: datetime
    """When it was read (UTC)."""
    mistakes: list[str] = []
    """Of the file as it is now; calls come to the flow as it was before."""


class Ivrs(Struct, frozen=True):
    """`GET /ivr`."""

    ivr: list[Ivr]


class WaitingCall(Struct, frozen=True):
    """Somebody who waits in a queue."""

    call: str | None
    """None: he has gone, and is to be called back."""
    caller: str
    """As he is shown; of who is to be called back, the number."""
    position: int
    """From 1; 0: he is to be called back later, and stands in nobody's way."""
    waited_s: float
    """So long, in all queues that he was in."""
    priority: int
    """0 to 9: a higher one goes first."""
    offered_to: str | None
    """Where it rings for him."""
    call_back: bool
    """He is to be called back."""
    call_back_id: str | None = None
    """By which that can be withdrawn."""
    not_before: datetime | None = None
    """He is not called before; null: as soon as it is his turn."""


class AskCallBack(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /queues/{queue}/call-backs`."""

    number: DialText
    """Whom to call, once an agent is there."""
    not_before: Annotated[datetime, Meta(tz=True)] | None = None
    """Not to be called before, with its zone; by default as soon as it is his turn."""
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None
    """By default that of the queue."""


class CallBack(Struct, frozen=True):
    """201 of `POST /queues/{queue}/call-backs`."""

    call_back_id: str
    """By which it can be withdrawn."""
    queue: str
    number: str
    not_before: datetime | None
    priority: int


class QueueDay(Struct, frozen=True):
    """What has become of a queue's calls today."""

    date: date
    """The day (UTC)."""
    outcomes: dict[str, int]
    """How many have left it how: `answered`, `abandoned`, `overflow`, `timeout`, `nobody`, …"""
    waited_s: dict[str, float]
    """How long all of these have waited together."""
    outbound: dict[str, int] = {}
    """How many calls agents have made for it: `answered`, `unanswered`. They are no outcomes."""


class Queue(Struct, frozen=True):
    """Where calls wait for agents."""

    queue: str
    """Its code: of a queue, or of a skill that has none of its own."""
    name: str
    """For a person."""
    devices: list[str]
    """Where those are who could serve it,"""
    reachable: int
    """how many they are,"""
    free: int
    """and how many of them may be offered a call."""
    agents: int
    """Agents among them: who is logged on and has a skill that it wants,"""
    ready: int
    """how many of these are ready,"""
    busy: int
    """and how many are in a call."""
    waiting: list[WaitingCall]
    """In the order in which they are served."""
    longest_s: float
    """How long the one who came first has waited; 0 where nobody waits."""
    wait_s: float | None
    """How long who comes now may have to wait; null: nobody knows."""
    today: QueueDay
    """Since midnight (UTC), over restarts too."""


class Queues(Struct, frozen=True):
    """`GET /queues`."""

    queues: list[Queue]
