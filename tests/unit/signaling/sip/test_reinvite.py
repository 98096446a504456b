"""Re-INVITE in both directions: RFC 3261 §14, RFC 3264 as far as order goes."""

from __future__ import annotations

from random import Random

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.events import (
    Confirmed,
    Ended,
    InfoReceived,
    ReinviteCompleted,
    Reinvited,
)
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Request
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party, auto_answer
from tests.unit.signaling.sip.peer import CONTACT, WS, Peer

pytestmark = pytest.mark.unit

SDP = (("Content-Type", "application/sdp"),)
WARNING = (("Warning", '305 agent-endpoint "no common audio codec"'),)


def offer_of_alice(peer: Peer, session: InviteUsage, cseq: int = 2, **kwargs: object) -> Request:
    settings: dict[str, object] = {"headers": SDP, "body": b"offer 2"}
    message = peer.in_dialog("INVITE", session, cseq=cseq, **(settings | kwargs))  # type: ignore[arg-type]
    peer.receive(message)
    return message


# -- ours ---------------------------------------------------------------------------------------


def test_offer_is_answered_and_acknowledged(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    operation = peer.do(session.reinvite, b"hold")
    invite = peer.last()
    assert isinstance(invite, Request)
    assert (invite.method, invite.body, invite.headers.get("Contact")) == (
        "INVITE",
        b"hold",
        "<sip:bob@192.0.2.2:5060>",
    )
    peer.answer(100, tag=None)
    headers = (("Contact", "<sip:alice@192.0.2.1:5099>"),)
    peer.answer(200, sdp=b"held", headers=headers)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    assert session.sdp == b"held"
    ack = peer.last()
    assert isinstance(ack, Request)
    assert ack.cseq.number == invite.cseq.number
    assert str(ack.uri) == "sip:alice@192.0.2.1:5099"
    peer.answer(200, to=invite, sdp=b"held")
    assert peer.ladder() == ["INVITE", "ACK", "ACK"]


def test_offers_go_one_after_the_other(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    first = peer.do(session.reinvite, b"hold")
    second = peer.do(session.reinvite, b"retrieve")
    assert peer.ladder() == ["INVITE"]
    invite = next(
        client.request
        for client in peer.stack._layer._clients.values()
        if client.request.method == "INVITE"
    )
    peer.answer(200, to=invite, sdp=b"held")
    assert [message.body for message in peer.requests()] == [b"retrieve"]
    peer.answer(200, sdp=b"back")
    done = peer.told(ReinviteCompleted)
    assert [(each.operation, each.sdp) for each in done] == [(first, b"held"), (second, b"back")]


def test_offer_before_the_ack_waits_for_it(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.do(session.reinvite, b"hold")
    assert peer.ladder() == ["200 INVITE"]
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    assert peer.ladder() == ["INVITE"]


@pytest.mark.parametrize("status", [403, 488, 500, 603])
def test_refused_offer_leaves_the_session_as_it_was(peer: Peer, status: int) -> None:
    """§14.1."""
    session = peer.established_incoming()
    before = session.sdp
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(status)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, status)]
    assert session.is_confirmed
    assert session.sdp == before


@pytest.mark.parametrize(("status", "sends_bye"), [(481, False), (408, True)])
def test_dialog_that_is_gone_ends_the_session(peer: Peer, status: int, sends_bye: bool) -> None:
    """§12.2.1.2."""
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(status)
    completed, ended = peer.session_events()[-2:]
    assert completed == ReinviteCompleted(operation, status)
    assert isinstance(ended, Ended)
    assert (ended.by_remote, ended.status) == (True, status)
    assert ("BYE" in peer.ladder()) == sends_bye
    peer.assert_idle()


def test_far_end_that_does_not_answer_ends_the_session(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.run(33)
    completed, ended = peer.session_events()[-2:]
    assert completed == ReinviteCompleted(operation, 408)
    assert isinstance(ended, Ended)
    assert ended.status == 408
    peer.assert_idle()


def test_lost_connection_fails_the_offer_alone() -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 503)]
    assert session.is_confirmed


