"""Who hears whom, from the state alone; also as consultation and conference will have it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoint.callcontrol.model import (
    Call,
    ConnectionState,
    Interaction,
    Leg,
    LegProgress,
    Participation,
    Timer,
    TimerKind,
    Transfer,
)
from endpoint.callcontrol.routes import heard_in, held_legs, routes
from endpoint.legs.base import Source
from tests.unit.endpoint.callcontrol.build import call, interaction, leg

pytestmark = pytest.mark.unit

NULL, ALERTING = ConnectionState.NULL, ConnectionState.ALERTING
CONNECTED, HOLD, FAIL = ConnectionState.CONNECTED, ConnectionState.HOLD, ConnectionState.FAIL
A, B, C = leg("6001"), leg("10086"), leg("10010")


def heard(state: Interaction) -> dict[str, set[str]]:
    """Sink → what it hears."""
    rows: dict[str, set[str]] = {}
    for route in routes(state):
        source = route.source.value if isinstance(route.source, Source) else route.source
        rows.setdefault(route.sink, set()).add(source)
    return rows


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (CONNECTED, CONNECTED, {"6001": {"10086"}, "10086": {"6001"}}),
        (HOLD, CONNECTED, {"10086": {"moh"}}),
        (CONNECTED, HOLD, {"6001": {"moh"}}),
        (HOLD, HOLD, {}),
    ],
)
def test_two_parties(a: ConnectionState, b: ConnectionState, expected: dict[str, set[str]]) -> None:
    assert heard(interaction(call(d6001=a, d10086=b), legs=(A, B))) == expected


@pytest.mark.parametrize(
    ("state", "far", "expected"),
    [
        (NULL, leg("10086", LegProgress.PLACED), {}),
        (ALERTING, leg("10086", LegProgress.RINGING), {"6001": {"ringback"}}),
        (ALERTING, leg("10086", LegProgress.RINGING, early_media=True), {"6001": {"10086"}}),
        (FAIL, None, {"6001": {"busy"}}),
    ],
)
def test_a_caller_that_waits(
    state: ConnectionState, far: Leg | None, expected: dict[str, set[str]]
) -> None:
    legs = (A,) if far is None else (A, far)
    waiting = interaction(call(d6001=CONNECTED, d10086=state), legs=legs)
    if far is None:
        assert heard(waiting) == {}, "the tone has an end"
        tone = Timer(TimerKind.FAILURE_TONE, A.id, waiting.calls[0].id)
        waiting = replace(waiting, timers=frozenset({tone}))
    assert heard(waiting) == expected


@pytest.mark.parametrize(
    ("state", "far", "expected"),
    [
        (ALERTING, leg("10086", LegProgress.RINGING, early_media=True), {"6001": {"10086"}}),
        (ALERTING, leg("10086", LegProgress.RINGING), {"6001": {"ringback"}}),
        (CONNECTED, B, {"6001": {"10086"}}),
    ],
)
@pytest.mark.parametrize("progress", [LegProgress.OFFERED, LegProgress.ANSWERING])
def test_a_caller_that_is_not_answered_may_hear_and_is_not_heard(
    progress: LegProgress, state: ConnectionState, far: Leg, expected: dict[str, set[str]]
) -> None:
    caller = replace(leg("6001", progress), hears_early=True)
    assert heard(interaction(call(d6001=CONNECTED, d10086=state), legs=(caller, far))) == expected


@pytest.mark.parametrize("progress", [each for each in LegProgress if each is not LegProgress.UP])
def test_no_route_to_a_leg_that_is_not_up(progress: LegProgress) -> None:
    """Whatever the connections say: offered, answering, releasing legs hear and say nothing."""
    state = interaction(call(d6001=CONNECTED, d10086=CONNECTED), legs=(leg("6001", progress), B))
    assert heard(state) == {}
    assert held_legs(state) == set()


def three(a: ConnectionState, b: ConnectionState, c: ConnectionState) -> Interaction:
    return interaction(call(d6001=a, d10086=b, d10010=c), legs=(A, B, C))


def test_a_conference_is_every_pair() -> None:
    assert heard(three(CONNECTED, CONNECTED, CONNECTED)) == {
        "6001": {"10086", "10010"},
        "10086": {"6001", "10010"},
        "10010": {"6001", "10086"},
    }


def test_one_who_holds_a_conference_leaves_the_others_talking() -> None:
    state = three(HOLD, CONNECTED, CONNECTED)
    assert heard(state) == {"10086": {"10010"}, "10010": {"10086"}}
    assert held_legs(state) == set()


def consulting(first: Call, second: Call) -> Interaction:
    return interaction(first, second, legs=(A, B, C))


def test_consultation_holds_one_and_talks_to_the_other() -> None:
    """One leg of A in two calls: B hears music, A and C talk, only B is told that it is held."""
    state = consulting(
        call(1, d6001=HOLD, d10086=CONNECTED), call(2, d6001=CONNECTED, d10010=CONNECTED)
    )
    assert heard(state) == {"10086": {"moh"}, "6001": {"10010"}, "10010": {"6001"}}
    assert held_legs(state) == {"10086"}


def test_one_who_is_held_in_one_call_and_talks_in_another_is_not_told_so() -> None:
    """B holds A, A consults C: A's phone must not be put on hold while A talks to C."""
    state = consulting(call(1, d6001=HOLD, d10086=HOLD), call(2, d6001=CONNECTED, d10010=CONNECTED))
    assert held_legs(state) == {"10086"}
    assert heard(state) == {"6001": {"10010"}, "10010": {"6001"}}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (CONNECTED, CONNECTED, set()),
        (HOLD, CONNECTED, {"10086"}),
        (CONNECTED, HOLD, {"6001"}),
        (HOLD, HOLD, {"6001", "10086"}),
    ],
)
def test_who_is_told_that_it_is_held(
    a: ConnectionState, b: ConnectionState, expected: set[str]
) -> None:
    """Each by the other, whether or not it holds too: its own hold is its own affair."""
    assert held_legs(interaction(call(d6001=a, d10086=b), legs=(A, B))) == expected


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (LegProgress.PLACED, {"6001": {"ringback"}, "10086": {"ringback"}}),
        (LegProgress.RINGING, {"6001": {"ringback"}, "10086": {"ringback"}}),
        (LegProgress.ANSWERING, {"6001": {"10086"}, "10086": {"6001"}}),
    ],
)
def test_who_waits_for_a_third_hears_it_ring_until_its_answer_is_on_its_way(
    progress: LegProgress, expected: dict[str, set[str]]
) -> None:
    calling = call(d6001=CONNECTED, d10086=CONNECTED, d10010=ALERTING)
    calling = replace(calling, transfer=Transfer(A.id, C.number, target=C.id))
    state = interaction(calling, legs=(A, B, leg("10010", progress)))
    assert heard(state) == expected


def test_who_waits_for_somebody_hears_no_music_of_a_supervisor_that_holds() -> None:
    state = three(CONNECTED, ALERTING, HOLD)
    (waiting,) = state.calls
    a, b, c = waiting.connections
    listens = replace(c, participation=Participation.SILENT, beside=A.id)
    ringing = leg("10086", LegProgress.RINGING)
    state = interaction(replace(waiting, connections=(a, b, listens)), legs=(A, ringing, C))
    assert heard(state) == {"6001": {"ringback"}}


def test_who_was_let_hear_early_is_heard_once_when_the_call_is_answered() -> None:
    state = interaction(
        call(d6001=CONNECTED, d10086=CONNECTED), legs=(replace(A, hears_early=True), B)
    )
    assert heard_in(state, state.calls[0]) == {"6001": ["10086"], "10086": ["6001"]}
