"""Numbers on their way to a line or from it: which pattern takes one, and what becomes of it.

Where a number goes is the dial plan's to say, of which the legs know `Numbering` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from endpoint.legs.base import CAUSES, Cause, DeviceId

_REMOTE = "RP_"
_LITERAL = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
_PIECE = re.compile(r"\[(?P<set>[A-Za-z0-9+*#_.-]+)\]|(?P<one>[A-Za-z0-9_+*#-])")
_CLASSES = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}
_TAILS = {".": ".+", "!": ".*", "": ""}

TELEPHONE_NUMBER = re.compile(r"[0-9+*#.()/ -]*[0-9][0-9+*#.()/ -]*")
"""What people write for a number, with what they put between its digits."""
_BETWEEN_DIGITS = str.maketrans("", "", ".()/ -")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which numbers are meant. Raises ValueError for text that is none.

    `0800123` one number, `0*` all that begin so (`*` all there are). After `_` single places may be
    left open, as dial plans have it: `X` is a digit, `Z` one of 1-9, `N` one of 2-9, `[15-7]` one
    of those; at the end `.` is one character or more, and `!` none or more.
    """

    text: str
    """As it was written."""

    def __post_init__(self) -> None:
        """Refuse what can't be read."""
        _read(self.text)

    def __str__(self) -> str:
        return self.text

    def takes(self, number: str) -> bool:
        """Whether a number is meant."""
        return _compiled(self.text, 0, "").fullmatch(number) is not None


@lru_cache(4096)
def _read(text: str) -> tuple[tuple[str, ...], str]:
    """An expression for each place, and one for what follows. Raises ValueError."""
    if text == "*" or (not text.startswith("_") and text.endswith("*") and len(text) > 1):
        # A key `*` that is dialled is no pattern: the last character of one alone is.
        beginning, tail = text[:-1], "!"
        if beginning and not _LITERAL.fullmatch(beginning):
            raise ValueError(f"found {text!r}, expected a number, or its beginning and *")
        return tuple(map(re.escape, beginning)), _TAILS[tail]
    if not text.startswith("_"):
        if not _LITERAL.fullmatch(text):
            raise ValueError(
                f"found {text!r}, expected a number, its beginning and *, or _ and a pattern"
            )
        return tuple(map(re.escape, text)), ""
    body, tail = (text[1:-1], text[-1]) if text[-1:] in (".", "!") else (text[1:], "")
    places: list[str] = []
    at = 0
    while at < len(body):
        piece = _PIECE.match(body, at)
        if piece is None:
            raise ValueError(
                f"found {body[at]!r} in {text!r}, expected digits, X, Z, N, [2-9], + * #, "
                "and . or ! at the end alone"
            )
        at = piece.end()
        if (one := piece["one"]) is not None:
            places.append(_CLASSES.get(one) or re.escape(one))
            continue
        places.append("[" + re.sub(r"([+*#_.])", r"\\\1", piece["set"]) + "]")
        try:
            re.compile(places[-1])
        except re.error:
            raise ValueError(f"found [{piece['set']}] in {text!r}, expected as [2-9]") from None
    if not (places or tail) or len(places) > 64:
        raise ValueError(f"found {text!r}, expected _ and 1 to 64 places, as _0X.")
    return tuple(places), _TAILS[tail]


@lru_cache(4096)
def _compiled(text: str, strip: int, add: str) -> re.Pattern[str]:
    """For the numbers that a pattern takes, after so many places were taken off and those added."""
    places, tail = _read(text)
    if strip > len(places) and tail:
        tail = ".*"
    return re.compile(re.escape(add) + "".join(places[strip:]) + tail, re.DOTALL)


@dataclass(frozen=True, slots=True)
class NumberRule:
    """Takes a number, or all that are alike."""

    match: str
    """Which: see `Pattern`."""
    strip: int = 0
    """So many characters are taken off its beginning,"""
    add: str = ""
    """and these put there."""
    to: str = ""
    """What it becomes, whatever it was; then `strip` and `add` are of no use."""

    def takes(self, number: str) -> bool:
        """Whether the rule is for this number."""
        return matches(number, self.match)

    def rewrite(self, number: str) -> str:
        """What becomes of a number that it takes."""
        return self.to or self.add + number[self.strip :]

    def makes(self, number: str) -> bool:
        """Whether a number may be what became of one that it takes."""
        if self.to:
            return number == self.to
        return _compiled(self.match, self.strip, self.add).fullmatch(number) is not None


