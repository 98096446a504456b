"""Messages: what is accepted, what is refused and how it is answered, and what goes out."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import LocalProtocolError, SipParseError
from signaling.sip.headers import STAR, CSeq, NameAddr, Via
from signaling.sip.message import (
    METHODS,
    REASON_PHRASES,
    Headers,
    Limits,
    Message,
    Request,
    Response,
    parse_message,
    respond,
)
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.strategies import Pool, messages
from tests.unit.signaling.sip.strategies import message as any_message
from tests.vectors.rfc4475_outcomes import ROWS, Row

pytestmark = pytest.mark.unit

INVITE = (
    b"INVITE sip:6001@example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
    b"From: <sip:6002@example.com>;tag=f\r\n"
    b"To: <sip:6001@example.com>\r\n"
    b"Call-ID: 1@192.0.2.1\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Max-Forwards: 70\r\n"
    b"Contact: <sip:6002@192.0.2.1>\r\n"
    b"Content-Type: application/SDP;charset=utf-8\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)


def changed(old: bytes, new: bytes) -> bytes:
    assert INVITE.count(old) == 1
    return INVITE.replace(old, new)


def without(name: bytes) -> bytes:
    return re.sub(rb"\r\n" + name + rb":[^\r]*", b"", INVITE)


def plus(line: bytes) -> bytes:
    return changed(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r\n" + line + b"\r\n")


def refused(octets: bytes, *, stream: bool = False, limits: Limits | None = None) -> SipParseError:
    with pytest.raises(SipParseError) as caught:
        parse_message(octets, stream=stream, limits=limits or Limits())
    return caught.value


def request(octets: bytes = INVITE) -> Request:
    message = parse_message(octets)
    assert isinstance(message, Request)
    return message


# Reading


def test_a_request() -> None:
    message = request()
    assert (message.method, str(message.uri)) == ("INVITE", "sip:6001@example.com")
    assert message.via == message.vias[0]
    assert message.via.branch == "z9hG4bK1"
    assert message.from_.tag == "f"
    assert message.to == NameAddr("", Uri("sip", "6001", host="example.com"))
    assert message.call_id == "1@192.0.2.1"
    assert message.cseq == CSeq(1, "INVITE")
    assert message.max_forwards == 70
    assert message.contacts == (NameAddr("", Uri("sip", "6002", host="192.0.2.1")),)
    assert message.content_type == "application/sdp"
    assert message.body == b"v=0\r\n"
    assert (message.routes, message.record_routes, message.expires) == ((), (), None)
    assert (message.supported, message.require) == ((), ())
    assert "Content-Length" not in message.headers


def test_a_response() -> None:
    octets = changed(b"INVITE sip:6001@example.com SIP/2.0", b"sip/2.0 699 Whatever; it is")
    message = parse_message(octets)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (699, "Whatever; it is")


def test_lists_come_from_several_lines_and_commas() -> None:
    message = request(
        plus(
            b"Route: <sip:a;lr>, <sip:b;lr>\r\nROUTE: <sip:c;lr>\r\n"
            b"Record-Route: <sip:d;lr>\r\nk: timer, 100rel,\r\nSupported:\r\nRequire: x"
        )
    )
    assert [route.uri.host for route in message.routes] == ["a", "b", "c"]
    assert [route.uri.host for route in message.record_routes] == ["d"]
    assert message.supported == ("timer", "100rel")
    assert message.require == ("x",)


def test_line_ends_before_the_start_line_are_skipped() -> None:
    assert parse_message(b"\r\n\r\n\r\n" + INVITE) == request()


def test_what_follows_the_body_is_ignored_in_a_datagram() -> None:
    assert parse_message(INVITE + b"rubbish") == request()


def test_the_body_of_a_datagram_without_content_length_is_the_rest() -> None:
    assert request(without(b"Content-Length") + b"a=b\r\n").body == b"v=0\r\na=b\r\n"


def test_header_text_that_is_not_utf_8_survives() -> None:
    octets = plus(b"Subject: \xff\xfe \xc3\xa9 \xed\xa0\x80")
    assert b"\r\nSubject: \xff\xfe \xc3\xa9 \xed\xa0\x80\r\n" in request(octets).serialise()


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_what_python_takes_for_line_ends_is_text(separator: str) -> None:
    value = f"a{separator}X-Evil: 1{separator}"
    message = request(plus(f"Subject: {value}".encode()))
    assert message.headers.get("Subject") == value
    assert "X-Evil" not in message.headers
    assert parse_message(message.serialise()) == message


def test_a_name_that_only_lower_cases_to_a_known_one_is_refused() -> None:
    assert refused(plus("\u212a: timer".encode())).status_hint == 400


def test_white_space_before_the_colon_makes_no_second_header() -> None:
    # Kamailio CVE-2020-28361: `X-H : v` must be the same header as `X-H: v`.
    assert request(plus(b"X-H : v")).headers.get("x-h") == "v"


@pytest.mark.parametrize(
    ("fold", "text"),
    [(b"a\r\n b", "a b"), (b"a \r\n\t \tb", "a  b"), (b"\r\n a\r\n \r\n b", "a  b")],
)
def test_folding_is_white_space(fold: bytes, text: str) -> None:
    assert request(plus(b"Subject: " + fold)).headers.get("Subject") == text


def test_contact_star_is_for_register() -> None:
    register = changed(b"INVITE sip", b"REGISTER sip").replace(b"1 INVITE", b"1 REGISTER")
    star = register.replace(b"<sip:6002@192.0.2.1>", b"*")
    assert request(star).contacts is STAR
    for octets in (
        changed(b"<sip:6002@192.0.2.1>", b"*"),
        star.replace(b"Contact: *", b"Contact: *, <sip:a@h>"),
        star.replace(b"Contact: *", b"Contact: *\r\nContact: *"),
        star.replace(b"Contact: *", b"Contact: *;expires=0"),
    ):
        assert refused(octets).status_hint == 400


def test_an_expiry_that_cant_be_read_is_no_reason_to_refuse() -> None:
    assert request(plus(b"Expires: 99999999999")).expires == 3600
    assert request(plus(b"Expires: 60")).expires == 60


# Refusing


@pytest.mark.parametrize("name", [b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_missing_mandatory_header_is_400(name: bytes) -> None:
    error = refused(without(name))
    assert error.status_hint == 400
    assert error.request is not None


@pytest.mark.parametrize(
    "line",
    [
        b"f: <sip:x@h>;tag=1",
        b"t: <sip:x@h>",
        b"i: 2",
        b"CSEQ: 1 INVITE",
        b"max-forwards: 70",
        b"c: text/plain",
        b"l: 5",
        b"Expires: 1\r\nExpires: 1",
    ],
)
def test_a_second_value_of_a_single_header_is_400(line: bytes) -> None:
    assert refused(plus(line)).status_hint == 400


@pytest.mark.parametrize(
    "octets",
    [
        changed(b"Max-Forwards: 70", b"Max-Forwards: 256"),
        changed(b"Max-Forwards: 70", b"Max-Forwards: 1_0"),
        changed(b"Max-Forwards: 70", b"Max-Forwards: -1"),
        changed(b"Max-Forwards: 70", b"Max-Forwards:"),
        changed(b"Max-Forwards: 70", "Max-Forwards: ７０".encode()),
        changed(b"CSeq: 1 INVITE", b"CSeq: 4294967296 INVITE"),
        changed(b"CSeq: 1 INVITE", b"CSeq: " + b"9" * 5000 + b" INVITE"),
        changed(b"CSeq: 1 INVITE", b"CSeq: 1 invite"),
        changed(b"Content-Length: 5", b"Content-Length: 1_0"),
        changed(b"Content-Length: 5", b"Content-Length: +5"),
        changed(b"Content-Length: 5", b"Content-Length: 5, 5"),
        changed(b"Content-Length: 5", b"Content-Length:"),
        changed(b"Content-Length: 5", "Content-Length: ５".encode()),
        changed(b"Content-Length: 5", b"Content-Length: " + b"9" * 5000),
        changed(b"Content-Length: 5", b"Content-Length: 6"),
        changed(b"Call-ID: 1@192.0.2.1", b"Call-ID: a b"),
        changed(b"Call-ID: 1@192.0.2.1", b"Call-ID: a@b@c"),
        changed(b"Call-ID: 1@192.0.2.1", b"Call-ID:"),
        changed(b"Content-Type: application/SDP", b"Content-Type: sdp"),
        changed(b"From: <sip", b"From: sip"),
        changed(b"Contact: <sip:6002@192.0.2.1>", b"Contact:"),
        changed(b"SIP/2.0/UDP", b"SIP/2.0 UDP"),
        plus(b"Route: sip:a,,sip:b"),
        plus(b"Record-Route: <sip:a"),
        plus(b"Require: a b"),
        plus(b'Supported: "a"'),
        plus(b"Subject: \0"),
        plus(b"Subject: \\\\\0"),
        plus(b"Subject: a\rb"),
        plus(b"Subject: a\nX-Evil: 1"),
        plus(b"Subject"),
        plus(b": x"),
        plus(b"Sub ject: x"),
        changed(b" SIP/2.0\r\n", b" SIP/2.0\r\n folded: x\r\n"),
        changed(b"INVITE sip", b"IN\xc3\xa9 sip"),
        changed(b" SIP/2.0\r", b" SIP/2\r"),
        changed(b" SIP/2.0\r", b" SAP/2.0\r"),
        changed(b"sip:6001@example.com SIP", b"sip:6001@example.com?a=b SIP"),
        INVITE.replace(b"\r\n", b"\n"),
        INVITE.partition(b"\r\n\r\n")[0],
        INVITE.partition(b"\r\n\r\n")[0] + b"\r\n",
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"\xff" * 100,
        b"SIP/2.0",
        b"SIP/2.0 200 OK\r\n\r\n",
    ],
)  # fmt: skip
def test_refused_with_400(octets: bytes) -> None:
    assert refused(octets).status_hint == 400


def test_another_version_is_505_whatever_else_is_wrong() -> None:
    error = refused(changed(b" SIP/2.0\r", b" SIP/2.1\r").replace(b"CSeq: 1", b"CSeq: x"))
    assert error.status_hint == 505
    assert error.request is not None


def test_an_unknown_method_is_501_before_its_cseq_is_wrong() -> None:
    assert refused(changed(b"INVITE sip", b"DANCE sip")).status_hint == 501
    assert refused(changed(b"INVITE sip", b"BYE sip")).status_hint == 400
    assert "INVITE" in METHODS


@pytest.mark.parametrize(
    "line",
    [b"SIP/2.0 099 X", b"SIP/2.0 700 X", b"SIP/2.0 20 X", b"SIP/2.0 0200 X", b"SIP/2.0 2_0 X",
     b"SIP/3.0 200 OK", b"SIP/2.0  200 OK", b"SIP/2.0 200OK"],
)  # fmt: skip
def test_a_bad_response_can_only_be_dropped(line: bytes) -> None:
    assert refused(changed(b"INVITE sip:6001@example.com SIP/2.0", line)).request is None


@pytest.mark.parametrize(
    "octets",
    [
        without(b"Via"),
        changed(b"INVITE sip", b"ACK sip"),
        changed(b"INVITE sip", b"\xc3\xa9 sip").replace(b"CSeq: 1", b"CSeq: x"),
    ],
)
def test_nobody_is_answered_without_via_or_for_an_ack(octets: bytes) -> None:
    assert refused(octets).request is None


def test_a_request_that_is_answered_need_not_have_a_uri() -> None:
    error = refused(changed(b"sip:6001@example.com SIP", b"<sip:6001> SIP"))
    assert error.request is not None
    assert error.request.uri == Uri("", opaque="<sip:6001>")
    assert str(error.request.uri) == "<sip:6001>"


def test_a_stream_must_say_the_length() -> None:
    assert parse_message(INVITE, stream=True) == request()
    assert refused(without(b"Content-Length"), stream=True).fatal
    assert refused(plus(b"l: 5"), stream=True).fatal
    assert refused(INVITE[:-1], stream=True).fatal
    assert not refused(changed(b"CSeq: 1", b"CSeq: x"), stream=True).fatal
    assert not refused(plus(b"l: 5")).fatal


# Limits (a request over them is refused before anything is kept of it)


def test_the_message_limit() -> None:
    head = changed(b"Content-Length: 5", b"Content-Length: 65000").partition(b"\r\n\r\n")[0]
    room = 65536 - len(head) - 4
    head = head.replace(b"65000", str(room).encode())
    assert len(request(head + b"\r\n\r\n" + b"x" * room).body) == room
    error = refused(head.replace(b"65", b"66") + b"\r\n\r\n" + b"x" * (room + 1))
    assert error.status_hint == 513
    assert error.request is not None


def test_a_message_that_is_headers_alone_and_too_long() -> None:
    assert refused(INVITE[:-9] + b"\r\nX: y" * 20000).status_hint == 513


def test_the_limit_of_headers() -> None:
    lines = INVITE.partition(b"\r\n\r\n")[0].count(b"\r\n")
    assert len(request(plus(b"\r\n".join([b"X: y"] * (256 - lines)))).headers) == 255
    assert refused(plus(b"\r\n".join([b"X: y"] * (257 - lines)))).status_hint == 400


def test_the_limit_of_one_header() -> None:
    room = 8192 - len(b"Subject: ")
    assert request(plus(b"Subject: " + b"x" * room)).headers.get("Subject") == "x" * room
    assert refused(plus(b"Subject: " + b"x" * (room + 1))).status_hint == 400
    assert refused(plus(b"Subject: " + b"\r\n x" * 4200)).status_hint == 400
    assert refused(changed(b"6001@example.com SIP", b"6" * 8192 + b"@h SIP")).status_hint == 400


def test_the_limit_of_vias() -> None:
    more = b"Via: " + b", ".join([b"SIP/2.0/UDP h"] * 63)
    assert len(request(plus(more)).vias) == 64
    assert refused(plus(more + b",SIP/2.0/UDP h")).status_hint == 400


def test_limits_can_be_set() -> None:
    assert refused(INVITE, limits=Limits(message_octets=100)).status_hint == 513
    assert refused(INVITE, limits=Limits(headers=5)).status_hint == 400
    assert refused(INVITE, limits=Limits(header_octets=20)).status_hint == 400


# Typed properties


def test_a_typed_property_follows_the_headers() -> None:
    message = request()
    assert message.to.tag is None
    message.headers.set("To", "<sip:6001@example.com>;tag=new")
    assert message.to.tag == "new"
    message.headers.add_first("Via", "SIP/2.0/WS x.invalid;branch=z9hG4bK2")
    assert message.via == Via("WS", "x.invalid", None, (("branch", "z9hG4bK2"),))


@pytest.mark.parametrize("name", ["via", "from_", "to", "call_id", "cseq"])
def test_what_is_missing_raises_the_one_error(name: str) -> None:
    empty = Request("INVITE", Uri("sip", host="h"))
    with pytest.raises(SipParseError):
        getattr(empty, name)


def test_optional_headers_may_be_missing() -> None:
    empty = Request("INVITE", Uri("sip", host="h"))
    assert (empty.max_forwards, empty.expires, empty.content_type) == (None, None, None)
    assert (empty.contacts, empty.vias, empty.routes) == ((), (), ())


# Writing


def test_what_goes_out() -> None:
    message = Request(
        "MESSAGE",
        Uri("sip", "b b", host="::1", port=5080),
        Headers([("v", "SIP/2.0/UDP h"), ("Content-Length", "77"), ("Subject", "")]),
        "é".encode(),
    )
    assert message.serialise() == (
        b"MESSAGE sip:b%20b@[::1]:5080 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP h\r\n"
        b"Subject: \r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
        b"\xc3\xa9"
    )
    assert Response(200, "OK").serialise() == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "message",
    [
        Response(200, "OK\r\nX-Evil: 1"),
        Request("A\r\nX: 1", Uri("sip", host="h")),
        Request("A", Uri("tel", opaque="1\r\nX: 1")),
        Response(200, "\ud800"),
    ],
)
def test_what_cant_go_out(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        message.serialise()


# Answering


def test_an_answer_has_what_the_request_had() -> None:
    asked = request(
        plus(b"Via: SIP/2.0/TCP second;branch=z9hG4bK0\r\nRecord-Route: <sip:p;lr>\r\nTimestamp: 5")
    )
    answer = respond(asked, 180, to_tag="t", headers=[("Contact", "<sip:me@h>")])
    assert answer.start_line == "SIP/2.0 180 Ringing"
    assert answer.vias == asked.vias
    assert answer.record_routes == asked.record_routes
    assert (answer.from_, answer.call_id, answer.cseq) == (
        asked.from_,
        asked.call_id,
        asked.cseq,
    )
    assert answer.headers.get("To") == "<sip:6001@example.com>;tag=t"
    assert answer.headers.get("Contact") == "<sip:me@h>"
    assert "Timestamp" not in answer.headers
    assert parse_message(answer.serialise()) == answer


def test_a_body_and_a_phrase() -> None:
    answer = respond(request(), 200, "Fine", body=b"v=0\r\n", content_type="application/sdp")
    assert (answer.reason, answer.content_type, answer.body) == (
        "Fine",
        "application/sdp",
        b"v=0\r\n",
    )


def test_trying_has_no_tag_of_its_own_and_copies_the_timestamp() -> None:
    answer = respond(request(plus(b"Timestamp: 5")), 100)
    assert (answer.to.tag, answer.headers.get("Timestamp")) == (None, "5")
    assert "Record-Route" not in answer.headers


def test_record_route_is_only_in_what_may_make_a_dialog() -> None:
    asked = request(plus(b"Record-Route: <sip:p;lr>"))
    assert respond(asked, 200).record_routes
    assert not respond(asked, 486).record_routes
    asked.method = "OPTIONS"
    assert not respond(asked, 200).record_routes


def test_a_tag_that_is_there_stays() -> None:
    asked = request(changed(b"To: <sip:6001@example.com>", b"To: sip:6001@example.com ;tag=old"))
    assert respond(asked, 200, to_tag="new").headers.get("To") == "sip:6001@example.com ;tag=old"


def test_an_unusual_status_has_no_phrase() -> None:
    assert respond(request(), 299).start_line == "SIP/2.0 299 "
    assert all(100 <= status <= 699 for status in REASON_PHRASES)


# Any message


@given(messages)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_message_survives_the_wire(message: Message) -> None:
    survives_the_wire(message)


@pytest.mark.soak
def test_p5_a_hundred_thousand_messages_survive_the_wire() -> None:
    draw = Pool(10_000, random.Random(5))
    for _ in range(100_000):
        survives_the_wire(any_message(draw))


def survives_the_wire(message: Message) -> None:
    octets = message.serialise()
    again = parse_message(octets, stream=True)
    assert again == message
    assert again.serialise() == octets
    assert (again.vias, again.from_, again.to) == (message.vias, message.from_, message.to)
    assert (again.contacts, again.cseq) == (message.contacts, message.cseq)


def read_everything(message: Message) -> tuple[object, ...]:
    return (
        message.start_line, message.via, message.vias, message.from_, message.to,
        message.call_id, message.cseq, message.contacts, message.routes, message.record_routes,
        message.max_forwards, message.expires, message.content_type, message.supported,
        message.require,
    )  # fmt: skip


def check_one_error(octets: bytes) -> bool:
    """Whether `octets` are accepted; an accepted message reads the same after it was written."""
    try:
        message = parse_message(octets)
    except SipParseError as exc:
        if exc.request is not None:
            respond(exc.request, exc.status_hint, to_tag="t").serialise()
        return False
    again = parse_message(message.serialise(), stream=True)
    assert again == message
    assert read_everything(again) == read_everything(message)
    return True


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_octets_give_a_message_or_the_one_error(octets: bytes) -> None:
    check_one_error(octets)


PIECES = [
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\x0b", b"\x85", b"\xe2\x80\xa8", b"\xff",
    b'"', b"\\", b"<", b">", b"@", b":", b";", b",", b"=", b"%", b"%00", b"%zz", b"[", b"]", b"?",
    b" ", b"\t", b"*", b"-1", b"_", b"\xd9\xa3", "\u212a".encode(), b"4294967296", b"9" * 5000,
    b"SIP/2.0", b"INVITE", b"sip:", b"tel:", b"l: 0\r\n", b"Via: ", b";branch=z9hG4bK",
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_damaged_messages_give_a_message_or_the_one_error(row: Row) -> None:
    chance = random.Random(row.name)
    original = row.octets
    accepted = 0
    for _ in range(200):
        damaged = bytearray(original)
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.choice([0, 0, 1, 1, 8])] = chance.choice(PIECES)
        accepted += check_one_error(bytes(damaged))
    assert accepted < 200
