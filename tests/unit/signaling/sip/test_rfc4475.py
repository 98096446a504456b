"""The SIP torture messages of RFC 4475: as a datagram, a WebSocket message and a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from signaling.errors import SipParseError
from signaling.sip.framing import Framed, KeepAlive, StreamFramer
from signaling.sip.headers import NameAddr, Via
from signaling.sip.message import Message, Request, Response, parse_message, respond
from signaling.sip.uri import Uri
from tests.vectors.rfc4475_outcomes import (
    FILES,
    ROWS,
    Accepted,
    Outcome,
    Refused,
    Row,
    Waiting,
    deviations,
)

pytestmark = pytest.mark.unit

BY_NAME = {row.name: row for row in ROWS}
every_message = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def as_datagram(octets: bytes) -> Message | SipParseError:
    try:
        return parse_message(octets)
    except SipParseError as exc:
        return exc


def as_stream(chunks: Iterable[bytes]) -> tuple[list[Framed], bool]:
    framer = StreamFramer()
    found = [item for chunk in chunks for item in framer.receive_data(chunk)]
    return found, framer.waiting


def outcome(item: Framed) -> Outcome | KeepAlive:
    match item:
        case SipParseError():
            return Refused(item.status_hint, item.request is not None, item.fatal)
        case Request() | Response():
            start = item.method if isinstance(item, Request) else str(item.status)
            vias = len(item.vias)
            return Accepted(start, len(item.body), vias, item.cseq.number, item.max_forwards)
        case _:
            return KeepAlive()


def stream_outcome(found: list[Framed], waiting: bool) -> tuple[Outcome | KeepAlive, ...]:
    seen = tuple(outcome(item) for item in found if not isinstance(item, KeepAlive))
    return (*seen, Waiting()) if waiting else seen


def request(name: str) -> Request:
    message = parse_message(BY_NAME[name].octets)
    assert isinstance(message, Request)
    return message


def contacts(message: Message) -> tuple[NameAddr, ...]:
    found = message.contacts
    assert isinstance(found, tuple)
    return found


def test_the_vectors_are_the_octets_of_the_rfc() -> None:
    lines = (FILES / "SHA256SUMS").read_text("ascii").splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}
    files = {path.name: path.read_bytes() for path in FILES.glob("*.dat")}
    assert {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()} == sums


def test_the_table_has_every_message_once() -> None:
    names = [row.name for row in ROWS]
    assert sorted(names) == sorted(path.stem for path in FILES.glob("*.dat"))
    assert len(names) == 50
    assert sum(row.valid for row in ROWS) == 27


def test_the_table_says_which_answers_are_right() -> None:
    allowed = {
        name: {status for status in (None, 200, 400, 401, 501) if BY_NAME[name].allows(status)}
        for name in ("wsinv", "intmeth", "badbranch", "bcast")
    }
    assert allowed == {
        "wsinv": {200, 401},
        "intmeth": {501},
        "badbranch": {200, 400, 401},
        "bcast": {None},
    }


def test_the_deviations_are_those_that_are_signed_off() -> None:
    departed = {
        row.name
        for row in ROWS
        if outcome(as_datagram(row.octets)) != row.datagram
        or stream_outcome(*as_stream([row.octets])) != row.in_stream
    }
    assert departed == set(deviations())


@every_message
def test_one_datagram_or_websocket_message(row: Row) -> None:
    # RFC 7118 §5: a WebSocket message is one SIP message, framed like a datagram.
    assert outcome(as_datagram(row.octets)) == row.datagram


@every_message
def test_a_stream_in_one_piece(row: Row) -> None:
    assert stream_outcome(*as_stream([row.octets])) == row.in_stream


@every_message
def test_a_stream_split_at_every_offset_gives_the_same(row: Row) -> None:
    octets = row.octets
    whole = described(*as_stream([octets]))
    for offset in range(1, len(octets)):
        assert described(*as_stream([octets[:offset], octets[offset:]])) == whole, offset


@every_message
def test_a_stream_octet_by_octet_gives_the_same(row: Row) -> None:
    octets = row.octets
    single = (octets[i : i + 1] for i in range(len(octets)))
    assert described(*as_stream(single)) == described(*as_stream([octets]))


def described(found: list[Framed], waiting: bool) -> tuple[object, ...]:
    """Everything there is to see, errors by their text: exceptions compare by identity."""
    items = [
        (str(item), item.status_hint, item.fatal, item.request)
        if isinstance(item, SipParseError)
        else item
        for item in found
    ]
    return (*items, waiting)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if isinstance(row.datagram, Accepted)], ids=lambda row: row.name
)
def test_an_accepted_message_survives_the_wire(row: Row) -> None:
    message = parse_message(row.octets)
    again = parse_message(message.serialise(), stream=True)
    assert again == message
    assert again.serialise() == message.serialise()
    assert (again.vias, again.from_, again.to) == (message.vias, message.from_, message.to)
    assert (again.cseq, again.contacts) == (message.cseq, message.contacts)


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if isinstance(row.datagram, Refused) and row.datagram.answerable],
    ids=lambda row: row.name,
)
def test_a_refused_request_can_be_answered(row: Row) -> None:
    error = as_datagram(row.octets)
    assert isinstance(error, SipParseError)
    assert error.request is not None
    answer = respond(error.request, error.status_hint, to_tag="here")
    octets = answer.serialise()
    assert octets.startswith(f"SIP/2.0 {error.status_hint} ".encode())
    assert octets.endswith(b"Content-Length: 0\r\n\r\n")
    assert answer.headers.get_all("Via") == error.request.headers.get_all("Via")
    assert {name for name, _ in answer.headers} <= {"Via", "From", "To", "Call-ID", "CSeq"}


# What single messages are about (the section numbers are RFC 4475's).


def test_3_1_1_1_folding_and_unusual_spacing() -> None:
    message = request("wsinv")
    assert message.uri == Uri.parse("sip:vivekg@chair-dnrc.example.com;unknownparam")
    assert [(via.transport, via.host) for via in message.vias] == [
        ("UDP", "192.0.2.2"),
        ("TCP", "spindle.example.com"),
        ("UDP", "192.168.255.111"),
    ]
    assert [via.branch for via in message.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert message.from_.tag == "98asjd8"
    assert message.to.tag == "1918181833n"
    assert message.headers.get("Subject") == ""
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (contact,) = contacts(message)
    assert contact.display_name == 'Quoted string ""'
    assert contact.parameter("q") == "0.33"
    assert contact.parameter("secondparam") == ""
    assert message.routes[0].uri.parameter("unknownwith") == "value"


def test_3_1_1_2_wide_range_of_characters() -> None:
    message = request("intmeth")
    assert message.to.display_name == "BEL:\a NUL:\0 DEL:\x7f"
    assert parse_message(message.serialise()).to.display_name == message.to.display_name
    assert rb"NUL:\%c" % 0 in message.serialise()
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.from_.parameter("fromParam''~+*_!.-%") == "работающий"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    assert message.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"


def test_3_1_1_3_escapes_are_undone_once_and_only_in_uris() -> None:
    message = request("esc01")
    assert (message.uri.user, message.uri.host) == ("sips:user@example.com", "example.net")
    assert message.to.uri.user == "user"
    assert message.from_.uri.user == "I have spaces"
    (contact,) = contacts(message)
    assert contact.uri.parameters == (("lr", None), ("name", "value%41"))
    assert "name=value%2541" in str(contact.uri)


def test_3_1_1_4_escaped_nuls() -> None:
    message = request("escnull")
    assert message.to.uri.user == "null-\0-null"
    first, second = contacts(message)
    assert (first.uri.user, second.uri.user) == ("\0", "\0\0")
    assert not first.uri.equivalent(second.uri)


def test_3_1_1_5_percent_that_is_no_escape() -> None:
    message = request("esc02")
    assert message.to.display_name == "%Z%45"
    assert [contact.uri.user for contact in contacts(message)] == ["alias1", "alias3"]


def test_3_1_1_6_no_space_before_the_bracket() -> None:
    assert request("lwsdisp").from_.display_name == "caller"


def test_3_1_1_7_long_values() -> None:
    message = request("longreq")
    assert message.via.host == "sip33.example.com"
    assert message.vias[-1].received == "192.0.2.5"
    assert message.to.display_name.endswith("extreme proportion")
    assert len(message.to.uri.parameters[0][1] or "") > 50
    assert message.call_id == "longreq.one" + "really" * 20 + "longcallid"


def test_3_1_1_9_semicolons_in_the_user() -> None:
    uri = request("semiuri").uri
    assert (uri.user, uri.host, uri.parameters) == ("user;par=u@example.net", "example.com", ())


def test_3_1_1_10_transports_that_nobody_knows() -> None:
    transports = [via.transport for via in request("transports").vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_3_1_1_11_a_binary_body() -> None:
    message = request("mpart01")
    assert b"\0" in message.body
    assert message.content_type == "multipart/mixed"


def test_3_1_1_12_reason_phrases() -> None:
    message = parse_message(BY_NAME["unreason"].octets)
    assert isinstance(message, Response)
    assert message.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"


def test_3_1_1_13_no_reason_phrase() -> None:
    octets = BY_NAME["noreason"].octets
    for variant in (octets, octets.replace(b"100 \r\n", b"100\r\n")):
        message = parse_message(variant)
        assert isinstance(message, Response)
        assert (message.status, message.reason) == (100, "")


def test_3_1_2_11_headers_in_a_request_uri_never_become_headers() -> None:
    error = as_datagram(BY_NAME["escruri"].octets)
    assert isinstance(error, SipParseError)
    assert error.request is not None
    assert "Route" not in error.request.headers


def test_3_2_1_a_branch_that_is_the_cookie_alone() -> None:
    assert request("badbranch").via.branch == "z9hG4bK"


def test_3_3_2_and_3_3_3_request_uris_of_other_schemes() -> None:
    assert request("unkscm").uri == Uri("nobodyknowsthisscheme", opaque="totallyopaquecontent")
    assert request("novelsc").uri == Uri("soap.beep", opaque="//192.0.2.103:3002")


def test_3_3_4_other_schemes_in_headers() -> None:
    message = request("unksm2")
    assert message.to.uri == Uri("isbn", opaque="2983792873")
    assert message.from_.uri == Uri("http", opaque="//www.example.com")
    assert message.from_.tag == "3234233"
    assert contacts(message)[0].uri == Uri("name", opaque="John_Smith")


def test_3_3_5_required_extensions() -> None:
    assert request("bext01").require == ("nothingSupportsThis", "nothingSupportsThisEither")


def test_3_3_6_an_unknown_content_type() -> None:
    assert request("invut").content_type == "application/unknownformat"


def test_3_3_10_a_broadcast_via() -> None:
    assert parse_message(BY_NAME["bcast"].octets).vias[1] == Via(
        "UDP", "255.255.255.255", None, (("branch", "z9hG4bK1saber23"),)
    )


def test_3_3_12_to_3_3_14_what_a_contact_carries() -> None:
    (outside,) = contacts(request("cparam01"))
    assert (outside.parameters, outside.uri.parameters) == ((("unknownparam", None),), ())
    (inside,) = contacts(request("cparam02"))
    assert (inside.parameters, inside.uri.parameters) == ((), (("unknownparam", None),))
    (escaped,) = contacts(request("regescrt"))
    assert str(escaped.uri) == "sip:user@example.com?Route=%3Csip:sip.example.com%3E"


def test_3_4_1_rfc_2543() -> None:
    message = request("inv2543")
    assert (message.via.branch, message.from_.tag, message.max_forwards) == (None, None, None)
