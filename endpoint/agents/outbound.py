"""Calls that agents make for a queue: they wait in none, and are counted beside those that do."""

from __future__ import annotations

from collections.abc import Container
from datetime import date

from endpoint.agents.tally import Tally
from endpoint.callcontrol.events import CallCleared, CallEvent, Established, ServiceInitiated
from endpoint.callcontrol.model import CallId


class OutboundCalls:
    """Those that go on."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._made_for: dict[CallId, str] = {}
        self._answered: set[CallId] = set()

    def heed(self, event: CallEvent, queues: Container[str], today: date) -> None:
        """Something was told of a call; it is counted when it is over."""
        call = event.call
        match event:
            case ServiceInitiated(queue=queue) if queue in queues:
                self._made_for[call] = queue
            case Established() if call in self._made_for:
                self._answered.add(call)
            case CallCleared() if call in self._made_for:
                outcome = "answered" if call in self._answered else "unanswered"
                self._tally.count_outbound(self._made_for.pop(call), outcome, today)
                self._answered.discard(call)
            case _:
                pass

    def forget(self) -> None:
        """Events were missed: nobody knows which of them are over."""
        self._made_for.clear()
        self._answered.clear()
