"""What the legs have in the media plane: their ports, the sounds of ours, and who hears whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from endpoint.audio import tones
from endpoint.errors import MediaError
from endpoint.legs.base import InteractionId, LegId, Route, Source
from endpoint.media import messages as m
from endpoint.media.link import MediaLink
from signaling.sdp.description import Codec
from signaling.sdp.negotiation import Negotiated

SOUNDS: dict[Source, tuple[m.Segment, ...]] = {
    source: tuple(
        m.Segment(list(part.frequencies_hz), part.duration_ms, part.level_dbov) for part in cadence
    )
    for source, cadence in (
        (Source.MUSIC_ON_HOLD, tones.MUSIC_ON_HOLD),
        (Source.RING_BACK, tones.RING_BACK),
        (Source.BUSY, tones.BUSY),
    )
}
"""The sounds of ours where the deployment has no file for one."""


@dataclass(frozen=True, slots=True)
class _Ports:
    """Of one leg. An RTP port is both; a station without signalling has one of each."""

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
        music_file: str | None = None,
        sounds: Mapping[Source, Sequence[m.Segment]] = SOUNDS,
    ) -> None:
        self._link = link
        self._music_file = music_file
        self._sounds = sounds
        self._ports: dict[LegId, _Ports] = {}
        self._legs: dict[m.PortName, LegId] = {}
        self._routes: dict[InteractionId, tuple[Route, ...]] = {}
        self._sound_ports: list[m.PortName] = []
        self._listening: set[LegId] = set()

    # -- sounds of ours -------------------------------------------------------------------------

    async def open_sounds(self) -> None:
        """Open music on hold, ring-back and busy; again after the worker was lost.

        Raises MediaError where the plane takes neither the file nor the tones.
        """
        self._sound_ports.clear()
        for source, cadence in self._sounds.items():
            if source is Source.MUSIC_ON_HOLD and self._music_file is not None:
                await self._link.request(
                    m.OpenFilePlayer(port=_sound(source), path=self._music_file, loop=True)
                )
            else:
                await self._link.request(m.OpenPlayer(port=_sound(source), cadence=list(cadence)))
            self._sound_ports.append(_sound(source))

    def close_sounds(self) -> None:
        """Close the sounds of ours."""
        for port in self._sound_ports:
            self._link.send(m.ClosePort(port=port))
        self._sound_ports.clear()

    # -- ports ----------------------------------------------------------------------------------

    async def open_rtp(
        self, leg: LegId, interaction: InteractionId, *, rtp_timeout_s: float
    ) -> m.RtpAddress:
        """Open the RTP port of a leg. Raises MediaError."""
        port = m.PortName(leg)
        self._add(leg, _Ports(port, port))
        try:
            address = await self._link.request(
                m.OpenRtpPort(port=port, rtp_timeout_s=rtp_timeout_s)
            )
        except MediaError:
            self._forget(leg)
            raise
        self._apply(interaction)
        return address

    async def open_station(
        self,
        leg: LegId,
        interaction: InteractionId,
        *,
        file: str | None,
        cadence: Sequence[m.Segment],
        keep_s: float,
    ) -> None:
        """Open a player and a listening sink for a leg without a network. Raises MediaError."""
        ports = _Ports(f"{leg}.source", f"{leg}.sink")
        self._add(leg, ports)
        try:
            if file is not None:
                await self._link.request(m.OpenFilePlayer(port=ports.source, path=file, loop=True))
            else:
                await self._link.request(m.OpenPlayer(port=ports.source, cadence=list(cadence)))
            await self._link.request(m.OpenSink(port=ports.sink))
            await self._link.request(m.StartListening(port=ports.sink, keep_s=keep_s))
            self._listening.add(leg)
        except MediaError:
            self.close(leg)
            raise
        self._apply(interaction)

    async def set_remote(self, leg: LegId, agreed: Negotiated, host: str) -> None:
        """Tell a leg's port what was agreed with its far end at `host`. Raises MediaError."""
        await self._link.request(
            m.SetRemote(
                port=self._sink(leg),
                host=host,
                rtp_port=agreed.rtp_port,
                rtcp_port=agreed.rtcp_port,
                send=[_payload_type(codec) for codec in agreed.send],
                receive=[_payload_type(codec) for codec in agreed.receive],
                sending=agreed.sending,
                receiving=agreed.receiving,
                rtcp_mux=agreed.rtcp_mux,
                ptime_ms=agreed.ptime_ms,
            )
        )

    def close(self, leg: LegId) -> None:
        """Close what the leg has open; the plane cuts its routes. Harmless where nothing is."""
        ports = self._forget(leg)
        if ports is not None:
            for port in dict.fromkeys((ports.source, ports.sink)):
                self._link.send(m.ClosePort(port=port))

    def lose_all(self) -> list[LegId]:
        """The worker is gone: forget all ports. Returns the legs that had one."""
        legs = list(self._ports)
        self._ports.clear()
        self._legs.clear()
        self._listening.clear()
        return legs

    def leg_of(self, port: m.PortName) -> LegId | None:
        """Whose port it is; None for a sound of ours, or a port that was closed meanwhile."""
        return self._legs.get(port)

    @property
    def open_count(self) -> int:
        """Legs that have a port open."""
        return len(self._ports)

    # -- routes and actions ---------------------------------------------------------------------

    def set_routes(self, interaction: InteractionId, routes: Sequence[Route]) -> None:
        """Who hears whom in an interaction, from now on."""
        if routes:
            self._routes[interaction] = tuple(routes)
        else:
            self._routes.pop(interaction, None)
        self._apply(interaction)

    async def send_digits(self, leg: LegId, digits: str) -> None:
        """Send DTMF to a leg's far end; the notice `DigitsSent` follows. Raises MediaError."""
        await self._link.request(m.SendDigits(port=self._sink(leg), digits=digits))

    async def read_heard(self, leg: LegId, last_ms: int) -> m.Heard:
        """What a leg's far end sent lately, or what a station without a network heard.

        The first call begins to listen, so it finds nothing yet. Raises MediaError.
        """
        if leg not in self._listening:
            await self._link.request(m.StartListening(port=self._sink(leg)))
            self._listening.add(leg)
        return await self._link.request(m.ReadHeard(port=self._sink(leg), last_ms=last_ms))

    async def read_statistics(self, leg: LegId) -> m.Statistics:
        """Counts, loss, jitter and level of a leg's port. Raises MediaError."""
        return await self._link.request(m.ReadStatistics(port=self._sink(leg)))

    async def start_recording(self, leg: LegId, path: str) -> None:
        """Record a leg into a WAV file. Raises MediaError."""
        await self._link.request(m.StartRecording(recording=leg, port=self._sink(leg), path=path))

    async def stop_recording(self, leg: LegId) -> m.RecordingInfo:
        """Finish the file of a leg. Raises MediaError."""
        return await self._link.request(m.StopRecording(recording=leg))

    def _apply(self, interaction: InteractionId) -> None:
        routes = []
        for route in self._routes.get(interaction, ()):
            sink = self._ports.get(route.sink)
            if isinstance(route.source, Source):
                source = _sound(route.source)
            elif route.source in self._ports:
                source = self._ports[route.source].source
            else:
                continue
            if sink is not None:
                routes.append(m.RouteTo(source=source, sink=sink.sink, gain_db=route.gain_db))
        self._link.send(m.SetRoutes(group=interaction, routes=routes))

    def _sink(self, leg: LegId) -> m.PortName:
        if leg not in self._ports:
            raise MediaError(f"leg {leg} has no port")
        return self._ports[leg].sink

    def _add(self, leg: LegId, ports: _Ports) -> None:
        self._ports[leg] = ports
        self._legs[ports.source] = self._legs[ports.sink] = leg

    def _forget(self, leg: LegId) -> _Ports | None:
        ports = self._ports.pop(leg, None)
        self._listening.discard(leg)
        if ports is not None:
            self._legs.pop(ports.source, None)
            self._legs.pop(ports.sink, None)
        return ports


def _sound(source: Source) -> m.PortName:
    return f"sound.{source.value}"


def _payload_type(codec: Codec) -> m.PayloadType:
    return m.PayloadType(
        number=codec.number,
        encoding=codec.encoding,
        clock_rate_hz=codec.clock_rate_hz,
        channels=codec.channels,
    )
