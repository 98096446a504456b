"""How a tick of mixing is done: which row is whose, at which rate, and what is converted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from endpoint.audio.codec import DECODE_TABLES, ENCODE_TABLES, G711
from endpoint.audio.frame import FRAME_MS, SAMPLE_RATE_HZ, WIDEBAND_HZ, Samples
from endpoint.audio.mixer import Mixer, MixRoute
from endpoint.audio.rateconverter import convert
from endpoint.media.player import Player, Playing
from endpoint.media.port import RtpPort
from endpoint.media.sink import SinkPort
from endpoint.media.tap import Tap

Sink = RtpPort | SinkPort
Input = tuple[RtpPort | Player, float]
"""A source and its gain in dB."""
Place = tuple[Sink, Player]
"""What one sink hears of one player."""
_Rows = npt.NDArray[np.intp]
_Key = RtpPort | Place


@dataclass(frozen=True, slots=True)
class _Outlet:
    """Sinks of one law, or of one rate, which were mixed at `mixed_hz`: in that order."""

    mixed_hz: int
    sample_rate_hz: int
    law: G711 | None
    rows: _Rows
    sinks: list[Sink]


class _Band:
    """All that is mixed at one rate."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.size = sample_rate_hz * FRAME_MS // 1000
        self.coded: list[tuple[G711, list[Tap]]] = []
        """Far ends whose codes are decoded by table: the first rows of all."""
        self.linear: list[Tap] = []
        self.ports: dict[RtpPort, int] = {}
        """The rows of far ends."""
        self.converted: _Rows = np.zeros(0, dtype=np.intp)
        """The rows that far ends of the other band have there."""
        self.playing: list[Playing] = []
        self.sinks: dict[Sink, int] = {}
        self.mixer = Mixer((), 0)
        self.frames = self.mixed = self.silence(0)
        """Of far ends, and to sinks, in this tick."""
        self.frames_before = self.mixed_before = self.silence(0)

    def silence(self, rows: int) -> Samples:
        """As many frames of nothing."""
        return np.zeros((rows, self.size), dtype=np.int16)

    def read(self, now: float) -> None:
        """What the far ends say in this tick."""
        self.frames_before = self.frames
        self.frames = self.silence(len(self.ports))
        row = 0
        for law, taps in self.coded:
            codes = np.frombuffer(b"".join([tap.read(now) for tap in taps]), dtype=np.uint8)
            into = self.frames[row : row + len(taps)]
            np.take(DECODE_TABLES[law], codes.reshape(into.shape), out=into, mode="clip")
            row += len(taps)
        for tap in self.linear:
            self.frames[row] = tap.take(now, self.sample_rate_hz)
            row += 1

    def mix(self, other: _Band) -> None:
        """What the sinks hear in this tick."""
        self.mixed_before = self.mixed
        parts = [self.frames]
        if len(self.converted):
            now, before = other.frames[self.converted], other.frames_before[self.converted]
            parts.append(convert(now, before, other.sample_rate_hz, self.sample_rate_hz))
        if self.playing:
            parts.append(np.stack([each.frame(self.sample_rate_hz) for each in self.playing]))
        self.mixed = self.mixer.mix(np.concatenate(parts) if len(parts) > 1 else self.frames)


