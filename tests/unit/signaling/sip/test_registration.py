"""The REGISTER client: RFC 3261 §10.2, RFC 3581, RFC 5626 §4.5, RFC 7118."""

from __future__ import annotations

from random import Random

import pytest

from signaling.errors import TransportError
from signaling.sip.auth import DigestCredentials, Verdict
from signaling.sip.events import Registered, RegistrationFailed, Unregistered, WayWanted
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Request, Response, respond
from signaling.sip.registration import (
    RegistrationSettings,
    RegistrationState,
    RegistrationUsage,
)
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.guard import Guard
from tests.unit.signaling.sip.network import Network, Party
from tests.unit.signaling.sip.peer import FAR, WS, Peer, local_uri

pytestmark = pytest.mark.unit

MINE = DigestCredentials("bob", "example.com", "secret")
BEHIND_NAT = Flow(TransportKind.UDP, "198.51.100.1", 5060, "udp")


def register(peer: Peer, flow: Flow | None = FAR, **kwargs: object) -> RegistrationUsage:
    return peer.do(
        peer.stack.register,
        Uri.parse("sip:example.com"),
        Uri.parse("sip:bob@example.com"),
        flow,
        credentials=MINE,
        **kwargs,
    )


def last_register(peer: Peer) -> Request:
    message = peer.last()
    assert isinstance(message, Request)
    assert message.method == "REGISTER"
    return message


def contact(request: Request) -> NameAddr:
    contacts = request.contacts
    assert contacts is not STAR
    return contacts[0]


def grant(peer: Peer, expires: int | None = 600, **via: str) -> None:
    request = last_register(peer)
    headers = [] if expires is None else [("Expires", str(expires))]
    response = respond(request, 200, to_tag="r", headers=headers)
    seen = request.via
    for name, value in via.items():
        seen = seen.with_parameter(name, value)
    response.headers.set("Via", str(seen))
    peer.receive(response)


def refuse(peer: Peer, status: int, *headers: tuple[str, str]) -> None:
    peer.receive(respond(last_register(peer), status, to_tag="r", headers=headers))


# -- a good registrar ---------------------------------------------------------------------------


def test_register_is_as_rfc_3261_10_2_has_it(peer: Peer) -> None:
    registration = register(peer, display_name="Bob", expires_s=300)
    request = last_register(peer)
    assert str(request.uri) == "sip:example.com"
    assert str(request.to) == '"Bob" <sip:bob@example.com>'
    assert request.from_.uri == request.to.uri
    assert str(contact(request)) == "<sip:bob@192.0.2.2:5060>;expires=300"
    assert request.expires == 300
    assert registration.state is RegistrationState.TRYING
    grant(peer, 300)
    assert registration.state is RegistrationState.REGISTERED
    assert peer.told(Registered) == [Registered(Uri.parse("sip:bob@192.0.2.2:5060"), 300)]
    assert repr(registration) == (
        "<RegistrationUsage sip:bob@example.com registered contact=sip:bob@192.0.2.2:5060>"
    )


@pytest.mark.parametrize(
    ("granted", "after"), [(600, 535.0), (60, 49.0), (20, 13.0), (10, 5.0), (1, 1.0)]
)
def test_refresh_follows_from_the_granted_expiry(peer: Peer, granted: int, after: float) -> None:
    """90 % less 5 s, never before half; not from what was asked for."""
    register(peer, expires_s=3600)
    grant(peer, granted)
    deadline = peer.stack.next_deadline()
    assert deadline is not None
    peer.ladder()
    while "REGISTER" not in [m.cseq.method for m in peer.out]:
        deadline = peer.stack.next_deadline()
        assert deadline is not None
        peer.now = deadline
        peer.stack.handle_timer(deadline)
        peer.drain()
    assert peer.now == pytest.approx(after)


def test_own_contact_tells_the_granted_expiry(peer: Peer) -> None:
    """§10.2.4: of several Contacts ours counts, before Expires."""
    register(peer)
    lines = ("<sip:other@192.0.2.9>;expires=7", "<sip:bob@192.0.2.2:5060>;q=1;expires=90")
    refuse(peer, 200, *(("Contact", line) for line in lines), ("Expires", "5"))
    assert peer.told(Registered)[0].expires_s == 90


