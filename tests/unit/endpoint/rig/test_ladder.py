from __future__ import annotations

import pytest

from endpoint.rig.ladder import TracedMessage, draw, rungs

pytestmark = pytest.mark.unit

INVITE = (
    b"INVITE sip:10086@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:6001@127.0.0.1>;tag=a\r\nTo: <sip:10086@127.0.0.1>\r\nCall-ID: one\r\n"
    b"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:6001@127.0.0.1>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 19\r\n\r\nv=0\r\na=sendonly\r\n\r\n"
)
OK = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:6001@127.0.0.1>;tag=a\r\nTo: <sip:10086@127.0.0.1>;tag=b\r\nCall-ID: one\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
NAMES = {"127.0.0.1:1": "6001", "127.0.0.1:2": "10086"}
TRACE = [
    TracedMessage(10.0, sent=False, transport="WSS", peer="127.0.0.1:1", octets=INVITE),
    TracedMessage(10.001, sent=True, transport="UDP", peer="127.0.0.1:2", octets=INVITE),
    TracedMessage(10.5, sent=False, transport="UDP", peer="127.0.0.1:2", octets=b"\r\n\r\n"),
    TracedMessage(11.0, sent=False, transport="UDP", peer="127.0.0.1:2", octets=OK),
]


def test_rungs_name_the_party_and_say_what_the_description_asks_for():
    found = rungs(TRACE, NAMES.__getitem__)

    assert [(rung.party, rung.sent, rung.label) for rung in found] == [
        ("6001", False, "INVITE [sdp sendonly]"),
        ("10086", True, "INVITE [sdp sendonly]"),
        ("10086", False, "200 OK (INVITE)"),
    ]


def test_arrows_point_from_the_sender_to_the_receiver():
    lines = draw(rungs(TRACE, NAMES.__getitem__), ["6001", "10086"])

    assert lines[0].split() == ["6001", "endpoint", "10086"]
    assert [("▶" in line, "◀" in line) for line in lines[1:]] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert lines[1].index("INVITE") < lines[2].index("INVITE")
    assert lines[3].lstrip().startswith("1.000")


def test_nothing_traced_draws_nothing():
    assert draw([], ["6001"]) == []