class MixPlan:
    """A fixed set of sinks and sources.

    Each sink is mixed at its own band, 8 or 16 kHz: a far end of the other one is converted once
    for all that hear it so. A wideband sink that hears nobody in wideband is mixed at 8 kHz, and
    what comes out is converted; so a room costs what its wideband pairs need. 16 kHz is enough for
    voice; what has more, as Opus between browsers, is forwarded and never gets here.

    All state is the frame before this one: a conversion needs nothing else. `before` is the plan
    that this one follows: who goes on being heard goes on without a click, also where he is
    converted now and was not before, or the other way about.
    """

    def __init__(
        self,
        sinks: Mapping[Sink, Sequence[Input]],
        taps: Mapping[RtpPort, Tap],
        places: Mapping[Place, Playing],
        before: MixPlan | None,
    ) -> None:
        self._bands = {hz: _Band(hz) for hz in (SAMPLE_RATE_HZ, WIDEBAND_HZ)}
        for port, tap in sorted(taps.items(), key=lambda item: _order_of(item[1])):
            self._add_source(port, tap)
        mixed_at = {sink: self._rate_of(sink, inputs) for sink, inputs in sinks.items()}
        for hz, band in self._bands.items():
            heard = {sink: inputs for sink, inputs in sinks.items() if mixed_at[sink] == hz}
            self._lay_out(band, heard, places)
        self._outlets = list(_outlets_of(sinks, self._bands))
        if before is not None:
            self._follow(before)

    def tick(self, now: float) -> None:
        """Read, mix and send 20 ms."""
        for band in self._bands.values():
            band.read(now)
        for band in self._bands.values():
            if band.sinks:
                band.mix(self._other(band))
        for outlet in self._outlets:
            self._send(outlet, now)

    # -- the plan -----------------------------------------------------------------------------

    def _add_source(self, port: RtpPort, tap: Tap) -> None:
        law = tap.codec.law if tap.codec is not None else None
        band = self._bands[_band_of(tap)]
        band.ports[port] = len(band.ports)
        if law is None:
            band.linear.append(tap)
        elif band.coded and band.coded[-1][0] is law:
            band.coded[-1][1].append(tap)
        else:
            band.coded.append((law, [tap]))

    def _rate_of(self, sink: Sink, inputs: Sequence[Input]) -> int:
        """Where it is mixed."""
        own = WIDEBAND_HZ if _sample_rate_of(sink) > SAMPLE_RATE_HZ else SAMPLE_RATE_HZ
        ports = [source for source, _ in inputs if isinstance(source, RtpPort)]
        wide = any(port in self._bands[WIDEBAND_HZ].ports for port in ports)
        narrow = any(port in self._bands[SAMPLE_RATE_HZ].ports for port in ports)
        if own == SAMPLE_RATE_HZ:
            return WIDEBAND_HZ if wide and not narrow else own
        wide |= any(isinstance(s, Player) and s.sample_rate_hz == own for s, _ in inputs)
        return SAMPLE_RATE_HZ if narrow and not wide else own

    def _lay_out(
        self, band: _Band, sinks: Mapping[Sink, Sequence[Input]], places: Mapping[Place, Playing]
    ) -> None:
        """Number rows: the far ends of the band, those converted to it, each place in a player."""
        rows: dict[_Key, int] = dict(band.ports.items())
        other = self._other(band)
        heard = dict.fromkeys(source for inputs in sinks.values() for source, _ in inputs)
        converted = [port for port in heard if isinstance(port, RtpPort) and port not in rows]
        band.converted = np.array([other.ports[port] for port in converted], dtype=np.intp)
        for port in converted:
            rows[port] = len(rows)
        routes = []
        for sink, inputs in sinks.items():
            band.sinks[sink] = len(band.sinks)
            for source, gain_db in inputs:
                key = (sink, source) if isinstance(source, Player) else source
                if isinstance(key, tuple):
                    rows[key] = len(rows)
                    band.playing.append(places[key])
                routes.append(MixRoute(rows[key], band.sinks[sink], gain_db))
        band.mixer = Mixer(routes, len(band.sinks))

    def _follow(self, before: MixPlan) -> None:
        """Take over the frames before."""
        for hz, band in self._bands.items():
            old = before._bands[hz]
            band.frames = band.silence(len(band.ports))
            for port, row in band.ports.items():
                if port in old.ports and len(old.frames) > old.ports[port]:
                    band.frames[row] = old.frames[old.ports[port]]
            # What a sink would have heard, had it been mixed here before.
            others = len(band.converted) + len(band.playing)
            band.mixed = band.mixer.mix(np.concatenate([band.frames, band.silence(others)]))
            for sink, row in band.sinks.items():
                if sink in old.sinks and len(old.mixed) > old.sinks[sink]:
                    band.mixed[row] = old.mixed[old.sinks[sink]]

    # -- a tick -------------------------------------------------------------------------------

    def _other(self, band: _Band) -> _Band:
        (other,) = (each for each in self._bands.values() if each is not band)
        return other

    def _send(self, outlet: _Outlet, now: float) -> None:
        band = self._bands[outlet.mixed_hz]
        frames = band.mixed[outlet.rows]
        if outlet.sample_rate_hz != band.sample_rate_hz:
            before = band.mixed_before[outlet.rows]
            frames = convert(frames, before, band.sample_rate_hz, outlet.sample_rate_hz)
        if outlet.law is not None:
            codes = np.take(ENCODE_TABLES[outlet.law], frames.view(np.uint16)).tobytes()
            size = frames.shape[1]
            for number, sink in enumerate(outlet.sinks):
                if isinstance(sink, RtpPort):
                    sink.outbound.send_codes(codes[number * size : (number + 1) * size], now)
            return
        for sink, frame in zip(outlet.sinks, frames, strict=True):
            if isinstance(sink, RtpPort):
                sink.outbound.send_frame(frame, now)
            else:
                sink.hear(frame, now)


def _order_of(tap: Tap) -> int:
    """Those of one law in a row, and before all others."""
    law = tap.codec.law if tap.codec is not None else None
    return len(G711) if law is None else law


def _band_of(tap: Tap) -> int:
    is_wide = tap.codec is not None and tap.codec.sample_rate_hz > SAMPLE_RATE_HZ
    return WIDEBAND_HZ if is_wide else SAMPLE_RATE_HZ


def _sample_rate_of(sink: Sink) -> int:
    codec = sink.outbound.codec if isinstance(sink, RtpPort) else None
    return SAMPLE_RATE_HZ if codec is None else codec.sample_rate_hz


def _outlets_of(sinks: Iterable[Sink], bands: Mapping[int, _Band]) -> Iterable[_Outlet]:
    alike: dict[tuple[int, int, G711 | None], list[Sink]] = {}
    for sink in sinks:
        mixed_hz = next(hz for hz, band in bands.items() if sink in band.sinks)
        law = sink.outbound.law if isinstance(sink, RtpPort) else None
        alike.setdefault((mixed_hz, _sample_rate_of(sink), law), []).append(sink)
    for (mixed_hz, sample_rate_hz, law), those in alike.items():
        rows = np.array([bands[mixed_hz].sinks[sink] for sink in those], dtype=np.intp)
        yield _Outlet(mixed_hz, sample_rate_hz, law, rows, those)
