"""F17: far ends that do not do as they should. Every call is over soon, and nothing is left."""

from __future__ import annotations

import pytest

from signaling.sip.events import Answered, Ended, Event, ReinviteCompleted, Reinvited
from signaling.sip.invite import InviteUsage, SessionState
from signaling.sip.message import Request, Response, respond
from signaling.sip.offers import MAX_GLARES
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party, auto_answer
from tests.unit.signaling.sip.peer import Peer

pytestmark = pytest.mark.unit

OVER_S = 64 * 0.5 + 5
"""64*T1 and a little."""
SDP = (("Content-Type", "application/sdp"),)


def assert_over(peer: Peer) -> None:
    """The call has told its end by then, and in the end nothing is left."""
    peer.run(OVER_S)
    assert peer.stack.session_count == 0
    assert len(peer.told(Ended)) == 1
    peer.assert_idle()


def test_a_reason_that_is_no_text_is_told_as_text(peer: Peer) -> None:
    """A lone surrogate can be put neither into JSON nor into a database."""
    peer.call()
    refusal = respond(peer.requests()[-1], 486, "\udcff", to_tag="t1")
    peer.receive(refusal)
    assert [ended.reason_text for ended in peer.told(Ended)] == ["\ufffd"]


# -- what does not come -------------------------------------------------------------------------


def test_f17_no_ack(peer: Peer) -> None:
    peer.do(peer.incoming().accept, b"answer")
    assert_over(peer)
    assert peer.told(Ended) == [Ended(True, 408, "no ACK")]


def test_f17_no_ack_and_we_hang_up(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.do(session.bye)
    assert_over(peer)
    assert "BYE" in peer.ladder()


def test_f17_no_ack_of_our_refusal(peer: Peer) -> None:
    peer.do(peer.incoming().reject, 486)
    peer.run(OVER_S)
    assert peer.stack.is_idle


def test_f17_no_ack_of_our_answer_to_a_re_invite(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("INVITE", session, headers=SDP, body=b"offer 2"))
    peer.do(session.answer_reinvite, b"answer 2")
    assert_over(peer)
    assert peer.told(Ended)[0].status == 408


def test_f17_no_answer_to_our_bye(peer: Peer) -> None:
    peer.do(peer.established_call().bye)
    peer.run(OVER_S)
    assert peer.stack.is_idle


def test_f17_no_answer_to_our_cancel(peer: Peer) -> None:
    session = peer.call()
    peer.answer(180)
    peer.do(session.cancel)
    peer.run(OVER_S)
    assert peer.stack.is_idle


def test_f17_no_bye_where_the_far_end_has_forgotten_the_call(peer: Peer) -> None:
    """It went without a word: the next thing that we ask of it ends the call."""
    session = peer.established_call()
    peer.do(session.reinvite, b"hold")
    assert_over(peer)
    assert peer.told(Ended)[0].status == 408


def test_f17_no_answer_to_the_answered_offer_of_a_late_offer(peer: Peer) -> None:
    """Our own user never says what it answers: the far end repeats its 2xx, and hangs up."""
    session = peer.call(None)
    invite = peer.requests()[-1]
    for _ in range(11):
        peer.answer(200, to=invite, sdp=b"their offer")
        peer.run(3)
    assert session.state is SessionState.ANSWERED
    peer.receive(peer.in_dialog("BYE", session, from_tag="t1"))
    assert_over(peer)


# -- what comes too often -----------------------------------------------------------------------


def test_f17_a_2xx_that_comes_twice_is_acknowledged_twice(peer: Peer) -> None:
    session = peer.call()
    invite = peer.requests()[-1]
    for _ in range(2):
        peer.answer(200, to=invite, sdp=b"answer")
    assert peer.ladder() == ["INVITE", "ACK", "ACK"]
    assert peer.told(Answered) == [Answered(b"answer")]
    peer.do(session.bye)
    assert_over(peer)


@pytest.mark.parametrize("early", [(), ("a", "b", "c")])
def test_f17_three_forks_answer(peer: Peer, early: tuple[str, ...]) -> None:
    """The first wins; each other gets ACK and BYE, which nobody answers; repetitions get ACK."""
    session = peer.call()
    invite = peer.requests()[-1]
    for tag in early:
        peer.answer(183, to=invite, tag=tag, sdp=f"early of {tag}".encode())
    for tag in ("a", "b", "c", "b"):
        peer.answer(200, to=invite, tag=tag, sdp=f"answer of {tag}".encode())
    assert session.sdp == b"answer of a"
    assert session.remote.tag == "a"
    sent = [(m.method, m.to.tag) for m in peer.out if isinstance(m, Request)][1:]
    assert sent == [
        ("ACK", "a"),
        ("ACK", "b"),
        ("BYE", "b"),
        ("ACK", "c"),
        ("BYE", "c"),
        ("ACK", "b"),
    ]
    peer.run(OVER_S)
    assert session.is_confirmed
    assert peer.stack.dialog_count == 1
    assert peer.stack.transaction_count == 0
    peer.do(session.bye)
    assert_over(peer)


def test_two_forks_with_early_media_and_two_answers(peer: Peer) -> None:
    """Each fork's early media is told as it comes; the answer is that of the fork that answers."""
    session = peer.call()
    invite = peer.requests()[-1]
    peer.answer(183, to=invite, tag="a", sdp=b"early of a")
    peer.answer(183, to=invite, tag="b", sdp=b"early of b")
    assert session.sdp == b"early of b"
    peer.answer(200, to=invite, tag="a")
    assert peer.told(Answered) == [Answered(b"early of a")]
    peer.answer(200, to=invite, tag="b", sdp=b"answer of b")
    assert session.sdp == b"early of a"
    assert peer.ladder() == ["INVITE", "ACK", "ACK", "BYE"]


def test_f17_a_hundred_re_invites_a_second(peer: Peer) -> None:
    """Each is answered, one at a time is shown to the driver, and all of it is forgotten."""
    session = peer.established_incoming()
    peer.ladder()
    for cseq in range(2, 302):
        peer.receive(peer.in_dialog("INVITE", session, cseq=cseq, headers=SDP, body=b"offer"))
        peer.run(0.01)
    answers = [m for m in peer.out if isinstance(m, Response) and m.status >= 200]
    assert len(peer.told(Reinvited)) == 1
    assert {answer.status for answer in answers} == {500}
    assert all(0 <= int(answer.headers.get("Retry-After") or -1) <= 10 for answer in answers)
    peer.do(session.answer_reinvite, b"answer")
    assert session.is_confirmed
    peer.do(session.bye)
    assert_over(peer)


def test_f17_a_hundred_re_invites_a_second_that_are_all_answered(peer: Peer) -> None:
    session = peer.established_incoming()
    for cseq in range(2, 302):
        peer.receive(peer.in_dialog("INVITE", session, cseq=cseq, headers=SDP, body=b"offer"))
        assert peer.do(session.answer_reinvite, b"answer")
        peer.receive(peer.in_dialog("ACK", session, cseq=cseq))
        peer.run(0.01)
    assert session.is_confirmed
    peer.do(session.bye)
    assert_over(peer)


# -- what comes too late ------------------------------------------------------------------------


def test_f17_a_late_cancel_changes_nothing(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.receive(request("CANCEL"))
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    peer.receive(request("CANCEL"))
    assert session.is_confirmed
    peer.run(OVER_S)
    peer.ladder()
    peer.receive(request("CANCEL"))
    assert peer.ladder() == ["481 CANCEL"]
    assert session.is_confirmed
    peer.do(session.bye)
    assert_over(peer)


def test_f17_a_cancel_after_a_refusal_changes_nothing(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.reject, 486)
    peer.receive(request("CANCEL"))
    assert peer.ladder() == ["486 INVITE", "200 CANCEL"]
    assert_over(peer)
    assert peer.told(Ended) == [Ended(False, 486)]


def test_f17_a_2xx_that_comes_after_the_cancel_was_answered(peer: Peer) -> None:
    """The far end takes our CANCEL, and answers the call all the same."""
    session = peer.call()
    peer.answer(180)
    invite = peer.requests()[-1]
    peer.do(session.cancel)
    peer.answer(200)
    peer.run(20)
    peer.answer(200, to=invite, sdp=b"answer")
    assert peer.ladder()[-2:] == ["ACK", "BYE"]
    assert_over(peer)


def test_f17_answers_after_all_is_over_are_nobodys(peer: Peer) -> None:
    session = peer.established_call()
    invite = peer.requests()[0]
    peer.do(session.bye)
    peer.answer(200)
    peer.run(OVER_S)
    assert peer.stack.is_idle
    peer.ladder()
    peer.answer(200, to=invite, tag="another")
    peer.answer(486, to=invite)
    assert peer.ladder() == []
    assert peer.stack.is_idle


# -- glare --------------------------------------------------------------------------------------


def test_f17_a_glare_that_never_ends(peer: Peer) -> None:
    """Every offer of ours is answered 491: it is given up, and the call is as it was."""
    session = peer.established_call()
    operation = peer.do(session.reinvite, b"hold")
    for _ in range(MAX_GLARES + 1):
        peer.answer(491)
        peer.run(4)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 491)]
    assert session.is_confirmed
    peer.do(session.bye)
    assert_over(peer)


