"""Stations whose ears and mouth are a program on this machine: linear audio by RTP on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from endpoint.errors import MediaError
from endpoint.legs.base import DeviceId, DigitKind, LegAnswered, PlaceLeg
from endpoint.legs.leg import Leg, Surroundings
from endpoint.legs.station import StationLeg
from endpoint.media import messages as m

LOOPBACK = "127.0.0.1"
AUDIO = m.PayloadType(97, "L16", 16_000)
EVENTS = m.PayloadType(101, "TELEPHONE-EVENT", 16_000)
"""What goes between us and a program: audio as it is, and what was pressed (RFC 4733)."""


@dataclass(frozen=True, slots=True)
class ProgramStation:
    """A device whose audio a program takes and gives, once it has said where it is."""

    device: DeviceId
    answer_after_s: float | None = None
    """Picks up by itself after so long; None waits for `answer`."""

    def leg(self, request: PlaceLeg, around: Surroundings) -> StationLeg:
        """See `Station`."""
        return ProgramLeg(request, self, around)


class ProgramLeg(StationLeg):
    """A leg to a `ProgramStation`. Until the program comes it hears nothing and says nothing."""

    def __init__(self, request: PlaceLeg, station: ProgramStation, around: Surroundings) -> None:
        super().__init__(request, station.answer_after_s, around)
        self._port: m.PortName = ""
        self._address: m.RtpAddress

    @property
    def digit_kind(self) -> DigitKind:
        """As of who takes them in INFO alone: every digit is told apart from the audio."""
        return DigitKind.INFO

    async def attach(self, rtp_port: int) -> m.RtpAddress:
        """Talk with a program on this port of loopback from now on; where it is to send to.

        Raises MediaError where the leg is over, or its port speaks no IPv4.
        """
        attached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def step() -> None:
            try:
                await self._ports.join_far_end(self._port, LOOPBACK, rtp_port, AUDIO, EVENTS)
            except MediaError as exc:
                if not attached.done():
                    attached.set_exception(exc)
            if not attached.done():
                attached.set_result(None)

        self.post(step)
        try:
            async with asyncio.timeout(self._settings.goodbye_s):
                await attached
        except TimeoutError:
            raise MediaError(f"leg {self.id} is over") from None
        is_everywhere = self._address.host == "0.0.0.0"
        host = LOOPBACK if is_everywhere else self._address.host
        return msgspec.structs.replace(self._address, host=host)

    async def _open(self) -> None:
        # What was pressed goes to a program by its leg, however it came.
        self._port, self._address = await self._ports.open_far_end(self.id, relays_digits=False)
        self._ports.route(self.id, self._port, self._port)

    async def _answer(self) -> None:
        # Unlike at a player, nobody knows yet whether audio comes: its first packet says so.
        if not self._talking:
            self._talking = True
            self._stop_timer()
            self._emit(LegAnswered(self.id))

    async def _send_digits(self, digits: str) -> None:
        await Leg._send_digits(self, digits)
