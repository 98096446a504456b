"""Routes over several workers: what is heard is the same, wherever the ports are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.crossing import Crossing, Homes, SharedRoutes, crossing_of
from endpoint.media.messages import PortName, RouteTo
from endpoint.media.routetable import RouteTable

pytestmark = pytest.mark.unit

HOMES: Homes = {"A": 0, "B": 1, "C": 1, "music": None}
"""Music is everywhere."""


def shared(homes: Homes, **groups: list[RouteTo]) -> SharedRoutes:
    found = SharedRoutes(3)
    for port, home in homes.items():
        found.open(port, home)
    for group, routes in groups.items():
        found.set_group(group, routes)
    return found


def test_who_is_at_one_worker_needs_no_link() -> None:
    routes = [RouteTo("B", "C", -3.0), RouteTo("music", "A"), RouteTo("music", "B")]
    found = shared(HOMES, x=routes)
    assert found.needed == {}
    assert found.shares("x", {}) == {0: [routes[1]], 1: [routes[0], routes[2]]}


def test_a_source_crosses_once_for_all_who_hear_it_there() -> None:
    found = shared(HOMES, x=[RouteTo("A", "B", -6.0), RouteTo("A", "C")])
    (crossing,) = found.needed
    assert crossing == Crossing("A", 0, 1)
    assert found.shares("x", {crossing: "link"}) == {
        0: [RouteTo("A", "link")],
        1: [RouteTo("link", "B", -6.0), RouteTo("link", "C")],
    }


def test_a_route_waits_for_its_link_and_no_other_route_does() -> None:
    found = shared(HOMES, x=[RouteTo("A", "B"), RouteTo("C", "B"), RouteTo("B", "A")])
    assert found.shares("x", {Crossing("B", 1, 0): "link"}) == {
        0: [RouteTo("link", "A")],
        1: [RouteTo("C", "B"), RouteTo("B", "link")],
    }


def test_a_link_is_needed_as_long_as_one_group_needs_it() -> None:
    found = shared(HOMES, x=[RouteTo("A", "B")], y=[RouteTo("A", "C")])
    found.set_group("x", [])
    assert found.take_dropped() == []
    assert found.needed == {Crossing("A", 0, 1): 1}
    found.set_group("y", [])
    found.set_group("x", [RouteTo("A", "B")])  # back before anybody has asked
    assert found.take_dropped() == []
    found.set_group("x", [])
    assert found.take_dropped() == [Crossing("A", 0, 1)]
    assert found.take_dropped() == []


def test_who_has_no_share_any_more_is_told_so_once() -> None:
    found = shared(HOMES, x=[RouteTo("music", "A"), RouteTo("B", "C")])
    assert set(found.shares("x", {})) == {0, 1}
    found.set_group("x", [RouteTo("B", "C")])
    assert found.shares("x", {}) == {0: [], 1: [RouteTo("B", "C")]}
    found.set_group("x", [])
    assert found.shares("x", {}) == {1: []}
    assert found.shares("x", {}) == {}


def test_a_port_that_closes_takes_its_routes_along_and_one_that_opens_later_has_none() -> None:
    found = shared(HOMES, x=[RouteTo("A", "B"), RouteTo("B", "A"), RouteTo("Z", "A")])
    assert found.counts == [1, 2, 0]
    found.close("B")
    assert found.counts == [1, 1, 0]
    assert found.needed == {}
    assert found.groups_of("A") == []
    found.open("Z", 0)
    found.open("B", 2)
    assert found.shares("x", {}) == {}


PORTS = "ABCDE"
PLAYERS = ("music", "tone")
route = st.builds(
    RouteTo,
    st.sampled_from([*PORTS, *PLAYERS]),
    st.sampled_from(PORTS),
    st.sampled_from([0.0, -6.0, 3.0]),
).filter(lambda route: route.source != route.sink)
groups = st.dictionaries(st.sampled_from("xyz"), st.lists(route, max_size=8), max_size=3)
placement = st.fixed_dictionaries({port: st.integers(0, 2) for port in PORTS})


@given(groups, placement)
def test_what_is_heard_is_the_same_wherever_the_ports_are(
    groups: dict[str, list[RouteTo]], placement: dict[PortName, int]
) -> None:
    homes: Homes = {**placement, **dict.fromkeys(PLAYERS)}
    alone, workers, found = RouteTable(), [RouteTable() for _ in range(3)], shared(homes, **groups)
    links = {crossing: f"link.{number}" for number, crossing in enumerate(found.needed)}
    sources = {link: crossing.source for crossing, link in links.items()}
    for group, routes in groups.items():
        alone.set_group(group, routes)
        for worker, share in found.shares(group, links).items():
            for each in share:
                # A worker is told only of ports that it has.
                assert each.source in sources or homes[each.source] in (None, worker)
                assert each.sink in sources or homes[each.sink] == worker
            workers[worker].set_group(group, share)
    for sink in PORTS:
        heard = workers[placement[sink]].inputs_of(sink)
        named = {sources.get(source, source): gain_db for source, gain_db in heard.items()}
        assert named == alone.inputs_of(sink)
    for link, source in sources.items():
        # One voice, as loud as it is: so it can be forwarded.
        assert workers[placement[source]].inputs_of(link) == {source: 0.0}


@given(groups, placement, st.data())
def test_nobody_hears_more_while_links_are_missing(
    groups: dict[str, list[RouteTo]], placement: dict[PortName, int], data: st.DataObject
) -> None:
    homes: Homes = {**placement, **dict.fromkeys(PLAYERS)}
    found = shared(homes, **groups)
    up = [each for each in found.needed if data.draw(st.booleans())]
    links = {crossing: f"link.{number}" for number, crossing in enumerate(up)}
    sources = {link: crossing.source for crossing, link in links.items()}
    for group, routes in groups.items():
        said = {
            RouteTo(sources.get(each.source, each.source), each.sink, each.gain_db)
            for share in found.shares(group, links).values()
            for each in share
            if each.sink in PORTS
        }
        assert said == {
            each
            for each in routes
            if (crossing := crossing_of(each, homes)) is None or crossing in links
        }


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.lists(route, max_size=6))), placement)
def test_the_links_that_are_needed_are_those_of_the_groups_as_they_are(
    changes: list[tuple[str, list[RouteTo]]], placement: dict[PortName, int]
) -> None:
    homes: Homes = {**placement, **dict.fromkeys(PLAYERS)}
    found, groups, up = shared(homes), dict[str, list[RouteTo]](), set[Crossing]()
    for group, routes in changes:
        found.set_group(group, routes)
        groups[group] = routes
        up -= set(found.take_dropped())
        up |= set(found.needed)
    wanted = {crossing_of(each, homes) for routes in groups.values() for each in routes} - {None}
    assert up == set(found.needed) == wanted
