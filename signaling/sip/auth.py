"""Digest authentication, client and server (RFC 7616 as SIP uses it: RFC 8760, RFC 3261 §22).

Only `qop=auth` is offered; challenges without qop (RFC 2069) are answered, `auth-int` and `-sess`
are not.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from signaling.errors import SipParseError
from signaling.sip.grammar import legible
from signaling.sip.headers import AuthChallenge, AuthCredentials
from signaling.sip.message import Response
from signaling.sip.uri import Uri


class DigestAlgorithm(StrEnum):
    """The hash names of RFC 8760 §2.1."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"


_HASHES = {
    DigestAlgorithm.MD5: "md5",
    DigestAlgorithm.SHA_256: "sha256",
    DigestAlgorithm.SHA_512_256: "sha512_256",
}
_ALGORITHMS = {algorithm.value: algorithm for algorithm in DigestAlgorithm}


def _hash(algorithm: DigestAlgorithm, text: str) -> str:
    return hashlib.new(_HASHES[algorithm], _octets(text), usedforsecurity=False).hexdigest()


def _octets(text: str) -> bytes:
    """Header text as it was on the wire."""
    return text.encode("utf-8", "surrogateescape")


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """H(username:realm:password) in lower-case hex: what is stored instead of a password.

    Raises ValueError for an algorithm that is not a `DigestAlgorithm`.
    """
    return _hash(DigestAlgorithm(algorithm), f"{username}:{realm}:{password}")


def digest_response(
    algorithm: DigestAlgorithm,
    ha1: str,
    *,
    method: str,
    uri: str,
    nonce: str,
    qop: str | None = None,
    nc: str = "",
    cnonce: str = "",
) -> str:
    """`response` of RFC 7616 §3.4.1; without `qop` that of RFC 2069."""
    ha2 = _hash(algorithm, f"{method}:{uri}")
    middle = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return _hash(algorithm, f"{ha1}:{middle}:{ha2}")


# -- client -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """Who we are, and to whom alone we prove it."""

    username: str
    realm: str | None = None
    """Answer only challenges of this realm; None takes the realm of the first challenge."""
    password: str | None = None
    ha1: Mapping[str, str] | None = None
    """Algorithm to HA1, where the password is not kept (needs `realm`)."""
    host: str | None = None
    """Answer only for requests whose first Route, or else Request-URI, is at this host."""
    in_dialog: bool = False
    """Answer 407 inside a dialog though the far end is behind a proxy.

    A called party could send that 407, with the realm of our server, and would be given a digest
    to guess our password from (S15). Only for servers that challenge BYE and re-INVITE."""

    def __repr__(self) -> str:
        return f"DigestCredentials(username={self.username!r}, realm={self.realm!r}, …)"


def says_stale(response: Response) -> bool:
    """Whether a 401 or 407 says that the credentials were right, over a nonce of old."""
    lines = [
        line
        for name in ("WWW-Authenticate", "Proxy-Authenticate")
        for line in response.headers.get_all(name)
    ]
    return any(_parameter(line, "stale").lower() == "true" for line in lines)


def _parameter(line: str, name: str) -> str:
    try:
        return AuthChallenge.parse(line).parameters.get(name, "")
    except SipParseError:
        return ""


