from __future__ import annotations

from xml.etree import ElementTree

import pytest

from endpoint.rig.ladder import Rung, draw, rungs
from endpoint.rig.laddersvg import draw_svg
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.trace import TracedMessage

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
AGENT = Flow(TransportKind.WSS, "127.0.0.1", 1, "ws", 1)
CUSTOMER = Flow(TransportKind.UDP, "127.0.0.1", 2)
BUSY = OK.replace(b"200 OK", b"486 <b>Busy</b> Here")
TRACE = [
    TracedMessage(10.0, sent=False, flow=AGENT, octets=INVITE),
    TracedMessage(10.001, sent=True, flow=CUSTOMER, octets=INVITE),
    TracedMessage(10.5, sent=False, flow=CUSTOMER, octets=b"\r\n\r\n"),
    TracedMessage(11.0, sent=False, flow=CUSTOMER, octets=OK),
]


def ladder(trace: list[TracedMessage]) -> list[Rung]:
    return rungs(trace, lambda peer, call_id: NAMES[peer])


def test_rungs_name_the_party_and_say_what_the_description_asks_for():
    found = ladder(TRACE)

    assert [(rung.party, rung.sent, rung.label) for rung in found] == [
        ("6001", False, "INVITE [sdp sendonly]"),
        ("10086", True, "INVITE [sdp sendonly]"),
        ("10086", False, "200 OK (INVITE)"),
    ]


def test_arrows_point_from_the_sender_to_the_receiver():
    lines = draw(ladder(TRACE), ["6001", "10086"])

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


def test_what_can_not_be_read_has_its_place_too():
    broken = TracedMessage(
        12.0, sent=False, flow=CUSTOMER, octets=b"NONSENSE\r\nCall-ID: one\r\n\r\n"
    )
    (rung,) = ladder([broken])
    assert rung.label.startswith("malformed")
    assert rung.is_refusal


def test_the_picture_has_an_arrow_a_message_and_shows_refusals():
    refused = TracedMessage(12.0, sent=False, flow=CUSTOMER, octets=BUSY)
    svg = draw_svg(ladder([*TRACE, refused]), ["6001", "10086"], title="SIP of call 1")

    root = ElementTree.fromstring(svg)
    space = {"s": "http://www.w3.org/2000/svg"}
    assert [t.text for t in root.findall("s:text", space)] == ["6001", "endpoint", "10086"]
    arrows = root.findall(".//s:line[@class='arrow']", space)
    assert [float(a.get("x2", 0)) > float(a.get("x1", 0)) for a in arrows] == [
        True,
        True,
        False,
        False,
    ]
    assert len(root.findall("s:g[@class='refused']", space)) == 1


def test_what_a_far_end_writes_is_no_markup_of_the_picture():
    refused = TracedMessage(12.0, sent=False, flow=CUSTOMER, octets=BUSY)
    svg = draw_svg(ladder([refused]), ["6001", "10086"])
    assert "<b>" not in svg
    assert "&lt;b&gt;Busy&lt;/b&gt; Here" in svg


def test_no_label_is_cut_and_none_touches_a_line():
    busy = OK.replace(b"200 OK", b"488 Not Acceptable Here At All")
    refused = TracedMessage(12.0, sent=True, flow=CUSTOMER, octets=busy)
    (_, line) = draw(ladder([refused]), ["6001", "10086"])
    assert "─ 488 Not Acceptable Here At All (INVITE) ─" in line


def test_two_parties_fit_a_screen_of_80_columns():
    described = OK.replace(b"Content-Length: 0\r\n\r\n", b"\r\nv=0\r\na=recvonly\r\n")
    answers = [
        TracedMessage(12.0, sent=sent, flow=flow, octets=described)
        for sent, flow in ((True, AGENT), (False, CUSTOMER))
    ]
    lines = draw(ladder(answers), ["6001", "10086"])
    assert all("─ 200 OK (INVITE) [recvonly] ─" in line for line in lines[1:])
    assert max(map(len, lines)) <= 80