def test_only_contact_tells_the_granted_expiry_though_it_was_rewritten(peer: Peer) -> None:
    """A registrar in front of NAT binds the address that it sees (Asterisk's rewrite_contact)."""
    register(peer, settings=RegistrationSettings(learn_address=False))
    headers = [("Contact", "<sip:bob@198.51.100.1:61234>;expires=120")]
    peer.receive(respond(last_register(peer), 200, to_tag="r", headers=headers))
    assert [told.expires_s for told in peer.told(Registered)] == [120]


def test_without_any_expiry_ours_was_granted(peer: Peer) -> None:
    register(peer, expires_s=240)
    grant(peer, None)
    assert peer.told(Registered)[0].expires_s == 240


def test_refreshes_are_not_told_and_keep_call_id_and_order(peer: Peer) -> None:
    register(peer)
    seen = []
    for _ in range(3):
        seen.append(last_register(peer))
        grant(peer)
        peer.run(540)
    assert len(peer.told(Registered)) == 1
    assert len({request.call_id for request in seen}) == 1
    assert len({request.from_.tag for request in seen}) == 1
    assert [request.cseq.number for request in seen] == [1, 2, 3]


def test_refresh_uses_the_nonce_again_and_takes_a_stale_one_in_its_stride(
    network: Network, alice: Party, registrar: Party
) -> None:
    guard = Guard(registrar, expires_s=120, lifetime_s=300)
    credentials = DigestCredentials("alice", "example.com", "wonderland")
    registration = alice.do(
        alice.stack.register,
        registrar.uri,
        alice.address.uri,
        network.flow(alice, registrar),
        credentials=credentials,
    )
    network.run(1000)
    assert guard.verdicts[:4] == [Verdict.MISSING, Verdict.OK, Verdict.OK, Verdict.OK]
    assert Verdict.STALE in guard.verdicts
    assert Verdict.WRONG not in guard.verdicts
    assert len(alice.told(Registered)) == 1
    assert alice.told(RegistrationFailed) == []
    alice.do(registration.unregister)
    network.assert_idle()


def test_too_brief_an_interval_is_raised(network: Network, alice: Party, registrar: Party) -> None:
    """§10.2.8."""
    guard = Guard(registrar, min_expires_s=300)
    credentials = DigestCredentials("alice", "example.com", "wonderland")
    alice.do(
        alice.stack.register,
        registrar.uri,
        alice.address.uri,
        network.flow(alice, registrar),
        credentials=credentials,
        expires_s=60,
    )
    network.run(10)
    assert guard.granted[-1].expires == 300
    assert alice.told(Registered)[0].expires_s == 300


@pytest.mark.parametrize("least", ["10", "60", "999999", "many"])
def test_senseless_min_expires_is_a_failure(peer: Peer, least: str) -> None:
    register(peer, expires_s=60 if least != "many" else 3600)
    refuse(peer, 423, ("Min-Expires", least))
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.fatal) == (423, False)


def test_unregistering(peer: Peer) -> None:
    registration = register(peer)
    grant(peer)
    peer.do(registration.unregister)
    assert registration.state is RegistrationState.UNREGISTERING
    assert contact(last_register(peer)).expires == 0
    peer.do(registration.unregister)
    grant(peer, None)
    assert peer.told(Unregistered) == [Unregistered()]
    assert registration.state is RegistrationState.UNREGISTERED
    peer.do(registration.flow_available, FAR)
    peer.do(registration.retry)
    peer.assert_idle()


def test_unregistering_at_a_registrar_that_is_silent(peer: Peer) -> None:
    registration = register(peer)
    grant(peer)
    peer.do(registration.unregister)
    peer.run(33)
    assert peer.told(Unregistered) == [Unregistered()]
    peer.assert_idle()


def test_unregistering_before_there_is_a_flow(peer: Peer) -> None:
    registration = register(peer, None)
    assert registration.state is RegistrationState.WAITING
    peer.do(registration.unregister)
    assert peer.ladder() == []
    assert peer.told(Unregistered) == [Unregistered()]
    peer.assert_idle()


