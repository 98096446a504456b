"""The table of what may be done, and the buttons that come of it."""

from __future__ import annotations

import pytest

from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.model import ConnectionState
from endpoint.callcontrol.transitions import ALLOWED, NEEDS_ESTABLISHED, OF_OTHERS, allowed_commands

pytestmark = pytest.mark.unit


def test_every_state_has_its_row() -> None:
    assert set(ALLOWED) == set(ConnectionState)


def test_every_command_is_allowed_somewhere() -> None:
    assert set().union(*ALLOWED.values()) == set(CommandName) - OF_OTHERS


@pytest.mark.parametrize(
    "state", [each for each in ConnectionState if each not in ("null", "fail")]
)
def test_whoever_is_in_a_call_can_leave_it(state: ConnectionState) -> None:
    """Also before it is established."""
    assert CommandName.CLEAR_CONNECTION in allowed_commands(state, established=False)


def test_hold_and_digits_wait_for_the_answer() -> None:
    ringing = allowed_commands(ConnectionState.CONNECTED, established=False)
    talking = allowed_commands(ConnectionState.CONNECTED)
    held = allowed_commands(ConnectionState.HOLD) - allowed_commands(
        ConnectionState.HOLD, established=False
    )
    assert (talking - ringing) | held == NEEDS_ESTABLISHED
    assert ringing == {
        CommandName.ASSOCIATE_DATA,
        CommandName.CLEAR_CONNECTION,
        CommandName.CLEAR_CALL,
        CommandName.SET_MICROPHONE_MUTE,
    }
