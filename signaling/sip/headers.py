"""The values of the header fields that a user agent works with (RFC 3261 §20), one class each."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, replace
from typing import Final

from signaling.errors import SipParseError
from signaling.sip.grammar import (
    HOST,
    LWS,
    TOKEN_CHARS,
    UINT32_MAX,
    Parameters,
    find_parameter,
    format_host,
    format_parameters,
    is_token,
    lower,
    parse_address,
    parse_host,
    parse_number,
    parse_parameters,
    quote,
    replace_parameter,
    split_values,
    unquote,
)
from signaling.sip.uri import Uri

__all__ = [
    "MALFORMED_EXPIRES_S",
    "STAR",
    "AuthChallenge",
    "AuthCredentials",
    "CSeq",
    "NameAddr",
    "RAck",
    "Star",
    "Via",
    "parse_expires",
    "split_values",
]

MALFORMED_EXPIRES_S = 3600
"""What an unreadable or overlarge expiry counts as (RFC 3261 §20.19, RFC 4475 §3.1.2.4)."""

_NAME_ADDR = re.compile(
    rf'[ \t]*+(?:("(?:[^"\\]++|\\.)*+")|((?:[{TOKEN_CHARS} \t]|[^\x00-\x7f])*+))[ \t]*+<([^<>]*+)>',
    re.DOTALL,
)
_Q = re.compile(r"[01](?:\.[0-9]*+)?+")
_LWS_RUN = re.compile(r"[ \t]++")
_ADDR_SPEC = re.compile(r'[ \t]*+([^ \t;,?<>"]++)[ \t]*+')
_VIA = re.compile(
    rf"([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+"
    rf"([{TOKEN_CHARS}]++)[ \t]++({HOST})(?:[ \t]*+:[ \t]*+([0-9]++))?+"
)
_CSEQ = re.compile(rf"([0-9]++)[ \t]++([{TOKEN_CHARS}]++)")
_AUTH = re.compile(rf"([{TOKEN_CHARS}]++)(?:[ \t]++(.++))?+", re.DOTALL)
_AUTH_PARAMETER = re.compile(
    rf'([{TOKEN_CHARS}]++)[ \t]*+=[ \t]*+("(?:[^"\\]++|\\.)*+"|[^ \t",;]++)', re.DOTALL
)
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]++=*+")


class Star(enum.Enum):
    """The type of `STAR`."""

    STAR = "*"


STAR: Final = Star.STAR
"""`Contact: *`: every binding (RFC 3261 §10.2.2)."""


def parse_expires(text: str) -> int:
    """delta-seconds; what can't be read counts as `MALFORMED_EXPIRES_S`. Never raises."""
    try:
        return parse_number(text, UINT32_MAX, "the expiry")
    except SipParseError:
        return MALFORMED_EXPIRES_S


