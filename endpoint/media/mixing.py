"""The sinks that hear a mix: one batch of decoding, mixing and encoding a tick, for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from endpoint.audio.frame import Samples
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
        self._places: dict[Place, Playing] = {}
        self._plan = MixPlan({}, {}, {}, None)
        self._is_stale = False

    def __bool__(self) -> bool:
        return bool(self._sinks)

    @property
    def playing(self) -> set[Player]:
        """The players that somebody hears in a mix."""
        return {player for _, player in self._places}

    def set_sink(self, sink: Sink, inputs: Sequence[Input]) -> None:
        """Let a sink hear these from the next tick on; none at all takes it out."""
        if inputs:
            self._sinks[sink] = inputs
        else:
            self._sinks.pop(sink, None)
        if not self._sinks:
            self._plan = MixPlan({}, {}, {}, None)
        self._is_stale = True
        heard = {source for source, _ in inputs}
        for place in [p for p in self._places if p[0] is sink and p[1] not in heard]:
            del self._places[place]
        for source in heard:
            if isinstance(source, Player):
                self._places.setdefault((sink, source), Playing(source))
        wanted = {source for inputs in self._sinks.values() for source, _ in inputs}
        for source in wanted - self._taps.keys():
            if isinstance(source, RtpPort):
                self._taps[source] = source.inbound.tap()
        for source in self._taps.keys() - wanted:
            del self._taps[source]
            source.inbound.untap()

    def refresh(self, port: RtpPort) -> None:
        """A port may have another codec."""
        if port in self._taps or port in self._sinks:
            self._is_stale = True

    def rest(self, source: RtpPort) -> tuple[Samples, int]:
        """What a source has said that no mix has heard yet, and its sample rate."""
        tap = self._taps.get(source)
        if tap is None or tap.playout is None:
            return _NOTHING, 8000
        return tap.playout.rest(), tap.playout.codec.sample_rate_hz

    def tick(self, now: float) -> None:
        """Move all mixes on by 20 ms."""
        if not self._sinks:
            return
        if self._is_stale:
            self._plan = MixPlan(self._sinks, self._taps, self._places, self._plan)
            self._is_stale = False
        self._plan.tick(now)
        for playing in self._places.values():
            playing.advance()
