"""SIP as it was on the wire, without its secrets: what a ladder and an export are made of."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from signaling.sip.flow import Flow

IpAddress: TypeAlias = IPv4Address | IPv6Address

MESSAGES_A_CALL: Final = 500
"""A call that says more, as one that is refreshed for days, keeps its latest."""
CALL_SHARE: Final = 4
"""So does one that takes more than this part of the memory."""
OTHERS_SHARE: Final = 8
"""The part of the memory for what belongs to no call: anybody can send that."""

COST_OF_MESSAGE: Final = 500
COST_OF_CALL: Final = 1000
"""What keeping one takes beside its octets: many small ones must not take more than is allowed."""

# Anybody can send what these search. So no two repetitions that take the same octet follow each
# other: a line of spaces would be tried in all ways that there are to part it.
_CALL_ID: Final = re.compile(rb"^(?:call-id|i)[ \t]*:([^\r\n]*)", re.I | re.M)
# Nobody but who was let in is told that it rings.
_LETS_IN: Final = re.compile(rb"SIP/2\.0 (?:10[1-9]|1[1-9][0-9]|2[0-9][0-9]) ")
_CSEQ_OF_INVITE: Final = re.compile(rb"^cseq:[ \t]*[0-9]+[ \t]+INVITE[ \t]*\r?$", re.I | re.M)
_LWS: Final = rb"(?:[ \t]|\r?\n[ \t])*"
_SECRETS: Final = (
    # A digest can be guessed at leisure; the others are the secret itself.
    re.compile(rb"(?i)\b(?:response|rspauth|password)" + _LWS + b"=" + _LWS + rb'"?([^",\r\n]+)'),
    re.compile(rb"(?im)^(?:proxy-)?authorization[ \t]*:[ \t]*(?:basic|bearer)[ \t]+(\S+)"),
    re.compile(rb"(?i)\binline:([^|;\s]+)"),  # a=crypto may hold several (RFC 4568 §6.1)
    re.compile(rb"(?m)^a=ice-pwd:(\S+)"),
    re.compile(rb"(?im)^Signal[ \t]*=[ \t]*([0-9*#A-D]+)"),
)
_BETWEEN_URIS: Final = re.compile(rb"[\s<>\"]")
_SCHEME: Final = re.compile(rb"(?i)\b(?:sips?:|https?://)")
_DTMF: Final = re.compile(rb"(?im)^(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*\r?$")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One SIP message, as we sent or received it."""

    at: float
    """Seconds, by the clock of whoever traced it."""
    sent: bool
    """True: from us to the far end."""
    flow: Flow
    octets: bytes
    local: tuple[str, int] | None = None
    """Our address and port; None where the transport does not tell them."""

    @property
    def transport(self) -> str:
        """What carried it, as `UDP` or `WSS`."""
        return str(self.flow.transport)

    @property
    def peer(self) -> str:
        """`host:port` of the far end."""
        host = f"[{self.flow.host}]" if ":" in self.flow.host else self.flow.host
        return f"{host}:{self.flow.port}"

    @property
    def way(self) -> tuple[tuple[IpAddress, int], tuple[IpAddress, int]]:
        """Address and port of who sent and who received it, both of one family.

        What is not known, as the far end of a name, is the unspecified address.
        """
        far = _numeric(self.flow.host) or IPv4Address(0)
        host, port = self.local or ("", 0)
        near = _numeric(host)
        if near is None or near.version != far.version:
            near = type(far)(0)
        ends = (near, port), (far, self.flow.port)
        return ends if self.sent else ends[::-1]


def _numeric(host: str) -> IpAddress | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def without_secrets(octets: bytes) -> bytes:
    """The same, as long, with `x` for digests, keys, passwords, pressed digits and texts."""
    found = [match.span(1) for pattern in _SECRETS for match in pattern.finditer(octets)]
    found += _passwords(octets)
    begin = len(octets) - len(octets.lstrip(b"\r\n"))
    end = octets.find(b"\r\n\r\n", begin)
    if end >= 0 and (octets.startswith(b"MESSAGE ", begin) or _DTMF.search(octets, begin, end)):
        found.append((end + 4, len(octets)))
    if not found:
        return octets
    blotted = bytearray(octets)
    for start, end in found:
        blotted[start:end] = b"x" * (end - start)
    return bytes(blotted)


