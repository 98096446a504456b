from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.messages import RouteTo
from endpoint.media.routetable import RouteTable

pytestmark = pytest.mark.unit


def routes(*pairs: str) -> list[RouteTo]:
    return [RouteTo(pair[0], pair[1]) for pair in pairs]


def test_a_group_is_replaced_and_others_are_left_alone() -> None:
    table = RouteTable()
    assert table.set_group("x", routes("AB", "BA")) == {"A", "B"}
    assert table.set_group("y", routes("CD")) == {"D"}
    assert table.set_group("x", routes("MB")) == {"A", "B"}
    assert table.inputs_of("B") == {"M": 0.0}
    assert table.inputs_of("A") == {}
    assert table.inputs_of("D") == {"C": 0.0}


def test_two_groups_may_feed_one_sink_and_the_louder_counts() -> None:
    table = RouteTable()
    table.set_group("x", [RouteTo("A", "B", -10.0)])
    table.set_group("y", [RouteTo("A", "B", -3.0), RouteTo("C", "B")])
    assert table.inputs_of("B") == {"A": -3.0, "C": 0.0}
    table.set_group("y", [])
    assert table.inputs_of("B") == {"A": -10.0}


def test_a_port_that_closes_takes_its_routes_along() -> None:
    table = RouteTable()
    table.set_group("x", routes("AB", "BA", "AC", "CA"))
    assert table.remove_port("A") == {"B", "C"}
    assert table.inputs_of("B") == {}
    assert table.sinks_of("A") == set()
    assert table.remove_port("A") == set()


pairs = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), max_size=6)


@given(st.lists(st.tuples(st.sampled_from("xyz"), pairs), max_size=12))
def test_the_table_is_the_sum_of_its_groups(
    changes: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    table = RouteTable()
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, wanted in changes:
        concerned = table.set_group(group, [RouteTo(a, b) for a, b in wanted])
        assert concerned == {b for _, b in [*wanted, *groups.get(group, [])]}
        groups[group] = wanted
    everything = {pair for wanted in groups.values() for pair in wanted}
    for port in "ABCD":
        assert set(table.inputs_of(port)) == {a for a, b in everything if b == port}
        assert table.sinks_of(port) == {b for a, b in everything if a == port}
