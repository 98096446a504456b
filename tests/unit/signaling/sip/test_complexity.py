"""No input makes the parser work more than in proportion to its size (P8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from signaling.errors import SipParseError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.framing import StreamFramer
from signaling.sip.grammar import split_values
from signaling.sip.headers import AuthCredentials, CSeq, NameAddr, Via
from signaling.sip.message import Limits, parse_message
from signaling.sip.trace import TraceBook, TracedMessage, without_secrets
from signaling.sip.uri import Uri

pytestmark = pytest.mark.unit

UNLIMITED = Limits(message_octets=10**9, headers=10**9, header_octets=10**9, vias=10**9)
"""The limits would hide what the grammar costs."""

SHAPES: dict[str, Callable[[int], str]] = {
    "quotes": lambda n: '"' * n,
    "an open quote": lambda n: '"' + "a" * n,
    "escapes": lambda n: '"' + '\\"' * (n // 2),
    "folds": lambda n: "\r\n " * (n // 3),
    "white space": lambda n: " \t" * (n // 2) + "!",
    "white space within": lambda n: "a" + " " * n + "b",
    "semicolons": lambda n: ";" * n,
    "parameters": lambda n: "<sip:a@h>" + "".join(f";p{i}=v" for i in range(n // 8)),
    "spaced parameters": lambda n: "sip:a@h" + "; p   \t" * (n // 7) + "=",
    "open brackets": lambda n: "<" * n,
    "addresses": lambda n: "<sip:a@h>," * (n // 10),
    "commas": lambda n: "," * n,
    "quoted commas": lambda n: '",",' * (n // 4),
    "display names": lambda n: "a " * (n // 2),
    "a URI of escapes": lambda n: "sip:" + "%41" * (n // 3),
    "a URI of colons": lambda n: "sip:" + "a:" * (n // 2) + "@",
    "a URI of parameters": lambda n: "sip:h" + "".join(f";p{i}" for i in range(n // 7)),
    "a URI of headers": lambda n: "sip:h?" + "a=b&" * (n // 4),
    "labels": lambda n: "sip:" + "a-" * (n // 2) + "." * 2,
    "dots": lambda n: "sip:a@" + "a." * (n // 2),
    "slashes": lambda n: "SIP/" * (n // 4),
    "a Via": lambda n: "SIP/2.0/UDP" + " " * n + "h",
    "digits": lambda n: "0" * (n // 2) + "9" * (n // 2) + " INVITE",
    "credentials": lambda n: "Digest " + "".join(f'p{i}="v",' for i in range(n // 10)),
    "token68": lambda n: "Digest " + "a=" * (n // 2),
    "headers": lambda n: "\r\nl: 1" * (n // 6),
    "line ends": lambda n: "\r\n" * (n // 2),
    "NULs": lambda n: "\\\0" * (n // 2),
}

READERS: tuple[Callable[[str], object], ...] = (
    split_values,
    NameAddr.parse_many,
    Via.parse_many,
    CSeq.parse,
    AuthCredentials.parse,
    Uri.parse,
)


def message(header: str, text: str) -> bytes:
    lines = {
        "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
        "From": "<sip:a@h>;tag=1",
        "To": "<sip:b@h>",
        "Call-ID": "1",
        "CSeq": "1 INVITE",
        header: text,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"INVITE sip:h SIP/2.0\r\n{head}\r\n".encode()


def read_everywhere(text: str) -> None:
    for read in READERS:
        attempt(partial(read, text))
    for header in ("Via", "From", "Contact", "Call-ID", "Content-Type", "Supported", "X"):
        octets = message(header, text)
        attempt(partial(parse_message, octets, limits=UNLIMITED))
    StreamFramer(UNLIMITED).receive_data(message("X", text) + text.encode())
    trace(message("Call-ID", text))


def trace(octets: bytes) -> None:
    """Before anybody has judged it, as all that comes."""
    flow = Flow(TransportKind.UDP, "192.0.2.1", 5060)
    TraceBook(10**9).add(TracedMessage(0.0, False, flow, without_secrets(octets)))


def attempt(read: Callable[[], object]) -> None:
    try:
        read()
    except SipParseError:
        return


def cost(work: Callable[[], None]) -> float:
    """Processor time of the best of several runs: what others do on the machine is left out."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def check(small: Callable[[], None], large: Callable[[], None]) -> None:
    """Four times the input: in proportion is 4, quadratic 16. Under 0.5 ms there is only noise."""
    assert cost(large) < 9 * max(cost(small), 0.0005)


@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_input_is_no_more_than_about_four_times_the_work(shape: str) -> None:
    small, large = SHAPES[shape](16_384), SHAPES[shape](65_536)
    check(lambda: read_everywhere(small), lambda: read_everywhere(large))


def test_a_stream_fed_octet_by_octet_is_read_once() -> None:
    def feed(size: int) -> None:
        framer = StreamFramer(UNLIMITED)
        for octet in message("X", "a: \r\n b" * (size // 8)) + message("X", "y"):
            framer.receive_data(bytes([octet]))

    check(lambda: feed(8_192), lambda: feed(32_768))


def test_many_messages_in_one_piece_are_read_once() -> None:
    one = message("Content-Length", "0")

    def feed(count: int) -> None:
        assert len(StreamFramer().receive_data(one * count)) == count

    check(lambda: feed(200), lambda: feed(800))