# -- a bad one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        (
            'Digest realm="example.com", nonce="n1", algorithm=AKAv1-MD5',
            "it asks for a password in a way that is not known here: Digest AKAv1-MD5",
        ),
        ('Basic realm="x"', "it asks for a password in a way that is not known here: Basic"),
        ("Digest ,", "its challenge is malformed"),
        (None, "it asks for a password by no challenge"),
    ],
)
def test_a_challenge_that_can_not_be_answered_is_no_wrong_password(
    peer: Peer, challenge: str | None, text: str
) -> None:
    register(peer)
    refuse(peer, 401, *(() if challenge is None else (("WWW-Authenticate", challenge),)))
    assert peer.told(RegistrationFailed) == [RegistrationFailed(401, text, fatal=True)]


def test_a_realm_that_is_not_the_account_s_is_named(peer: Peer) -> None:
    register(peer)
    value = 'Digest realm="example.com", nonce="n1", qop="auth"'
    refuse(peer, 401, ("WWW-Authenticate", value))
    refuse(peer, 401, ("WWW-Authenticate", value.replace("example.com", "other.com")))
    (failed,) = peer.told(RegistrationFailed)
    assert failed.text == "it asks for the realm 'other.com', and 'example.com' alone is answered"


def test_wrong_password_is_told_once_and_never_tried_again(peer: Peer) -> None:
    registration = register(peer)
    value = 'Digest realm="example.com", nonce="n1", qop="auth"'
    refuse(peer, 401, ("WWW-Authenticate", value))
    refuse(peer, 401, ("WWW-Authenticate", value.replace("n1", "n2")))
    peer.ladder()
    peer.run(1e5)
    assert peer.ladder() == []
    assert peer.told(RegistrationFailed) == [
        RegistrationFailed(401, "wrong password or unknown user", fatal=True)
    ]
    assert registration.state is RegistrationState.FAILED
    peer.do(registration.retry)
    assert peer.ladder() == ["REGISTER"]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_refusal_for_good_is_not_tried_again(peer: Peer, status: int) -> None:
    register(peer)
    refuse(peer, status)
    peer.run(1e5)
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.fatal, failed.retry_in_s) == (status, True, None)


def test_pauses_after_failures_double_with_jitter_up_to_a_cap() -> None:
    """RFC 5626 §4.5: 50-100 % of the bound."""
    peer = Peer(random=Random(3))
    register(peer, settings=RegistrationSettings(backoff_base_s=2.0, backoff_cap_s=60.0))
    pauses = []
    for _ in range(9):
        failed_at = peer.now
        refuse(peer, 500)
        sent = len(peer.out)
        while len(peer.out) == sent:
            deadline = peer.stack.next_deadline()
            assert deadline is not None
            peer.now = deadline
            peer.stack.handle_timer(deadline)
            peer.drain()
        pauses.append(peer.now - failed_at)
    bounds = [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert all(bound / 2 <= pause <= bound for bound, pause in zip(bounds, pauses, strict=True))
    assert len({pause / bound for bound, pause in zip(bounds, pauses, strict=True)}) == 9
    assert len(peer.told(RegistrationFailed)) == 1


def test_registrar_may_ask_for_a_longer_pause(peer: Peer) -> None:
    register(peer)
    refuse(peer, 503, ("Retry-After", "120 (maintenance);duration=60"))
    assert peer.told(RegistrationFailed)[0].retry_in_s == 120


def test_success_ends_the_doubling_and_failures_are_told_anew(peer: Peer) -> None:
    registration = register(peer)
    for _ in range(2):
        refuse(peer, 500)
        peer.run(5)
        grant(peer)
        assert registration.state is RegistrationState.REGISTERED
        peer.run(540)
    kinds = [type(event.event) for event in peer.events]  # type: ignore[union-attr]
    assert kinds == [RegistrationFailed, Registered] * 2


def test_silent_registrar_is_tried_again(peer: Peer) -> None:
    registration = register(peer)
    peer.run(33)
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.fatal) == (408, False)
    assert failed.error is not None
    peer.run(10)
    assert registration.state is RegistrationState.TRYING
    grant(peer)
    assert registration.state is RegistrationState.REGISTERED


