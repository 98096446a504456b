from __future__ import annotations

import pytest

from signaling.sip.flow import Flow, TransportKind

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kind", "reliable", "secure", "port"),
    [
        ("UDP", False, False, 5060),
        ("TCP", True, False, 5060),
        ("TLS", True, True, 5061),
        ("WS", True, False, 80),
        ("WSS", True, True, 443),
    ],
)
def test_what_each_transport_is(kind: str, reliable: bool, secure: bool, port: int) -> None:
    flow = Flow(TransportKind(kind), "192.0.2.1", 5060)
    assert (flow.reliable, flow.secure, flow.transport.default_port) == (reliable, secure, port)


def test_text_names_transport_address_and_connection() -> None:
    assert str(Flow(TransportKind.UDP, "2001:db8::1", 5060)) == "UDP:[2001:db8::1]:5060"
    assert str(Flow(TransportKind.WSS, "192.0.2.1", 443, "ws", 7)) == "WSS:192.0.2.1:443#7"
