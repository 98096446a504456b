"""Mutants of descriptions from the field, and of what browsers send later: SdpError or nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from signaling.errors import SdpError
from signaling.sdp.crypto import Crypto, CryptoSuite
from signaling.sdp.description import SessionDescription
from signaling.sdp.dtls import Fingerprint
from signaling.sdp.ice import Candidate, IceDescription, IceFragment
from signaling.sdp.negotiation import (
    BROWSER_CODECS,
    LocalAudio,
    apply_answer,
    make_answer,
    make_offer,
    renewal_in,
)
from signaling.sdp.opus import OpusParameters
from signaling.sdp.security import Dtls, Plain, Sdes
from tests.fuzzing import BUDGET, fuzz

pytestmark = pytest.mark.unit

FILES = sorted((Path(__file__).parents[3] / "vectors" / "sdp").glob("*.sdp"))
CANDIDATE = Candidate("1", 1, "udp", 2130706431, "192.0.2.1", 20000, "host")
ICE = IceDescription("ours", "ours/".ljust(22, "x"), (CANDIDATE,), ("trickle",))
SECURITIES = (
    Plain(),
    Sdes(tuple(Crypto(1, suite, bytes(suite.key_salt_octets)) for suite in CryptoSuite)[:1]),
    Dtls((Fingerprint("sha-256", ":".join(["AB"] * 32)),), ICE),
)
LOCALS = [
    LocalAudio("192.0.2.1", 20000, 7, codecs=BROWSER_CODECS, ssrc=42, security=security)
    for security in SECURITIES
]
OFFERS = [make_offer(local) for local in LOCALS]
CORPUS = [
    *(file.read_bytes() for file in FILES),
    *(offer.serialise() for offer in OFFERS),
    *(
        make_answer(offer, local)[0].serialise()
        for offer, local in zip(OFFERS, LOCALS, strict=True)
    ),
]
FRAGMENT = (
    b"a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    b"a=candidate:1 1 udp 2130706431 192.0.2.9 5000 typ host generation 0 ufrag 8hhY\r\n"
    b"a=candidate:2 1 UDP 1694498815 198.51.100.9 5001 typ srflx raddr 192.0.2.9 rport 5000\r\n"
    b"a=candidate:3 1 tcp 1 a0b1.local 9 typ host tcptype active\r\na=end-of-candidates\r\n"
)
VALUES = [
    *(line.partition(b":")[2] for line in FRAGMENT.split(b"\r\n") if b"candidate:" in line),
    b"sha-256 " + b":".join([b"AB"] * 32),
    b"1 AES_CM_128_HMAC_SHA1_80 inline:" + b"QUJD" * 10 + b"|2^31|1:4",
    b"minptime=10;useinbandfec=1;stereo=0;maxaveragebitrate=20000",
]


def negotiate(octets: bytes) -> None:
    """All that an offer, and an answer, of theirs goes through."""
    try:
        theirs = SessionDescription.parse(octets)
    except SdpError:
        return
    assert SessionDescription.parse(theirs.serialise()) == theirs
    for local, offer in zip(LOCALS, OFFERS, strict=True):
        with suppress(SdpError):
            answer, agreed = make_answer(theirs, local)
            assert SessionDescription.parse(answer.serialise()) == answer
            renewal_in(theirs, agreed)
            make_answer(theirs, local, previous=answer, current=agreed)
            make_offer(local, previous=answer, current=agreed)
        with suppress(SdpError):
            apply_answer(offer, theirs, current=apply_answer(offer, theirs))


@BUDGET
def test_descriptions_are_negotiated_or_refused(seconds: int) -> None:
    fuzz(negotiate, CORPUS, seconds)


@BUDGET
def test_fragments_of_candidates_are_read_or_refused(seconds: int) -> None:
    def read(octets: bytes) -> None:
        with suppress(SdpError):
            fragment = IceFragment.parse(octets)
            assert IceFragment.parse(fragment.serialise()) == fragment

    fuzz(read, [FRAGMENT], seconds)


@BUDGET
def test_values_of_attributes_are_read_or_refused(seconds: int) -> None:
    """Candidates, fingerprints, keys, parameters of a codec."""

    def read(octets: bytes) -> None:
        text = octets.decode(errors="surrogateescape")
        for parse in (Candidate.parse, Fingerprint.parse, Crypto.parse, OpusParameters.parse):
            with suppress(SdpError):
                value = parse(text)
                assert value is None or parse(str(value)) == value

    fuzz(read, VALUES, seconds)
