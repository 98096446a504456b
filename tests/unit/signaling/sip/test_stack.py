"""What the stack does by itself: answers, drops, limits, routing of responses."""

from __future__ import annotations

import pytest

from signaling.sip.core import METHODS_TAKEN
from signaling.sip.dialog import IN_DIALOG
from signaling.sip.events import RequestAbandoned, RequestReceived
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.message import Request, Response
from signaling.sip.stack import Direction, Stack, StackConfig
from tests.unit.signaling.sip.messages import request, response
from tests.unit.signaling.sip.peer import FAR, WS, Peer, local_uri

pytestmark = pytest.mark.unit

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REGISTER", "MESSAGE")


def status_of(peer: Peer) -> int:
    (message,) = peer.out
    assert isinstance(message, Response)
    return message.status


# -- by itself, and without state ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (request("OPTIONS"), 200),
        (request("REGISTER"), 405),
        (request("NEWMETHOD"), 501),
        (request("OPTIONS", uri="tel:+1"), 416),
        (request("INVITE", headers=(("Require", "foo"),)), 420),
        (request("INVITE", headers=(("Content-Type", "text/x"),), body=b"x"), 415),
        (request("INVITE", headers=(("Accept", "text/x"),)), 406),
        (request("INVITE", contact=None), 400),
        (request("BYE"), 481),
        (request("INFO"), 481),
        (request("PRACK"), 481),
        (request("UPDATE"), 481),
        (request("BYE", to_tag="nobody"), 481),
        (request("INVITE", to_tag="nobody"), 481),
        (request("NEWMETHOD", to_tag="nobody"), 481),
        (request("CANCEL"), 481),
        (request("OPTIONS", headers=(("Max-Forwards", "0"),)), 200),
    ],
    ids=lambda value: value.start_line if isinstance(value, Request) else str(value),
)
def test_answers_that_need_nobody(peer: Peer, message: Request, status: int) -> None:
    peer.receive(message)
    assert status_of(peer) == status
    assert peer.events == []
    assert peer.stack.is_idle
    if message.to.tag is None:
        assert peer.last().to.tag


def test_answer_without_state_is_the_same_each_time(peer: Peer) -> None:
    """§8.2.7: also its tag, which nobody can foretell."""
    for _ in range(2):
        peer.receive(request("BYE"))
    first, second = peer.out
    assert first.serialise() == second.serialise()
    other = Peer()
    other.stack._tag_key = "another"
    other.receive(request("BYE"))
    assert other.last().to.tag != first.to.tag


def test_options_tells_what_we_can(peer: Peer) -> None:
    peer.receive(request("OPTIONS"))
    answer = peer.last()
    assert answer.tokens("Allow") == METHODS_TAKEN
    assert answer.headers.get("Accept") == "application/sdp"
    assert answer.headers.get("Supported") == "100rel, timer"


def test_unknown_acks_are_never_answered(peer: Peer) -> None:
    for message in (
        request("ACK"),
        request("ACK", to_tag="x"),
        request("ACK", headers=(("Require", "foo"),)),
    ):
        peer.receive(message)
    peer.receive(b"ACK sip:x SIP/9.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n")
    assert peer.out == []


def test_responses_that_nobody_waits_for_are_dropped(peer: Peer) -> None:
    peer.receive(response(request(), 200))
    peer.receive(b"SIP/2.0 4294967301 better not break\r\nVia: x\r\n\r\n")
    assert peer.out == []
    assert peer.events == []


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"  ", b"\0\1junk"])
def test_keep_alives_and_junk_are_passed_over(peer: Peer, octets: bytes) -> None:
    peer.receive(octets)
    assert peer.out == []


def test_malformed_requests_are_answered_from_what_can_be_read(peer: Peer) -> None:
    good = request("OPTIONS").serialise()
    for broken, status in (
        (good.replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505),
        (good.replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), 400),
        (good.replace(b"OPTIONS sip", b"NEWER sip"), 501),
        (good.replace(b"CSeq: 1", b"CSeq: 1_0"), 400),
        (good.replace(b"branch=z9hG4bKa1", b"branch=;;,"), 400),
    ):
        peer.stack.receive_message(broken, FAR, 0.0)
        ((_, octets),) = peer.stack.take_output()
        assert octets.startswith(b"SIP/2.0 %d " % status)
    assert peer.stack.is_idle


