"""The call flows of RFC 3665, by the names of its sections, between stacks of ours."""

from __future__ import annotations

import pytest

from signaling.registrar import Registrar
from signaling.sip.auth import DigestCredentials
from signaling.sip.events import (
    Answered,
    Confirmed,
    Ended,
    Event,
    Progress,
    Registered,
    RegistrationFailed,
    ReinviteCompleted,
    Reinvited,
    RequestCompleted,
    RequestReceived,
    Unregistered,
)
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Request, Response
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.registration import RegistrationUsage
from tests.unit.signaling.sip.guard import Guard
from tests.unit.signaling.sip.network import ANSWER, OFFER, Network, Party
from tests.unit.signaling.sip.peer import Peer

pytestmark = pytest.mark.unit


def register(
    alice: Party, registrar: Party, password: str = "wonderland", aor: Party | None = None
) -> RegistrationUsage:
    credentials = DigestCredentials("alice", "example.com", password)
    return alice.do(
        alice.stack.register,
        registrar.uri,
        (aor or alice).address.uri,
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


def bind(registrar: Party) -> Registrar:
    """Let a party keep bindings, without asking who is there."""
    kept = Registrar()

    def handle(event: Event) -> None:
        assert isinstance(event, RequestReceived)
        answer = kept.register(event.request, event.flow, registrar.network.now)
        registrar.do(
            registrar.stack.respond, event.transaction, answer.status, headers=answer.headers
        )

    registrar.on_event = handle
    return kept


def test_2_2_update_of_contact_list(network: Network, alice: Party, registrar: Party) -> None:
    """Another phone of the same user: the answer lists both."""
    bind(registrar)
    at_work = network.party("work")
    register(alice, registrar)
    network.run(1)
    register(at_work, registrar, aor=alice)
    network.run(1)
    answers = [message for message in registrar.sent if isinstance(message, Response)]
    bound = [contact.uri.host for contact in contacts(answers[-1])]
    assert bound == [at_work.host, alice.host]


def test_2_3_request_for_current_contact_list(
    network: Network, alice: Party, registrar: Party
) -> None:
    """A REGISTER without a Contact changes nothing."""
    kept = bind(registrar)
    register(alice, registrar)
    network.run(1)
    before = kept.bindings("alice", network.now)
    alice.do(
        alice.stack.request,
        OutOfDialogRequest(
            method="REGISTER", target=registrar.uri, from_=alice.address, to=alice.address
        ),
        network.flow(alice, registrar),
    )
    network.run(1)
    (done,) = (event for event in alice.events if isinstance(event, RequestCompleted))
    assert done.response is not None
    (contact,) = contacts(done.response)
    assert (contact.uri, contact.expires) == (alice.uri, 599)
    assert kept.bindings("alice", network.now) == before


def contacts(response: Response) -> tuple[NameAddr, ...]:
    assert response.contacts is not STAR
    return response.contacts


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


PROXIES = (
    ("Record-Route", "<sip:ss2.biloxi.example.com;lr>, <sip:192.0.2.111;lr>"),
    ("Contact", "<sip:bob@client.biloxi.example.com>"),
)


def test_3_2_session_establishment_through_two_proxies(peer: Peer) -> None:
    """Our caller's half: ACK and BYE take the route back, the proxy next to us first."""
    session = peer.call()
    peer.answer(100, tag=None)
    peer.answer(180, headers=PROXIES)
    invite = peer.requests()[-1]
    peer.answer(200, to=invite, headers=PROXIES, sdp=b"answer")
    peer.do(session.bye)
    ack, bye = (message for message in peer.out[1:] if isinstance(message, Request))
    for message in (ack, bye):
        assert str(message.uri) == "sip:bob@client.biloxi.example.com"
        assert [str(route.uri) for route in message.routes] == [
            "sip:192.0.2.111;lr",
            "sip:ss2.biloxi.example.com;lr",
        ]
    assert {flow.host for flow in peer.flows[1:]} == {"192.0.2.111"}


def test_3_2_the_called_half(peer: Peer) -> None:
    """As F6 to F8 of the RFC: our answers keep every Via and Record-Route, our BYE the order."""
    vias = ("Via", "SIP/2.0/UDP client.atlanta.example.com;branch=z9hG4bK74bf9")
    session = peer.established_incoming(
        headers=(vias, ("Record-Route", "<sip:192.0.2.222;lr>, <sip:ss1.atlanta.example.com;lr>"))
    )
    answer = next(m for m in peer.out if isinstance(m, Response) and m.status == 200)
    assert [via.host for via in answer.vias] == ["192.0.2.1", "client.atlanta.example.com"]
    assert len(answer.record_routes) == 2
    peer.do(session.bye)
    bye = peer.requests()[-1]
    hosts = [route.uri.host for route in bye.routes]
    assert hosts == ["192.0.2.222", "ss1.atlanta.example.com"]


def test_3_3_session_with_proxy_authentication(peer: Peer) -> None:
    """Of the two proxies one is ours to answer: the same Call-ID, the next CSeq, a proof."""
    session = peer.call(credentials=DigestCredentials("alice", "atlanta.example.com", "secret"))
    challenge = 'Digest realm="atlanta.example.com", qop="auth", nonce="f84f1cec41e6cbe5aea9c8e8"'
    peer.answer(407, headers=(("Proxy-Authenticate", challenge),))
    first, again = (m for m in peer.out if isinstance(m, Request) and m.method == "INVITE")
    assert (first.call_id, first.from_) == (again.call_id, again.from_)
    assert (first.cseq.number, again.cseq.number) == (1, 2)
    assert 'realm="atlanta.example.com"' in (again.headers.get("Proxy-Authorization") or "")
    peer.answer(200, to=again, headers=PROXIES, sdp=b"answer")
    assert session.is_confirmed


def test_3_5_session_through_a_sip_alg(peer: Peer) -> None:
    """It puts itself on the way, and other addresses into the description."""
    session = peer.call()
    alg = (("Record-Route", "<sip:192.0.2.128;lr>"), ("Contact", "<sip:bob@192.0.2.201>"))
    peer.answer(200, headers=alg, sdp=b"the answer of the ALG")
    assert session.sdp == b"the answer of the ALG"
    peer.do(session.bye)
    assert {flow.host for flow in peer.flows[1:]} == {"192.0.2.128"}
    assert str(peer.requests()[-1].uri) == "sip:bob@192.0.2.201"


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
