"""The four transaction machines (RFC 3261 §17, RFC 6026)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimerSettings:
    """RFC 3261's base timers, in seconds (Table 4); all others follow from them."""

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0