def test_f17_both_ends_offer_at_once(network: Network, alice: Party, bob: Party) -> None:
    """Both get 491, and wait as long as their role says: both offers are agreed on in the end."""
    incoming = auto_answer(bob)
    call = alice.call(bob)
    network.run(1)
    for party in (alice, bob):
        party.on_event = _answering(party)
    network.ladder.clear()
    alice.do(call.reinvite, b"offer of alice")
    bob.do(incoming[0].reinvite, b"offer of bob")
    network.run(OVER_S)
    for party in (alice, bob):
        assert [done.status for done in party.told(ReinviteCompleted)] == [200]
    assert sum("491" in line for line in network.ladder) >= 2
    alice.do(call.bye)
    network.run(OVER_S)
    assert (alice.stack.is_idle, bob.stack.is_idle) == (True, True)


def _answering(party: Party) -> object:
    def handle(event: Event) -> None:
        session = getattr(event, "session", None)
        if isinstance(session, InviteUsage) and isinstance(
            getattr(event, "event", None), Reinvited
        ):
            party.do(session.answer_reinvite, ANSWER)

    return handle


def test_f17_a_call_of_which_both_ends_are_over_at_once(
    network: Network, alice: Party, bob: Party
) -> None:
    """One cancels, expires and refuses in the same moment."""
    call = alice.call(bob, OFFER, headers=[("Expires", "10")])
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.ring)
    network.run(9.94)
    alice.do(call.cancel)
    bob.do(incoming.reject, 486)
    network.run(OVER_S)
    assert len(alice.told(Ended)) == len(bob.told(Ended)) == 1
    assert (alice.stack.is_idle, bob.stack.is_idle) == (True, True)
