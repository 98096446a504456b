"""The Reason header field (RFC 3326; in responses RFC 6432)."""

from __future__ import annotations

from collections.abc import Iterable

from signaling.errors import SipParseError
from signaling.sip.fields import Headers
from signaling.sip.grammar import (
    find_parameter,
    is_token,
    lower,
    parse_number,
    parse_parameters,
    split_values,
)


def format_reason(cause: int) -> str:
    """`Q.850;cause=16`."""
    return f"Q.850;cause={cause}"


def parse_reasons(lines: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Protocol, in lower case, to (cause, text). What can't be read is left out: never raises."""
    reasons: dict[str, tuple[int, str]] = {}
    for line in lines:
        try:
            values = split_values(line)
        except SipParseError:
            continue
        for value in values:
            protocol, semicolon, rest = value.partition(";")
            protocol = lower(protocol.strip())
            if not is_token(protocol):
                continue
            try:
                parameters = parse_parameters(semicolon + rest)
                cause = parse_number(find_parameter(parameters, "cause") or "", 999, "the cause")
            except SipParseError:
                continue
            reasons.setdefault(protocol, (cause, find_parameter(parameters, "text") or ""))
    return reasons


def q850_of(headers: Headers) -> int | None:
    """The Q.850 cause that a message names; None where it names none, or one over 127."""
    cause, _ = parse_reasons(headers.get_all("Reason")).get("q.850", (None, ""))
    return cause if cause is not None and cause < 128 else None
