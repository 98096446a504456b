"""Subscriptions at us (RFC 6665 §4.2), with a far end by hand."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.events import RequestReceived, SubscriptionChanged, SubscriptionEnded
from signaling.sip.message import Request, Response
from signaling.sip.notifier import NotifierUsage
from signaling.sip.subscription import Activity, EventType
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.peer import Peer

pytestmark = pytest.mark.unit

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "SUBSCRIBE", "NOTIFY")


@pytest.fixture
def peer() -> Peer:
    return Peer(allow=METHODS)


def subscribed(peer: Peer, expires: str | None = "600") -> NotifierUsage:
    headers = (("Event", "dialog"),)
    headers += (("Expires", expires),) if expires is not None else ()
    peer.receive(request("SUBSCRIBE", headers=headers))
    transaction = peer.told(RequestReceived)[-1].transaction
    notifier = peer.do(peer.stack.accept_subscription, transaction)
    assert notifier is not None
    return notifier


def subscribe_again(peer: Peer, expires: str, *, event: str = "dialog") -> None:
    tag = next(m.to.tag for m in peer.out if isinstance(m, Response))
    peer.receive(
        request(
            "SUBSCRIBE",
            branch=f"z9hG4bK{expires}",
            cseq=2,
            to_tag=tag,
            headers=(("Event", event), ("Expires", expires)),
        )
    )


def notices(peer: Peer) -> list[tuple[str | None, bytes]]:
    return [
        (each.headers.get("Subscription-State"), each.body)
        for each in peer.out
        if isinstance(each, Request)
    ]


def ended(peer: Peer) -> list[SubscriptionEnded]:
    return [event.event for event in peer.events if isinstance(event, SubscriptionChanged)]


def test_a_subscription_is_granted_and_told_the_state(peer: Peer) -> None:
    notifier = subscribed(peer)
    answer = peer.last()
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Expires")) == (200, "600")
    assert answer.contacts
    peer.do(notifier.notify, "text/plain", b"one")
    assert notices(peer) == [("active;expires=600", b"one")]
    assert notifier.event == EventType("dialog")


def test_a_refresh_is_told_the_state_as_it_is_now(peer: Peer) -> None:
    notifier = subscribed(peer)
    states = iter((b"one", b"two"))
    peer.do(notifier.notify, "text/plain", lambda: next(states))
    peer.answer(200)
    subscribe_again(peer, "300")
    assert notices(peer) == [("active;expires=600", b"one"), ("active;expires=300", b"two")]


def test_who_unsubscribes_gets_a_last_notify(peer: Peer) -> None:
    notifier = subscribed(peer)
    peer.do(notifier.notify, "text/plain", b"one")
    peer.answer(200)
    subscribe_again(peer, "0")
    assert notices(peer)[1:] == [("terminated;reason=timeout", b"one")]
    assert ended(peer) == []
    peer.answer(200)
    assert ended(peer) == [SubscriptionEnded(None)]
    with pytest.raises(LocalProtocolError):
        peer.do(notifier.notify, "text/plain", b"two")
    peer.assert_idle()


def test_a_question_without_a_subscription(peer: Peer) -> None:
    """Expires: 0 asks once (§4.4.3)."""
    notifier = subscribed(peer, "0")
    peer.do(notifier.notify, "text/plain", b"one")
    assert notices(peer) == [("terminated;reason=timeout", b"one")]
    peer.answer(200)
    peer.assert_idle()


def test_a_subscription_that_is_not_refreshed_ends(peer: Peer) -> None:
    notifier = subscribed(peer, "60")
    peer.do(notifier.notify, "text/plain", b"one")
    peer.answer(200)
    peer.run(60)
    assert notices(peer)[1:] == [("terminated;reason=timeout", b"one")]
    peer.answer(200)
    assert ended(peer) == [SubscriptionEnded(None)]
    peer.assert_idle()


def test_nobody_who_is_gone_is_notified_for_ever(peer: Peer) -> None:
    notifier = subscribed(peer)
    peer.do(notifier.notify, "text/plain", b"one")
    peer.run(33)
    assert ended(peer) == [SubscriptionEnded(408)]
    peer.assert_idle()


@pytest.mark.parametrize("status", [481, 404, 501])
def test_a_refused_notify_ends_it(peer: Peer, status: int) -> None:
    notifier = subscribed(peer)
    peer.do(notifier.notify, "text/plain", b"one")
    peer.answer(status)
    assert [event.status for event in ended(peer)] == [status]
    assert notifier.has_ended


def test_a_subscriber_that_is_busy_is_notified_of_what_comes_next(peer: Peer) -> None:
    notifier = subscribed(peer)
    peer.do(notifier.notify, "text/plain", b"one")
    peer.answer(503, headers=(("Retry-After", "5"),))
    peer.do(notifier.notify, "text/plain", b"two")
    assert [body for _, body in notices(peer)] == [b"one", b"two"]


def test_we_end_it(peer: Peer) -> None:
    notifier = subscribed(peer)
    peer.do(notifier.notify, "text/plain", b"one")
    peer.answer(200)
    over = Activity.TERMINATED
    peer.do(notifier.notify, "text/plain", b"", activity=over, reason="deactivated")
    assert notices(peer)[1:] == [("terminated;reason=deactivated", b"")]
    peer.answer(200)
    peer.assert_idle()


def test_the_longest_subscription_is_an_hour(peer: Peer) -> None:
    subscribed(peer, "999999")
    assert peer.last().headers.get("Expires") == "3600"


def test_another_event_in_its_dialog_is_481(peer: Peer) -> None:
    subscribed(peer)
    subscribe_again(peer, "60", event="presence")
    answer = peer.last()
    assert isinstance(answer, Response)
    assert answer.status == 481


def test_a_subscribe_without_event_is_489(peer: Peer) -> None:
    peer.receive(request("SUBSCRIBE"))
    transaction = peer.told(RequestReceived)[-1].transaction
    assert peer.do(peer.stack.accept_subscription, transaction) is None
    answer = peer.last()
    assert isinstance(answer, Response)
    assert answer.status == 489


def test_a_call_in_its_dialog_is_481(peer: Peer) -> None:
    subscribed(peer)
    tag = next(m.to.tag for m in peer.out if isinstance(m, Response))
    peer.receive(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    answer = peer.last()
    assert isinstance(answer, Response)
    assert answer.status == 481
