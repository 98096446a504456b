"""Transactions with their messages and timers, one at a time."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field

import pytest

from signaling.sip.flow import Flow, TransportKind
from signaling.sip.machines import Input, State
from signaling.sip.message import Message, Request, Response, parse_message
from signaling.sip.timers import Timers
from signaling.sip.transaction import (
    ClientTransaction,
    Failure,
    ServerTransaction,
    Surroundings,
    TimerSettings,
    Transaction,
)
from tests.unit.signaling.sip.messages import request, response

pytestmark = pytest.mark.unit

UDP = Flow(TransportKind.UDP, "192.0.2.2", 5060)
WSS = Flow(TransportKind.WSS, "192.0.2.2", 443, "ws", 1)


@dataclass
class Bench:
    """What is around one transaction; time begins at 0."""

    flow: Flow
    timers: Timers = field(default_factory=Timers)
    sent: list[tuple[float, Message]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    ended: list[Transaction] = field(default_factory=list)
    now: float = 0.0

    @property
    def around(self) -> Surroundings:
        return Surroundings(
            self.timers,
            TimerSettings(),
            lambda flow, octets, now: self.sent.append((now, parse_message(octets))),
            self.ended.append,
        )

    def client(self, method: str = "INVITE") -> ClientTransaction:
        transaction = ClientTransaction(
            request(method, headers=(("Route", "<sip:192.0.2.9;lr>"),)),
            self.flow,
            self.around,
            lambda response, now: self.heard.append(str(response.status)),
            lambda failure, now: self.heard.append(str(failure)),
        )
        transaction.start(self.now)
        return transaction

    def server(self, method: str = "INVITE") -> ServerTransaction:
        transaction = ServerTransaction(
            "t1", request(method), self.flow, self.around, source=self.flow, to_tag="t1"
        )
        transaction.on_ack = lambda ack, now: self.heard.append("ACK")
        transaction.on_failure = lambda failure, now: self.heard.append(str(failure))
        transaction.start(self.now)
        return transaction

    def run(self, until: float = 1e6) -> None:
        while (deadline := self.timers.next_deadline()) is not None and deadline <= until:
            self.now = deadline
            self.timers.fire(deadline)
        self.now = until

    def times(self) -> list[float]:
        return [round(time, 3) for time, _ in self.sent]


@pytest.fixture(params=[UDP, WSS], ids=["udp", "wss"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.fixture
def udp() -> Bench:
    return Bench(UDP)


@pytest.fixture
def wss() -> Bench:
    return Bench(WSS)


def test_unanswered_invite_is_repeated_at_doubling_pauses_until_64_t1(udp: Bench) -> None:
    udp.client()
    udp.run()
    assert udp.times() == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert udp.heard == ["timeout"]
    assert len(udp.ended) == 1
    assert len(udp.timers) == 0


def test_unanswered_request_is_repeated_at_most_every_t2(udp: Bench) -> None:
    udp.client("OPTIONS")
    udp.run()
    assert udp.times() == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert udp.heard == ["timeout"]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_nothing_is_repeated_on_a_reliable_flow(wss: Bench, method: str) -> None:
    wss.client(method)
    wss.run()
    assert wss.times() == [0]
    assert wss.heard == ["timeout"]


def test_provisional_stops_the_repetition_of_invite_and_slows_that_of_others(udp: Bench) -> None:
    invite = udp.client()
    invite.receive(response(invite.request, 180), 0.1)
    udp.run(100)
    assert udp.times() == [0]
    assert invite.state is State.PROCEEDING

    other = Bench(UDP)
    options = other.client("OPTIONS")
    options.receive(response(options.request, 100), 0.1)
    other.run(9)
    assert other.times() == [0, 4.1, 8.1]


def test_failure_of_invite_is_acknowledged_hop_by_hop(bench: Bench) -> None:
    """RFC 3261 §17.1.1.3: same branch, Request-URI, Route and CSeq number; To of the response."""
    invite = bench.client()
    invite.receive(response(invite.request, 486), 0.1)
    _, ack = bench.sent[-1]
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    assert ack.uri == invite.request.uri
    assert ack.via == invite.request.via
    assert ack.routes == invite.request.routes
    assert str(ack.cseq) == "1 ACK"
    assert ack.to.tag == "t1"
    assert bench.heard == ["486"]


def test_repeated_failure_is_acknowledged_again_but_told_once(udp: Bench) -> None:
    invite = udp.client()
    for _ in range(3):
        invite.receive(response(invite.request, 486), 0.1)
    assert [message.start_line[:3] for _, message in udp.sent] == ["INV", "ACK", "ACK", "ACK"]
    assert udp.heard == ["486"]
    udp.run()
    assert invite.state is State.TERMINATED


def test_final_states_last_on_datagrams_and_end_at_once_on_connections() -> None:
    """Timers D and K (Table 4): for repeated responses, which connections do not have."""
    for flow, lasting in ((UDP, True), (WSS, False)):
        for method in ("INVITE", "OPTIONS"):
            bench = Bench(flow)
            client = bench.client(method)
            client.receive(response(client.request, 404), 0.1)
            assert (client.state is State.COMPLETED) == lasting
            bench.run()
            assert client.state is State.TERMINATED


def test_each_2xx_of_an_invite_goes_up_for_64_t1(bench: Bench) -> None:
    """RFC 6026 §7.2; a failure of another branch after it does not."""
    invite = bench.client()
    for status, tag in ((200, "t1"), (200, "t2"), (486, "t3"), (200, "t1")):
        invite.receive(response(invite.request, status, tag), 1.0)
    assert bench.heard == ["200", "200", "200"]
    bench.run(32.9)
    assert invite.state is State.ACCEPTED
    bench.run(33.1)
    assert invite.state is State.TERMINATED


def test_lost_flow_is_told_while_an_answer_is_awaited(bench: Bench) -> None:
    for method in ("INVITE", "OPTIONS"):
        client = bench.client(method)
        client.flow_failed(1.0)
        assert client.state is State.TERMINATED
    assert bench.heard == ["transport", "transport"]
    assert Failure.TRANSPORT.status == 503


def test_abandoned_invite_ends_in_silence(bench: Bench) -> None:
    invite = bench.client()
    invite.receive(response(invite.request, 180), 0.1)
    invite.abandon(40.0)
    invite.receive(response(invite.request, 200), 41.0)
    assert bench.heard == ["180"]


def test_invite_that_nobody_answers_in_200_ms_gets_100(bench: Bench) -> None:
    server = bench.server()
    bench.run(1)
    assert bench.times() == [0.2]
    trying = bench.sent[0][1]
    assert isinstance(trying, Response)
    assert (trying.status, trying.to.tag) == (100, None)
    server.receive(server.request, 1.0)
    assert len(bench.sent) == 2


def test_no_100_after_another_provisional(bench: Bench) -> None:
    server = bench.server()
    server.respond(response(server.request, 180), 0.1)
    bench.run(10)
    assert bench.times() == [0.1]


def test_failure_is_repeated_until_the_ack(udp: Bench) -> None:
    server = udp.server()
    server.respond(response(server.request, 486), 0.0)
    udp.run(5)
    assert udp.times() == [0, 0.5, 1.5, 3.5]
    server.receive(server.request, 5.0)
    assert len(udp.sent) == 5
    server.receive(request("ACK", to_tag="t1"), 5.1)
    server.receive(request("ACK", to_tag="t1"), 5.2)
    assert server.state is State.CONFIRMED
    udp.run()
    assert len(udp.sent) == 5
    assert udp.heard == []
    assert server.state is State.TERMINATED


def test_failure_without_ack_ends_after_64_t1(udp: Bench) -> None:
    server = udp.server()
    server.respond(response(server.request, 486), 0.0)
    udp.run()
    assert udp.times() == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert server.state is State.TERMINATED


def test_failure_is_sent_once_on_a_connection(wss: Bench) -> None:
    server = wss.server()
    server.respond(response(server.request, 486), 0.0)
    server.receive(request("ACK", to_tag="t1"), 0.1)
    assert wss.times() == [0]
    assert server.state is State.TERMINATED


def test_repeated_invite_is_absorbed_after_the_2xx(bench: Bench) -> None:
    """RFC 6026 §7.1: only the user repeats its 2xx."""
    server = bench.server()
    server.respond(response(server.request, 200), 0.0)
    server.receive(server.request, 0.1)
    assert bench.times() == [0]
    server.respond(response(server.request, 200), 0.5)
    server.respond(response(server.request, 486), 0.6)
    server.receive(request("ACK", to_tag="t1"), 0.7)
    assert bench.times() == [0, 0.5]
    assert bench.heard == ["ACK"]
    bench.run()
    assert server.state is State.TERMINATED


def test_repeated_request_gets_the_same_final_response(udp: Bench) -> None:
    server = udp.server("BYE")
    server.receive(server.request, 0.1)
    assert udp.sent == []
    server.respond(response(server.request, 100), 0.2)
    server.receive(server.request, 0.3)
    server.respond(response(server.request, 200), 0.4)
    server.respond(response(server.request, 500), 0.5)
    server.receive(server.request, 0.6)
    statuses = [message.status for _, message in udp.sent if isinstance(message, Response)]
    assert statuses == [100, 100, 200, 200]
    udp.run()
    assert server.state is State.TERMINATED


def test_request_that_the_user_forgets_ends_unanswered(bench: Bench) -> None:
    """RFC 4320 §4.1: no 408 to a non-INVITE request."""
    server = bench.server("MESSAGE")
    bench.run()
    assert bench.sent == []
    assert bench.heard == ["timeout"]
    assert server.state is State.TERMINATED


def test_lost_flow_is_told_to_who_has_not_answered(bench: Bench) -> None:
    for method in ("INVITE", "BYE"):
        bench.server(method).flow_failed(1.0)
    assert bench.heard == ["transport", "transport"]


def test_forgotten_transaction_leaves_no_timer(bench: Bench) -> None:
    server = bench.server()
    server.respond(response(server.request, 401), 0.0)
    server.forget()
    server.forget()
    assert len(bench.timers) == 0
    assert bench.ended == [server]


class User:
    """Knows its transaction, which knows it by its hooks."""

    transaction: Transaction

    def told(self, message: object, now: float) -> None: ...


@pytest.mark.parametrize("end", ["by its timers", "by forgetting", "with its flow"])
def test_who_used_a_transaction_is_gone_when_both_are_over(bench: Bench, end: str) -> None:
    user = User()
    client = ClientTransaction(request("BYE"), bench.flow, bench.around, user.told, user.told)
    server = ServerTransaction(
        "t1", request("INVITE"), bench.flow, bench.around, source=bench.flow, to_tag="t1"
    )
    server.on_ack = server.on_cancel = server.on_failure = user.told
    for transaction in (client, server):
        user.transaction = transaction
        transaction.start(0.0)
    server.respond(response(server.request, 200), 0.0)
    for transaction in (client, server):
        if end == "by forgetting":
            transaction.forget()
        elif end == "with its flow":
            transaction.flow_failed(0.0)
    bench.run()
    assert {client.state, server.state} == {State.TERMINATED}
    known = weakref.ref(user)
    gc.disable()
    try:
        del user
        assert known() is None
    finally:
        gc.enable()


def test_repr_tells_the_state(udp: Bench) -> None:
    assert repr(udp.client()) == "<ClientTransaction INVITE 1 calling UDP:192.0.2.2:5060>"
    assert repr(udp.server("BYE")) == "<ServerTransaction BYE 1 trying UDP:192.0.2.2:5060>"


def test_input_of_a_late_timer_is_discarded(udp: Bench) -> None:
    invite = udp.client()
    invite.receive(response(invite.request, 200), 0.1)
    invite.handle_timer(Input.TIMER_B, 33.0)
    assert invite.state is State.ACCEPTED
