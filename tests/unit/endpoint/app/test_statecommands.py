"""What a person reads of the state of things."""

from __future__ import annotations

import pytest

from endpoint.app.statecommands import trunk_state
from endpoint.gateways.native import messages as wire

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("up", "peers", "expected"),
    [
        (True, ["unknown"], "not known yet"),
        (False, ["unknown"], "not known yet"),  # an account that is not registered yet
        (True, ["down", "unknown"], "not known yet"),
        (True, ["down", "up"], "up"),
        (False, ["up"], "down"),  # registered, but its connection is lost
        (False, ["down"], "down"),
    ],
)
def test_a_trunk_is_up_when_somebody_has_answered(
    up: bool, peers: list[str], expected: str
) -> None:
    states = [wire.TrunkPeer("203.0.113.10", state, "") for state in peers]
    assert trunk_state(wire.Trunk("carrier", up, 0, None, states)) == expected
