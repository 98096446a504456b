"""Header fields: order, names without case, compact forms, and no header made out of text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.fields import Headers, canonical_name

pytestmark = pytest.mark.unit


@pytest.fixture
def headers() -> Headers:
    return Headers([("v", "one"), ("X-Own", "a"), ("VIA", "two"), ("call-id", "1")])


def test_names_have_one_spelling(headers: Headers) -> None:
    assert list(headers) == [("Via", "one"), ("X-Own", "a"), ("Via", "two"), ("Call-ID", "1")]
    assert len(headers) == 4


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("V", "Via"),
        ("k", "Supported"),
        ("www-AUTHENTICATE", "WWW-Authenticate"),
        ("cseq", "CSeq"),
        ("X-oWn", "X-oWn"),
        ("\u212a", "\u212a"),
    ],
)
def test_canonical_names(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


def test_looking_up(headers: Headers) -> None:
    assert headers.get("via") == "one"
    assert headers.get_all("v") == ["one", "two"]
    assert headers.get("x-OWN") == "a"
    assert headers.get("From") is None
    assert headers.get_all("From") == []
    assert "i" in headers
    assert "f" not in headers


def test_the_list_of_a_name_is_the_callers(headers: Headers) -> None:
    headers.get_all("Via").append("three")
    assert headers.get_all("Via") == ["one", "two"]


def test_adding(headers: Headers) -> None:
    headers.add("Via", " three ")
    headers.add_first("Via", "zero")
    assert headers.get_all("Via") == ["zero", "one", "two", "three"]
    assert next(headers.items()) == ("Via", "zero")


def test_setting_takes_the_place_of_the_first(headers: Headers) -> None:
    headers.set("via", "new", "newer")
    headers.set("To", "somebody")
    assert list(headers) == [
        ("Via", "new"),
        ("Via", "newer"),
        ("X-Own", "a"),
        ("Call-ID", "1"),
        ("To", "somebody"),
    ]


def test_removing(headers: Headers) -> None:
    headers.remove("Via")
    headers.remove("To")
    assert list(headers) == [("X-Own", "a"), ("Call-ID", "1")]


def test_a_copy_is_independent(headers: Headers) -> None:
    copied = headers.copy()
    assert copied == headers
    copied.add("To", "x")
    assert "To" not in headers
    assert copied != headers


def test_equality_knows_order_and_not_case() -> None:
    assert Headers([("x-a", "1")]) == Headers([("X-A", "1")])
    assert Headers([("a", "1"), ("b", "2")]) != Headers([("b", "2"), ("a", "1")])
    assert Headers() != []


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n", "\r"])
def test_text_never_becomes_a_header(value: str) -> None:
    headers = Headers()
    for change in (headers.add, headers.add_first, headers.set):
        with pytest.raises(LocalProtocolError):
            change("Subject", value)
    assert len(headers) == 0


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\n"])
def test_names_are_tokens(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Headers().add(name, "x")


def test_other_separators_are_plain_text() -> None:
    value = "a\x0bb\x0cc\x85d\u2028e"
    assert Headers([("Subject", value)]).get("s") == value


def test_every_change_forgets_what_was_parsed(headers: Headers) -> None:
    changes: list[Callable[[], None]] = [
        lambda: headers.add("To", "x"),
        lambda: headers.add_first("To", "x"),
        lambda: headers.set("To", "x"),
        lambda: headers.remove("To"),
    ]
    for change in changes:
        headers.parsed["to"] = "old"
        change()
        assert headers.parsed == {}


def test_what_a_parser_read_gets_its_usual_names_too() -> None:
    assert list(Headers.received([("i", "1"), ("X-y", "2")])) == [("Call-ID", "1"), ("X-y", "2")]


def test_it_shows_what_it_holds() -> None:
    assert repr(Headers([("a-b", "1")])) == "Headers([('a-b', '1')])"
