from __future__ import annotations

from dataclasses import replace

import pytest

from signaling.sip.flow import Flow, TransportKind
from signaling.sip.trace import (
    COST_OF_CALL,
    COST_OF_MESSAGE,
    MESSAGES_A_CALL,
    OTHERS_SHARE,
    TraceBook,
    TracedMessage,
    without_secrets,
)

pytestmark = pytest.mark.unit

FLOW = Flow(TransportKind.UDP, "192.0.2.1", 5060)


def message(
    call_id: str, at: float = 0.0, *, name: bytes = b"Call-ID", size: int = 0
) -> TracedMessage:
    text = b"INVITE sip:a@b SIP/2.0\r\n" + name + b": " + call_id.encode() + b"\r\n\r\n"
    return TracedMessage(at, True, FLOW, text + b"x" * size)


@pytest.mark.parametrize(
    ("clear", "blotted"),
    [
        (
            b'Authorization: Digest username="6001", realm="r", nonce="n", response="0123abcd"',
            b'Authorization: Digest username="6001", realm="r", nonce="n", response="xxxxxxxx"',
        ),
        (b"Proxy-Authorization: Basic c2VjcmV0", b"Proxy-Authorization: Basic xxxxxxxx"),
        (b'Authentication-Info: rspauth="ab12"', b'Authentication-Info: rspauth="xxxx"'),
        (
            b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0c2VjcmV0|2^20|1:4",
            b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxxxxxxxxxx|2^20|1:4",
        ),
        (b"a=ice-pwd:secretsecretsecret22ch", b"a=ice-pwd:" + b"x" * 22),
        (
            b"Content-Type: application/dtmf-relay\r\n\r\nSignal= 5\r\nDuration= 160",
            b"Content-Type: application/dtmf-relay\r\n\r\nSignal= x\r\nDuration= 160",
        ),
        (
            b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:first|2^20|1:4;inline:second|2^20|2:4",
            b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxx|2^20|1:4;inline:xxxxxx|2^20|2:4",
        ),
        (
            b'Authorization: Digest nonce="n", response=\r\n "0123abcd"',
            b'Authorization: Digest nonce="n", response=\r\n "xxxxxxxx"',
        ),
        (
            b"Content-Type: application/dtmf-relay\r\n\r\nSignal=11",
            b"Content-Type: application/dtmf-relay\r\n\r\nSignal=xx",
        ),
        (b"Content-Type: application/dtmf\r\n\r\n5", b"Content-Type: application/dtmf\r\n\r\nx"),
        (b"To: <sip:6001:secret@b>;tag=1", b"To: <sip:6001:xxxxxx@b>;tag=1"),
        (
            b"m:SIPS:6001:a:b;c?d@h,<sip:b@h>,sip:h:5060,sip:c,sip:c:d@h",
            b"m:SIPS:6001:xxxxxxx@h,<sip:b@h>,sip:h:5060,sip:c,sip:c:x@h",
        ),
        (b"Call-ID: a:b@h", b"Call-ID: a:b@h"),
        (b"Call-Info: <https://me:mine@h:443/>", b"Call-Info: <https://me:xxxx@h:443/>"),
        (b"\r\n\r\nIt is a secret", b"\r\n\r\nIt is a secret"),
        (b"To: <sip:10086@b>;tag=1", b"To: <sip:10086@b>;tag=1"),
    ],
)
def test_secrets_are_blotted_out_and_nothing_else(clear: bytes, blotted: bytes) -> None:
    before, after = b"INFO sip:a@b SIP/2.0\r\n", b"\r\nCall-ID: one\r\n\r\n"
    if b"\r\n\r\n" in clear:
        after = b""
    assert without_secrets(before + clear + after) == before + blotted + after


@pytest.mark.parametrize("begin", [b"", b"\r\n\r\n"])
def test_of_a_text_its_size_alone_is_kept(begin: bytes) -> None:
    head = begin + b"MESSAGE sip:a@b SIP/2.0\r\nContent-Type: text/plain\r\n\r\n"
    assert without_secrets(head + b"For you\r\n\r\nalone") == head + b"x" * 16


def test_digits_after_keep_alives_are_blotted_out() -> None:
    head = b"\r\n\r\nINFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n"
    assert without_secrets(head + b"5") == head + b"x"


@pytest.mark.parametrize("name", [b"Call-ID", b"call-id", b"i", b"CALL-ID "])
def test_a_call_is_found_however_its_header_is_spelled(name: bytes) -> None:
    book = TraceBook(10_000)
    book.add(message("one", name=name))
    assert len(book.of(["one"])) == 1


def test_messages_of_several_calls_come_in_order_each_once() -> None:
    book = TraceBook(10_000)
    said = [message("one", 1), message("two", 2), message("one", 3), message("three", 4)]
    for each in said:
        book.add(each)
    assert book.of(["two", "one", "two"]) == said[:3]
    assert book.of(["four"]) == []


