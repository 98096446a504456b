"""What the audio of legs was like, for a short time after they have ended."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from endpoint.errors import MediaError
from endpoint.legs.base import AudioFigures, LegId, LegQuality
from endpoint.media import messages as m
from endpoint.media.link import MediaLink

_Known = asyncio.Future[m.Statistics | None] | m.PortName
KEPT = 1024
"""So many ended legs are remembered."""


class LastFigures:
    """Figures by leg: a port tells its own when it closes, one that outlives the leg is asked."""

    def __init__(self, link: MediaLink) -> None:
        self._link = link
        self._closing: dict[m.PortName, asyncio.Future[m.Statistics | None]] = {}
        self._of: OrderedDict[LegId, tuple[_Known, bool]] = OrderedDict()

    def closes(self, leg: LegId, port: m.PortName, *, is_whole: bool) -> None:
        """The leg has ended, and its port is about to be closed.

        `is_whole` says that all that it has counted is the leg's.
        """
        told = asyncio.get_running_loop().create_future()
        self._closing[port] = told
        self._keep(leg, told, is_whole=is_whole)

    def leaves(self, leg: LegId, port: m.PortName) -> None:
        """The leg has ended, and its port goes on without it."""
        self._keep(leg, port, is_whole=False)

    def take(self, closed: m.PortClosed) -> None:
        """A port has told its last."""
        told = self._closing.pop(closed.port, None)
        if told is not None and not told.done():
            told.set_result(closed.statistics)

    def lose(self, port: m.PortName) -> None:
        """A port is gone with its worker, and tells nothing."""
        self.take(m.PortClosed(port))

    async def of(self, leg: LegId) -> LegQuality | None:
        """What is known of a leg that has ended; waits until its port has told."""
        known, is_whole = self._of.get(leg, ("", False))
        if isinstance(known, asyncio.Future):
            # Shielded: whoever gives up must not take it from others.
            return quality_of(await asyncio.shield(known), is_whole=is_whole)
        return await self.now(known, is_whole=is_whole) if known else None

    async def now(self, port: m.PortName, *, is_whole: bool) -> LegQuality | None:
        """What a port that is open counts; `is_whole` says that all of it is the leg's."""
        try:
            counted = await self._link.request(m.ReadStatistics(port=port))
        except MediaError:
            return None
        return quality_of(counted, is_whole=is_whole)

    def _keep(self, leg: LegId, what: _Known, *, is_whole: bool) -> None:
        self._of[leg] = what, is_whole
        while len(self._of) > KEPT:
            self._of.popitem(last=False)


def quality_of(counted: m.Statistics | None, *, is_whole: bool) -> LegQuality | None:
    """What a port has counted, as it goes into a record; None where there was no audio.

    Of a port that serves one call after the other, only what is of the last seconds is the leg's.
    """
    if counted is None or not (counted.packets_received or counted.packets_sent):
        return None
    loss, remote_loss = counted.loss_percent, counted.remote_loss_percent
    if is_whole:
        loss = _percent(counted.packets_lost, counted.packets_expected)
        if counted.remote_lost is not None:
            remote_loss = _percent(counted.remote_lost, counted.packets_sent)
    heard = counted.packets_received > 0
    return LegQuality(
        codec=counted.codec,
        received=AudioFigures(
            packets=counted.packets_received,
            loss_percent=loss,
            jitter_ms=counted.jitter_ms if heard else None,
            mos=counted.mos,
        ),
        sent=AudioFigures(
            packets=counted.packets_sent,
            loss_percent=remote_loss,
            jitter_ms=counted.remote_jitter_ms,
            mos=counted.remote_mos,
        ),
        round_trip_ms=counted.round_trip_ms,
    )


def _percent(lost: int, of: int) -> float | None:
    # Duplicates make more come than was expected (RFC 3550 A.3): that is no loss.
    return None if of <= 0 else round(100 * min(max(lost, 0), of) / of, 2)