def test_registrar_that_keeps_nothing_is_a_failure(peer: Peer) -> None:
    register(peer)
    grant(peer, 0)
    (failed,) = peer.told(RegistrationFailed)
    assert "keeps no binding" in failed.text


def test_unreachable_datagram_registrar_is_tried_again_on_the_same_flow(peer: Peer) -> None:
    registration = register(peer)
    error = TransportError("port unreachable")
    peer.stack.flow_closed(FAR, peer.now, error)
    peer.drain()
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.error, failed.fatal) == (503, error, False)
    assert registration.flow == FAR
    peer.run(3)
    assert peer.ladder()[-1] == "REGISTER"


# -- several ways (RFC 3263 §4.3) ---------------------------------------------------------------


def test_a_way_that_fails_is_left_at_once_where_another_is_known(peer: Peer) -> None:
    registration = register(peer, None)
    peer.do(registration.flow_available, FAR, alternative=True)
    refuse(peer, 503, ("Retry-After", "60"))
    assert peer.told(WayWanted)
    assert peer.told(RegistrationFailed) == []
    assert (registration.state, registration.flow) == (RegistrationState.WAITING, None)
    peer.do(registration.flow_available, BEHIND_NAT, alternative=False)
    assert peer.flows[-1] == BEHIND_NAT
    grant(peer)
    assert registration.state is RegistrationState.REGISTERED


def test_after_the_last_way_all_are_wanted_again_after_growing_pauses(peer: Peer) -> None:
    registration = register(peer, None)
    for count in range(1, 4):
        peer.do(registration.flow_available, FAR, alternative=False)
        refuse(peer, 503, ("Retry-After", "20"))
        assert registration.state is RegistrationState.FAILED
        peer.run(19)
        assert len(peer.told(WayWanted)) == count - 1
        peer.run(15)
        assert len(peer.told(WayWanted)) == count
    (failed,) = peer.told(RegistrationFailed)
    assert failed.status == 503


def test_a_late_answer_by_a_way_that_was_left_changes_nothing(peer: Peer) -> None:
    registration = register(peer, None)
    peer.do(registration.flow_available, FAR, alternative=True)
    late = respond(last_register(peer), 200, to_tag="r")
    peer.stack.flow_closed(FAR, peer.now, TransportError("port unreachable"))
    peer.drain()
    peer.receive(late)
    assert registration.state is RegistrationState.WAITING


# -- connections --------------------------------------------------------------------------------


def test_lost_connection_waits_for_the_next_one(peer: Peer) -> None:
    registration = register(peer, WS)
    grant(peer)
    error = TransportError("reset by peer")
    peer.stack.flow_closed(WS, peer.now, error)
    peer.drain()
    assert registration.state is RegistrationState.WAITING
    assert registration.flow is None
    assert peer.told(RegistrationFailed)[0].error == error
    peer.ladder()
    peer.run(1e4)
    assert peer.ladder() == []

    again = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 2)
    peer.do(registration.flow_available, again)
    assert peer.flows == [again]
    request = last_register(peer)
    assert request.cseq.number == 2
    grant(peer)
    assert registration.state is RegistrationState.REGISTERED
    assert len(peer.told(Registered)) == 2


def test_connection_lost_while_registering_is_told_once(peer: Peer) -> None:
    registration = register(peer, WS)
    peer.stack.flow_closed(WS, peer.now, TransportError("reset by peer"))
    peer.drain()
    assert len(peer.told(RegistrationFailed)) == 1
    assert registration.state is RegistrationState.WAITING


def test_connection_lost_while_unregistering_is_the_end(peer: Peer) -> None:
    registration = register(peer, WS)
    grant(peer)
    peer.do(registration.unregister)
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert peer.told(Unregistered) == [Unregistered()]
    peer.assert_idle()


def test_new_flow_replaces_a_registration_under_way(peer: Peer) -> None:
    registration = register(peer, WS)
    old = last_register(peer)
    again = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 2)
    peer.do(registration.flow_available, again)
    peer.receive(respond(old, 403, to_tag="r"))
    assert peer.told(RegistrationFailed) == []
    grant(peer)
    assert registration.flow == again


