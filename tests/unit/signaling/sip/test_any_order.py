"""Any calls of the user, in any order, over any network: sessions keep their promises."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from signaling.errors import LocalProtocolError
from signaling.sip.events import (
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    Event,
    InfoCompleted,
    OperationId,
    ReinviteCompleted,
    RequestReceived,
    SessionChanged,
    SessionEvent,
)
from signaling.sip.invite import InviteUsage, Role
from signaling.sip.reliable import RingReliably
from signaling.sip.session_timer import SessionTimerSettings
from tests.unit.signaling.sip.machine import brief, long
from tests.unit.signaling.sip.network import DELAY_S, Network, Party

pytestmark = pytest.mark.unit

BOTH = st.integers(min_value=0, max_value=1)
WHICH = st.integers(min_value=0, max_value=3)
SDP = st.sampled_from([None, b"one", b"two"])


class Calls(RuleBasedStateMachine):
    """Two parties that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        self.parties: list[Party] = []
        self.sessions: list[list[InviteUsage]] = [[], []]
        self.operations: dict[tuple[InviteUsage, OperationId], int] = {}

    def _opener(self, i: int, party: Party) -> object:
        def handle(event: Event) -> None:
            if isinstance(event, RequestReceived):
                session = party.stack.open_session(event.transaction, now=self.network.now)
                if session is not None:
                    self.sessions[i].append(session)

        return handle

    @initialize(
        seed=st.integers(0, 1000),
        loss=st.sampled_from([0.0, 0.0, 0.2, 0.5]),
        rings=st.tuples(*[st.sampled_from([RingReliably.ASKED, RingReliably.POSSIBLE])] * 2),
        asks_s=st.tuples(*[st.sampled_from([0, 0, 90])] * 2),
    )
    def network_is(
        self, seed: int, loss: float, rings: tuple[RingReliably, ...], asks_s: tuple[int, ...]
    ) -> None:
        random = Random(seed)
        for i, (name, wish) in enumerate(zip(("alice", "bob"), rings, strict=True)):
            timer = SessionTimerSettings(asks_s[i])
            party = self.network.party(name, ring_reliably=wish, session_timer=timer)
            party.on_event = self._opener(i, party)
            self.parties.append(party)

        def faults(source: str, target: str, what: str, before: int) -> list[float]:
            copies = 0 if random.random() < loss else 1 + (random.random() < loss)
            return [random.choice((DELAY_S, 0.001, 0.4)) for _ in range(copies)]

        self.network.faults = faults

    @rule(who=BOTH, sdp=SDP)
    def call(self, who: int, sdp: bytes | None) -> None:
        if sum(not session.has_ended for session in self.sessions[who]) < 3:
            self.sessions[who].append(self.parties[who].call(self.parties[1 - who], sdp))
            self.network.run(0.02)

    @rule(who=BOTH, sdp=st.sampled_from([None, b"one"]))
    def established_call(self, who: int, sdp: bytes | None) -> None:
        """Make one that is likely to be up, so that there is more to do with it."""
        self.call(who, sdp)
        self.accept(1 - who, -1)
        self.network.run(0.02)
        self.accept(who, -1)
        self.network.run(0.02)

    def _do(self, who: int, which: int, name: str, *args: object) -> object:
        """Call a method of a session; what is forbidden sends nothing."""
        session = self._live(who, which)
        if session is None:
            return None
        party = self.parties[who]
        before = len(party.sent), len(party.events)
        try:
            return party.do(getattr(session, name), *args)
        except LocalProtocolError:
            party.network.drain(party)
            assert (len(party.sent), len(party.events)) == before
            return None

    def _live(self, who: int, which: int) -> InviteUsage | None:
        live = [session for session in self.sessions[who] if not session.has_ended]
        return live[which % len(live)] if live else None

    @rule(who=BOTH, which=WHICH, sdp=SDP)
    def ring(self, who: int, which: int, sdp: bytes | None) -> None:
        self._do(who, which, "ring", sdp)

    @rule(who=BOTH, which=WHICH)
    def accept(self, who: int, which: int) -> None:
        self._do(who, which, "accept", b"answer")

    @rule(who=BOTH, which=WHICH, status=st.sampled_from([0, 0, 302, 486]))
    def reject(self, who: int, which: int, status: int) -> None:
        if status:
            self._do(who, which, "reject", status)

    @rule(who=BOTH, which=WHICH, name=st.sampled_from(["", "", "cancel", "bye", "hang_up"]))
    def end(self, who: int, which: int, name: str) -> None:
        if name:
            self._do(who, which, name)

    @rule(who=BOTH, which=WHICH, sdp=SDP)
    def reinvite(self, who: int, which: int, sdp: bytes | None) -> None:
        session = self._live(who, which)
        self._began(session, self._do(who, which, "reinvite", sdp))

    @rule(who=BOTH, which=WHICH, sdp=SDP)
    def update(self, who: int, which: int, sdp: bytes | None) -> None:
        session = self._live(who, which)
        self._began(session, self._do(who, which, "update", sdp))

    @rule(who=BOTH, sdp=st.sampled_from([None, b"one"]))
    def described_while_it_rings(self, who: int, sdp: bytes | None) -> None:
        """Make one in which UPDATE is likely to be allowed before the answer."""
        self.call(who, sdp)
        self.ring(1 - who, -1, b"early")
        self.network.run(0.02)
        self.accept(who, -1)
        self.network.run(0.04)
        self.update(who, -1, b"two")
        self.network.run(0.02)
        self.answer_reinvite(1 - who, -1)

    @rule(who=BOTH, which=WHICH, sdp=SDP)
    def held_call(self, who: int, which: int, sdp: bytes | None) -> None:
        """Offer anew, and let the other side answer if it can."""
        self.reinvite(who, which, sdp)
        self.network.run(0.02)
        self.answer_reinvite(1 - who, which)
        self.network.run(0.02)
        self.accept(who, which)

    @rule(who=BOTH, which=WHICH)
    def info(self, who: int, which: int) -> None:
        session = self._live(who, which)
        self._began(session, self._do(who, which, "info", "text/plain", b"?"))

    def _began(self, session: InviteUsage | None, operation: object) -> None:
        if session is not None and operation is not None:
            self.operations[session, OperationId(int(str(operation)))] = 0

    @rule(who=BOTH, which=WHICH)
    def answer_reinvite(self, who: int, which: int) -> None:
        self._do(who, which, "answer_reinvite", b"answer")

    @rule(who=BOTH, which=WHICH)
    def reject_reinvite(self, who: int, which: int) -> None:
        self._do(who, which, "reject_reinvite", 488)

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.02, 0.5, 3.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run(seconds)

    def teardown(self) -> None:
        self.network.run(40)
        for party, sessions in zip(self.parties, self.sessions, strict=True):
            for session in sessions:
                party.do(session.hang_up)
        self.network.run(200)
        for party, sessions in zip(self.parties, self.sessions, strict=True):
            for session in sessions:
                party.do(session.hang_up)
        self.network.assert_idle()
        for party, sessions in zip(self.parties, self.sessions, strict=True):
            for session in sessions:
                self._check(session, _events_of(party, session))
        assert set(self.operations.values()) <= {1}

    def _check(self, session: InviteUsage, events: list[SessionEvent]) -> None:
        kinds = [type(event) for event in events]
        assert kinds.count(Ended) == 1
        assert kinds[-1] is Ended
        assert kinds.count(Answered) == (0 if session.role is Role.UAS else kinds.count(Answered))
        assert kinds.count(Answered) <= 1
        assert kinds.count(EarlyAnswer) <= (session.role is Role.UAS)
        if session.role is Role.UAC:
            assert Confirmed not in kinds[: kinds.index(Answered) if Answered in kinds else None]
        for event in events:
            if isinstance(event, ReinviteCompleted | InfoCompleted):
                self.operations[session, event.operation] += 1


def _events_of(party: Party, session: InviteUsage) -> list[SessionEvent]:
    return [
        event.event
        for event in party.events
        if isinstance(event, SessionChanged) and event.session is session
    ]


TestCalls = brief(Calls)
TestCallsForLong = long(Calls)
