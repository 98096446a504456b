"""The sinks that hear a mix: one batch of decoding, mixing and encoding a tick, for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from endpoint.audio.frame import FRAME_MS, SAMPLE_RATE_HZ, Samples
from endpoint.media.mixplan import Input, MixPlan, Place, Sink
from endpoint.media.player import Player, Playing
from endpoint.media.port import RtpPort
from endpoint.media.tap import Tap

_NOTHING: Samples = np.zeros(0, dtype=np.int16)


class MixBatch:
    """Everything that is mixed in a plane."""

    def __init__(self) -> None:
        self._sinks: dict[Sink, Sequence[Input]] = {}
        self._taps: dict[RtpPort, Tap] = {}
        self._hearers: Counter[RtpPort] = Counter()
        """How many sinks hear each of these."""
        self._ahead: dict[tuple[Sink, RtpPort], int] = {}
        """The ticks until a mix comes to what a sink has not heard of a source yet."""
        self._places: dict[Place, Playing] = {}
        self._plan = MixPlan({}, {}, {}, None)
        self._is_stale = False

    def __bool__(self) -> bool:
        return bool(self._sinks)

    @property
    def playing(self) -> set[Player]:
        """The players that somebody hears in a mix."""
        return {player for _, player in self._places}

    def set_sink(self, sink: Sink, inputs: Sequence[Input], now: float) -> None:
        """Let a sink hear these from the next tick on; none at all takes it out."""
        heard_before = {source for source, _ in self._sinks.pop(sink, ())}
        heard = {source for source, _ in inputs}
        if inputs:
            self._sinks[sink] = inputs
        if not self._sinks:
            self._plan = MixPlan({}, {}, {}, None)
        self._is_stale = True
        for source in heard - heard_before:
            if isinstance(source, Player):
                self._places[sink, source] = Playing(source)
                continue
            self._hearers[source] += 1
            if source not in self._taps:
                self._taps[source] = source.inbound.tap(now)
        for source in heard_before - heard:
            if isinstance(source, Player):
                del self._places[sink, source]
                continue
            self._ahead.pop((sink, source), None)
            self._hearers[source] -= 1
            if not self._hearers[source]:
                del self._hearers[source], self._taps[source]
                source.inbound.untap()

    def skip(self, sink: Sink, source: RtpPort) -> None:
        """The sink has heard already what waits of this source: it was forwarded."""
        tap = self._taps.get(source)
        waiting_ms = 0.0 if tap is None or tap.playout is None else tap.playout.waiting_ms
        if ticks := round(waiting_ms / FRAME_MS):
            self._ahead[sink, source] = ticks

    def refresh(self, port: RtpPort) -> None:
        """A port may have another codec."""
        if port in self._taps or port in self._sinks:
            self._is_stale = True

    def rest(self, sink: Sink, source: RtpPort) -> tuple[Samples, int]:
        """What a source has said that the sink has not heard yet, and its sample rate."""
        tap = self._taps.get(source)
        if tap is None or tap.playout is None:
            return _NOTHING, SAMPLE_RATE_HZ
        sample_rate_hz = tap.playout.codec.sample_rate_hz
        skipped = self._ahead.get((sink, source), 0) * sample_rate_hz * FRAME_MS // 1000
        return tap.playout.rest()[skipped:], sample_rate_hz

    def tick(self, now: float) -> None:
        """Move all mixes on by 20 ms."""
        if not self._sinks:
            return
        if self._is_stale:
            sinks = {
                sink: [each for each in inputs if (sink, each[0]) not in self._ahead]
                for sink, inputs in self._sinks.items()
            }
            self._plan = MixPlan(sinks, self._taps, self._places, self._plan)
            self._is_stale = False
        self._plan.tick(now)
        if self._ahead:
            self._is_stale |= 1 in self._ahead.values()
            self._ahead = {key: ticks - 1 for key, ticks in self._ahead.items() if ticks > 1}
        for playing in self._places.values():
            playing.advance()
