"""What the legs have in the media plane: their ports, the sounds of ours, and who hears whom."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from endpoint.audio import tones
from endpoint.errors import MediaError
from endpoint.legs.audio_end import AudioEnd, AudioSettings, Protection
from endpoint.legs.base import Announcement, InteractionId, LegId, LegQuality, Route, Source
from endpoint.legs.figures import LastFigures
from endpoint.legs.terms import AudioTerms
from endpoint.media import messages as m
from endpoint.media.link import MediaLink

R = TypeVar("R", bound=m.Result)

SOUNDS: dict[Source, tuple[m.Segment, ...]] = {
    source: tuple(
        m.Segment(list(part.frequencies_hz), part.duration_ms, part.level_dbov) for part in cadence
    )
    for source, cadence in (
        (Source.MUSIC_ON_HOLD, tones.MUSIC_ON_HOLD),
        (Source.RING_BACK, tones.RING_BACK),
        (Source.BUSY, tones.BUSY),
        (Source.NOTICE, tones.NOTICE),
        (Source.SILENCE, tones.SILENCE),
    )
}
"""The sounds of ours where the deployment has no file for one."""


_AFTER_ANNOUNCEMENT_MS = 10_000


def _nothing(leg: LegId) -> None:
    """Nobody wants to know."""


def _nobody(leg: LegId) -> m.PortName:
    return ""


@dataclass(frozen=True, slots=True)
class _Routed:
    """What routes from and to a leg mean.

    An `AudioEnd` is both; a station without signalling has one of each.
    """

    source: m.PortName
    sink: m.PortName


class LegPorts:
    """Ports and routes by the names of the legs.

    Routes are kept as they were asked for, and said to the plane as far as their ports are open: a
    leg that opens later joins by itself.
    """

    def __init__(
        self,
        link: MediaLink,
        *,
        audio: AudioSettings | None = None,
        music_file: str | None = None,
        announcements: Collection[Announcement] = (),
        sounds: Mapping[Source, Sequence[m.Segment]] = SOUNDS,
        beside: Callable[[LegId], m.PortName] = _nobody,
    ) -> None:
        """Set up; `beside` says a port of whom a leg will talk with, empty where none is known."""
        self._link = link
        self._audio = audio or AudioSettings()
        self._music_file = music_file
        self._announcements = frozenset(announcements)
        self._sounds = sounds
        self._beside = beside
        self._numbers = itertools.count(1)
        self._legs: dict[m.PortName, LegId] = {}
        """Whose the open ports are; a leg that rings at several phones has one for each."""
        self._routed: dict[LegId, _Routed] = {}
        self._routes: dict[InteractionId, tuple[Route, ...]] = {}
        self._sound_ports: list[m.PortName] = []
        self._listening: set[m.PortName] = set()
        self._recording: set[LegId] = set()
        self._serving_several: set[m.PortName] = set()
        """Ports that go from one leg to the next."""
        self.figures = LastFigures(link)
        """What legs that have ended heard and said."""
        self.moved: Callable[[LegId], None] = _nothing
        """Told of a leg whose audio may come from another port than it did."""

    # -- sounds of ours -------------------------------------------------------------------------

    async def open_sounds(self) -> None:
        """Open music on hold, ring-back and busy; a worker that is lost does not end them.

        Raises MediaError where the plane takes neither the file nor the tones.
        """
        for source, cadence in self._sounds.items():
            if source is Source.MUSIC_ON_HOLD and self._music_file is not None:
                await self._link.request(
                    m.OpenFilePlayer(port=_sound(source), path=self._music_file, loop=True)
                )
            else:
                await self._link.request(m.OpenPlayer(port=_sound(source), cadence=list(cadence)))
            self._sound_ports.append(_sound(source))
        for each in self._announcements:
            # It loops, as each call hears it from its start; who hears it too long hears nothing.
            await self._link.request(
                m.OpenFilePlayer(
                    port=_sound(each), path=each.path, loop=True, pause_ms=_AFTER_ANNOUNCEMENT_MS
                )
            )
            self._sound_ports.append(_sound(each))

    def close_sounds(self) -> None:
        """Close the sounds of ours."""
        for port in self._sound_ports:
            self._link.send(m.ClosePort(port=port))
        self._sound_ports.clear()

    # -- ports ----------------------------------------------------------------------------------

    async def open_end(
        self,
        leg: LegId,
        protection: Protection,
        *,
        controlling: bool,
        rtp_timeout_s: float,
        trickle: bool = False,
        terms: AudioTerms | None = None,
    ) -> AudioEnd:
        """Open one end of a leg's audio, that is in no route yet. Raises MediaError."""
        port = self._port_of(leg)
        end = AudioEnd(self._link, port, protection, self._audio, terms)
        self._legs[end.port] = leg
        try:
            await end.open(
                controlling=controlling,
                rtp_timeout_s=rtp_timeout_s,
                trickle=trickle,
                near=self._beside(leg),
            )
        except MediaError:
            self._legs.pop(end.port, None)
            raise
        return end

    def use(self, leg: LegId, end: AudioEnd) -> None:
        """Let the leg's routes go to and from this end.

        It is one of its own, that is closed with it, or one that outlives it and is only left then.
        """
        self._route(leg, _Routed(end.port, end.port))

    async def open_source(
        self,
        leg: LegId,
        file: str | None,
        cadence: Sequence[m.Segment] = (),
        *,
        loop: bool = True,
    ) -> m.PortName:
        """Open what a leg without a network says: a file or a cadence. Raises MediaError.

        Without `loop` it is played once, and then the notice `PlaybackEnded` comes.
        """
        port, near = self._port_of(leg), self._beside(leg)
        opening: m.OpenPlayer | m.OpenFilePlayer
        if file is not None:
            opening = m.OpenFilePlayer(port=port, path=file, loop=loop, near=near)
        else:
            opening = m.OpenPlayer(port=port, cadence=list(cadence), loop=loop, near=near)
        await self._open(leg, port, opening)
        return port

    async def open_sink(self, leg: LegId, keep_s: float) -> m.PortName:
        """Open the ears of a leg without a network; what they hear can be read. Raises MediaError.

        What is kept is so many seconds long; 0: nothing, until it is read.
        """
        port = self._port_of(leg)
        await self._open(leg, port, m.OpenSink(port=port, near=self._beside(leg)))
        if not keep_s:
            return port
        await self._link.request(m.StartListening(port=port, keep_s=keep_s))
        self._listening.add(port)
        return port

    async def open_far_end(
        self, leg: LegId, *, relays_digits: bool = True
    ) -> tuple[m.PortName, m.RtpAddress]:
        """Open a port for a far end that nobody negotiates with. Raises MediaError."""
        port = self._port_of(leg)
        opening = m.OpenRtpPort(
            port=port, strict_source=True, relays_digits=relays_digits, near=self._beside(leg)
        )
        return port, await self._open(leg, port, opening)

    async def join_far_end(
        self, port: m.PortName, host: str, number: int, *codecs: m.PayloadType
    ) -> None:
        """Say where that far end is, and what it speaks. Raises MediaError."""
        await self._link.request(
            m.SetRemote(
                port=port,
                host=host,
                rtp_port=number,
                rtcp_port=number,
                send=list(codecs),
                receive=list(codecs),
                rtcp_mux=True,
            )
        )

    def route(self, leg: LegId, source: m.PortName, sink: m.PortName) -> None:
        """Let the leg's routes go from and to these."""
        self._route(leg, _Routed(source, sink))

    def route_sound(self, leg: LegId, sound: Source, sink: m.PortName) -> None:
        """Let the leg's routes go from a sound of ours, and to this port."""
        self.route(leg, _sound(sound), sink)

    def close_port(self, port: m.PortName) -> None:
        """Close one port of a leg that goes on without it. Harmless where there is none."""
        if self._legs.pop(port, None) is not None:
            self._listening.discard(port)
            self._link.send(m.ClosePort(port=port))

    def _port_of(self, leg: LegId) -> m.PortName:
        return f"{leg}.{next(self._numbers)}"

    async def _open(self, leg: LegId, port: m.PortName, command: m.Command[R]) -> R:
        """Open a port; where that fails, the leg has none of this name."""
        self._legs[port] = leg
        try:
            return await self._link.request(command)
        except MediaError:
            self._legs.pop(port, None)
            raise

    def close_end(self, end: AudioEnd) -> None:
        """Close one end of a leg that goes on without it."""
        leg = self._legs.pop(end.port, None)
        if leg is None:
            return
        end.close()
        self._listening.discard(end.port)
        if leg in self._routed and self._routed[leg].sink == end.port:
            del self._routed[leg]

    def close(self, leg: LegId) -> None:
        """Close what the leg has open; the plane cuts its routes. Harmless where nothing is."""
        routed = self._routed.pop(leg, None)
        own = [port for port, owner in self._legs.items() if owner == leg]
        if routed is not None and routed.sink not in own:
            self._leave(leg, routed.sink)
            self.figures.leaves(leg, routed.sink)
        elif routed is not None:
            self.figures.closes(leg, routed.sink, is_whole=self._is_whole(routed.sink))
        for port in own:
            del self._legs[port]
            self._listening.discard(port)
            self._serving_several.discard(port)
            self._link.send(m.ClosePort(port=port))
        self._recording.discard(leg)

    def rename(self, leg: LegId, to: LegId) -> None:
        """The leg's ports go on as another leg's; the routes that name it are no longer theirs."""
        for port, owner in self._legs.items():
            if owner == leg:
                self._legs[port] = to
        routed = self._routed.pop(leg, None)
        if routed is not None:
            self._leave(leg, routed.sink)
            self._serving_several.add(routed.sink)
            self.figures.leaves(leg, routed.sink)
            self._route(to, routed)

    def _leave(self, leg: LegId, port: m.PortName) -> None:
        """A port goes on without the leg, and keeps nothing of it."""
        self._say_routes_of(leg)
        self._listening.discard(port)
        if leg in self._recording:
            self._recording.discard(leg)
            self._link.send(m.StopRecording(recording=leg))

    def lose(self, ports: Collection[m.PortName]) -> list[LegId]:
        """A worker is gone: forget these ports. Returns the legs that had one."""
        for port in ports:
            self.figures.lose(port)
        lost = [port for port in self._legs if port in ports]
        legs = dict.fromkeys(self._legs.pop(port) for port in lost)
        for leg, routed in list(self._routed.items()):
            if routed.source in ports or routed.sink in ports:
                del self._routed[leg]
                self._recording.discard(leg)
        self._listening.difference_update(ports)
        return list(legs)

    def heard_at(self, leg: LegId) -> m.PortName:
        """What is routed to a leg goes there; empty where nothing can be yet."""
        return self._routed[leg].sink if leg in self._routed else ""

    def source_of(self, leg: LegId) -> m.PortName:
        """What a leg says comes from there; empty where nothing can yet."""
        return self._routed[leg].source if leg in self._routed else ""

    def leg_of(self, port: m.PortName) -> LegId | None:
        """Whose port it is; None for a sound of ours, or a port that was closed meanwhile."""
        return self._legs.get(port)

    @property
    def open_count(self) -> int:
        """Legs that have a port open."""
        return len(set(self._legs.values()))

    # -- routes and actions ---------------------------------------------------------------------

    def set_routes(self, interaction: InteractionId, routes: Sequence[Route]) -> None:
        """Who hears whom in an interaction, from now on."""
        if routes:
            self._routes[interaction] = tuple(routes)
        else:
            self._routes.pop(interaction, None)
        self._say(interaction)

    def listeners_of(self, leg: LegId) -> list[LegId]:
        """The legs that hear this one."""
        return [
            route.sink
            for routes in self._routes.values()
            for route in routes
            if route.source == leg
        ]

    def only_listeners_of(self, leg: LegId) -> list[LegId]:
        """The legs that hear this one, and nobody else."""
        return [
            route.sink
            for routes in self._routes.values()
            for route in routes
            if route.source == leg and sum(other.sink == route.sink for other in routes) == 1
        ]

    async def send_digits(self, leg: LegId, digits: str) -> None:
        """Send DTMF to a leg's far end; the notice `DigitsSent` follows. Raises MediaError."""
        await self._link.request(m.SendDigits(port=self._sink(leg), digits=digits))

    async def read_heard(self, leg: LegId, last_ms: int) -> m.Heard:
        """What a leg's far end sent lately, or what a station without a network heard.

        The first call begins to listen, so it finds nothing yet. Raises MediaError.
        """
        port = self._sink(leg)
        if port not in self._listening:
            await self._link.request(m.StartListening(port=port))
            self._listening.add(port)
        return await self._link.request(m.ReadHeard(port=port, last_ms=last_ms))

    async def read_statistics(self, leg: LegId) -> m.Statistics:
        """Counts, loss, jitter and level of a leg's port. Raises MediaError."""
        return await self._link.request(m.ReadStatistics(port=self._sink(leg)))

    async def last_quality(self, leg: LegId) -> LegQuality | None:
        """What a leg's audio is like, or was when it ended; None where nothing was counted."""
        if leg not in self._routed:
            return await self.figures.of(leg)
        port = self._routed[leg].sink
        return await self.figures.now(port, is_whole=self._is_whole(port))

    def _is_whole(self, port: m.PortName) -> bool:
        """Whether all that a port has counted is of the leg that has it now."""
        return port in self._legs and port not in self._serving_several

    async def start_recording(self, leg: LegId, path: str) -> None:
        """Record a leg into a WAV file. Raises MediaError."""
        await self._link.request(m.StartRecording(recording=leg, port=self._sink(leg), path=path))
        self._recording.add(leg)

    async def stop_recording(self, leg: LegId) -> m.RecordingInfo:
        """Finish the file of a leg. Raises MediaError."""
        self._recording.discard(leg)
        return await self._link.request(m.StopRecording(recording=leg))

    def _route(self, leg: LegId, ports: _Routed) -> None:
        self._routed[leg] = ports
        self._say_routes_of(leg)

    def _say_routes_of(self, leg: LegId) -> None:
        self.moved(leg)
        for interaction, routes in self._routes.items():
            if any(leg in (route.source, route.sink) for route in routes):
                self._say(interaction)

    def _say(self, interaction: InteractionId) -> None:
        routes = []
        for route in self._routes.get(interaction, ()):
            sink = self._routed.get(route.sink)
            if isinstance(route.source, Source | Announcement):
                source = _sound(route.source)
            elif route.source in self._routed:
                source = self._routed[route.source].source
            else:
                continue
            if sink is not None:
                routes.append(m.RouteTo(source=source, sink=sink.sink, gain_db=route.gain_db))
        self._link.send(m.SetRoutes(group=interaction, routes=routes))

    def _sink(self, leg: LegId) -> m.PortName:
        if leg not in self._routed:
            raise MediaError(f"leg {leg} has no port")
        return self._routed[leg].sink


def _sound(source: Source | Announcement) -> m.PortName:
    return f"sound.{source.value if isinstance(source, Source) else source.path}"
