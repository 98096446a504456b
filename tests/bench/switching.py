"""How fast a hold switches one more call while the load runs."""

from __future__ import annotations

import asyncio
import itertools
import socket
import statistics
import struct
import time

from msgspec import Struct

from endpoint.audio import tones
from endpoint.media import messages as m
from endpoint.media.link import MediaLink
from endpoint.media.rtp import HEADER
from tests.bench.legs import CODECS, HOST, Ours, set_up_plain
from tests.bench.report import Row
from tests.bench.rtpload import Ground

PCMU = CODECS[0]
SWITCH_MS = 20.0
ONE_HOLD_S = 0.2
AROUND_S = 3.0
"""Of load, before the first and after the last hold."""


class Switching(Struct, frozen=True):
    """Holds and retrieves of one call while the load runs; times from the command, in ms."""

    count: int
    last_old_packet_ms: float
    """The latest packet of the old route over all switches; -1: none came after a command."""
    old_packets_after_applied: int
    music_p50_ms: float
    music_max_ms: float
    retrieved_max_ms: float
    breaks: int
    """Packets that did not follow their predecessor by one in sequence."""


async def hold(ground: Ground) -> list[Row]:
    """Hold and retrieve one more call while the load runs."""
    ground.say(f"{ground.times} holds under the load of {ground.legs} legs")
    async with Ours(ground) as ours:
        remotes = await set_up_plain(ours, ground.ports)
        seconds = ground.times * ONE_HOLD_S + AROUND_S
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ground.forward(ours.pid, remotes, seconds=seconds))
            await asyncio.sleep(1)
            seen = await _switch(ours.link, ground.times)
    faults = seen.old_packets_after_applied + seen.breaks
    return [
        Row(
            name="hold",
            what=f"hold to music, longest of {ground.times} under {ground.legs} legs",
            unit="ms",
            ours=max(seen.music_max_ms, seen.last_old_packet_ms),
            limit=SWITCH_MS,
            loads=[running.result().load],
            details={
                "music p50 ms": seen.music_p50_ms,
                "last old packet ms": seen.last_old_packet_ms,
                "voice again ms": seen.retrieved_max_ms,
            },
        ),
        Row(
            name="hold-faults",
            what="packets of the old route after a hold, breaks in sequence",
            unit="packets",
            ours=faults,
            limit=0,
        ),
    ]


class _Ear:
    """Receives RTP with the kernel's time stamps."""

    def __init__(self) -> None:
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS; not in the module
        self.packets: list[tuple[float, int, bytes]] = []
        """When, sequence number, payload."""
        asyncio.get_running_loop().add_reader(self.socket, self._read)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()

    def _read(self) -> None:
        packet, control, _, _ = self.socket.recvmsg(2048, 256)
        seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
        self.packets.append((seconds + nanoseconds / 1e9, int.from_bytes(packet[2:4]), packet[12:]))


VOICE = bytes(range(160))


async def _switch(link: MediaLink, count: int) -> Switching:
    """A speaks a packet a millisecond; B hears A, then music, then A."""
    speaker, ear = _Ear(), _Ear()
    addresses = {}
    for name, end in (("A", speaker), ("B", ear)):
        addresses[name] = await link.request(m.OpenRtpPort(name))
        await link.request(m.SetRemote(name, HOST, end.port, end.port + 1, PCMU, PCMU))
    await link.request(m.OpenPlayer("music", tones.MUSIC_ON_HOLD))
    talk, held = [m.RouteTo("A", "B")], [m.RouteTo("music", "B")]
    last_old, after_applied = -1.0, 0
    music: list[float] = []
    retrieved: list[float] = []
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(_speak(speaker.socket, addresses["A"].rtp_port))
        await link.request(m.SetRoutes("switch", talk))
        await asyncio.sleep(0.2)
        for turn in range(count):
            # At another phase of the clock each time.
            await asyncio.sleep(0.05 + turn % 20 / 1000)
            start = len(ear.packets)
            asked = time.clock_gettime(time.CLOCK_REALTIME)
            await link.request(m.SetRoutes("switch", held))
            applied = time.clock_gettime(time.CLOCK_REALTIME)
            await asyncio.sleep(0.08)
            old = [at for at, _, payload in ear.packets[start:] if payload == VOICE]
            last_old = max([last_old, *(1000 * (at - asked) for at in old)])
            after_applied += sum(at > applied for at in old)
            music.append(_first(ear, start, asked, is_voice=False))
            start = len(ear.packets)
            asked = time.clock_gettime(time.CLOCK_REALTIME)
            await link.request(m.SetRoutes("switch", talk))
            await asyncio.sleep(0.03)
            retrieved.append(_first(ear, start, asked, is_voice=True))
        speaking.cancel()
    numbers = [number for _, number, _ in ear.packets]
    breaks = sum((b - a) & 0xFFFF != 1 for a, b in itertools.pairwise(numbers))
    speaker.close()
    ear.close()
    return Switching(
        count,
        round(last_old, 3),
        after_applied,
        round(statistics.median(music), 3),
        round(max(music), 3),
        round(max(retrieved), 3),
        breaks,
    )


def _first(ear: _Ear, start: int, asked: float, *, is_voice: bool) -> float:
    return next(
        (
            1000 * (at - asked)
            for at, _, payload in ear.packets[start:]
            if (payload == VOICE) is is_voice and at > asked
        ),
        float("inf"),
    )


async def _speak(from_: socket.socket, to_port: int) -> None:
    sequence = 0
    while True:
        header = HEADER.pack(0x80, 0, sequence & 0xFFFF, sequence * 8, 77)
        from_.sendto(header + VOICE, (HOST, to_port))
        sequence += 1
        await asyncio.sleep(0.001)
