"""A bad network between two ends, in user space: a seeded UDP proxy.

`Path` is the pure part: a packet in at a time, packets out at later times. `Proxy` puts two of
them, there and back, between sockets. It needs no root, and repeats itself from the same seed::

    async with Proxy(Impairment(loss=0.05, delay_ms=80, jitter_ms=80), seed=7) as proxy:
        crossing = await proxy.cross(near=phone, far=server)
        # the phone is told crossing.far_address as the server's, the server crossing.near_address
        proxy.change(Impairment(blackhole=True))

For plain RTP, cross once for RTP and once for RTCP. For WebRTC, give each end a candidate with the
address of the proxy in place of the other end's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Address = tuple[str, int]
_HEADERS = 28
"""Octets of IPv4 and UDP, which count where the size or the rate is limited."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What packets of one direction suffer. Shares are of all packets, from 0 to 1.

    Raises ValueError for what can't be.
    """

    loss: float = 0.0
    """Share that is lost, each by itself."""
    burst_ms: float = 0.0
    """Length of a burst, in which all is lost."""
    burst_every_ms: float = 5000.0
    """Mean time between two bursts; it has no memory (Gilbert)."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Each packet is so much earlier or later, evenly; it may overtake others."""
    reorder: float = 0.0
    """Share that is held back for `reorder_ms`, and overtaken."""
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    """Share that arrives twice."""
    rate_kbit_s: float | None = None
    """What goes through, with the headers of IP and UDP; what waits longer than `queue_ms` is lost.
    """
    queue_ms: float = 100.0
    mtu: int = 65_535
    """Octets of an IP packet; larger ones are lost."""
    blackhole: bool = False
    """Nothing arrives."""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.loss, self.reorder, self.duplicate)):
            raise ValueError("a share is from 0 to 1")
        if not 0 <= self.jitter_ms <= self.delay_ms:
            raise ValueError("nothing arrives before it is sent: jitter_ms is at most delay_ms")
        if min(self.burst_ms, self.reorder_ms, self.queue_ms) < 0 or self.burst_every_ms <= 0:
            raise ValueError("no time is negative")
        if self.rate_kbit_s is not None and self.rate_kbit_s <= 0:
            raise ValueError("rate_kbit_s is positive, or None")


@dataclass(slots=True)
class Counts:
    """What a path did. `received + duplicated` is the sum of all others but `reordered`."""

    received: int = 0
    delivered: int = 0
    duplicated: int = 0
    reordered: int = 0
    """Held back to be overtaken; jitter may reorder more."""
    lost: int = 0
    """By chance, in bursts, and in the black hole."""
    too_large: int = 0
    overflowed: int = 0
    """For which there was no room in the queue."""


