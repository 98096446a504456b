"""Whole calls over a network that loses, doubles and reorders; at the end nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    Reinvited,
    RequestReceived,
    SessionChanged,
)
from signaling.sip.invite import InviteUsage
from signaling.sip.reliable import RingReliably
from signaling.sip.stack import Stack
from tests.unit.signaling.sip.network import (
    ANSWER,
    DELAY_S,
    Faults,
    Network,
    Party,
    auto_answer,
    drop,
)

pytestmark = pytest.mark.unit


def chaos(seed: int, loss: float) -> Faults:
    """Each message is lost, doubled, or late, by chance."""
    random = Random(seed)

    def faults(source: str, target: str, what: str, before: int) -> list[float]:
        copies = 0 if random.random() < loss else 1 + (random.random() < 0.2)
        return [random.choice((0.001, 0.01, 0.05, 0.3, 0.7)) for _ in range(copies)]

    return faults


def double(source: str, target: str, what: str, before: int) -> list[float]:
    return [DELAY_S, DELAY_S]


def whole_call(network: Network, alice: Party, bob: Party) -> None:
    """Ring, answer, hold, hang up."""
    incoming = auto_answer(bob)
    call = alice.call(bob)
    network.run(40)
    talk(network, alice, bob, call, incoming)


def described_call(network: Network, alice: Party, bob: Party) -> None:
    """Ring with a description that is acknowledged, hold, answer, hold, hang up."""
    incoming: list[InviteUsage] = []

    def ring(event: object) -> None:
        if isinstance(event, RequestReceived):
            session = bob.stack.open_session(event.transaction, now=network.now)
            if session is not None:
                incoming.append(session)
                bob.do(session.ring, ANSWER)
        else:
            answering(bob)(event)

    bob.on_event = ring
    call = alice.call(bob)
    network.run(20)
    if call.may_update():
        alice.do(call.reinvite, b"hold")
    network.run(20)
    for session in incoming:
        if not session.has_ended:
            bob.do(session.accept, ANSWER)
    network.run(40)
    talk(network, alice, bob, call, incoming)


def talk(
    network: Network, alice: Party, bob: Party, call: InviteUsage, incoming: list[InviteUsage]
) -> None:
    if not call.is_confirmed:
        return
    (answered,) = incoming
    bob.on_event = answering(bob)
    if not answered.has_ended:
        alice.do(call.reinvite, b"hold")
        network.run(40)
    alice.do(call.hang_up)


def answering(party: Party) -> Callable[[object], None]:
    def handle(event: object) -> None:
        if isinstance(event, SessionChanged) and isinstance(event.event, Reinvited):
            party.do(event.session.answer_reinvite, ANSWER)

    return handle


@pytest.mark.parametrize(
    "lost",
    [
        ("INVITE", 3),
        ("180 INVITE", 1),
        ("200 INVITE", 3),
        ("ACK", 3),
        ("BYE", 3),
        ("200 BYE", 2),
    ],
    ids=lambda lost: lost[0],
)
def test_lost_messages_are_made_good(
    network: Network, alice: Party, bob: Party, lost: tuple[str, int]
) -> None:
    network.faults = drop(lost)
    incoming = auto_answer(bob)
    call = alice.call(bob)
    network.run(20)
    assert call.is_confirmed
    assert incoming[0].is_confirmed
    bob.do(incoming[0].bye)
    network.run(20)
    assert alice.told(Ended) == [Ended(True)]
    assert bob.told(Ended) == [Ended(False)]
    network.assert_idle()


@pytest.mark.parametrize("lost", [("CANCEL", 2), ("200 CANCEL", 2), ("487 INVITE", 2), ("ACK", 2)])
def test_lost_messages_of_a_cancel_are_made_good(
    network: Network, alice: Party, bob: Party, lost: tuple[str, int]
) -> None:
    network.faults = drop(lost)
    call = alice.call(bob)
    network.run(0.05)
    bob.do(bob.incoming().ring)
    network.run(5)
    alice.do(call.cancel)
    network.run(20)
    assert [ended.status for ended in bob.told(Ended)] == [487]
    network.assert_idle()


def test_lost_refusal_is_repeated_until_its_ack(network: Network, alice: Party, bob: Party) -> None:
    network.faults = drop(("486 INVITE", 4))
    alice.call(bob)
    network.run(0.05)
    bob.do(bob.incoming().reject, 486)
    network.run(20)
    assert [ended.status for ended in alice.told(Ended)] == [486]
    network.assert_idle()


def test_doubled_messages_change_nothing(network: Network, alice: Party, bob: Party) -> None:
    network.faults = double
    whole_call(network, alice, bob)
    network.assert_idle()
    assert alice.told(Answered) == [Answered(ANSWER)]
    assert bob.told(Confirmed) == [Confirmed()]
    assert len(alice.told(Ended)) == len(bob.told(Ended)) == 1


def test_answer_that_crosses_the_cancel(network: Network, alice: Party, bob: Party) -> None:
    """Both are on their way at the same moment: the 2xx wins, and the call is ended by BYE."""
    call = alice.call(bob)
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.ring)
    network.run(1)
    alice.do(call.cancel)
    bob.do(incoming.accept, ANSWER)
    network.run(5)
    assert network.ladder[2:] == [
        "alice > bob: CANCEL",
        "bob > alice: 200 INVITE",
        "bob > alice: 200 CANCEL",
        "alice > bob: ACK",
        "alice > bob: BYE",
        "bob > alice: 200 BYE",
    ]
    assert bob.told(Ended) == [Ended(True)]
    network.assert_idle()


def test_byes_that_cross(network: Network, alice: Party, bob: Party) -> None:
    incoming = auto_answer(bob)
    call = alice.call(bob)
    network.run(1)
    alice.do(call.bye)
    bob.do(incoming[0].bye)
    network.run(1)
    assert network.ladder[-2:] == ["bob > alice: 200 BYE", "alice > bob: 200 BYE"]
    assert alice.told(Ended) == bob.told(Ended) == [Ended(False)]
    network.assert_idle()


@pytest.mark.parametrize("loss", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("wish", [RingReliably.ASKED, RingReliably.ALWAYS])
@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_network_does_each_side_ends_once_and_nothing_is_left(
    seed: int, wish: RingReliably, loss: float
) -> None:
    network = Network()
    alice, bob = network.party("alice", ring_reliably=wish), network.party("bob")
    network.faults = chaos(seed, loss)
    if wish is RingReliably.ALWAYS:
        described_call(network, alice, bob)
    else:
        whole_call(network, alice, bob)
    network.run(400)
    for party in (alice, bob):
        for session in _sessions(party):
            if not session.has_ended:
                party.do(session.hang_up)
    network.assert_idle()
    for party in (alice, bob):
        ends = [event.session for event in party.events if _is_end(event)]
        assert len(ends) == len(set(ends)) == len(_sessions(party))
        for session in _sessions(party):
            last = [e for e in party.events if getattr(e, "session", None) is session][-1]
            assert _is_end(last)


def _is_end(event: object) -> bool:
    return isinstance(event, SessionChanged) and isinstance(event.event, Ended)


def _sessions(party: Party) -> set[InviteUsage]:
    return {event.session for event in party.events if isinstance(event, SessionChanged)}


def test_500_calls_leave_nothing(network: Network, alice: Party, bob: Party) -> None:
    """In virtual time, with some loss; at most as much is held as calls are up."""
    network.faults = chaos(99, 0.1)
    incoming = auto_answer(bob)
    calls: list[InviteUsage] = []
    for i in range(500):
        calls.append(alice.call(bob))
        network.run(0.5)
        if i >= 20:
            alice.do(calls[i - 20].hang_up)
        assert alice.stack.session_count <= 21
    for session in (*calls, *incoming):
        owner = alice if session.is_caller else bob
        owner.do(session.hang_up)
    network.assert_idle()
    assert len(alice.told(Ended)) == 500
    for stack in (alice.stack, bob.stack):
        assert _held(stack) == 0


def _held(stack: Stack) -> int:
    layer, core = stack._layer, stack._core
    tables = (
        layer._clients,
        layer._servers,
        layer._server_keys,
        layer._merge_keys,
        core.timers._heap,
        core.dialogs,
        core.sessions,
        core.registrations,
        stack._requests,
    )
    return sum(len(table) for table in tables) + len(stack._undecided)
