"""Who feeds each sink, and how: forwarded, played, mixed, or sending digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from endpoint.media.messages import PortName, RouteTo
from endpoint.media.mixing import MixBatch
from endpoint.media.player import Player, Playing
from endpoint.media.port import RtpPort
from endpoint.media.routetable import RouteTable
from endpoint.media.rtp import Forward
from endpoint.media.sink import SinkPort

Port = RtpPort | Player | SinkPort


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing is sent."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Packets of one far end, payload untouched."""

    source: RtpPort
    payload_types: tuple[tuple[int, int], ...]
    """The source's numbers to the sink's."""


@dataclass(frozen=True, slots=True)
class Played:
    """Prepared frames of one player."""

    player: Player


@dataclass(frozen=True, slots=True)
class Mixed:
    """Decoded, mixed on the clock, encoded again."""

    inputs: tuple[tuple[RtpPort | Player, float], ...]


@dataclass(frozen=True, slots=True)
class Dialling:
    """Digits of our own; all else waits."""


Feed = Silent | Forwarded | Played | Mixed | Dialling
_SILENT = Silent()


class Switchboard:
    """Keeps every sink fed by what the routes say, and moves it on at every tick.

    A change takes effect before the call returns: no packet that is read later goes the old way.
    """

    def __init__(
        self,
        *,
        ended: Callable[[Player], None],
        digits_sent: Callable[[RtpPort, str], None],
    ) -> None:
        self._ports: dict[PortName, Port] = {}
        self._ended = ended
        self._digits_sent = digits_sent
        self._table = RouteTable()
        self._feeds: dict[PortName, Feed] = {}
        self._playing: dict[RtpPort, Playing] = {}
        self._dialling: list[RtpPort] = []
        self._mixes = MixBatch()

    @property
    def is_busy(self) -> bool:
        """True while some sink is fed by the clock."""
        return bool(self._playing or self._dialling or self._mixes)

    @property
    def ports(self) -> dict[PortName, Port]:
        """All that are open."""
        return self._ports

    def add(self, port: Port) -> None:
        """A port that has just been opened."""
        self._ports[port.name] = port

    def remove(self, port: Port, now: float) -> None:
        """Cut a port off from everything; it can be closed then."""
        for sink in self._table.remove_port(port.name):
            self._feed(sink, now)
        self._feed(port.name, now)
        self._feeds.pop(port.name, None)
        if port in self._dialling:
            self._dialling.remove(port)
        del self._ports[port.name]

    def set_routes(self, group: str, routes: Iterable[RouteTo], now: float) -> None:
        """Replace a group's routes. What names a port that is not open is left out."""
        possible = [route for route in routes if self._is_possible(route)]
        for sink in self._table.set_group(group, possible):
            self._feed(sink, now)

    def changed(self, port: RtpPort, now: float) -> None:
        """A port has another far end, another codec, or digits to send."""
        self._mixes.refresh(port)
        self._feed(port.name, now)
        for sink in self._table.sinks_of(port.name):
            self._feed(sink, now)

    def levels_to(self, port: RtpPort) -> list[float | None]:
        """The levels in dBov of all whom a far end hears; None: not known."""
        if isinstance(self._feeds.get(port.name), Dialling):
            return [None]
        levels: list[float | None] = []
        for name, gain_db in self._table.inputs_of(port.name).items():
            source = self._ports[name]
            level_dbov = source.inbound.level_dbov() if isinstance(source, RtpPort) else None
            levels.append(None if level_dbov is None else round(level_dbov + gain_db, 1))
        return levels

    def relay_digit(self, port: RtpPort, digit: str, duration_ms: int, now: float) -> None:
        """A digit ended. Who hears that far end alone, but not its events, gets it sent anew."""
        for name in self._table.sinks_of(port.name):
            sink, feed = self._ports.get(name), self._feeds.get(name)
            if not isinstance(sink, RtpPort) or not sink.can_send or not sink.relays_digits:
                continue
            if isinstance(feed, Forwarded):
                is_passed_on = port.inbound.event_type in dict(feed.payload_types)
            else:
                is_passed_on = len(self._table.inputs_of(name)) != 1
            if not is_passed_on and sink.outbound.add_digits(digit, min(duration_ms, 8000), 40):
                self._feed(name, now)

    def tick(self, now: float) -> None:
        """Move everything that the clock feeds on by 20 ms."""
        for port in list(self._dialling):
            finished = port.outbound.send_digit_step(now)
            if not port.outbound.has_digits:
                self._feed(port.name, now)
            if finished:
                self._digits_sent(port, finished)
        for sink, playing in self._playing.items():
            _play(sink, playing, now)
        self._mixes.tick(now)
        for player in {p.player for p in self._playing.values()} | self._mixes.playing:
            if player.step():
                self._ended(player)

    def _is_possible(self, route: RouteTo) -> bool:
        source, sink = self._ports.get(route.source), self._ports.get(route.sink)
        is_source = isinstance(source, RtpPort | Player)
        return is_source and isinstance(sink, RtpPort | SinkPort) and source is not sink

    def _feed(self, name: PortName, now: float) -> None:
        """Bring a sink in line with the routes, if it is not."""
        sink = self._ports.get(name)
        if sink is None or isinstance(sink, Player):
            return
        feed = self._choose(sink)
        before = self._feeds.get(name, _SILENT)
        if feed == before:
            return
        self._feeds[name] = feed
        if isinstance(before, Mixed):
            if isinstance(feed, Mixed):
                # What waits to be mixed goes on waiting.
                self._mixes.set_sink(sink, feed.inputs, now)
                return
            if isinstance(feed, Forwarded) and isinstance(sink, RtpPort):
                sink.outbound.catch_up(*self._mixes.rest(sink, feed.source), now)
        self._stop(sink, before, now)
        self._start(sink, feed, now)
        if isinstance(before, Forwarded) and isinstance(feed, Mixed):
            self._mixes.skip(sink, before.source)

    def _choose(self, sink: RtpPort | SinkPort) -> Feed:
        inputs: list[tuple[RtpPort | Player, float]] = []
        for name, gain_db in sorted(self._table.inputs_of(sink.name).items()):
            source = self._ports[name]
            if isinstance(source, Player) or (
                isinstance(source, RtpPort) and source.inbound.current is not None
            ):
                inputs.append((source, gain_db))
        if isinstance(sink, SinkPort):
            return Mixed(tuple(inputs)) if inputs else _SILENT
        if not sink.can_send:
            return _SILENT
        if sink.outbound.has_digits:
            return Dialling()
        match inputs:
            case []:
                return _SILENT
            case [(RtpPort() as source, 0.0)]:
                payload_types = source.inbound.payload_types_to(sink.outbound.sends)
                if payload_types is not None:
                    return Forwarded(source, tuple(sorted(payload_types.items())))
            case [(Player() as player, 0.0)] if sink.outbound.codec is not None:
                return Played(player)
        if sink.outbound.codec is None:
            return _SILENT
        return Mixed(tuple(inputs))

    def _stop(self, sink: RtpPort | SinkPort, feed: Feed, now: float) -> None:
        match feed:
            case Silent():
                pass
            case Forwarded(source):
                source.inbound.forwards = tuple(
                    f for f in source.inbound.forwards if f.sender is not _sender_of(sink)
                )
            case Played():
                if isinstance(sink, RtpPort):
                    self._playing.pop(sink, None)
            case Mixed():
                self._mixes.set_sink(sink, (), now)
            case Dialling():
                if isinstance(sink, RtpPort) and sink in self._dialling:
                    self._dialling.remove(sink)
        if isinstance(sink, RtpPort):
            sink.outbound.interrupt()

    def _start(self, sink: RtpPort | SinkPort, feed: Feed, now: float) -> None:
        match feed:
            case Silent():
                pass
            case Forwarded(source, payload_types):
                if isinstance(sink, RtpPort):
                    forward = Forward(sink.outbound.sender, dict(payload_types))
                    source.inbound.forwards = (*source.inbound.forwards, forward)
            case Played(player):
                if isinstance(sink, RtpPort):
                    playing = self._playing[sink] = Playing(player)
                    if player.loop:
                        # Music starts at once, not with the next tick.
                        _play(sink, playing, now)
            case Mixed(inputs):
                self._mixes.set_sink(sink, inputs, now)
            case Dialling():
                if isinstance(sink, RtpPort):
                    self._dialling.append(sink)


def _play(sink: RtpPort, playing: Playing, now: float) -> None:
    outbound, player, position = sink.outbound, playing.player, playing.position
    if outbound.law is not None:
        codes = player.codes(outbound.law, position)
        if codes is not None:
            outbound.send_codes(codes, now)
    elif outbound.codec is not None:
        frame = player.frame(position, outbound.codec.sample_rate_hz)
        if frame is not None:
            outbound.send_frame(frame, now)
    playing.advance()


def _sender_of(sink: RtpPort | SinkPort) -> object:
    return sink.outbound.sender if isinstance(sink, RtpPort) else None
