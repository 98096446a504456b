"""L7: very many calls in virtual time, over a network that loses some: nothing is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

import pytest

from signaling.sip.events import Ended, Event, Reinvited, RequestReceived, SessionChanged
from signaling.sip.invite import InviteUsage
from signaling.sip.session_timer import SessionTimerSettings
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party

pytestmark = pytest.mark.unit

AT_ONCE = 40
"""Calls that are up together."""


class Traffic:
    """One party calls another, again and again; each call goes its own way."""

    def __init__(self, *, loss: float) -> None:
        self.network = Network()
        self.random = Random(7)
        timer = SessionTimerSettings(90)
        self.caller = self.network.party("caller", session_timer=timer)
        self.called = self.network.party("called", session_timer=timer)
        self.started: dict[Party, int] = {self.caller: 0, self.called: 0}
        self.ended: dict[Party, int] = {self.caller: 0, self.called: 0}
        self.most = 0
        self._live: deque[InviteUsage] = deque()
        self.network.faults = lambda *_: (
            [] if self.random.random() < loss else [self.random.choice((0.01, 0.02, 0.3))]
        )
        for party in self.started:
            party.on_event = self._handler(party)

    def _handler(self, party: Party) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            now = self.network.now
            match event:
                case RequestReceived(transaction=transaction):
                    session = party.stack.open_session(transaction, now=now)
                    if session is not None:
                        self.started[party] += 1
                        self._take(session, now)
                case SessionChanged(session=session, event=Reinvited()):
                    session.answer_reinvite(ANSWER, now=now)
                case SessionChanged(event=Ended()):
                    self.ended[party] += 1
                case _:
                    pass

        return handle

    def _take(self, session: InviteUsage, now: float) -> None:
        session.ring(now=now)
        chance = self.random.random()
        if chance < 0.8:
            session.accept(ANSWER, now=now)
        elif chance < 0.9:
            session.reject(486, now=now)

    def call(self, calls: int) -> None:
        """Place so many, one each half second; the oldest goes as soon as enough are up."""
        for _ in range(calls):
            self.started[self.caller] += 1
            self._live.append(self.caller.call(self.called))
            self.network.run(0.5)
            if self.random.random() < 0.2:
                self._reoffer(self.random.choice(self._live))
            if len(self._live) > AT_ONCE:
                self._end(self._live.popleft())
            self.most = max(self.most, self.caller.stack.session_count)
            self._forget()
        while self._live:
            self._end(self._live.popleft())
        for session in list(self.called.stack._core.sessions.values()):
            self.called.do(session.hang_up)
        self.network.run()
        self._forget()

    def _reoffer(self, session: InviteUsage) -> None:
        if session.is_confirmed:
            self.caller.do(session.reinvite, OFFER)

    def _end(self, session: InviteUsage) -> None:
        self.caller.do(session.hang_up)

    def _forget(self) -> None:
        """What the network of the tests writes down."""
        for party in self.started:
            party.events.clear()
            party.sent.clear()
        self.network.ladder.clear()


def assert_nothing_is_left(traffic: Traffic, calls: int) -> None:
    assert traffic.started[traffic.caller] == calls
    assert traffic.ended == traffic.started
    assert traffic.most <= AT_ONCE + 1
    for party in traffic.started:
        assert party.stack.is_idle, party.stack
        assert party.stack._core.timers.next_deadline() is None


def test_l7_five_hundred_calls_leave_nothing() -> None:
    traffic = Traffic(loss=0.02)
    traffic.call(500)
    assert_nothing_is_left(traffic, 500)


@pytest.mark.soak
def test_l7_a_hundred_thousand_calls_leave_nothing() -> None:
    """Ten minutes are the limit; `make soak` tells how long it took."""
    traffic = Traffic(loss=0.02)
    traffic.call(100_000)
    assert_nothing_is_left(traffic, 100_000)
