"""UPDATE: RFC 3311, both roles, in early and confirmed dialogs, and its glare with re-INVITE."""

from __future__ import annotations

from random import Random

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    ReinviteCompleted,
    Reinvited,
    SessionChanged,
)
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Request
from signaling.sip.reliable import RingReliably
from signaling.sip.session_timer import SessionTimerSettings
from tests.unit.signaling.sip.network import Network, Party
from tests.unit.signaling.sip.peer import CONTACT, WS, Peer
from tests.unit.signaling.sip.test_reliable import REQUIRED, SDP, invite_of, prack_of, reliable

pytestmark = pytest.mark.unit

WARNING = (("Warning", '305 agent-endpoint "no common audio codec"'),)

TAKES_UPDATE = (("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"),)


def update_of_alice(
    peer: Peer, session: InviteUsage, cseq: int = 2, body: bytes = b"offer 2", **fields: object
) -> Request:
    settings: dict[str, object] = {"headers": SDP if body else (), "body": body}
    message = peer.in_dialog("UPDATE", session, cseq=cseq, **(settings | fields))
    peer.receive(message)
    return message


def rung(peer: Peer, **kwargs: object) -> InviteUsage:
    """Bob calls, and Alice's answer has come reliably while she rings."""
    session = peer.call(**kwargs)  # type: ignore[arg-type]
    invite = invite_of(peer)
    peer.answer(183, to=invite, headers=(*reliable(1), *TAKES_UPDATE), sdp=b"answer")
    peer.answer(200, to=peer.requests()[-1], headers=())
    peer.ladder()
    return session


def ringing(peer: Peer) -> InviteUsage:
    """Alice calls, and Bob's answer is acknowledged while he rings."""
    session = peer.incoming(headers=(*REQUIRED, *TAKES_UPDATE))
    peer.do(session.ring, b"answer")
    peer.receive(prack_of(peer, session, peer.last()))
    peer.ladder()
    return session


# -- ours ---------------------------------------------------------------------------------------


def test_update_offers_while_the_far_end_rings(peer: Peer) -> None:
    session = rung(peer)
    assert session.may_update()
    operation = peer.do(session.reinvite, b"hold")
    (update,) = peer.requests()
    assert (update.method, update.body, update.cseq.number) == ("UPDATE", b"hold", 3)
    assert update.headers.get("Contact") == "<sip:bob@192.0.2.2:5060>"
    headers = (("Contact", "<sip:alice@192.0.2.1:5099>"),)
    peer.answer(200, sdp=b"held", headers=headers)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    assert session.sdp == b"held"
    peer.answer(200, to=invite_of(peer), headers=headers)
    ack = peer.last()
    assert isinstance(ack, Request)
    assert str(ack.uri) == "sip:alice@192.0.2.1:5099"
    assert peer.told(Answered) == [Answered(b"held")]
    assert peer.ladder() == ["UPDATE", "ACK"]
    peer.do(session.bye)
    peer.assert_idle()


def test_update_offers_while_we_ring(peer: Peer) -> None:
    session = ringing(peer)
    operation = peer.do(session.reinvite, b"hold")
    assert peer.ladder() == ["UPDATE"]
    peer.do(session.accept, b"answer")
    update = next(
        client.request
        for client in peer.stack._layer._clients.values()
        if client.request.method == "UPDATE"
    )
    peer.answer(200, to=update, tag=None, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    assert peer.told(Confirmed) == [Confirmed()]
    assert session.sdp == b"held"


def test_offers_of_a_call_that_is_answered_go_by_reinvite(peer: Peer) -> None:
    """RFC 3311 §5.1: somebody may have to be asked."""
    session = peer.call()
    peer.answer(200, sdp=b"answer", headers=(CONTACT, *TAKES_UPDATE))
    assert session.may_update()
    peer.do(session.reinvite, b"hold")
    assert peer.requests()[-1].method == "INVITE"


def test_update_in_an_answered_call(peer: Peer) -> None:
    session = peer.established_incoming(headers=TAKES_UPDATE)
    operation = peer.do(session.update, b"hold")
    assert peer.requests()[-1].method == "UPDATE"
    peer.answer(200, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    assert peer.ladder()[-1] == "UPDATE"


def test_update_without_an_offer_shows_that_we_are_there(peer: Peer) -> None:
    session = peer.established_incoming(headers=TAKES_UPDATE)
    operation = peer.do(session.update, None)
    update = peer.requests()[-1]
    assert (update.body, update.content_type) == (b"", None)
    offer = peer.in_dialog("INVITE", session, cseq=2, headers=SDP, body=b"offer 2")
    peer.receive(offer)  # it crosses nothing
    assert peer.told(Reinvited) == [Reinvited(b"offer 2")]
    peer.answer(200, to=update)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200)]
    assert session.sdp == b"offer"


