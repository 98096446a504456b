"""Warning (RFC 3261 §20.43)."""

from __future__ import annotations

import pytest

from signaling.errors import Misfit, SdpError
from signaling.sip.warning import format_warning, warning_of

pytestmark = pytest.mark.unit


def test_a_refusal_says_what_does_not_fit() -> None:
    error = SdpError("no common audio codec: G729 offered, PCMU expected", misfit=Misfit.FORMAT)
    text = '305 agent-endpoint "no common audio codec: G729 offered, PCMU expected"'
    assert warning_of(error) == (("Warning", text),)
    assert warning_of(SdpError("bad mid"))[0][1].startswith("399 ")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('a "b" c', r'"a \"b\" c"'),
        ("a\\b", r'"a\\b"'),
        ("a\r\nVia: x", '"a??Via: x"'),
        ("\udc80\u4e2d\0", '"???"'),
        ("x" * 1000, '"' + "x" * 300 + '"'),
    ],
)
def test_what_others_said_stays_in_its_quotes(said: str, shown: str) -> None:
    assert format_warning(399, said) == f"399 agent-endpoint {shown}"
