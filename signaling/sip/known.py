"""Flows that are known: somebody proved by digest who it is, or we have sent a request there."""

from __future__ import annotations

from collections import OrderedDict

from signaling.sip.flow import Flow
from signaling.sip.source import Source, source_of


class KnownFlows:
    """Flows with the time until which they are known; of more than `limit` the oldest go."""

    def __init__(self, for_s: float, limit: int) -> None:
        self._for_s = for_s
        self._limit = limit
        self._flows: OrderedDict[Flow, float] = OrderedDict()
        self._sources: OrderedDict[Source, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flows)

    def __repr__(self) -> str:
        return f"<KnownFlows {len(self)}>"

    def add(self, flow: Flow, now: float) -> None:
        """Know a flow, or know it for longer."""
        until = now + self._for_s
        self._flows[flow] = until
        self._flows.move_to_end(flow)
        source = source_of(flow.host)
        self._sources[source] = until
        self._sources.move_to_end(source)
        for entries in (self._flows, self._sources):
            if len(entries) > self._limit:
                entries.popitem(last=False)

    def discard(self, flow: Flow) -> None:
        """Know a flow no longer; its source may have others."""
        self._flows.pop(flow, None)

    def has(self, flow: Flow, now: float) -> bool:
        """Whether a flow is known."""
        return self._flows.get(flow, now) > now

    def has_source(self, source: Source, now: float) -> bool:
        """Whether a flow of that source was known lately."""
        return self._sources.get(source, now) > now
