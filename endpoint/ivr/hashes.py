"""Hashes of what customers key in: scrypt (RFC 7914), with a salt of its own each."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode

_LOG_N, _R, _P = 15, 8, 1
"""32 MiB and some 100 ms a try: a short number is soon guessed by whoever has its hash cheaply."""
_MOST_LOG_N = 18
_FORM = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)


def make(secret: str) -> str:
    """A hash, as `$scrypt$ln=15,r=8,p=1$SALT$HASH`."""
    salt = secrets.token_bytes(16)
    return _shown(salt, _derived(secret, salt, _LOG_N, _R, _P, 32), _LOG_N, _R, _P)


def is_hash(text: str) -> bool:
    """Whether it is a hash that `matches` takes."""
    return _parsed(text) is not None


def matches(secret: str, text: str) -> bool:
    """Whether a hash is that of a secret. What is no hash is of none. Takes long: not on a loop."""
    found = _parsed(text)
    if found is None:
        return False
    log_n, r, p, salt, expected = found
    return hmac.compare_digest(_derived(secret, salt, log_n, r, p, len(expected)), expected)


def _parsed(text: str) -> tuple[int, int, int, bytes, bytes] | None:
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    log_n, r, p = (int(found[index]) for index in (1, 2, 3))
    # Who gives a hash may not have us compute for hours.
    if not (1 <= log_n <= _MOST_LOG_N and 1 <= r <= 16 and 1 <= p <= 4):
        return None
    try:
        salt, expected = (b64decode(found[index] + "==") for index in (4, 5))
    except ValueError:
        return None
    return (log_n, r, p, salt, expected) if len(expected) >= 16 else None


def _derived(secret: str, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    n = 1 << log_n
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=length
    )


def _shown(salt: bytes, derived: bytes, log_n: int, r: int, p: int) -> str:
    parts = (b64encode(each).decode().rstrip("=") for each in (salt, derived))
    return f"$scrypt$ln={log_n},r={r},p={p}${'$'.join(parts)}"
