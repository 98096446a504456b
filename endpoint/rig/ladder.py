"""The SIP ladder of a call: who sent what to whom, in the order in which we saw it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from signaling.errors import SipParseError
from signaling.sip.message import Response, parse_message
from signaling.sip.trace import TracedMessage

_LONGEST: Final = 60
"""Characters of a label; what a far end says more is cut."""
_SCREEN: Final = 80
"""Columns of a terminal, that a ladder is made to fit where it can."""
_TIME: Final = 9
"""Columns before the ladder."""
_NARROWEST: Final = 24
"""Columns between two of those who talk, at least."""
_SHAFT: Final = 7
"""Columns that an arrow takes beside its label."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One arrow of the ladder."""

    message: TracedMessage
    party: str
    label: str
    call_id: str = ""
    is_refusal: bool = False
    """A final response that is not 2xx, nor a challenge."""

    @property
    def at(self) -> float:
        """Seconds, by the clock of the trace."""
        return self.message.at

    @property
    def sent(self) -> bool:
        """True: from the endpoint to the party."""
        return self.message.sent


def rungs(trace: Iterable[TracedMessage], name_of: Callable[[str, str], str]) -> list[Rung]:
    """The arrows of a trace, keep-alives left out.

    `name_of` gives the party behind a `host:port` in a SIP call, by its Call-ID.
    """
    return [_rung(message, name_of) for message in trace if message.octets.strip()]


def _rung(message: TracedMessage, name_of: Callable[[str, str], str]) -> Rung:
    try:
        parsed = parse_message(message.octets)
    except SipParseError as error:
        return Rung(message, name_of(message.peer, ""), f"malformed: {error}", is_refusal=True)
    if isinstance(parsed, Response):
        label = f"{parsed.status} {parsed.reason} ({parsed.cseq.method})"
        refuses = parsed.status >= 300 and parsed.status not in (401, 407)
    else:
        label, refuses = parsed.cseq.method, False
    if parsed.body:
        label += f" [{_direction(parsed.body)}]"
    party = name_of(message.peer, parsed.call_id)
    return Rung(message, party, label, parsed.call_id, refuses)


def _direction(body: bytes) -> str:
    for direction in ("sendrecv", "sendonly", "recvonly", "inactive"):
        if f"a={direction}".encode() in body:
            return f"sdp {direction}"
    return "sdp" if body.startswith(b"v=0") else "body"


def _fitted(label: str, room: int) -> str:
    return label if len(label) <= room else f"{label[: room - 1]}…"


CENTRE: Final = "endpoint"
"""What stands between the first party and the others."""


def draw(ladder: Sequence[Rung], parties: Sequence[str]) -> list[str]:
    """The ladder as text, a line an arrow.

    The endpoint stands between the first party and the others, as far away as the longest label
    takes.
    """
    if not ladder:
        return []
    columns = [*parties[:1], CENTRE, *parties[1:]]
    labels = {rung.label: rung.label for rung in ladder if rung.party in parties}
    each = (_SCREEN - _TIME - len(columns[-1])) // max(1, len(columns) - 1)
    if max(map(len, labels)) + _SHAFT > each:
        # What a description asks for is said with "sdp" or without.
        labels = {label: label.replace("[sdp ", "[") for label in labels}
    longest = max(map(len, labels.values()))
    width = max(_NARROWEST, min(longest, _LONGEST) + _SHAFT)
    at = {name: index * width for index, name in enumerate(columns)}
    heads = [" "] * (width * (len(columns) - 1) + len(columns[-1]) + 1)
    for name in columns:
        heads[at[name] : at[name] + len(name)] = name
    lines = [" " * _TIME + "".join(heads).rstrip()]
    start = ladder[0].at
    for rung in ladder:
        if rung.party not in at:
            continue
        left, right = sorted((at[rung.party], at[CENTRE]))
        towards_right = (at[rung.party] > at[CENTRE]) == rung.sent
        room = right - left - 3
        label = f" {_fitted(labels[rung.label], room - 4)} "
        shaft = label.center(room, "─")
        arrow = f"{shaft}─▶" if towards_right else f"◀─{shaft}"
        row = [
            "│" if any(position == column for column in at.values()) else " "
            for position in range(len(heads))
        ]
        row[left + 1 : right] = arrow
        lines.append(f"{rung.at - start:7.3f}  " + "".join(row).rstrip())
    return lines