@pytest.mark.parametrize("allow", [(), (("Allow", "INVITE, ACK"),), (("Allow", "<"),)])
def test_update_goes_only_where_it_is_allowed(
    peer: Peer, allow: tuple[tuple[str, str], ...]
) -> None:
    session = peer.established_incoming(headers=allow)
    with pytest.raises(LocalProtocolError):
        peer.do(session.update, b"hold")
    early = rung(Peer())
    assert early.may_update()


def test_ringing_alone_makes_nothing_to_update(peer: Peer) -> None:
    """§5.1: the first offer has no answer that counts."""
    session = peer.call()
    peer.answer(183, headers=(CONTACT, *TAKES_UPDATE), sdp=b"preview")
    assert not session.may_update()
    for act in (session.update, session.reinvite):
        with pytest.raises(LocalProtocolError):
            peer.do(act, b"hold")
    called = Peer()
    session = called.incoming(headers=TAKES_UPDATE)
    called.do(session.ring, b"preview")
    assert not session.may_update()


def test_update_waits_for_our_prack(peer: Peer) -> None:
    """One that overtook it would make the PRACK too old (RFC 3261 §12.2.2)."""
    session = peer.call()
    peer.answer(183, headers=(*reliable(1), *TAKES_UPDATE), sdp=b"answer")
    prack = peer.requests()[-1]
    peer.do(session.reinvite, b"hold")
    assert peer.ladder() == ["INVITE", "PRACK"]
    peer.answer(200, to=prack, headers=())
    assert peer.ladder() == ["UPDATE"]


def test_offer_that_waits_past_the_answer_goes_by_reinvite(peer: Peer) -> None:
    session = rung(peer)
    invite = invite_of(peer)
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(491)
    peer.answer(200, to=invite)
    assert peer.ladder() == ["UPDATE", "ACK"]
    peer.run(5)
    assert peer.requests()[-1].method == "INVITE"
    peer.answer(200, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]


@pytest.mark.parametrize("status", [488, 504, 500])
def test_refused_update_leaves_the_session_as_it_was(peer: Peer, status: int) -> None:
    """§5.3."""
    session = rung(peer)
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(status)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, status)]
    assert session.sdp == b"answer"
    assert not session.has_ended


@pytest.mark.parametrize("status", [405, 501, 504])
def test_what_is_not_taken_by_update_goes_by_reinvite(peer: Peer, status: int) -> None:
    """§5.3; what was said to be allowed may not be."""
    session = peer.established_incoming(headers=TAKES_UPDATE)
    operation = peer.do(session.update, b"hold")
    peer.answer(status, headers=())
    again = peer.requests()[-1]
    assert (again.method, again.body) == ("INVITE", b"hold")
    peer.answer(200, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    assert session.may_update() is (status == 504)


def test_refresh_that_is_not_taken_by_update_goes_by_reinvite() -> None:
    """RFC 4028 §7.4: with what is agreed on, so that nothing changes."""
    peer = Peer(session_timer=SessionTimerSettings(interval_s=600))
    headers = (*TAKES_UPDATE, ("Supported", "timer"))
    session = peer.established_incoming(headers=headers)
    peer.ladder()
    peer.run(300.1)
    (update,) = peer.requests()
    assert (update.method, update.body) == ("UPDATE", b"")
    peer.answer(405, headers=())
    again = peer.requests()[-1]
    assert (again.method, again.body) == ("INVITE", b"answer")
    peer.answer(200, sdp=b"offer")
    peer.do(session.bye)
    peer.assert_idle()


def test_refused_update_of_a_call_that_rings_is_told(peer: Peer) -> None:
    session = rung(peer)
    operation = peer.do(session.update, b"hold")
    peer.answer(405, headers=())
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 405)]
    assert not session.may_update()