def test_the_call_that_was_silent_longest_is_forgotten_first() -> None:
    size = len(message("a").octets)
    calls = 6 * COST_OF_CALL + 7 * (COST_OF_MESSAGE + size)
    book = TraceBook(calls * OTHERS_SHARE // (OTHERS_SHARE - 1) + 1)
    for call_id in "abcdeafg":
        book.add(message(call_id))
    assert [len(book.of([call_id])) for call_id in "abcdefg"] == [2, 0, 1, 1, 1, 1, 1]


def test_a_call_that_goes_on_for_ever_keeps_its_latest() -> None:
    book = TraceBook(1 << 30)
    for at in range(MESSAGES_A_CALL + 10):
        book.add(message("one", at))
    kept = book.of(["one"])
    assert (len(kept), kept[0].at) == (MESSAGES_A_CALL, 10)


def received(start: bytes, call_id: str, size: int = 0) -> TracedMessage:
    head = start + b"\r\nCSeq: 1 INVITE\r\nCall-ID: " + call_id.encode() + b"\r\n\r\n"
    return TracedMessage(0, False, FLOW, head + b"x" * size)


def sent(start: bytes, call_id: str) -> TracedMessage:
    return replace(received(start, call_id), sent=True)


def test_strangers_push_out_each_other_and_no_call() -> None:
    book = TraceBook(16 << 20)
    invite, ringing = b"INVITE sip:a@b SIP/2.0", b"SIP/2.0 180 Ringing"
    book.add(received(invite, "in"))
    book.add(sent(ringing, "in"))
    book.add(sent(invite, "out"))
    for number in range(1000):
        book.add(received(invite, f"stranger-{number}", 60_000))
        book.add(sent(b"SIP/2.0 100 Trying", f"stranger-{number}"))
        book.add(sent(b"SIP/2.0 401 Unauthorized", f"stranger-{number}"))
    assert [len(book.of([call_id])) for call_id in ("in", "out", "stranger-999")] == [2, 1, 3]
    assert not book.of(["stranger-900"])


def test_one_call_pushes_out_no_other() -> None:
    book = TraceBook(16 << 20)
    book.add(message("one"))
    for at in range(MESSAGES_A_CALL):
        book.add(message("large", at, size=60_000))
    assert book.of(["one"])
    assert book.of(["large"])[-1].at == MESSAGES_A_CALL - 1


def test_memory_is_bounded_whatever_comes() -> None:
    book = TraceBook(1000)
    book.add(message("huge", size=2000))
    book.add(TracedMessage(0, False, FLOW, b"\r\n\r\n"))
    book.add(TracedMessage(0, False, FLOW, b"no call at all"))
    assert repr(book) == "<TraceBook 0 in 0 octets, 0 in 0 octets of no call>"


def test_many_small_calls_take_no_more_memory_than_allowed() -> None:
    book = TraceBook(100_000)
    for number in range(1000):
        book.add(TracedMessage(0, False, FLOW, b"i:%d" % number))
    kept = [number for number in range(1000) if book.of([str(number)])]
    assert kept == list(range(1000 - len(kept), 1000))
    assert len(kept) * (COST_OF_CALL + COST_OF_MESSAGE) <= 100_000


@pytest.mark.parametrize(
    "line",
    [
        b"i:%s\rz",
        b"i:x%sx\x0b",
        b"Call-ID%s",
        b"response%s\r",
        b"response=%s\r",
        b"Authorization: Basic%s\r",
        b"a=crypto:%s",
        b"Signal%s",
        b"sip:a:%s@",
        b"c: application/dtmf%s\rz",
    ],
)
def test_a_line_of_blanks_holds_up_nobody(line: bytes) -> None:
    # Read in time that grows with its square, this would take minutes; with its cube, days.
    octets = line % (b" " * 60_000) + b"\r\n\r\n"
    book = TraceBook(1 << 20)
    book.add(TracedMessage(0, False, FLOW, without_secrets(octets)))
    assert repr(book)


@pytest.mark.parametrize("piece", [b"sip:", b"sip:a:", b"sip:a:b@", b"@", b"sip:a@ "])
def test_uris_without_end_hold_up_nobody(piece: bytes) -> None:
    octets = piece * (60_000 // len(piece)) + b" "
    assert len(without_secrets(octets)) == len(octets)


def test_both_ends_of_a_way_are_of_one_family() -> None:
    flow = Flow(TransportKind.TLS, "2001:db8::1", 5061)
    sent = TracedMessage(0, True, flow, b"", ("192.0.2.7", 5061))
    assert [(str(host), port) for host, port in sent.way] == [("::", 5061), ("2001:db8::1", 5061)]
    named = TracedMessage(0, False, Flow(TransportKind.WSS, "pbx.example.com", 443), b"")
    assert [(str(host), port) for host, port in named.way] == [("0.0.0.0", 443), ("0.0.0.0", 0)]