@dataclass(frozen=True, slots=True)
class TrunkNumbers:
    """What the configuration says of numbers and one trunk: the last rules of the plan."""

    trunk: str
    outgoing: tuple[NumberRule, ...] = ()
    """Which it takes, and how they are dialled there; the first that takes one counts."""
    incoming: tuple[NumberRule, ...] = ()
    """Which of its own mean which devices."""


@dataclass(frozen=True, slots=True)
class Course:
    """A trunk that a number may go by."""

    trunk: str
    number: str
    """How it is dialled there."""
    rules: tuple[NumberRule, ...] = ()
    """Which made it so: to no other number may a 3xx lead."""
    shown: str = ""
    """The caller's number that is shown; empty: the trunk's own for him."""
    location: str = ""
    """Where the caller is, for an emergency: a URI (RFC 6442)."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a number is reached: by a device of ours, by the caller's account, or by trunks."""

    device: DeviceId | None = None
    """The plan means this device of ours by the number."""
    by_account: bool = False
    """The caller has an account, whose server takes the number; in an emergency after trunks."""
    courses: tuple[Course, ...] = ()
    """Trunks, in the order in which they are tried."""
    emergency: bool = False
    """No limit applies, and trunks are tried that seem to be down."""


@dataclass(frozen=True, slots=True)
class NumberRefused:
    """Why a number leads nowhere."""

    cause: Cause
    text: str
    """For a person."""
    by_rule: bool = True
    """The plan refuses it; else nobody knows it."""

    @property
    def answer(self) -> tuple[int, int | None]:
        """What a caller from outside is told: SIP status, and Q.850 where it is our will."""
        codes = CAUSES[self.cause]
        return codes.sip_status, codes.q850 if self.by_rule else None


class Numbering(Protocol):
    """The dial plan, as the legs know it: it alone says where a number goes."""

    def outgoing(
        self, number: str, calling: DeviceId, *, by_account: bool = False
    ) -> Ways | NumberRefused:
        """Where a number goes that is no device's. `by_account`: the caller has an account."""

    def incoming(self, trunk: str, number: str, calling: str) -> DeviceId | NumberRefused:
        """Whom a trunk's call is for."""

    def premium(self, number: str) -> str:
        """Why a number, as it is sent to a line, is not to be called; empty where it may be."""


class Nowhere:
    """The plan of who has no trunks."""

    def outgoing(
        self, number: str, calling: DeviceId, *, by_account: bool = False
    ) -> Ways | NumberRefused:
        """See `Numbering`."""
        if by_account:
            return Ways(by_account=True)
        return NumberRefused(Cause.UNKNOWN_DEVICE, f"nobody knows {number}", by_rule=False)

    def incoming(self, trunk: str, number: str, calling: str) -> DeviceId | NumberRefused:
        """See `Numbering`."""
        return NumberRefused(Cause.UNKNOWN_DEVICE, f"nobody knows {number}", by_rule=False)

    def premium(self, number: str) -> str:
        """See `Numbering`."""
        return ""


def telephone_of(device: DeviceId) -> DeviceId | None:
    """The telephone of a remote agent (`RP_` and its number, as it is dialled); else None."""
    number = device.removeprefix(_REMOTE)
    return DeviceId(number) if number not in ("", device) else None


def canonical(number: str) -> str:
    """A telephone number without what people put between its digits; a name as it is."""
    return number.translate(_BETWEEN_DIGITS) if TELEPHONE_NUMBER.fullmatch(number) else number


def matches(number: str, pattern: str) -> bool:
    """Whether a pattern is for a number: see `Pattern`."""
    return _compiled(pattern, 0, "").fullmatch(number) is not None


def rewrite(number: str, rules: Iterable[NumberRule]) -> str | None:
    """What the first rule that takes a number makes of it; None: none does, or nothing stays."""
    for rule in rules:
        if rule.takes(number):
            return rule.rewrite(number) or None
    return None