def test_500_is_tried_again_when_it_says(peer: Peer) -> None:
    """§5.2: the far end has not answered an offer of ours yet."""
    session = rung(peer)
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(500, headers=(("Retry-After", "7"),))
    peer.ladder()
    peer.run(6.9)
    assert peer.ladder() == []
    peer.run(0.2)
    assert peer.ladder()[0] == "UPDATE"
    assert peer.told(ReinviteCompleted) == []
    peer.do(session.cancel)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 481)]


def test_500_that_asks_for_too_long_is_a_refusal(peer: Peer) -> None:
    session = rung(peer)
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(500, headers=(("Retry-After", "3600"),))
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 500)]


@pytest.mark.parametrize(("status", "sends_bye"), [(481, False), (408, True)])
def test_dialog_that_is_gone_ends_the_session(peer: Peer, status: int, sends_bye: bool) -> None:
    session = peer.established_incoming(headers=TAKES_UPDATE)
    peer.do(session.update, None)
    peer.answer(status)
    assert [ended.status for ended in peer.told(Ended)] == [status]
    assert ("BYE" in peer.ladder()) == sends_bye
    peer.assert_idle()


def test_update_that_nobody_answers(peer: Peer) -> None:
    session = peer.established_incoming(headers=TAKES_UPDATE)
    operation = peer.do(session.update, None)
    peer.run(33)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 408)]
    assert [ended.status for ended in peer.told(Ended)] == [408]
    peer.assert_idle()


def test_update_of_a_call_that_rings_does_not_end_it(peer: Peer) -> None:
    """The INVITE itself will tell what became of the far end."""
    session = rung(peer)
    peer.do(session.update, b"hold")
    peer.answer(481)
    assert not session.has_ended
    peer.do(session.cancel)
    peer.run(40)
    peer.assert_idle()


# -- theirs -------------------------------------------------------------------------------------


def test_their_update_while_they_ring(peer: Peer) -> None:
    session = rung(peer)
    update_of_alice(peer, session, 1, contact="sip:alice@192.0.2.1:5099", from_tag="t1")
    assert peer.told(Reinvited) == [Reinvited(b"offer 2", "t1")]
    assert peer.do(session.answer_reinvite, b"answer 2", "t1")
    answer = peer.last()
    assert (answer.body, answer.headers.get("Contact")) == (
        b"answer 2",
        "<sip:bob@192.0.2.2:5060>",
    )
    assert peer.ladder() == ["200 UPDATE"]
    peer.answer(200, to=invite_of(peer), headers=())
    assert peer.told(Answered) == [Answered(b"offer 2")]
    ack = peer.last()
    assert isinstance(ack, Request)
    assert ack.uri.port == 5099


def test_their_update_while_we_ring(peer: Peer) -> None:
    session = ringing(peer)
    update_of_alice(peer, session, 3)
    assert peer.told(Reinvited) == [Reinvited(b"offer 2")]
    peer.do(session.answer_reinvite, b"answer 2")
    assert peer.ladder() == ["200 UPDATE"]
    assert session.sdp == b"offer 2"
    peer.do(session.accept, b"answer")
    assert peer.last().body == b""


