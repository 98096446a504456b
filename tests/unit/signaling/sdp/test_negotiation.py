"""Offer and answer: codecs, numbers, directions, versions, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SdpError
from signaling.sdp.description import Codec, Direction, SessionDescription
from signaling.sdp.negotiation import (
    PCMA,
    PCMU,
    TELEPHONE_EVENTS,
    LocalAudio,
    apply_answer,
    make_answer,
    make_offer,
)

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
US = LocalAudio(host="192.0.2.1", rtp_port=20000, session_id=77)
THEM = LocalAudio(host="198.51.100.9", rtp_port=30000, session_id=5)

SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction


def offer(*lines: str, c: str = "IN IP4 198.51.100.9") -> SessionDescription:
    head = ["v=0", "o=- 5 1 IN IP4 198.51.100.9", "s=-", f"c={c}", "t=0 0"]
    return SessionDescription.parse("".join(f"{line}\r\n" for line in [*head, *lines]).encode())


def test_our_offer_as_text() -> None:
    local = LocalAudio("192.0.2.1", 20000, 77, ssrc=42, cname="a@b")
    assert make_offer(local).serialise().decode().split("\r\n") == [
        "v=0",
        "o=- 77 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=ssrc:42 cname:a@b",
        "a=sendrecv",
        "",
    ]


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (
            "rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics",
            "rcvr-rtt=all voip-metrics",
        ),
        ("VoIP-Metrics", "voip-metrics"),
        ("rcvr-rtt=sender voip-metrics voip-metrics", "rcvr-rtt=sender voip-metrics"),
        ("pkt-loss-rle rcvr-rtt=both rcvr-rtt", ""),
        ("", ""),
    ],
)
def test_extended_reports_that_we_know_are_answered(asked: str, agreed: str) -> None:
    lines = (f"a=rtcp-xr:{asked}", "m=audio 30000 RTP/AVP 0")
    for described in (offer(*lines), offer(*reversed(lines))):
        answer, negotiated = make_answer(described, US)
        assert answer.media[0].attribute("rtcp-xr") == (agreed or None)
        assert " ".join(negotiated.reports) == agreed


def test_extended_reports_stay_asked_for_when_we_offer_anew() -> None:
    sent, agreed = make_answer(offer("m=audio 30000 RTP/AVP 0", "a=rtcp-xr:voip-metrics"), US)
    again = make_offer(US, SENDONLY, previous=sent, current=agreed)
    assert again.media[0].attribute("rtcp-xr") == "voip-metrics"


def test_extended_reports_are_asked_for_by_whoever_answers_us_too() -> None:
    ours = make_offer(US)
    answer = offer("m=audio 30000 RTP/AVP 0 8 101", "a=rtcp-xr:voip-metrics")
    assert ours.media[0].attribute("rtcp-xr") is None
    assert apply_answer(ours, answer).reports == ("voip-metrics",)


def test_rtcp_elsewhere_is_said() -> None:
    local = LocalAudio("192.0.2.1", 20000, 77, rtcp_port=20009)
    assert make_offer(local).media[0].rtcp_port == 20009
    beside = LocalAudio("192.0.2.1", 20000, 77, rtcp_port=20001)
    assert make_offer(beside).media[0].rtcp_port is None


def test_both_ends_agree() -> None:
    ours = make_offer(US)
    theirs, at_them = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    assert (at_us.host, at_us.rtp_port, at_us.rtcp_port) == ("198.51.100.9", 30000, 30001)
    assert (at_them.host, at_them.rtp_port, at_them.rtcp_port) == ("192.0.2.1", 20000, 20001)
    assert at_us.send == at_us.receive == at_them.send == (PCMU, PCMA, TELEPHONE_EVENTS)
    assert at_us.sending
    assert at_us.receiving
    assert at_us.ptime_ms == 20
    assert not at_us.rtcp_mux


def test_the_answer_keeps_the_offerers_numbers_and_order() -> None:
    theirs = offer(
        "m=audio 4000 RTP/AVP 97 18 8 0 126",
        "a=rtpmap:97 opus/48000/2",
        "a=rtpmap:126 telephone-event/8000",
        "a=fmtp:126 0-16",
    )
    answer, agreed = make_answer(theirs, US)
    assert answer.media[0].formats == ("8", "0", "126")
    assert answer.media[0].attribute("fmtp") == "126 0-15"
    assert [codec.number for codec in agreed.send] == [8, 0, 126]
    assert agreed.send[-1].fmtp == "0-16"


def test_events_at_another_clock_rate_are_not_ours() -> None:
    theirs = offer("m=audio 4000 RTP/AVP 0 110", "a=rtpmap:110 telephone-event/48000")
    answer, _ = make_answer(theirs, US)
    assert answer.media[0].formats == ("0",)


def test_an_answer_with_its_own_event_number_is_heard_by_both() -> None:
    ours = make_offer(US)
    theirs = offer("m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000")
    agreed = apply_answer(ours, theirs)
    assert [codec.number for codec in agreed.send] == [0, 96]
    assert [codec.number for codec in agreed.receive] == [0, 8, 101, 96]


def test_other_media_is_refused_in_place() -> None:
    theirs = offer(
        "m=video 5000 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "m=audio 4000 RTP/AVP 0",
        "m=image 6000 udptl t38",
    )
    answer, agreed = make_answer(theirs, US)
    assert [(medium.kind, medium.port) for medium in answer.media] == [
        ("video", 0),
        ("audio", 20000),
        ("image", 0),
    ]
    assert agreed.rtp_port == 4000
    again = make_offer(US, SENDONLY, previous=answer)
    assert [(medium.kind, medium.port) for medium in again.media] == [
        ("video", 0),
        ("audio", 20000),
        ("image", 0),
    ]


def test_the_second_audio_line_is_taken_when_the_first_is_secured() -> None:
    theirs = offer("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 8", "m=audio 4004 RTP/AVP 0")
    answer, agreed = make_answer(theirs, US)
    assert [medium.port for medium in answer.media] == [0, 20000, 0]
    assert agreed.rtp_port == 4002


@pytest.mark.parametrize(
    ("lines", "misfit", "said"),
    [
        ((), 304, "no audio is offered"),
        (("m=audio 4000 RTP/SAVP 0",), 302, "RTP/SAVP is not supported: RTP/AVP is expected"),
        (("m=audio 4000 RTP/SAVPF 0",), 302, "RTP/SAVPF is not"),
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 0",), 302, "RTP/AVP is expected"),
        (("m=audio 0 RTP/AVP 0",), 304, "m=audio 0 is no audio to answer"),
        (("m=audio 4000 RTP/AVP 18",), 305, "G729 offered, PCMU, PCMA, TELEPHONE-EVENT expected"),
        (("m=audio 4000 RTP/AVP 97",), 305, "format 97 offered"),
        (
            ("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
            305,
            "TELEPHONE-EVENT offered",
        ),
        (("m=image 6000 udptl t38",), 304, "m=image 6000 is no audio to answer"),
        (("m=audio 4000 RTP/AVP 0", "c=IN IP4 239.1.2.3/32"), 330, "group of receivers"),
        (("m=audio 4000 RTP/AVP 0", "c=IN IP4 phone.example.com"), 301, "not an address"),
        (("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"), 301, "can't be reached from"),
        (("m=video 4002 RTP/AVP 96", "m=audio 4000 RTP/AVP 18"), 305, "no audio to answer; no com"),
    ],
)
def test_an_offer_without_audio_for_us_is_refused_with_488(
    lines: tuple[str, ...], misfit: int, said: str
) -> None:
    with pytest.raises(SdpError) as caught:
        make_answer(offer(*lines), US)
    assert (caught.value.status_hint, caught.value.misfit) == (488, misfit)
    assert said in str(caught.value)


def test_an_offer_without_address_is_refused() -> None:
    text = b"v=0\r\no=- 5 1 IN IP4 198.51.100.9\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    with pytest.raises(SdpError, match="c= line"):
        make_answer(SessionDescription.parse(text), US)


@pytest.mark.parametrize(
    ("offered", "wanted", "answered"),
    [
        (SENDRECV, SENDRECV, SENDRECV),
        (SENDONLY, SENDRECV, RECVONLY),
        (RECVONLY, SENDRECV, SENDONLY),
        (INACTIVE, SENDRECV, INACTIVE),
        (SENDRECV, SENDONLY, SENDONLY),
        (SENDONLY, SENDONLY, INACTIVE),
        (RECVONLY, SENDONLY, SENDONLY),
        (INACTIVE, SENDONLY, INACTIVE),
        (SENDRECV, INACTIVE, INACTIVE),
        (SENDRECV, RECVONLY, RECVONLY),
    ],
)
def test_directions(offered: Direction, wanted: Direction, answered: Direction) -> None:
    ours = make_offer(THEM, offered)
    answer, at_answerer = make_answer(ours, US, wanted)
    assert answer.media[0].direction is at_answerer.direction is answered
    at_offerer = apply_answer(ours, answer)
    assert at_offerer.sending is at_answerer.receiving
    assert at_offerer.receiving is at_answerer.sending
    assert at_answerer.far_end_holds is not at_answerer.sending


def test_hold_by_the_null_address() -> None:
    theirs = offer("m=audio 4000 RTP/AVP 0", c="IN IP4 0.0.0.0")
    answer, agreed = make_answer(theirs, US)
    assert agreed.far_end_holds
    assert not agreed.sending
    assert answer.media[0].direction is RECVONLY
    theirs = offer("m=audio 4000 RTP/AVP 0", "a=inactive", c="IN IP6 ::")
    assert make_answer(theirs, US)[1].direction is INACTIVE


def test_the_version_grows_only_with_a_change() -> None:
    first = make_offer(US)
    assert make_offer(US, previous=first) == first
    held = make_offer(US, SENDONLY, previous=first)
    assert held.origin.version == 2
    assert held.origin.session_id == first.origin.session_id
    assert make_offer(US, previous=held).origin.version == 3
    answer, _ = make_answer(make_offer(THEM), US, previous=held)
    assert answer.origin.version == 3


def test_payload_types_keep_their_meaning_for_the_whole_call() -> None:
    theirs = offer("m=audio 4000 RTP/AVP 8 126", "a=rtpmap:126 telephone-event/8000")
    answer, _ = make_answer(theirs, US)
    again = make_offer(US, SENDONLY, previous=answer)
    assert again.media[0].formats == ("0", "8", "126")


def test_one_port_for_rtp_and_rtcp_when_the_offer_asks() -> None:
    theirs = offer("m=audio 4000 RTP/AVPF 0", "a=rtcp-mux", "a=rtcp:4000")
    answer, agreed = make_answer(theirs, US)
    assert answer.media[0].rtcp_mux
    assert answer.media[0].protocol == "RTP/AVPF"
    assert agreed.rtcp_mux
    assert agreed.rtcp_port == 4000


def test_one_port_that_we_offered_holds_only_if_it_is_answered() -> None:
    local = LocalAudio("192.0.2.1", 20000, 77, rtcp_mux=True)
    ours = make_offer(local)
    assert not apply_answer(ours, offer("m=audio 4000 RTP/AVP 0")).rtcp_mux
    assert apply_answer(ours, offer("m=audio 4000 RTP/AVP 0", "a=rtcp-mux")).rtcp_mux


def test_rtcp_is_sent_where_the_far_end_says() -> None:
    assert make_answer(offer("m=audio 4000 RTP/AVP 0", "a=rtcp:4777"), US)[1].rtcp_port == 4777
    assert make_answer(offer("m=audio 4000 RTP/AVP 0"), US)[1].rtcp_port == 4001


@pytest.mark.parametrize(
    ("said", "used"), [("20", 20), ("30", 30), ("60", 60), ("1", 20), ("0.125", 20), ("9999", 20)]
)
def test_packet_time(said: str, used: int) -> None:
    assert make_answer(offer("m=audio 4000 RTP/AVP 0", f"a=ptime:{said}"), US)[1].ptime_ms == used


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("m=video 4000 RTP/AVP 0",),
        ("m=audio 0 RTP/AVP 0",),
        ("m=audio 4000 RTP/AVP 18",),
        ("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(lines: tuple[str, ...]) -> None:
    with pytest.raises(SdpError):
        apply_answer(make_offer(US), offer(*lines))


def test_ipv6_ends() -> None:
    local = LocalAudio("2001:db8::1", 20000, 77)
    ours = make_offer(local)
    assert b"c=IN IP6 2001:db8::1\r\n" in ours.serialise()
    theirs, agreed = make_answer(ours, LocalAudio("2001:db8::2", 30000, 5))
    assert agreed.host == "2001:db8::1"
    assert apply_answer(ours, theirs).host == "2001:db8::2"


def test_ends_of_different_address_families_do_not_meet() -> None:
    ours = make_offer(LocalAudio("2001:db8::1", 20000, 77))
    with pytest.raises(SdpError, match="reached"):
        make_answer(ours, THEM)
    with pytest.raises(SdpError, match="reached"):
        apply_answer(ours, make_offer(THEM))


ANSWERABLE = {
    "aiortc-audio_rtcp_without_port": (Codec(0, "PCMU"),),
    "st-invalid": (Codec(0, "PCMU"),),
    "st-simulcast": (Codec(0, "PCMU"),),
}


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.sdp")), ids=lambda path: path.stem)
def test_each_field_offer_is_answered_or_refused_with_488(path: Path) -> None:
    theirs = SessionDescription.parse(path.read_bytes())
    codecs = ANSWERABLE.get(path.stem)
    if codecs is None:
        with pytest.raises(SdpError) as caught:
            make_answer(theirs, US)
        assert caught.value.status_hint == 488
        return
    answer, agreed = make_answer(theirs, US)
    assert agreed.send == codecs
    assert len(answer.media) == len(theirs.media)
    assert sum(medium.port != 0 for medium in answer.media) == 1


@settings(max_examples=200, deadline=None)
@given(
    base=st.sampled_from(sorted(VECTORS.glob("*.sdp"))),
    cuts=st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 6), st.binary(max_size=6)), max_size=4
    ),
)
def test_mutated_offers_and_answers_raise_sdp_error_or_nothing(
    base: Path, cuts: list[tuple[int, int, bytes]]
) -> None:
    octets = bytearray(base.read_bytes().replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"))
    for at, length, put in cuts:
        octets[at : at + length] = put
    for use in (
        lambda theirs: make_answer(theirs, US),
        lambda theirs: apply_answer(make_offer(US), theirs),
    ):
        try:
            use(SessionDescription.parse(bytes(octets)))
        except SdpError:
            continue
