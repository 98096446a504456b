"""Who calls, and who was called first, as a network says it beside From and To.

P-Asserted-Identity and P-Preferred-Identity (RFC 3325), Privacy (RFC 3323), Remote-Party-ID
(draft-ietf-sip-privacy-04, still in the field), Diversion (RFC 5806), History-Info (RFC 7044). All
but Privacy are worth as much as who sent them: they are for those that the operator trusts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote

from signaling.errors import SipParseError
from signaling.sip.fields import Headers
from signaling.sip.grammar import find_parameter, legible, lower, split_values
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request
from signaling.sip.uri import Uri

T = TypeVar("T")

ANONYMOUS = NameAddr("Anonymous", Uri("sip", "anonymous", host="anonymous.invalid"))
"""From of a caller who does not want to be known (RFC 3323 §4.1.1.3)."""
_WITHHOLDING = frozenset({"id", "user"})
"""`header` and `session` are kept in any case: Via, Contact and media of ours tell nothing."""
_INDEX = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*+")
_CONTEXT = re.compile(r";phone-context=(\+[0-9.()-]+)(?=;|\Z)", re.IGNORECASE)
_LOCAL = re.compile(r"[0-9.()-]+")
_SEPARATORS = str.maketrans("", "", "-.()")
"""Of a number in a tel URI (RFC 3966 §5.1.1)."""


class Claim(StrEnum):
    """How the number to show is said to the far end."""

    ASSERTED = "asserted"
    """P-Asserted-Identity: the far end trusts us to know who calls."""
    PREFERRED = "preferred"
    """P-Preferred-Identity: the far end knows who we are, and chooses among our numbers."""
    NONE = "none"
    """In From alone: the far end is not trusted, and is told nothing that it must not pass on."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    address: NameAddr
    """As the network asserts it where it is believed, else as From says."""
    is_withheld: bool
    """It is not to be shown to the called one."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """A call that was meant for somebody else."""

    first_called: Uri
    """Whom the caller dialled."""
    last: Uri
    """Who sent the call on to us."""


def number_of(uri: Uri) -> str:
    """What is dialled to reach a SIP or tel URI: its user or number; empty where it has none.

    What follows `;` in the user part are parameters of a number (RFC 3261 §19.1.6). One that is
    told with the country that it is of (`phone-context=+49`) is whole with that (RFC 3966 §5.1.4).
    """
    if uri.is_sip:
        number, _, parameters = legible(uri.user or "").partition(";")
    elif uri.scheme == "tel":
        number, _, parameters = legible(unquote(uri.opaque)).partition(";")
        number = number.translate(_SEPARATORS)
    else:
        return ""
    context = _CONTEXT.search(";" + parameters)
    if context is not None and _LOCAL.fullmatch(number):
        return context[1].translate(_SEPARATORS) + number
    return number


def privacy_of(headers: Headers) -> frozenset[str]:
    """The values of Privacy, in lower case (RFC 3323 §4.2); what is between `;` is one."""
    lines = headers.get_all("Privacy")
    return frozenset(lower(word.strip()) for line in lines for word in line.split(";")) - {""}


def caller_of(request: Request, *, trusted: bool) -> Caller:
    """Who sent an INVITE. Never raises: an identity that can't be read was not sent.

    A caller from who is not trusted is who From says; whether he is withheld counts in any case.
    """
    privacy, from_ = privacy_of(request.headers), request.from_
    withheld = bool(privacy & _WITHHOLDING)
    if lower(from_.uri.host) == ANONYMOUS.uri.host or lower(from_.uri.user or "") == "anonymous":
        withheld = withheld or "none" not in privacy
    if not trusted:
        return Caller(from_, withheld)
    asserted = _first_telling(_addresses(request.headers, "P-Asserted-Identity"))
    if asserted is not None:
        return Caller(asserted, withheld)
    for party in _addresses(request.headers, "Remote-Party-ID"):
        if lower(find_parameter(party.parameters, "party") or "calling") != "calling":
            continue
        hides = lower(find_parameter(party.parameters, "privacy") or "off") in ("full", "uri")
        return Caller(NameAddr(party.display_name, party.uri), withheld or hides)
    return Caller(from_, withheld)


def identity_headers(
    shown: NameAddr, claim: Claim, *, withheld: bool
) -> tuple[tuple[str, str], ...]:
    """What an INVITE says of its caller beside From."""
    headers: list[tuple[str, str]] = []
    match claim:
        case Claim.ASSERTED:
            headers.append(("P-Asserted-Identity", str(shown)))
        case Claim.PREFERRED:
            headers.append(("P-Preferred-Identity", str(shown)))
        case Claim.NONE:
            pass
    if withheld:
        headers.append(("Privacy", "id"))
    return tuple(headers)


def redirection_of(headers: Headers) -> Redirection | None:
    """Whom a call was for before it was sent on to us; None where it was for us.

    History-Info says more and goes first. What can't be read was not sent.
    """
    return _from_history(headers) or _from_diversion(headers)


def _from_diversion(headers: Headers) -> Redirection | None:
    """The newest stands on top (RFC 5806 §5)."""
    diverting = [_hidden(each, "privacy") for each in _addresses(headers, "Diversion")]
    return Redirection(diverting[-1], diverting[0]) if diverting else None


def _from_history(headers: Headers) -> Redirection | None:
    """Targets by their index; the last is where the call is now (RFC 7044 §5)."""
    targets: dict[str, NameAddr] = {}
    for entry in _addresses(headers, "History-Info"):
        index = find_parameter(entry.parameters, "index") or ""
        if _INDEX.fullmatch(index):
            targets.setdefault(index, entry)
    order = sorted(targets, key=lambda index: [int(part) for part in index.split(".")])
    if len(order) < 2:
        return None
    first, now = targets[order[0]], targets[order[-1]]
    # rc and mp name the target that was changed into this one (§10.1); a plain proxy says neither.
    cause = find_parameter(now.parameters, "rc") or find_parameter(now.parameters, "mp")
    before = targets.get(cause or "", targets[order[-2]])
    if number_of(before.uri) == number_of(now.uri):
        return None
    return Redirection(_hidden(first, "privacy"), _hidden(before, "privacy"))


def _hidden(entry: NameAddr, parameter: str) -> Uri:
    """The URI, without the headers that it holds; anonymous where the entry asks for that."""
    said = find_parameter(entry.parameters, parameter) or ""
    in_uri = [value for name, value in entry.uri.headers if lower(name) == "privacy"]
    if lower(said) in ("full", "uri") or any(lower(value) != "none" for value in in_uri):
        return ANONYMOUS.uri
    return entry.uri.without_parameters() if entry.uri.is_sip else entry.uri


def _first_telling(addresses: Iterable[NameAddr]) -> NameAddr | None:
    """Of a SIP and a tel URI that say the same (RFC 3325 §9.1), the one with a number."""
    told = list(addresses)
    return next((each for each in told if number_of(each.uri)), None)


def _addresses(headers: Headers, name: str) -> list[NameAddr]:
    found: list[NameAddr] = []
    for line in headers.get_all(name):
        for text in _readable(split_values, line) or []:
            address = _readable(NameAddr.parse, text)
            if address is not None:
                found.append(address)
    return found


def _readable(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except SipParseError:
        return None
