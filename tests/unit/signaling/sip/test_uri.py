"""URIs: read strictly, unescaped once, written so that they are read the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from signaling.errors import LocalProtocolError, SipParseError
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.strategies import uris

pytestmark = pytest.mark.unit


def test_every_part() -> None:
    uri = Uri.parse("SIP:Alice:p%3Aw@Example.COM:5070;transport=TCP;lr?Subject=a%20b&X=")
    assert uri == Uri(
        "sip",
        "Alice",
        "p:w",
        "example.com",
        5070,
        (("transport", "TCP"), ("lr", None)),
        (("Subject", "a b"), ("X", "")),
    )
    assert str(uri) == "sip:Alice:p%3Aw@example.com:5070;transport=TCP;lr?Subject=a%20b&X="


@pytest.mark.parametrize(
    "text",
    [
        "sip:example.com",
        "sips:a@example.com",
        "sip:a:@h",
        "sip:+4930;phone-context=x@h;user=phone",
        "sip:a@host1",
        "sip:a@1host.example2",
        "sip:a@x--y.example",
        "sip:a@container_1:5060",
        "sip:a@example.com.",
        "sip:a@192.0.2.1:5060",
        "sip:a@[2001:db8::1]",
        "sip:a@[2001:db8::1]:5060;transport=ws",
        "sip:a@h?Replaces=id%40h%3Bto-tag%3D1%3Bfrom-tag%3D2",
        "tel:+1-201-555-0123;phone-context=example.com",
        "urn:service:sos",
        "http://www.example.com/a?b#c",
    ],
)
def test_what_is_written_is_what_was_read(text: str) -> None:
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip::pw@h",
        "sip:a@b@c",
        "sip:a b@h",
        " sip:a@h",
        "sip:a@h ",
        "sip:a@h\n",
        "<sip:a@h>",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:1_0",
        "sip:a@h:５０６０",
        "sip:a@h:" + "9" * 5000,
        "sip:a@h;",
        "sip:a@h;;lr",
        "sip:a@h;=x",
        "sip:a@h;x=",
        "sip:a@h;lr;LR",
        "sip:a@h?",
        "sip:a@h?x",
        "sip:a@h?x=1&",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:a%@h",
        "sip:é@h",
        "sip:a@é.example",
        "sip:a@\u212aost",
        "sip:a\0@h",
        "sip:a@-h",
        "sip:a@h-",
        "sip:a@h..x",
        "sip:a@.h",
        "sip:a@1234",
        "sip:a@1.2.3",
        "sip:a@1.2.3.256",
        "sip:a@1.2.3.4.5",
        "sip:a@0001.2.3.4",
        "sip:a@2001:db8::1",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@[:::1]",
        "sip:a@[fe80::1%25eth0]",
        "sip:a@[1.2.3.4]",
        "1sip:a@h",
        "tel:",
        "tel:+1 2",
        "tel:+1%2",
        "\ud800",
        "sip:\udc80@h",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        Uri.parse(text)


def test_percent_is_undone_once() -> None:
    uri = Uri.parse("sip:%2541@h")
    assert uri.user == "%41"
    assert str(uri) == "sip:%2541@h"


def test_octets_that_are_not_utf_8_survive() -> None:
    uri = Uri.parse("sip:%FF%00%ED%A0%80@h")
    assert Uri.parse(str(uri)) == uri
    assert str(uri) == "sip:%FF%00%ED%A0%80@h"


def test_what_needs_an_escape_gets_it() -> None:
    uri = Uri("sip", "a@b:c <>\r\n%", "x;y", "h", None, (("p=;", "q?"),), (("h&", "<sip:x;lr>"),))
    text = str(uri)
    assert not set(text) & set("\r\n <>")
    assert Uri.parse(text) == uri


def test_a_lone_surrogate_is_our_own_fault() -> None:
    with pytest.raises(LocalProtocolError):
        str(Uri("sip", "\ud800", host="h"))


def test_ipv4_and_ipv6_have_one_form() -> None:
    assert Uri.parse("sip:192.000.002.001").host == "192.0.2.1"
    assert Uri.parse("sip:[2001:DB8:0:0::1]").host == "2001:db8::1"


def test_rfc_5118_ipv6_in_uris() -> None:
    assert Uri.parse("sip:[2001:db8::10:5070]").port is None  # §4.3: the port is in the address
    assert Uri.parse("sip:[2001:db8::10]:5070").port == 5070  # §4.4
    mapped = Uri.parse("sip:[::ffff:192.0.2.10]")  # §4.9
    assert mapped.equivalent(Uri.parse("sip:[::FFFF:C000:20A]"))
    for text in ("sip:2001:db8::10", "sip:u@[2001:db8:::192.0.2.1]"):  # §4.2, §4.10
        with pytest.raises(SipParseError):
            Uri.parse(text)


def test_parameters_are_found_without_case() -> None:
    uri = Uri.parse("sip:a@h;Transport=ws;lr")
    assert uri.parameter("TRANSPORT") == "ws"
    assert uri.parameter("lr") == ""
    assert uri.parameter("maddr") is None
    assert uri.has_parameter("LR")
    assert not uri.has_parameter("user")


def test_only_ascii_has_case() -> None:
    # U+212A KELVIN SIGN lower-cases to `k`.
    assert Uri.parse("sip:a@h;%E2%84%AA=1").parameter("k") is None


def test_setting_a_parameter_keeps_its_place() -> None:
    uri = Uri.parse("sip:a@h;lr;transport=udp")
    assert str(uri.with_parameter("Transport", "ws")) == "sip:a@h;lr;Transport=ws"
    assert str(uri.with_parameter("LR", "on").with_parameter("ob")) == (
        "sip:a@h;LR=on;transport=udp;ob"
    )


def test_narrower_forms() -> None:
    uri = Uri.parse("sips:a:pw@h:5061;lr?x=y")
    assert str(uri.without_parameters()) == "sips:a:pw@h:5061"
    assert str(uri.aor()) == "sips:a@h"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+123", "tel:+123"),
    ],
)
def test_equivalent(one: str, other: str) -> None:
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:a@h", "sips:a@h"),
        ("tel:+123", "tel:+124"),
        ("sip:a@h", "tel:+123"),
        ("tel:+123", "sip:a@h"),
    ],
)
def test_not_equivalent(one: str, other: str) -> None:
    assert not Uri.parse(one).equivalent(Uri.parse(other))
    assert not Uri.parse(other).equivalent(Uri.parse(one))


@given(uris)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_any_uri_survives_the_wire(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(uri)
