"""A body is exactly one message, or an answer that says where and what was expected."""

from __future__ import annotations

import pytest

from endpoint.app.bodies import BadRequest, decode
from endpoint.gateways.native.messages import MakeCall, Press

pytestmark = pytest.mark.unit

GOOD = b'{"device":"6001","destination":"10086"}'


def refusal(octets: bytes, kind: type[MakeCall] | type[Press] = MakeCall) -> tuple[str, str, str]:
    with pytest.raises(BadRequest) as refused:
        decode(octets, kind)
    assert refused.value.status == 400
    answer = refused.value.refused
    return answer.error, answer.field, answer.expected


def test_a_good_body_is_a_message() -> None:
    assert decode(GOOD, MakeCall) == MakeCall("6001", "10086")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        GOOD + b" x",
        GOOD + b" {}",
        b'{"device":NaN,"destination":"1"}',
        b'{"device":"\xff","destination":"1"}',
        b'{"device":"\xed\xa0\x80","destination":"1"}',
    ],
    ids=["empty", "cut", "more", "two", "NaN", "no UTF-8", "a surrogate"],
)
def test_what_is_no_json_is_refused(octets: bytes) -> None:
    assert refusal(octets) == ("bad_json", "$", "one JSON object")


def test_a_nul_is_no_text() -> None:
    """PostgreSQL keeps none; what only looks like one is text as any."""
    body = b'{"device":"6001","destination":"1","data":{"k":"a%su0000"}}'
    assert refusal(body % b"\\") == ("bad_json", "$", "no \\u0000")
    assert decode(body % b"\\\\", MakeCall).data == {"k": "a\\u0000"}


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        (b"[]", "$"),
        (b"{}", "$"),
        (GOOD[:-1] + b',"extra":1}', "$"),
        (b'{"device":1,"destination":"1"}', "$.device"),
        (b'{"device":1e400,"destination":"1"}', "$.device"),
        (b'{"device":"60 01","destination":"1"}', "$.device"),
        (b'{"device":"6001\\n","destination":"1"}', "$.device"),
        (b'{"device":"%s","destination":"1"}' % (b"6" * 65), "$.device"),
        (b'{"device":"6001","destination":""}', "$.destination"),
    ],
)
def test_a_wrong_field_is_named(octets: bytes, field: str) -> None:
    error, where, expected = refusal(octets)
    assert (error, where) == ("bad_field", field)
    assert expected


def test_the_expected_shape_is_told() -> None:
    assert refusal(b"{}")[2] == (
        "device, destination, calling_name?, calling_number?, withhold?, data?"
    )
    assert "1 to 64 characters" in refusal(b'{"device":1,"destination":"1"}')[2]


@pytest.mark.parametrize("digits", ["", "12a", "1" * 65, "１"])
def test_digits_are_those_of_dtmf(digits: str) -> None:
    octets = f'{{"device":"6001","digits":"{digits}"}}'.encode()
    assert refusal(octets, Press)[1] == "$.digits"


def test_a_key_may_not_be_there_twice() -> None:
    twice = b'{"device":"6001","device":"6002","destination":"1"}'
    assert refusal(twice) == ("bad_json", "$.device", "each field once")


@pytest.mark.parametrize(
    "octets", [b"[" * 60_000, b'{"a":' * 10_000, b'{"device":' + b"[" * 50_000]
)
def test_depth_breaks_nothing(octets: bytes) -> None:
    assert refusal(octets)[0] in ("bad_field", "bad_json")
