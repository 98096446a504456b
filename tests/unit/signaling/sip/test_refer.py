"""REFER (RFC 3515), sipfrag (RFC 3420), no subscription (RFC 4488), with a far end by hand."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.events import (
    ReferAccepted,
    ReferCompleted,
    ReferEvent,
    ReferProgress,
    ReferralChanged,
    Referred,
)
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Request, Response
from signaling.sip.refer import ReferRecipient, format_sipfrag, parse_sipfrag
from tests.unit.signaling.sip.peer import BOB, Peer

pytestmark = pytest.mark.unit

CAROL = NameAddr.parse("<sip:carol@192.0.2.3>")
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REFER", "NOTIFY")


@pytest.fixture
def peer() -> Peer:
    return Peer(allow=METHODS, supported=("replaces", "norefersub"))


def refer_of_alice(
    peer: Peer, session: InviteUsage, *refer_to: str, cseq: int = 2, **fields: str
) -> None:
    headers = tuple(("Refer-To", text) for text in refer_to)
    headers += tuple((name.replace("_", "-"), text) for name, text in fields.items())
    peer.receive(peer.in_dialog("REFER", session, cseq=cseq, headers=headers))


def referral(peer: Peer) -> ReferRecipient:
    return peer.told(Referred)[-1].referral


def notify(
    peer: Peer,
    session: InviteUsage,
    fragment: bytes,
    state: str = "active;expires=60",
    *,
    cseq: int = 2,
    event: str = "refer",
) -> None:
    headers = (
        ("Event", event),
        ("Subscription-State", state),
        ("Content-Type", "message/sipfrag;version=2.0"),
    )
    peer.receive(peer.in_dialog("NOTIFY", session, cseq=cseq, headers=headers, body=fragment))


def outcome(peer: Peer) -> list[ReferEvent]:
    return [event.event for event in peer.events if isinstance(event, ReferralChanged)]


def status_of(peer: Peer) -> tuple[int, str]:
    answer = peer.last()
    assert isinstance(answer, Response)
    return answer.status, answer.reason


def fragments(peer: Peer) -> list[tuple[str, bytes]]:
    """State and body of each NOTIFY that went out."""
    return [
        (each.headers.get("Subscription-State") or "", each.body)
        for each in peer.out
        if isinstance(each, Request) and each.method == "NOTIFY"
    ]


# -- the fragment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"SIP/2.0 200 OK\r\n", (200, "OK")),
        (b"SIP/2.0 180\r\n", (180, "")),
        (b"sip/2.0 486 Busy Here", (486, "Busy Here")),
        (b"SIP/2.0 603 Decline\r\nContact: <sip:x@y>\r\n", (603, "Decline")),
        (b"SIP/2.0 099 Odd\r\n", None),
        (b"SIP/2.0 2000 OK\r\n", None),
        (b"INVITE sip:x@y SIP/2.0\r\n", None),
        (b"", None),
        (b"\xff\xfe", None),
        # Read in time that grows with its square, this would take a minute.
        (b"SIP/2.0 200" + b" " * 60_000 + b"\rOK", None),
    ],
)
def test_a_fragment_is_read_or_not(body: bytes, said: tuple[int, str] | None) -> None:
    assert parse_sipfrag(body) == said


def test_a_fragment_is_a_status_line() -> None:
    assert format_sipfrag(486) == b"SIP/2.0 486 Busy Here\r\n"


# -- we are asked -------------------------------------------------------------------------------


def test_a_refer_is_accepted_and_the_outcome_told_by_notify(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(
        peer, session, "<sip:carol@192.0.2.3>", Referred_By="<sip:alice@192.0.2.1>;cid=1"
    )
    asked = referral(peer)
    assert str(asked.refer_to) == "sip:carol@192.0.2.3"
    assert asked.referred_by is not None
    assert asked.referred_by.uri.user == "alice"
    peer.ladder()
    peer.do(asked.accept)
    peer.answer(200)
    peer.do(asked.progress, 180)
    peer.answer(200)
    peer.do(asked.complete, 486)
    peer.answer(200)
    assert fragments(peer) == [
        ("active;expires=300", b"SIP/2.0 100 Trying\r\n"),
        ("active;expires=300", b"SIP/2.0 180 Ringing\r\n"),
        ("terminated;reason=noresource", b"SIP/2.0 486 Busy Here\r\n"),
    ]
    assert peer.ladder() == ["202 REFER", "NOTIFY", "NOTIFY", "NOTIFY"]
    assert session.is_confirmed
    peer.do(session.bye)
    peer.answer(200)
    peer.assert_idle()


def test_our_bye_waits_until_the_outcome_is_told(peer: Peer) -> None:
    """Many a phone listens to no NOTIFY after a BYE."""
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.accept)
    peer.do(asked.complete, 200)
    peer.do(session.bye)
    assert session.has_ended
    for sent in ("NOTIFY", "NOTIFY", "BYE"):
        assert peer.requests()[-1].method == sent
        peer.answer(200)
    assert [body for _, body in fragments(peer)][1:] == [b"SIP/2.0 200 OK\r\n"]
    peer.assert_idle()


def test_our_bye_is_not_said_where_the_far_end_was_first(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.accept)
    peer.do(asked.complete, 200)
    peer.do(session.bye)
    first = peer.requests()[-1]
    peer.receive(peer.in_dialog("BYE", session, cseq=3))
    peer.answer(200, to=first)
    peer.answer(481)
    assert "BYE" not in peer.ladder()
    peer.assert_idle()


def test_our_bye_is_said_though_nobody_takes_the_notify(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.accept)
    peer.do(asked.complete, 200)
    peer.do(session.bye)
    peer.run(40)
    assert "BYE" in peer.ladder()
    peer.assert_idle()


def test_one_notify_at_a_time_and_the_last_state_alone(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.accept)
    peer.do(asked.progress, 180)
    peer.do(asked.complete, 200)
    assert len(fragments(peer)) == 1
    peer.answer(200)
    assert fragments(peer)[1:] == [("terminated;reason=noresource", b"SIP/2.0 200 OK\r\n")]


@pytest.mark.parametrize(("status", "reason"), [(603, "Decline"), (486, "Busy Here")])
def test_a_refer_is_refused(peer: Peer, status: int, reason: str) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.refuse, status)
    assert status_of(peer) == (status, reason)
    with pytest.raises(LocalProtocolError):
        peer.do(asked.accept)
    assert session.is_confirmed


@pytest.mark.parametrize(
    ("refer_to", "status"),
    [
        ((), 400),
        (("<sip:a@b>", "<sip:c@d>"), 400),
        (("<tel:+15551234>",), 416),
        (("<sip:carol@192.0.2.3;method=SUBSCRIBE>",), 603),
        (("<sip:carol@192.0.2.3?Replaces=nonsense>",), 400),
        (("<<>",), 400),
    ],
)
def test_a_refer_that_can_not_be_done(peer: Peer, refer_to: tuple[str, ...], status: int) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, *refer_to)
    assert status_of(peer)[0] == status
    assert peer.told(Referred) == []
    assert session.is_confirmed


def test_escaped_headers_of_refer_to(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(
        peer,
        session,
        "<sip:carol@192.0.2.3;method=INVITE?Replaces=c9%40h%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=x>",
    )
    asked = referral(peer)
    assert str(asked.refer_to) == "sip:carol@192.0.2.3"
    assert str(asked.replaces) == "c9@h;to-tag=1;from-tag=2"


def test_who_wants_no_notify_gets_none(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>", Refer_Sub="false")
    asked = referral(peer)
    peer.do(asked.accept)
    answer = peer.last()
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Refer-Sub")) == (202, "false")
    peer.do(asked.complete, 200)
    assert fragments(peer) == []


def test_only_the_first_refer_of_a_dialog_goes_without_an_id(peer: Peer) -> None:
    session = peer.established_incoming()
    for cseq in (2, 3):
        refer_of_alice(peer, session, "<sip:carol@192.0.2.3>", cseq=cseq)
        peer.do(referral(peer).accept)
    events = [each.headers.get("Event") for each in peer.requests()]
    assert events == ["refer", "refer;id=3"]


def test_who_knows_of_no_subscription_is_told_no_more(peer: Peer) -> None:
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    asked = referral(peer)
    peer.do(asked.accept)
    peer.answer(481)
    peer.do(asked.complete, 200)
    assert len(fragments(peer)) == 1
    peer.do(session.bye)
    peer.answer(200)
    peer.assert_idle()


def test_who_unsubscribes_gets_a_last_notify() -> None:
    peer = Peer(allow=(*METHODS, "SUBSCRIBE"))
    session = peer.established_incoming()
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    peer.do(referral(peer).accept)
    peer.answer(200)
    headers = (("Event", "refer;id=2"), ("Expires", "0"))
    peer.receive(peer.in_dialog("SUBSCRIBE", session, cseq=3, headers=headers))
    assert fragments(peer)[1:] == [("terminated;reason=timeout", b"SIP/2.0 100 Trying\r\n")]
    peer.answer(200)
    peer.do(referral(peer).complete, 200)
    assert len(fragments(peer)) == 2


def test_contacts_of_a_refer_are_those_of_its_call(peer: Peer) -> None:
    """A NOTIFY may move the far end's target."""
    session = peer.established_incoming()
    said = session.contact[1]
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    peer.do(referral(peer).accept)
    answer, told = peer.out[-2:]
    assert answer.headers.get("Contact") == told.headers.get("Contact") == said


