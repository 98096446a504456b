"""Numbers on their way to a line or from it: which pattern takes one, and what becomes of it.

Where a number goes is the dial plan's to say, of which the legs know `Numbering` alone.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from endpoint.legs.base import CAUSES, Cause, DeviceId

_REMOTE = "RP_"
_LITERAL = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
_PIECE = re.compile(r"\[(?P<set>[A-Za-z0-9+*#_.-]+)\]|(?P<one>[A-Za-z0-9_+*#-])")
_CLASSES = {"X": "0123456789", "Z": "123456789", "N": "23456789"}
_TAILS = {".": 1, "!": 0}
_MOST_READ = 1 << 16
"""Patterns that stay read: more than a plan of `MOST_RULES` has, or each number would read all."""

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
        return _read(self.text).takes(number)


@dataclass(frozen=True, slots=True)
class _Places:
    """A pattern that was read. Compared by hand: an expression would take far longer to make."""

    places: tuple[str, ...]
    """What may stand at each,"""
    least: int | None = None
    """and how many characters follow at least; None: nothing follows."""

    def takes(self, number: str) -> bool:
        over = len(number) - len(self.places)
        if over < (self.least or 0) or (over and self.least is None):
            return False
        return all(map(operator.contains, self.places, number))


@lru_cache(_MOST_READ)
def _read(text: str) -> _Places:
    """Understand a pattern. Raises ValueError."""
    if text == "*" or (not text.startswith("_") and text.endswith("*") and len(text) > 1):
        # A key `*` that is dialled is no pattern: the last character of one alone is.
        beginning = text[:-1]
        if beginning and not _LITERAL.fullmatch(beginning):
            raise ValueError(f"found {text!r}, expected a number, or its beginning and *")
        return _Places(tuple(beginning), 0)
    if not text.startswith("_"):
        if not _LITERAL.fullmatch(text):
            raise ValueError(
                f"found {text!r}, expected a number, its beginning and *, or _ and a pattern"
            )
        return _Places(tuple(text))
    least = _TAILS.get(text[-1])
    body = text[1:] if least is None else text[1:-1]
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
            places.append(_CLASSES.get(one, one))
            continue
        places.append(_members(piece["set"]))
        if not places[-1]:
            raise ValueError(f"found [{piece['set']}] in {text!r}, expected as [2-9]")
    if (not places and least is None) or len(places) > 64:
        raise ValueError(f"found {text!r}, expected _ and 1 to 64 places, as _0X.")
    return _Places(tuple(places), least)


def _members(written: str) -> str:
    """All that `15-7` means; empty where a range of it runs backwards."""
    found = ""
    while written:
        first, rest = written[0], written[1:]
        last = rest[1] if rest[:1] == "-" and len(rest) > 1 else first
        if last < first:
            return ""
        found += "".join(map(chr, range(ord(first), ord(last) + 1)))
        written = rest[2:] if rest[:1] == "-" and len(rest) > 1 else rest
    return found


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
        if not number.startswith(self.add):
            return False
        read = _read(self.match)
        least = read.least
        if least is not None and self.strip > len(read.places):
            least = 0  # what is taken off is some of what follows
        return _Places(read.places[self.strip :], least).takes(number[len(self.add) :])


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

    def is_emergency(self, dialled: str) -> bool:
        """Whether who dials it is in need: whatever else has that number."""

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

    def is_emergency(self, dialled: str) -> bool:
        """See `Numbering`."""
        return False

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
    return _read(pattern).takes(number)


def rewrite(number: str, rules: Iterable[NumberRule]) -> str | None:
    """What the first rule that takes a number makes of it; None: none does, or nothing stays."""
    for rule in rules:
        if rule.takes(number):
            return rule.rewrite(number) or None
    return None
