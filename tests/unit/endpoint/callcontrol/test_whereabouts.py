"""Which calls a device is in, as interactions change, take each other over, and end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.callcontrol.model import (
    Call,
    CallId,
    Connection,
    ConnectionState,
    Interaction,
    Leg,
)
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.legs.base import DeviceId, InteractionId
from tests.unit.endpoint.callcontrol.build import NOW, call, connection, leg

pytestmark = pytest.mark.unit

DEVICES = [DeviceId(name) for name in ("6001", "6002", "10086")]
TALKS, GONE = ConnectionState.CONNECTED, ConnectionState.FAIL


def legs() -> st.SearchStrategy[tuple[Leg, ...]]:
    """Some of three, each once."""
    one = st.sampled_from([leg(name) for name in ("6001", "6002", "10086")])
    return st.lists(one, unique_by=lambda each: each.id).map(tuple)


def parties() -> st.SearchStrategy[Connection]:
    """Alive and gone, taking part and parked, ours and from outside."""
    return st.builds(
        lambda device, state, place, outside: replace(
            connection(device, state), parked_by=place, from_outside=outside
        ),
        st.sampled_from(DEVICES),
        st.sampled_from([TALKS, GONE]),
        st.sampled_from([None, DeviceId("6009")]),
        st.booleans(),
    )


@st.composite
def steps(draw: st.DrawFn) -> list[list[Interaction]]:
    """How two interactions stand, time after time; their calls may change places."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        calls = [
            replace(
                call(number, d1=TALKS),
                connections=tuple(draw(st.lists(parties(), max_size=3))),
                cleared_at=draw(st.sampled_from([None, None, NOW])),
            )
            for number in range(draw(st.integers(0, 3)))
        ]
        mine = draw(st.integers(0, len(calls)))
        halves: list[list[Call]] = [calls[:mine], calls[mine:]]
        first = draw(legs())
        second = tuple(each for each in draw(legs()) if each not in first)
        both = [
            Interaction(InteractionId(str(at)), calls=tuple(half), legs=own)
            for at, (half, own) in enumerate(zip(halves, (first, second), strict=True))
        ]
        # Who gives a call away says so before who takes it.
        found.append([Interaction(each.id) for each in both] + both)
    return found


def found_in(taken: list[list[Interaction]]) -> list[Call]:
    """All calls that are in any of them."""
    return [one for step in taken for interaction in step for one in interaction.calls]


@given(steps())
def test_it_finds_what_a_look_at_everybody_finds(taken: list[list[Interaction]]) -> None:
    whereabouts = Whereabouts()
    for step in taken:
        for interaction in step:
            whereabouts.put(interaction)
        for device in DEVICES:
            expected = [
                one.id
                for interaction in step[2:]
                for one in interaction.calls
                if not one.is_cleared
                and any(each.device == device and each.is_live for each in one.connections)
            ]
            assert [one.id for _, one in whereabouts.calls_of(device)] == expected
            assert all(one in at.calls for at, one in whereabouts.calls_of(device))
        calls = {one.id: (at, one) for at in step[2:] for one in at.calls}
        for call_id in {each.id for each in found_in(taken)}:
            assert whereabouts.call(call_id) == calls.get(call_id)
            lives = call_id in calls and not calls[call_id][1].is_cleared
            assert whereabouts.living(call_id) == (calls[call_id] if lives else None)
        for name in DEVICES:
            mine = [each for each in step[2:] if leg(name) in each.legs]
            assert whereabouts.interaction_of(leg(name).id) == next(iter(mine), None)


def test_a_call_that_was_taken_over_stays_when_its_first_interaction_is_told_again() -> None:
    whereabouts, talk = Whereabouts(), call(d6001=TALKS, d10086=TALKS)
    whereabouts.put(Interaction(InteractionId("a"), calls=(talk,)))
    whereabouts.put(Interaction(InteractionId("b"), calls=(talk,)))
    whereabouts.put(Interaction(InteractionId("a")))
    ((interaction, found),) = whereabouts.calls_of(DEVICES[0])
    assert (interaction.id, found.id) == ("b", CallId("i-1"))


def test_a_place_where_a_call_is_parked_is_no_part_in_it() -> None:
    whereabouts = Whereabouts()
    parked = replace(connection("701", ConnectionState.QUEUED), parked_by=DEVICES[0])
    one = replace(call(d6001=TALKS), connections=(connection("6001", TALKS), parked))
    whereabouts.put(Interaction(InteractionId("a"), calls=(one,)))
    assert [own.number for *_, own in whereabouts.connections_of(DEVICES[0])] == ["6001"]
    assert len(whereabouts.calls_of(DeviceId("701"))) == 1
    assert whereabouts.connections_of(DeviceId("701")) == ()