@dataclass(frozen=True, slots=True)
class NameAddr:
    """`"Display name" <uri>;parameters`: From, To, Contact, Route, Record-Route, Refer-To."""

    display_name: str
    """Without quotes and escapes; "" where there is none."""
    uri: Uri
    parameters: Parameters = ()
    """Header parameters; values as on the wire, quoted strings with their quotes."""

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one name-addr or addr-spec; raises SipParseError.

        Without angle brackets, what follows `;` are header parameters, and `?` and `,` are refused
        (RFC 3261 §20).
        """
        if match := _NAME_ADDR.match(text):
            quoted, tokens, uri = match.groups()
            name = unquote(quoted) if quoted is not None else _LWS_RUN.sub(" ", tokens).strip(LWS)
        elif match := _ADDR_SPEC.match(text):
            name, uri = "", match[1]
        else:
            raise SipParseError("an address is malformed")
        end = match.end()
        parameters = parse_parameters(text, end) if end < len(text) else ()
        return cls(name, Uri.parse(uri), parameters)

    @classmethod
    def parse_many(cls, text: str) -> tuple[NameAddr, ...]:
        """Read a comma-separated list; raises SipParseError, on an empty element too."""
        return tuple(cls.parse(value) for value in split_values(text))

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The tag of From or To."""
        return self.parameter("tag")

    @property
    def expires(self) -> int | None:
        """The `expires` of a Contact in seconds; malformed counts as `MALFORMED_EXPIRES_S`."""
        text = self.parameter("expires")
        return None if text is None else parse_expires(text)

    @property
    def q(self) -> float:
        """The preference of a Contact, 0 to 1; 1 where it says none, or nothing that is one."""
        text = self.parameter("q") or ""
        return min(float(text), 1.0) if _Q.fullmatch(text) else 1.0

    def parameter(self, name: str) -> str | None:
        """The value without quotes; "" where it has none, None where it is absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None = None) -> NameAddr:
        """The same address with one header parameter set; `value` is quoted where it must be."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 §20.42, RFC 3581)."""

    transport: str
    """As on the wire: `UDP`, `WSS`, or something that nobody knows."""
    host: str
    """Lower case; IPv6 without brackets."""
    port: int | None = None
    parameters: Parameters = ()
    protocol: str = "SIP/2.0"

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one value; raises SipParseError."""
        match = _VIA.match(text)
        if match is None:
            raise SipParseError("a Via is malformed")
        name, version, transport, host, port = match.groups()
        end = match.end()
        return cls(
            transport,
            parse_host(host),
            None if port is None else parse_number(port, 65535, "the port of a Via"),
            parse_parameters(text, end) if end < len(text) else (),
            f"{name}/{version}",
        )

    @classmethod
    def parse_many(cls, text: str) -> tuple[Via, ...]:
        """Read a comma-separated list; raises SipParseError, on an empty element too."""
        return tuple(cls.parse(value) for value in split_values(text))

    def __str__(self) -> str:
        sent_by = format_host(self.host, self.port)
        return f"{self.protocol}/{self.transport} {sent_by}{format_parameters(self.parameters)}"

    @property
    def branch(self) -> str | None:
        """The transaction identifier; None from an RFC 2543 element."""
        return self.parameter("branch")

    @property
    def received(self) -> str | None:
        """Where the request came from, IPv6 without brackets; None where absent or unreadable."""
        text = self.parameter("received")
        try:
            return parse_address(text) if text else None
        except SipParseError:
            return None

    @property
    def rport(self) -> int | None:
        """The port it came from (RFC 3581); 0 where `rport` only asks, None where it is absent."""
        text = self.parameter("rport")
        try:
            return parse_number(text, 65535, "rport") if text else (None if text is None else 0)
        except SipParseError:
            return None

    def parameter(self, name: str) -> str | None:
        """The value without quotes; "" where it has none, None where it is absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None = None) -> Via:
        """The same value with one parameter set."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


@dataclass(frozen=True, slots=True)
class CSeq:
    """CSeq: a number up to 2**32-1 and a method."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises SipParseError."""
        match = _CSEQ.fullmatch(text)
        if match is None:
            raise SipParseError("the CSeq is malformed")
        return cls(parse_number(match[1], UINT32_MAX, "the CSeq"), match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class RAck:
    """RAck: which reliable provisional response a PRACK acknowledges (RFC 3262 §7.2)."""

    rseq: int
    """RSeq of the response."""
    cseq: CSeq
    """CSeq of the response."""

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Raises SipParseError."""
        number, _, rest = text.partition(" ")
        return cls(parse_number(number, UINT32_MAX, "the RAck"), CSeq.parse(rest.lstrip(LWS)))

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """WWW-Authenticate or Proxy-Authenticate: a scheme and its parameters (RFC 7616, RFC 8760)."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)
    """Names in lower case, values without quotes; none where the scheme has a bare token68."""

    @classmethod
    def parse(cls, text: str) -> AuthChallenge:
        """Raises SipParseError."""
        return cls(*_parse_auth(text))

    def __str__(self) -> str:
        return _format_auth(self.scheme, self.parameters, _CHALLENGE_UNQUOTED)


@dataclass(frozen=True, slots=True)
class AuthCredentials:
    """Authorization or Proxy-Authorization: a scheme and its parameters (RFC 7616, RFC 8760)."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)
    """Names in lower case, values without quotes; none where the scheme has a bare token68."""

    @classmethod
    def parse(cls, text: str) -> AuthCredentials:
        """Raises SipParseError."""
        return cls(*_parse_auth(text))

    def __str__(self) -> str:
        return _format_auth(self.scheme, self.parameters, _CREDENTIALS_UNQUOTED)


# Which values go without quotes is fixed parameter by parameter (RFC 3261 §25.1, RFC 7616 §3.3 and
# §3.4), and is not the same both ways: `qop` is a list in a challenge and a token in credentials.
_CHALLENGE_UNQUOTED = frozenset({"algorithm", "stale", "charset", "userhash"})
_CREDENTIALS_UNQUOTED = frozenset({"algorithm", "qop", "nc", "userhash"})


def _parse_auth(text: str) -> tuple[str, dict[str, str]]:
    match = _AUTH.fullmatch(text.strip(LWS))
    if match is None:
        raise SipParseError("the authentication scheme is malformed")
    scheme, rest = match.groups()
    parameters: dict[str, str] = {}
    if rest is None or _TOKEN68.fullmatch(rest):
        return scheme, parameters
    for piece in split_values(rest):
        pair = _AUTH_PARAMETER.fullmatch(piece)
        if pair is None:
            raise SipParseError("an authentication parameter is malformed")
        name = lower(pair[1])
        if name in parameters:
            raise SipParseError("an authentication parameter comes twice")
        parameters[name] = unquote(pair[2])
    return scheme, parameters


def _format_auth(scheme: str, parameters: dict[str, str], unquoted: frozenset[str]) -> str:
    pairs = (
        f"{name}={value if name in unquoted and is_token(value) else quote(value)}"
        for name, value in parameters.items()
    )
    return f"{scheme} {', '.join(pairs)}".rstrip()
