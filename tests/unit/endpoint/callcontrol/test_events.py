"""Events: digits are for the agents of the call alone."""

from __future__ import annotations

import pytest

from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import GenerateDigits, MakeCall
from endpoint.callcontrol.effects import SendDigits
from endpoint.callcontrol.model import CallId, ConnectionState
from endpoint.legs.base import DeviceId, DeviceRegistered, InteractionId, LegId

pytestmark = pytest.mark.unit


def digits_generated(digits: str) -> told.DigitsGenerated:
    return told.DigitsGenerated(
        interaction=InteractionId("i"),
        call=CallId("i-1"),
        device=DeviceId("10086"),
        state=ConnectionState.CONNECTED,
        calling=DeviceId("6001"),
        called=DeviceId("10086"),
        digits=digits,
    )


def test_masked_keeps_everything_but_the_digits() -> None:
    event = digits_generated("4711")
    assert told.masked(event) == digits_generated("••••")
    assert event.digits == "4711"


def test_other_events_have_nothing_to_mask() -> None:
    event = DeviceRegistered(DeviceId("6001"), "sip:6001@127.0.0.1", 600)
    assert told.masked(event) is event


def test_no_representation_shows_digits() -> None:
    """What is logged by accident holds none."""
    device = DeviceId("6001")
    for value in (
        digits_generated("4711"),
        GenerateDigits(device, "4711"),
        MakeCall(device, "10086-4711"),
        SendDigits(LegId("i.2"), "4711"),
    ):
        assert "4711" not in repr(value)
