"""Session timers in both roles (RFC 4028): who refreshes, when, and what ends in silence."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SipParseError
from signaling.sip.auth import DigestCredentials
from signaling.sip.events import Ended, Event, Refreshed, Reinvited, SessionChanged
from signaling.sip.invite import InviteUsage, Role
from signaling.sip.message import Request
from signaling.sip.offers import MAX_GLARES
from signaling.sip.refresh import MAX_REFRESHES
from signaling.sip.session_timer import (
    MAX_RAISES,
    Refresher,
    SessionExpires,
    SessionTimer,
    SessionTimerSettings,
)
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party, auto_answer
from tests.unit.signaling.sip.peer import CONTACT, Peer

pytestmark = pytest.mark.unit

ASKING = SessionTimerSettings(interval_s=1800)
EXPIRED = Ended(True, q850=102, reason_text="the session expired", expired=True)
TIMER = ("Supported", "timer")


def expires(value: str) -> tuple[str, str]:
    return "Session-Expires", value


def asking(**config: object) -> Peer:
    return Peer(session_timer=ASKING, **config)


# -- the header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1800", SessionExpires(1800)),
        ("90 ; refresher = UAC ;x=y", SessionExpires(90, Refresher.UAC)),
        ("90;refresher=uas", SessionExpires(90, Refresher.UAS)),
        ("90;refresher=proxy", SessionExpires(90)),
        ("90;refresher", SessionExpires(90)),
    ],
)
def test_session_expires_is_read(text: str, value: SessionExpires) -> None:
    assert SessionExpires.parse(text) == value
    assert SessionExpires.parse(str(value)) == value


@pytest.mark.parametrize("text", ["", "soon", "-1", "1_0", "90;;", "99999999999", "90;a=b;a=c"])
def test_what_is_no_session_expires_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        SessionExpires.parse(text)


# -- agreeing -----------------------------------------------------------------------------------


def test_our_invite_asks_and_says_the_least_that_we_take() -> None:
    peer = asking()
    peer.call()
    invite = peer.last()
    assert invite.headers.get("Session-Expires") == "1800"
    assert invite.headers.get("Min-SE") == "90"
    assert "timer" in invite.supported


def test_who_does_not_ask_still_says_that_it_could(peer: Peer) -> None:
    peer.call()
    invite = peer.last()
    assert "Session-Expires" not in invite.headers
    assert "timer" in invite.supported


@pytest.mark.parametrize(
    ("headers", "wanted_s", "answered", "requires"),
    [
        # RFC 4028 §9, table 2: what the caller supports and asks for; then what we answer
        ((TIMER, expires("600")), 0, "600;refresher=uas", False),
        ((TIMER, expires("600;refresher=uac")), 0, "600;refresher=uac", True),
        ((TIMER, expires("600;refresher=uas")), 0, "600;refresher=uas", False),
        ((expires("600"),), 0, "600;refresher=uas", False),
        ((expires("600;refresher=uac"),), 0, "600;refresher=uas", False),
        # who knows nothing of it, and could not ask for longer: a proxy did
        ((expires("89"),), 0, "90;refresher=uas", False),
        # ours is shorter, but not below what somebody on the way can bear
        ((TIMER, expires("3600")), 1800, "1800;refresher=uas", False),
        ((TIMER, expires("3600"), ("Min-SE", "2400")), 1800, "2400;refresher=uas", False),
        # nobody asked but we
        ((TIMER,), 1800, "1800;refresher=uas", False),
        ((TIMER,), 0, None, False),
        ((), 1800, None, False),
    ],
)
def test_what_a_caller_asks_for_is_answered(
    headers: tuple[tuple[str, str], ...], wanted_s: int, answered: str | None, requires: bool
) -> None:
    peer = Peer(session_timer=SessionTimerSettings(wanted_s))
    session = peer.incoming(headers=headers)
    peer.do(session.accept, b"answer")
    answer = peer.last()
    assert answer.headers.get("Session-Expires") == answered
    assert ("timer" in answer.require) == requires


def test_whoever_takes_shorter_sessions_agrees_to_them() -> None:
    peer = Peer(session_timer=SessionTimerSettings(minimum_s=2))
    peer.do(peer.incoming(headers=(TIMER, expires("4"))).accept, b"answer")
    assert peer.last().headers.get("Session-Expires") == "4;refresher=uas"


def test_a_session_that_is_too_short_is_422(peer: Peer) -> None:
    peer.receive(request(headers=(TIMER, expires("89"))))
    answer = peer.last()
    assert answer.start_line == "SIP/2.0 422 Session Interval Too Small"
    assert answer.headers.get("Min-SE") == "90"
    assert peer.events == []
    session = peer.established_incoming(headers=(TIMER, expires("90")), branch="z9hG4bK2")
    peer.ladder()
    peer.receive(peer.in_dialog("INVITE", session, headers=(TIMER, expires("30"))))
    assert peer.ladder() == ["422 INVITE"]
    assert session.is_confirmed


@pytest.mark.parametrize("header", [expires("never"), ("Min-SE", "x")])
def test_a_session_timer_that_can_not_be_read_is_400(peer: Peer, header: tuple[str, str]) -> None:
    peer.receive(request(headers=(TIMER, header)))
    assert peer.last().start_line.startswith("SIP/2.0 400 Bad Request: ")


def test_422_is_asked_again_with_what_it_says() -> None:
    peer = asking()
    session = peer.call()
    first = peer.requests()[-1]
    peer.answer(422, headers=(("Min-SE", "3600"),))
    again = peer.requests()[-1]
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600", "3600")
    assert (again.call_id, again.from_) == (first.call_id, first.from_)
    assert (again.cseq.number, again.to.tag) == (first.cseq.number + 1, None)
    assert again.via.branch != first.via.branch
    peer.answer(200, to=again, sdp=b"answer", headers=(CONTACT, expires("3600;refresher=uas")))
    assert session.is_confirmed
    assert peer.ladder() == ["INVITE", "ACK", "INVITE", "ACK"]


def test_422_after_a_challenge_is_asked_again_with_a_fresh_proof() -> None:
    peer = asking()
    peer.call(credentials=DigestCredentials("bob", "x", "secret"))
    challenge = 'Digest realm="x", nonce="n", qop="auth"'
    peer.answer(407, headers=(("Proxy-Authenticate", challenge),))
    peer.answer(422, headers=(("Min-SE", "3600"),))
    proof = peer.requests()[-1].headers.get_all("Proxy-Authorization")
    assert len(proof) == 1
    assert "nc=00000002" in proof[0]


@pytest.mark.parametrize("least", [None, "90", "1800", "a lot"])
def test_422_that_asks_for_nothing_more_ends_the_call(least: str | None) -> None:
    peer = Peer(session_timer=SessionTimerSettings(1800, 1800))
    peer.call()
    peer.answer(422, headers=(("Min-SE", least),) if least else ())
    assert [ended.status for ended in peer.told(Ended)] == [422]
    peer.assert_idle()


def test_422_without_end_is_given_up() -> None:
    """F17: a far end that is never content."""
    peer = asking()
    peer.call()
    for i in range(MAX_RAISES + 1):
        peer.answer(422, headers=(("Min-SE", str(4000 + i)),))
    assert peer.ladder().count("INVITE") == MAX_RAISES + 1
    assert [ended.status for ended in peer.told(Ended)] == [422]
    peer.assert_idle()


def test_422_that_crosses_our_cancel_is_the_end() -> None:
    peer = asking()
    session = peer.call()
    peer.answer(180)
    invite = peer.requests()[-1]
    peer.do(session.cancel)
    peer.answer(422, to=invite, headers=(("Min-SE", "3600"),))
    assert peer.ladder() == ["INVITE", "CANCEL", "ACK"]
    peer.assert_idle()


# -- refreshing ---------------------------------------------------------------------------------


def refreshed_by_us() -> tuple[Peer, InviteUsage]:
    peer = asking()
    session = peer.call()
    peer.answer(200, sdp=b"answer", headers=(CONTACT, expires("1800;refresher=uac")))
    peer.ladder()
    return peer, session


def test_we_refresh_at_half_and_change_nothing() -> None:
    peer, session = refreshed_by_us()
    peer.run(899)
    assert peer.ladder() == []
    for _ in range(3):
        peer.run(1.1)
        refresh = peer.requests()[-1]
        assert (refresh.method, refresh.body) == ("INVITE", b"offer")
        assert refresh.headers.get("Session-Expires") == "1800;refresher=uac"
        peer.answer(200, sdp=b"answer", headers=(CONTACT, expires("1800;refresher=uac")))
        assert peer.ladder() == ["INVITE", "ACK"]
        peer.run(898.9)
    assert peer.ladder() == []
    assert session.is_confirmed
    assert peer.told(Refreshed) == []


def test_what_the_far_end_changes_at_a_refresh_is_told() -> None:
    peer, session = refreshed_by_us()
    peer.run(900)
    peer.answer(200, sdp=b"answer 2", headers=(CONTACT, expires("1800;refresher=uac")))
    assert peer.told(Refreshed) == [Refreshed(b"offer", b"answer 2")]
    assert session.sdp == b"answer 2"


def test_any_offer_refreshes_the_session() -> None:
    peer, session = refreshed_by_us()
    peer.run(800)
    peer.do(session.reinvite, b"hold")
    assert peer.last().headers.get("Session-Expires") == "1800;refresher=uac"
    peer.answer(200, sdp=b"held", headers=(CONTACT, expires("1800;refresher=uac")))
    peer.ladder()
    peer.run(899)
    assert peer.ladder() == []
    peer.run(2)
    assert peer.last().body == b"hold"


def test_the_far_end_may_take_the_refreshes_over() -> None:
    peer, session = refreshed_by_us()
    peer.receive(
        peer.in_dialog(
            "INVITE",
            session,
            from_tag="t1",
            headers=(TIMER, expires("1800;refresher=uac"), ("Content-Type", "application/sdp")),
            body=b"offer 2",
        )
    )
    peer.do(session.answer_reinvite, b"answer 2")
    answer = peer.last()
    assert answer.headers.get("Session-Expires") == "1800;refresher=uac"
    peer.receive(peer.in_dialog("ACK", session, from_tag="t1"))
    peer.ladder()
    peer.run(1767)
    assert peer.ladder() == []
    peer.run(1)
    assert peer.ladder() == ["BYE"]


def test_an_answer_without_a_session_timer_ends_it() -> None:
    """§7.2."""
    peer, session = refreshed_by_us()
    peer.run(900)
    peer.answer(200, sdp=b"answer")
    peer.ladder()
    peer.run(10_000)
    assert peer.ladder() == []
    assert session.is_confirmed


def test_422_to_a_refresh_is_asked_again() -> None:
    peer, _ = refreshed_by_us()
    peer.run(900)
    peer.answer(422, headers=(("Min-SE", "2400"),))
    assert peer.requests()[-1].headers.get("Session-Expires") == "2400;refresher=uac"
    peer.answer(200, sdp=b"answer", headers=(CONTACT, expires("2400;refresher=uac")))
    peer.ladder()
    peer.run(1199)
    assert peer.ladder() == []


def test_a_far_end_that_wants_a_storm_gets_none() -> None:
    """Session-Expires below what we said we take, in its 2xx."""
    peer = asking()
    peer.call()
    peer.answer(200, sdp=b"answer", headers=(CONTACT, expires("1;refresher=uac")))
    peer.ladder()
    peer.run(44)
    assert peer.ladder() == []


@pytest.mark.parametrize("status", [405, 501])
def test_a_far_end_that_takes_no_update_after_all_is_refreshed_by_re_invite(status: int) -> None:
    """It lists UPDATE in Allow, and refuses it."""
    peer = asking()
    session = peer.call()
    allow = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
    agreed = expires("1800;refresher=uac")
    peer.answer(200, sdp=b"answer", headers=(CONTACT, agreed, allow))
    peer.run(900)
    assert peer.last().headers.get("Session-Expires") == "1800;refresher=uac"
    peer.answer(status)
    refresh = peer.requests()[-1]
    assert (refresh.method, refresh.body) == ("INVITE", b"offer")
    peer.answer(200, sdp=b"answer", headers=(CONTACT, agreed))
    assert peer.ladder() == ["INVITE", "ACK", "UPDATE", "INVITE", "ACK"]
    peer.run(899)
    assert peer.ladder() == []
    assert session.is_confirmed


# -- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval_s", "lives_s"), [(1800, 1768), (90, 60)])
def test_a_session_that_the_far_end_does_not_refresh_ends_before_it_expires(
    interval_s: int, lives_s: int
) -> None:
    peer = asking()
    peer.call()
    peer.answer(200, sdp=b"answer", headers=(CONTACT, expires(f"{interval_s};refresher=uas")))
    peer.ladder()
    peer.run(lives_s - 1)
    assert peer.told(Ended) == []
    peer.run(1)
    bye = peer.last()
    assert bye.headers.get("Reason") == "Q.850;cause=102"
    assert peer.told(Ended) == [EXPIRED]
    peer.assert_idle()


@pytest.mark.parametrize("status", [405, 488, 500, 503])
def test_a_refresh_that_is_refused_is_tried_again_a_little_and_then_the_session_ends(
    status: int,
) -> None:
    """F17: session timer refused."""
    peer, _ = refreshed_by_us()
    refreshes = 0
    while not peer.told(Ended):
        peer.run(1)
        if peer.requests() and peer.requests()[-1].method == "INVITE":
            refreshes += 1
            peer.answer(status)
            peer.out.clear()
    assert refreshes == MAX_REFRESHES
    assert peer.now == pytest.approx(1768, abs=2)
    assert peer.told(Ended) == [EXPIRED]
    peer.assert_idle()


@pytest.mark.parametrize(("status", "sends_bye"), [(408, True), (481, False)])
def test_a_refresh_that_nobody_knows_ends_the_call(status: int, sends_bye: bool) -> None:
    peer, _ = refreshed_by_us()
    peer.run(900)
    peer.answer(status)
    assert [ended.status for ended in peer.told(Ended)] == [status]
    assert ("BYE" in peer.ladder()) == sends_bye
    peer.assert_idle()


def test_a_refresh_that_is_lost_ends_the_call_after_64_t1() -> None:
    peer, _ = refreshed_by_us()
    peer.run(900 + 33)
    assert [ended.status for ended in peer.told(Ended)] == [408]
    peer.assert_idle()


# -- both ends, any network ---------------------------------------------------------------------


def takes_offers(party: Party) -> None:
    """After its call is answered, a party answers what is offered anew."""
    before = party.on_event

    def handle(event: Event) -> None:
        if before is not None:
            before(event)
        if isinstance(event, SessionChanged) and isinstance(event.event, Reinvited):
            event.session.answer_reinvite(ANSWER, now=party.network.now)
            party.network.drain(party)

    party.on_event = handle


def established(role: Role, refresher: Refresher) -> tuple[Peer, InviteUsage]:
    """A call of 1800 s between refreshes, by the given end of its INVITE."""
    peer = asking()
    agreed = expires(f"1800;refresher={refresher}")
    if role is Role.UAC:
        session = peer.call()
        peer.answer(200, sdp=b"answer", headers=(CONTACT, agreed))
    else:
        session = peer.established_incoming(headers=(TIMER, agreed))
    peer.ladder()
    return peer, session


ROLES = [(role, refresher) for role in Role for refresher in Refresher]


@pytest.mark.parametrize(("role", "refresher"), ROLES)
def test_a_call_lives_as_long_as_it_is_refreshed_and_no_longer(
    role: Role, refresher: Refresher
) -> None:
    peer, session = established(role, refresher)
    ours = role.value == refresher.value
    tag = session.remote.tag
    for cseq in range(2, 8):
        peer.run(900)
        if ours:
            peer.answer(
                200, tag=tag, sdp=b"offer", headers=(CONTACT, expires("1800;refresher=uac"))
            )
            assert peer.ladder() == ["INVITE", "ACK"]
            continue
        assert peer.ladder() == []
        headers = (TIMER, expires("1800;refresher=uac"), ("Content-Type", "application/sdp"))
        peer.receive(
            peer.in_dialog(
                "INVITE", session, from_tag=tag, cseq=cseq, headers=headers, body=b"offer"
            )
        )
        peer.do(session.answer_reinvite, b"answer")
        assert peer.last().headers.get("Session-Expires") == "1800;refresher=uac"
        peer.receive(peer.in_dialog("ACK", session, from_tag=tag, cseq=cseq))
        peer.ladder()
    assert session.is_confirmed
    peer.run(1800)
    assert session.has_ended
    assert len(peer.told(Ended)) == 1
    peer.assert_idle()


def test_two_of_us_keep_a_call_for_hours(network: Network) -> None:
    alice = network.party("alice", session_timer=ASKING)
    bob = network.party("bob", session_timer=ASKING)
    sessions = auto_answer(bob)
    takes_offers(bob)
    takes_offers(alice)
    call = alice.call(bob)
    network.run(1)
    network.ladder.clear()
    network.run(4 * 3600)
    assert (call.is_confirmed, sessions[0].is_confirmed) == (True, True)
    refreshes = [line for line in network.ladder if line.endswith(": UPDATE")]
    assert refreshes == ["bob > alice: UPDATE"] * (4 * 3600 // 900)
    alice.do(call.hang_up)
    network.assert_idle()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    wanted=st.tuples(st.sampled_from([0, 90, 200, 1800]), st.sampled_from([0, 90, 600])),
    dies_after_s=st.integers(1, 4000),
    reoffers=st.lists(st.integers(1, 1000), max_size=3),
)
def test_no_call_outlives_its_session_and_nobody_storms(
    seed: int, loss: float, wanted: tuple[int, int], dies_after_s: int, reoffers: list[int]
) -> None:
    """The way between both ends is lost at some time: both end before the session expires."""
    network, random = Network(), Random(seed)
    ended_at: dict[InviteUsage, float] = {}
    alice, bob = (
        network.party(name, session_timer=SessionTimerSettings(interval_s))
        for name, interval_s in zip(("alice", "bob"), wanted, strict=True)
    )
    network.faults = lambda *_: [] if random.random() < loss else [random.choice((0.01, 0.4))]
    incoming = auto_answer(bob)
    for party in (alice, bob):
        takes_offers(party)
        notes_ends(party, ended_at)
    call = alice.call(bob)
    for after_s in reoffers:
        network.run(after_s)
        if call.is_confirmed:
            alice.do(call.reinvite, OFFER)
    network.run(dies_after_s)
    died_at = network.now
    network.faults = lambda *_: []
    network.run(10_000)
    for party, session in ((alice, call), *((bob, each) for each in incoming)):
        interval_s = session.session_refresh.timer.interval_s
        if session not in ended_at:
            assert interval_s is None
            party.do(session.hang_up)
        elif interval_s is not None:
            assert ended_at[session] <= died_at + interval_s
    network.assert_idle()
    for party in (alice, bob):
        refreshes = {m.via.branch for m in party.sent if _is_refresh(m)}
        asked = len(reoffers) * (MAX_GLARES + 1)
        assert len(refreshes) <= (died_at + 2000 - 1000) / 45 * MAX_REFRESHES + asked


def notes_ends(party: Party, ended_at: dict[InviteUsage, float]) -> None:
    before = party.on_event

    def handle(event: Event) -> None:
        if before is not None:
            before(event)
        if isinstance(event, SessionChanged) and isinstance(event.event, Ended):
            ended_at[event.session] = party.network.now

    party.on_event = handle


def _is_refresh(message: object) -> bool:
    return isinstance(message, Request) and message.method == "INVITE" and bool(message.to.tag)


def test_repr_tells_what_is_agreed() -> None:
    timer = SessionTimer(ASKING)
    timer.interval_s = 600
    assert repr(timer) == "<SessionTimer 600 we refresh minimum=90>"
