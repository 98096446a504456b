"""SIP and SIPS URIs (RFC 3261 §19.1), and any other scheme as opaque text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote_from_bytes, unquote_to_bytes

from signaling.errors import LocalProtocolError, SipParseError
from signaling.sip.grammar import (
    HOST,
    Parameters,
    check_unique,
    format_host,
    lower,
    parse_host,
    parse_number,
)

_UNRESERVED = "-_.!~*'()"
_USER_EXTRA = "&=+$,;?/"
_PASSWORD_EXTRA = "&=+$,"
_PARAMETER_EXTRA = "[]/:&+$"
_HEADER_EXTRA = "[]/?:+$"


def _characters(extra: str) -> str:
    return rf"(?:[A-Za-z0-9{re.escape(_UNRESERVED + extra)}]++|%[0-9A-Fa-f]{{2}})"


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
_SIP = re.compile(
    rf"(?:({_characters(_USER_EXTRA)}++)(?::({_characters(_PASSWORD_EXTRA)}*+))?+@)?({HOST})"
    r"(?::([0-9]++))?+(?:;([^?]*+))?+(?:\?(.++))?+",
    re.DOTALL,
)
_PARAMETER = re.compile(
    rf"({_characters(_PARAMETER_EXTRA)}++)(?:=({_characters(_PARAMETER_EXTRA)}++))?+"
)
_HEADER = re.compile(
    rf"({_characters(_HEADER_EXTRA)}++)=({_characters(_HEADER_EXTRA)}*+)",
)
_OPAQUE = re.compile(r"(?:[A-Za-z0-9;/?:@&=+$,\-_.!~*'()\[\]#]++|%[0-9A-Fa-f]{2})++")
_MUST_MATCH = ("user", "ttl", "method", "maddr", "transport")


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI. The parts of a SIP URI are unescaped, exactly once; `str` escapes them again."""

    scheme: str
    """Lower case. `sip` and `sips` have the parts below; any other has `opaque` alone."""
    user: str | None = None
    """May hold any character, NUL and `@` too."""
    password: str | None = None
    host: str = ""
    """Lower case; IPv6 without brackets."""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    """What follows `?`; never taken for headers of the message that carries the URI."""
    opaque: str = ""
    """What follows the colon of another scheme, as it is on the wire."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read a URI; raises SipParseError."""
        match = _SCHEME.match(text)
        if match is None:
            raise SipParseError("the URI has no scheme")
        scheme = match[1].lower()
        if scheme not in ("sip", "sips"):
            opaque = text[match.end() :]
            if _OPAQUE.fullmatch(opaque) is None:
                raise SipParseError("the URI is malformed")
            return cls(scheme, opaque=opaque)
        match = _SIP.fullmatch(text, match.end())
        if match is None:
            raise SipParseError("the SIP URI is malformed")
        user, password, host, port, parameters, headers = match.groups()
        return cls(
            scheme,
            None if user is None else _unescape(user),
            None if password is None else _unescape(password),
            parse_host(host),
            None if port is None else parse_number(port, 65535, "the port"),
            () if parameters is None else _parse_parameters(parameters),
            () if headers is None else _parse_headers(headers),
        )

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}" if self.scheme else self.opaque
        parts = [self.scheme, ":"]
        if self.user is not None:
            parts.append(_escape(self.user, _USER_EXTRA))
            if self.password is not None:
                parts += (":", _escape(self.password, _PASSWORD_EXTRA))
            parts.append("@")
        parts.append(format_host(self.host, self.port))
        for name, value in self.parameters:
            parts += (";", _escape(name, _PARAMETER_EXTRA))
            if value is not None:
                parts += ("=", _escape(value, _PARAMETER_EXTRA))
        separator = "?"
        for name, value in self.headers:
            parts += (separator, _escape(name, _HEADER_EXTRA), "=", _escape(value, _HEADER_EXTRA))
            separator = "&"
        return "".join(parts)

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is `sip` or `sips`."""
        return self.scheme in ("sip", "sips")

    def parameter(self, name: str) -> str | None:
        """The value of a URI parameter; "" where it has none, None where it is absent."""
        wanted = lower(name)
        for candidate, value in self.parameters:
            if lower(candidate) == wanted:
                return value or ""
        return None

    def has_parameter(self, name: str) -> bool:
        """Whether the parameter is there, with or without a value."""
        return self.parameter(name) is not None

    def with_parameter(self, name: str, value: str | None = None) -> Uri:
        """The same URI with one parameter set, in its old place or at the end."""
        wanted = lower(name)
        if not self.has_parameter(name):
            return replace(self, parameters=(*self.parameters, (name, value)))
        kept = tuple(
            (name, value) if lower(old) == wanted else (old, v) for old, v in self.parameters
        )
        return replace(self, parameters=kept)

    def without_parameters(self) -> Uri:
        """The same URI without parameters and headers."""
        return replace(self, parameters=(), headers=())

    def for_request(self) -> Uri:
        """The same URI without what a Request-URI may not hold (RFC 3261 §19.1.1, table 1)."""
        kept = tuple(pair for pair in self.parameters if lower(pair[0]) != "method")
        return replace(self, parameters=kept, headers=())

    def aor(self) -> Uri:
        """The address of record: scheme, user and host alone (RFC 3261 §10.3 step 5)."""
        return replace(self, password=None, port=None, parameters=(), headers=())

    def equivalent(self, other: Uri) -> bool:
        """Whether both mean the same resource (RFC 3261 §19.1.4). Not transitive: no dict key.

        `sip:a%3Bb@h` and `sip:a;b@h` count as the same here: parts are kept unescaped.
        """
        if not self.is_sip:
            return self == other
        mine = (self.scheme, self.user, self.password, self.host, self.port)
        if mine != (other.scheme, other.user, other.password, other.host, other.port):
            return False
        ours = {lower(name): lower(value or "") for name, value in self.parameters}
        theirs = {lower(name): lower(value or "") for name, value in other.parameters}
        if any(ours.get(name) != theirs.get(name) for name in _MUST_MATCH):
            return False
        if any(theirs[name] != value for name, value in ours.items() if name in theirs):
            return False
        return _header_set(self) == _header_set(other)


def _header_set(uri: Uri) -> list[tuple[str, str]]:
    return sorted((lower(name), value) for name, value in uri.headers)


def _parse_parameters(text: str) -> Parameters:
    parameters: list[tuple[str, str | None]] = []
    for piece in text.split(";"):
        match = _PARAMETER.fullmatch(piece)
        if match is None:
            raise SipParseError("a URI parameter is malformed")
        name, value = match.groups()
        parameters.append((_unescape(name), None if value is None else _unescape(value)))
    check_unique(parameters)
    return tuple(parameters)


def _parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for piece in text.split("&"):
        match = _HEADER.fullmatch(piece)
        if match is None:
            raise SipParseError("a header in the URI is malformed")
        headers.append((_unescape(match[1]), _unescape(match[2])))
    return tuple(headers)


def _unescape(text: str) -> str:
    """%HH to its octet, once: `%2541` is `%41`."""
    if "%" not in text:
        return text
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def _escape(text: str, extra: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    try:
        octets = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise LocalProtocolError("a lone surrogate can't be put in a URI") from exc
    return quote_from_bytes(octets, _UNRESERVED + extra)
