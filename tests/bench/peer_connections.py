"""aiortc's RTCPeerConnection as a relay of WebRTC legs, in a process of its own.

Each leg is a connection that sends the other one's received track. `python -m
tests.bench.peer_connections` is that process: a line of JSON asks, a line answers.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from aioice import ice
from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from msgspec import Struct

from endpoint.media import messages as m
from signaling.sdp.description import SessionDescription
from signaling.sdp.dtls import DtlsDescription, Fingerprint
from signaling.sdp.ice import Candidate, IceDescription
from signaling.sdp.negotiation import PCMU, LocalAudio, make_answer
from signaling.sdp.security import Dtls
from tests.bench.rtpload import Coding, Ground

HOST = "127.0.0.1"


class Offer(Struct, frozen=True, tag=True):
    """Make a connection. Answered with a `WebRtcAddress`."""

    leg: str


class Connect(Struct, frozen=True, tag=True):
    """Take the answer. Answered when the connection is up."""

    leg: str
    far: m.WebRtcAddress


class Hear(Struct, frozen=True, tag=True):
    """Take the answer, and answer with the milliseconds until the first frame is there."""

    leg: str
    far: m.WebRtcAddress


class Bridge(Struct, frozen=True, tag=True):
    """Let each send what the other receives."""

    a: str
    b: str


class Close(Struct, frozen=True, tag=True):
    """End a connection."""

    leg: str


class Milliseconds(Struct, frozen=True, tag=True):
    """How long it took."""

    value: float


Asked = Offer | Connect | Hear | Bridge | Close
Answer = m.WebRtcAddress | Milliseconds | m.Done

A = TypeVar("A", m.WebRtcAddress, Milliseconds, m.Done)


class PeerConnections:
    """A `Relay`: `async with PeerConnections(ground) as relay`."""

    name = "aiortc"

    def __init__(self, ground: Ground) -> None:
        self._core = ground.relay_core
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {self._core}),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def pid(self) -> int:
        """See `Relay`."""
        return self._process.pid

    async def offer(self, leg: str) -> m.WebRtcAddress:
        """See `Relay`."""
        return await self._ask(Offer(leg), m.WebRtcAddress)

    async def connect(self, leg: str, far: m.WebRtcAddress, coding: Coding) -> None:
        """See `Relay`; always PCMU."""
        await self._ask(Connect(leg, far), m.Done)

    async def first_audio_ms(self, leg: str, far: m.WebRtcAddress) -> float:
        """Connect; how long after the answer the first frame could be taken."""
        return (await self._ask(Hear(leg, far), Milliseconds)).value

    async def bridge(self, a: str, b: str) -> None:
        """See `Relay`."""
        await self._ask(Bridge(a, b), m.Done)

    async def close(self, leg: str) -> None:
        """See `Relay`."""
        await self._ask(Close(leg), m.Done)

    async def _ask(self, asked: Asked, expected: type[A]) -> A:
        """One at a time: an answer has no number."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(30):
            self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
            line = await self._process.stdout.readline()
        return msgspec.json.decode(line, type=expected)


class Leg:
    """One connection, in the process."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection()
        self.transceiver: RTCRtpTransceiver = self.connection.addTransceiver("audio")
        self._is_up = asyncio.Event()
        self.connection.on("connectionstatechange", self._look)

    async def offer(self) -> m.WebRtcAddress:
        """Gather."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        self._offer = SessionDescription.parse(self.connection.localDescription.sdp.encode())
        medium = self._offer.media[0]
        described = IceDescription.read(self._offer, medium)
        prints = DtlsDescription.read(self._offer, medium).fingerprints
        return m.WebRtcAddress(
            described.ufrag,
            described.pwd,
            [str(each) for each in described.candidates if each.component == 1],
            [m.Fingerprint(each.hash, each.value) for each in prints],
            0,
            "",
        )

    async def take(self, far: m.WebRtcAddress) -> None:
        """Take the answer."""
        candidates = tuple(Candidate.parse(text) for text in far.candidates)
        security = Dtls(
            tuple(Fingerprint(each.hash, each.value) for each in far.fingerprints),
            IceDescription(far.ufrag, far.pwd, candidates, end_of_candidates=True),
        )
        local = LocalAudio(
            HOST, 9, 1, codecs=(PCMU,), ssrc=far.ssrc, cname=far.cname, security=security
        )
        answer, _ = make_answer(self._offer, local)
        text = answer.serialise().decode()
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def until_up(self) -> None:
        """Until ICE and DTLS are done."""
        await self._is_up.wait()

    def _look(self) -> None:
        if self.connection.connectionState == "connected":
            self._is_up.set()


class Service:
    """Does what is asked, in the process."""

    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}

    async def do(self, asked: Asked) -> Answer:
        """One thing."""
        match asked:
            case Offer(leg):
                self._legs[leg] = Leg()
                return await self._legs[leg].offer()
            case Connect(leg, far):
                await self._legs[leg].take(far)
                await self._legs[leg].until_up()
            case Hear(leg, far):
                started = time.monotonic()
                await self._legs[leg].take(far)
                await self._legs[leg].transceiver.receiver.track.recv()
                return Milliseconds(1000 * (time.monotonic() - started))
            case Bridge(a, b):
                one, other = self._legs[a].transceiver, self._legs[b].transceiver
                one.sender.replaceTrack(other.receiver.track)
                other.sender.replaceTrack(one.receiver.track)
            case Close(leg):
                await self._legs.pop(leg).connection.close()
        return m.Done()


async def _serve() -> None:
    # It leaves out loopback, where the far ends are.
    ice.get_host_addresses = lambda use_ipv4, use_ipv6: [HOST]
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    service = Service()
    while line := await reader.readline():
        answer = await service.do(msgspec.json.decode(line, type=Asked))
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve())