def test_their_update_in_an_answered_call(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    update_of_alice(peer, session)
    peer.do(session.answer_reinvite, b"answer 2")
    update_of_alice(peer, session, 3)
    peer.do(session.reject_reinvite, 488, headers=WARNING)
    assert peer.last().headers.get("Warning") == WARNING[0][1]
    peer.run(40)
    assert peer.ladder() == ["200 UPDATE", "488 UPDATE"]
    assert session.sdp == b"offer 2"


def test_their_update_without_an_offer_is_answered_at_once(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.ladder()
    update_of_alice(peer, session, body=b"", contact="sip:alice@192.0.2.1:5099")
    assert peer.ladder() == ["200 UPDATE"]
    assert peer.told(Reinvited) == []
    assert session.dialog.remote_target.port == 5099


def test_fork_that_rings_is_answered_for_itself(peer: Peer) -> None:
    session = peer.call()
    invite = invite_of(peer)
    for tag in ("a", "b"):
        peer.answer(183, to=invite, tag=tag, headers=reliable(1), sdp=tag.encode())
    update_of_alice(peer, session, 1, body=b"anew from a", from_tag="a")
    assert peer.told(Reinvited) == [Reinvited(b"anew from a", "a")]
    assert not peer.do(session.answer_reinvite, b"for nobody", "b")
    assert peer.do(session.answer_reinvite, b"for a", "a")
    peer.answer(200, to=invite, tag="b")
    assert peer.told(Answered) == [Answered(b"b")]
    update_of_alice(peer, session, 2, from_tag="a")
    assert peer.ladder()[-1] == "481 UPDATE"


def test_fork_that_is_over_takes_its_offers_with_it(peer: Peer) -> None:
    session = peer.call()
    invite = invite_of(peer)
    for tag in ("a", "b"):
        headers = (*reliable(1), *TAKES_UPDATE)
        peer.answer(183, to=invite, tag=tag, headers=headers, sdp=tag.encode())
        peer.answer(200, to=peer.requests()[-1], headers=())
    operation = peer.do(session.reinvite, b"hold", "a")
    update_of_alice(peer, session, 1, from_tag="b")
    peer.ladder()
    peer.receive(peer.in_dialog("BYE", session, cseq=2, from_tag="b"))
    assert sorted(peer.ladder()) == ["200 BYE", "487 UPDATE"]
    peer.answer(486, to=invite)
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 481)]
    peer.assert_idle()


# -- glare --------------------------------------------------------------------------------------


def test_their_update_before_our_offer_is_answered_is_491(peer: Peer) -> None:
    """§5.2."""
    session = peer.call()
    peer.answer(180)
    update_of_alice(peer, session, 1, from_tag="t1")
    assert peer.ladder()[-1] == "491 UPDATE"
    peer.answer(200, to=invite_of(peer), sdp=b"answer", headers=(CONTACT, *TAKES_UPDATE))
    peer.do(session.update, b"hold")
    update_of_alice(peer, session, 2, from_tag="t1")
    assert peer.ladder()[-1] == "491 UPDATE"
    assert peer.told(Reinvited) == []


def test_their_update_before_we_answer_their_offer_is_500(peer: Peer) -> None:
    """§5.2, with a Retry-After of 0 to 10 s."""
    session = peer.incoming()
    peer.do(session.ring)
    update_of_alice(peer, session, 2)
    refusal = peer.last()
    assert peer.ladder()[-1] == "500 UPDATE"
    assert 0 <= int(refusal.headers.get("Retry-After") or "-1") <= 10
    peer.do(session.accept, b"answer")
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    update_of_alice(peer, session, 3)
    update_of_alice(peer, session, 4)
    update_of_alice(peer, session, 5, body=b"")
    assert peer.ladder()[-2:] == ["500 UPDATE", "500 UPDATE"]


