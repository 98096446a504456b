"""The tables of statuses and methods."""

from __future__ import annotations

import pytest

from signaling.sip.status import METHODS, REASON_PHRASES

pytestmark = pytest.mark.unit


def test_every_status_is_one_and_has_a_phrase() -> None:
    assert all(100 <= status <= 699 for status in REASON_PHRASES)
    assert all(phrase and phrase == phrase.strip() for phrase in REASON_PHRASES.values())
    assert REASON_PHRASES[487] == "Request Terminated"


def test_the_methods_are_the_registered_ones() -> None:
    assert len(METHODS) == 14
    assert {"INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS"} <= METHODS
