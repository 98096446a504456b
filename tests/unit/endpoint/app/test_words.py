"""Whoever follows a call reads words, not the names of events."""

from __future__ import annotations

from typing import get_args

import pytest

from endpoint.app.words import counted, in_words
from endpoint.callcontrol.events import CallEvents

pytestmark = pytest.mark.unit

FIELDS = {
    "device": "6001",
    "called": "6001",
    "cause": "no_answer",
    "sip_status": 480,
    "text": "nobody answered",
    "diverted_to": "6001",
    "transferred_to": "6001",
    "digits": "••",
    "held": True,
    "far_end": "accepted",
    "muted": True,
    "flow": "survey",
    "node": "rate",
    "result": "5",
    "queue": "sales",
    "position": 2,
    "offered_to": "6002",
    "outcome": "answered",
    "waited_s": 12.4,
}


@pytest.mark.parametrize("event", [kind.__name__ for kind in get_args(CallEvents)])
def test_every_event_of_a_call_has_words(event: str) -> None:
    text = in_words(event, FIELDS)
    assert event not in text
    assert "6001" in text or event == "CallCleared"


@pytest.mark.parametrize("event", ["Failed", "TransferFailed", "ConnectionCleared", "CallCleared"])
def test_why_something_ended_is_said(event: str) -> None:
    assert in_words(event, FIELDS).endswith(": no answer (480 nobody answered)")


def test_one_is_not_several() -> None:
    assert [counted(number, "device") for number in (0, 1, 2)] == [
        "0 devices",
        "1 device",
        "2 devices",
    ]
