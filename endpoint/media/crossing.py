"""Routes whose ends are at different workers, as routes that each worker can do by itself.

Pure: where ports are, who hears whom and which links are up goes in; what each worker is to be told
comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from endpoint.media.messages import PortName, RouteTo

WorkerIndex = int
Homes = Mapping[PortName, WorkerIndex | None]
"""Where the open ports are; None: at every worker, as a player is that plays over and over."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A source that is heard at another worker: one link, whoever hears it there."""

    source: PortName
    begins_at: WorkerIndex
    heard_at: WorkerIndex


def crossing_of(route: RouteTo, homes: Homes) -> Crossing | None:
    """The link that a route between open ports needs."""
    home, heard_at = homes[route.source], homes[route.sink]
    if home is None or heard_at is None or home == heard_at:
        return None
    return Crossing(route.source, home, heard_at)


def shared_out(
    routes: Iterable[RouteTo], homes: Homes, links: Mapping[Crossing, PortName]
) -> dict[WorkerIndex, list[RouteTo]]:
    """What each worker does for routes between open ports, by the links that are up.

    A link has one name at both of its workers: where its source is, it is a sink, and it is a
    source where that is heard. A route whose link is not up yet is left out.
    """
    shares: dict[WorkerIndex, list[RouteTo]] = {}
    fed: set[PortName] = set()
    for route in routes:
        crossing, heard_at = crossing_of(route, homes), homes[route.sink]
        if heard_at is None:
            continue  # what is at every worker is a player, and hears nothing
        if crossing is None:
            shares.setdefault(heard_at, []).append(route)
        elif (link := links.get(crossing)) is not None:
            # Once for all who hear it there; how loud is a matter of each of these.
            if link not in fed:
                fed.add(link)
                shares.setdefault(crossing.begins_at, []).append(RouteTo(route.source, link))
            heard = RouteTo(link, route.sink, route.gain_db)
            shares.setdefault(heard_at, []).append(heard)
    return shares


class SharedRoutes:
    """Where ports are, the routes between them, and the links that these need."""

    def __init__(self, workers: int) -> None:
        self.homes: dict[PortName, WorkerIndex | None] = {}
        """See `Homes`."""
        self.counts = [0] * workers
        """Ports that each worker has alone."""
        self.needed: Counter[Crossing] = Counter()
        """By how many groups; one that none needs is not in it."""
        self._dropped: set[Crossing] = set()
        self._groups: dict[str, list[RouteTo]] = {}
        self._groups_of: dict[PortName, dict[str, None]] = {}
        self._told: dict[str, set[WorkerIndex]] = {}
        """Who has a share of a group."""

    def open(self, port: PortName, home: WorkerIndex | None) -> None:
        """Take note of a port that was not open."""
        self.homes[port] = home
        if home is not None:
            self.counts[home] += 1

    def close(self, port: PortName) -> None:
        """Forget a port, and its routes in all groups."""
        for group in list(self._groups_of.get(port, ())):
            kept = [each for each in self._groups[group] if port not in (each.source, each.sink)]
            self.set_group(group, kept)
        home = self.homes.pop(port, None)
        if home is not None:
            self.counts[home] -= 1

    def set_group(self, group: str, routes: Iterable[RouteTo]) -> None:
        """Replace a group's routes. What names a port that is not open is left out."""
        before = self._groups.pop(group, [])
        for port in _ports(before):
            del self._groups_of[port][group]
            if not self._groups_of[port]:
                del self._groups_of[port]
        for crossing in self._crossings(before):
            self.needed[crossing] -= 1
            if not self.needed[crossing]:
                del self.needed[crossing]
                self._dropped.add(crossing)
        wanted = [each for each in routes if {each.source, each.sink} <= self.homes.keys()]
        self.needed.update(self._crossings(wanted))
        for port in _ports(wanted):
            self._groups_of.setdefault(port, {})[group] = None
        if wanted:
            self._groups[group] = wanted

    def take_dropped(self) -> list[Crossing]:
        """Those that were needed when this was asked last, or since then, and are not now."""
        dropped, self._dropped = self._dropped, set()
        return [crossing for crossing in dropped if crossing not in self.needed]

    def crossings_of(self, group: str) -> set[Crossing]:
        """The links that a group needs."""
        return self._crossings(self._groups.get(group, ()))

    def groups_of(self, port: PortName) -> list[str]:
        """The groups that have a route from or to a port."""
        return list(self._groups_of.get(port, ()))

    def shares(
        self, group: str, links: Mapping[Crossing, PortName]
    ) -> dict[WorkerIndex, list[RouteTo]]:
        """What to tell the workers of a group; also those that have no share of it any more."""
        shares = shared_out(self._groups.get(group, ()), self.homes, links)
        left = {worker: list[RouteTo]() for worker in self._told.pop(group, ())}
        if shares:
            self._told[group] = set(shares)
        return left | shares

    def _crossings(self, routes: Iterable[RouteTo]) -> set[Crossing]:
        return {found for each in routes if (found := crossing_of(each, self.homes)) is not None}


def _ports(routes: Iterable[RouteTo]) -> set[PortName]:
    return {port for each in routes for port in (each.source, each.sink)}
