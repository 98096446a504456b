"""The sinks that hear a mix: one batch of decoding, mixing and encoding a tick, for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from endpoint.audio.codec import DECODE_TABLES, ENCODE_TABLES, G711, decode
from endpoint.audio.frame import FRAME_SAMPLES, Samples
from endpoint.audio.mixer import Mixer, MixRoute
from endpoint.media.player import Player, Playing
from endpoint.media.port import RtpPort
from endpoint.media.sink import SILENCE, SinkPort
from endpoint.media.tap import Tap

Input = tuple[RtpPort | Player, float]
"""A source and its gain in dB."""


class MixBatch:
    """Everything that is mixed in a plane."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms
        self._sinks: dict[RtpPort | SinkPort, Sequence[Input]] = {}
        self._taps: dict[RtpPort, Tap] = {}
        self._places: dict[tuple[RtpPort | SinkPort, Player], Playing] = {}
        self._mixer = Mixer((), 0)
        self._is_stale = False

    def __bool__(self) -> bool:
        return bool(self._sinks)

    @property
    def playing(self) -> set[Player]:
        """The players that somebody hears in a mix."""
        return {player for _, player in self._places}

    def set_sink(self, sink: RtpPort | SinkPort, inputs: Sequence[Input]) -> None:
        """Let a sink hear these from the next tick on; none at all takes it out."""
        if inputs:
            self._sinks[sink] = inputs
        else:
            self._sinks.pop(sink, None)
        self._is_stale = True
        heard = {source for source, _ in inputs}
        for place in [p for p in self._places if p[0] is sink and p[1] not in heard]:
            del self._places[place]
        wanted = {source for inputs in self._sinks.values() for source, _ in inputs}
        for source in wanted - self._taps.keys():
            if isinstance(source, RtpPort):
                self._taps[source] = Tap(self._delay_ms)
                source.inbound.tap(self._taps[source])
        for source in self._taps.keys() - wanted:
            source.inbound.untap(self._taps.pop(source))

    def rest(self, source: RtpPort) -> Samples:
        """What a source has said that no mix has heard yet."""
        tap = self._taps.get(source)
        return decode(tap.law, tap.rest()) if tap is not None else SILENCE[:0]

    def tick(self, now: float) -> None:
        """Move all mixes on by 20 ms."""
        if not self._sinks:
            return
        if self._is_stale:
            self._plan()
        taps = list(self._taps.values())
        places = list(self._places.values())
        frames = np.empty((len(taps) + len(places), FRAME_SAMPLES), dtype=np.int16)
        if taps:
            codes = np.frombuffer(b"".join([tap.take_codes() for tap in taps]), dtype=np.uint8)
            laws = np.array([tap.law for tap in taps])[:, None]
            frames[: len(taps)] = DECODE_TABLES[laws, codes.reshape(len(taps), FRAME_SAMPLES)]
        for row, place in enumerate(places, len(taps)):
            frames[row] = place.player.frame(place.position)
            place.advance()
        mixed = self._mixer.mix(frames)
        sinks = list(self._sinks)
        laws = np.array([_law_to(sink) for sink in sinks])[:, None]
        encoded = ENCODE_TABLES[laws, mixed.view(np.uint16)]
        for row, sink in enumerate(sinks):
            if isinstance(sink, RtpPort):
                sink.outbound.send_frame(encoded[row].tobytes(), now)
            else:
                sink.hear(mixed[row])

    def _plan(self) -> None:
        """Number rows: first the far ends that are decoded, then each place in a player."""
        self._is_stale = False
        before, self._places = self._places, {}
        rows: dict[RtpPort | tuple[RtpPort | SinkPort, Player], int] = {
            port: row for row, port in enumerate(self._taps)
        }
        routes: list[MixRoute] = []
        for sink_row, (sink, inputs) in enumerate(self._sinks.items()):
            for source, gain_db in inputs:
                key: RtpPort | tuple[RtpPort | SinkPort, Player]
                if isinstance(source, Player):
                    key = sink, source
                    self._places[key] = before.get(key) or Playing(source)
                    rows[key] = len(self._taps) + len(self._places) - 1
                else:
                    key = source
                routes.append(MixRoute(rows[key], sink_row, gain_db))
        self._mixer = Mixer(routes, len(self._sinks))


def _law_to(sink: RtpPort | SinkPort) -> G711:
    law = sink.outbound.law if isinstance(sink, RtpPort) else None
    return law if law is not None else G711.PCMU
