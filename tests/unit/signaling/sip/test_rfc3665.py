"""The call flows of RFC 3665, by the names of its sections, between stacks of ours."""

from __future__ import annotations

import pytest

from signaling.sip.auth import DigestCredentials
from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    Progress,
    Registered,
    RegistrationFailed,
    ReinviteCompleted,
    Reinvited,
    Unregistered,
)
from signaling.sip.message import Request
from signaling.sip.registration import RegistrationUsage
from tests.unit.signaling.sip.guard import Guard
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party

pytestmark = pytest.mark.unit


def register(alice: Party, registrar: Party, password: str = "wonderland") -> RegistrationUsage:
    credentials = DigestCredentials("alice", "example.com", password)
    return alice.do(
        alice.stack.register,
        registrar.uri,
        alice.address.uri,
        alice.network.flow(alice, registrar),
        credentials=credentials,
    )


# -- 2: registration ----------------------------------------------------------------------------


def test_2_1_successful_new_registration(network: Network, alice: Party, registrar: Party) -> None:
    Guard(registrar)
    register(alice, registrar)
    network.run(1)
    assert network.ladder == [
        "alice > registrar: REGISTER",
        "registrar > alice: 401 REGISTER",
        "alice > registrar: REGISTER",
        "registrar > alice: 200 REGISTER",
    ]
    first, second = (message for message in alice.sent if isinstance(message, Request))
    assert first.call_id == second.call_id
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert "Authorization" not in first.headers
    assert alice.told(Registered)[0].expires_s == 600


def test_2_4_cancellation_of_registration(network: Network, alice: Party, registrar: Party) -> None:
    guard = Guard(registrar)
    registration = register(alice, registrar)
    network.run(1)
    alice.do(registration.unregister)
    network.run(1)
    assert guard.granted[-1].expires == 0
    assert alice.told(Unregistered) == [Unregistered()]
    network.assert_idle()


def test_2_5_unsuccessful_registration(network: Network, alice: Party, registrar: Party) -> None:
    guard = Guard(registrar)
    registration = register(alice, registrar, "looking glass")
    network.run(3600)
    assert network.ladder.count("alice > registrar: REGISTER") == 2
    assert alice.told(RegistrationFailed) == [
        RegistrationFailed(401, "wrong password or unknown user", fatal=True)
    ]
    assert guard.granted == []
    alice.do(registration.unregister)
    network.assert_idle()


# -- 3: sessions --------------------------------------------------------------------------------


def test_3_1_successful_session_establishment(network: Network, alice: Party, bob: Party) -> None:
    call = alice.call(bob)
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.ring)
    network.run(1)
    bob.do(incoming.accept, ANSWER)
    network.run(1)
    bob.do(incoming.bye)
    network.run(1)

    assert network.ladder == [
        "alice > bob: INVITE",
        "bob > alice: 180 INVITE",
        "bob > alice: 200 INVITE",
        "alice > bob: ACK",
        "bob > alice: BYE",
        "alice > bob: 200 BYE",
    ]
    assert alice.session_events() == [
        Progress(180, "Ringing"),
        Answered(ANSWER),
        Ended(by_remote=True),
    ]
    assert bob.session_events() == [Confirmed(), Ended(by_remote=False)]
    assert (call.sdp, incoming.sdp) == (ANSWER, OFFER)
    network.assert_idle()


def test_3_6_session_with_the_description_in_the_ack(
    network: Network, alice: Party, bob: Party
) -> None:
    """The late offer: the 2xx offers, the ACK answers."""
    call = alice.call(bob, None)
    network.run(0.05)
    incoming = bob.incoming()
    assert incoming.sdp is None
    bob.do(incoming.accept, OFFER)
    network.run(0.1)
    assert alice.session_events() == [Answered(OFFER)]
    alice.do(call.accept, ANSWER)
    network.run(1)
    assert bob.session_events() == [Confirmed(ANSWER)]
    assert (call.sdp, incoming.sdp) == (OFFER, ANSWER)
    alice.do(call.bye)
    network.assert_idle()


def test_3_7_session_with_re_invite(network: Network, alice: Party, bob: Party) -> None:
    call = alice.call(bob)
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.accept, ANSWER)
    network.run(1)
    network.ladder.clear()
    bob.do(incoming.reinvite, b"offer 2")
    network.run(0.1)
    assert alice.told(Reinvited) == [Reinvited(b"offer 2")]
    alice.do(call.answer_reinvite, b"answer 2")
    network.run(1)
    assert network.ladder == [
        "bob > alice: INVITE",
        "alice > bob: 200 INVITE",
        "bob > alice: ACK",
    ]
    assert [(done.status, done.sdp) for done in bob.told(ReinviteCompleted)] == [(200, b"answer 2")]
    assert (call.sdp, incoming.sdp) == (b"offer 2", b"answer 2")
    alice.do(call.bye)
    network.assert_idle()


def test_3_8_unsuccessful_no_answer(network: Network, alice: Party, bob: Party) -> None:
    """The caller gives up: CANCEL, 487."""
    call = alice.call(bob)
    network.run(0.05)
    bob.do(bob.incoming().ring)
    network.run(10)
    alice.do(call.cancel)
    network.run(1)
    assert network.ladder == [
        "alice > bob: INVITE",
        "bob > alice: 180 INVITE",
        "alice > bob: CANCEL",
        "bob > alice: 200 CANCEL",
        "bob > alice: 487 INVITE",
        "alice > bob: ACK",
    ]
    cancel = next(message for message in alice.sent if message.cseq.method == "CANCEL")
    invite = alice.sent[0]
    assert cancel.via == invite.via
    assert cancel.cseq.number == invite.cseq.number
    assert alice.told(Ended) == [Ended(False, 487, "Request Terminated")]
    assert bob.told(Ended) == [Ended(True, 487, "Request Terminated")]
    network.assert_idle()


def test_3_9_unsuccessful_busy(network: Network, alice: Party, bob: Party) -> None:
    alice.call(bob)
    network.run(0.05)
    bob.do(bob.incoming().reject, 486)
    network.run(1)
    assert network.ladder == [
        "alice > bob: INVITE",
        "bob > alice: 486 INVITE",
        "alice > bob: ACK",
    ]
    assert alice.told(Ended) == [Ended(True, 486, "Busy Here")]
    assert bob.told(Ended) == [Ended(False, 486)]
    network.assert_idle()


def test_3_10_unsuccessful_no_response_from_user_agent(network: Network, alice: Party) -> None:
    nobody = Party(network, "nobody", "192.0.2.99")
    alice.call(nobody)
    network.run()
    assert network.ladder == []
    assert [type(message) for message in alice.sent] == [Request] * 7
    assert alice.told(Ended) == [Ended(True, 408, "nobody answers")]
    network.assert_idle()


def test_3_11_unsuccessful_temporarily_unavailable(
    network: Network, alice: Party, bob: Party
) -> None:
    alice.call(bob)
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.ring)
    network.run(5)
    bob.do(incoming.hang_up, 480)
    network.run(1)
    assert alice.session_events() == [
        Progress(180, "Ringing"),
        Ended(True, 480, "Temporarily Unavailable"),
    ]
    network.assert_idle()
