"""The terminals: numbers, quoted strings, lists, parameters, hosts."""

from __future__ import annotations

import pytest

from signaling.errors import SipParseError
from signaling.sip import grammar

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("000", 0), ("0009", 9), ("4294967295", 2**32 - 1)]
)
def test_numbers(text: str, value: int) -> None:
    assert grammar.parse_number(text, grammar.UINT32_MAX, "it") == value


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "-1", "1_0", "１０", "٣", "²", "0x1", "1.0", "4294967296", "9" * 5000],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(SipParseError):
        grammar.parse_number(text, grammar.UINT32_MAX, "it")


def test_any_count_of_leading_zeros() -> None:
    assert grammar.parse_number("0" * 5000 + "7", 10, "it") == 7


def test_lower_knows_ascii_alone() -> None:
    assert grammar.lower("VIA") == "via"
    assert grammar.lower("\u212aÀÉ K") == "\u212aÀÉ k"


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"6001", "6001"), ("Jürgen 你".encode(), "Jürgen 你"), (b"a\xff\0", "a\ufffd\ufffd")],
)
def test_what_people_and_databases_read_is_text(octets: bytes, text: str) -> None:
    assert grammar.legible(octets.decode("utf-8", "surrogateescape")) == text


@pytest.mark.parametrize("text", ["a", "INVITE", "-.!%*_+`'~09"])
def test_tokens(text: str) -> None:
    assert grammar.is_token(text)


@pytest.mark.parametrize("text", ["", " ", "a b", "a\n", "a:", "é", "\u212a", '"', "\0"])
def test_what_is_no_token(text: str) -> None:
    assert not grammar.is_token(text)


@pytest.mark.parametrize(
    ("plain", "quoted"),
    [
        ("", '""'),
        ('a "b" \\c', '"a \\"b\\" \\\\c"'),
        ("\0\x07\x7f", '"\\\0\\\x07\\\x7f"'),
        ("ä\u2028\x85\t", '"ä\u2028\x85\t"'),
    ],
)
def test_quoting_goes_both_ways(plain: str, quoted: str) -> None:
    assert grammar.quote(plain) == quoted
    assert grammar.unquote(quoted) == plain


def test_a_token_has_nothing_to_unquote() -> None:
    assert grammar.unquote("a\\b") == "a\\b"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", [""]),
        (" a ", ["a"]),
        ("a,b", ["a", "b"]),
        ("a , ,b,", ["a", "", "b", ""]),
        ('"x,\\"y" <sip:a,b>;c="d,e", <sip:,">', ['"x,\\"y" <sip:a,b>;c="d,e"', '<sip:,">']),
    ],
)
def test_commas_split_outside_quotes_and_brackets(text: str, values: list[str]) -> None:
    assert grammar.split_values(text) == values


@pytest.mark.parametrize("text", ['a,"b', "a,<b", 'a,"b\\"'])
def test_open_ends_are_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        grammar.split_values(text)


def test_parameters() -> None:
    parameters = grammar.parse_parameters(' ; a = b;c;D="x;\\"y" ; e=[::1]:5 ')
    assert parameters == (("a", "b"), ("c", None), ("D", '"x;\\"y"'), ("e", "[::1]:5"))
    assert grammar.find_parameter(parameters, "A") == "b"
    assert grammar.find_parameter(parameters, "c") == ""
    assert grammar.find_parameter(parameters, "d") == 'x;"y'
    assert grammar.find_parameter(parameters, "x") is None
    assert grammar.format_parameters(parameters) == ';a=b;c;D="x;\\"y";e=[::1]:5'


@pytest.mark.parametrize(
    "text", [";", ";;a", ";a;", ";a=", ";=b", "a", ";a b", ";a;A=1", ';a="', ";a=b@c", ",", ";é"]
)
def test_malformed_parameters(text: str) -> None:
    with pytest.raises(SipParseError):
        grammar.parse_parameters(text)


def test_a_value_is_quoted_where_it_must_be() -> None:
    parameters = grammar.replace_parameter((("a", "b"), ("c", None)), "A", "x y")
    assert parameters == (("A", '"x y"'), ("c", None))
    assert grammar.replace_parameter((), "tag", "t-1") == (("tag", "t-1"),)
    assert grammar.replace_parameter((), "empty", "") == (("empty", '""'),)


@pytest.mark.parametrize(
    ("text", "host"),
    [("Example.COM", "example.com"), ("010.0.0.1", "10.0.0.1"), ("[::FFFF]", "::ffff")],
)
def test_hosts_have_one_form(text: str, host: str) -> None:
    assert grammar.parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "host"), [("2001:DB8::1", "2001:db8::1"), ("[::1]", "::1"), ("192.0.2.1", "192.0.2.1")]
)
def test_addresses_may_leave_the_brackets_out(text: str, host: str) -> None:
    assert grammar.parse_address(text) == host


@pytest.mark.parametrize("text", ["", "a b", "[::1", "::g", "300.0.0.1", "1.2.3.4.5", "7"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SipParseError):
        grammar.parse_address(text)


def test_hosts_are_written_with_brackets_where_needed() -> None:
    assert grammar.format_host("::1", 5060) == "[::1]:5060"
    assert grammar.format_host("h") == "h"
