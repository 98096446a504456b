"""How digits, numbers and dates are spoken: the names of sounds, in order, by language.

A language is a grammar here, and a directory of sounds (`zh/digits/7`); English ones stand in none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date as Date
from typing import Protocol

from endpoint.audio.dtmf import DIGITS

_NUMBER = re.compile(r"(-?)0*([0-9]{1,6})(?:\.([0-9]{1,12}))?")
_KEYS = {"*": "star", "#": "pound"}


class _Grammar(Protocol):
    """How one language says it; all words are names of sounds in `digits`."""

    @property
    def words(self) -> Sequence[str]:
        """All that it uses."""

    def digit(self, digit: str) -> str:
        """One by itself, in a row of them."""

    def number(self, value: int) -> list[str]:
        """A whole number up to 999999."""

    def date(self, date: Date) -> list[str]:
        """A day."""


class _English:
    """1021: one, thousand, 20, one. 2026-12-25: december, 20, five, 20, 20, six."""

    months = (
        *("january", "february", "march", "april", "may", "june"),
        *("july", "august", "september", "october", "november", "december"),
    )
    words = (*map(str, [*range(20), *range(20, 100, 10)]), "hundred", "thousand", *months)

    def digit(self, digit: str) -> str:
        return digit

    def number(self, value: int) -> list[str]:
        thousands, rest = divmod(value, 1000)
        words = [*self._below_1000(thousands), "thousand"] if thousands else []
        return [*words, *self._below_1000(rest)] if rest or not thousands else words

    def _below_1000(self, value: int) -> list[str]:
        hundreds, rest = divmod(value, 100)
        words = [str(hundreds), "hundred"] if hundreds else []
        if rest and rest < 20:
            return [*words, str(rest)]
        tens, ones = divmod(rest, 10)
        if tens:
            words.append(str(10 * tens))
        if ones or not words:
            words.append(str(ones))
        return words

    def date(self, date: Date) -> list[str]:
        century, rest = divmod(date.year, 100)
        in_two = rest >= 10 and century >= 10
        year = [*self.number(century), *self.number(rest)] if in_two else self.number(date.year)
        return [self.months[date.month - 1], *self.number(date.day), *year]


class _Mandarin:
    """1021: 一千零二十一. 2026-12-25: 二零二六年十二月二十五日. In a row of digits 1 is 幺."""

    words = (
        *map(str, range(11)),
        *("yao", "liang", "hundred", "thousand", "ten_thousand", "year", "month", "day"),
    )

    def digit(self, digit: str) -> str:
        return "yao" if digit == "1" else digit

    def number(self, value: int) -> list[str]:
        if not value:
            return ["0"]
        high, low = divmod(value, 10_000)
        words = [*self._below_10000(high), "ten_thousand"] if high else []
        if high == 2:
            words[0] = "liang"
        if high and 0 < low < 1000:
            words.append("0")
        words += self._below_10000(low)
        # 十二, and not 一十二, where nothing stands before it.
        return words[1:] if words[:2] == ["1", "10"] else words

    def _below_10000(self, value: int) -> list[str]:
        words: list[str] = []
        left_out = False
        for place, name in ((1000, "thousand"), (100, "hundred"), (10, "10"), (1, "")):
            digit = value // place % 10
            if not digit:
                left_out = bool(words)
                continue
            if left_out:
                words.append("0")
                left_out = False
            words.append("liang" if digit == 2 and place == 1000 else str(digit))
            words += [name] if name else []
        return words

    def date(self, date: Date) -> list[str]:
        year = [*str(date.year), "year"]
        return [*year, *self.number(date.month), "month", *self.number(date.day), "day"]


_GRAMMARS: dict[str, _Grammar] = {"en": _English(), "zh": _Mandarin()}
LANGUAGES = tuple(_GRAMMARS)
_OF_ALL = ("minus", "point", "star", "pound", "a", "b", "c", "d")


def digits(text: str, language: str = "en") -> list[str]:
    """Each digit and key of a text by itself; what is none is passed over."""
    grammar, keys = _GRAMMARS[language], (each for each in text.upper() if each in DIGITS)
    return _sounds([_KEYS.get(each, grammar.digit(each.lower())) for each in keys])


def number(text: str, language: str = "en") -> list[str]:
    """A number up to 999999, as -12.50: minus, 12, point, five, zero. Else each digit by itself."""
    grammar, found = _GRAMMARS[language], _NUMBER.fullmatch(text.strip())
    if found is None:
        return digits(text, language)
    sign, whole, behind = found.groups()
    words = ["minus"] if sign else []
    words += grammar.number(int(whole))
    return _sounds([*words, *(["point", *behind] if behind else [])])


def date(text: str, language: str = "en") -> list[str]:
    """A day, as 2026-12-25; what follows it, as a time, is left out. Else each digit by itself."""
    try:
        found = Date.fromisoformat(text.strip()[:10])
    except ValueError:
        return digits(text, language)
    return _sounds(_GRAMMARS[language].date(found))


def all_words(language: str = "en") -> list[str]:
    """Everything that these may name."""
    return _sounds([*_GRAMMARS[language].words, *_OF_ALL])


def _sounds(words: Sequence[str]) -> list[str]:
    return [f"digits/{word}" for word in words]
