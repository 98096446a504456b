"""Quality as a number: what the E-model makes of loss and delay, and how losses cluster."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Final

_BEST_RATING: Final = 93.2
"""With every parameter of the E-model at its default (G.107 table 2)."""
_ROBUSTNESS: Final = 25.1
"""Bpl of G.711 with concealment (G.113 table I.3), whose Ie is 0.

All our codecs are judged by it, on the narrowband scale: on that none is better than G.711, and
what G.113 has of wideband codecs belongs to the other scale (G.107.1), where figures can't be
compared with what a far end reports. For Opus with FEC it is on the safe side.
"""
_GAP_MINIMUM: Final = 16
"""So many packets received in a row end a burst of losses (RFC 3611 §4.7.2)."""


def rating(loss: float, delay_ms: float, burst_ratio: float = 1.0) -> float:
    """R of the E-model, 0 to 93.2.

    Args:
        loss: the share of packets that were lost or came too late, 0 to 1.
        delay_ms: from mouth to ear. Echo is taken for cancelled.
        burst_ratio: how much longer runs of losses are than random losses would make them.
    """
    impairment = delay_impairment(delay_ms) + loss_impairment(loss, burst_ratio)
    return max(0.0, _BEST_RATING - impairment)


def delay_impairment(delay_ms: float) -> float:
    """Idd: conversation suffers from more than 100 ms (G.107 equations 7-27 and 7-28)."""
    if delay_ms <= 100:
        return 0.0
    x = log2(delay_ms / 100)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def loss_impairment(loss: float, burst_ratio: float = 1.0) -> float:
    """Ie,eff of a codec with concealment (G.107 equation 7-29)."""
    percent = 100 * min(max(loss, 0.0), 1.0)
    return 95 * percent / (percent / max(burst_ratio, 1.0) + _ROBUSTNESS)


def burst_ratio(loss: float, lost: int, runs: int) -> float:
    """BurstR: the mean run of losses over what random losses of this share would have (G.107)."""
    return max(1.0, lost / runs * (1 - loss)) if runs > 0 else 1.0


def opinion(rating: float) -> float:
    """MOS for an R, 1 to 4.5 (G.107 annex B)."""
    if rating >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)


@dataclass(frozen=True, slots=True)
class BurstFigures:
    """How losses cluster: bursts with many of them, gaps between with few."""

    burst_density: float
    """The share of packets lost in bursts."""
    gap_density: float
    burst_ms: float
    """The mean length of a burst."""
    gap_ms: float


class Bursts:
    """Counts bursts and gaps by the Markov model of RFC 3611 §4.7.2.

    It is asked at losses only; packets between them are known by their numbers.
    """

    __slots__ = ("_c11", "_c13", "_c14", "_c22", "_c23", "_c33", "_lost", "runs")

    def __init__(self) -> None:
        self.runs = 0
        """Losses; those in a row count as one."""
        self._lost = 0
        """In the burst that may go on."""
        self._c11 = self._c13 = self._c14 = self._c22 = self._c23 = self._c33 = 0

    def lose(self, received: int, lost: int) -> None:
        """Take note of `lost` packets in a row, with `received` ones since the loss before."""
        self.runs += 1
        if received >= _GAP_MINIMUM or not self._lost:
            self._end(received)
        elif received:
            self._c23 += 1
            self._c22 += received - 1
        else:
            self._c33 += 1
        self._lost += lost
        self._c33 += lost - 1

    def figures(self, received: int, packet_ms: float) -> BurstFigures:
        """As of now, with `received` packets since the last loss."""
        so_far = Bursts()
        for name in Bursts.__slots__:
            setattr(so_far, name, getattr(self, name))
        so_far._end(received)
        return so_far._figures(packet_ms)

    def _end(self, received: int) -> None:
        """A gap follows what was lost."""
        self._c11 += received
        if self._lost == 1:
            self._c14 += 1
        elif self._lost:
            self._c13 += 1
        self._lost = 0

    def _figures(self, packet_ms: float) -> BurstFigures:
        in_gaps = self._c11 + self._c14 + self._c13
        total = in_gaps + self._c22 + 2 * self._c23 + self._c13 + self._c33
        bursts = self._c13
        leaves = self._c23 / (self._c13 + self._c23 + self._c33) if self._c23 else 0.0
        returns = self._c23 / (self._c22 + self._c23) if self._c23 else 1.0
        gap_ms = in_gaps * packet_ms / max(bursts, 1)
        return BurstFigures(
            burst_density=returns / (returns + leaves) if bursts else 0.0,
            gap_density=self._c14 / (self._c11 + self._c14) if self._c14 else 0.0,
            burst_ms=total * packet_ms / bursts - gap_ms if bursts else 0.0,
            gap_ms=gap_ms,
        )
