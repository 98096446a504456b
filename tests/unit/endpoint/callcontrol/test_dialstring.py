"""Dial strings of seed 000 §1.8."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.callcontrol.dialstring import DIGITS, parse_dial_string
from endpoint.callcontrol.model import PostDial
from endpoint.errors import DialStringError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "number", "pause_s", "digits"),
    [
        ("938834600-WW8001", "938834600", 2.0, "8001"),
        ("938834600-Ww8002", "938834600", 1.5, "8002"),
        ("938834600-wW8002", "938834600", 1.5, "8002"),
        ("938834600-w8", "938834600", 0.5, "8"),
        ("938834600-8001", "938834600", 0.0, "8001"),
        ("+8613800138000-*12#A", "+8613800138000", 0.0, "*12#A"),
        ("Winnie-W1", "Winnie", 1.0, "1"),
    ],
)
def test_a_trunk_and_its_extension(text: str, number: str, pause_s: float, digits: str) -> None:
    """The examples of the seed, and what they imply."""
    dialled = parse_dial_string(text)
    assert (dialled.number, dialled.post_dial) == (number, PostDial(pause_s, digits))


@pytest.mark.parametrize("text", ["10086", "RP_913800138000", "+8613800138000", "*97", "alice.b"])
def test_a_plain_number_or_device(text: str) -> None:
    dialled = parse_dial_string(text)
    assert (dialled.number, dialled.post_dial) == (text, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_number"),
        ("-8001", "empty_number"),
        ("-", "empty_number"),
        ("938834600-", "empty_extension"),
        ("938834600-WwW", "empty_extension"),
        ("938834600--8001", "two_dashes"),
        ("938834600-80-01", "two_dashes"),
        ("938834600-80W01", "pause_after_digits"),
        ("938834600-8001w", "pause_after_digits"),
        ("938834600-80x1", "bad_character"),
        ("938834600-W 8001", "bad_character"),
        ("9388 34600", "bad_character"),
        ("10086\n", "bad_character"),
        ("１００８６", "bad_character"),
        ("sip:10086@host", "bad_character"),
        ("10086-８", "bad_character"),
    ],
)
def test_what_is_refused_has_a_name(text: str, reason: str) -> None:
    with pytest.raises(DialStringError) as caught:
        parse_dial_string(text)
    assert caught.value.reason == reason


@given(
    st.text("0123456789", min_size=1),
    st.text("Ww"),
    st.text("".join(sorted(DIGITS)), min_size=1, max_size=30),
)
def test_pause_is_the_sum_of_its_letters(number: str, pauses: str, digits: str) -> None:
    dialled = parse_dial_string(f"{number}-{pauses}{digits}")
    assert dialled.number == number
    assert dialled.post_dial is not None
    assert dialled.post_dial == PostDial(pauses.count("W") + pauses.count("w") / 2, digits)
    assert repr(dialled.post_dial) == f"PostDial(pause_s={dialled.post_dial.pause_s})"


@given(st.text(max_size=20))
def test_anything_is_understood_or_refused(text: str) -> None:
    """No other error."""
    with suppress(DialStringError):
        assert parse_dial_string(text).number


@pytest.mark.parametrize("text", ["1-4711-4711", "1-4711W4711", "1-4711x4711", "1 -4711"])
def test_a_refusal_does_not_repeat_the_extension(text: str) -> None:
    with pytest.raises(DialStringError) as caught:
        parse_dial_string(text)
    assert "4711" not in str(caught.value)
