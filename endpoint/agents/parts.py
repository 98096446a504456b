"""Who has part in which call, by what is told of it: whose logs an event belongs to. Pure.

It is told by events, and not looked up: who reads behind would find what is true by then, and an
agent would have ended a call before he has heard of its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from endpoint.callcontrol.events import (
    CallCleared,
    CallEvents,
    Conferenced,
    ConnectionCleared,
    Failed,
    Queued,
)
from endpoint.callcontrol.model import CallId, ConnectionState
from endpoint.legs.base import DeviceId


class Parts:
    """Devices, by call."""

    def __init__(self) -> None:
        self._in: dict[CallId, set[DeviceId]] = {}
        self._left: dict[CallId, set[DeviceId]] = {}
        """Who has left a call that was over by that: its end is for them too."""

    def __repr__(self) -> str:
        return f"<Parts of {len(self._in)} calls>"

    def heed(self, event: CallEvents, lives: Callable[[CallId], bool]) -> set[DeviceId]:
        """Take note of an event; for whom it is. `lives`: whether a call goes on."""
        device = event.device
        inside = self._in.setdefault(event.call, set())
        if isinstance(event, Conferenced) and event.secondary in self._in:
            inside |= self._in.pop(event.secondary)
            self._left.pop(event.secondary, None)
        told = {*inside, *self._left.get(event.call, ())}
        if isinstance(event, CallCleared):
            del self._in[event.call]
            self._left.pop(event.call, None)
        elif event.from_outside or isinstance(event, Queued):
            pass  # nobody of ours; or a place where a call waits, at which nobody need be
        elif isinstance(event, ConnectionCleared | Failed):
            if device in inside:
                inside.discard(device)
                if not lives(event.call):
                    self._left.setdefault(event.call, set()).add(device)
        else:
            told.add(device)
            if event.state is not ConnectionState.NULL:
                inside.add(device)  # else it has left, and hears of what it did
        return told

    def calls_of(self, device: DeviceId) -> set[CallId]:
        """Those that it has part in."""
        return {call for call, inside in self._in.items() if device in inside}

    def set_calls(self, device: DeviceId, calls: Iterable[CallId]) -> None:
        """It has part in these, and no others."""
        calls = set(calls)
        for call in calls:
            self._in.setdefault(call, set()).add(device)
        for call, inside in self._in.items():
            if call not in calls:
                inside.discard(device)