def test_contact_of_a_websocket_client_is_an_invalid_host(
    network: Network, alice: Party, registrar: Party
) -> None:
    """RFC 7118 §5.2."""
    Guard(registrar)
    flow = network.connect(alice, registrar)
    alice.do(
        alice.stack.register,
        registrar.uri,
        alice.address.uri,
        flow,
        credentials=DigestCredentials("alice", "example.com", "wonderland"),
    )
    network.run(1)
    first = alice.sent[0]
    assert isinstance(first, Request)
    assert str(contact(first)).startswith("<sip:alice@alice.invalid;transport=ws>")
    assert (first.via.transport, first.via.host) == ("WS", "alice.invalid")
    assert first.via.parameter("rport") is None
    assert alice.told(Registered)[0].contact.host == "alice.invalid"


def test_instance_and_flow_number_of_rfc_5626(peer: Peer) -> None:
    register(peer, instance="urn:uuid:00000000-0000-1000-8000-000A95A0E128")
    named = contact(last_register(peer))
    assert named.parameter("+sip.instance") == "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"
    assert named.parameter("reg-id") == "1"
    assert last_register(peer).supported == ("100rel", "path", "outbound")


# -- from before -------------------------------------------------------------------------------

INSTANCE = "urn:uuid:00000000-0000-1000-8000-000A95A0E128"
MINE_NOW = "<sip:bob@192.0.2.2:5060>;expires=600"
OURS = f';+sip.instance="<{INSTANCE.upper()}>"'


def list_bindings(peer: Peer, *bindings: str) -> None:
    headers = [("Contact", each) for each in bindings]
    peer.receive(respond(last_register(peer), 200, to_tag="r", headers=headers))


def asked_for(peer: Peer) -> list[str]:
    contacts = last_register(peer).contacts
    assert contacts is not STAR
    return [f"{each.uri} {each.expires}" for each in contacts]


def test_what_a_process_before_us_has_left_is_removed_once(peer: Peer) -> None:
    """Of our instance alone; not another flow of it, nor another phone with the same number."""
    register(peer, instance=INSTANCE)
    bindings = (
        f"{MINE_NOW}{OURS};reg-id=1",
        f"<sip:bob@192.0.2.2:40001;transport=tcp>;expires=300{OURS};reg-id=1",
        f"<sip:bob@192.0.2.2:40002;transport=tcp>;expires=300{OURS}",
        f"<sip:bob@192.0.2.2:40003>;expires=300{OURS};reg-id=2",
        '<sip:bob@192.0.2.9:5060>;expires=300;+sip.instance="<urn:uuid:other>"',
        "<sip:bob@192.0.2.8:5060>;expires=300",
    )
    list_bindings(peer, *bindings)
    assert len(peer.told(Registered)) == 1
    assert asked_for(peer) == [
        "sip:bob@192.0.2.2:5060 600",
        "sip:bob@192.0.2.2:40001;transport=tcp 0",
        "sip:bob@192.0.2.2:40002;transport=tcp 0",
    ]
    list_bindings(peer, *bindings)  # it keeps them all the same
    assert peer.ladder() == ["REGISTER", "REGISTER"]
    assert len(peer.told(Registered)) == 1


def test_what_an_earlier_run_had_bound_is_removed_without_an_instance_too(peer: Peer) -> None:
    register(peer, before=Uri.parse("sip:bob@192.0.2.2:40001;transport=tcp"))
    list_bindings(
        peer,
        MINE_NOW,
        "<sip:bob@192.0.2.2:40001;transport=tcp>;expires=300",
        "<sip:bob@192.0.2.2:40002;transport=tcp>;expires=300",
    )
    assert asked_for(peer) == [
        "sip:bob@192.0.2.2:5060 600",
        "sip:bob@192.0.2.2:40001;transport=tcp 0",
    ]
    list_bindings(peer, MINE_NOW)
    assert peer.ladder() == ["REGISTER", "REGISTER"]


