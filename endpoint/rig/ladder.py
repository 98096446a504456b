"""The SIP ladder of a call: who sent what to whom, in the order in which we saw it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from signaling.errors import SipParseError
from signaling.sip.message import Response, parse_message


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One SIP message on the wire, as the endpoint sent or received it."""

    at: float
    """Seconds on the endpoint's monotonic clock."""
    sent: bool
    """True: from the endpoint to the peer."""
    transport: str
    peer: str
    """`host:port` of the far end."""
    octets: bytes


@dataclass(frozen=True, slots=True)
class Rung:
    """One arrow of the ladder."""

    at: float
    sent: bool
    transport: str
    party: str
    label: str
    call_id: str


def rungs(trace: Iterable[TracedMessage], name_of: Callable[[str], str] = str) -> list[Rung]:
    """The arrows of a trace.

    `name_of` gives the party behind a `host:port`. What is no SIP message is left out.
    """
    found = []
    for message in trace:
        try:
            parsed = parse_message(message.octets)
        except SipParseError:
            continue
        if isinstance(parsed, Response):
            label = f"{parsed.status} {parsed.reason} ({parsed.cseq.method})"
        else:
            label = parsed.cseq.method
        if parsed.body:
            label += f" [{_direction(parsed.body)}]"
        found.append(
            Rung(
                message.at,
                message.sent,
                message.transport,
                name_of(message.peer),
                label,
                parsed.call_id,
            )
        )
    return found


def _direction(body: bytes) -> str:
    for direction in ("sendrecv", "sendonly", "recvonly", "inactive"):
        if f"a={direction}".encode() in body:
            return f"sdp {direction}"
    return "sdp" if body.startswith(b"v=0") else "body"


def draw(
    ladder: Sequence[Rung], parties: Sequence[str], *, centre: str = "endpoint", width: int = 34
) -> list[str]:
    """The ladder as text, a line an arrow.

    The endpoint stands between the first party and the others.
    """
    if not ladder:
        return []
    columns = [*parties[:1], centre, *parties[1:]]
    at = {name: index * width for index, name in enumerate(columns)}
    heads = [" "] * (width * (len(columns) - 1) + len(columns[-1]) + 1)
    for name in columns:
        heads[at[name] : at[name] + len(name)] = name
    lines = [" " * 9 + "".join(heads).rstrip()]
    start = ladder[0].at
    for rung in ladder:
        if rung.party not in at:
            continue
        left, right = sorted((at[rung.party], at[centre]))
        towards_right = (at[rung.party] > at[centre]) == rung.sent
        room = right - left - 3
        label = f" {rung.label} "[:room]
        shaft = label.center(room, "─")
        arrow = f"{shaft}─▶" if towards_right else f"◀─{shaft}"
        row = [
            "│" if any(position == column for column in at.values()) else " "
            for position in range(len(heads))
        ]
        row[left + 1 : right] = arrow
        lines.append(f"{rung.at - start:7.3f}  " + "".join(row).rstrip())
    return lines