def test_same_request_by_two_ways_is_482(peer: Peer) -> None:
    peer.receive(request())
    peer.receive(request(branch="z9hG4bKother"))
    assert status_of(peer) == 482
    assert len(peer.told(RequestReceived)) == 1


def test_bare_branches_are_two_requests(peer: Peer) -> None:
    """RFC 4475 §3.2.1."""
    for call_id in ("a", "b"):
        peer.receive(request(branch="z9hG4bK", call_id=call_id))
    assert len(peer.told(RequestReceived)) == 2


# -- the driver's decision ----------------------------------------------------------------------


def received(peer: Peer) -> RequestReceived:
    return peer.told(RequestReceived)[-1]


def test_request_comes_up_and_is_answered() -> None:
    peer = Peer(allow=METHODS)
    peer.receive(request("REGISTER"))
    assert (received(peer).request.method, received(peer).flow) == ("REGISTER", FAR)
    peer.receive(request("REGISTER"))
    assert len(peer.told(RequestReceived)) == 1
    peer.do(
        peer.stack.respond,
        received(peer).transaction,
        200,
        headers=[("Contact", "<sip:a@b>;expires=60")],
    )
    peer.receive(request("REGISTER"))
    assert peer.ladder() == ["200 REGISTER"] * 2
    peer.do(peer.stack.respond, received(peer).transaction, 500)
    assert peer.ladder() == []
    peer.assert_idle()


def test_register_with_a_to_tag_is_no_request_of_a_dialog() -> None:
    peer = Peer(allow=METHODS)
    peer.receive(request("REGISTER", to_tag="x"))
    assert len(peer.told(RequestReceived)) == 1


def test_challenge_leaves_no_state() -> None:
    """S7: whoever floods us with requests is kept nowhere."""
    peer = Peer(allow=METHODS)
    for i in range(100):
        method = "INVITE" if i % 2 else "REGISTER"
        peer.receive(request(method, branch=f"z9hG4bK{i}", call_id=str(i)))
        peer.do(
            peer.stack.respond,
            received(peer).transaction,
            401,
            headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n"')],
        )
        assert peer.stack.is_idle
    peer.receive(request("ACK", branch="z9hG4bK99", call_id="99", to_tag="x"))
    assert peer.ladder() == ["401 REGISTER", "401 INVITE"] * 50


@pytest.mark.parametrize("status", [302, 400, 403, 404, 503])
def test_refusal_is_sent_once_and_leaves_no_state(peer: Peer, status: int) -> None:
    """Else a forged source would be sent eleven of it, and strangers would fill our tables."""
    peer.receive(request())
    peer.do(peer.stack.respond, received(peer).transaction, status)
    assert peer.stack.transaction_count == 0
    peer.run(40)
    assert peer.ladder() == [f"{status} INVITE"]
    peer.receive(request("ACK"))
    assert peer.ladder() == []
    peer.assert_idle()


def test_options_in_a_dialog_is_answered_200_each_time_it_comes(peer: Peer) -> None:
    """A lost 200 makes the far end repeat it, with the number that it had."""
    session = peer.established_incoming()
    peer.ladder()
    options = peer.in_dialog("OPTIONS", session)
    peer.receive(options)
    peer.receive(options)
    assert peer.ladder() == ["200 OPTIONS", "200 OPTIONS"]


def test_provisional_answer_leaves_the_decision_open(peer: Peer) -> None:
    peer.receive(request())
    peer.do(peer.stack.respond, received(peer).transaction, 181)
    assert peer.do(peer.stack.open_session, received(peer).transaction) is not None
    assert peer.do(peer.stack.open_session, received(peer).transaction) is None


