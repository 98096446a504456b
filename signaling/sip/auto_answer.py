"""A caller's wish that the called telephone picks up by itself, read and written.

There is one RFC (5373, Answer-Mode) and the conventions that telephones really use: parameters of
Call-Info, and of Alert-Info (`alert-autoanswer` of Cisco and SIP.js, `Ring Answer` of Polycom).
"""

from __future__ import annotations

import re

from signaling.errors import SipParseError
from signaling.sip.grammar import LWS, find_parameter, lower, parse_parameters, split_values
from signaling.sip.message import Message

LONGEST_S = 60.0
"""No longer wait is asked for in earnest."""
RING_ANSWER_S = 2.0
"""What `ring-answer` means where it does not say: it rings, and is picked up."""

_AT_ONCE = frozenset({"alert-autoanswer", "auto-answer", "auto answer"})
_AFTER_RINGING = frozenset({"ring-answer", "ring answer"})
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


def answer_after_s(message: Message) -> float | None:
    """How many seconds the caller wants it to ring; None: no wish. Never raises.

    `Answer-Mode: Manual` says no, whatever else is there (RFC 5373 §4.2).
    """
    mode = lower((message.headers.get("Answer-Mode") or "").partition(";")[0].strip(LWS))
    if mode == "manual":
        return None
    wishes = [0.0] if mode == "auto" else []
    for line in message.headers.get_all("Call-Info"):
        wishes += [_seconds(text) for text in _parameters(line, "answer-after")]
    for line in message.headers.get_all("Alert-Info"):
        wishes += _alert_wishes(line)
    return max(wishes, default=None)


def ask_to_answer(after_s: float) -> tuple[tuple[str, str], ...]:
    """Header fields that ask a telephone to pick up by itself after so long."""
    seconds = f"{after_s:g}"
    headers = [
        ("Call-Info", f"<sip:endpoint.invalid>;answer-after={seconds}"),
        ("Alert-Info", f"<http://endpoint.invalid>;info=alert-autoanswer;delay={seconds}"),
    ]
    if after_s == 0:  # it knows no delay
        headers.append(("Answer-Mode", "Auto"))
    return tuple(headers)


def _alert_wishes(line: str) -> list[float]:
    words = [*_parameters(line, "info"), line.strip(LWS).strip('<>"')]
    found = {lower(word) for word in words}
    if found & _AT_ONCE:
        delays = [text for text in _parameters(line, "delay") if text]
        return [_seconds(delays[0]) if delays else 0.0]
    return [RING_ANSWER_S] if found & _AFTER_RINGING else []


def _parameters(line: str, name: str) -> list[str]:
    """The values of a parameter in a list of `<uri>;parameters`; what can't be read has none."""
    found = []
    try:
        for value in split_values(line):
            _, bracket, rest = value.partition(">")
            tail = rest if bracket else value[len(value.partition(";")[0]) :]
            text = find_parameter(parse_parameters(tail), name) if tail.strip(LWS) else None
            if text is not None:
                found.append(text)
    except SipParseError:
        return found
    return found


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_S) if _SECONDS.fullmatch(text) else 0.0