def test_a_registrar_that_does_not_want_to_remove_them_keeps_us_registered(peer: Peer) -> None:
    register(peer, instance=INSTANCE)
    list_bindings(peer, f"{MINE_NOW}{OURS}", f"<sip:bob@192.0.2.2:40001>;expires=300{OURS}")
    refuse(peer, 403)
    assert asked_for(peer) == ["sip:bob@192.0.2.2:5060 600"]
    grant(peer)
    assert peer.told(RegistrationFailed) == []
    assert len(peer.told(Registered)) == 1


def test_where_the_registrar_writes_addresses_anew_nothing_is_removed(peer: Peer) -> None:
    """What looks like another binding of ours may be this one."""
    register(peer, instance=INSTANCE)
    list_bindings(
        peer,
        f"<sip:bob@203.0.113.7:61000>;expires=600{OURS}",
        f"<sip:bob@203.0.113.7:61001>;expires=600{OURS}",
    )
    assert peer.ladder() == ["REGISTER"]


# -- NAT ----------------------------------------------------------------------------------------


def test_address_that_the_registrar_sees_is_registered_instead(peer: Peer) -> None:
    """RFC 3581: the first binding leads nowhere, so it is removed in the same request."""
    registration = register(peer, BEHIND_NAT)
    grant(peer, received="203.0.113.7", rport="61000")
    request = last_register(peer)
    contacts = request.contacts
    assert contacts is not STAR
    assert [str(each) for each in contacts] == [
        "<sip:bob@203.0.113.7:61000>;expires=600",
        "<sip:bob@192.0.2.2:5060>;expires=0",
    ]
    assert peer.told(Registered) == []
    grant(peer, received="203.0.113.7", rport="61000")
    assert peer.told(Registered) == [
        Registered(Uri.parse("sip:bob@203.0.113.7:61000"), 600, ("203.0.113.7", 61000))
    ]
    peer.do(registration.unregister)
    assert contact(last_register(peer)).uri.port == 61000


def test_port_that_changes_each_time_does_not_make_us_loop(peer: Peer) -> None:
    register(peer, BEHIND_NAT)
    grant(peer, received="203.0.113.7", rport="61000")
    grant(peer, received="203.0.113.7", rport="61001")
    assert len(peer.told(Registered)) == 1
    assert peer.ladder() == ["REGISTER", "REGISTER"]


def test_learning_can_be_switched_off_and_same_address_is_nothing_new(peer: Peer) -> None:
    register(peer, BEHIND_NAT, settings=RegistrationSettings(learn_address=False))
    grant(peer, received="203.0.113.7", rport="61000")
    assert peer.told(Registered)[0].public_address == ("203.0.113.7", 61000)
    other = Peer()
    register(other)
    grant(other, received="192.0.2.2", rport="5060")
    assert other.ladder() == ["REGISTER"]
    assert local_uri(FAR, None).host == "192.0.2.2"


def test_late_answer_to_an_old_register_changes_nothing(peer: Peer) -> None:
    registration = register(peer)
    old = last_register(peer)
    peer.run(33)
    peer.receive(Response(200, "OK", respond(old, 200).headers))
    assert registration.state is RegistrationState.FAILED


def test_challenge_of_an_old_register_is_not_answered(peer: Peer) -> None:
    """Else it would bind anew what was just taken back."""
    registration = register(peer)
    old = last_register(peer)
    peer.do(registration.unregister)
    peer.out.clear()
    challenge = 'Digest realm="example.com", nonce="n", qop="auth", algorithm=MD5'
    peer.receive(respond(old, 401, to_tag="r", headers=[("WWW-Authenticate", challenge)]))
    assert peer.ladder() == []


def test_a_nonce_that_is_stale_again_is_no_wrong_password(peer: Peer) -> None:
    """The registrar's answers were lost, and ours repeated: it is tried again after a pause."""
    registration = register(peer)
    for _ in range(3):
        refuse(peer, 401, ("WWW-Authenticate", 'Digest realm="example.com", nonce="n", stale=TRUE'))
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.fatal) == (401, False)
    assert failed.retry_in_s is not None
    peer.run(failed.retry_in_s + 1)
    grant(peer)
    assert registration.state is RegistrationState.REGISTERED
