"""Whose logs an event of a call belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from endpoint.agents.parts import Parts
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import CallId, ConnectionState, InteractionId
from endpoint.legs.base import Cause, DeviceId

pytestmark = pytest.mark.unit

ANNA, BERT = DeviceId("6001"), DeviceId("6002")
CALL = CallId("c1")


def about(device: DeviceId, state: ConnectionState) -> dict[str, Any]:
    return {
        "interaction": InteractionId("i1"),
        "call": CALL,
        "device": device,
        "state": state,
        "calling": ANNA,
        "called": BERT,
    }


def cleared(device: DeviceId) -> told.ConnectionCleared:
    return told.ConnectionCleared(**about(device, ConnectionState.NULL), cause=Cause.NORMAL)


@pytest.mark.parametrize(
    "late",
    [
        told.Transferred(**about(ANNA, ConnectionState.NULL), transferred_to=BERT),
        told.TransferFailed(**about(ANNA, ConnectionState.NULL), transferred_to=BERT),
        told.RecordingStopped(**about(ANNA, ConnectionState.NULL), recording="r1"),
    ],
    ids=lambda event: type(event).__name__,
)
@pytest.mark.parametrize("lives", [True, False])
def test_who_has_left_hears_of_what_it_did_and_is_in_the_call_no_more(
    late: Any, lives: bool
) -> None:
    parts = Parts()
    for device in (ANNA, BERT):
        event = told.Established(**about(device, ConnectionState.CONNECTED))
        parts.heed(event, lambda _: True)
    assert ANNA in parts.heed(cleared(ANNA), lambda _: lives)
    assert ANNA in parts.heed(late, lambda _: lives)
    assert parts.calls_of(ANNA) == set()
    assert parts.calls_of(BERT) == {CALL}
