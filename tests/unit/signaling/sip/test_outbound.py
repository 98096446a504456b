"""What a registrar may want: outbound (RFC 5626), Service-Route (RFC 3608), GRUU (RFC 5627)."""

from __future__ import annotations

import pytest

from signaling.sip import stun
from signaling.sip.events import Registered, RegistrationFailed
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Request, respond
from signaling.sip.registration import RegistrationSettings, RegistrationState, RegistrationUsage
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.peer import FAR, WS, Peer
from tests.unit.signaling.sip.test_registration import contact, last_register, refuse, register

pytestmark = pytest.mark.unit

INSTANCE = "urn:uuid:00000000-0000-1000-8000-000A95A0E128"
GRUU = "sip:bob@example.com;gr=urn:uuid:00000000-0000-1000-8000-000A95A0E128"
OUTBOUND = (("Require", "outbound"), ("Expires", "600"))


def grant(peer: Peer, *headers: tuple[str, str]) -> None:
    refuse(peer, 200, *headers)


def call_contact(peer: Peer, flow: Flow = FAR) -> str:
    """How Bob names himself in an INVITE."""
    peer.do(
        peer.stack.invite,
        Uri.parse("sip:alice@192.0.2.1"),
        flow,
        from_=NameAddr.parse("<sip:bob@example.com>"),
        to=NameAddr.parse("<sip:alice@192.0.2.1>"),
        sdp=b"offer",
    )
    request = peer.last()
    assert isinstance(request, Request)
    return str(contact(request).uri)


def keepalives(peer: Peer, seconds: float) -> list[tuple[float, bytes]]:
    """What is sent that is no SIP, and when."""
    sent, end = [], peer.now + seconds
    while (deadline := peer.stack.next_deadline()) is not None and deadline <= end:
        peer.now = deadline
        peer.stack.handle_timer(deadline)
        for _, octets in peer.stack.take_output():
            if octets == b"\r\n\r\n" or stun.is_stun(octets):
                sent.append((peer.now, octets))
    peer.now = end
    return sent


# -- outbound --------------------------------------------------------------------------------------


def test_a_registrar_that_keeps_our_flow_is_said_so_in_calls(peer: Peer) -> None:
    """RFC 5626 §4.3: `ob` asks that later requests of the dialog come over this flow."""
    register(peer, instance=INSTANCE)
    grant(peer, *OUTBOUND)
    assert call_contact(peer) == "sip:bob@192.0.2.2:5060;ob"


def test_calls_are_named_as_ever_where_the_registrar_does_not(peer: Peer) -> None:
    register(peer, instance=INSTANCE)
    grant(peer, ("Expires", "600"))
    assert call_contact(peer) == "sip:bob@192.0.2.2:5060"
    assert keepalives(peer, 500) == []


def test_without_outbound_in_the_first_proxy_we_register_without(peer: Peer) -> None:
    """RFC 5626 §11.6: 439."""
    registration = register(peer, instance=INSTANCE)
    refuse(peer, 439)
    request = last_register(peer)
    assert "outbound" not in request.supported
    assert contact(request).parameter("reg-id") is None
    assert contact(request).parameter("+sip.instance") == f"<{INSTANCE}>"
    grant(peer, ("Expires", "600"))
    assert registration.state is RegistrationState.REGISTERED
    assert peer.told(RegistrationFailed) == []


def test_439_to_who_did_not_ask_for_outbound_is_a_failure(peer: Peer) -> None:
    register(peer)
    refuse(peer, 439)
    assert [failed.fatal for failed in peer.told(RegistrationFailed)] == [False]


def test_a_failed_flow_is_registered_anew_after_a_pause(peer: Peer) -> None:
    """RFC 5626 §11.5: 430."""
    registration = register(peer, instance=INSTANCE)
    refuse(peer, 430)
    (failed,) = peer.told(RegistrationFailed)
    assert (failed.status, failed.fatal) == (430, False)
    peer.run(2)
    grant(peer, *OUTBOUND)
    assert registration.state is RegistrationState.REGISTERED


@pytest.mark.parametrize(
    ("said", "longest_s"), [((), 120), ((("Flow-Timer", "40"),), 40), ((("Flow-Timer", "1"),), 5)]
)
def test_a_connection_is_kept_alive_by_crlf_as_often_as_is_asked(
    said: tuple[tuple[str, str], ...], longest_s: int
) -> None:
    peer = Peer(WS)
    register(peer, WS, instance=INSTANCE)
    grant(peer, *OUTBOUND, *said)
    times = [at for at, octets in keepalives(peer, 500) if octets == b"\r\n\r\n"]
    pauses = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert all(0.8 * longest_s <= pause <= longest_s for pause in pauses)
    assert len(times) >= 4


def test_a_lost_connection_is_not_kept_alive(peer: Peer) -> None:
    register(peer, WS, instance=INSTANCE)
    grant(peer, *OUTBOUND)
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    assert keepalives(peer, 1000) == []


def test_over_udp_stun_keeps_the_flow_alive(peer: Peer) -> None:
    register(peer, instance=INSTANCE)
    grant(peer, *OUTBOUND)
    for _ in range(3):
        (at, question), *_ = keepalives(peer, 29.0)
        answer = stun.answer(question, "198.51.100.7", 61000)
        assert answer is not None
        peer.receive_stun(answer)
    assert at <= 3 * 29
    assert peer.ladder() == ["REGISTER"]


