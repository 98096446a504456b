"""The terminals of the SIP grammar (RFC 3261 §25.1): tokens, numbers, strings, hosts, parameters.

Text here is header text after unfolding: `str`, decoded as UTF-8 with surrogateescape, so that any
octet comes back out as it went in. All patterns name ASCII explicitly, and repetition is
possessive: no input makes them backtrack.
"""

from __future__ import annotations

import re
import string
from ipaddress import AddressValueError, IPv6Address
from typing import TypeAlias

from signaling.errors import SipParseError

Parameters: TypeAlias = tuple[tuple[str, str | None], ...]
"""(name, value) in order of the wire; None where there is no `=`."""

LWS = " \t"
UINT32_MAX = 2**32 - 1

TOKEN_CHARS = r"A-Za-z0-9\-.!%*_+`'~"
_TOKEN = re.compile(rf"[{TOKEN_CHARS}]++")
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_NUMBER = re.compile(r"0*+([0-9]*+)", re.ASCII)
_PARAMETER = re.compile(
    rf"[ \t]*+;[ \t]*+([{TOKEN_CHARS}]++)(?:[ \t]*+=[ \t]*+([{TOKEN_CHARS}\[\]:]++|{_QUOTED}))?+",
    re.DOTALL,
)
_PLAIN_VALUE = re.compile(rf"[{TOKEN_CHARS}\[\]:]++")
_ESCAPED_CHAR = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
_VALUE_PIECE = re.compile(rf'[^",<]++|{_QUOTED}|<[^>]*+>', re.DOTALL)
_LABEL = "[A-Za-z0-9_]++(?:-++[A-Za-z0-9_]++)*+"
HOST = rf"(?:\[[0-9A-Fa-f:.]++\]|{_LABEL}(?:\.{_LABEL})*+\.?+)"
"""RFC 3261's `host`, and underscores, which are common in container names."""
_HOST = re.compile(HOST)
_ASCII_LOWER = {ord(upper): upper.lower() for upper in string.ascii_uppercase}


def lower(text: str) -> str:
    """Lower-case A-Z alone: `str.lower` would turn U+212A into `k`."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def as_utf8(text: str) -> str:
    """The same with U+FFFD for octets that came and are no UTF-8. A NUL is a character as others.

    That is what RFC 4475 §3.1.1.4 asks of user names.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def legible(text: str) -> str:
    """Text for people and databases: `as_utf8`, and no NUL."""
    return as_utf8(text).replace("\0", "\ufffd")


def as_latin1(text: str) -> str:
    """The octets of a text, a character each: so JSON holds them, whatever they are."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def octets_of(latin1: str) -> bytes:
    """The octets of `as_latin1`. Raises SipParseError for what is none."""
    try:
        return latin1.encode("latin-1")
    except UnicodeEncodeError as exc:
        raise SipParseError("what was kept is no octets") from exc


def from_latin1(latin1: str) -> str:
    """The text of `as_latin1`. Raises SipParseError for what is none."""
    return octets_of(latin1).decode("utf-8", "surrogateescape")


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 3261 §25.1."""
    return _TOKEN.fullmatch(text) is not None


