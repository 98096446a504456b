"""Whom a certificate proves the far end to be (RFC 5922), and which ones are believed."""

from __future__ import annotations

import base64
import hashlib
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signaling.errors import CertificateRefused, LocalProtocolError
from signaling.transport.tls import (
    TlsPolicy,
    check_identity,
    client_context,
    key_pin,
    parse_pin,
    server_context,
)

pytestmark = pytest.mark.unit


def certificate(*names: tuple[str, str]) -> dict[str, object]:
    """As `SSLSocket.getpeercert` gives it; the common name is never looked at."""
    return {"subject": ((("commonName", "cn.example"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "name", "good"),
    [
        ([("DNS", "pbx.example")], "pbx.example", True),
        ([("DNS", "PBX.Example")], "pbx.example.", True),
        ([("DNS", "other.example"), ("DNS", "pbx.example")], "pbx.example", True),
        ([("URI", "sip:example"), ("DNS", "pbx.example")], "example", True),
        ([("URI", "SIP:example;transport=tls")], "example", True),
        # DNS names count only where there is no SIP domain (§7.1).
        ([("URI", "sip:example"), ("DNS", "pbx.example")], "pbx.example", False),
        ([("URI", "https://pbx.example"), ("DNS", "pbx.example")], "pbx.example", True),
        ([("URI", "sip:6001@pbx.example")], "pbx.example", False),
        ([("DNS", "*.example")], "pbx.example", False),
        ([("DNS", "example")], "pbx.example", False),
        ([("DNS", "pbx.example.evil")], "pbx.example", False),
        ([], "cn.example", False),
        ([("IP Address", "192.0.2.1")], "192.0.2.1", True),
        ([("IP Address", "2001:DB8:0:0:0:0:0:1")], "2001:db8::1", True),
        ([("IP Address", "192.0.2.1")], "192.0.2.2", False),
        ([("DNS", "192.0.2.1")], "192.0.2.1", False),
        # What OpenSSL says of an address of neither four nor sixteen octets.
        ([("IP Address", "<invalid>"), ("IP Address", "192.0.2.1")], "192.0.2.1", True),
        ([("IP Address", "<invalid>")], "192.0.2.1", False),
    ],
)
def test_who_is_proved_to_be_whom(names, name, good):
    if good:
        check_identity(certificate(*names), name)
    else:
        with pytest.raises(CertificateRefused, match="not for"):
            check_identity(certificate(*names), name)


def test_a_certificate_that_can_not_be_read_is_not_the_pinned_one():
    class Connection:
        def getpeercert(self, *, binary_form: bool = False) -> bytes:
            return b"of a kind that nobody here knows"

    with pytest.raises(CertificateRefused, match="another one than the pin"):
        TlsPolicy(client_context(pinned=True), bytes(32)).check(Connection(), "pbx.example")


def test_a_pin_is_the_hash_of_the_public_key():
    leaf = trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()
    read = x509.load_pem_x509_certificate(leaf)
    key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = hashlib.sha256(key).digest()
    assert key_pin(read.public_bytes(Encoding.DER)) == expected
    for written in (
        "sha256//" + base64.b64encode(expected).decode(),
        expected.hex(),
        expected.hex(":").upper(),
    ):
        assert parse_pin(written) == expected


@pytest.mark.parametrize(
    "text", ["", "sha256//", "sha256//AAAA", "ab" * 31, "ä" * 64, "sha1//AA=="]
)
def test_what_is_no_pin(text):
    with pytest.raises(ValueError, match="expected sha256"):
        parse_pin(text)


def test_checking_can_not_be_turned_off_without_a_pin():
    with pytest.raises(LocalProtocolError):
        TlsPolicy(client_context(pinned=True))
    assert TlsPolicy(client_context(pinned=True), bytes(32)).pin is not None


def test_with_an_authority_a_pin_is_one_more_condition(tmp_path: Path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = client_context(tmp_path / "ca.pem", pinned=True)
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_tls_1_2_is_the_least(tmp_path: Path):
    leaf = trustme.CA().issue_cert("localhost")
    (tmp_path / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    for context in (
        client_context(),
        server_context(tmp_path / "cert.pem", tmp_path / "key.pem"),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
