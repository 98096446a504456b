"""DTLS in session descriptions: fingerprint (RFC 8122), setup (RFC 5763), tls-id (RFC 8842)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from signaling.errors import SdpError
from signaling.sdp.description import MediaDescription, SessionDescription

_LENGTHS = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
_STRONG = ("sha-512", "sha-384", "sha-256")
"""What we believe, strongest first. SHA-1 is broken; MD5 and MD2 are forbidden (RFC 8122 §5)."""
_HEX = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*")
_HASH = re.compile(r"[0-9A-Za-z\-]{1,32}")
_TLS_ID = re.compile(r"[0-9A-Za-z+/\-_]{20,255}")


class Setup(StrEnum):
    """Who begins (RFC 4145 §4)."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"


class DtlsRole(StrEnum):
    """Which end of the handshake one is (RFC 5763 §5)."""

    CLIENT = "client"
    """setup:active"""
    SERVER = "server"
    """setup:passive"""

    @property
    def setup(self) -> Setup:
        """How an answer says it."""
        return Setup.ACTIVE if self is DtlsRole.CLIENT else Setup.PASSIVE


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate (RFC 8122 §5)."""

    hash: str
    """Lower-case: sha-256."""
    value: str
    """Upper-case hex octets with colons."""

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read the value of a=fingerprint. Raises SdpError where it is none."""
        name, _, value = text.strip(" ").partition(" ")
        value = value.strip(" ")
        if not _HASH.fullmatch(name) or not _HEX.fullmatch(value):
            raise SdpError(f"bad fingerprint: {text[:80]!r}")
        length = _LENGTHS.get(name.lower())
        if length is not None and len(value) != 3 * length - 1:
            raise SdpError(f"a fingerprint that is no {name}: {text[:80]!r}")
        return cls(name.lower(), value.upper())

    def __str__(self) -> str:
        """The value of a=fingerprint."""
        return f"{self.hash} {self.value}"


@dataclass(frozen=True, slots=True)
class DtlsDescription:
    """What one side says of its DTLS for one medium."""

    fingerprints: tuple[Fingerprint, ...]
    """Of one hash function, the strongest that is told; the certificate must have one of them."""
    setup: Setup | None = None
    tls_id: str | None = None
    """Names the association (RFC 8842 §4)."""

    @classmethod
    def read(cls, description: SessionDescription, medium: MediaDescription) -> DtlsDescription:
        """What a description says of a medium's DTLS.

        Raises SdpError (488) for no fingerprint, none of a strong hash function, and for a role
        that is no role.
        """
        told = medium.attributes("fingerprint") or description.attributes("fingerprint")
        setup = description.attribute_of(medium, "setup")
        try:
            role = None if setup is None else Setup(setup.lower())
        except ValueError:
            raise SdpError(
                f"setup:{setup[:20] if setup else ''} is no role to begin with"
            ) from None
        tls_id = description.attribute_of(medium, "tls-id")
        if tls_id is not None and not _TLS_ID.fullmatch(tls_id):
            raise SdpError("bad tls-id")
        return cls(_believable([Fingerprint.parse(text) for text in told]), role, tls_id)

    def continues(self, fingerprints: tuple[Fingerprint, ...], tls_id: str | None) -> bool:
        """The describer goes on with the association that had these (RFC 8842 §3.1)."""
        return (set(self.fingerprints), self.tls_id) == (set(fingerprints), tls_id)


def has_fingerprint(description: SessionDescription, medium: MediaDescription) -> bool:
    """A description says something of a medium's DTLS."""
    return description.attribute_of(medium, "fingerprint") is not None


def _believable(told: Sequence[Fingerprint]) -> tuple[Fingerprint, ...]:
    if not told:
        raise SdpError("no fingerprint of the far end's certificate")
    for name in _STRONG:
        found = tuple(fingerprint for fingerprint in told if fingerprint.hash == name)
        if found:
            return found
    names = ", ".join(dict.fromkeys(fingerprint.hash for fingerprint in told))
    raise SdpError(f"a fingerprint by {names[:80]} proves nothing; sha-256 is wanted")