class Path:
    """One direction. The same seed, packets and times give the same again."""

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self.impairment = impairment
        """May be changed at any time; what is under way stays so."""
        self.counts = Counts()
        self._random = random.Random(seed)
        self._bursts = random.Random(~seed)
        self._burst_at: float | None = None
        self._is_free_at = 0.0
        """When the last packet in the queue has left it."""

    def send(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """A packet comes in at `now`, in seconds. Returns what comes out when."""
        does, counts = self.impairment, self.counts
        # As many for each packet, so that no setting changes what befalls the packets after it.
        lost, doubled, *copies = (self._random.random() for _ in range(6))
        counts.received += 1
        if does.blackhole or self._is_burst(now) or lost < does.loss:
            counts.lost += 1
            return []
        if len(packet) + _HEADERS > does.mtu:
            counts.too_large += 1
            return []
        leaves = self._queue(packet, now)
        if leaves is None:
            counts.overflowed += 1
            return []
        count = 2 if doubled < does.duplicate else 1
        counts.duplicated += count - 1
        counts.delivered += count
        chances = zip(copies[::2], copies[1::2], strict=True)
        return [(leaves + self._travel_s(*next(chances)), packet) for _ in range(count)]

    def _is_burst(self, now: float) -> bool:
        does = self.impairment
        if not does.burst_ms:
            self._burst_at = None
            return False
        if self._burst_at is None:
            self._burst_at = now + self._pause_s()
        while self._burst_at + does.burst_ms / 1000 <= now:
            self._burst_at += does.burst_ms / 1000 + self._pause_s()
        return self._burst_at <= now

    def _pause_s(self) -> float:
        return self._bursts.expovariate(1000 / self.impairment.burst_every_ms)

    def _queue(self, packet: bytes, now: float) -> float | None:
        """When it has been sent on; None where there is no room for it."""
        does = self.impairment
        if does.rate_kbit_s is None:
            return now
        begins = max(now, self._is_free_at)
        if (begins - now) * 1000 > does.queue_ms:
            return None
        self._is_free_at = begins + 8 * (len(packet) + _HEADERS) / (1000 * does.rate_kbit_s)
        return self._is_free_at

    def _travel_s(self, early: float, held: float) -> float:
        does = self.impairment
        travel_ms = does.delay_ms + does.jitter_ms * (2 * early - 1)
        if held < does.reorder:
            self.counts.reordered += 1
            travel_ms += does.reorder_ms
        return travel_ms / 1000


class Proxy:
    """A network between near and far ends, on loopback. Use as `async with`.

    `there` is what near ends send, `back` what far ends send; all crossings share them, as the
    streams of a call share a line.
    """

    def __init__(
        self,
        there: Impairment | None = None,
        back: Impairment | None = None,
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        there = there or Impairment()
        self.there = Path(there, 2 * seed)
        self.back = Path(back or there, 2 * seed + 1)
        self._host = host
        self._faces: list[_Face] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for face in self._faces:
            face.transport.close()
        # The sockets are closed a turn of the loop later.
        await asyncio.sleep(0)

    def change(self, there: Impairment, back: Impairment | None = None) -> None:
        """Be such a network from now on, both ways alike where `back` is not given."""
        self.there.impairment, self.back.impairment = there, back or there

    async def cross(self, near: Address | None = None, far: Address | None = None) -> Crossing:
        """Join a port of each end. An end that is not given is whoever sends first."""
        crossing = Crossing(self)
        crossing.near = await self._open(self.back, near)
        crossing.far = await self._open(self.there, far)
        crossing.join()
        return crossing

    async def _open(self, path: Path, end: Address | None, host: str | None = None) -> _Face:
        loop = asyncio.get_running_loop()
        transport, face = await loop.create_datagram_endpoint(
            lambda: _Face(path, end), local_addr=(host or self._host, 0)
        )
        face.transport = transport
        self._faces.append(face)
        return face


class Crossing:
    """Two addresses of the proxy: each stands for one end, towards the other."""

    near: _Face
    far: _Face

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    @property
    def far_address(self) -> Address:
        """Where the near end finds the far end."""
        return self.near.address

    @property
    def near_address(self) -> Address:
        """Where the far end finds the near end."""
        return self.far.address

    async def move_near(self, host: str | None = None) -> None:
        """The far end sees the near end at another address from now on.

        What it sends to the old one is lost.
        """
        self.far = await self._moved(self.far, host)
        self.join()

    async def move_far(self, host: str | None = None) -> None:
        """The same with the ends the other way round."""
        self.near = await self._moved(self.near, host)
        self.join()

    def forge_near(self, packet: bytes) -> None:
        """Send to the far end in the near end's name, as an attacker on the path can."""
        self.far.deliver(packet)

    def forge_far(self, packet: bytes) -> None:
        """The same with the ends the other way round."""
        self.near.deliver(packet)

    async def _moved(self, old: _Face, host: str | None) -> _Face:
        old.arrived = _lose
        return await self._proxy._open(old.path, old.end, host)

    def join(self) -> None:
        """What comes in at one face goes out at the other."""
        self.near.arrived, self.far.arrived = self.far.send, self.near.send


def _lose(packet: bytes) -> None:
    pass


class _Face(asyncio.DatagramProtocol):
    """A socket towards one end, at the end of the path that leads to it."""

    def __init__(self, path: Path, end: Address | None) -> None:
        self.path = path
        self.end = end
        self.arrived: Callable[[bytes], None] = _lose
        self.transport: asyncio.DatagramTransport
        self._loop = asyncio.get_running_loop()

    @property
    def address(self) -> Address:
        host, port = self.transport.get_extra_info("sockname")[:2]
        return host, port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.end = self.end or (addr[0], addr[1])
        self.arrived(data)

    def send(self, packet: bytes) -> None:
        for at, copy in self.path.send(packet, self._loop.time()):
            self._loop.call_at(at, self.deliver, copy)

    def deliver(self, packet: bytes) -> None:
        if self.end is not None and not self.transport.is_closing():
            self.transport.sendto(packet, self.end)
