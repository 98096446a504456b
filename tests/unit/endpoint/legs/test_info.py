"""DTMF in INFO."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.legs.info import DIGITS, parse_info_digit

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", ("5", 160)),
        ("application/dtmf-relay", b"Signal= #\nDuration= 250", ("#", 250)),
        ("Application/DTMF-Relay;x=y", b"signal=d\rduration=100", ("D", 100)),
        ("application/dtmf-relay", b"Signal=10\r\nDuration=80\r\n", ("*", 80)),
        ("application/dtmf-relay", b"Signal=11", ("#", 250)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=1_0", ("1", 250)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=999999", ("1", 60000)),
        ("application/dtmf", b"7", ("7", 250)),
        ("application/dtmf", b" * \r\n", ("*", 250)),
        ("application/dtmf", b"", None),
        ("application/dtmf", b"55", None),
        ("application/dtmf", b"!", None),
        ("application/dtmf-relay", b"Duration=100", None),
        ("application/dtmf-relay", b"Signal=flash", None),
        ("text/plain", b"5", None),
        ("application/dtmf", "５".encode(), None),
    ],
)
def test_an_info(content_type: str, body: bytes, found: tuple[str, int] | None) -> None:
    assert parse_info_digit(content_type, body) == found


@given(st.sampled_from(["application/dtmf", "application/dtmf-relay", "x"]), st.binary())
def test_any_body_is_a_digit_or_nothing(content_type: str, body: bytes) -> None:
    found = parse_info_digit(content_type, body)
    assert found is None or found[0] in DIGITS