class DigestClient:
    """Answers challenges for one account. One object for each use that counts its own nonces."""

    def __init__(self, credentials: DigestCredentials, random: Random) -> None:
        self.credentials = credentials
        self._random = random
        self._realm = credentials.realm
        self._challenge: AuthChallenge | None = None
        self._header = "Authorization"
        self._count = 0

    def __repr__(self) -> str:
        return f"<DigestClient {self.credentials.username} realm={self._realm} nc={self._count}>"

    def take_challenge(self, response: Response) -> bool:
        """Keep the challenge of a 401 or 407 that we can and may answer (RFC 8760 §2.4).

        The topmost one is taken whose realm, algorithm and qop are ours.
        """
        proxy = response.status == 407
        for line in response.headers.get_all("Proxy-Authenticate" if proxy else "WWW-Authenticate"):
            try:
                challenge = AuthChallenge.parse(line)
            except SipParseError:
                continue
            if self._can_answer(challenge):
                self._challenge, self._count = challenge, 0
                self._realm = challenge.parameters["realm"]
                self._header = "Proxy-Authorization" if proxy else "Authorization"
                return True
        return False

    def why_unanswered(self, response: Response) -> str | None:
        """For people, why no challenge of a 401 or 407 is answered; None where one could be."""
        name = "Proxy-Authenticate" if response.status == 407 else "WWW-Authenticate"
        whys = [self._why_unanswered(line) for line in response.headers.get_all(name)]
        return None if None in whys else next(iter(whys), "it asks for a password by no challenge")

    @property
    def realm(self) -> str | None:
        """The only realm that is answered: configured, else that of the first challenge."""
        return self._realm

    @property
    def is_stale(self) -> bool:
        """Whether the kept challenge says that our last answer was right but late."""
        challenge = self._challenge
        return challenge is not None and challenge.parameters.get("stale", "").lower() == "true"

    def authorise(self, method: str, uri: str) -> tuple[str, str] | None:
        """Header name and credentials for a request, by the kept challenge; None without one."""
        if self._challenge is None:
            return None
        asked = self._challenge.parameters
        algorithm = _algorithm(asked)
        secret = self._secret(algorithm, asked["realm"]) if algorithm else None
        if algorithm is None or secret is None:
            return None
        self._count += 1
        nc, cnonce = f"{self._count:08x}", f"{self._random.getrandbits(128):032x}"
        qop = "auth" if "qop" in asked else None
        answer = digest_response(
            algorithm,
            secret,
            method=method,
            uri=uri,
            nonce=asked["nonce"],
            qop=qop,
            nc=nc,
            cnonce=cnonce,
        )
        parameters = {
            "username": self.credentials.username,
            "realm": asked["realm"],
            "nonce": asked["nonce"],
            "uri": uri,
            "response": answer,
        }
        if "algorithm" in asked:
            parameters["algorithm"] = asked["algorithm"]
        if qop:
            parameters |= {"cnonce": cnonce, "qop": qop, "nc": nc}
        if "opaque" in asked:
            parameters["opaque"] = asked["opaque"]
        return self._header, str(AuthCredentials("Digest", parameters))

    def forget(self) -> None:
        """Drop the kept challenge."""
        self._challenge = None

    def _why_unanswered(self, line: str) -> str | None:
        try:
            challenge = AuthChallenge.parse(line)
        except SipParseError:
            return "its challenge is malformed"
        if self._can_answer(challenge):
            return None
        asked = challenge.parameters
        realm = legible(asked.get("realm", ""))
        if realm != (self._realm or realm) and challenge.scheme.lower() == "digest":
            return f"it asks for the realm {realm!r}, and {self._realm!r} alone is answered"
        way = legible(" ".join((challenge.scheme, asked.get("algorithm", ""))).strip())
        return f"it asks for a password in a way that is not known here: {way}"

    def _can_answer(self, challenge: AuthChallenge) -> bool:
        asked = challenge.parameters
        if challenge.scheme.lower() != "digest" or not {"realm", "nonce"} <= asked.keys():
            return False
        if self._realm is not None and asked["realm"] != self._realm:
            return False
        options = [option.strip().lower() for option in asked.get("qop", "auth").split(",")]
        algorithm = _algorithm(asked)
        known = algorithm is not None and self._secret(algorithm, asked["realm"]) is not None
        return known and "auth" in options

    def _secret(self, algorithm: DigestAlgorithm, realm: str) -> str | None:
        mine = self.credentials
        if mine.password is not None:
            return ha1(mine.username, realm, mine.password, algorithm)
        return (mine.ha1 or {}).get(algorithm)


