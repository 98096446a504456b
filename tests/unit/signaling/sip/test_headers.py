"""Header values: addresses, Via, CSeq and authentication, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SipParseError
from signaling.sip.headers import (
    MALFORMED_EXPIRES_S,
    AuthChallenge,
    AuthCredentials,
    CSeq,
    NameAddr,
    Via,
    parse_expires,
)
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.strategies import name_addrs, texts, tokens, vias

pytestmark = pytest.mark.unit

BOB = Uri("sip", "bob", host="h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:bob@h", NameAddr("", BOB)),
        (" sip:bob@h ; tag = x ", NameAddr("", BOB, (("tag", "x"),))),
        ("<sip:bob@h>;tag=x", NameAddr("", BOB, (("tag", "x"),))),
        ("Bob<sip:bob@h>", NameAddr("Bob", BOB)),
        ("Bob  B. \tSmith <sip:bob@h>", NameAddr("Bob B. Smith", BOB)),
        ('"" <sip:bob@h>', NameAddr("", BOB)),
        ('"a\\"<b>, \\\\" <sip:bob@h>', NameAddr('a"<b>, \\', BOB)),
        ("王小明 <sip:bob@h>", NameAddr("王小明", BOB)),
        ("a\u2028b\x85c <sip:bob@h>", NameAddr("a\u2028b\x85c", BOB)),
        ("<sip:bob@h;lr>;lr", NameAddr("", BOB.with_parameter("lr"), (("lr", None),))),
        ("tel:+123;tag=1", NameAddr("", Uri("tel", opaque="+123"), (("tag", "1"),))),
        ("<tel:+123;phone-context=h>", NameAddr("", Uri("tel", opaque="+123;phone-context=h"))),
    ],
)
def test_addresses(text: str, expected: NameAddr) -> None:
    assert NameAddr.parse(text) == expected
    assert NameAddr.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "<>",
        "<sip:bob@h",
        "sip:bob@h>",
        "< sip:bob@h>",
        "<sip:bob@h >",
        '"Bob <sip:bob@h>',
        'Bob" <sip:bob@h>',
        '"Bob" Smith <sip:bob@h>',
        "Bell, A. <sip:bob@h>",
        "bob@h <sip:bob@h>",
        "<sip:bob@h> x",
        "<sip:bob@h>,",
        "<<sip:bob@h>>",
        "sip:bob@h?Route=x",
        "sip:bob@h,x",
        "sip:bob@h;tag=a;tag=b",
        "sip:a;b@h",
        "\0<sip:bob@h>",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SipParseError):
        NameAddr.parse(text)


def test_a_refer_to_keeps_its_replaces() -> None:
    refer_to = NameAddr.parse("<sip:bob@h?Replaces=1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db>")
    assert refer_to.uri.headers == (("Replaces", "1@h;to-tag=a;from-tag=b"),)


def test_an_instance_id_keeps_its_quotes() -> None:
    text = '<sip:a@x.invalid;transport=ws>;reg-id=1;+sip.instance="<urn:uuid:1>";expires=600'
    contact = NameAddr.parse(text)
    assert str(contact) == text
    assert contact.parameter("+SIP.Instance") == "<urn:uuid:1>"
    assert contact.expires == 600


def test_many_addresses() -> None:
    assert NameAddr.parse_many('"a,b" <sip:bob@h>,\t<sip:bob@h;x=,>'.replace("=,", "=1")) == (
        NameAddr("a,b", BOB),
        NameAddr("", BOB.with_parameter("x", "1")),
    )
    for text in ("<sip:bob@h>,", ",<sip:bob@h>", "<sip:bob@h>,,<sip:bob@h>"):
        with pytest.raises(SipParseError):
            NameAddr.parse_many(text)


def test_tags() -> None:
    assert NameAddr.parse("<sip:bob@h>").tag is None
    assert NameAddr.parse("<sip:bob@h>;TAG=x").tag == "x"
    assert str(NameAddr("", BOB).with_parameter("tag", "x")) == "<sip:bob@h>;tag=x"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("4294967295", 2**32 - 1),
        ("4294967296", MALFORMED_EXPIRES_S),
        ("soon", MALFORMED_EXPIRES_S),
        ("", MALFORMED_EXPIRES_S),
        ("-1", MALFORMED_EXPIRES_S),
    ],
)
def test_an_expiry_that_cant_be_read_has_a_default(text: str, seconds: int) -> None:
    assert parse_expires(text) == seconds
    if text:
        assert NameAddr("", BOB).with_parameter("expires", text).expires == seconds


def test_no_expires() -> None:
    assert NameAddr("", BOB).expires is None


def test_via() -> None:
    via = Via.parse("SIP / 2.0 / UDP  [2001:DB8::1] : 5060 ;branch=z9hG4bK1;received=::2;rport")
    assert (via.protocol, via.transport, via.host, via.port) == (
        "SIP/2.0",
        "UDP",
        "2001:db8::1",
        5060,
    )
    assert (via.branch, via.received, via.rport) == ("z9hG4bK1", "::2", 0)
    assert str(via) == "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;received=::2;rport"


def test_where_a_request_came_from() -> None:
    via = Via.parse("SIP/2.0/WSS x.invalid;rport;branch=b")
    seen = via.with_parameter("received", "192.0.2.9").with_parameter("rport", "4711")
    assert str(seen) == "SIP/2.0/WSS x.invalid;rport=4711;branch=b;received=192.0.2.9"
    assert (seen.received, seen.rport) == ("192.0.2.9", 4711)
    assert Via.parse("SIP/2.0/UDP h;received=[::1]").received == "::1"
    assert str(via.with_parameter("received", "::1")).endswith(";received=::1")


@pytest.mark.parametrize("parameter", ["received=a:b", "received", "rport=x", "rport=65536"])
def test_a_received_or_rport_that_cant_be_read_is_none(parameter: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP h;{parameter}")
    assert (via.received, via.rport) == (None, None)


def test_a_via_without_parameters() -> None:
    via = Via.parse("SIP/2.0/UDP h")
    assert (via.branch, via.received, via.rport, via.port) == (None, None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP h",
        "SIP/2.0/UDPh",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP h;;branch=x",
        "SIP/2.0/UDP h;branch=x;branch=y",
        "SIP/2.0/UDP h h",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP 192.0.2.256",
        "SIP/2.0/UDP h,",
    ],
)
def test_what_is_no_via(text: str) -> None:
    with pytest.raises(SipParseError):
        Via.parse_many(text)


def test_many_vias() -> None:
    assert [v.host for v in Via.parse_many('SIP/2.0/UDP a;x="," , SIP/2.0/TCP b')] == ["a", "b"]


def test_cseq() -> None:
    assert CSeq.parse("0009 \t INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(2**32 - 1, "a%b")) == "4294967295 a%b"


@pytest.mark.parametrize(
    "text",
    ["", "1", "INVITE", "1INVITE", "1 IN VITE", "-1 A", "4294967296 A", "1_0 A", "１ A", "1 É"],
)
def test_what_is_no_cseq(text: str) -> None:
    with pytest.raises(SipParseError):
        CSeq.parse(text)


def test_a_challenge() -> None:
    challenge = AuthChallenge.parse(
        'Digest Realm="a, \\"b\\"",nonce="x==", qop="auth,auth-int" , stale=FALSE,algorithm=SHA-256'
    )
    assert challenge == AuthChallenge(
        "Digest",
        {
            "realm": 'a, "b"',
            "nonce": "x==",
            "qop": "auth,auth-int",
            "stale": "FALSE",
            "algorithm": "SHA-256",
        },
    )
    assert str(challenge) == (
        'Digest realm="a, \\"b\\"", nonce="x==", qop="auth,auth-int", '
        "stale=FALSE, algorithm=SHA-256"
    )


def test_credentials_quote_what_the_grammar_quotes() -> None:
    credentials = AuthCredentials(
        "Digest", {"username": "6002", "qop": "auth", "nc": "00000001", "algorithm": "MD5"}
    )
    text = 'Digest username="6002", qop=auth, nc=00000001, algorithm=MD5'
    assert str(credentials) == text
    assert AuthCredentials.parse(text) == credentials


def test_other_schemes() -> None:
    assert AuthCredentials.parse("NoOneKnowsThisScheme opaque-data=here") == AuthCredentials(
        "NoOneKnowsThisScheme", {"opaque-data": "here"}
    )
    assert AuthCredentials.parse("Bearer abc.def-ghi==") == AuthCredentials("Bearer")
    assert str(AuthChallenge.parse("Negotiate")) == "Negotiate"


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"Digest" a=b',
        "Digest a=b c=d",
        "Digest a=b, A=c",
        "Digest a=b,,c=d",
        'Digest a="b',
        "Digest =b",
        "Digest a=,b=c",
    ],
)
def test_malformed_authentication(text: str) -> None:
    with pytest.raises(SipParseError):
        AuthChallenge.parse(text)
    with pytest.raises(SipParseError):
        AuthCredentials.parse(text)


@given(name_addrs)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_address_survives_the_wire(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address
    assert NameAddr.parse_many(f"{address}, {address}") == (address, address)


@given(vias)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_via_survives_the_wire(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(tokens, st.dictionaries(st.from_regex("[a-z-]{1,8}", fullmatch=True), texts, min_size=1))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_authentication_survives_the_wire(scheme: str, parameters: dict[str, str]) -> None:
    challenge = AuthChallenge(scheme, parameters)
    assert AuthChallenge.parse(str(challenge)) == challenge
    credentials = AuthCredentials(scheme, parameters)
    assert AuthCredentials.parse(str(credentials)) == credentials