def test_only_an_invite_opens_a_session() -> None:
    peer = Peer(allow=METHODS)
    peer.receive(request("MESSAGE"))
    assert peer.do(peer.stack.open_session, received(peer).transaction) is None
    peer.run(40)
    assert peer.told(RequestAbandoned) == [RequestAbandoned(received(peer).transaction)]
    assert peer.ladder() == []
    peer.assert_idle()


def test_cancel_before_the_decision(peer: Peer) -> None:
    peer.receive(request())
    peer.receive(request("CANCEL"))
    accepted, terminated = peer.out
    assert accepted.to.tag == terminated.to.tag
    assert peer.ladder() == ["200 CANCEL", "487 INVITE"]
    assert peer.told(RequestAbandoned) == [RequestAbandoned(received(peer).transaction)]
    assert peer.do(peer.stack.open_session, received(peer).transaction) is None
    peer.receive(request("CANCEL"))
    assert peer.ladder() == ["200 CANCEL"]
    peer.assert_idle()


def test_invite_that_the_driver_forgets_is_503(peer: Peer) -> None:
    peer.receive(request())
    peer.run(33)
    assert peer.ladder()[:2] == ["100 INVITE", "503 INVITE"]
    assert peer.told(RequestAbandoned) == [RequestAbandoned(received(peer).transaction)]
    peer.assert_idle()


def test_lost_connection_abandons_what_is_undecided() -> None:
    peer = Peer(WS, allow=METHODS)
    peer.receive(request())
    peer.receive(request("MESSAGE", branch="z9hG4bKm", call_id="m"))
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert len(peer.told(RequestAbandoned)) == 2
    peer.assert_idle()


def test_request_in_a_dialog_that_is_not_the_sessions_comes_up() -> None:
    peer = Peer(allow=METHODS)
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("MESSAGE", session))
    assert received(peer).request.method == "MESSAGE"
    peer.receive(peer.in_dialog("NOTIFY", session, cseq=3))
    assert peer.ladder()[-1] == "405 NOTIFY"


# -- limits -------------------------------------------------------------------------------------


def test_too_many_transactions_are_503_but_dialogs_work_on() -> None:
    peer = Peer(max_transactions=10, retry_after_s=7)
    session = peer.established_incoming()
    for i in range(30):
        peer.receive(request(branch=f"z9hG4bK{i}", call_id=f"x{i}"))
    assert peer.stack.transaction_count == 10
    refusal = peer.last()
    assert refusal.start_line == "SIP/2.0 503 Service Unavailable"
    assert refusal.headers.get("Retry-After") == "7"
    peer.receive(request("OPTIONS", branch="z9hG4bKo", call_id="o"))
    peer.receive(peer.in_dialog("BYE", session))
    assert peer.ladder()[-2:] == ["200 OPTIONS", "200 BYE"]


def test_a_far_end_that_floods_its_call_keeps_nobody_out() -> None:
    """It may be anybody, behind a trunk that is believed."""
    peer = Peer(max_transactions=50, retry_after_s=7)
    session = peer.established_incoming()
    for number in range(550):
        peer.receive(peer.in_dialog("INFO", session, cseq=10 + number))
    refusal = peer.last()
    assert refusal.start_line == "SIP/2.0 503 Service Unavailable"
    assert refusal.headers.get("Retry-After") == "7"
    assert peer.ladder().count("200 INFO") == IN_DIALOG.burst
    peer.receive(request(branch="z9hG4bKnew", call_id="new"))
    assert received(peer).request.call_id == "new"
    peer.receive(peer.in_dialog("BYE", session, cseq=1000))
    assert peer.ladder()[-1] == "200 BYE"