def test_asking_for_an_offer_and_answering_it_in_the_ack(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    operation = peer.do(session.reinvite, None)
    invite = peer.requests()[-1]
    assert invite.body == b""
    peer.answer(200, sdp=b"their offer")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"their offer")]
    peer.answer(200, to=invite, sdp=b"their offer")
    assert peer.ladder() == ["INVITE"]
    peer.do(session.accept, b"our answer")
    assert peer.last().body == b"our answer"
    peer.answer(200, to=invite, sdp=b"their offer")
    assert peer.ladder() == ["ACK", "ACK"]


def test_ending_instead_of_answering_their_offer_still_acknowledges(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.reinvite, None)
    peer.answer(200, sdp=b"their offer")
    peer.ladder()
    peer.do(session.bye)
    assert peer.ladder() == ["ACK", "BYE"]
    peer.assert_idle()


def test_open_offers_are_settled_before_the_end(peer: Peer) -> None:
    session = peer.established_incoming()
    operations = [peer.do(session.reinvite, b"1"), peer.do(session.reinvite, b"2")]
    invite = peer.requests()[-1]
    peer.do(session.bye)
    assert peer.session_events()[-3:] == [
        *(ReinviteCompleted(operation, 481) for operation in operations),
        Ended(False),
    ]
    peer.ladder()
    peer.answer(200, to=invite, sdp=b"late")
    assert peer.ladder() == ["ACK"]
    peer.assert_idle()


def test_far_end_that_only_says_100_is_given_up(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(100, tag=None)
    peer.run(179)
    assert session.is_confirmed
    peer.run(2)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 408)]
    assert peer.told(Ended)[0].status == 408
    peer.assert_idle()


def test_far_end_that_hangs_up_and_forgets_our_offer(peer: Peer) -> None:
    """Its 2xx was lost, and a BYE ends the repetition of that."""
    session = peer.established_incoming()
    peer.do(session.reinvite, b"hold")
    peer.answer(100, tag=None)
    peer.receive(peer.in_dialog("BYE", session))
    assert peer.stack.transaction_count > 0
    peer.run(33)
    assert peer.stack.is_idle


# -- glare --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_caller", "low_s", "high_s"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_491_is_tried_again_after_the_pause_of_the_role(
    is_caller: bool, low_s: float, high_s: float
) -> None:
    """§14.1."""
    pauses = set()
    for seed in range(30):
        peer = Peer(random=Random(seed))
        session = peer.established_call() if is_caller else peer.established_incoming()
        operation = peer.do(session.reinvite, b"hold")
        peer.answer(491)
        assert peer.told(ReinviteCompleted) == []
        peer.ladder()
        peer.run(high_s + 0.001)
        again = peer.requests()[0]
        assert again.body == b"hold"
        pauses.add(round(_time_of_retry(seed, is_caller), 2))
        peer.answer(200, sdp=b"held")
        assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    assert low_s <= min(pauses) < max(pauses) <= high_s


def _time_of_retry(seed: int, is_caller: bool) -> float:
    peer = Peer(random=Random(seed))
    session = peer.established_call() if is_caller else peer.established_incoming()
    peer.do(session.reinvite, b"hold")
    peer.answer(491)
    peer.ladder()
    start = peer.now
    while not peer.requests():
        deadline = peer.stack.next_deadline()
        assert deadline is not None
        peer.now = deadline
        peer.stack.handle_timer(deadline)
        peer.drain()
    return peer.now - start


def test_offer_is_made_when_it_is_sent(peer: Peer) -> None:
    """RFC 3264 §8: its version must be above that of our answer, which came between."""
    session = peer.established_incoming()
    said = ["version 1"]
    peer.do(session.reinvite, lambda: said[-1].encode())
    peer.answer(491)
    offer_of_alice(peer, session)
    said.append("version 2")
    peer.do(session.answer_reinvite, said[-1].encode())
    said.append("version 3")
    peer.receive(peer.in_dialog("ACK", session))
    peer.run(2.1)
    offers = [ours.body for ours in peer.requests()]
    assert list(dict.fromkeys(offers)) == [b"version 1", b"version 3"]


