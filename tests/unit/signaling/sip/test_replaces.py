"""Replaces (RFC 3891) and Join (RFC 3911) in an INVITE."""

from __future__ import annotations

import pytest

from signaling.errors import SipParseError
from signaling.sip.events import Ended, RequestReceived
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Response
from signaling.sip.replaces import Departed, Replaces, replaces_in
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.peer import Peer

pytestmark = pytest.mark.unit


@pytest.fixture
def peer() -> Peer:
    return Peer(supported=("replaces",))


def carol_replaces(
    peer: Peer, session: InviteUsage, suffix: str = "", *headers: tuple[str, str]
) -> InviteUsage | None:
    """Carol comes with an INVITE for the place of Alice in a session of Bob's."""
    dialog = session.dialog
    text = f"{dialog.call_id};to-tag={dialog.local.tag};from-tag={dialog.remote.tag}{suffix}"
    return invite(peer, ("Replaces", text), *headers)


def invite(peer: Peer, *headers: tuple[str, str]) -> InviteUsage | None:
    message = request(branch="z9hG4bKc", from_tag="carol", call_id="c2", headers=headers)
    peer.receive(message)
    received = [event.transaction for event in peer.told(RequestReceived)]
    return peer.do(peer.stack.open_session, received[-1]) if received else None


def refusal(peer: Peer) -> tuple[int, str]:
    answer = peer.last()
    assert isinstance(answer, Response)
    return answer.status, answer.reason


def test_the_old_call_ends_by_bye_when_the_new_one_is_answered(peer: Peer) -> None:
    old = peer.established_incoming()
    new = carol_replaces(peer, old)
    assert new is not None
    assert new.replaces is old
    assert old.is_confirmed
    peer.ladder()
    peer.do(new.accept, b"answer")
    assert peer.ladder() == ["200 INVITE", "BYE"]
    assert peer.told(Ended) == [Ended(by_remote=True, reason_text="Replaced", q850=16)]


def test_the_old_call_stays_where_the_new_one_is_refused(peer: Peer) -> None:
    old = peer.established_incoming()
    new = carol_replaces(peer, old)
    assert new is not None
    peer.do(new.reject, 486)
    assert old.is_confirmed


def test_a_call_of_ours_that_rings_is_cancelled(peer: Peer) -> None:
    """§3: an early dialog that we began may be replaced."""
    old = peer.call()
    asked = peer.requests()[-1]
    peer.answer(180)
    text = f"{old.call_id};to-tag={asked.from_.tag};from-tag=t1"
    new = invite(peer, ("Replaces", text))
    assert new is not None
    peer.ladder()
    peer.do(new.accept, b"answer")
    assert peer.ladder() == ["200 INVITE", "CANCEL"]


def test_a_call_that_rings_here_is_not_given_away(peer: Peer) -> None:
    old = peer.incoming()
    peer.do(old.ring)
    assert carol_replaces(peer, old) is None
    assert refusal(peer)[0] == 481


def test_early_only_and_answered_is_busy(peer: Peer) -> None:
    old = peer.established_incoming()
    assert carol_replaces(peer, old, ";early-only") is None
    assert refusal(peer)[0] == 486
    assert old.is_confirmed


def test_an_unknown_call_is_481(peer: Peer) -> None:
    assert invite(peer, ("Replaces", "nobody;to-tag=1;from-tag=2")) is None
    assert refusal(peer) == (481, "there is no call to be replaced")


def test_a_call_that_is_over_is_603(peer: Peer) -> None:
    old = peer.established_incoming()
    peer.do(old.bye)
    peer.answer(200)
    assert carol_replaces(peer, old) is None
    assert refusal(peer) == (603, "the call to be replaced is over")


def test_a_call_that_was_over_long_ago_is_481(peer: Peer) -> None:
    old = peer.established_incoming()
    peer.do(old.bye)
    peer.answer(200)
    peer.run(100)
    assert carol_replaces(peer, old) is None
    assert refusal(peer)[0] == 481


@pytest.mark.parametrize("tags", ["to-tag=wrong;from-tag=f1", "to-tag=f1"])
def test_who_does_not_know_both_tags_gets_nothing(peer: Peer, tags: str) -> None:
    """The tags are what proves that somebody was told of the call (§7)."""
    old = peer.established_incoming()
    assert invite(peer, ("Replaces", f"{old.call_id};{tags}")) is None
    assert refusal(peer)[0] in (400, 481)
    assert old.is_confirmed


def test_several_replaces_or_one_with_join_are_400(peer: Peer) -> None:
    old = peer.established_incoming()
    assert carol_replaces(peer, old, "", ("Replaces", "x;to-tag=1;from-tag=2")) is None
    assert refusal(peer)[0] == 400
    peer.run(100)


def test_join_is_refused_politely(peer: Peer) -> None:
    join = ("Join", "c1;to-tag=1;from-tag=2")
    assert invite(peer, join) is None
    assert refusal(peer) == (488, "Join is not taken here")


def test_who_must_join_is_told_that_nobody_can(peer: Peer) -> None:
    assert invite(peer, ("Require", "join"), ("Join", "c1;to-tag=1;from-tag=2")) is None
    answer = peer.last()
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Unsupported")) == (420, "join")


@pytest.mark.parametrize("text", ["", "c1", "c1;to-tag=1", "c1;from-tag=1", ";to-tag=1;from-tag=2"])
def test_a_replaces_that_can_not_be_read(text: str) -> None:
    with pytest.raises(SipParseError):
        Replaces.parse(text)


def test_what_is_written_is_read() -> None:
    replaces = Replaces("c1@h", "1", "2", early_only=True)
    assert Replaces.parse(str(replaces)) == replaces
    uri = Uri("sip", "x", host="h", headers=(("Replaces", str(replaces)),))
    assert replaces_in(Uri.parse(str(uri))) == replaces
    assert "?Replaces=c1%40h%3Bto-tag%3D1%3Bfrom-tag%3D2%3Bearly-only" in str(uri)


def test_what_is_remembered_is_bounded() -> None:
    departed = Departed()
    keys = [Replaces(f"c{number}", "1", "2").key for number in range(3000)]
    for key in keys:
        departed.note(key, 0.0)
    assert not departed.has(keys[0], 1.0)
    assert departed.has(keys[-1], 1.0)
    assert not departed.has(keys[-1], 100.0)
