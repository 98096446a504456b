"""Stations without signalling: a tone or a file to speak with, a sink to hear with."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitsSent,
    FarEndHold,
    LegAlerting,
    LegAnswered,
    MediaConfirmed,
    PlaceLeg,
)
from endpoint.legs.leg import GiveUp, Leg, Surroundings
from endpoint.media import messages as m


@dataclass(frozen=True, slots=True)
class FileStation:
    """A device whose mouth is a player and whose ears are a sink: for bots, demos and tests."""

    device: DeviceId
    file: str | None = None
    """A WAV file, played over and over; None plays `cadence`."""
    cadence: tuple[m.Segment, ...] = (m.Segment(frequencies_hz=[440.0], duration_ms=1000),)
    answer_after_s: float | None = 0.0
    """Picks up by itself after so long; None waits for `answer`."""
    keep_s: float = 2.0
    """How much of what it hears can be read back."""
    record: str | None = None
    """A WAV file of what it hears, written anew by each call."""

    def leg(self, request: PlaceLeg, around: Surroundings) -> StationLeg:
        """See `Station`."""
        return FileLeg(request, self, around)


class Station(Protocol):
    """What every station without signalling has."""

    @property
    def device(self) -> DeviceId:
        """Whose."""

    def leg(self, request: PlaceLeg, around: Surroundings) -> StationLeg:
        """A leg to it."""


class StationLeg(Leg):
    """A leg without signalling: ports are all there is."""

    def __init__(
        self,
        request: PlaceLeg,
        answer_after_s: float | None,
        around: Surroundings,
    ) -> None:
        super().__init__(
            request.leg,
            request.interaction,
            request.role,
            around.ports,
            around.settings,
            around.emit,
        )
        self._answer_after_s = request.answer_after_s if request.auto_answer else answer_after_s
        self._talking = False

    @abstractmethod
    async def _open(self) -> None:
        """Open and route its ports. Raises MediaError."""

    async def _ring(self) -> None:
        """It waits to be answered."""

    async def _begin(self) -> None:
        try:
            await self._open()
        except MediaUnavailable:
            raise
        except MediaError as exc:  # its file, most likely
            raise GiveUp(Cause.UNREACHABLE, str(exc)) from exc
        self._emit(LegAlerting(self.id))
        if self._answer_after_s == 0:
            await self._answer()
            return
        await self._ring()
        if self._answer_after_s is not None:
            self._after(self._answer_after_s, self._answer)

    async def _alert(self, early_media: bool) -> None:
        """Nothing: there is nobody to tell."""

    async def _answer(self) -> None:
        if not self._talking:
            self._talking = True
            self._stop_timer()
            self._emit(LegAnswered(self.id))
            self._emit(MediaConfirmed(self.id))

    async def _hold(self, held: bool) -> None:
        self._emit(FarEndHold(self.id, held, accepted=True))

    async def _send_digits(self, digits: str) -> None:
        self._emit(DigitsSent(self.id, digits))

    async def _lose_silence(self) -> None:
        """Never: no network, no silence."""

    async def _media_failed(self, port: m.PortName, failure: m.PortFailure) -> None:
        """Never, likewise."""

    def _let_far_end_go(self, cause: Cause) -> None:
        """Nothing: the ports are all there is."""


class FileLeg(StationLeg):
    """A leg to a `FileStation`."""

    def __init__(self, request: PlaceLeg, station: FileStation, around: Surroundings) -> None:
        super().__init__(request, station.answer_after_s, around)
        self._station = station

    async def _open(self) -> None:
        station = self._station
        source = await self._ports.open_source(self.id, station.file, station.cadence)
        sink = await self._ports.open_sink(self.id, station.keep_s)
        self._ports.route(self.id, source, sink)
        if station.record is not None:
            await self._ports.start_recording(self.id, station.record)
