"""What the answers to OPTIONS say of a peer, and when it is asked."""

from __future__ import annotations

from random import Random

import pytest

from signaling.sip.liveness import (
    MAX_RETRY_AFTER_S,
    Liveness,
    LivenessSettings,
    LivenessState,
    PeerDown,
    PeerUp,
)

pytestmark = pytest.mark.unit

SETTINGS = LivenessSettings(interval_s=30.0, retry_s=1.0, failures=2)


@pytest.fixture
def peer() -> Liveness:
    return Liveness(SETTINGS, Random(5), now=100.0)


def test_a_peer_is_asked_at_once_and_up_with_its_first_answer(peer: Liveness) -> None:
    assert (peer.state, peer.next_probe_at) == (LivenessState.UNKNOWN, 100.0)
    assert peer.answered(200, now=100.0) == PeerUp(200)
    assert peer.state is LivenessState.UP
    assert 124.0 <= peer.next_probe_at <= 136.0
    assert peer.answered(200, now=130.0) is None


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 481, 486, 501, 603])
def test_who_answers_anything_lives(peer: Liveness, status: int) -> None:
    """A peer that refuses OPTIONS is there all the same."""
    assert peer.answered(status, now=100.0) == PeerUp(status)


def test_one_lost_probe_proves_nothing_two_do(peer: Liveness) -> None:
    peer.answered(200, now=100.0)
    assert peer.unanswered("nobody there", now=130.0) is None
    assert peer.state is LivenessState.UP
    assert 130.5 <= peer.next_probe_at <= 131.0
    assert peer.unanswered("nobody there", now=131.0) == PeerDown(408, "nobody there")
    assert peer.state is LivenessState.DOWN


@pytest.mark.parametrize("status", [408, 503])
def test_a_proxy_may_say_that_nobody_is_there(peer: Liveness, status: int) -> None:
    peer.answered(status, "Nobody", now=100.0)
    assert peer.answered(status, "Nobody", now=101.0) == PeerDown(status, "Nobody")


def test_what_is_down_is_told_once_asked_less_and_less_and_up_with_one_answer(
    peer: Liveness,
) -> None:
    now, pauses, told = 100.0, [], []
    for _ in range(10):
        told.append(peer.unanswered("no way", None, now=now))
        pauses.append(peer.next_probe_at - now)
        now = peer.next_probe_at
    assert [event for event in told if event is not None] == [PeerDown(None, "no way")]
    bounds = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert all(bound / 2 <= pause <= bound for bound, pause in zip(bounds, pauses, strict=True))
    assert peer.answered(200, now=now) == PeerUp(200)
    assert peer.unanswered("lost", now=now) is None


def test_a_peer_may_say_when_to_ask_again_within_reason(peer: Liveness) -> None:
    peer.answered(503, retry_after_s=120, now=100.0)
    assert peer.next_probe_at == 220.0
    peer.answered(503, retry_after_s=1e9, now=220.0)
    assert peer.next_probe_at == 220.0 + MAX_RETRY_AFTER_S


def test_who_is_suspected_is_asked_at_once(peer: Liveness) -> None:
    peer.answered(200, now=100.0)
    peer.suspect(now=105.0)
    assert peer.next_probe_at == 105.0
    peer.suspect(now=106.0)
    assert peer.next_probe_at == 105.0
