"""How digits and numbers are spoken: the names of the shipped sounds, in order. English."""

from __future__ import annotations

from endpoint.audio.dtmf import DIGITS

_LARGEST = "999999"


def digits(text: str) -> list[str]:
    """Each digit and key of a text by itself; what is none is passed over."""
    named = {"*": "star", "#": "pound"}
    return [f"digits/{named.get(each, each.lower())}" for each in text.upper() if each in DIGITS]


def number(text: str) -> list[str]:
    """A whole number up to 999999, as 1021: one, thousand, 20, one. Else each digit by itself."""
    text = text.strip()
    whole = text.isascii() and text.isdecimal()
    if not whole or len(text.lstrip("0")) > len(_LARGEST):
        return digits(text)
    thousands, rest = divmod(int(text), 1000)
    words = [*_below_1000(thousands), "thousand"] if thousands else []
    if rest or not thousands:
        words += _below_1000(rest)
    return [f"digits/{word}" for word in words]


def _below_1000(value: int) -> list[str]:
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


def all_words() -> list[str]:
    """Everything that these may name."""
    spoken = [*map(str, range(20)), *map(str, range(20, 100, 10)), "hundred", "thousand"]
    return [f"digits/{word}" for word in (*spoken, "star", "pound", "a", "b", "c", "d")]
