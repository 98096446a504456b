"""WebRTC legs under load: our media process, and the far ends that bring the load to any relay.

    generator ⇄ RTP ⇄ far ends ⇄ WebRTC ⇄ relay        the relay connects neighbours

The far ends are a media process too, on the generator's core; only the relay's CPU is measured.
Latency is from the generator back to it, so the far ends' two passes are in the figure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from endpoint.audio import tones
from endpoint.media import messages as m
from endpoint.media.link import MediaLink, MediaSettings, WorkerLink, WorkerLost
from endpoint.media.pool import MediaPool, in_turn
from tests.bench.rtpload import PCMU, Coding, Ground

HOST = "127.0.0.1"
EVENTS = m.PayloadType(101, "TELEPHONE-EVENT")
CODECS = {
    0: [m.PayloadType(0, "PCMU"), EVENTS],
    111: [m.PayloadType(111, "OPUS", 48000, 2), EVENTS],
}
SET_UP_AT_ONCE = 10
PATIENCE_S = 20


class Relay(Protocol):
    """Who carries WebRTC legs. It makes the offers."""

    name: str

    @property
    def pid(self) -> int:
        """Of its process."""

    async def offer(self, leg: str) -> m.WebRtcAddress:
        """Open a leg."""

    async def connect(self, leg: str, far: m.WebRtcAddress, coding: Coding) -> None:
        """Take the answer; the leg is up then."""

    async def bridge(self, a: str, b: str) -> None:
        """Let two legs hear each other."""

    async def close(self, leg: str) -> None:
        """End a leg."""


class MediaProcess:
    """A media process of ours that keeps in mind what it was told: `async with … as process`."""

    def __init__(self, settings: MediaSettings) -> None:
        self.worker = WorkerLink(settings)
        self.link: MediaLink = self.worker
        """Who is asked."""
        self._told: dict[tuple[type[m.Notice], m.PortName], asyncio.Event] = {}
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            group = await opening.enter_async_context(asyncio.TaskGroup())
            await self._enter(opening)
            group.create_task(self._listen())
            self._opened = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.worker.pid is not None
        return self.worker.pid

    async def _enter(self, opening: AsyncExitStack) -> None:
        await opening.enter_async_context(self.worker)

    async def until(self, kind: type[m.Notice], port: m.PortName) -> None:
        """Until it has said that of a port."""
        async with asyncio.timeout(PATIENCE_S):
            await self._event(kind, port).wait()

    async def _listen(self) -> None:
        async for notice in self.link.notices():
            if isinstance(notice, m.PortConnected | m.FirstPacket):
                self._event(type(notice), notice.port).set()
            elif isinstance(notice, WorkerLost) or (
                # Closed: the other end was, a moment before this one.
                isinstance(notice, m.PortFailed) and notice.failure is not m.PortFailure.CLOSED
            ):
                raise AssertionError(f"the bench lost its audio: {notice}")

    def _event(self, kind: type[m.Notice], port: m.PortName) -> asyncio.Event:
        return self._told.setdefault((kind, port), asyncio.Event())

    async def open_plain(self, name: str, to_port: int, coding: Coding = PCMU) -> int:
        """Open an RTP port towards a port of the generator. Returns where that sends to."""
        codecs = CODECS[coding.payload_type]
        address = await self.link.request(m.OpenRtpPort(name))
        await self.link.request(m.SetRemote(name, HOST, to_port, to_port + 1, codecs, codecs))
        return address.rtp_port

    async def set_remote(
        self, name: str, far: m.WebRtcAddress, role: m.DtlsRole, coding: Coding
    ) -> None:
        """Connect a WebRTC port with its far end."""
        codecs = CODECS[coding.payload_type]
        await self.link.request(
            m.SetWebRtcRemote(
                name,
                far.ufrag,
                far.pwd,
                far.fingerprints,
                role,
                codecs,
                codecs,
                candidates=far.candidates,
            )
        )

    async def bridge(self, a: str, b: str) -> None:
        """Let two ports hear each other."""
        await self.link.request(m.SetRoutes(a, [m.RouteTo(a, b), m.RouteTo(b, a)]))


class Ours(MediaProcess):
    """Our media process as the relay, with a core to itself."""

    name = "ours"

    def __init__(self, ground: Ground) -> None:
        super().__init__(MediaSettings(cpu_affinity=(ground.relay_core,), rtp_port_high=24999))

    async def offer(self, leg: str) -> m.WebRtcAddress:
        """See `Relay`."""
        return await self.link.request(m.OpenWebRtcPort(leg, controlling=True))

    async def connect(self, leg: str, far: m.WebRtcAddress, coding: Coding = PCMU) -> None:
        """See `Relay`."""
        await self.set_remote(leg, far, m.DtlsRole.CLIENT, coding)
        await self.until(m.PortConnected, leg)

    async def close(self, leg: str) -> None:
        """See `Relay`."""
        await self.link.request(m.ClosePort(leg))


class FarEnds(MediaProcess):
    """The other end of every WebRTC leg, each with an RTP port for the generator.

    They read by a beat, as the relay does: each packet that woke them would cost the relay several
    times what it costs to send it, on a virtual machine, and no network does that.
    """

    def __init__(self, ground: Ground, *, prompt: bool = False) -> None:
        """`prompt`: they wait for nothing, and so add little to a latency."""
        settings = MediaSettings(
            cpu_affinity=(ground.load_core,),
            rtp_port_low=25000,
            beat_s=(0, 0) if prompt else MediaSettings().beat_s,
        )
        super().__init__(settings)

    async def answer(self, leg: str, offer: m.WebRtcAddress, coding: Coding) -> m.WebRtcAddress:
        """Answer a relay's offer."""
        local = await self.link.request(m.OpenWebRtcPort(leg, controlling=False))
        await self.set_remote(leg, offer, m.DtlsRole.SERVER, coding)
        return local

    async def play(self, leg: str) -> None:
        """Let a leg say something all the time."""
        await self.link.request(m.OpenPlayer(f"music to {leg}", tones.MUSIC_ON_HOLD))
        await self.link.request(m.SetRoutes(leg, [m.RouteTo(f"music to {leg}", leg)]))

    async def close(self, leg: str) -> None:
        """End a leg."""
        await self.link.request(m.ClosePort(leg))


