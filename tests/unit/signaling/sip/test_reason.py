from __future__ import annotations

import pytest

from signaling.sip.fields import Headers
from signaling.sip.reason import format_reason, parse_reasons, q850_of

pytestmark = pytest.mark.unit


def test_reason_is_written_as_rfc_3326_has_it() -> None:
    assert format_reason(16) == "Q.850;cause=16"


def test_several_reasons_in_a_line_and_in_lines() -> None:
    lines = ['SIP ;cause=600 ;text="Busy, everywhere", q.850;cause=17', "preemption"]
    assert parse_reasons(lines) == {"sip": (600, "Busy, everywhere"), "q.850": (17, "")}


@pytest.mark.parametrize(
    "line",
    ["", ";cause=16", "Q.850", "Q.850;cause=", "Q.850;cause=x", 'Q.850;cause=16;text="open', "a b"],
)
def test_what_cannot_be_read_is_left_out(line: str) -> None:
    assert parse_reasons([line]) == {}


def test_q850_of_a_message() -> None:
    assert q850_of(Headers()) is None
    assert q850_of(Headers([("Reason", "SIP;cause=487"), ("Reason", "Q.850;cause=102")])) == 102
    assert q850_of(Headers([("Reason", "Q.850;cause=128")])) is None
