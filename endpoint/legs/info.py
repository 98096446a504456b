"""What the body of an INFO may hold: DTMF, in the two forms of the field, or ICE candidates."""

from __future__ import annotations

import re
from enum import StrEnum

from signaling.sdp.ice import FRAGMENT_CONTENT_TYPE

TRICKLE_ICE = "trickle-ice"
"""An option tag and an INFO package (RFC 8840 §10, §11)."""
TRICKLE_HEADERS = (("Info-Package", TRICKLE_ICE), ("Content-Disposition", "Info-Package"))
"""Of an INFO that brings candidates (RFC 6086 §5.2.1)."""
DIGITS = "0123456789*#ABCD"
DEFAULT_DURATION_MS = 250
SENT_DURATION_MS = 160
"""What we say of digits that we send: nobody has pressed them for any time."""
MAX_DURATION_MS = 60_000

_RELAY_LINE = re.compile(r"\s*([A-Za-z]+)\s*[=:]\s*(\S+)\s*")
_NUMBERED = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


class InfoForm(StrEnum):
    """How a digit is written."""

    RELAY = "application/dtmf-relay"
    """With its duration."""
    BARE = "application/dtmf"
    """Alone."""

    @property
    def other(self) -> InfoForm:
        """For a far end that does not know this one."""
        return InfoForm.BARE if self is InfoForm.RELAY else InfoForm.RELAY


def is_fragment(content_type: str) -> bool:
    """The INFO brings ICE candidates (RFC 8840 §9)."""
    return content_type.partition(";")[0].strip().lower() == FRAGMENT_CONTENT_TYPE


def format_info_digit(digit: str, form: InfoForm) -> tuple[str, bytes]:
    """Content type and body of an INFO that brings a digit."""
    match form:
        case InfoForm.RELAY:
            return form, f"Signal={digit}\r\nDuration={SENT_DURATION_MS}\r\n".encode()
        case InfoForm.BARE:
            return form, digit.encode()


def parse_info_digit(content_type: str, body: bytes) -> tuple[str, int] | None:
    """The digit and its duration in ms, or None where the INFO holds none.

    `application/dtmf-relay` is lines of `Signal=5` and `Duration=160`; `application/dtmf` is the
    bare digit.
    """
    kind = content_type.partition(";")[0].strip().lower()
    text = body[:200].decode("ascii", "replace")
    if kind == "application/dtmf":
        digit = _digit(text.strip())
        return None if digit is None else (digit, DEFAULT_DURATION_MS)
    if kind != "application/dtmf-relay":
        return None
    fields = {}
    for line in text.replace("\r", "\n").split("\n"):
        match = _RELAY_LINE.fullmatch(line)
        if match is not None:
            fields[match[1].lower()] = match[2]
    digit = _digit(fields.get("signal", ""))
    if digit is None:
        return None
    duration = fields.get("duration", "")
    if not (duration.isascii() and duration.isdigit() and len(duration) <= 6):
        return digit, DEFAULT_DURATION_MS
    return digit, min(int(duration), MAX_DURATION_MS)


def _digit(text: str) -> str | None:
    found = _NUMBERED.get(text, text.upper())
    return found if len(found) == 1 and found in DIGITS else None