def parse_number(text: str, maximum: int, what: str) -> int:
    """1*DIGIT up to `maximum`, below 10**10. Raises SipParseError.

    `int` alone takes `1_0` and the digits of other scripts, and raises ValueError at 4,300 digits.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not text:
        raise SipParseError(f"{what} is not a number")
    digits = match[1]
    if len(digits) > 10 or (value := int(digits or "0")) > maximum:
        raise SipParseError(f"{what} is over {maximum}")
    return value


def quote(text: str) -> str:
    """A quoted-string whose value is `text`."""
    return '"' + _NEEDS_ESCAPE.sub(r"\\\g<0>", text) + '"'


def unquote(text: str) -> str:
    """The value of a token or of a quoted-string (its escapes removed)."""
    if not text.startswith('"'):
        return text
    inner = text[1:-1]
    return _ESCAPED_CHAR.sub(r"\1", inner) if "\\" in inner else inner


def split_values(text: str) -> list[str]:
    """Split at the commas outside quotes and angle brackets (RFC 3261 §7.3.1); pieces are stripped.

    Empty pieces are kept: whether `a,,b` is legal is for the header to say. Raises SipParseError
    when a quote or a bracket stays open.
    """
    if "," not in text:
        return [text.strip(LWS)]
    pieces: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == ",":
            pieces.append(text[start:position].strip(LWS))
            start = position = position + 1
        elif match := _VALUE_PIECE.match(text, position):
            position = match.end()
        else:
            raise SipParseError("a quote or an angle bracket is not closed")
    pieces.append(text[start:].strip(LWS))
    return pieces


def parse_parameters(text: str, position: int = 0) -> Parameters:
    """*(SEMI generic-param) from `position` to the end; values keep their quotes.

    Raises SipParseError.
    """
    parameters: list[tuple[str, str | None]] = []
    end = len(text)
    while position < end and (match := _PARAMETER.match(text, position)):
        parameters.append((match[1], match[2]))
        position = match.end()
    if position < end and text[position:].strip(LWS):
        raise SipParseError("header parameters are malformed")
    check_unique(parameters)
    return tuple(parameters)


def check_unique(parameters: list[tuple[str, str | None]]) -> None:
    """Raise where a name comes twice (RFC 3261 §7.3.1): two readers might see two tags."""
    if len(parameters) > 1 and len({lower(name) for name, _ in parameters}) < len(parameters):
        raise SipParseError("a parameter comes twice")


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter without quotes; "" where it has none, None where it is absent."""
    wanted = lower(name)
    for candidate, value in parameters:
        if candidate == name or lower(candidate) == wanted:
            return "" if value is None else unquote(value)
    return None


def replace_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """`parameters` with one set, in its old place or at the end; quoted where it must be."""
    if value is not None and _PLAIN_VALUE.fullmatch(value) is None:
        value = quote(value)
    wanted = lower(name)
    if any(lower(candidate) == wanted for candidate, _ in parameters):
        return tuple(
            (name, value) if lower(old) == wanted else (old, kept) for old, kept in parameters
        )
    return (*parameters, (name, value))


def format_parameters(parameters: Parameters) -> str:
    """The wire form of what `parse_parameters` gave."""
    return "".join(
        f";{name}" if value is None else f";{name}={value}" for name, value in parameters
    )


def parse_host(text: str) -> str:
    """A host: lower case, IPv6 without its brackets and compressed, IPv4 without leading zeros.

    A name whose last label is a number but that is no IPv4 address is refused: a resolver would
    take `1234` for 0.0.4.210. Raises SipParseError.
    """
    if _HOST.fullmatch(text) is None:
        raise SipParseError("the host is malformed")
    if text.startswith("["):
        return _parse_ipv6(text[1:-1])
    labels = text.removesuffix(".").split(".")
    if not labels[-1].isdigit():
        return text.lower()
    if len(labels) != 4 or not all(label.isdigit() and len(label) <= 3 for label in labels):
        raise SipParseError("the host is neither a name nor an IPv4 address")
    octets = [int(label) for label in labels]
    if max(octets) > 255:
        raise SipParseError("the IPv4 address is out of range")
    return ".".join(map(str, octets))


def _parse_ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError as exc:
        raise SipParseError("the IPv6 address is malformed") from exc


def parse_address(text: str) -> str:
    """The value of `received`: a host, or an IPv6 address with or without brackets."""
    return _parse_ipv6(text) if ":" in text and not text.startswith("[") else parse_host(text)


def format_host(host: str, port: int | None = None) -> str:
    """`host[:port]`, with brackets around IPv6."""
    text = f"[{host}]" if ":" in host else host
    return text if port is None else f"{text}:{port}"
