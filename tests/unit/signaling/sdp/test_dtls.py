"""Fingerprints and roles: what proves something is believed, all else is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sdp.dtls import DtlsDescription, Fingerprint, Setup

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
MD5, SHA_1, SHA_256, SHA_512 = (
    f"{name} {':'.join(['AB'] * octets)}"
    for name, octets in (("md5", 16), ("sha-1", 20), ("sha-256", 32), ("sha-512", 64))
)


def read(*lines: str, session: tuple[str, ...] = ()) -> DtlsDescription:
    head = ["v=0", "o=- 5 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *session]
    text = "\r\n".join([*head, "m=audio 9 UDP/TLS/RTP/SAVPF 0", *lines, ""])
    description = SessionDescription.parse(text.encode())
    return DtlsDescription.read(description, description.media[0])


def test_a_fingerprint_has_one_form() -> None:
    assert str(Fingerprint.parse(SHA_256.lower())) == SHA_256
    assert str(Fingerprint.parse(f"SHA-256  {SHA_256.partition(' ')[2]}")) == SHA_256


@pytest.mark.parametrize(
    "text", ["", "sha-256", "sha-256 AB", f"{SHA_256}:", f"{SHA_256}:AB", "sha-256 GG:HH", "a b:c"]
)
def test_a_bad_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(SdpError, match="fingerprint"):
        Fingerprint.parse(text)


def test_the_strongest_hash_is_the_one_that_counts() -> None:
    weak_too = read(f"a=fingerprint:{SHA_1}", f"a=fingerprint:{MD5}", f"a=fingerprint:{SHA_256}")
    assert [str(fingerprint) for fingerprint in weak_too.fingerprints] == [SHA_256]
    both = read(f"a=fingerprint:{SHA_256}", f"a=fingerprint:{SHA_512}")
    assert [str(fingerprint) for fingerprint in both.fingerprints] == [SHA_512]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ((), "no fingerprint"),
        ((f"a=fingerprint:{MD5}",), "by md5"),
        ((f"a=fingerprint:{SHA_1}",), "by sha-1"),
        (("a=fingerprint:sha-256 12",), "no sha-256"),
        ((f"a=fingerprint:{SHA_256}", "a=setup:holdconn"), "setup:holdconn"),
        ((f"a=fingerprint:{SHA_256}", "a=tls-id:short"), "tls-id"),
    ],
)
def test_what_proves_nothing_is_refused_with_488_by_name(
    lines: tuple[str, ...], named: str
) -> None:
    with pytest.raises(SdpError, match=named) as caught:
        read(*lines)
    assert caught.value.status_hint == 488


def test_the_medium_speaks_before_the_session() -> None:
    session = (f"a=fingerprint:{SHA_512}", "a=setup:active")
    assert read(session=session) == DtlsDescription((Fingerprint.parse(SHA_512),), Setup.ACTIVE)
    own = read(f"a=fingerprint:{SHA_256}", "a=setup:ACTPASS", session=session)
    assert own == DtlsDescription((Fingerprint.parse(SHA_256),), Setup.ACTPASS)


def test_another_fingerprint_or_tls_id_is_another_association() -> None:
    before = read(f"a=fingerprint:{SHA_256}", f"a=tls-id:{'a' * 20}", "a=setup:actpass")
    same = read("a=setup:active", f"a=tls-id:{'a' * 20}", f"a=fingerprint:{SHA_256}")
    assert same.continues(before.fingerprints, before.tls_id)
    for line in (f"a=fingerprint:{SHA_256}", f"a=fingerprint:{SHA_512}"):
        other = read(line, f"a=tls-id:{'b' * 20}")
        assert not other.continues(before.fingerprints, before.tls_id)


@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("aiortc-audio_chrome", Setup.ACTPASS),
        ("aiortc-audio_firefox", Setup.ACTPASS),
        ("aiortc-audio_freeswitch", Setup.ACTIVE),
        ("aiortc-audio_dtls_session_level", Setup.ACTPASS),
        ("st-icelite", Setup.ACTPASS),
        ("st-jssip", Setup.ACTPASS),
    ],
)
def test_the_field_says_it_with_sha_256(name: str, setup: Setup) -> None:
    description = SessionDescription.parse((VECTORS / f"{name}.sdp").read_bytes())
    dtls = DtlsDescription.read(description, description.media[0])
    assert dtls.setup is setup
    assert [fingerprint.hash for fingerprint in dtls.fingerprints] == ["sha-256"]
