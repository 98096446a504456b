"""Matching (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2) and the bookkeeping of transactions."""

from __future__ import annotations

import pytest

from signaling.errors import TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.layer import Direction, TransactionLayer
from signaling.sip.message import Request
from signaling.sip.transaction import Failure, ServerTransaction, TimerSettings
from tests.unit.signaling.sip.messages import request, response

pytestmark = pytest.mark.unit

FLOW = Flow(TransportKind.UDP, "192.0.2.2", 5060, "udp")
OTHER = Flow(TransportKind.UDP, "192.0.2.3", 5060, "udp")


@pytest.fixture
def layer() -> TransactionLayer:
    return TransactionLayer(TimerSettings())


def serve(layer: TransactionLayer, message: Request) -> ServerTransaction:
    return layer.start_server(message, FLOW, FLOW, "t1", 0.0)


def send(layer: TransactionLayer, message: Request, flow: Flow = FLOW) -> list[str]:
    heard: list[str] = []
    layer.start_client(
        message,
        flow,
        0.0,
        lambda response, now: heard.append(str(response.status)),
        lambda failure, now: heard.append(f"{failure} {layer.last_error}"),
    )
    return heard


def test_response_finds_its_transaction(layer: TransactionLayer) -> None:
    sent = request("OPTIONS")
    heard = send(layer, sent)
    layer.receive_response(response(sent, 200), 0.1)
    assert heard == ["200"]


@pytest.mark.parametrize(
    "other",
    [
        request("OPTIONS", branch="z9hG4bKa2"),
        request("OPTIONS", sent_by="192.0.2.7:5060"),
        request("OPTIONS", sent_by="192.0.2.1:5061"),
        request("BYE"),
    ],
    ids=["branch", "host", "port", "method"],
)
def test_response_that_is_not_ours_is_dropped(layer: TransactionLayer, other: Request) -> None:
    """RFC 3261 §18.1.2: the top Via must be ours; RFC 4475 §3.3.10 sends one that is not."""
    heard = send(layer, request("OPTIONS"))
    layer.receive_response(response(other, 200), 0.1)
    assert heard == []


def test_branch_is_compared_without_case(layer: TransactionLayer) -> None:
    server = serve(layer, request("BYE", branch="z9hG4bKAbC"))
    assert layer.find_server(request("BYE", branch="Z9hg4bkaBc")) is server


@pytest.mark.parametrize("different", [{"branch": "z9hG4bKb"}, {"sent_by": "192.0.2.9"}])
def test_other_branch_or_sent_by_is_another_transaction(
    layer: TransactionLayer, different: dict[str, str]
) -> None:
    serve(layer, request("BYE"))
    assert layer.find_server(request("BYE", **different)) is None  # type: ignore[arg-type]
    assert layer.find_server(request("OPTIONS")) is None


def test_ack_has_the_key_of_its_invite(layer: TransactionLayer) -> None:
    server = serve(layer, request())
    assert layer.find_server(request("ACK", to_tag="t1")) is server
    assert layer.find_cancelled(request("CANCEL")) is server
    assert layer.find_server(request("CANCEL")) is None


@pytest.mark.parametrize("branch", [None, "z9hG4bK", "Z9HG4BK", "1"])
def test_request_of_rfc_2543_is_matched_by_its_fields(
    layer: TransactionLayer, branch: str | None
) -> None:
    server = serve(layer, request(branch=branch, from_tag=None))
    assert layer.find_server(request(branch=branch, from_tag=None)) is server
    ack = request("ACK", branch=branch, from_tag=None, to_tag="t1")
    assert layer.find_server(ack) is server
    cancel = request("CANCEL", branch=branch, from_tag=None)
    assert layer.find_cancelled(cancel) is server


@pytest.mark.parametrize("branch", [None, "z9hG4bK"])
@pytest.mark.parametrize(
    "different",
    [
        {"call_id": "c2"},
        {"cseq": 2},
        {"from_tag": "f2"},
        {"uri": "sip:eve@192.0.2.2"},
        {"sent_by": "192.0.2.66"},
        {"method": "OPTIONS"},
    ],
    ids=lambda different: next(iter(different)),
)
def test_two_requests_with_a_bare_branch_never_share_a_transaction(
    layer: TransactionLayer, branch: str | None, different: dict[str, str]
) -> None:
    """RFC 4475 §3.2.1."""
    serve(layer, request("BYE", branch=branch, to_tag="t1"))
    fields: dict[str, str] = {"method": "BYE", "to_tag": "t1"} | different
    assert layer.find_server(request(branch=branch, **fields)) is None  # type: ignore[arg-type]


def test_same_request_by_another_way_is_merged(layer: TransactionLayer) -> None:
    server = serve(layer, request())
    assert layer.find_merged(request(branch="z9hG4bKb")) is server
    assert layer.find_merged(request(branch="z9hG4bKb", cseq=2)) is None
    assert layer.find_merged(request(branch="z9hG4bKb", to_tag="t1")) is None
    assert layer.find_merged(request(branch="z9hG4bKb", from_tag=None)) is None
    server.forget()
    assert layer.find_merged(request(branch="z9hG4bKb")) is None


def test_closed_flow_fails_its_transactions_alone(layer: TransactionLayer) -> None:
    ours = send(layer, request("OPTIONS"))
    others = send(layer, request("OPTIONS", branch="z9hG4bKb"), OTHER)
    serve(layer, request("MESSAGE"))
    layer.flow_closed(FLOW, 1.0, TransportError("cable cut"))
    assert ours == [f"{Failure.TRANSPORT} cable cut"]
    assert others == []
    assert (layer.client_count, layer.server_count) == (1, 0)
    assert layer.last_error is None


def test_counts(layer: TransactionLayer) -> None:
    sent = request("OPTIONS")
    send(layer, sent)
    assert (layer.client_count, layer.unanswered_count) == (1, 1)
    layer.receive_response(response(sent, 200), 0.1)
    assert (layer.client_count, layer.unanswered_count) == (1, 0)
    layer.timers.fire(100.0)
    assert (layer.client_count, len(layer.timers)) == (0, 0)
    assert repr(layer) == "<TransactionLayer clients=0 servers=0>"


def test_output_is_traced_and_handed_out_once() -> None:
    traced = []
    layer = TransactionLayer(TimerSettings(), lambda *args: traced.append(args))
    layer.send(FLOW, b"x", 1.0)
    assert layer.take_output() == [(FLOW, b"x")]
    assert layer.take_output() == []
    assert traced == [(Direction.SENT, FLOW, b"x", 1.0)]
