"""RFC 3261 §12."""

from __future__ import annotations

import pytest

from signaling.errors import RemoteProtocolError
from signaling.sip.dialog import Dialog, DialogKey, flow_towards
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, Response
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.messages import request, response
from tests.unit.signaling.sip.peer import FAR

pytestmark = pytest.mark.unit

FLOW = Flow(TransportKind.UDP, "192.0.2.2", 5060, "udp")
WS = Flow(TransportKind.WS, "192.0.2.2", 80, "ws", 7)


def answer(to: Request, contact: str = "sip:bob@192.0.2.22:5080", *routes: str) -> Response:
    reply = response(to, 200)
    reply.headers.set("Contact", f"<{contact}>")
    if routes:
        reply.headers.set("Record-Route", *routes)
    return reply


def caller(*routes: str, contact: str = "sip:bob@192.0.2.22:5080", flow: Flow = FLOW) -> Dialog:
    invite = request()
    return Dialog.of_response(invite, answer(invite, contact, *routes), flow)


def callee(*routes: str, **kwargs: object) -> Dialog:
    headers = tuple(("Record-Route", route) for route in routes)
    return Dialog.of_request(
        request(headers=headers, **kwargs),  # type: ignore[arg-type]
        "t1",
        FLOW,
    )


def test_both_ends_have_the_same_dialog() -> None:
    assert caller().key == DialogKey("c1", "f1", "t1")
    assert callee().key == DialogKey("c1", "t1", "f1")


def test_peer_of_rfc_2543_has_an_empty_tag() -> None:
    assert callee(from_tag=None).key == DialogKey("c1", "t1", "")


def test_route_set_is_reversed_for_the_caller_alone() -> None:
    """§12.1.1, §12.1.2."""
    routes = ["<sip:p1.example.com;lr>, <sip:p2.example.com;lr>", "<sip:p3.example.com;lr>"]
    assert [route.uri.host[:2] for route in caller(*routes).route_set] == ["p3", "p2", "p1"]
    assert [route.uri.host[:2] for route in callee(*routes).route_set] == ["p1", "p2", "p3"]


def test_loose_router_gets_the_target_in_the_request_uri() -> None:
    dialog = caller("<sip:192.0.2.50;lr>")
    uri, routes = dialog.addressing()
    assert str(uri) == "sip:bob@192.0.2.22:5080"
    assert [str(route) for route in routes] == ["<sip:192.0.2.50;lr>"]


def test_strict_router_gets_itself_in_the_request_uri() -> None:
    """§12.2.1.1: the target becomes the last Route; what a Request-URI may not hold goes."""
    dialog = callee("<sip:192.0.2.50;method=INVITE?a=b>", "<sip:192.0.2.51;lr>")
    uri, routes = dialog.addressing()
    assert str(uri.for_request()) == "sip:192.0.2.50"
    assert [str(route) for route in routes] == [
        "<sip:192.0.2.51;lr>",
        "<sip:alice@192.0.2.1:5060>",
    ]


def test_numbers_go_up_on_both_sides() -> None:
    dialog = callee(cseq=5)
    assert (dialog.next_cseq(), dialog.next_cseq()) == (1, 2)
    dialog.check_order(request("INFO", cseq=7))
    for stale in (7, 6, 1):
        with pytest.raises(RemoteProtocolError) as caught:
            dialog.check_order(request("INFO", cseq=stale))
        assert caught.value.status_hint == 500
    dialog.check_order(request("INFO", cseq=8))


def test_first_request_of_the_callee_sets_its_number() -> None:
    dialog = caller()
    dialog.check_order(request("INFO", cseq=40))
    assert dialog.remote_cseq == 40
    assert dialog.next_cseq() == 2


def test_target_is_refreshed_by_contact() -> None:
    dialog = caller()
    dialog.refresh_target(request(contact="sip:bob@192.0.2.99"))
    assert str(dialog.remote_target) == "sip:bob@192.0.2.99"
    dialog.refresh_target(request(contact=None))
    dialog.refresh_target(request(contact="tel:+49"))
    assert str(dialog.remote_target) == "sip:bob@192.0.2.99"


def test_2xx_settles_route_set_and_target_of_an_early_dialog() -> None:
    """§13.2.2.4."""
    dialog = caller("<sip:early.example.com;lr>")
    dialog.confirm(answer(request(), "sip:bob@192.0.2.99", "<sip:final.example.com;lr>"))
    assert [route.uri.host for route in dialog.route_set] == ["final.example.com"]
    assert str(dialog.remote_target) == "sip:bob@192.0.2.99"


