"""Mutants of real messages: what strangers send ends in a declared error, or nowhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final

import pytest

BUDGET: Final = pytest.mark.parametrize(
    "seconds", [2, pytest.param(60, marks=pytest.mark.soak)], ids=lambda seconds: f"{seconds} s"
)
"""For a test that fuzzes."""
_MOST_OCTETS: Final = 8192
_NASTY: Final = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"-1",
    b"0",
    b"65536",
    b"4294967296",
    b"9" * 5000,
    b"1_0",
    "１０".encode(),
    "\u2028\u212a\x85".encode(),
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b":",
    b"/",
    b";",
    b"=",
    b"127.0.0.1",
    b"[::1%lo]",
    b"x.local",
)


def mutants(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Without end, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        octets = bytearray(chance.choice(corpus))
        for _ in range(1 + int(chance.expovariate(0.7))):
            _mutate(octets, corpus, chance)
        yield bytes(octets[:_MOST_OCTETS])


def fuzz(
    target: Callable[[bytes], object], corpus: Sequence[bytes], seconds: float, seed: int = 1
) -> None:
    """Feed mutants to the target until time is up. Raises AssertionError naming what broke it."""
    until = monotonic() + seconds
    for mutant in mutants(corpus, seed):
        if monotonic() > until:
            return
        try:
            target(mutant)
        except Exception as exc:
            raise AssertionError(f"{type(exc).__name__} by {mutant!r}") from exc


def _mutate(octets: bytearray, corpus: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randrange(len(octets) + 1)
    end = min(len(octets), start + int(chance.expovariate(0.1)))
    match chance.randrange(8):
        case 0:
            for at in range(start, min(end, start + 4)):
                octets[at] ^= 1 << chance.randrange(8)
        case 1:
            octets[start:end] = b""
        case 2:
            octets[end:end] = octets[start:end] * chance.choice((1, 1, 2, 50))
        case 3:
            octets[start:start] = chance.choice(_NASTY)
        case 4:
            nasty = chance.choice(_NASTY)
            octets[start : start + len(nasty)] = nasty
        case 5:
            octets[start:] = b""
        case 6:
            other = chance.choice(corpus)
            octets[start:end] = other[chance.randrange(len(other) + 1) :][: end - start + 40]
        case _:
            lines = octets.split(b"\r\n")
            one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one] = lines[two]
            octets[:] = b"\r\n".join(lines)
