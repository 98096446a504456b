"""Messages out of a stream: complete, in order, wherever it is split; and what ends it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SipParseError
from signaling.sip.framing import Framed, KeepAlive, StreamFramer
from signaling.sip.message import Limits, Message, Request, parse_message
from tests.unit.signaling.sip.strategies import messages

pytestmark = pytest.mark.unit


def options(number: int, body: bytes = b"") -> bytes:
    return (
        b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK%d\r\nFrom: <sip:a@h>;tag=1\r\n"
        b"To: <sip:h>\r\nCall-ID: 1\r\nCSeq: %d OPTIONS\r\nContent-Length: %d\r\n\r\n%s"
        % (number, number, len(body), body)
    )


def numbers(found: list[Framed]) -> list[object]:
    return [item.cseq.number if isinstance(item, Request) else type(item) for item in found]


def test_a_message_comes_when_it_is_complete() -> None:
    framer = StreamFramer()
    octets = options(1, b"body")
    assert framer.receive_data(octets[:-1]) == []
    assert framer.waiting
    assert framer.receive_data(octets[-1:]) == [parse_message(octets)]
    assert not framer.waiting


def test_several_messages_in_one_piece() -> None:
    octets = options(1) + options(2, b"x\r\n\r\ny") + options(3)
    assert numbers(StreamFramer().receive_data(octets)) == [1, 2, 3]


def test_keep_alives_are_told_of_and_single_line_ends_are_not() -> None:
    framer = StreamFramer()
    octets = b"\r\n\r\n" + options(1) + b"\r\n" + options(2) + b"\r\n\r\n\r\n\r\n\r\n" + options(3)
    assert numbers(framer.receive_data(octets)) == [KeepAlive, 1, 2, KeepAlive, 3]
    single = StreamFramer()
    found = [item for i in range(len(octets)) for item in single.receive_data(octets[i : i + 1])]
    assert numbers(found) == [KeepAlive, 1, 2, KeepAlive, KeepAlive, 3]


def test_many_keep_alives_at_once_are_one() -> None:
    framer = StreamFramer()
    assert framer.receive_data(b"\r\n" * 200_001 + b"\r") == [KeepAlive()]
    assert framer.receive_data(b"\n" + options(1)) == [KeepAlive(), parse_message(options(1))]


def test_half_a_keep_alive_waits() -> None:
    framer = StreamFramer()
    assert framer.receive_data(b"\r\n\r") == []
    assert framer.receive_data(b"\n") == [KeepAlive()]
    assert not framer.waiting


def test_a_refused_message_whose_length_is_known_does_not_end_the_stream() -> None:
    found = StreamFramer().receive_data(
        options(1).replace(b"1 OPTIONS", b"1 BYE") + options(2, b"x").replace(b" SIP/", b" SIP/1")
    )
    assert numbers(found) == [SipParseError, SipParseError]
    assert [item.fatal for item in found if isinstance(item, SipParseError)] == [False, False]


@pytest.mark.parametrize(
    "octets",
    [
        options(1).replace(b"Content-Length: 0\r\n", b""),
        options(1).replace(b"Content-Length: 0", b"Content-Length: -1"),
        options(1).replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 0"),
        options(1).replace(b"Content-Length: 0", b"Content-Length: 0\nX: y"),
        options(1).replace(b"Content-Length: 0", b"Content-Length: 0\r\nX"),
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20000,
    ],
)
def test_a_lost_place_ends_the_stream(octets: bytes) -> None:
    framer = StreamFramer()
    (error,) = framer.receive_data(octets + options(2))
    assert isinstance(error, SipParseError)
    assert error.fatal
    assert framer.receive_data(options(3)) == []
    assert not framer.waiting


def test_a_message_over_the_limit_is_513_before_its_body_comes() -> None:
    octets = options(1).replace(b"Content-Length: 0", b"Content-Length: 65536")
    (error,) = StreamFramer().receive_data(octets)
    assert isinstance(error, SipParseError)
    assert (error.status_hint, error.fatal) == (513, True)
    assert error.request is not None


def test_headers_over_the_limit_are_513() -> None:
    endless = options(1)[:-2] + b"X: y\r\n" * 20000
    framer = StreamFramer()
    pieces = (endless[i : i + 1000] for i in range(0, len(endless), 1000))
    errors = [item for piece in pieces for item in framer.receive_data(piece)]
    assert [(e.status_hint, e.fatal) for e in errors if isinstance(e, SipParseError)] == [
        (513, True)
    ]


def test_a_message_at_the_limit_is_taken() -> None:
    octets = options(1, b"x" * 100)
    assert numbers(StreamFramer(Limits(message_octets=len(octets))).receive_data(octets)) == [1]
    (error,) = StreamFramer(Limits(message_octets=len(octets) - 1)).receive_data(octets)
    assert isinstance(error, SipParseError)


@given(st.lists(messages, min_size=1, max_size=4), st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_messages_split_anywhere(sent: list[Message], data: st.DataObject) -> None:
    octets = b"".join(message.serialise() for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    framer = StreamFramer()
    found = [
        item
        for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)
        for item in framer.receive_data(octets[start:end])
    ]
    assert found == sent
    assert not framer.waiting
