"""An IVR as a device: its mouth plays prompts, its ears are for keys alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from endpoint.errors import MediaError
from endpoint.ivr.model import Visit
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitsSent,
    IvrQueued,
    IvrVisited,
    LegId,
    PlaceLeg,
    Side,
    Source,
)
from endpoint.legs.leg import Surroundings
from endpoint.legs.station import StationLeg
from endpoint.media import messages as m

log = structlog.get_logger(__name__)

Part = Path | tuple[m.Segment, ...]
"""A WAV file, or tones."""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where in a queue a call is."""

    queue: str
    """The queue's code."""
    position: int
    """From 1."""
    wait_s: float | None
    """How long it may take; None: nobody knows."""
    offered_to: DeviceId | None
    """Where it rings for the call."""


class Mouth(Protocol):
    """What a call in a flow may ask of its leg. Nothing blocks."""

    @property
    def id(self) -> LegId:
        """Of the leg."""

    def play(self, parts: Sequence[Part], ended: Callable[[], None]) -> None:
        """Play these in place of anything else, then say so."""

    def music(self, file: Path | None) -> None:
        """Play a file over and over in place of anything else; None: music on hold."""

    def stop(self) -> None:
        """Be silent."""

    def tell(self, flow: str, visit: Visit) -> None:
        """Tell everybody that a node has been left."""

    def tell_queued(self, place: QueuePlace) -> None:
        """Tell everybody where in a queue the call is."""

    def hang_up(self) -> None:
        """Leave the call."""


class Listener(Protocol):
    """A call in a flow, as its leg knows it."""

    async def run(self) -> None:
        """Go through the flow, until it has ended or `end` is called."""

    def press(self, key: str) -> None:
        """Somebody has pressed a key."""

    def end(self) -> None:
        """The leg is over."""


@dataclass(frozen=True, slots=True)
class IvrStation:
    """An IVR's code. As many calls may be in it as come."""

    device: DeviceId
    begin: Callable[[PlaceLeg, Mouth], Listener]
    """A call comes to it."""

    def leg(self, request: PlaceLeg, around: Surroundings) -> StationLeg:
        """See `Station`."""
        return IvrLeg(request, self, around)


class IvrLeg(StationLeg):
    """A leg to an IVR. It answers at once."""

    hears_digits = True

    def __init__(self, request: PlaceLeg, station: IvrStation, around: Surroundings) -> None:
        super().__init__(request, 0.0, around)
        self._sink: m.PortName = ""
        self._playing: m.PortName = ""
        """The player that is heard; empty: a sound of ours is."""
        self._next: m.PortName = ""
        """The one after it, open already so that no gap comes between them."""
        self._parts: deque[Part] = deque()
        self._ended: Callable[[], None] | None = None
        """To be called when all is played."""
        self._call = station.begin(request, self)

    # -- asked by the call ------------------------------------------------------------------------

    def play(self, parts: Sequence[Part], ended: Callable[[], None]) -> None:
        """See `Mouth`."""
        self.post(lambda: self._play(parts, ended))

    def music(self, file: Path | None) -> None:
        """See `Mouth`."""
        self.post(lambda: self._music(file))

    def stop(self) -> None:
        """See `Mouth`."""
        self.post(self._hush)

    def tell(self, flow: str, visit: Visit) -> None:
        """See `Mouth`."""
        if not self._released:
            self._emit(IvrVisited(self.id, flow, visit.node, visit.kind, visit.result))

    def tell_queued(self, place: QueuePlace) -> None:
        """See `Mouth`."""
        if not self._released:
            self._emit(
                IvrQueued(self.id, place.queue, place.position, place.wait_s, place.offered_to)
            )

    def hang_up(self) -> None:
        """See `Mouth`."""

        async def leave() -> None:
            self._end(Cause.NORMAL, Side.DEVICE)

        self.post(leave)

    # -- asked by the exchange --------------------------------------------------------------------

    def hear_digit(self, digit: str) -> None:
        """See `Leg`."""
        self._call.press(digit)

    # -- steps ------------------------------------------------------------------------------------

    async def _open(self) -> None:
        # Nobody listens there: it is what routes lead to.
        self._sink = await self._ports.open_sink(self.id, 0.0)
        self._ports.route_sound(self.id, Source.SILENCE, self._sink)

    async def _answer(self) -> None:
        was_talking = self._talking
        await super()._answer()
        if not was_talking:
            self._tasks.create_task(self._call.run(), name=f"flow of {self.id}")

    async def _send_digits(self, digits: str) -> None:
        """Keys that a client presses for somebody who talks with the IVR."""
        for digit in digits:
            self._call.press(digit)
        self._emit(DigitsSent(self.id, digits))

    async def _play(self, parts: Sequence[Part], ended: Callable[[], None]) -> None:
        await self._hush()
        self._parts, self._ended = deque(parts), ended
        self._next = await self._open_part()
        await self._play_next()

    async def _play_next(self) -> None:
        """Go on to the part that is open already, and open the one after it."""
        self._close_playing()
        if not self._next:
            self._ports.route_sound(self.id, Source.SILENCE, self._sink)
            ended, self._ended = self._ended, None
            if ended is not None:
                ended()
            return
        self._playing, self._next = self._next, ""
        self._ports.route(self.id, self._playing, self._sink)
        self._next = await self._open_part()

    async def _open_part(self) -> m.PortName:
        """The next part that can be played; empty where there is none."""
        while self._parts:
            part = self._parts.popleft()
            try:
                if isinstance(part, Path):
                    return await self._ports.open_source(self.id, str(part), loop=False)
                return await self._ports.open_source(self.id, None, part, loop=False)
            except MediaError as error:
                # It was there when the flow was read; the caller goes on without.
                log.warning("prompt not played", leg=self.id, reason=str(error))
        return ""

    async def _music(self, file: Path | None) -> None:
        await self._hush()
        if file is not None:
            try:
                self._playing = await self._ports.open_source(self.id, str(file))
            except MediaError as error:
                log.warning("music not played", leg=self.id, reason=str(error))
            else:
                self._ports.route(self.id, self._playing, self._sink)
                return
        self._ports.route_sound(self.id, Source.MUSIC_ON_HOLD, self._sink)

    async def _hush(self) -> None:
        self._parts.clear()
        self._ended = None
        self._ports.route_sound(self.id, Source.SILENCE, self._sink)
        self._close_playing()
        if self._next:
            self._ports.close_port(self._next)
            self._next = ""

    def _close_playing(self) -> None:
        if self._playing:
            self._ports.close_port(self._playing)
            self._playing = ""

    async def _take_notice(self, notice: m.Notice) -> None:
        if isinstance(notice, m.PlaybackEnded):
            if notice.port == self._playing:
                await self._play_next()
        else:
            await super()._take_notice(notice)

    def _let_far_end_go(self, cause: Cause) -> None:
        self._call.end()