def test_offer_that_waits_for_theirs_is_sent_though_theirs_was_lost() -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    offer_of_alice(peer, session)
    operation = peer.do(session.reinvite, b"hold")
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert peer.requests()[-1].body == b"hold"
    peer.stack.flow_closed(WS, peer.now)  # it can't be sent
    peer.drain()
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 503)]


def test_endless_glare_is_given_up(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    for _ in range(6):
        peer.answer(491)
        peer.run(4)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 491)]
    assert session.is_confirmed


def test_ending_during_the_pause_forgets_the_offer(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(491)
    peer.do(session.bye)
    assert peer.session_events()[-2:] == [ReinviteCompleted(operation, 481), Ended(False)]
    peer.answer(200)
    peer.assert_idle()


def test_their_offer_during_ours_gets_491(peer: Peer) -> None:
    """§14.2."""
    session = peer.established_incoming()
    peer.do(session.reinvite, b"hold")
    offer_of_alice(peer, session)
    assert peer.ladder()[-1] == "491 INVITE"
    assert peer.told(Reinvited) == []


def test_their_offer_in_our_pause_goes_first(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(491)
    offer_of_alice(peer, session)
    peer.ladder()
    peer.run(10)
    assert peer.requests() == []
    peer.do(session.answer_reinvite, b"answer 2")
    peer.receive(peer.in_dialog("ACK", session, cseq=2))
    (again,) = peer.requests()
    assert again.body == b"hold"
    peer.answer(200, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]


@pytest.mark.parametrize("seed", range(5))
def test_glare_of_both_sides_ends_with_both_offers_done(seed: int) -> None:
    """Two stacks offer at the same moment; the pauses of the two roles never meet."""
    network = Network()
    alice = network.party("alice", random=Random(seed))
    bob = network.party("bob", random=Random(seed + 100))
    incoming = auto_answer(bob)
    call = alice.call(bob)
    network.run(1)
    (answered,) = incoming
    for party, session in ((alice, call), (bob, answered)):
        party.on_event = _answer_offers(party, session)
    alice.do(call.reinvite, b"from alice")
    bob.do(answered.reinvite, b"from bob")
    network.run(60)
    assert network.ladder.count("bob > alice: 491 INVITE") >= 1
    assert [done.status for done in alice.told(ReinviteCompleted)] == [200]
    assert [done.status for done in bob.told(ReinviteCompleted)] == [200]
    alice.do(call.bye)
    network.assert_idle()


def _answer_offers(party: Party, session: InviteUsage) -> object:
    def handle(event: object) -> None:
        inner = getattr(event, "event", None)
        if isinstance(inner, Reinvited):
            party.do(session.answer_reinvite, b"answer")

    return handle


# -- theirs -------------------------------------------------------------------------------------


def test_their_offer_is_answered_until_it_is_acknowledged(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    offer_of_alice(peer, session, contact="sip:alice@192.0.2.1:5099")
    assert peer.told(Reinvited) == [Reinvited(b"offer 2")]
    peer.do(session.answer_reinvite, b"answer 2")
    assert session.sdp == b"offer 2"
    peer.run(2)
    assert peer.ladder() == ["200 INVITE"] * 3
    peer.receive(peer.in_dialog("ACK", session, cseq=2))
    peer.run(10)
    assert peer.ladder() == []
    assert len(peer.told(Confirmed)) == 1
    peer.do(session.bye)
    bye = peer.last()
    assert isinstance(bye, Request)
    assert bye.uri.port == 5099


def test_their_offer_refused(peer: Peer) -> None:
    session = peer.established_incoming()
    before = session.sdp
    offer_of_alice(peer, session)
    peer.do(session.reject_reinvite, 488, headers=WARNING)
    assert peer.last().headers.get("Warning") == WARNING[0][1]
    assert peer.ladder()[-1] == "488 INVITE"
    assert session.sdp == before
    with pytest.raises(LocalProtocolError):
        peer.do(session.reject_reinvite, 200)


def test_their_reinvite_without_an_offer_is_offered(peer: Peer) -> None:
    session = peer.established_incoming()
    offer_of_alice(peer, session, headers=(), body=b"")
    assert peer.told(Reinvited) == [Reinvited(None)]
    peer.do(session.answer_reinvite, b"our offer")
    ack = peer.in_dialog("ACK", session, cseq=2, headers=SDP, body=b"their answer")
    peer.receive(ack)
    assert peer.told(Confirmed) == [Confirmed(), Confirmed(b"their answer")]
    assert session.sdp == b"their answer"


def test_second_offer_before_the_first_is_settled_is_500(peer: Peer) -> None:
    """§14.2: with a Retry-After of 0 to 10 s."""
    session = peer.established_incoming()
    offer_of_alice(peer, session, 2)
    offer_of_alice(peer, session, 3)
    refusal = peer.last()
    assert refusal.start_line.startswith("SIP/2.0 500")
    assert 0 <= int(refusal.headers.get("Retry-After") or "-1") <= 10


def test_offer_that_overtakes_an_ack_is_491(peer: Peer) -> None:
    """RFC 5407 §3.1: the far end tries again."""
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    offer_of_alice(peer, session)
    assert peer.ladder()[-1] == "491 INVITE"
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    offer_of_alice(peer, session, 3)
    peer.do(session.answer_reinvite, b"answer 2")
    offer_of_alice(peer, session, 4)
    assert peer.ladder()[-2:] == ["200 INVITE", "491 INVITE"]


def test_missing_ack_of_their_offer_ends_the_session(peer: Peer) -> None:
    session = peer.established_incoming()
    offer_of_alice(peer, session)
    peer.do(session.answer_reinvite, b"answer 2")
    peer.run(33)
    assert peer.told(Ended) == [Ended(True, 408, "no ACK")]
    assert "BYE" in peer.ladder()
    peer.assert_idle()


def test_their_offer_cancelled(peer: Peer) -> None:
    session = peer.established_incoming()
    message = offer_of_alice(peer, session)
    cancel = peer.in_dialog("CANCEL", session, cseq=2, branch=message.via.branch)
    peer.receive(cancel)
    assert peer.ladder()[-2:] == ["200 CANCEL", "487 INVITE"]
    assert not peer.do(session.answer_reinvite, b"too late")
    assert peer.ladder() == []
    assert session.is_confirmed


def test_bye_during_their_offer_answers_it_487(peer: Peer) -> None:
    """§15.1.2."""
    session = peer.established_incoming()
    offer_of_alice(peer, session)
    peer.receive(peer.in_dialog("BYE", session, cseq=3))
    assert sorted(peer.ladder()[-2:]) == ["200 BYE", "487 INVITE"]
    peer.do(session.answer_reinvite, b"too late")
    assert peer.ladder() == []
    peer.assert_idle()


def test_connection_lost_during_their_offer(peer: Peer) -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    offer_of_alice(peer, session)
    peer.stack.flow_closed(WS, peer.now)
    peer.do(session.answer_reinvite, b"too late")
    assert session.is_confirmed
    peer.do(session.reinvite, b"ours")
    assert peer.ladder()[-1] == "INVITE"


def test_info_during_an_offer_is_taken(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.reinvite, b"hold")
    peer.receive(peer.in_dialog("INFO", session))
    assert len(peer.told(InfoReceived)) == 1


def test_2xx_without_contact_keeps_the_target(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.reinvite, b"hold")
    peer.answer(200, sdp=b"held", headers=())
    assert session.dialog.remote_target.host == "192.0.2.1"
    assert CONTACT[0] not in peer.last().headers
    assert repr(session._offers) == "<Offers ours=None theirs=None next=0 first=settled>"


def test_call_and_hold_between_two_stacks(network: Network, alice: Party, bob: Party) -> None:
    incoming = auto_answer(bob)
    call = alice.call(bob, OFFER)
    network.run(1)
    bob.on_event = _answer_offers(bob, incoming[0])  # type: ignore[assignment]
    for offer in (b"hold", b"retrieve"):
        alice.do(call.reinvite, offer)
    network.run(1)
    assert [offer.sdp for offer in bob.told(Reinvited)] == [b"hold", b"retrieve"]
    assert call.sdp == b"answer"
    assert call.sdp != ANSWER
    bob.do(incoming[0].bye)
    network.assert_idle()
