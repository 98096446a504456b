"""Sessions: RFC 3261 §9, §13, §15, races included; Reason (RFC 3326), INFO (RFC 6086)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.auth import DigestCredentials
from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    InfoCompleted,
    InfoReceived,
    Progress,
    RequestReceived,
)
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage, Role, SessionState
from signaling.sip.message import Request, Response
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.peer import CONTACT, WS, Peer

pytestmark = pytest.mark.unit

CANCELLED = Ended(False, 487, "Request Terminated")


# -- calling ------------------------------------------------------------------------------------


def test_invite_says_who_we_are_and_what_we_can(peer: Peer) -> None:
    peer.call(headers=[("Call-Info", "<sip:x>;answer-after=0")])
    invite = peer.last()
    assert isinstance(invite, Request)
    assert invite.headers.get("Contact") == "<sip:bob@192.0.2.2:5060>"
    assert invite.headers.get("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE"
    assert invite.headers.get("Supported") == "100rel, timer"
    assert invite.headers.get("Call-Info") == "<sip:x>;answer-after=0"
    assert invite.max_forwards == 70
    assert (invite.content_type, invite.body) == ("application/sdp", b"offer")
    assert invite.via.parameter("rport") == ""
    assert invite.from_.tag
    assert invite.to.tag is None


def test_provisional_responses_are_told_and_100_is_not(peer: Peer) -> None:
    session = peer.call()
    peer.answer(100, tag=None)
    assert session.state is SessionState.CALLING
    peer.answer(180)
    peer.answer(183, sdp=b"early")
    assert peer.session_events() == [
        Progress(180, "Ringing"),
        Progress(183, "Session Progress", b"early"),
    ]
    assert session.state is SessionState.EARLY
    assert session.sdp == b"early"


def test_answer_that_came_early_is_that_of_a_2xx_without_one(peer: Peer) -> None:
    session = peer.call()
    peer.answer(183, sdp=b"early")
    peer.answer(200)
    assert peer.told(Answered) == [Answered(b"early")]
    assert session.is_confirmed


def test_ack_goes_to_the_contact_by_the_route_set(peer: Peer) -> None:
    """§13.2.2.4, §12.2.1.1."""
    session = peer.call()
    invite = peer.requests()[-1]
    invite.headers.add("Record-Route", "<sip:192.0.2.50;lr>")
    headers = (("Contact", "<sip:alice@192.0.2.77:5077>"),)
    peer.answer(200, to=invite, headers=headers)
    ack = peer.last()
    assert isinstance(ack, Request)
    assert (ack.method, str(ack.uri)) == ("ACK", "sip:alice@192.0.2.77:5077")
    assert ack.headers.get("Route") == "<sip:192.0.2.50;lr>"
    assert ack.via.branch != invite.via.branch
    assert ack.cseq.number == 1
    assert peer.flows[-1].host == "192.0.2.50"
    peer.do(session.bye)
    bye = peer.last()
    assert isinstance(bye, Request)
    assert (str(bye.uri), bye.cseq.number) == ("sip:alice@192.0.2.77:5077", 2)


def test_each_repeated_2xx_is_acknowledged_again(peer: Peer) -> None:
    peer.established_call()
    ack = peer.last()
    assert peer.ladder() == ["INVITE", "ACK"]
    peer.run(1)
    session = peer.told(Answered)
    assert len(session) == 1
    peer.receive(invite_2xx(peer, ack))
    assert peer.ladder() == ["ACK"]
    assert len(peer.told(Answered)) == 1


def invite_2xx(peer: Peer, ack: object, tag: str = "t1") -> Response:
    """The 2xx of the INVITE that an ACK of ours belongs to."""
    assert isinstance(ack, Request)
    transaction = next(iter(peer.stack._layer._clients.values()))
    response = Response(200, "OK", transaction.request.headers.copy())
    response.headers.set("To", f"<sip:alice@192.0.2.1>;tag={tag}")
    response.headers.set("Contact", CONTACT[1])
    response.headers.remove("Content-Type")
    return response


def test_2xx_is_acknowledged_even_after_the_call_is_over(peer: Peer) -> None:
    """The ACK was lost, we hang up: the far end still repeats its 2xx."""
    session = peer.established_call()
    ack = peer.last()
    answer = invite_2xx(peer, ack)
    peer.do(session.bye)
    peer.answer(200)
    peer.ladder()
    peer.receive(answer)
    assert peer.ladder() == ["ACK"]
    peer.assert_idle()


@pytest.mark.parametrize("status", [302, 404, 486, 500, 603])
def test_refusal_ends_the_session(peer: Peer, status: int) -> None:
    session = peer.call()
    peer.answer(180)
    peer.answer(status, headers=(("Reason", "Q.850;cause=17"),))
    (ended,) = peer.told(Ended)
    assert (ended.by_remote, ended.status, ended.q850) == (True, status, 17)
    assert peer.ladder()[-1] == "ACK"
    assert session.has_ended
    peer.assert_idle()


def test_where_a_3xx_sends_us_is_told_with_the_most_wanted_first(peer: Peer) -> None:
    peer.call()
    contact = "<sip:a@x>;q=0.1, <sip:b@x>, <tel:+4930>;q=0.5, <sip:c@x>;q=nonsense"
    peer.answer(300, headers=(("Contact", contact),))
    (ended,) = peer.told(Ended)
    said = [str(contact.uri) for contact in ended.contacts]
    assert said == ["sip:b@x", "sip:c@x", "tel:+4930", "sip:a@x"]
    peer.assert_idle()


@pytest.mark.parametrize(("status", "contact"), [(486, "<sip:a@x>"), (302, None)])
def test_a_refusal_without_another_place_sends_us_nowhere(
    peer: Peer, status: int, contact: str | None
) -> None:
    peer.call()
    peer.answer(status, headers=(("Contact", contact),) if contact else ())
    assert [(ended.status, ended.contacts) for ended in peer.told(Ended)] == [(status, ())]


# -- CANCEL -------------------------------------------------------------------------------------


def test_cancel_waits_for_a_first_response(peer: Peer) -> None:
    """§9.1: before it, the CANCEL could overtake its INVITE."""
    session = peer.call()
    peer.do(session.cancel, 16)
    assert peer.told(Ended) == [Ended(False, 487, "Request Terminated", 16)]
    assert peer.ladder() == ["INVITE"]
    invite = next(iter(peer.stack._layer._clients.values())).request
    peer.answer(100, to=invite, tag=None)
    cancel = peer.last()
    assert isinstance(cancel, Request)
    assert cancel.headers.get("Reason") == "Q.850;cause=16"
    peer.answer(180, to=invite)
    assert peer.ladder() == ["CANCEL"]
    peer.answer(200, to=cancel)
    peer.answer(487, to=invite)
    assert peer.ladder() == ["ACK"]
    peer.assert_idle()


def test_cancelled_call_that_nobody_answers_ends_with_its_transaction(peer: Peer) -> None:
    peer.do(peer.call().cancel)
    peer.run()
    assert "CANCEL" not in peer.ladder()
    assert peer.told(Ended) == [CANCELLED]
    peer.assert_idle()


def test_2xx_that_crosses_our_cancel_wins(peer: Peer) -> None:
    """§9.1, §13.2.2.4: ACK it, then BYE."""
    session = peer.call()
    peer.answer(180)
    invite = peer.requests()[-1]
    peer.do(session.cancel)
    peer.ladder()
    peer.answer(200, to=invite, sdp=b"answer")
    assert peer.ladder() == ["ACK", "BYE"]
    assert peer.told(Answered) == []
    assert peer.told(Ended) == [CANCELLED]
    assert peer.stack.dialog_count == 1
    peer.run(40)
    peer.assert_idle()


def test_refusal_that_crosses_our_cancel_is_only_acknowledged(peer: Peer) -> None:
    session = peer.call()
    peer.answer(180)
    invite = peer.requests()[-1]
    peer.do(session.cancel)
    peer.answer(486, to=invite)
    assert peer.ladder() == ["INVITE", "CANCEL", "ACK"]
    assert peer.told(Ended) == [CANCELLED]
    peer.assert_idle()


def test_no_end_after_cancel_counts_as_one_after_64_t1(peer: Peer) -> None:
    session = peer.call()
    peer.answer(180)
    peer.do(session.cancel)
    peer.answer(200)
    peer.run(31.9)
    assert peer.stack.transaction_count == 1
    peer.run(0.2)
    assert peer.stack.is_idle


def test_challenge_after_cancel_is_not_answered(peer: Peer) -> None:
    session = peer.call()
    peer.do(session.cancel)
    peer.answer(407, headers=(("Proxy-Authenticate", 'Digest realm="x", nonce="n"'),))
    assert peer.ladder() == ["INVITE", "ACK"]


def test_cancel_after_an_answered_challenge_waits_for_the_second_invite(peer: Peer) -> None:
    """The 100 of the first INVITE says nothing of the second."""
    credentials = DigestCredentials("bob", "x", "secret")
    session = peer.call(credentials=credentials)
    peer.answer(100, tag=None)
    peer.answer(407, headers=(("Proxy-Authenticate", 'Digest realm="x", nonce="n"'),))
    invite = peer.requests()[-1]
    peer.do(session.cancel)
    assert peer.ladder() == ["INVITE", "ACK", "INVITE"]
    peer.answer(100, to=invite, tag=None)
    cancel = peer.last()
    assert isinstance(cancel, Request)
    assert (cancel.via, cancel.cseq.number) == (invite.via, 2)


def test_cancel_takes_the_route_of_its_invite(peer: Peer) -> None:
    session = peer.call(routes=[NameAddr.parse("<sip:192.0.2.50;lr>")])
    peer.answer(180)
    peer.do(session.cancel)
    assert peer.last().headers.get("Route") == "<sip:192.0.2.50;lr>"


# -- forks --------------------------------------------------------------------------------------


def test_forks_ring_and_the_first_2xx_wins(peer: Peer) -> None:
    session = peer.call()
    invite = peer.requests()[-1]
    for tag in ("a", "b", "c"):
        peer.answer(180, to=invite, tag=tag)
    assert peer.stack.dialog_count == 3
    peer.answer(200, to=invite, tag="b", sdp=b"answer of b")
    assert session.remote.tag == "b"
    assert peer.stack.dialog_count == 1
    assert peer.ladder() == ["INVITE", "ACK"]

    peer.answer(200, to=invite, tag="a", sdp=b"answer of a")
    ack, bye = peer.out
    assert isinstance(bye, Request)
    assert (summary_of(ack), summary_of(bye)) == (("ACK", "a"), ("BYE", "a"))
    assert session.sdp == b"answer of b"
    assert peer.told(Answered) == [Answered(b"answer of b")]
    peer.answer(200, to=bye)
    peer.answer(200, to=invite, tag="a")
    assert summary_of(peer.last()) == ("ACK", "a")
    assert len(peer.out) == 3

    peer.do(session.bye)
    peer.answer(200)
    peer.assert_idle()


def summary_of(message: object) -> tuple[str, str | None]:
    assert isinstance(message, Request)
    return message.method, message.to.tag


def test_every_fork_that_answers_after_our_cancel_gets_a_bye(peer: Peer) -> None:
    session = peer.call()
    invite = peer.requests()[-1]
    peer.answer(180, to=invite, tag="a")
    peer.do(session.cancel)
    for tag in ("a", "b"):
        peer.answer(200, to=invite, tag=tag)
    assert peer.ladder() == ["INVITE", "CANCEL", "ACK", "BYE", "ACK", "BYE"]
    peer.assert_idle()


def test_bye_in_an_early_dialog_ends_that_fork_alone(peer: Peer) -> None:
    session = peer.call()
    invite = peer.requests()[-1]
    for tag in ("a", "b"):
        peer.answer(180, to=invite, tag=tag)
    bye = peer.in_dialog("BYE", session, from_tag="a", cseq=1)
    peer.receive(bye)
    assert peer.ladder()[-1] == "200 BYE"
    assert peer.stack.dialog_count == 1
    peer.answer(200, to=invite, tag="b")
    assert session.is_confirmed


# -- late offer ---------------------------------------------------------------------------------


def test_ack_of_a_late_offer_waits_for_our_answer(peer: Peer) -> None:
    session = peer.call(None)
    invite = peer.requests()[-1]
    peer.answer(200, to=invite, sdp=b"their offer")
    assert session.state is SessionState.ANSWERED
    peer.answer(200, to=invite, sdp=b"their offer")
    assert peer.ladder() == ["INVITE"]
    peer.do(session.accept, b"our answer")
    ack = peer.last()
    assert (summary_of(ack), ack.body) == (("ACK", "t1"), b"our answer")
    peer.answer(200, to=invite, sdp=b"their offer")
    assert peer.ladder() == ["ACK", "ACK"]
    assert session.is_confirmed


def test_hanging_up_instead_of_answering_a_late_offer(peer: Peer) -> None:
    session = peer.call(None)
    peer.answer(200, sdp=b"their offer")
    peer.do(session.hang_up)
    assert peer.ladder() == ["INVITE", "ACK", "BYE"]
    peer.assert_idle()


def test_invite_without_an_offer_is_offered_in_our_2xx(peer: Peer) -> None:
    session = peer.incoming(sdp=b"")
    assert session.sdp is None
    peer.do(session.accept, b"our offer")
    headers = (("Content-Type", "application/sdp"),)
    peer.receive(peer.in_dialog("ACK", session, cseq=1, headers=headers, body=b"their answer"))
    assert peer.told(Confirmed) == [Confirmed(b"their answer")]
    assert session.sdp == b"their answer"


# -- being called -------------------------------------------------------------------------------


def test_nobody_is_rung_before_the_driver_opens_the_session(peer: Peer) -> None:
    peer.receive(request())
    (received,) = peer.events
    assert isinstance(received, RequestReceived)
    assert peer.stack.session_count == 0
    peer.run(1)
    assert peer.ladder() == ["100 INVITE"]


def test_ringing_is_repeated_every_minute(peer: Peer) -> None:
    """§13.3.1.1: or a proxy would give the call up."""
    session = peer.incoming()
    peer.do(session.ring)
    peer.run(119)
    assert peer.ladder() == ["180 INVITE", "180 INVITE"]
    peer.do(session.ring, b"early")
    peer.run(59)
    assert peer.ladder() == ["183 INVITE"]
    peer.do(session.accept, b"answer")
    peer.run(0.1)
    assert peer.ladder() == ["200 INVITE"]


def test_answers_hold_contact_tag_and_record_route(peer: Peer) -> None:
    routes = (("Record-Route", "<sip:192.0.2.50;lr>"), ("Record-Route", "<sip:192.0.2.51;lr>"))
    peer.receive(request(headers=routes))
    session = peer.do(peer.stack.open_session, peer.told(RequestReceived)[-1].transaction)
    assert session is not None
    peer.do(session.ring)
    peer.do(session.accept, b"answer")
    ringing, answer = peer.out
    for message in (ringing, answer):
        assert message.headers.get("Contact") == "<sip:bob@192.0.2.2:5060>"
        assert message.to.tag == session.local.tag
        assert len(message.record_routes) == 2
    assert answer.body == b"answer"


@pytest.mark.parametrize("flow", [None, WS], ids=["udp", "ws"])
def test_2xx_is_repeated_until_the_ack_on_every_flow(flow: Flow | None) -> None:
    """§13.3.1.4: a hop behind a reliable one may lose it."""
    peer = Peer(flow) if flow else Peer()
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.run(7.6)
    assert peer.ladder() == ["200 INVITE"] * 5  # 0, 0.5, 1.5, 3.5, 7.5
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    peer.run(100)
    assert peer.ladder() == []
    assert peer.told(Confirmed) == [Confirmed()]


def test_missing_ack_ends_the_call_with_bye(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.run(31.9)
    assert peer.told(Ended) == []
    peer.run(0.2)
    assert peer.told(Ended) == [Ended(True, 408, "no ACK")]
    assert peer.ladder()[-1] == "BYE"
    peer.assert_idle()


def test_ack_with_another_number_acknowledges_nothing(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.receive(peer.in_dialog("ACK", session, cseq=9))
    assert session.state is SessionState.ANSWERED


def test_ack_with_the_branch_of_the_invite_counts(peer: Peer) -> None:
    """Some user agents of old do so; the transaction passes it up (RFC 6026 §7.1)."""
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.receive(request("ACK", to_tag=session.local.tag))
    assert session.is_confirmed


def test_refusing_names_status_reason_and_headers(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.reject, 302, "Gone", [("Contact", "<sip:bob@192.0.2.9>")])
    answer = peer.last()
    assert answer.start_line == "SIP/2.0 302 Gone"
    assert answer.headers.get("Contact") == "<sip:bob@192.0.2.9>"
    assert peer.told(Ended) == [Ended(False, 302, "Gone")]
    assert peer.stack.dialog_count == 0


def test_cancel_of_the_caller_ends_the_session(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.ring)
    peer.ladder()
    peer.receive(request("CANCEL", headers=(("Reason", "Q.850;cause=26"),)))
    accepted, terminated = peer.out
    assert peer.ladder() == ["200 CANCEL", "487 INVITE"]
    assert accepted.to.tag == terminated.to.tag == session.local.tag
    assert peer.told(Ended) == [Ended(True, 487, "Request Terminated", 26)]
    peer.receive(request("ACK", to_tag=session.local.tag))
    peer.assert_idle()


def test_cancel_after_our_2xx_changes_nothing(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.ladder()
    peer.receive(request("CANCEL"))
    assert peer.ladder() == ["200 CANCEL"]
    assert session.state is SessionState.ANSWERED


def test_invite_that_expires_is_terminated(peer: Peer) -> None:
    """§13.3.1."""
    session = peer.incoming(sdp=b"", headers=(("Expires", "30"),))
    peer.do(session.ring)
    peer.run(30)
    assert peer.ladder()[-1] == "487 INVITE"
    assert peer.told(Ended) == [Ended(True, 487, "Request Terminated")]
    peer.assert_idle()

    answered = Peer()
    session = answered.incoming(sdp=b"", headers=(("Expires", "30"),))
    answered.do(session.accept, b"answer")
    answered.receive(answered.in_dialog("ACK", session, cseq=1))
    answered.run(40)
    assert session.is_confirmed


def test_caller_that_hangs_up_by_bye_before_the_answer(peer: Peer) -> None:
    """§15.1.2: the INVITE is answered 487."""
    session = peer.incoming()
    peer.do(session.ring)
    peer.ladder()
    peer.receive(peer.in_dialog("BYE", session))
    assert peer.ladder() == ["200 BYE", "487 INVITE"]
    assert peer.told(Ended) == [Ended(True)]


# -- BYE ----------------------------------------------------------------------------------------


def test_bye_before_the_ack_waits_for_it(peer: Peer) -> None:
    """§15: the 2xx might overtake the BYE."""
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.do(session.bye, 16)
    assert peer.told(Ended) == [Ended(False, q850=16)]
    assert peer.ladder() == ["200 INVITE"]
    peer.receive(peer.in_dialog("ACK", session, cseq=1))
    bye = peer.last()
    assert bye.headers.get("Reason") == "Q.850;cause=16"
    peer.answer(200)
    assert peer.told(Confirmed) == []
    peer.assert_idle()


def test_bye_without_any_ack_goes_out_after_64_t1(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.do(session.bye)
    peer.run(32.1)
    assert peer.ladder()[-1] == "BYE"
    assert peer.told(Ended) == [Ended(False)]
    peer.assert_idle()


def test_bye_of_the_far_end_before_its_ack(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.accept, b"answer")
    peer.receive(peer.in_dialog("BYE", session))
    peer.ladder()
    peer.run(40)
    assert peer.ladder() == []
    assert peer.told(Ended) == [Ended(True)]
    peer.assert_idle()


def test_byes_that_cross_are_both_answered_200(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.bye)
    peer.receive(peer.in_dialog("BYE", session))
    assert peer.ladder()[-2:] == ["BYE", "200 BYE"]
    assert peer.told(Ended) == [Ended(False)]
    peer.assert_idle()


def test_cause_of_a_bye_is_told(peer: Peer) -> None:
    session = peer.established_incoming()
    reason = ("Reason", 'Q.850 ;cause=102 ;text="recovery on timer expiry"')
    peer.receive(peer.in_dialog("BYE", session, headers=(reason,)))
    assert peer.told(Ended) == [Ended(True, q850=102)]
    assert peer.ladder()[-1] == "200 BYE"
    peer.assert_idle()


def test_info_that_finds_no_call_while_we_ring_leaves_the_call_to_its_invite(peer: Peer) -> None:
    """The 180 that made the dialog may have been lost; the INVITE is still to be answered."""
    session = peer.incoming()
    peer.do(session.ring)
    operation = peer.do(session.info, "text/plain", b"?")
    peer.answer(481)
    assert peer.session_events() == [InfoCompleted(operation, 481)]
    peer.do(session.hang_up)
    assert peer.ladder()[-1] == "480 INVITE"
    peer.assert_idle()


def test_other_requests_after_our_bye_are_481(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.bye)
    peer.receive(peer.in_dialog("INFO", session))
    peer.receive(peer.in_dialog("INVITE", session, cseq=3))
    assert peer.ladder()[-2:] == ["481 INFO", "481 INVITE"]


def test_bye_that_nobody_answers_leaves_nothing(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.bye)
    peer.assert_idle()
    assert peer.told(Ended) == [Ended(False)]


# -- INFO, OPTIONS, order -----------------------------------------------------------------------


def test_info_goes_both_ways(peer: Peer) -> None:
    session = peer.established_incoming()
    headers = (("Content-Type", "application/dtmf-relay"),)
    peer.receive(peer.in_dialog("INFO", session, headers=headers, body=b"Signal=5"))
    assert peer.ladder()[-1] == "200 INFO"
    assert peer.told(InfoReceived) == [InfoReceived("application/dtmf-relay", b"Signal=5")]

    operation = peer.do(session.info, "application/dtmf-relay", b"Signal=6")
    info = peer.last()
    assert (info.content_type, info.body) == ("application/dtmf-relay", b"Signal=6")
    peer.answer(100, tag=None)
    peer.answer(200)
    assert peer.told(InfoCompleted) == [InfoCompleted(operation, 200)]


def test_info_without_an_answer_is_408_and_the_call_goes_on(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.info, "text/plain", b"?")
    peer.run(40)
    assert peer.told(InfoCompleted) == [InfoCompleted(operation, 408)]
    assert session.is_confirmed


def test_info_to_a_dialog_that_is_gone_ends_the_call(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.info, "text/plain", b"?")
    peer.answer(481)
    assert [type(event) for event in peer.session_events()[-2:]] == [InfoCompleted, Ended]
    assert peer.told(Ended)[0].status == 481
    peer.assert_idle()


def test_open_info_is_settled_before_the_end(peer: Peer) -> None:
    session = peer.established_incoming()
    operation = peer.do(session.info, "text/plain", b"?")
    peer.do(session.bye)
    assert peer.session_events()[-2:] == [InfoCompleted(operation, 481), Ended(False)]
    peer.answer(200, to=peer.requests()[-2])
    assert len(peer.told(InfoCompleted)) == 1


def test_options_in_the_dialog_is_answered(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("OPTIONS", session))
    answer = peer.last()
    assert answer.start_line == "SIP/2.0 200 OK"
    assert answer.headers.get("Accept") == "application/sdp"
    assert "INVITE" in answer.tokens("Allow")


def test_request_out_of_order_is_500(peer: Peer) -> None:
    """§12.2.2."""
    session = peer.established_incoming()
    peer.receive(peer.in_dialog("INFO", session, cseq=5))
    peer.receive(peer.in_dialog("INFO", session, cseq=4))
    assert peer.ladder()[-2:] == ["200 INFO", "500 INFO"]
    assert len(peer.told(InfoReceived)) == 1


def test_repeated_request_is_answered_again_and_told_once(peer: Peer) -> None:
    session = peer.established_incoming()
    for _ in range(3):
        peer.receive(peer.in_dialog("INFO", session))
    assert peer.ladder()[-3:] == ["200 INFO"] * 3
    assert len(peer.told(InfoReceived)) == 1


# -- flows --------------------------------------------------------------------------------------


def test_lost_connection_ends_a_call_that_is_not_answered() -> None:
    for start in (Peer.call, Peer.incoming):
        peer = Peer(WS)
        start(peer)
        peer.stack.flow_closed(WS, peer.now)
        peer.drain()
        (ended,) = peer.told(Ended)
        assert (ended.by_remote, ended.status) == (True, 503)
        assert ended.error is not None
        peer.assert_idle()


def test_answered_call_outlives_its_connection_and_follows_the_far_end() -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert session.is_confirmed
    back = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 2)
    peer.receive(peer.in_dialog("INFO", session), back)
    assert session.flow == back
    peer.do(session.bye)
    assert peer.flows[-1] == back


def test_driver_may_name_another_flow() -> None:
    peer = Peer(WS)
    session = peer.established_call()
    other = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 3)
    session.use_flow(other)
    peer.do(session.bye)
    assert peer.flows[-1] == other


def test_hanging_up_on_a_dead_connection_leaves_nothing() -> None:
    peer = Peer(WS)
    session = peer.established_incoming()
    peer.stack.flow_closed(WS, peer.now)
    peer.do(session.hang_up)
    peer.stack.flow_closed(WS, peer.now)  # the driver could not send the BYE
    peer.drain()
    assert peer.told(Ended) == [Ended(False)]
    peer.assert_idle()


# -- hang_up and what is forbidden --------------------------------------------------------------


def in_state(peer: Peer, role: Role, state: SessionState) -> InviteUsage:
    if role is Role.UAC:
        session = peer.call(None if state is SessionState.ANSWERED else b"offer")
        if state is SessionState.EARLY:
            peer.answer(180)
        elif state is not SessionState.CALLING:
            peer.answer(200, sdp=b"x")
    else:
        session = peer.incoming()
        if state is SessionState.EARLY:
            peer.do(session.ring)
        elif state is not SessionState.PROCEEDING:
            peer.do(session.accept, b"answer")
        if state in (SessionState.CONFIRMED, SessionState.ENDED):
            peer.receive(peer.in_dialog("ACK", session, cseq=1))
    if state is SessionState.ENDED:
        peer.do(session.bye)
        peer.answer(200)
    peer.ladder()
    assert session.state is state
    return session


STATES = [
    (Role.UAC, SessionState.CALLING, []),
    (Role.UAC, SessionState.EARLY, ["CANCEL"]),
    (Role.UAC, SessionState.ANSWERED, ["ACK", "BYE"]),
    (Role.UAC, SessionState.CONFIRMED, ["BYE"]),
    (Role.UAC, SessionState.ENDED, []),
    (Role.UAS, SessionState.PROCEEDING, ["486 INVITE"]),
    (Role.UAS, SessionState.EARLY, ["486 INVITE"]),
    (Role.UAS, SessionState.ANSWERED, []),
    (Role.UAS, SessionState.CONFIRMED, ["BYE"]),
    (Role.UAS, SessionState.ENDED, []),
]


@pytest.mark.parametrize(("role", "state", "sent"), STATES)
def test_hang_up_does_what_the_state_needs(
    peer: Peer, role: Role, state: SessionState, sent: list[str]
) -> None:
    session = in_state(peer, role, state)
    peer.do(session.hang_up, 486, 17)
    assert [summary for summary in peer.ladder() if summary != "100 INVITE"] == sent
    assert len(peer.told(Ended)) == 1
    peer.do(session.hang_up)
    assert peer.ladder() == []
    peer.assert_idle()


def test_hang_up_tells_the_cause_in_a_refusal(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.hang_up, 200, 17)
    assert peer.last().start_line == "SIP/2.0 480 Temporarily Unavailable"
    assert peer.last().headers.get("Reason") == "Q.850;cause=17"
    assert peer.told(Ended) == [Ended(False, 480, "", 17)]


OPERATIONS: dict[str, tuple[Callable[[InviteUsage], Callable[..., object]], tuple[object, ...]]] = {
    "ring": (lambda session: session.ring, ()),
    "accept": (lambda session: session.accept, (b"x",)),
    "reject": (lambda session: session.reject, (486,)),
    "cancel": (lambda session: session.cancel, ()),
    "bye": (lambda session: session.bye, ()),
    "reinvite": (lambda session: session.reinvite, (b"x",)),
    "info": (lambda session: session.info, ("text/plain", b"x")),
}
ALLOWED = {
    (Role.UAC, SessionState.CALLING): {"cancel"},
    (Role.UAC, SessionState.EARLY): {"cancel"},
    (Role.UAC, SessionState.ANSWERED): {"accept", "bye", "reinvite", "info"},
    (Role.UAC, SessionState.CONFIRMED): {"bye", "reinvite", "info"},
    (Role.UAC, SessionState.ENDED): set(),
    (Role.UAS, SessionState.PROCEEDING): {"ring", "accept", "reject"},
    (Role.UAS, SessionState.EARLY): {"ring", "accept", "reject", "info"},
    (Role.UAS, SessionState.ANSWERED): {"bye", "reinvite", "info"},
    (Role.UAS, SessionState.CONFIRMED): {"bye", "reinvite", "info"},
    (Role.UAS, SessionState.ENDED): set(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("role", "state"), ALLOWED)
def test_what_each_state_allows(
    peer: Peer, role: Role, state: SessionState, operation: str
) -> None:
    session = in_state(peer, role, state)
    method, arguments = OPERATIONS[operation]
    if operation in ALLOWED[role, state]:
        peer.do(method(session), *arguments)
    else:
        with pytest.raises(LocalProtocolError):
            peer.do(method(session), *arguments)
        assert peer.ladder() == []


@pytest.mark.parametrize("status", [100, 200, 299])
def test_only_refusals_refuse(peer: Peer, status: int) -> None:
    session = peer.incoming()
    with pytest.raises(LocalProtocolError):
        peer.do(session.reject, status)


def test_repr_tells_role_and_state(peer: Peer) -> None:
    session = peer.established_incoming()
    assert peer.call().dialog_for(request()) is None
    with pytest.raises(LocalProtocolError):
        _ = peer.call().dialog
    assert repr(session) == f"<InviteUsage {session.id} uas sip:alice@192.0.2.1 confirmed c1>"


def test_request_uri_holds_no_headers_and_no_method() -> None:
    """§19.1.1: a far end may put them into its Contact, and the one that is called would refuse."""
    peer = Peer()
    session = peer.call()
    peer.answer(200, headers=(("Contact", "<sip:alice@192.0.2.1;method=BYE;x=y?Route=a>"),))
    peer.do(session.bye)
    assert str(peer.requests()[-1].uri) == "sip:alice@192.0.2.1;x=y"
