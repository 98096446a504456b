"""Numbers on their way to a line or from it: which rule takes one, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from endpoint.legs.base import DeviceId

_REMOTE = "RP_"


@dataclass(frozen=True, slots=True)
class NumberRule:
    """Takes a number, or all that begin alike."""

    match: str
    """The number, or its beginning and then `*`; `*` alone takes every number."""
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
        if self.to or not self.match.endswith("*"):
            return number == self.rewrite(self.match)
        return number.startswith(self.add + self.match[:-1][self.strip :])


def telephone_of(device: DeviceId) -> DeviceId | None:
    """The telephone of a remote agent (`RP_` and its number, as it is dialled); else None."""
    number = device.removeprefix(_REMOTE)
    return DeviceId(number) if number not in ("", device) else None


def matches(number: str, pattern: str) -> bool:
    """Whether a pattern, as in `NumberRule.match`, is for a number."""
    # A key `*` that is dialled is no pattern: the last character of a pattern alone is.
    if pattern.endswith("*"):
        return number.startswith(pattern[:-1])
    return number == pattern


def rewrite(number: str, rules: Iterable[NumberRule]) -> str | None:
    """What the first rule that takes a number makes of it; None: none does, or nothing stays."""
    for rule in rules:
        if rule.takes(number):
            return rule.rewrite(number) or None
    return None