def _passwords(octets: bytes) -> Iterable[tuple[int, int]]:
    """Where those of URIs are: between a colon and an `@`."""
    end = -1
    for part in octets.split(b"@")[:-1]:
        end += 1 + len(part)
        _, *named = _SCHEME.split(_BETWEEN_URIS.split(part)[-1])
        if named:  # else it may be a Call-ID
            _, _, password = named[-1].partition(b":")
            yield end - len(password), end


class TraceBook:
    """The latest messages by Call-ID; the call that was silent longest is forgotten first.

    A call is one that we have sent an INVITE in, or have let ring. All else has a small part of the
    memory: strangers push out each other, and no call.
    """

    def __init__(self, most_octets: int) -> None:
        """Take at most so many octets of memory, roughly."""
        others = most_octets // OTHERS_SHARE
        self._calls = _Shelf(most_octets - others)
        self._others = _Shelf(others)

    def __repr__(self) -> str:
        return f"<TraceBook {self._calls}, {self._others} of no call>"

    def add(self, message: TracedMessage) -> None:
        """Keep a message; one without a Call-ID, as a keep-alive, belongs nowhere."""
        match = _CALL_ID.search(message.octets)
        if match is None:
            return
        call_id = match[1].strip(b" \t").decode("utf-8", "replace")
        if call_id not in self._calls and not _shows_a_call(message):
            self._others.add(call_id, message)
            return
        for each in (*self._others.take(call_id), message):
            self._calls.add(call_id, each)

    def of(self, call_ids: Iterable[str]) -> list[TracedMessage]:
        """All that is kept of some calls, in order."""
        shelves = (self._others, self._calls)
        ids = dict.fromkeys(call_ids)
        found = [message for id in ids for shelf in shelves for message in shelf.of(id)]
        return sorted(found, key=lambda message: message.at)


@dataclass(slots=True)
class _Kept:
    messages: deque[TracedMessage] = field(default_factory=deque)
    cost: int = COST_OF_CALL


class _Shelf:
    """Messages by Call-ID in so many octets."""

    def __init__(self, most_octets: int) -> None:
        self._most_octets = most_octets
        self._octets = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def __repr__(self) -> str:
        return f"{len(self._kept)} in {self._octets} octets"

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._kept

    def add(self, call_id: str, message: TracedMessage) -> None:
        """Keep a message, at the cost of older ones; one that is too large is not kept."""
        if COST_OF_CALL + _cost(message) > self._most_octets:
            return
        kept = self._pop(call_id) or _Kept()
        kept.messages.append(message)
        kept.cost += _cost(message)
        most = self._most_octets // CALL_SHARE
        while len(kept.messages) > MESSAGES_A_CALL or (kept.cost > most and len(kept.messages) > 1):
            kept.cost -= _cost(kept.messages.popleft())
        self._kept[call_id] = kept
        self._octets += kept.cost
        while self._octets > self._most_octets:
            _, forgotten = self._kept.popitem(last=False)
            self._octets -= forgotten.cost

    def take(self, call_id: str) -> Iterable[TracedMessage]:
        """What is kept of a call, which is kept here no more."""
        kept = self._pop(call_id)
        return () if kept is None else kept.messages

    def of(self, call_id: str) -> Iterable[TracedMessage]:
        """What is kept of a call."""
        kept = self._kept.get(call_id)
        return () if kept is None else kept.messages

    def _pop(self, call_id: str) -> _Kept | None:
        kept = self._kept.pop(call_id, None)
        if kept is not None:
            self._octets -= kept.cost
        return kept


def _shows_a_call(message: TracedMessage) -> bool:
    """Whether we send an INVITE, or answer one that is let in."""
    octets = message.octets
    if not message.sent or octets.startswith(b"INVITE "):
        return message.sent
    return _LETS_IN.match(octets) is not None and _CSEQ_OF_INVITE.search(octets) is not None


def _cost(message: TracedMessage) -> int:
    return COST_OF_MESSAGE + len(message.octets)
