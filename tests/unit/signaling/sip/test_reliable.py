"""Provisional responses that are acknowledged: RFC 3262, both roles, offers and answers in them."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError, SipParseError
from signaling.sip.calling import MAX_FORKS
from signaling.sip.events import (
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    Progress,
    ReinviteCompleted,
    Reinvited,
    RequestReceived,
)
from signaling.sip.headers import CSeq, RAck
from signaling.sip.invite import InviteUsage, SessionState
from signaling.sip.message import Message, Request, Response
from signaling.sip.reliable import RingReliably
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.network import Network, Party, drop
from tests.unit.signaling.sip.peer import CONTACT, Peer

pytestmark = pytest.mark.unit

SDP = (("Content-Type", "application/sdp"),)
REQUIRED = (("Require", "100rel"),)
SUPPORTED = (("Supported", "100rel"),)


def reliable(rseq: int) -> tuple[tuple[str, str], ...]:
    return (CONTACT, ("Require", "100rel"), ("RSeq", str(rseq)))


def only_request(peer: Peer, method: str) -> Request:
    (found,) = [m for m in peer.out if isinstance(m, Request) and m.method == method]
    return found


def invite_of(peer: Peer) -> Request:
    return next(
        client.request
        for client in peer.stack._layer._clients.values()
        if client.request.method == "INVITE"
    )


def test_rack_is_read_and_written() -> None:
    assert str(RAck.parse("776656 1 INVITE")) == "776656 1 INVITE"
    assert RAck.parse("1  2 INVITE") == RAck(1, CSeq(2, "INVITE"))
    for text in ("", "1", "1 INVITE", "x 1 INVITE", "4294967296 1 INVITE", "1 2 3 INVITE"):
        with pytest.raises(SipParseError):
            RAck.parse(text)


# -- calling ------------------------------------------------------------------------------------


def test_reliable_ringing_is_acknowledged_once_however_often_it_comes(peer: Peer) -> None:
    """§4."""
    peer.call()
    invite = invite_of(peer)
    peer.answer(180, to=invite, headers=reliable(776656))
    prack = only_request(peer, "PRACK")
    assert prack.headers.get("RAck") == "776656 1 INVITE"
    assert (prack.cseq.number, prack.to.tag, prack.body) == (2, "t1", b"")
    assert str(prack.uri) == "sip:alice@192.0.2.1:5060"
    peer.answer(180, to=invite, headers=reliable(776656))
    peer.answer(200, to=prack)
    peer.answer(180, to=invite, headers=reliable(776656))
    assert peer.ladder() == ["INVITE", "PRACK"]
    assert peer.told(Progress) == [Progress(180, "Ringing")]


def test_ringing_that_is_not_reliable_is_not_acknowledged(peer: Peer) -> None:
    peer.call()
    invite = invite_of(peer)
    peer.answer(180, to=invite, headers=(CONTACT, ("RSeq", "1")))
    peer.answer(180, to=invite, headers=(CONTACT, ("Require", "100rel")))
    peer.answer(180, to=invite, headers=(CONTACT, ("Require", "100rel"), ("RSeq", "none")))
    assert peer.ladder() == ["INVITE"]


def test_responses_are_taken_in_the_order_of_rseq(peer: Peer) -> None:
    """§4: what comes too early is not acknowledged, so that it comes again."""
    peer.call()
    invite = invite_of(peer)
    peer.answer(180, to=invite, headers=reliable(7))
    peer.answer(183, to=invite, headers=reliable(9), sdp=b"answer")
    assert peer.ladder() == ["INVITE", "PRACK"]
    peer.answer(182, to=invite, headers=reliable(8))
    peer.answer(183, to=invite, headers=reliable(9), sdp=b"answer")
    peer.answer(182, to=invite, headers=reliable(8))
    assert peer.ladder() == ["PRACK", "PRACK"]
    assert [progress.status for progress in peer.told(Progress)] == [180, 182, 183]


def test_lost_prack_is_sent_again(peer: Peer) -> None:
    peer.call()
    peer.answer(180, headers=reliable(1))
    peer.run(1.6)
    assert peer.ladder() == ["INVITE", "PRACK", "PRACK", "PRACK"]


def test_answer_that_came_reliably_is_not_changed_by_the_2xx(peer: Peer) -> None:
    """RFC 3261 §13.2.1: the first answer counts."""
    session = peer.call()
    invite = invite_of(peer)
    peer.answer(183, to=invite, headers=reliable(1), sdp=b"answer")
    peer.answer(183, to=invite, headers=reliable(2), sdp=b"another")
    peer.answer(183, to=invite, sdp=b"another")
    peer.answer(200, to=invite, sdp=b"another")
    assert [progress.sdp for progress in peer.told(Progress)] == [b"answer", None, None]
    assert peer.told(Answered) == [Answered(b"answer")]
    assert session.sdp == b"answer"
    assert session.is_confirmed


def test_offer_in_a_reliable_response_is_answered_in_its_prack(peer: Peer) -> None:
    """§5: the INVITE held none."""
    session = peer.call(sdp=None)
    invite = invite_of(peer)
    peer.answer(183, to=invite, headers=reliable(1), sdp=b"their offer")
    peer.answer(183, to=invite, headers=reliable(1), sdp=b"their offer")
    assert peer.told(Progress) == [Progress(183, "Session Progress", b"their offer")]
    assert peer.ladder() == ["INVITE"]
    peer.do(session.accept, b"our answer")
    prack = only_request(peer, "PRACK")
    assert (prack.body, prack.content_type) == (b"our answer", "application/sdp")
    peer.answer(200, to=prack)
    peer.answer(200, to=invite)
    assert session.is_confirmed
    assert peer.last().body == b""
    assert peer.ladder() == ["PRACK", "ACK"]
    with pytest.raises(LocalProtocolError):
        peer.do(session.accept, b"again")


def test_offer_that_is_not_reliable_is_none(peer: Peer) -> None:
    """RFC 3261 §13.2.1."""
    session = peer.call(sdp=None)
    peer.answer(183, sdp=b"their offer")
    assert peer.told(Progress) == [Progress(183, "Session Progress")]
    with pytest.raises(LocalProtocolError):
        peer.do(session.accept, b"our answer")
    peer.answer(200, to=invite_of(peer), sdp=b"their offer")
    assert session.state is SessionState.ANSWERED
    peer.do(session.accept, b"our answer")
    assert peer.last().body == b"our answer"


def test_2xx_that_does_not_wait_for_the_answer_in_our_prack(peer: Peer) -> None:
    """Against §3; what is owed goes in the ACK then."""
    session = peer.call(sdp=None)
    invite = invite_of(peer)
    peer.answer(183, to=invite, headers=reliable(1), sdp=b"their offer")
    peer.answer(200, to=invite)
    assert peer.told(Answered) == [Answered(b"their offer")]
    peer.do(session.accept, b"our answer")
    assert peer.ladder() == ["INVITE", "ACK"]
    peer.do(session.bye)
    peer.assert_idle()


def test_forks_are_counted_each_for_itself(peer: Peer) -> None:
    """RSeq is of one far end; so is what was agreed with it."""
    session = peer.call()
    invite = invite_of(peer)
    peer.answer(183, to=invite, tag="a", headers=reliable(10), sdp=b"from a")
    peer.answer(183, to=invite, tag="b", headers=reliable(500), sdp=b"from b")
    peer.answer(180, to=invite, tag="a", headers=reliable(11))
    pracks = [m for m in peer.requests() if m.method == "PRACK"]
    assert [(m.to.tag, m.headers.get("RAck")) for m in pracks] == [
        ("a", "10 1 INVITE"),
        ("b", "500 1 INVITE"),
        ("a", "11 1 INVITE"),
    ]
    assert [progress.fork for progress in peer.told(Progress)] == ["a", "b", "a"]
    peer.answer(200, to=invite, tag="b")
    assert peer.told(Answered) == [Answered(b"from b")]
    assert peer.told(Answered)[0].fork == "b"
    assert session.sdp == b"from b"
    peer.do(session.bye)
    peer.assert_idle()


def test_offers_of_two_far_ends_are_answered_each_in_its_prack(peer: Peer) -> None:
    session = peer.call(sdp=None)
    invite = invite_of(peer)
    peer.answer(183, to=invite, tag="a", headers=reliable(1), sdp=b"offer of a")
    peer.answer(183, to=invite, tag="b", headers=reliable(1), sdp=b"offer of b")
    peer.do(session.accept, b"for a", "a")
    peer.do(session.accept, b"for b", "b")
    pracks = [m for m in peer.requests() if m.method == "PRACK"]
    assert [(m.to.tag, m.body) for m in pracks] == [("a", b"for a"), ("b", b"for b")]
    with pytest.raises(LocalProtocolError):
        peer.do(session.accept, b"for nobody", "c")


def test_f17_far_ends_without_number_are_not_all_kept(peer: Peer) -> None:
    """Whoever is called could invent them; the call goes on."""
    session = peer.call()
    invite = invite_of(peer)
    for i in range(100):
        peer.answer(180, to=invite, tag=f"t{i}", headers=reliable(1))
    assert peer.ladder() == ["INVITE"] + ["PRACK"] * MAX_FORKS
    assert peer.stack.dialog_count == MAX_FORKS
    assert len(peer.told(Progress)) == 100
    peer.answer(200, to=invite, tag="t99", sdp=b"answer")
    assert session.is_confirmed
    peer.do(session.bye)
    peer.assert_idle()


def test_cancelled_call_acknowledges_no_ringing(peer: Peer) -> None:
    session = peer.call()
    invite = invite_of(peer)
    peer.do(session.cancel)
    peer.answer(180, to=invite, headers=reliable(1))
    assert peer.ladder() == ["INVITE", "CANCEL"]


def test_refused_prack_leaves_the_call_to_its_invite(peer: Peer) -> None:
    session = peer.call()
    invite = invite_of(peer)
    peer.answer(180, to=invite, headers=reliable(1))
    peer.answer(481, to=only_request(peer, "PRACK"))
    assert not session.has_ended
    peer.answer(486, to=invite)
    assert [ended.status for ended in peer.told(Ended)] == [486]
    peer.assert_idle()


def test_invite_may_require_it() -> None:
    peer = Peer(ring_reliably=RingReliably.ALWAYS)
    peer.call()
    assert peer.requests()[-1].require == ("100rel",)


def test_reinvite_says_nothing_of_it(peer: Peer) -> None:
    """Nobody rings there, so nothing has to be acknowledged."""
    session = peer.established_call()
    peer.do(session.reinvite, b"hold")
    assert peer.requests()[-1].supported == ("timer",)


# -- called -------------------------------------------------------------------------------------


def prack_of(
    peer: Peer, session: InviteUsage, ringing: Message, *, cseq: int = 2, **fields: object
) -> Request:
    rack = ("RAck", f"{ringing.headers.get('RSeq')} 1 INVITE")
    headers = (rack, *fields.pop("headers", ()))  # type: ignore[misc]
    return peer.in_dialog("PRACK", session, cseq=cseq, headers=headers, **fields)


def test_ringing_is_repeated_until_its_prack(peer: Peer) -> None:
    """§3: after T1, 2*T1, 4*T1 and so on, on any transport."""
    session = peer.incoming(headers=REQUIRED)
    assert session.rings_reliably
    peer.do(session.ring)
    ringing = peer.last()
    assert isinstance(ringing, Response)
    assert ringing.require == ("100rel",)
    assert 1 <= int(ringing.headers.get("RSeq") or "0") < 2**31
    assert ringing.contacts
    peer.run(0.5 + 1 + 2 + 4 + 0.1)
    assert peer.ladder() == ["180 INVITE"] * 5
    peer.receive(prack_of(peer, session, ringing))
    peer.run(30)
    assert peer.ladder() == ["200 PRACK"]


def test_next_response_waits_for_the_prack_of_the_one_before(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring)
    peer.do(session.ring, b"answer")
    first = peer.last()
    assert peer.ladder() == ["180 INVITE"]
    peer.receive(prack_of(peer, session, first))
    second = peer.last()
    assert (second.body, second.headers.get("RSeq")) == (
        b"answer",
        str(int(first.headers.get("RSeq") or "") + 1),
    )
    assert peer.ladder() == ["200 PRACK", "183 INVITE"]


def test_2xx_waits_for_the_prack_of_an_answer_and_does_not_repeat_it(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    ringing = peer.last()
    peer.do(session.accept, b"answer")
    assert session.state is SessionState.EARLY
    assert peer.ladder() == ["183 INVITE"]
    for act in (session.ring, lambda now: session.accept(b"again", now=now)):
        with pytest.raises(LocalProtocolError):
            peer.do(act)
    peer.receive(prack_of(peer, session, ringing))
    assert peer.last().body == b""
    assert peer.last().content_type is None
    assert peer.ladder() == ["200 PRACK", "200 INVITE"]
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    assert session.is_confirmed
    assert peer.told(Confirmed) == [Confirmed()]


def test_2xx_does_not_wait_for_the_prack_of_bare_ringing(peer: Peer) -> None:
    """§3; the PRACK that comes after is taken."""
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring)
    ringing = peer.last()
    peer.do(session.accept, b"answer")
    assert peer.last().body == b"answer"
    peer.receive(prack_of(peer, session, ringing))
    peer.run(0.4)
    assert peer.ladder() == ["180 INVITE", "200 INVITE", "200 PRACK"]


def test_prack_for_nothing_is_481(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.receive(peer.in_dialog("PRACK", session, cseq=2, headers=(("RAck", "1 1 INVITE"),)))
    peer.do(session.ring)
    ringing = peer.last()
    rseq = int(ringing.headers.get("RSeq") or "")
    wrong = [f"{rseq + 1} 1 INVITE", f"{rseq} 2 INVITE", f"{rseq} 1 OPTIONS", "nonsense"]
    for cseq, rack in enumerate(wrong, 3):
        peer.receive(peer.in_dialog("PRACK", session, cseq=cseq, headers=(("RAck", rack),)))
    peer.receive(peer.in_dialog("PRACK", session, cseq=8))
    peer.receive(prack_of(peer, session, ringing, cseq=9))
    peer.receive(prack_of(peer, session, ringing, cseq=9))
    peer.receive(prack_of(peer, session, ringing, cseq=10))
    assert peer.ladder() == [
        "481 PRACK",
        "180 INVITE",
        *["481 PRACK"] * 5,
        *["200 PRACK"] * 2,
        "481 PRACK",
    ]


def test_prack_to_one_who_rings_without_it_is_481(peer: Peer) -> None:
    session = peer.incoming()
    assert not session.rings_reliably
    peer.do(session.ring)
    assert "RSeq" not in peer.last().headers
    peer.receive(peer.in_dialog("PRACK", session, headers=(("RAck", "1 1 INVITE"),)))
    assert peer.ladder()[-1] == "481 PRACK"


def test_without_any_prack_the_call_is_refused(peer: Peer) -> None:
    """§3: after 64*T1, with a 5xx."""
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    peer.do(session.accept, b"answer")
    peer.run(31.9)
    assert not session.has_ended
    peer.run(0.2)
    assert peer.told(Ended) == [Ended(True, 504, "no PRACK")]
    assert peer.ladder()[-1] == "504 INVITE"
    peer.assert_idle()


def test_refusal_does_not_wait(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    ringing = peer.last()
    peer.do(session.reject, 486)
    peer.receive(prack_of(peer, session, ringing))
    assert peer.ladder() == ["183 INVITE", "486 INVITE", "481 PRACK"]
    peer.assert_idle()


@pytest.mark.parametrize("accepting", [False, True])
def test_cancel_while_a_prack_is_awaited(peer: Peer, accepting: bool) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    if accepting:
        peer.do(session.accept, b"answer")
    peer.receive(request("CANCEL"))
    assert peer.ladder()[-2:] == ["200 CANCEL", "487 INVITE"]
    assert [ended.status for ended in peer.told(Ended)] == [487]
    peer.assert_idle()


def test_our_offer_is_answered_in_the_prack(peer: Peer) -> None:
    """§5."""
    session = peer.incoming(sdp=b"", headers=REQUIRED)
    peer.do(session.ring, b"our offer")
    ringing = peer.last()
    assert ringing.body == b"our offer"
    peer.do(session.accept, b"our offer")
    prack = prack_of(peer, session, ringing, headers=SDP, body=b"their answer")
    peer.receive(prack)
    assert peer.told(EarlyAnswer) == [EarlyAnswer(b"their answer")]
    assert session.sdp == b"their answer"
    assert peer.last().body == b""
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    assert peer.told(Confirmed) == [Confirmed()]
    assert peer.ladder() == ["183 INVITE", "200 PRACK", "200 INVITE"]


def test_prack_without_the_answer_that_is_owed_is_told(peer: Peer) -> None:
    session = peer.incoming(sdp=b"", headers=REQUIRED)
    peer.do(session.ring, b"our offer")
    peer.receive(prack_of(peer, session, peer.last()))
    assert peer.told(EarlyAnswer) == [EarlyAnswer(None)]
    peer.do(session.hang_up, 488)
    peer.assert_idle()


def test_prack_may_offer_anew(peer: Peer) -> None:
    """§5: the answer is in its 2xx."""
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    prack = prack_of(peer, session, peer.last(), headers=SDP, body=b"offer 2")
    peer.receive(prack)
    assert peer.told(Reinvited) == [Reinvited(b"offer 2")]
    peer.ladder()
    peer.do(session.answer_reinvite, b"answer 2")
    assert peer.last().body == b"answer 2"
    assert peer.ladder() == ["200 PRACK"]
    assert session.sdp == b"offer 2"


@pytest.mark.parametrize("status", [200, 488])
def test_2xx_waits_for_our_answer_to_an_offer_in_the_prack(peer: Peer, status: int) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    ringing = peer.last()
    peer.do(session.accept, b"answer")
    peer.receive(prack_of(peer, session, ringing, headers=SDP, body=b"offer 2"))
    assert peer.ladder() == ["183 INVITE"]
    if status == 200:
        peer.do(session.answer_reinvite, b"answer 2")
    else:
        peer.do(session.reject_reinvite, status)
    assert peer.last().body == b""
    assert peer.ladder() == [f"{status} PRACK", "200 INVITE"]
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    assert session.is_confirmed


def test_offer_in_a_prack_can_be_refused_and_still_acknowledges(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    peer.receive(prack_of(peer, session, peer.last(), headers=SDP, body=b"offer 2"))
    peer.do(session.reject_reinvite, 488)
    peer.run(30)
    assert peer.ladder() == ["183 INVITE", "488 PRACK"]


def test_description_is_said_once(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    peer.receive(prack_of(peer, session, peer.last()))
    peer.do(session.ring, b"answer")
    assert peer.last().body == b""
    peer.receive(prack_of(peer, session, peer.last(), cseq=3))
    peer.do(session.ring)
    assert peer.ladder() == ["183 INVITE", "200 PRACK"] * 2 + ["180 INVITE"]


def test_ringing_every_minute_is_acknowledged_too(peer: Peer) -> None:
    session = peer.incoming(headers=REQUIRED)
    peer.do(session.ring, b"answer")
    peer.receive(prack_of(peer, session, peer.last()))
    peer.run(61)
    assert peer.last().body == b""
    peer.receive(prack_of(peer, session, peer.last(), cseq=3))
    assert peer.ladder()[-1] == "200 PRACK"
    assert not session.has_ended


@pytest.mark.parametrize(
    ("wish", "headers", "is_reliable"),
    [
        (RingReliably.ASKED, (), False),
        (RingReliably.ASKED, SUPPORTED, False),
        (RingReliably.ASKED, REQUIRED, True),
        (RingReliably.POSSIBLE, (), False),
        (RingReliably.POSSIBLE, SUPPORTED, True),
        (RingReliably.ALWAYS, SUPPORTED, True),
    ],
)
def test_whom_we_ring_reliably(
    wish: RingReliably, headers: tuple[tuple[str, str], ...], is_reliable: bool
) -> None:
    peer = Peer(ring_reliably=wish)
    session = peer.incoming(headers=headers)
    assert session.rings_reliably is is_reliable
    peer.do(session.ring)
    assert ("RSeq" in peer.last().headers) is is_reliable


def test_caller_that_must_but_cannot_is_refused_with_421() -> None:
    """RFC 3261 §21.4.15."""
    peer = Peer(ring_reliably=RingReliably.ALWAYS)
    peer.receive(request())
    assert peer.last().headers.get("Require") == "100rel"
    assert peer.ladder() == ["421 INVITE"]
    assert peer.told(RequestReceived) == []


def test_without_the_extension_it_is_refused_with_420() -> None:
    peer = Peer(supported=())
    peer.receive(request(headers=REQUIRED))
    assert peer.last().headers.get("Unsupported") == "100rel"
    assert peer.ladder() == ["420 INVITE"]


# -- between two stacks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lost", [("183 INVITE", 3), ("PRACK", 3), ("200 PRACK", 3)], ids=lambda lost: lost[0]
)
def test_lost_messages_are_made_good(network: Network, lost: tuple[str, int]) -> None:
    alice = network.party("alice", ring_reliably=RingReliably.ALWAYS)
    bob = network.party("bob")
    network.faults = drop(lost)
    call = alice.call(bob)
    network.run(0.1)
    incoming = bob.incoming()
    bob.do(incoming.ring, b"answer")
    bob.do(incoming.accept, b"answer")
    network.run(20)
    assert (call.is_confirmed, incoming.is_confirmed) == (True, True)
    assert [progress.sdp for progress in alice.told(Progress)] == [b"answer"]
    alice.do(call.bye)
    network.assert_idle()


def test_late_offer_with_prack(network: Network, alice: Party) -> None:
    bob = network.party("bob", ring_reliably=RingReliably.POSSIBLE)
    call = alice.call(bob, sdp=None)
    network.run(0.1)
    incoming = bob.incoming()
    bob.do(incoming.ring, b"offer of bob")
    network.run(0.1)
    alice.do(call.accept, b"answer of alice")
    network.run(1)
    assert bob.told(EarlyAnswer) == [EarlyAnswer(b"answer of alice")]
    bob.do(incoming.accept, b"offer of bob")
    network.run(1)
    assert network.ladder == [
        "alice > bob: INVITE",
        "bob > alice: 183 INVITE",
        "alice > bob: PRACK",
        "bob > alice: 200 PRACK",
        "bob > alice: 200 INVITE",
        "alice > bob: ACK",
    ]
    assert (call.sdp, incoming.sdp) == (b"offer of bob", b"answer of alice")
    alice.do(call.reinvite, b"hold")
    network.run(0.1)
    bob.do(incoming.answer_reinvite, b"held")
    network.run(1)
    assert [done.status for done in alice.told(ReinviteCompleted)] == [200]
    bob.do(incoming.bye)
    network.assert_idle()
