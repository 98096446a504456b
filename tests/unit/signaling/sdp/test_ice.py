"""Candidates and credentials as the field writes them, in descriptions and in fragments."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SdpError
from signaling.sdp.description import MAX_CANDIDATES, MAX_OCTETS, SessionDescription
from signaling.sdp.ice import Candidate, FragmentMedium, IceDescription, IceFragment

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
FILES = sorted(VECTORS.glob("*.sdp"))
PWD = "uK8IlylxzDMUhrkVzdmj0M+v"
HOST = Candidate("1", 1, "udp", 2122194687, "192.0.2.1", 20000, "host")


def read(name: str) -> IceDescription:
    description = SessionDescription.parse((VECTORS / f"{name}.sdp").read_bytes())
    return IceDescription.read(description, description.media[0])


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        (
            "1039001212 1 udp 2122194687 192.0.2.1 45076 typ host generation 0 network-cost 10",
            Candidate(
                "1039001212",
                1,
                "udp",
                2122194687,
                "192.0.2.1",
                45076,
                "host",
                extensions=(("generation", "0"), ("network-cost", "10")),
            ),
        ),
        (
            "4 1 tcp 1688207359 192.0.2.3 9 typ srflx raddr 10.0.1.1 rport 9 tcptype active",
            Candidate("4", 1, "tcp", 1688207359, "192.0.2.3", 9, "srflx", "10.0.1.1", 9, "active"),
        ),
        (
            "7 2 udp 41885439 2001:db8::7 3478 typ relay raddr :: rport 0",
            Candidate("7", 2, "udp", 41885439, "2001:db8::7", 3478, "relay", "::", 0),
        ),
        (
            "5 1 udp 1 0d1f4b2c-93a1-4f4e.local 9 typ host",
            Candidate("5", 1, "udp", 1, "0d1f4b2c-93a1-4f4e.local", 9, "host"),
        ),
    ],
    ids=["host", "tcp", "relay", "mdns"],
)
def test_a_candidate_is_read_and_written_back(text: str, candidate: Candidate) -> None:
    assert Candidate.parse(text) == candidate
    assert str(candidate) == text
    assert Candidate.parse(f"candidate:{text}") == candidate


def test_case_and_place_of_what_follows_the_type_mean_nothing() -> None:
    said = "1 1 UDP 1 192.0.2.1 9 TYP SRFLX generation 0 rport 7 raddr 10.0.0.1"
    assert str(Candidate.parse(said)) == (
        "1 1 udp 1 192.0.2.1 9 typ srflx raddr 10.0.0.1 rport 7 generation 0"
    )


def test_a_name_of_mdns_is_told_apart() -> None:
    assert Candidate.parse("5 1 udp 1 0d1f.local 9 typ host").is_mdns
    assert not HOST.is_mdns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 1 udp 1 192.0.2.1 9",
        "1 1 udp 1 192.0.2.1 9 typ",
        "1 1 udp 1 192.0.2.1 9 is host",
        "1 1 udp 1 192.0.2.1 9 typ host generation",
        "1 257 udp 1 192.0.2.1 9 typ host",
        "1 1 udp -1 192.0.2.1 9 typ host",
        "1 1 udp 4294967296 192.0.2.1 9 typ host",
        "1 1 udp 1_0 192.0.2.1 9 typ host",
        "1 1 udp ١ 192.0.2.1 9 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp 1 192.0.2.1/24 9 typ host",
        "1 1 u/p 1 192.0.2.1 9 typ host",
        "1 1 udp 1 192.0.2.1 9 typ ho/st",
        "1 1 udp 1 192.0.2.1 9 typ srflx raddr ; rport 9",
        "1 1 udp 1 192.0.2.1 9 typ srflx raddr 10.0.0.1 rport x",
        f"{'f' * 33} 1 udp 1 192.0.2.1 9 typ host",
        "candidate:candidate:1 1 udp 1 192.0.2.1 9 typ host",
    ],
)
def test_a_bad_candidate_is_refused_with_488(text: str) -> None:
    with pytest.raises(SdpError) as caught:
        Candidate.parse(text)
    assert caught.value.status_hint == 488


def test_chrome_says_everything_in_the_medium() -> None:
    ice = read("aiortc-audio_chrome")
    assert (ice.ufrag, ice.pwd) == ("5+Ix", PWD)
    assert [candidate.transport for candidate in ice.candidates] == ["udp", "udp", "tcp", "tcp"]
    assert ice.candidates[1].host == "192.168.99.58"
    assert ice.trickles
    assert not ice.lite


def test_firefox_says_its_options_for_the_session_and_when_all_is_told() -> None:
    ice = read("aiortc-audio_firefox")
    assert ice.options == ("trickle",)
    assert ice.end_of_candidates
    assert not ice.trickles


def test_credentials_of_the_session_hold_for_its_media() -> None:
    assert read("aiortc-audio_ice_session_level_credentials").ufrag == "5+Ix"


def test_a_lite_end_says_so_for_the_session() -> None:
    assert read("aiortc-audio_ice_lite").lite
    ice = read("st-icelite")
    assert ice.lite
    assert [candidate.foundation for candidate in ice.candidates] == ["X", "X"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_candidate_of_the_field_is_read_and_written_back(path: Path) -> None:
    for medium in SessionDescription.parse(path.read_bytes()).media:
        for value in medium.attributes("candidate"):
            assert Candidate.parse(str(Candidate.parse(value))) == Candidate.parse(value)


def test_no_credentials_no_ice() -> None:
    with pytest.raises(SdpError, match="no ICE credentials"):
        read("aiortc-audio_rtcp_without_port")


@pytest.mark.parametrize(
    ("ufrag", "pwd"), [("abc", PWD), ("abcd", "short"), ("ab:d", PWD), ("abcd", PWD + "é")]
)
def test_credentials_that_are_too_short_or_of_other_characters_are_refused(
    ufrag: str, pwd: str
) -> None:
    with pytest.raises(SdpError, match="bad ice-"):
        IceDescription(ufrag, pwd)


def test_other_credentials_are_a_restart() -> None:
    ice = IceDescription("abcd", PWD)
    assert not IceDescription("abcd", PWD, (HOST,)).is_restart_of(ice)
    assert IceDescription("abce", PWD).is_restart_of(ice)
    assert IceDescription("abcd", PWD + "x").is_restart_of(ice)


def test_a_password_is_not_shown() -> None:
    assert PWD not in repr(IceDescription("abcd", PWD))
    assert PWD not in repr(IceFragment("abcd", PWD))


def test_a_fragment_as_text() -> None:
    fragment = IceFragment("abcd", PWD, (FragmentMedium("0", (HOST,), end_of_candidates=True),))
    assert fragment.serialise().decode().split("\r\n") == [
        "a=ice-ufrag:abcd",
        f"a=ice-pwd:{PWD}",
        "m=audio 9 RTP/AVP 0",
        "a=mid:0",
        "a=candidate:1 1 udp 2122194687 192.0.2.1 20000 typ host",
        "a=end-of-candidates",
        "",
    ]
    assert IceFragment.parse(fragment.serialise()) == fragment


def test_a_fragment_of_several_media_that_says_its_credentials_in_each() -> None:
    fragment = IceFragment.parse(
        b"a=group:BUNDLE a v\nm=audio 9 RTP/AVP 0\na=mid:a\n"
        + f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\na=candidate:{HOST}\n".encode()
        + f"m=video 9 RTP/AVP 0\na=mid:v\na=ice-ufrag:abcd\na=ice-pwd:{PWD}\n".encode()
    )
    assert fragment.medium("a") == FragmentMedium("a", (HOST,))
    assert fragment.medium("v") == FragmentMedium("v", kind="video")
    assert fragment.medium("x") is None


def test_an_end_for_all_media_is_an_end_for_each() -> None:
    fragment = IceFragment("abcd", PWD, (FragmentMedium("0", (HOST,)),), end_of_candidates=True)
    assert IceFragment.parse(fragment.serialise()) == fragment
    for mid in ("0", "1"):
        medium = fragment.medium(mid)
        assert medium is not None
        assert medium.end_of_candidates


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no line",
        "a=ice-ufrag:abcd\n",
        f"a=ice-ufrag:a\na=ice-pwd:{PWD}\n",
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\nm=audio 9 RTP/AVP 0\n",
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\nm=audio 9 RTP/AVP 0\na=mid:\n",
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\nm=audio 9 RTP/AVP 0\na=mid:0\na=candidate:1\n",
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\nm=a\na=mid:0\na=ice-ufrag:efgh\na=ice-pwd:{PWD}\n",
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\n" + f"a=candidate:{HOST}\n" * (MAX_CANDIDATES + 1),
        f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\n" + "m=audio 9 RTP/AVP 0\na=mid:0\n" * 17,
        "a=" + "x" * MAX_OCTETS,
    ],
)
def test_a_bad_fragment_is_refused(text: str) -> None:
    with pytest.raises(SdpError):
        IceFragment.parse(text.encode())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a=candidate:", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "m=", "a="])
        .flatmap(lambda start: st.text(max_size=60).map(lambda value: start + value))
        .map(lambda line: line.encode("utf-8", "surrogatepass")),
        max_size=8,
    ),
    st.booleans(),
)
def test_random_fragments_raise_sdp_error_or_nothing(lines: list[bytes], whole: bool) -> None:
    head = f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\n".encode() if whole else b""
    try:
        fragment = IceFragment.parse(head + b"\n".join(lines))
    except SdpError:
        return
    assert IceFragment.parse(fragment.serialise()) == fragment


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*str(HOST).split(" "), "raddr", "x", "٣", "1_0"]), max_size=14))
def test_shuffled_candidates_raise_sdp_error_or_nothing(words: list[str]) -> None:
    try:
        candidate = Candidate.parse(" ".join(words))
    except SdpError:
        return
    assert Candidate.parse(str(candidate)) == candidate
