"""Which sources each sink hears, kept by groups that do not know of each other."""

from __future__ import annotations

from collections.abc import Iterable

from endpoint.errors import MediaError
from endpoint.media.messages import PortName, RouteTo

_GAINS_DB = (-127.0, 40.0)


def check_gains(routes: Iterable[RouteTo]) -> None:
    """Raise MediaError for a gain that is none."""
    if not all(_GAINS_DB[0] <= route.gain_db <= _GAINS_DB[1] for route in routes):
        raise MediaError(f"a gain is {_GAINS_DB[0]:g} to {_GAINS_DB[1]:g} dB")


class RouteTable:
    """The routes of all groups. Every change says which sinks it concerns, and costs no more."""

    def __init__(self) -> None:
        self._groups: dict[str, list[RouteTo]] = {}
        self._by_sink: dict[PortName, dict[tuple[str, PortName], float]] = {}
        self._by_source: dict[PortName, dict[tuple[str, PortName], None]] = {}

    def set_group(self, group: str, routes: Iterable[RouteTo]) -> set[PortName]:
        """Replace a group's routes. Returns the sinks whose inputs may have changed."""
        concerned = {route.sink for route in self._groups.get(group, ())}
        for route in self._groups.pop(group, ()):
            self._drop(group, route)
        wanted = list(routes)
        for route in wanted:
            self._by_sink.setdefault(route.sink, {})[group, route.source] = route.gain_db
            self._by_source.setdefault(route.source, {})[group, route.sink] = None
            concerned.add(route.sink)
        if wanted:
            self._groups[group] = wanted
        return concerned

    def remove_port(self, port: PortName) -> set[PortName]:
        """Drop every route from or to a port. Returns the other sinks that this concerns."""
        groups = {group for group, _ in self._by_sink.get(port, ())}
        groups |= {group for group, _ in self._by_source.get(port, ())}
        concerned = self.sinks_of(port)
        for group in groups:
            routes = self._groups[group]
            self.set_group(group, [r for r in routes if port not in (r.source, r.sink)])
        return concerned - {port}

    def inputs_of(self, sink: PortName) -> dict[PortName, float]:
        """What a sink hears: source to gain in dB. Where two groups say it, the louder counts."""
        inputs: dict[PortName, float] = {}
        for (_, source), gain_db in self._by_sink.get(sink, {}).items():
            inputs[source] = max(gain_db, inputs.get(source, gain_db))
        return inputs

    def sinks_of(self, source: PortName) -> set[PortName]:
        """Who hears a source."""
        return {sink for _, sink in self._by_source.get(source, ())}

    def _drop(self, group: str, route: RouteTo) -> None:
        for index, key, entry in (
            (self._by_sink, route.sink, (group, route.source)),
            (self._by_source, route.source, (group, route.sink)),
        ):
            entries = index.get(key, {})
            entries.pop(entry, None)
            if not entries:
                index.pop(key, None)
