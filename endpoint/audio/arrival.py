"""How regularly packets arrive, and how long to hold them back for that."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

_WINDOW_S = 5.0
_HOLD_S = 2.0
_SHRINK_S = 4.0
_OTHER_PATH = 25
"""So many packets in a row later than the most delay: it is another path."""
_OVERTAKEN_MS = 60.0
"""A lone packet that others overtook makes the delay no longer than this: it is better lost."""


@dataclass(frozen=True, slots=True)
class DelaySettings:
    """The bounds of an adaptive delay, in milliseconds."""

    least_ms: float = 20.0
    start_ms: float = 40.0
    """Before anything is known."""
    most_ms: float = 200.0
    """What is later than this is lost, whatever the delay could be."""
    margin_ms: float = 10.0
    """More than the latest of late: for our own clock, and for what is later still."""


class Arrivals:
    """Watches when the packets of a stream come, and says by how much to delay what is heard.

    All is measured against the fastest packet of the last five to ten seconds. The clocks may
    drift: the measure goes with them. The delay wanted grows at once with a packet that is later
    than all before; after two seconds without such a one it shrinks, by a fifth a second.
    """

    def __init__(self, clock_rate_hz: int, settings: DelaySettings) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._settings = settings
        self._least_ms = self._least_before_ms = self._fastest_ms = inf
        self._window_ends = -inf
        self._newest: float = -inf
        self._straggler_at = -inf
        self._transit_ms: float | None = None
        self._peak_ms = settings.start_ms - settings.margin_ms
        self._peak_at = -inf
        self._at = -inf
        self._too_late = 0
        """Packets in a row."""
        self.jitter_ms = 0.0
        """Interarrival jitter (RFC 3550 §6.4.1)."""

    @property
    def target_ms(self) -> float:
        """The delay wanted."""
        wanted = self._peak_ms + self._settings.margin_ms
        return min(max(wanted, self._settings.least_ms), self._settings.most_ms)

    def receive(self, ticks: int, now: float) -> None:
        """A packet of this timestamp (one that does not wrap) came at `now`, in seconds."""
        is_overtaken = ticks < self._newest
        if not is_overtaken:
            self._newest = ticks
        transit_ms = 1000 * (now - ticks / self._clock_rate_hz)
        if self._transit_ms is None:
            self._transit_ms = transit_ms
            self._at = self._peak_at = now
        self.jitter_ms += (abs(transit_ms - self._transit_ms) - self.jitter_ms) / 16
        self._transit_ms = transit_ms
        if now >= self._window_ends:
            self._least_before_ms, self._least_ms = self._least_ms, inf
            self._window_ends = now + _WINDOW_S
        if transit_ms < self._least_ms:
            self._least_ms = transit_ms
            self._fastest_ms = min(transit_ms, self._least_before_ms)
        late_ms = transit_ms - self._fastest_ms
        if is_overtaken and late_ms > max(self._peak_ms, _OVERTAKEN_MS):
            is_alone = now > self._straggler_at + _HOLD_S
            self._straggler_at = now
            if is_alone:
                late_ms = _OVERTAKEN_MS
        if late_ms >= self._peak_ms:
            self._peak_ms, self._peak_at = late_ms, now
        elif now > self._peak_at + _HOLD_S:
            self._peak_ms *= exp((self._at - now) / _SHRINK_S)
        self._at = now
        self._too_late = self._too_late + 1 if late_ms > self._settings.most_ms else 0
        if self._too_late >= _OTHER_PATH:
            self._begin_path(transit_ms, now)

    def _begin_path(self, transit_ms: float, now: float) -> None:
        """Measure from this packet on: the path has become longer than may be waited for."""
        self._least_ms = self._fastest_ms = transit_ms
        self._least_before_ms = inf
        self._window_ends = now + _WINDOW_S
        self._peak_ms = self._settings.start_ms - self._settings.margin_ms
        self._peak_at = now
        self._too_late = 0

    def delay_ms(self, ticks: int, now: float) -> float:
        """By how much later than the fastest packet could it was, if `ticks` is heard at `now`."""
        return 1000 * (now - ticks / self._clock_rate_hz) - self._fastest_ms
