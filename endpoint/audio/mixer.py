"""Mixing: who hears whom, with which gain, for all rooms of a plane in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples

_Rows = npt.NDArray[np.intp]
_Gains = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MixRoute:
    """Row `source` of the sources is heard in row `sink` of the sinks."""

    source: int
    sink: int
    gain_db: float = 0.0


class Mixer:
    """A fixed set of routes, mixed frame by frame.

    A room is whoever is connected by routes, and has a matrix of gains, a row a sink. There is no
    own voice to subtract: nobody is routed to himself. Rooms of one shape are one product of
    matrices; so it costs time by the squares of the rooms, and a thousand small ones are cheap.
    """

    def __init__(self, routes: Sequence[MixRoute], sinks: int) -> None:
        self._sinks = sinks
        by_shape: dict[tuple[int, int], list[tuple[list[int], list[int], _Gains]]] = {}
        for room in map(_matrix_of, _rooms(routes)):
            sinks_of, sources_of, _ = room
            by_shape.setdefault((len(sinks_of), len(sources_of)), []).append(room)
        self._rooms: list[tuple[_Rows, _Rows, _Gains]] = []
        """Of each shape: sinks (rooms, m), sources (rooms, n), gains (rooms, m, n)."""
        for alike in by_shape.values():
            rows = np.array([room[0] for room in alike], dtype=np.intp)
            columns = np.array([room[1] for room in alike], dtype=np.intp)
            self._rooms.append((rows, columns, np.stack([room[2] for room in alike])))

    def mix(self, frames: Samples) -> Samples:
        """One frame of each source, (sources, n), to one of each sink, (sinks, n).

        Clips, never wraps. A sink without a route gets silence.
        """
        mixed = np.zeros((self._sinks, frames.shape[1]), dtype=np.int16)
        for sinks, sources, gains in self._rooms:
            summed = np.matmul(gains, frames[sources].astype(np.float32))
            np.rint(summed, out=summed)
            mixed[sinks] = np.clip(summed, -32768, 32767, out=summed)
        return mixed


def _rooms(routes: Sequence[MixRoute]) -> list[list[MixRoute]]:
    """The routes of each room: those that a chain of sources and sinks connects."""
    room_of_source: dict[int, list[MixRoute]] = {}
    room_of_sink: dict[int, list[MixRoute]] = {}
    for route in routes:
        mine = room_of_source.get(route.source) or room_of_sink.get(route.sink) or []
        other = room_of_sink.get(route.sink)
        if other is not None and other is not mine:
            mine, other = (mine, other) if len(mine) >= len(other) else (other, mine)
            for moved in other:
                room_of_source[moved.source] = room_of_sink[moved.sink] = mine
            mine += other
        mine.append(route)
        room_of_source[route.source] = room_of_sink[route.sink] = mine
    return list({id(room): room for room in room_of_sink.values()}.values())


def _matrix_of(room: list[MixRoute]) -> tuple[list[int], list[int], _Gains]:
    """Its sinks, its sources, and the gains between them."""
    sinks = sorted({route.sink for route in room})
    sources = sorted({route.source for route in room})
    row = {sink: number for number, sink in enumerate(sinks)}
    column = {source: number for number, source in enumerate(sources)}
    gains: _Gains = np.zeros((len(sinks), len(sources)), dtype=np.float32)
    for route in room:
        gains[row[route.sink], column[route.source]] += 10.0 ** (route.gain_db / 20.0)
    return sinks, sources, gains