def test_without_contact_the_old_uri_is_kept() -> None:
    invite = request()
    assert Dialog.of_response(invite, response(invite, 200), FLOW).remote_target == invite.uri


@pytest.mark.parametrize(
    ("contact", "seen", "goes_to"),
    [
        ("sip:a@192.0.2.22:5080", "192.0.2.2", ("192.0.2.22", 5080)),
        ("sip:a@8.8.8.8", "9.9.9.9", ("8.8.8.8", 5060)),
        ("sip:a@10.0.0.5:5090", "10.0.0.7", ("10.0.0.5", 5090)),
        ("sip:a@10.0.0.5:5090", "9.9.9.9", ("9.9.9.9", 4444)),
        ("sip:a@127.0.0.1:5090", "10.0.0.7", ("10.0.0.7", 4444)),
        ("sip:a@127.0.0.1:5090", "127.0.0.1", ("127.0.0.1", 5090)),
        ("sip:a@0.0.0.0", "192.0.2.2", ("192.0.2.2", 4444)),
        ("sip:a@255.255.255.255", "192.0.2.2", ("192.0.2.2", 4444)),
        ("sip:a@[2001:db8::1]", "192.0.2.2", ("192.0.2.2", 4444)),
        ("sip:a@[2001:db8::1]", "2001:db8::2", ("2001:db8::1", 5060)),
        ("sip:a@phone.example.com", "192.0.2.2", ("192.0.2.2", 4444)),
    ],
)
def test_datagrams_go_to_an_address_that_can_be_reached(
    contact: str, seen: str, goes_to: tuple[str, int]
) -> None:
    """A private address seen through a public one is behind a NAT."""
    flow = Flow(TransportKind.UDP, seen, 4444, "udp")
    found = flow_towards(Uri.parse(contact), flow)
    assert (found.host, found.port, found.listener) == (*goes_to, "udp")


def test_far_end_behind_a_nat_is_reached_by_the_flow_that_it_was_seen_on() -> None:
    """Also where both addresses are private, as a virtual machine's are."""
    seen = Flow(TransportKind.UDP, "192.168.1.9", 40000, "udp")
    inside = "10.0.2.15"
    incoming = request(sent_by=f"{inside}:5060", contact=f"sip:a@{inside}:5060")
    assert Dialog.of_request(incoming, "t1", seen).next_hop() == seen
    elsewhere = request(sent_by=f"{inside}:5060", contact="sip:a@10.0.2.16:5060")
    assert Dialog.of_request(elsewhere, "t1", seen).next_hop().host == "10.0.2.16"

    outgoing = request(uri=f"sip:bob@{inside}")
    called = Dialog.of_response(outgoing, answer(outgoing, f"sip:bob@{inside}:5060"), seen)
    assert called.next_hop() == seen
    routed = answer(outgoing, f"sip:bob@{inside}:5060", "<sip:192.168.1.50;lr>")
    assert Dialog.of_response(outgoing, routed, seen).next_hop().host == "192.168.1.50"


def test_connection_is_used_whatever_the_contact_says() -> None:
    assert caller(flow=WS, contact="sip:bob@df7jal23ls0d.invalid;transport=ws").next_hop() == WS


def test_first_route_is_the_next_hop() -> None:
    assert caller("<sip:192.0.2.50:5070;lr>").next_hop().port == 5070
    assert repr(caller()) == "<Dialog c1 sip:bob@192.0.2.2 tag=t1 cseq=1/None>"


@pytest.mark.parametrize("parameter", ["gr=urn:uuid:1", "ob"])
def test_a_gruu_and_outbound_are_reached_by_the_flow_that_there_is(parameter: str) -> None:
    """RFC 5627, RFC 5626 §4.3: the host is a registrar's, or we are asked for the flow."""
    dialog = Dialog(
        call_id="c",
        local=NameAddr.parse("<sip:bob@192.0.2.2>;tag=b"),
        remote=NameAddr.parse("<sip:alice@192.0.2.1>;tag=a"),
        remote_target=Uri.parse(f"sip:alice@192.0.2.77:5070;{parameter}"),
        flow=FAR,
    )
    assert dialog.next_hop() == FAR