def test_a_flow_without_answers_is_lost_and_registered_anew(peer: Peer) -> None:
    """RFC 5626 §4.4.2."""
    registration = register(peer, instance=INSTANCE)
    grant(peer, *OUTBOUND)
    peer.ladder()
    peer.run(29 + 32)
    assert peer.ladder()[-1] == "REGISTER"
    assert registration.state is RegistrationState.REGISTERED
    peer.run(33)
    assert [failed.status for failed in peer.told(RegistrationFailed)] == [408]


def test_a_nat_that_forgot_us_is_noticed_and_told_to_the_registrar(peer: Peer) -> None:
    register(peer, instance=INSTANCE)
    grant(peer, *OUTBOUND)
    peer.ladder()
    for port in (61000, 61001):
        (_, question), *_ = keepalives(peer, 29.0)
        answer = stun.answer(question, "198.51.100.7", port)
        assert answer is not None
        peer.receive_stun(answer)
    assert peer.ladder() == ["REGISTER"]


# -- another address -------------------------------------------------------------------------------


def test_an_address_that_changes_is_registered_and_the_old_one_taken_back(peer: Peer) -> None:
    """Over UDP; seen by the registrar at the next refresh (RFC 3581)."""

    def granted(port: str) -> None:
        request = last_register(peer)
        response = respond(request, 200, to_tag="r", headers=[("Expires", "600")])
        via = request.via.with_parameter("received", "203.0.113.7").with_parameter("rport", port)
        response.headers.set("Via", str(via))
        peer.receive(response)

    register(peer)
    granted("61000")
    granted("61000")
    peer.run(540)
    granted("61001")
    contacts = last_register(peer).contacts
    assert contacts is not STAR
    assert [(each.uri.port, each.expires) for each in contacts] == [(61001, 600), (61000, 0)]
    granted("61001")
    assert [told.contact.port for told in peer.told(Registered)] == [61000, 61001]
    assert call_contact(peer) == "sip:bob@203.0.113.7:61001"


# -- Service-Route ---------------------------------------------------------------------------------


def test_the_way_that_the_registrar_wants_is_kept_and_follows_each_refresh(peer: Peer) -> None:
    registration = register(peer)
    one, two = "<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"
    grant(peer, ("Service-Route", f"{one}, {two}"), ("Expires", "600"))
    assert [str(hop) for hop in registration.service_route] == [one, two]
    peer.run(540)
    grant(peer, ("Expires", "600"))
    assert registration.service_route == ()


@pytest.mark.parametrize("value", ["<sip:p1.example.com>", "<tel:1;lr>", "<<>", ""])
def test_a_way_that_makes_no_sense_is_none(peer: Peer, value: str) -> None:
    registration = register(peer)
    grant(peer, ("Service-Route", value), ("Expires", "600"))
    assert registration.service_route == ()
    assert registration.state is RegistrationState.REGISTERED


# -- GRUU ------------------------------------------------------------------------------------------


def with_gruu(peer: Peer, flow: Flow = FAR, **wishes: object) -> RegistrationUsage:
    settings = RegistrationSettings(gruu=True)
    return register(peer, flow, instance=INSTANCE, settings=settings, **wishes)


def given(peer: Peer, gruu: str, instance: str = INSTANCE) -> tuple[str, str]:
    named = contact(last_register(peer)).with_parameter("pub-gruu", gruu)
    return "Contact", str(named.with_parameter("+sip.instance", f"<{instance}>"))


def test_a_gruu_is_asked_for_and_is_our_name_in_calls(peer: Peer) -> None:
    """RFC 5627 §4.2, §4.4."""
    registration = with_gruu(peer)
    assert "gruu" in last_register(peer).supported
    grant(peer, given(peer, GRUU), *OUTBOUND)
    assert registration.gruu == Uri.parse(GRUU)
    assert call_contact(peer) == GRUU


@pytest.mark.parametrize("gruu", ["tel:1", "sip:", "<sip:bob@example.com>", ""])
def test_a_gruu_that_makes_no_sense_is_none(peer: Peer, gruu: str) -> None:
    registration = with_gruu(peer)
    grant(peer, given(peer, gruu), *OUTBOUND)
    assert registration.gruu is None
    assert call_contact(peer) == "sip:bob@192.0.2.2:5060;ob"


def test_the_gruu_of_another_telephone_is_not_ours(peer: Peer) -> None:
    registration = with_gruu(peer)
    grant(peer, given(peer, GRUU, instance="urn:uuid:1"), *OUTBOUND)
    assert registration.gruu is None


def test_unasked_no_gruu_is_taken(peer: Peer) -> None:
    register(peer, instance=INSTANCE)
    assert "gruu" not in last_register(peer).supported
    grant(peer, given(peer, GRUU), *OUTBOUND)
    assert call_contact(peer) == "sip:bob@192.0.2.2:5060;ob"


def test_calls_of_others_and_over_other_flows_are_not_the_accounts(peer: Peer) -> None:
    with_gruu(peer)
    grant(peer, given(peer, GRUU), *OUTBOUND)
    elsewhere = Flow(TransportKind.UDP, "192.0.2.9", 5060, "udp")
    assert call_contact(peer, elsewhere) == "sip:bob@192.0.2.2:5060"
