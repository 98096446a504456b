"""SIP as it was on the wire, without its secrets: what a ladder and an export are made of."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from signaling.sip.flow import Flow

IpAddress: TypeAlias = IPv4Address | IPv6Address

MESSAGES_A_CALL: Final = 500
"""A call that says more, as one that is refreshed for days, keeps its latest."""

COST_OF_MESSAGE: Final = 500
COST_OF_CALL: Final = 1000
"""What keeping one takes beside its octets: many small ones must not take more than is allowed."""

# Anybody can send what these search. So no two repetitions that take the same octet follow each
# other: a line of spaces would be tried in all ways that there are to part it.
_CALL_ID: Final = re.compile(rb"^(?:call-id|i)[ \t]*:([^\r\n]*)", re.I | re.M)
_LWS: Final = rb"(?:[ \t]|\r?\n[ \t])*"
_SECRETS: Final = (
    # A digest can be guessed at leisure; the others are the secret itself.
    re.compile(rb"(?i)\b(?:response|rspauth|password)" + _LWS + b"=" + _LWS + rb'"?([^",\r\n]+)'),
    re.compile(rb"(?im)^(?:proxy-)?authorization[ \t]*:[ \t]*(?:basic|bearer)[ \t]+(\S+)"),
    re.compile(rb"(?i)\binline:([^|;\s]+)"),  # a=crypto may hold several (RFC 4568 §6.1)
    re.compile(rb"(?m)^a=ice-pwd:(\S+)"),
    re.compile(rb"(?im)^Signal[ \t]*=[ \t]*([0-9*#A-D]+)"),
)
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
    """The same, as long, with `x` for digests, keys, passwords and pressed digits."""
    found = [match.span(1) for pattern in _SECRETS for match in pattern.finditer(octets)]
    header, blank, body = octets.partition(b"\r\n\r\n")
    if _DTMF.search(header):
        found.append((len(header) + len(blank), len(header) + len(blank) + len(body)))
    if not found:
        return octets
    blotted = bytearray(octets)
    for start, end in found:
        blotted[start:end] = b"x" * (end - start)
    return bytes(blotted)


class TraceBook:
    """The latest messages by Call-ID; the call that was silent longest is forgotten first."""

    def __init__(self, most_octets: int) -> None:
        """Take at most so many octets of memory, roughly."""
        self._most_octets = most_octets
        self._octets = 0
        self._calls: OrderedDict[str, deque[TracedMessage]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<TraceBook {len(self._calls)} calls, {self._octets} octets>"

    def add(self, message: TracedMessage) -> None:
        """Keep a message; one without a Call-ID, as a keep-alive, belongs to no call."""
        match = _CALL_ID.search(message.octets)
        if match is None or COST_OF_CALL + _cost(message) > self._most_octets:
            return
        call_id = match[1].strip(b" \t").decode("utf-8", "replace")
        kept = self._calls.get(call_id)
        if kept is None:
            kept = self._calls[call_id] = deque()
            self._octets += COST_OF_CALL
        if len(kept) == MESSAGES_A_CALL:
            self._octets -= _cost(kept.popleft())
        kept.append(message)
        self._calls.move_to_end(call_id)
        self._octets += _cost(message)
        while self._octets > self._most_octets:
            _, forgotten = self._calls.popitem(last=False)
            self._octets -= COST_OF_CALL + sum(map(_cost, forgotten))

    def of(self, call_ids: Iterable[str]) -> list[TracedMessage]:
        """All that is kept of some calls, in order."""
        found = [message for id in dict.fromkeys(call_ids) for message in self._calls.get(id, ())]
        return sorted(found, key=lambda message: message.at)


def _cost(message: TracedMessage) -> int:
    return COST_OF_MESSAGE + len(message.octets)
