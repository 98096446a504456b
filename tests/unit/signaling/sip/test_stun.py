"""STUN as keep-alive of SIP over UDP, with the numbers of RFC 5769 where it has any."""

from __future__ import annotations

import pytest

from signaling.sip import stun
from signaling.sip.flow import Flow, TransportKind
from tests.unit.signaling.sip.peer import FAR, Peer

pytestmark = pytest.mark.unit

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
"""Of RFC 5769 §2.2."""


@pytest.mark.parametrize(
    ("host", "attribute"),
    [
        ("192.0.2.1", "002000080001a147e112a643"),
        (
            "2001:db8:1234:5678:11:2233:4455:6677",
            "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
        ),
    ],
)
def test_the_address_is_veiled_as_rfc_5769_has_it(host: str, attribute: str) -> None:
    answer = stun.answer(stun.binding_request(TRANSACTION), host, 32853)
    assert answer is not None
    assert answer[20:].hex() == attribute
    assert stun.seen_address(answer) == (TRANSACTION, (host, 32853))


@pytest.mark.parametrize(
    "octets",
    [
        stun.binding_request(TRANSACTION)[:-1],
        b"REGISTER sip:example.com SIP/2.0\r\n",
        b"\x00\x01\x00\x00" + bytes(16),
    ],
    ids=["short", "SIP", "no cookie"],
)
def test_what_is_no_stun(octets: bytes) -> None:
    assert not stun.is_stun(octets)


@pytest.mark.parametrize("kind", ["0101", "0111", "0003", "0011"])
def test_nothing_but_a_binding_request_is_answered(kind: str) -> None:
    octets = bytes.fromhex(kind) + stun.binding_request(TRANSACTION)[2:]
    assert stun.answer(octets, "192.0.2.1", 5060) is None


def test_a_length_that_lies_is_not_answered() -> None:
    octets = stun.binding_request(TRANSACTION)
    assert stun.answer(octets + b"\0" * 4, "192.0.2.1", 5060) is None


@pytest.mark.parametrize("tail", ["", "00200008", "002000080001", "0020000400010000", "00010000"])
def test_an_answer_without_an_address_tells_nothing(tail: str) -> None:
    octets = bytes.fromhex("0101") + stun.binding_request(TRANSACTION)[2:] + bytes.fromhex(tail)
    assert stun.seen_address(octets) is None


def test_a_far_end_that_keeps_its_flow_alive_is_answered(peer: Peer) -> None:
    """RFC 5626 §8: on the very port of SIP; over a connection it is no SIP and nothing else."""
    peer.stack.receive_message(stun.binding_request(TRANSACTION), FAR, 0.0)
    ((flow, octets),) = peer.stack.take_output()
    assert flow == FAR
    assert stun.seen_address(octets) == (TRANSACTION, (FAR.host, FAR.port))
    stream = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 1)
    peer.stack.receive_message(stun.binding_request(TRANSACTION), stream, 0.0)
    assert peer.stack.take_output() == []


def test_an_answer_that_nobody_waits_for_changes_nothing(peer: Peer) -> None:
    answer = stun.answer(stun.binding_request(TRANSACTION), "192.0.2.2", 5060)
    assert answer is not None
    peer.stack.receive_message(answer, FAR, 0.0)
    assert peer.stack.take_output() == []
    assert peer.stack.take_events() == []
