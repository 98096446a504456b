"""GRUUs: addresses that lead to one instance of a user, public and temporary (RFC 5627)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32decode, b32encode
from binascii import Error as NotBase32
from collections.abc import Iterable
from random import Random

from signaling.sip.grammar import lower
from signaling.sip.uri import Uri

_PREFIX = "tgruu."
_HALF = 8
"""Octets of nonce, of hidden number and of proof, each."""


def is_gruu(uri: Uri) -> bool:
    """Whether an address says that it is a GRUU."""
    return uri.has_parameter("gr")


def public_gruu(aor: Uri, instance: str) -> Uri:
    """The lasting address of an instance, a URN (§3.1.1)."""
    return aor.aor().with_parameter("gr", instance)


class Gruus:
    """The GRUUs of one registrar.

    Of a temporary one nothing is kept (appendix A.2): its user part holds the number of its
    instance, veiled and proved with a secret, so none can be linked to another. An instance that
    begins anew, with another Call-ID, gets another number, and its temporary GRUUs of before end
    (§5.4).
    """

    def __init__(self, secret: bytes, random: Random) -> None:
        self._secret = secret
        self._random = random
        self._count = 0
        self._numbers: dict[tuple[str, str], tuple[str, int]] = {}
        """By user and instance: Call-ID and number."""
        self._owners: dict[int, tuple[str, str]] = {}

    def issue(self, aor: Uri, user: str, instance: str, call_id: str) -> tuple[Uri, Uri]:
        """The public GRUU, and a new temporary one, of an instance (§5.3)."""
        key = user, lower(instance)
        known, number = self._numbers.get(key, ("", 0))
        if known != call_id:
            self._owners.pop(number, None)
            self._count = number = self._count + 1
            self._numbers[key] = call_id, number
            self._owners[number] = key
        return public_gruu(aor, instance), self._make(aor, number)

    def resolve(self, uri: Uri) -> tuple[str, str] | None:
        """The user and the instance that a GRUU leads to (§5.5); None where to none."""
        number = self._read(uri)
        if number is not None:
            return self._owners.get(number)
        instance = uri.parameter("gr")
        return (uri.user, instance) if uri.user is not None and instance else None

    def keep(self, user: str, instances: Iterable[str]) -> None:
        """Forget the user's other instances: they are registered no more."""
        live = {lower(instance) for instance in instances}
        for key in [key for key in self._numbers if key[0] == user and key[1] not in live]:
            del self._owners[self._numbers.pop(key)[1]]

    def _make(self, aor: Uri, number: int) -> Uri:
        """A new temporary one in the domain of `aor`, for a number below 2**64 (§3.1.2)."""
        nonce = self._random.getrandbits(8 * _HALF).to_bytes(_HALF, "big")
        hidden = _xor(number.to_bytes(_HALF, "big"), self._digest(b"veil", nonce))
        proof = self._digest(b"proof", nonce + hidden)
        user = b32encode(nonce + hidden + proof).decode().rstrip("=").lower()
        return Uri(aor.scheme, _PREFIX + user, host=aor.host, parameters=(("gr", None),))

    def _read(self, uri: Uri) -> int | None:
        """The number that one of ours hides; None for any other address."""
        text = uri.user or ""
        if not text.startswith(_PREFIX) or not is_gruu(uri):
            return None
        letters = text.removeprefix(_PREFIX).upper()
        try:
            octets = b32decode(letters + "=" * (-len(letters) % 8))
        except (NotBase32, ValueError):
            return None
        nonce, hidden, proof = octets[:_HALF], octets[_HALF : 2 * _HALF], octets[2 * _HALF :]
        if not hmac.compare_digest(proof, self._digest(b"proof", nonce + hidden)):
            return None
        return int.from_bytes(_xor(hidden, self._digest(b"veil", nonce)), "big")

    def _digest(self, purpose: bytes, octets: bytes) -> bytes:
        return hmac.new(self._secret, purpose + octets, hashlib.sha256).digest()[:_HALF]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
