"""Descriptions are read as the field writes them, kept whole, and refuse with one error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SdpError
from signaling.sdp.description import (
    MAX_CANDIDATES,
    MAX_MEDIA,
    MAX_OCTETS,
    Codec,
    Direction,
    MediaDescription,
    Origin,
    SessionDescription,
    connection_line,
)

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
FILES = sorted(VECTORS.glob("*.sdp"))
HEAD = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


def parse(*lines: str, head: str = HEAD) -> SessionDescription:
    return SessionDescription.parse((head + "".join(f"{line}\r\n" for line in lines)).encode())


def audio(*lines: str, m: str = "audio 4000 RTP/AVP 0 8 101") -> MediaDescription:
    return parse(f"m={m}", *lines).media[0]


def test_all_field_descriptions_are_here() -> None:
    assert len(FILES) == 38


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_field_description_is_read_and_written_back_without_loss(path: Path) -> None:
    octets = path.read_bytes()
    description = SessionDescription.parse(octets)
    assert description.serialise() == octets.removesuffix(b"\r\n") + b"\r\n"
    assert SessionDescription.parse(description.serialise()) == description
    m_lines = [line[2:] for line in octets.decode().split("\r\n") if line.startswith("m=")]
    assert [medium.kind for medium in description.media] == [line.split()[0] for line in m_lines]
    assert [str(medium.port) for medium in description.media] == [
        line.split()[1] for line in m_lines
    ]


def test_chrome_audio_is_read_as_the_text_says() -> None:
    description = SessionDescription.parse((VECTORS / "aiortc-audio_chrome.sdp").read_bytes())
    (medium,) = description.media
    assert (medium.port, medium.protocol) == (45076, "UDP/TLS/RTP/SAVPF")
    assert description.host_of(medium) == "192.168.99.58"
    assert medium.rtcp_port == 9
    assert medium.rtcp_mux
    assert description.direction_of(medium) is Direction.SENDRECV
    assert [codec.number for codec in medium.codecs] == [int(text) for text in medium.formats]
    assert medium.codecs[0] == Codec(111, "OPUS", 48000, 2, "minptime=10;useinbandfec=1")
    assert medium.codecs[-1] == Codec(126, "TELEPHONE-EVENT", 8000)
    assert len(medium.attributes("candidate")) == 4
    assert medium.attribute("ice-ufrag") == "5+Ix"
    assert medium.attribute("ice-pwd") == "uK8IlylxzDMUhrkVzdmj0M+v"
    assert (medium.attribute("fingerprint") or "").startswith("sha-256 6B:8B:5D")
    assert medium.attribute("setup") == "actpass"


def test_firefox_audio_names_its_rtcp_port_and_events() -> None:
    description = SessionDescription.parse((VECTORS / "aiortc-audio_firefox.sdp").read_bytes())
    (medium,) = description.media
    assert medium.rtcp_port == 38612
    assert Codec(101, "TELEPHONE-EVENT", 8000, 1, "0-15") in medium.codecs
    assert (description.attribute("fingerprint") or "").startswith("sha-256 EB:A9:3E")
    assert description.origin == Origin(
        4934139885953732403, 1, "0.0.0.0", "mozilla...THIS_IS_SDPARTA-58.0.1"
    )


@pytest.mark.parametrize(
    ("name", "attribute", "start"),
    [
        ("aiortc-audio_dtls_session_level", "fingerprint", "sha-256 6B:8B"),
        ("aiortc-audio_dtls_session_level", "setup", "actpass"),
        ("aiortc-audio_ice_session_level_credentials", "ice-ufrag", "5+Ix"),
        ("aiortc-audio_ice_session_level_credentials", "ice-pwd", "uK8IlylxzDMUhrkVzdmj0M+v"),
        ("aiortc-audio_ice_lite", "ice-lite", ""),
        ("aiortc-audio_freeswitch", "fingerprint", "sha-256 35:5A"),
    ],
)
def test_what_the_session_says_holds_for_its_media(name: str, attribute: str, start: str) -> None:
    description = SessionDescription.parse((VECTORS / f"{name}.sdp").read_bytes())
    found = description.attribute_of(description.media[0], attribute)
    assert found is not None
    assert found.startswith(start)


def test_freeswitch_says_its_address_once_for_the_session() -> None:
    description = SessionDescription.parse((VECTORS / "aiortc-audio_freeswitch.sdp").read_bytes())
    (medium,) = description.media
    assert medium.host is None
    assert description.host_of(medium) == "1.2.3.4"
    assert medium.codecs == (Codec(8, "PCMA"), Codec(101, "TELEPHONE-EVENT"))
    assert medium.ptime_ms == 20


def test_rtcp_without_an_address() -> None:
    name = "aiortc-audio_rtcp_without_port.sdp"
    (medium,) = SessionDescription.parse((VECTORS / name).read_bytes()).media
    assert medium.rtcp_port == 9


def test_lines_that_nobody_knows_are_kept_and_ignored() -> None:
    description = SessionDescription.parse((VECTORS / "st-invalid.sdp").read_bytes())
    (medium,) = description.media
    assert medium.rtcp_port is None  # IN IP7 is no network of ours
    assert medium.codecs == (Codec(0, "PCMU"),)
    assert str(medium.lines[-1]) == "f=invalid:yes"


def test_a_codec_without_clock_rate_and_a_broken_packet_time_are_left_out() -> None:
    (medium,) = SessionDescription.parse((VECTORS / "st-alac.sdp").read_bytes()).media
    assert medium.codecs == ()
    hacky = SessionDescription.parse((VECTORS / "st-hacky.sdp").read_bytes())
    assert hacky.media[0].ptime_ms is None


def test_media_that_is_not_rtp_may_have_any_format() -> None:
    description = SessionDescription.parse((VECTORS / "st-bfcp.sdp").read_bytes())
    assert [medium.kind for medium in description.media] == [
        "audio",
        "video",
        "application",
        "video",
    ]
    assert description.media[2].formats == ("*",)
    assert description.media[2].codecs == ()


def test_static_payload_types_need_no_rtpmap() -> None:
    assert audio(m="audio 4000 RTP/AVP 8 0 18 99").codecs == (
        Codec(8, "PCMA"),
        Codec(0, "PCMU"),
        Codec(18, "G729"),
    )


def test_a_repeated_format_counts_once() -> None:
    assert audio(m="audio 4000 RTP/AVP 0 0 8").codecs == (Codec(0, "PCMU"), Codec(8, "PCMA"))


@pytest.mark.parametrize("events", ["0-15", "0-16", "0-11,16"])
def test_the_events_of_telephone_event(events: str) -> None:
    medium = audio("a=rtpmap:101 telephone-event/8000", f"a=fmtp:101 {events}")
    assert medium.codecs[-1] == Codec(101, "TELEPHONE-EVENT", 8000, 1, events)


@pytest.mark.parametrize("direction", list(Direction))
def test_direction_of_the_medium_the_session_or_neither(direction: Direction) -> None:
    own = parse("m=audio 4000 RTP/AVP 0", f"a={direction}")
    session = parse(f"a={direction}", "m=audio 4000 RTP/AVP 0")
    both = parse("a=inactive", "m=audio 4000 RTP/AVP 0", f"a={direction}")
    for description in (own, session, both):
        assert description.direction_of(description.media[0]) is direction
    neither = parse("m=audio 4000 RTP/AVP 0")
    assert neither.direction_of(neither.media[0]) is Direction.SENDRECV


def test_direction_is_two_flows() -> None:
    for direction in Direction:
        assert Direction.of(sends=direction.sends, receives=direction.receives) is direction


def test_ipv6() -> None:
    description = parse(
        "m=audio 4000 RTP/AVP 0",
        "c=IN IP6 2001:db8::7",
        head="v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n",
    )
    assert description.host_of(description.media[0]) == "2001:db8::7"
    assert str(connection_line("2001:db8::7")) == "c=IN IP6 2001:db8::7"
    assert str(description.origin.line()) == "o=- 1 1 IN IP6 2001:db8::1"


def test_port_ranges_and_odd_spacing_are_understood() -> None:
    medium = audio(m="audio 4000/2 RTP/AVP 0  8 ")
    assert (medium.port, medium.port_count, medium.formats) == (4000, 2, ("0", "8"))
    assert str(next(medium.all_lines())) == "m=audio 4000/2 RTP/AVP 0 8"


def test_a_bare_line_feed_ends_a_line_and_empty_lines_are_skipped() -> None:
    text = (HEAD + "\r\nm=audio 4000 RTP/AVP 0\r\n\r\n").replace("\r\n", "\n")
    assert SessionDescription.parse(text.encode()) == parse("m=audio 4000 RTP/AVP 0")


def test_a_name_in_another_character_set_survives() -> None:
    octets = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=Gr\xfc\xdfe\r\nt=0 0\r\n"
    assert SessionDescription.parse(octets).serialise() == octets


def test_separators_of_other_worlds_do_not_end_a_line() -> None:
    description = parse("i=a\x0bb\x0cc\x85d\u2028e", "m=audio 4000 RTP/AVP 0")
    assert len(description.lines) == 6


def test_a_refused_medium_has_port_zero_and_its_formats() -> None:
    medium = audio("a=sendonly")
    assert [str(line) for line in medium.refused().all_lines()] == ["m=audio 0 RTP/AVP 0 8 101"]


@pytest.mark.parametrize(
    "line",
    [
        "m=audio 4_0 RTP/AVP 0",
        "m=audio 65536 RTP/AVP 0",
        "m=audio -1 RTP/AVP 0",
        "m=audio ４０００ RTP/AVP 0",
        f"m=audio {'9' * 5000} RTP/AVP 0",
        "m=audio 4000 RTP/AVP 128",
        "m=audio 4000 RTP/AVP 1_0",
        "m=audio 4000 RTP/AVP ٣",
        "m=audio 4000 RTP/AVP 4294967296",
        "m=audio",
        "m=",
        "c=IN IP4",
        "c=IN IP9 192.0.2.1",
        "c=ATM NSAP 47",
        "no line",
        "=x",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:1_0 PCMU/8000",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8_000",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000/300",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/99999999999",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:",
        "m=audio 4000 RTP/AVP 0\r\na=rtcp:65536",
        "m=audio 4000 RTP/AVP 0\r\na=rtcp:x",
        "m=audio 4000 RTP/AVP 0\r\na=ptime:two",
        "m=audio 4000 RTP/AVP 0\r\na=ptime:2_0",
        "i=a\rb",
        "i=a\0b",
    ],
)
def test_a_bad_line_is_refused_with_488(line: str) -> None:
    with pytest.raises(SdpError) as caught:
        parse(line)
    assert caught.value.status_hint == 488


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s=-\r\n",
        "v=1\r\no=- 1 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\ns=-\r\n",
        "v=0\r\no=- 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\no=- 1_0 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\no=- 1 999999999999999999999 IN IP4 192.0.2.1\r\n",
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\no=- 1 1 IN IP4 192.0.2.1\r\n",
        "m=audio 4000 RTP/AVP 0\r\n",
    ],
)
def test_a_description_without_its_head_is_refused(text: str) -> None:
    with pytest.raises(SdpError):
        SessionDescription.parse(text.encode())


def test_limits() -> None:
    medium = "m=audio 0 RTP/AVP 0"
    assert len(parse(*[medium] * MAX_MEDIA).media) == MAX_MEDIA
    with pytest.raises(SdpError, match="m-lines"):
        parse(*[medium] * (MAX_MEDIA + 1))
    candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"
    parse(medium, *[candidate] * MAX_CANDIDATES)
    with pytest.raises(SdpError, match="candidates"):
        parse(candidate, medium, *[candidate] * MAX_CANDIDATES)
    room = MAX_OCTETS - len(HEAD.encode()) - len("i=\r\n")
    parse("i=" + "x" * room)
    with pytest.raises(SdpError, match="octets"):
        parse("i=" + "x" * (room + 1))


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from(FILES),
    cuts=st.lists(
        st.tuples(st.integers(0, 4000), st.integers(0, 8), st.binary(max_size=8)), max_size=6
    ),
)
def test_a_mutated_description_raises_sdp_error_or_nothing(
    base: Path, cuts: list[tuple[int, int, bytes]]
) -> None:
    octets = bytearray(base.read_bytes())
    for at, length, put in cuts:
        octets[at : at + length] = put
    try:
        description = SessionDescription.parse(bytes(octets))
    except SdpError:
        return
    for medium in description.media:
        _ = (medium.codecs, medium.rtcp_port, medium.ptime_ms, medium.host, medium.direction)
        _ = (description.host_of(medium), description.direction_of(medium))
    assert SessionDescription.parse(description.serialise()) == description


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from("vosctmab").flatmap(
            lambda kind: st.text(max_size=40).map(lambda value: f"{kind}={value}")
        ),
        max_size=12,
    )
)
def test_random_lines_raise_sdp_error_or_nothing(lines: list[str]) -> None:
    try:
        description = parse(*lines)
    except (SdpError, UnicodeEncodeError):
        return
    _ = [medium.codecs for medium in description.media]
