"""Transactions under any user, over any network: what RFC 3261 §17 promises to who uses them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from signaling.sip.flow import Flow, TransportKind
from signaling.sip.layer import TransactionLayer
from signaling.sip.message import Request, Response, parse_message, respond
from signaling.sip.transaction import ClientTransaction, Failure, ServerTransaction, TimerSettings
from tests.unit.signaling.sip.machine import brief, long
from tests.unit.signaling.sip.messages import request

pytestmark = pytest.mark.unit

UDP = Flow(TransportKind.UDP, "192.0.2.2", 5060, "udp")
WS = Flow(TransportKind.WS, "192.0.2.2", 80, "ws", 1)
OVER_S = 64 * 0.5


@dataclass
class Asked:
    """One request, as its two users see it."""

    client: ClientTransaction
    is_invite: bool
    sent_at: float
    heard: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    server: ServerTransaction | None = None
    taken: int = 0
    """How often the server's user was shown it."""
    said: list[int] = field(default_factory=list)
    acks: int = 0
    abandoned: bool = False


class Transactions(RuleBasedStateMachine):
    """A client's and a server's transaction layer, and a network between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.client = TransactionLayer(TimerSettings())
        self.server = TransactionLayer(TimerSettings())
        self.asked: list[Asked] = []
        self.flight: list[tuple[float, int, bool, bytes]] = []
        self.random = Random(0)
        self.loss = 0.0
        self.count = 0

    @initialize(seed=st.integers(0, 1000), loss=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    def network_is(self, seed: int, loss: float) -> None:
        self.random, self.loss = Random(seed), loss

    # -- the users ------------------------------------------------------------------------------

    @rule(method=st.sampled_from(["INVITE", "INVITE", "INFO", "BYE"]), reliable=st.booleans())
    def ask(self, method: str, reliable: bool) -> None:
        self.count += 1
        message = request(method, branch=f"z9hG4bK{self.count}", call_id=f"c{self.count}")
        asked: Asked

        def answered(response: Response, now: float) -> None:
            asked.heard.append(response.status)
            if asked.is_invite and 200 <= response.status < 300:
                self._acknowledge(response)

        client = self.client.start_client(
            message,
            WS if reliable else UDP,
            self.now,
            answered,
            lambda failure, now: asked.failures.append(failure),
        )
        asked = Asked(client, method == "INVITE", self.now)
        self.asked.append(asked)
        self._drain()

    def _acknowledge(self, response: Response) -> None:
        """The ACK of a 2xx is the user's own, with a branch of its own (§13.2.2.4)."""
        self.count += 1
        number = response.call_id
        ack = request("ACK", branch=f"z9hG4bKack{self.count}", call_id=number, to_tag="t")
        self.client.send(UDP, ack.serialise(), self.now)

    @rule(which=st.integers(0, 9), status=st.sampled_from([100, 180, 183, 200, 200, 302, 486, 600]))
    def say(self, which: int, status: int) -> None:
        waiting = [asked for asked in self.asked if asked.server is not None]
        if not waiting:
            return
        asked = waiting[which % len(waiting)]
        server = asked.server
        assert server is not None
        if not server.is_answered or (asked.is_invite and status // 100 == 2 == _class(asked.said)):
            asked.said.append(status)
            tag = server.to_tag if status > 100 else None
            server.respond(respond(server.request, status, to_tag=tag), self.now)
            self._drain()

    @rule(which=st.integers(0, 9))
    def give_up(self, which: int) -> None:
        invites = [asked for asked in self.asked if asked.is_invite]
        if invites and not invites[which % len(invites)].client.is_answered:
            invites[which % len(invites)].abandoned = True
            invites[which % len(invites)].client.abandon(self.now)
            self._drain()

    @rule()
    def connection_is_lost(self) -> None:
        if self.random.random() < 0.1:
            self.client.flow_closed(WS, self.now, None)
            self.server.flow_closed(WS, self.now, None)
            self._drain()

    # -- the network ----------------------------------------------------------------------------

    def _drain(self) -> None:
        for to_server, layer in ((True, self.client), (False, self.server)):
            for flow, octets in layer.take_output():
                copies = 1
                if not flow.reliable:
                    lost = self.random.random() < self.loss
                    copies = 0 if lost else 1 + (self.random.random() < 0.2)
                for _ in range(copies):
                    delay_s = 0.01 if flow.reliable else self.random.choice((0.001, 0.01, 0.7))
                    self.count += 1
                    entry = (self.now + delay_s, self.count, to_server, octets)
                    heapq.heappush(self.flight, entry)

    @rule(seconds=st.sampled_from([0.02, 0.5, 0.8, 4.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            times = [entry[0] for entry in self.flight[:1]]
            deadlines = (self.client.timers.next_deadline(), self.server.timers.next_deadline())
            times += [deadline for deadline in deadlines if deadline is not None]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            while self.flight and self.flight[0][0] <= self.now:
                _, _, to_server, octets = heapq.heappop(self.flight)
                message = parse_message(octets)
                if to_server:
                    assert isinstance(message, Request)
                    self._take(message)
                else:
                    assert isinstance(message, Response)
                    self.client.receive_response(message, self.now)
                self._drain()
            self.client.timers.fire(self.now)
            self.server.timers.fire(self.now)
            self._drain()
        self.now = end

    def _take(self, message: Request) -> None:
        (asked,) = (each for each in self.asked if each.client.request.call_id == message.call_id)
        server = self.server.find_server(message)
        if server is not None:
            server.receive(message, self.now)
        elif message.method == "ACK":
            asked.acks += 1
        elif message.method != "ACK":
            flow = asked.client.flow
            # Later than that nothing more of it is on the way, but for what the network kept.
            asked.taken += self.now - asked.sent_at < OVER_S - 1
            asked.server = self.server.start_server(message, flow, flow, "t", self.now)

    # -- what is promised -----------------------------------------------------------------------

    @invariant()
    def a_request_is_shown_once(self) -> None:
        for asked in self.asked:
            assert asked.taken <= 1

    @invariant()
    def a_final_answer_is_the_last_word(self) -> None:
        for asked in self.asked:
            finals = [i for i, status in enumerate(asked.heard) if status >= 200]
            later = asked.heard[finals[0] + 1 :] if finals else []
            assert all(asked.is_invite and 200 <= status < 300 for status in later)
            if finals and asked.heard[finals[0]] >= 300:
                assert later == []
            assert len(asked.failures) <= 1
            if asked.failures:
                assert not finals
            assert set(asked.heard) <= {100, *asked.said}

    @invariant()
    def nothing_is_waited_for_too_long(self) -> None:
        for asked in self.asked:
            silent = not asked.heard and not asked.failures and not asked.abandoned
            assert not silent or self.now - asked.sent_at <= OVER_S + 0.001

    def teardown(self) -> None:
        for _ in range(3):  # a request that came late, after all, is answered too
            self.time_passes(3 * OVER_S)
            for asked in self.asked:
                if asked.server is not None and not asked.server.is_answered:
                    asked.said.append(500)
                    response = respond(asked.server.request, 500, to_tag="t")
                    asked.server.respond(response, self.now)
                # A far end that said only 1xx: no INVITE has a time-out for that.
                if asked.is_invite and not asked.client.is_answered:
                    asked.client.abandon(self.now)
            self._drain()
        self.time_passes(3 * OVER_S)
        assert (self.client.client_count, self.server.server_count) == (0, 0)
        assert (len(self.client.timers), len(self.server.timers)) == (0, 0)
        assert not self.flight
        self.a_final_answer_is_the_last_word()
        for asked in self.asked:
            told = any(status >= 200 for status in asked.heard) or asked.failures
            assert told or asked.is_invite


def _class(said: list[int]) -> int:
    return said[-1] // 100 if said else 0


TestTransactions = brief(Transactions)
TestTransactionsForLong = long(Transactions)
