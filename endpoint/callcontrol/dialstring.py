"""Dial strings: a number, and the extension to dial behind it (seed 000 §1.8).

`trunk-[W|w]extension`: one dash; each `W` waits 1 s and each `w` half a second, counted from the
answer; then the extension is sent as DTMF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from endpoint.callcontrol.model import PostDial
from endpoint.errors import DialStringError
from endpoint.legs.base import DeviceId

PAUSES_S = {"W": 1.0, "w": 0.5}
DIGITS = frozenset("0123456789*#ABCD")
"""What DTMF can say (RFC 4733 §3.2)."""

_NUMBER = re.compile(r"\+?[A-Za-z0-9_.*#]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class DialString:
    """What to call, and what to send when it is answered."""

    number: DeviceId
    """The number or device."""
    post_dial: PostDial | None = None
    """The extension behind it, if any."""


def parse_dial_string(text: str) -> DialString:
    """Understand a dial string.

    Raises: DialStringError. Its text never repeats the digits after the dash.
    """
    number, dash, extension = text.partition("-")
    if not number:
        raise DialStringError("empty_number", "the dial string has no number")
    if "-" in extension:
        raise DialStringError("two_dashes", "a dial string has one dash at most: number-extension")
    if not _NUMBER.match(number):
        raise DialStringError("bad_character", f"{number!r} is not a number or a device")
    if not dash:
        return DialString(DeviceId(number))
    digits = extension.lstrip("Ww")
    if not digits:
        raise DialStringError("empty_extension", f"no extension follows the dash after {number}")
    if "W" in digits or "w" in digits:
        raise DialStringError(
            "pause_after_digits", "W and w stand between the dash and the extension only"
        )
    if not set(digits) <= DIGITS:
        raise DialStringError("bad_character", "an extension is made of 0-9, *, # and A-D")
    pause_s = sum(PAUSES_S[each] for each in extension[: len(extension) - len(digits)])
    return DialString(DeviceId(number), PostDial(pause_s, digits))