def _algorithm(parameters: Mapping[str, str]) -> DigestAlgorithm | None:
    """No `algorithm` means MD5 (RFC 7616 §3.3)."""
    return _ALGORITHMS.get(parameters.get("algorithm", "MD5").upper())


# -- server -----------------------------------------------------------------------------------


class Verdict(StrEnum):
    """What the digest server found. All but OK, WRONG_AGAIN and BAD_REQUEST are challenged."""

    OK = "ok"
    MISSING = "missing"
    """No credentials for our realm."""
    WRONG = "wrong"
    """Unknown user or wrong response, over a nonce that this source was given: a guess."""
    WRONG_AGAIN = "wrong_again"
    """The same over a nonce that was given for a wrong one: 403, for another 401 has phones go on
    by themselves, with the very same password."""
    STALE = "stale"
    """The nonce is too old, or was made for another source or by another server; whether the
    response is right is not looked at."""
    REPLAYED = "replayed"
    """Right, but nonce and count were used before."""
    BAD_REQUEST = "bad_request"
    """Credentials for another Request-URI, or fields missing: 400."""


_WRONG = "w"
"""Ends the random part of a nonce that is given for a wrong digest."""


class DigestServer:
    """Challenges and checks. Holds no user: HA1s come in as arguments.

    A nonce is its time, a random number, and an HMAC over both and the source under a key of this
    object alone, so none survives a restart. Times of nonces and of `now` are the same clock.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[DigestAlgorithm] = (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5),
        nonce_lifetime_s: float = 300.0,
        random: Random,
        max_nonces: int = 20_000,
    ) -> None:
        self.realm = realm
        self.algorithms = tuple(algorithms)
        self.nonce_lifetime_s = nonce_lifetime_s
        self._random = random
        self._key = hmac.digest(secret, random.randbytes(32), "sha256")
        self._used: dict[str, int] = {}
        self._max_nonces = max_nonces
        self._issued_before = -1
        """Nonces of this millisecond and before are stale, because their counts were dropped."""

    def __repr__(self) -> str:
        return f"<DigestServer realm={self.realm!r} nonces in use={len(self._used)}>"

    def challenges(
        self, source: str, now: float, *, stale: bool = False, wrong: bool = False
    ) -> list[str]:
        """Values for WWW-Authenticate, best algorithm first, one header field each (RFC 8760 §2.3).

        `source` is the host that the request came from, as in `verify`; `wrong`: its last digest
        was. The nonce itself says so: no state is kept for it.
        """
        salt = f"{self._random.getrandbits(32):08x}" + (_WRONG if wrong else "")
        nonce = self._nonce(source, int(now * 1000), salt)
        parameters = {"realm": self.realm, "nonce": nonce, "qop": "auth"}
        if stale:
            parameters["stale"] = "true"
        return [
            str(AuthChallenge("Digest", parameters | {"algorithm": algorithm.value}))
            for algorithm in self.algorithms
        ]

    def username(self, credentials: Sequence[AuthCredentials]) -> str | None:
        """Whose HA1s to look up: the user named for our realm; None if nobody is."""
        found = self._find(credentials)
        return None if found is None else found.get("username")

    def verify(
        self,
        method: str,
        uri: str,
        credentials: Sequence[AuthCredentials],
        ha1s: Sequence[tuple[str, str]],
        source: str,
        now: float,
    ) -> Verdict:
        """Judge a request with the Request-URI `uri`.

        `ha1s`: (algorithm, HA1) pairs of `username`, empty for an unknown user.
        Takes the same time and gives the same verdict for a wrong user and a wrong password.
        """
        given = self._find(credentials)
        if given is None:
            return Verdict.MISSING
        qop = given.get("qop")
        needed = {"username", "nonce", "uri", "response"} | ({"nc", "cnonce"} if qop else set())
        if not needed <= given.keys() or qop not in (None, "auth"):
            return Verdict.BAD_REQUEST
        count = _nonce_count(given["nc"]) if qop else 1
        if count is None or not _same_uri(given["uri"], uri):
            return Verdict.BAD_REQUEST
        if not self._is_current(given["nonce"], source, now):
            # Before the response is looked at: else an invented nonce would do to try passwords,
            # and what is counted as a wrong one could come from a forged address.
            return Verdict.STALE
        again = given["nonce"].partition(".")[2].partition(".")[0].endswith(_WRONG)
        wrong = Verdict.WRONG_AGAIN if again else Verdict.WRONG
        algorithm = _algorithm(given)
        if algorithm not in self.algorithms:
            return wrong
        known = {name.upper(): value for name, value in ha1s}
        secret = known.get(algorithm)
        expected = digest_response(
            algorithm,
            secret if secret is not None else "0" * 64,
            method=method,
            uri=given["uri"],
            nonce=given["nonce"],
            qop=qop,
            nc=given.get("nc", ""),
            cnonce=given.get("cnonce", ""),
        )
        right = hmac.compare_digest(_octets(expected), _octets(given["response"].lower()))
        if not right or secret is None:
            return wrong
        return Verdict.OK if self._use(given["nonce"], count, now) else Verdict.REPLAYED

    def _find(self, credentials: Sequence[AuthCredentials]) -> dict[str, str] | None:
        """The parameters for our realm; other schemes and realms are passed over (§22.3)."""
        for given in credentials:
            if given.scheme.lower() == "digest" and given.parameters.get("realm") == self.realm:
                return given.parameters
        return None

    def _nonce(self, source: str, issued_ms: int, salt: str) -> str:
        text = f"{issued_ms:x}.{salt}"
        mac = hmac.digest(self._key, _octets(f"{text}.{source}.{self.realm}"), "sha256")
        return f"{text}.{mac.hex()[:24]}"  # no longer: an answer to a stranger must be short

    def _is_current(self, nonce: str, source: str, now: float) -> bool:
        issued, _, rest = nonce.partition(".")
        issued_ms = _hexadecimal(issued)
        if issued_ms is None or issued_ms <= self._issued_before:
            return False
        expected = self._nonce(source, issued_ms, rest.partition(".")[0])
        genuine = hmac.compare_digest(_octets(expected), _octets(nonce))
        return genuine and 0 <= now * 1000 - issued_ms <= self.nonce_lifetime_s * 1000

    def _use(self, nonce: str, count: int, now: float) -> bool:
        """Note a use; False for a count that is not above the last one of this nonce."""
        if count <= self._used.get(nonce, 0):
            return False
        self._used[nonce] = count
        if len(self._used) > self._max_nonces:
            self._drop_old(now)
        return True

    def _drop_old(self, now: float) -> None:
        """Forget counts of stale nonces, and make stale the older half of what is left."""
        times = sorted(int(nonce.partition(".")[0], 16) for nonce in self._used)
        expired = int((now - self.nonce_lifetime_s) * 1000) - 1
        self._issued_before = max(self._issued_before, expired)
        if sum(issued > self._issued_before for issued in times) > self._max_nonces // 2:
            self._issued_before = times[len(times) // 2]
        self._used = {
            nonce: count
            for nonce, count in self._used.items()
            if int(nonce.partition(".")[0], 16) > self._issued_before
        }


def _hexadecimal(text: str) -> int | None:
    """A number of at most 16 lower-case hexadecimal digits."""
    if not 0 < len(text) <= 16 or not set(text) <= set("0123456789abcdef"):
        return None
    return int(text, 16)


def _nonce_count(text: str) -> int | None:
    """8 hexadecimal digits, over 0 (RFC 7616 §3.4)."""
    return (_hexadecimal(text.lower()) or None) if len(text) == 8 else None


def _same_uri(digest_uri: str, request_uri: str) -> bool:
    if digest_uri == request_uri:
        return True
    try:
        return Uri.parse(digest_uri).equivalent(Uri.parse(request_uri))
    except SipParseError:
        return False
