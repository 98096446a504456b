"""Any request in any dialog, in any order, with any number: RFC 3261 §12.2, §14, §15."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signaling.errors import LocalProtocolError
from signaling.sip.events import Ended
from signaling.sip.invite import Role
from signaling.sip.message import Request, Response
from signaling.sip.session_timer import SessionTimerSettings
from tests.unit.signaling.sip.machine import brief, long
from tests.unit.signaling.sip.peer import CONTACT, Peer

pytestmark = pytest.mark.unit

SDP = (("Content-Type", "application/sdp"),)
TIMER = (("Supported", "timer"), ("Session-Expires", "600"))


class Dialogs(RuleBasedStateMachine):
    """One answered call of ours, and a far end that sends what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = Peer(session_timer=SessionTimerSettings(1800))
        self.highest = 1
        """The far end's number that was taken last."""
        self.branches = 0
        self.sent: list[tuple[float, Request]] = []
        """What the far end has sent, for repetitions."""
        self.answered: dict[str, int] = {}
        """Branch to the first final answer of ours."""
        self.ours: list[Request] = []

    @initialize(role=st.sampled_from(Role), timed=st.booleans())
    def a_call(self, role: Role, timed: bool) -> None:
        agreed = (("Session-Expires", "600;refresher=uac"),) if timed else ()
        if role is Role.UAC:
            self.session = self.peer.call()
            self.peer.answer(200, sdp=b"answer", headers=(CONTACT, *agreed))
            self.highest = -1  # it has sent none yet
        else:
            headers = (("Supported", "timer"), *agreed) if timed else ()
            self.session = self.peer.established_incoming(headers=headers)
        self.local, self.remote = self.session.local.tag, self.session.remote.tag
        self._note()

    def _note(self) -> list[Response]:
        """Keep what went out; returns the final answers."""
        out, self.peer.out = self.peer.out, []
        self.ours += [message for message in out if isinstance(message, Request)]
        finals = [each for each in out if isinstance(each, Response) and each.status >= 200]
        for final in finals:  # a refusal is kept nowhere, and may be another one next time
            before = self.answered.setdefault(final.via.branch or "", final.status)
            assert before == final.status or before >= 300
        return finals

    # -- the far end ----------------------------------------------------------------------------

    @rule(
        method=st.sampled_from(["INFO", "INFO", "INVITE", "INVITE", "OPTIONS", "BYE"]),
        step=st.sampled_from([1, 1, 1, 1, 7, 0, -1]),
        stranger=st.sampled_from([False, False, False, True]),
        body=st.booleans(),
    )
    def asks(self, method: str, step: int, stranger: bool, body: bool) -> None:
        if method == "BYE" and self.branches % 5:
            return
        self.branches += 1
        cseq = max(0, self.highest + step)
        message = self.peer.in_dialog(
            method,
            self.session,
            cseq=cseq,
            branch=f"z9hG4bKfar{self.branches}",
            from_tag="nobody" if stranger else self.remote,
            headers=(*SDP, *TIMER) if body else (),
            body=b"offer" if body else b"",
        )
        self.sent.append((self.peer.now, message))
        was_over = self.session.has_ended
        was_kept = self.peer.stack.dialog_count > 0  # our BYE is not answered
        self.peer.receive(message)
        answers = self._note()
        if stranger or (was_over and not was_kept):
            assert [answer.status for answer in answers] == [481]
        elif cseq <= self.highest:
            assert [answer.status for answer in answers] == [500]
        else:
            self.highest = cseq
            if method == "BYE":
                assert [answer.status for answer in answers[:1]] == [200]
                assert self.session.has_ended
            elif method != "INVITE" and not was_over:
                assert [answer.status for answer in answers] == [200]
            elif method == "INVITE" and not was_over:
                assert {answer.status for answer in answers} <= {491, 500}

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 99))
    def repeats(self, which: int) -> None:
        """A datagram comes twice: it is answered as it was, and nothing else happens."""
        at, message = self.sent[which % len(self.sent)]
        if self.peer.now - at > 31:  # then it is forgotten, and nothing of it is on the way
            return
        events = len(self.peer.events)
        self.peer.receive(message)
        finals = {final.via.branch for final in self._note()}
        assert finals <= {message.via.branch}
        assert len(self.peer.events) == events

    @rule(which=st.integers(0, 3), status=st.sampled_from([100, 180, 200, 200, 404, 491, 500]))
    def answers(self, which: int, status: int) -> None:
        """The far end answers one of our requests that are open."""
        open_ones = [
            client.request
            for client in self.peer.stack._layer._clients.values()
            if not client.is_answered
        ]
        if open_ones:
            asked = open_ones[which % len(open_ones)]
            sdp = b"answer" if asked.method == "INVITE" and 200 <= status < 300 else b""
            self.peer.answer(status, to=asked, tag=self.remote, sdp=sdp)
            self._note()

    @rule(cseq=st.integers(0, 3))
    def acknowledges(self, cseq: int) -> None:
        self.peer.receive(
            self.peer.in_dialog(
                "ACK",
                self.session,
                cseq=max(1, self.highest - cseq),
                from_tag=self.remote,
                branch=f"z9hG4bKack{self.branches}",
            )
        )
        assert self._note() == []

    # -- we -------------------------------------------------------------------------------------

    @rule(act=st.sampled_from(["info", "reinvite", "answer_reinvite", "reject_reinvite", "bye"]))
    def do(self, act: str) -> None:
        arguments: dict[str, tuple[object, ...]] = {
            "info": ("text/plain", b"?"),
            "reinvite": (b"ours",),
            "answer_reinvite": (b"answer",),
            "reject_reinvite": (488,),
            "bye": (),
        }
        if act == "bye" and len(self.ours) % 5:
            return
        try:
            self.peer.do(getattr(self.session, act), *arguments[act])
        except LocalProtocolError:
            assert self.session.has_ended
        self._note()

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.0, 33.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.peer.run(seconds)
        self._note()

    # -- what holds -----------------------------------------------------------------------------

    @invariant()
    def our_numbers_grow_and_our_tags_stay(self) -> None:
        """§12.2.1.1; repetitions have the number that they had."""
        last, seen = 0, set[str | None]()
        for message in self.ours:
            if message.method == "ACK" or message.via.branch in seen or not message.to.tag:
                continue
            seen.add(message.via.branch)
            assert message.cseq.number > last
            last = message.cseq.number
            assert (message.from_.tag, message.to.tag) == (self.local, self.remote)

    @invariant()
    def there_is_one_end(self) -> None:
        assert len(self.peer.told(Ended)) == (1 if self.session.has_ended else 0)
        assert self.peer.stack.session_count == (0 if self.session.has_ended else 1)

    def teardown(self) -> None:
        self.peer.do(self.session.hang_up)
        self.peer.assert_idle()
        self._note()
        self.there_is_one_end()


TestDialogs = brief(Dialogs)
TestDialogsForLong = long(Dialogs)
