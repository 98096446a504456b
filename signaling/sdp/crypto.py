"""Keys in session descriptions: a=crypto (RFC 4568), with the GCM suites of RFC 7714."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from signaling.errors import SdpError
from signaling.sdp.description import MediaDescription

_CRYPTO = re.compile(r"([0-9]{1,9}) +(\S+) +(\S+)((?: +\S+)*)")
_LIFETIME = re.compile(r"2\^[0-9]{1,2}|[0-9]{1,20}")


class CryptoSuite(StrEnum):
    """A suite that we can do."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"

    @property
    def key_salt_octets(self) -> int:
        """Length of master key and master salt together."""
        match self:
            case CryptoSuite.AES_CM_128_HMAC_SHA1_80:
                return 16 + 14
            case CryptoSuite.AEAD_AES_128_GCM:
                return 16 + 12
            case CryptoSuite.AEAD_AES_256_GCM:
                return 32 + 12


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto: how its sender protects what it sends."""

    tag: int
    """The offerer's number for it; the answer repeats it."""
    suite: CryptoSuite
    key_salt: bytes = field(repr=False)
    """Master key, then master salt."""
    lifetime: str | None = None
    """In packets, as it was written: `2^20`. What we send says none (RFC 4568 §6.1)."""

    def __post_init__(self) -> None:
        if len(self.key_salt) != self.suite.key_salt_octets:
            raise SdpError(f"a key of {len(self.key_salt)} octets is none of {self.suite}")

    @classmethod
    def parse(cls, text: str) -> Crypto | None:
        """Read the value of a=crypto; None: well written, but not what we can do.

        That is another suite, a key with an MKI, several keys, or a session parameter that must
        be obeyed (RFC 4568 §6.3). Raises SdpError.
        """
        match = _CRYPTO.fullmatch(text.strip(" "))
        if match is None:
            raise SdpError("bad crypto line")
        method, _, key = match[3].partition(":")
        try:
            suite = CryptoSuite(match[2].upper())
        except ValueError:
            return None
        parameters = [word for word in match[4].split(" ") if word]
        if method.lower() != "inline" or ";" in key:
            return None
        if any(not parameter.startswith("-") for parameter in parameters):
            return None
        encoded, *rest = key.split("|")
        lifetime = rest.pop(0) if rest and _LIFETIME.fullmatch(rest[0]) else None
        if rest:
            return None
        try:
            # Some leave the padding out.
            key_salt = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise SdpError("bad key in a crypto line") from None
        return cls(int(match[1]), suite, key_salt, lifetime)

    def __str__(self) -> str:
        """The value of a=crypto."""
        key = base64.b64encode(self.key_salt).decode()
        lifetime = "" if self.lifetime is None else f"|{self.lifetime}"
        return f"{self.tag} {self.suite} inline:{key}{lifetime}"


def read_crypto(medium: MediaDescription) -> tuple[Crypto, ...]:
    """A medium's crypto lines that we can do, in order. Raises SdpError."""
    found = (Crypto.parse(text) for text in medium.attributes("crypto"))
    return tuple(crypto for crypto in found if crypto is not None)


def first_common(offered: Iterable[Crypto], ours: Iterable[Crypto]) -> tuple[Crypto, Crypto] | None:
    """The first of theirs whose suite we have, and ours for it; None: nothing is common."""
    by_suite = {crypto.suite: crypto for crypto in reversed(tuple(ours))}
    for theirs in offered:
        if theirs.suite in by_suite:
            return theirs, by_suite[theirs.suite]
    return None
