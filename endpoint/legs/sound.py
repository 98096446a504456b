"""Sound devices as a station: what an agent speaks into, hears with, and is called by.

Each of the three is chosen by its name, and may be another one at any time. One that is not there
is silence, an event, and looked for; no call ends for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from endpoint.audio.tones import RINGING
from endpoint.errors import MediaError
from endpoint.legs.base import (
    Cause,
    DeviceId,
    LegAnswered,
    MediaConfirmed,
    PlaceLeg,
    Side,
    SoundDeviceLost,
    SoundDeviceReturned,
    SoundEvent,
    SoundUse,
)
from endpoint.legs.leg import Surroundings
from endpoint.legs.soundchoice import SoundChoice
from endpoint.legs.station import StationLeg
from endpoint.media import messages as m
from endpoint.media import soundmessages as sm
from endpoint.media.devicelink import SoundStream

log = structlog.get_logger(__name__)

_KEEP_S = 2.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class SoundStation:
    """A device whose ears and mouth are sound devices."""

    device: DeviceId
    choices: Mapping[SoundUse, SoundChoice] = field(
        default_factory=lambda: dict.fromkeys(SoundUse, SoundChoice())
    )
    noise_suppression: int = 0
    """Of its microphone: 0 (none) to 4."""
    answer_after_s: float | None = None
    """Picks up by itself after so long; None waits for `answer`."""


class SoundDevices:
    """One station, and how its sound devices are now. Used by one leg at a time."""

    def __init__(self, station: SoundStation, emit: Callable[[SoundEvent], None]) -> None:
        self.station = station
        self.leg: SoundLeg | None = None
        """The call that it is in, or that rings."""
        self.failures: dict[SoundUse, str] = {}
        """Why those are not there that are not."""
        self._emit = emit

    def __repr__(self) -> str:
        return f"<SoundDevices of {self.station.device}>"

    def lose(self, use: SoundUse, text: str) -> None:
        """One is not there, or no longer."""
        if use not in self.failures:
            name = self.station.choices[use].name
            self._emit(SoundDeviceLost(self.station.device, use, name, text))
        self.failures[use] = text

    def have(self, use: SoundUse) -> None:
        """One is used."""
        if self.failures.pop(use, None) is not None:
            name = self.station.choices[use].name
            self._emit(SoundDeviceReturned(self.station.device, use, name))

    def forget(self, use: SoundUse) -> None:
        """One is used no longer: whether it is there is not known."""
        self.failures.pop(use, None)


class SoundStations:
    """The sound devices of all stations that have some."""

    def __init__(
        self, stations: Iterable[SoundStation], emit: Callable[[SoundEvent], None]
    ) -> None:
        self._emit = emit
        self._of_device: dict[DeviceId, SoundDevices] = {}
        for station in stations:
            self.set(station)

    def of(self, device: DeviceId) -> SoundDevices | None:
        """Those of a device; None where it has none."""
        return self._of_device.get(device)

    def set(self, station: SoundStation) -> None:
        """Give a device these, also in the call that it is in."""
        sound = self._of_device.get(station.device)
        if sound is None:
            self._of_device[station.device] = SoundDevices(station, self._emit)
            return
        sound.station = station
        if sound.leg is not None:
            sound.leg.change(station)

    def choose(self, device: DeviceId, choices: Mapping[SoundUse, SoundChoice]) -> None:
        """Give a device other ones for some of the three. Raises KeyError: it has none."""
        station = self._of_device[device].station
        self.set(replace(station, choices={**station.choices, **choices}))


class SoundLeg(StationLeg):
    """A leg to a device whose station has sound devices; one at a time."""

    def __init__(self, request: PlaceLeg, sound: SoundDevices, around: Surroundings) -> None:
        super().__init__(request, sound.station.answer_after_s, around)
        self._sound = sound
        self._station = sound.station
        """As far as the leg has come to it."""
        self._is_ringing = False
        self._streams: dict[SoundUse, SoundStream] = {}
        self._far_end: tuple[m.PortName, socket.socket] | None = None
        self._ends: dict[SoundUse, m.PortName] = {}
        """The ports that are its mouth and ears now."""
        sound.leg = sound.leg or self

    def change(self, station: SoundStation) -> None:
        """Go on with other sound devices."""
        self.post(partial(self._change, station))

    async def run(self) -> None:
        """See `Leg`."""
        try:
            await super().run()
        finally:  # the processes that had its socket are gone
            if self._far_end is not None:
                self._far_end[1].close()

    # -- steps ----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._sound.leg is not self:
            self._end(Cause.BUSY, Side.DEVICE, text="its sound devices are in another call")
        else:
            await super()._begin()

    async def _open(self) -> None:
        for use in (SoundUse.INPUT, SoundUse.OUTPUT):
            await self._open_end(use)
        self._ports.route(self.id, self._ends[SoundUse.INPUT], self._ends[SoundUse.OUTPUT])

    async def _ring(self) -> None:
        self._is_ringing = True
        # The others are ready, and not open: some hardware opens once.
        for use in SoundUse:
            self._start(use)
        self._open_streams([SoundUse.RINGER])

    async def _answer(self) -> None:
        if self._talking:
            return
        self._talking = True
        self._stop_timer()
        await self._stop_ringing()
        uses = (SoundUse.INPUT, SoundUse.OUTPUT)
        for use in uses:
            self._start(use)
        self._open_streams(uses)
        self._emit(LegAnswered(self.id))
        if not self._station.choices[SoundUse.INPUT].is_device:
            self._emit(MediaConfirmed(self.id))

    async def _stop_ringing(self) -> None:
        self._is_ringing = False
        await self._stop(SoundUse.RINGER)
        self._sound.forget(SoundUse.RINGER)

    async def _change(self, station: SoundStation) -> None:
        before, self._station = self._station, station
        for use in SoundUse:
            old, new = before.choices[use], station.choices[use]
            quieter = before.noise_suppression != station.noise_suppression
            if old.name != new.name or (use is SoundUse.INPUT and quieter and new.is_device):
                await self._replace(use, new)
            elif old.gain_db != new.gain_db and (stream := self._streams.get(use)) is not None:
                stream.set_gain(new.gain_db)

    async def _replace(self, use: SoundUse, choice: SoundChoice) -> None:
        await self._stop(use)
        self._sound.forget(use)
        if use is not SoundUse.RINGER:
            old = self._ends[use]
            try:
                await self._open_end(use)
            except MediaError as exc:
                self._sound.lose(use, str(exc))
                return
            self._ports.route(self.id, self._ends[SoundUse.INPUT], self._ends[SoundUse.OUTPUT])
            is_shared = self._far_end is not None and old == self._far_end[0]
            if not is_shared and old not in self._ends.values():
                self._ports.close_port(old)
        if self._is_ringing or (self._talking and use is not SoundUse.RINGER):
            self._start(use)
            if self._talking or use is SoundUse.RINGER:
                self._open_streams([use])

    # -- its ports ------------------------------------------------------------------------------

    async def _open_end(self, use: SoundUse) -> None:
        """Open the port that is its mouth, or its ears."""
        choice = self._station.choices[use]
        if choice.is_device:
            self._ends[use] = await self._device_port()
        elif use is SoundUse.OUTPUT:
            self._ends[use] = await self._ports.open_sink(self.id, _KEEP_S)
        else:
            source = await self._ports.open_source(self.id, choice.file, choice.cadence)
            self._ends[use] = source

    async def _device_port(self) -> m.PortName:
        """The port of which its sound devices are the far end, both on one socket."""
        if self._far_end is None:
            port, address = await self._ports.open_far_end(self.id)
            host = _LOOPBACK.get(address.host, address.host)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            end = socket.socket(family, socket.SOCK_DGRAM)
            try:
                end.bind((host, 0))
                end.connect((host, address.rtp_port))
                await self._ports.join_far_end(port, host, end.getsockname()[1], sm.CODEC)
            except (OSError, MediaError) as exc:
                end.close()
                raise MediaError(f"no socket for sound devices: {exc}") from exc
            self._far_end = port, end
        return self._far_end[0]

    # -- its sound devices ----------------------------------------------------------------------

    def _start(self, use: SoundUse) -> None:
        """Have a process ready, where a sound device is wanted and it has none."""
        choice = self._station.choices[use]
        if not choice.is_device or use in self._streams:
            return
        end = self._far_end[1] if self._far_end and use is not SoundUse.RINGER else None
        settings = sm.StreamSettings(
            sm.SoundUse(use),
            choice.name,
            choice.gain_db,
            audio=-1 if end is None else end.fileno(),
            noise_suppression=self._station.noise_suppression if use is SoundUse.INPUT else 0,
            cadence=RINGING if use is SoundUse.RINGER else (),
        )
        stream = self._streams[use] = SoundStream(settings, partial(self._told, use))
        self._tasks.create_task(stream.run(), name=f"{use} of {self.id}")

    def _open_streams(self, uses: Iterable[SoundUse]) -> None:
        for use in uses:
            if (stream := self._streams.get(use)) is not None:
                stream.open()

    async def _stop(self, use: SoundUse) -> None:
        if (stream := self._streams.pop(use, None)) is not None:
            await stream.stopped()

    def _told(self, use: SoundUse, word: sm.Notice) -> None:
        if use not in self._streams:
            return  # it is being stopped
        match word:
            case sm.SoundOpened(text=text):
                if text:
                    name = self._station.choices[use].name
                    log.warning("sound device", device=name, text=text)
                self._sound.have(use)
            case sm.SoundLost(text):
                self._sound.lose(use, text)

    def _let_far_end_go(self, cause: Cause) -> None:
        for use, stream in self._streams.items():
            stream.stop()
            self._sound.forget(use)
        self._streams.clear()
        if self._sound.leg is self:
            self._sound.leg = None