def test_a_refer_in_a_call_that_is_not_answered(peer: Peer) -> None:
    session = peer.incoming()
    peer.do(session.ring)
    refer_of_alice(peer, session, "<sip:carol@192.0.2.3>")
    assert status_of(peer)[0] == 403


# -- we ask -------------------------------------------------------------------------------------


def test_the_outcome_comes_from_notify_and_never_from_the_202(peer: Peer) -> None:
    session = peer.established_call()
    issuer = peer.do(session.refer, CAROL, referred_by=BOB)
    sent = peer.requests()[-1]
    assert sent.headers.get("Refer-To") == "<sip:carol@192.0.2.3>"
    assert sent.headers.get("Referred-By") == "<sip:bob@192.0.2.2>"
    peer.answer(202)
    assert outcome(peer) == [ReferAccepted()]
    notify(peer, session, b"SIP/2.0 100 Trying\r\n")
    notify(peer, session, b"SIP/2.0 180 Ringing\r\n", cseq=3)
    notify(peer, session, b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource", cseq=4)
    assert outcome(peer)[1:] == [
        ReferProgress(100, "Trying"),
        ReferProgress(180, "Ringing"),
        ReferCompleted(200, "OK"),
    ]
    assert issuer.has_ended
    notify(peer, session, b"SIP/2.0 200 OK\r\n", "terminated", cseq=5)
    assert status_of(peer)[0] == 481


def test_a_notify_may_be_faster_than_the_202(peer: Peer) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    sent = peer.requests()[-1]
    notify(peer, session, b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    assert outcome(peer) == [ReferAccepted(), ReferCompleted(200, "OK")]
    peer.answer(202, to=sent)
    assert len(outcome(peer)) == 2


@pytest.mark.parametrize("status", [486, 603, 405])
def test_a_refer_of_ours_is_refused(peer: Peer, status: int) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(status)
    assert [type(event) for event in outcome(peer)] == [ReferCompleted]
    assert outcome(peer)[0].status == status  # type: ignore[union-attr]  # asserted above
    assert session.is_confirmed


def test_a_missing_notify_is_timed_out(peer: Peer) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(202)
    peer.run(31)
    assert outcome(peer) == [ReferAccepted()]
    peer.run(2)
    assert outcome(peer)[1:] == [ReferCompleted(408, "no NOTIFY came")]
    assert session.is_confirmed


def test_a_notify_that_is_not_followed_by_another_is_timed_out(peer: Peer) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(202)
    notify(peer, session, b"SIP/2.0 100 Trying\r\n", "active;expires=60")
    peer.run(91)
    assert not isinstance(outcome(peer)[-1], ReferCompleted)
    peer.run(2)
    assert outcome(peer)[-1] == ReferCompleted(408, "no NOTIFY came")


def test_a_far_end_that_tells_no_outcome(peer: Peer) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(202)
    notify(peer, session, b"", "terminated;reason=giveup")
    assert outcome(peer)[1:] == [ReferCompleted(None, "giveup")]


def test_a_state_is_told_by_its_word_though_the_rest_makes_no_sense(peer: Peer) -> None:
    """As linphone says it."""
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(202)
    notify(peer, session, b"SIP/2.0 200 Ok\r\n", "terminated;reason=reason=noresource")
    assert status_of(peer)[0] == 200
    assert outcome(peer)[1:] == [ReferCompleted(200, "Ok")]


def test_two_refers_are_told_apart(peer: Peer) -> None:
    session = peer.established_call()
    first = peer.do(session.refer, CAROL)
    peer.answer(202)
    second = peer.do(session.refer, CAROL)
    peer.answer(202)
    number = peer.requests()[-1].cseq.number
    over = "terminated;reason=noresource"
    notify(peer, session, b"SIP/2.0 486 Busy Here\r\n", over, event=f"refer;id={number}")
    assert (first.has_ended, second.has_ended) == (False, True)
    notify(peer, session, b"SIP/2.0 200 OK\r\n", over, cseq=3)
    assert first.has_ended


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((("Subscription-State", "active"),), 489),
        ((("Event", "refer"),), 400),
        ((("Event", "presence"), ("Subscription-State", "active")), 481),
        ((("Event", 'refer;id="'), ("Subscription-State", "active")), 400),
    ],
)
def test_a_notify_that_makes_no_sense(
    peer: Peer, headers: tuple[tuple[str, str], ...], status: int
) -> None:
    session = peer.established_call()
    peer.do(session.refer, CAROL)
    peer.answer(202)
    peer.receive(peer.in_dialog("NOTIFY", session, headers=headers))
    assert status_of(peer)[0] == status
    assert outcome(peer) == [ReferAccepted()]


def test_no_refer_before_the_answer(peer: Peer) -> None:
    session = peer.call()
    with pytest.raises(LocalProtocolError):
        peer.do(session.refer, CAROL)
    assert peer.ladder() == ["INVITE"]