def test_their_reinvite_crosses_our_update(peer: Peer) -> None:
    """§5.2, last paragraph."""
    session = peer.established_incoming(headers=TAKES_UPDATE)
    peer.do(session.update, b"hold")
    peer.receive(peer.in_dialog("INVITE", session, headers=SDP, body=b"offer 2"))
    assert peer.ladder()[-1] == "491 INVITE"


def test_their_update_crosses_our_reinvite(peer: Peer) -> None:
    session = peer.established_incoming(headers=TAKES_UPDATE)
    peer.do(session.reinvite, b"hold")
    update_of_alice(peer, session)
    assert peer.ladder()[-1] == "491 UPDATE"


def test_their_update_overtakes_the_ack_of_our_answer(peer: Peer) -> None:
    """The answer is out, so another offer may be made."""
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("INVITE", session, headers=SDP, body=b"offer 2"))
    peer.do(session.answer_reinvite, b"answer 2")
    update_of_alice(peer, session, 3)
    assert peer.told(Reinvited)[-1] == Reinvited(b"offer 2")
    peer.do(session.answer_reinvite, b"answer 3")
    assert peer.ladder()[-1] == "200 UPDATE"


def test_their_update_overtakes_the_ack_with_its_answer(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("INVITE", session))
    peer.do(session.answer_reinvite, b"our offer")
    update_of_alice(peer, session, 3)
    assert peer.ladder()[-1] == "491 UPDATE"


def test_lost_connection_while_their_update_waits() -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    update_of_alice(peer, session)
    peer.stack.flow_closed(WS, peer.now)
    assert not peer.do(session.answer_reinvite, b"too late")
    peer.do(session.reinvite, b"ours")
    assert peer.ladder()[-1] == "INVITE"


def answer_offers(party: Party) -> None:
    def handle(event: object) -> None:
        if isinstance(event, SessionChanged) and isinstance(event.event, Reinvited):
            fork = event.event.fork
            party.do(event.session.answer_reinvite, b"answer", fork)

    party.on_event = handle


@pytest.mark.parametrize("answered", [False, True], ids=["while ringing", "once answered"])
@pytest.mark.parametrize("seed", range(5))
def test_updates_that_cross_are_both_done_in_the_end(seed: int, answered: bool) -> None:
    network = Network()
    alice = network.party("alice", random=Random(seed), ring_reliably=RingReliably.ALWAYS)
    bob = network.party("bob", random=Random(seed + 100))
    call = alice.call(bob)
    network.run(0.1)
    incoming = bob.incoming()
    bob.do(incoming.ring, b"answer")
    network.run(0.1)
    if answered:
        bob.do(incoming.accept, b"answer")
        network.run(0.1)
    for party, session in ((alice, call), (bob, incoming)):
        answer_offers(party)
        party.do(session.update, b"from " + party.name.encode())
    network.run(60)
    assert network.ladder.count("bob > alice: 491 UPDATE") >= 1
    assert [done.status for done in alice.told(ReinviteCompleted)] == [200]
    assert [done.status for done in bob.told(ReinviteCompleted)] == [200]
    alice.do(call.hang_up)
    network.assert_idle()


@pytest.mark.parametrize("seed", range(5))
def test_update_and_reinvite_that_cross_are_both_done_in_the_end(seed: int) -> None:
    network = Network()
    alice = network.party("alice", random=Random(seed))
    bob = network.party("bob", random=Random(seed + 100))
    call = alice.call(bob)
    network.run(0.1)
    incoming = bob.incoming()
    bob.do(incoming.accept, b"answer")
    network.run(0.1)
    answer_offers(alice)
    answer_offers(bob)
    alice.do(call.update, b"from alice")
    bob.do(incoming.reinvite, b"from bob")
    network.run(60)
    assert "bob > alice: 491 UPDATE" in network.ladder
    assert "alice > bob: 491 INVITE" in network.ladder
    assert [done.status for done in alice.told(ReinviteCompleted)] == [200]
    assert [done.status for done in bob.told(ReinviteCompleted)] == [200]
    alice.do(call.bye)
    network.assert_idle()