class OursTwice(Ours):
    """Two media processes of ours as one relay, on the core of one: neighbours are at both."""

    name = "ours, two workers"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        settings = MediaSettings(cpu_affinity=(ground.relay_core,), rtp_port_low=25000)
        self._pool = MediaPool([self.worker, WorkerLink(settings)], placement=in_turn())
        self.link = self._pool

    async def _enter(self, opening: AsyncExitStack) -> None:
        await opening.enter_async_context(self._pool)


async def set_up(
    relay: Relay, far: FarEnds, ports: Sequence[int], coding: Coding = PCMU
) -> list[int]:
    """Connect a leg for each port of the generator; neighbours hear each other.

    Returns where the generator sends to.
    """
    turn = asyncio.Semaphore(SET_UP_AT_ONCE)

    async def add(index: int, port: int) -> int:
        leg = f"leg-{index}"
        async with turn:
            answer = await far.answer(leg, await relay.offer(leg), coding)
            await relay.connect(leg, answer, coding)
            remote = await far.open_plain(f"rtp-{index}", port, coding)
            await far.bridge(leg, f"rtp-{index}")
        return remote

    remotes = await _all(lambda index: add(index, ports[index]), len(ports))
    for index in range(0, len(ports), 2):
        await relay.bridge(f"leg-{index}", f"leg-{index + 1}")
    return remotes


async def set_up_plain(ours: MediaProcess, ports: Sequence[int]) -> list[int]:
    """The same with plain RTP, straight to the generator."""
    remotes = [await ours.open_plain(f"leg-{index}", port) for index, port in enumerate(ports)]
    for index in range(0, len(ports), 2):
        await ours.bridge(f"leg-{index}", f"leg-{index + 1}")
    return remotes


async def _all(do: Callable[[int], Awaitable[int]], count: int) -> list[int]:
    return list(await asyncio.gather(*(do(index) for index in range(count))))
