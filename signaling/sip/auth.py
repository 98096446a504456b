"""Digest access authentication, client and server (RFC 7616 as SIP uses it: RFC 8760, RFC 3261 §22)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from signaling.sip.headers import AuthCredentials


class DigestAlgorithm(StrEnum):
    """The hash names of RFC 8760 §2.1."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """H(username:realm:password), lower-case hex: what is stored instead of a password."""


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """Who we are, and to whom alone we prove it."""

    username: str
    realm: str | None = None
    """Answer only challenges of this realm; None trusts whatever realm the server at `host` names first."""
    password: str | None = None
    ha1: Mapping[str, str] | None = None
    """Algorithm → HA1, where the password is not kept (needs `realm`)."""
    host: str | None = None
    """Answer only challenges to requests whose Request-URI (or first Route) is at this host; None: see `Stack`."""


class Verdict(StrEnum):
    """What the digest server found. All but OK and BAD_REQUEST are answered with a fresh challenge."""

    OK = "ok"
    MISSING = "missing"
    """No credentials for our realm."""
    WRONG = "wrong"
    """Unknown user or wrong response: the same to the far end."""
    STALE = "stale"
    """Right, but the nonce is too old or not of this server run: challenge with stale=true."""
    REPLAYED = "replayed"
    """Right, but nonce and count were used before."""
    BAD_REQUEST = "bad_request"
    """Digest URI of another request, or fields missing: 400."""


class DigestServer:
    """Challenges and checks. Holds no user: HA1s come in as arguments."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[DigestAlgorithm] = (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5),
        nonce_lifetime_s: float = 300.0,
        random: Random,
    ) -> None: ...

    def challenges(self, source: str, now: float, *, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate (or Proxy-Authenticate), best algorithm first, one header field each."""

    def username(self, credentials: Sequence[AuthCredentials]) -> str | None:
        """Whose HA1s to look up: the user named for our realm; None if nobody is."""

    def verify(
        self,
        method: str,
        uri: str,
        credentials: Sequence[AuthCredentials],
        ha1s: Sequence[tuple[str, str]],
        source: str,
        now: float,
    ) -> Verdict:
        """Judge a request. `ha1s`: (algorithm, HA1) pairs of the user, empty for an unknown one; `uri`: its Request-URI."""