def test_requests_of_every_kind_from_a_stranger_leave_nothing(peer: Peer) -> None:
    """S1: no event, no state, in a dialog and outside."""
    for i, method in enumerate(
        ("MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "NOTIFY", "INFO", "REGISTER", "UPDATE", "BYE")
    ):
        for to_tag in (None, "guess"):
            peer.receive(request(method, branch=f"z9hG4bK{i}{to_tag}", to_tag=to_tag))
            assert isinstance(peer.last(), Response)
    assert peer.events == []
    assert peer.stack.is_idle
    assert {message.start_line.split()[1] for message in peer.out} == {"405", "481"}


# -- where responses go -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent_by", "via", "port", "received_", "rport"),
    [
        ("192.0.2.1:5060", "", 5060, None, None),
        ("192.0.2.1:6060", "", 6060, None, None),
        ("192.0.2.1", "", 5060, None, None),
        ("10.0.0.9:6060", "", 6060, "192.0.2.1", None),
        ("10.0.0.9:6060", ";rport", 4444, "192.0.2.1", "4444"),
        ("192.0.2.1:6060", ";rport", 4444, "192.0.2.1", "4444"),
        ("phone.example.com", ";received=203.0.113.9", 5060, "192.0.2.1", None),
        ("192.0.2.1", ";maddr=224.2.0.1", 5060, None, None),
    ],
)
def test_datagram_answers_go_by_the_top_via(
    peer: Peer, sent_by: str, via: str, port: int, received_: str | None, rport: str | None
) -> None:
    """RFC 3261 §18.2.1 and §18.2.2, RFC 3581 §4."""
    source = Flow(TransportKind.UDP, "192.0.2.1", 4444, "udp")
    peer.receive(request("OPTIONS", sent_by=sent_by, via_parameters=via), source)
    (flow,) = peer.flows
    assert (flow.host, flow.port, flow.listener) == ("192.0.2.1", port, "udp")
    answered = peer.last().via
    assert answered.parameter("received") == received_
    assert answered.parameter("rport") == rport


def test_connection_answers_go_back_by_it() -> None:
    peer = Peer(WS)
    peer.receive(request("OPTIONS", sent_by="df7jal23ls0d.invalid"))
    assert peer.flows == [WS]


def test_other_vias_are_left_alone(peer: Peer) -> None:
    text = request("OPTIONS", sent_by="10.0.0.9").serialise()
    more = b";branch=z9hG4bKa1 , SIP/2.0/TCP  second.example.com;branch=z\r\nVia: SIP/2.0/UDP third"
    peer.receive(text.replace(b";branch=z9hG4bKa1", more))
    top, third = peer.last().headers.get_all("Via")
    assert top.endswith("received=192.0.2.1, SIP/2.0/TCP  second.example.com;branch=z")
    assert third == "SIP/2.0/UDP third"


def test_streams_need_content_length() -> None:
    peer = Peer(Flow(TransportKind.TCP, "192.0.2.1", 5060, "tcp", 1))
    text = request("OPTIONS").serialise()
    peer.receive(text)
    peer.receive(text.replace(b"Content-Length: 0\r\n", b""))
    assert peer.ladder() == ["200 OPTIONS", "400 OPTIONS"]


# -- the rest -----------------------------------------------------------------------------------


def test_messages_say_who_we_are() -> None:
    peer = Peer(user_agent="agent-endpoint")
    peer.receive(request("OPTIONS"))
    assert peer.last().headers.get("Server") == "agent-endpoint"
    peer.call()
    assert peer.last().headers.get("User-Agent") == "agent-endpoint"


def test_every_message_is_traced() -> None:
    traced = []
    stack = Stack(
        StackConfig(local_uri=local_uri),
        trace=lambda direction, flow, octets, now: traced.append((direction, octets[:7], now)),
    )
    stack.receive_message(request("OPTIONS").serialise(), FAR, 1.5)
    assert traced == [
        (Direction.RECEIVED, b"OPTIONS", 1.5),
        (Direction.SENT, b"SIP/2.0", 1.5),
    ]


def test_default_randomness_is_not_repeated() -> None:
    tags = set()
    for _ in range(10):
        stack = Stack(StackConfig(local_uri=local_uri))
        stack.receive_message(request("BYE").serialise(), FAR, 0.0)
        ((_, octets),) = stack.take_output()
        tags.add(octets)
    assert len(tags) == 10


def test_counts_and_repr(peer: Peer) -> None:
    assert repr(peer.stack) == "<Stack sessions=0 dialogs=0 transactions=0 timers=0>"
    peer.call()
    assert peer.stack.unanswered_count == 1
    assert not peer.stack.is_idle
    assert peer.stack.session_count == 1
