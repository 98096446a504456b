"""TLS for SIP: which certificates are believed, and who they prove the far end to be (RFC 5922).

TLS 1.2 is the least, with ciphers that have forward secrecy: what Python takes by itself.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signaling.errors import CertificateRefused, LocalProtocolError

PIN_OCTETS = hashlib.sha256().digest_size


def client_context(
    authority: Path | None = None,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    pinned: bool = False,
) -> ssl.SSLContext:
    """What a client believes: the system's CAs, or the one in a PEM file.

    `certificate` and `key` are shown where the server asks who we are (mutual TLS). `pinned`
    without an authority believes any certificate: for a `TlsPolicy` with a pin. Names are checked
    by `check_identity`, for OpenSSL does not know SIP's. Raises OSError and ssl.SSLError.
    """
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    if pinned and authority is None:
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def server_context(
    certificate: Path, key: Path, *, client_authority: Path | None = None
) -> ssl.SSLContext:
    """What a server shows; with an authority, only clients that it has signed may connect.

    Raises OSError and ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, key)
    if client_authority is not None:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """Whom we believe where we connect by TLS."""

    context: ssl.SSLContext = field(default_factory=client_context)
    """See `client_context`."""
    pin: bytes | None = None
    """SHA-256 of the only public key that the far end may have, see `parse_pin`.

    With a context that checks certificates it is one more condition; with one that does not, it is
    all that counts: whoever has the key is right, whatever its certificate says."""

    def __post_init__(self) -> None:
        if self.context.verify_mode is ssl.CERT_NONE and self.pin is None:
            raise LocalProtocolError("certificates must be checked, or a key be pinned")

    def check(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str) -> None:
        """Whether the far end of a connection is `name`. Raises CertificateRefused."""
        octets = connection.getpeercert(binary_form=True)
        if octets is None:
            raise CertificateRefused(f"{name} shows no certificate")
        if self.pin is not None and _pin_of(octets) != self.pin:
            raise CertificateRefused(f"the key of {name} is another one than the pin says")
        if self.context.verify_mode is not ssl.CERT_NONE:
            check_identity(connection.getpeercert() or {}, name)


def check_identity(certificate: Mapping[str, Any], name: str) -> None:
    """Whether a certificate is that of a SIP domain, host or address. Raises CertificateRefused.

    RFC 5922 §7.1, §7.2: domains in `sip:` URIs count; DNS names where there are none of those;
    neither wildcards nor the common name. `certificate` is what `SSLSocket.getpeercert` gives.
    """
    alternatives = list(certificate.get("subjectAltName", ()))
    if _address(name) is not None:
        proved = [text.strip() for kind, text in alternatives if kind == "IP Address"]
        found = _address(name) in map(_address, proved)
    else:
        proved = [domain for kind, text in alternatives if kind == "URI" for domain in _sip(text)]
        proved = proved or [text for kind, text in alternatives if kind == "DNS"]
        found = name.lower().rstrip(".") in (text.lower() for text in proved)
    if not found:
        known = ", ".join(dict.fromkeys(text for _, text in alternatives)) or "nobody"
        raise CertificateRefused(f"the certificate is not for {name}, but for {known}")


def key_pin(certificate: bytes) -> bytes:
    """SHA-256 of the public key (SubjectPublicKeyInfo) of a DER certificate."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def _pin_of(certificate: bytes) -> bytes | None:
    """The same; None where the certificate or its key is of a kind that can't be read."""
    try:
        return key_pin(certificate)
    except (ValueError, UnsupportedAlgorithm):
        return None


def parse_pin(text: str) -> bytes:
    """A pin as people write it: `sha256//BASE64`, as curl has it, or 64 hex digits.

    Raises ValueError.
    """
    digits = text.replace(":", "")
    try:
        if re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
            return bytes.fromhex(digits)
        octets = base64.b64decode(text.removeprefix("sha256//"), validate=True)
    except ValueError:  # no base64, or no ASCII
        octets = b""
    if len(octets) != PIN_OCTETS:
        raise ValueError("expected sha256//BASE64 or 64 hex digits: SHA-256 of the public key")
    return octets


def _sip(uri: str) -> Iterable[str]:
    """The domain of a `sip:` URI that names no user."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "sip" and "@" not in rest:
        yield re.split("[;?:]", rest, maxsplit=1)[0]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """A numeric address; None for a name, or what OpenSSL says of an address of odd length."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
