"""Mutants at the sockets of real ports, from strangers and in the far end's name: nothing breaks.

Whatever the port does with them, the loop sees no error, no port says that it is broken, and where
the sender is not who it says, audio goes on.
"""

from __future__ import annotations

import asyncio
import hmac
import pathlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from endpoint.media import messages as m
from endpoint.media.link import MediaSettings
from endpoint.media.rtp import HEADER
from endpoint.rig.impairment import Path, Proxy
from tests.fuzzing import BUDGET, mutants
from tests.integration.endpoint.media.conftest import Studio
from tests.integration.endpoint.media.stream import GOOD, Kind, Stream, two_planes
from tests.integration.endpoint.media.test_attacks import CLIENT_HELLO, FATAL_ALERT, stranger

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SETTINGS = MediaSettings(rtcp_interval_s=0.3, connect_timeout_s=2.0)
A_TURN = 20
"""Mutants between two turns of the loop."""


class Seen(Path):
    """Keeps what passes."""

    def __init__(self) -> None:
        super().__init__(GOOD, 1)
        self.packets: list[bytes] = []

    def send(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        self.packets.append(packet)
        return super().send(packet, now)


class Stage:
    """Two planes, and all that goes wrong in their loop."""

    def __init__(self, sides: tuple[Studio, Studio], proxy: Proxy) -> None:
        self.sides = sides
        self.proxy = proxy
        self.seen = proxy.there = Seen()
        self.seen_back = proxy.back = Seen()
        self._errors: list[dict[str, object]] = []
        self._latest: deque[bytes] = deque(maxlen=3 * A_TURN)
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: self._errors.append(context)
        )

    async def open(self, kind: Kind, name: str = "S") -> Stream:
        """A stream that plays."""
        stream = Stream(self.sides, self.proxy, kind, name)
        await stream.open()
        await stream.play("tone")
        await stream.play_back("tone")
        return stream

    async def spray(
        self, send: Callable[[bytes], object], corpus: Sequence[bytes], seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for number, mutant in enumerate(mutants(corpus, 1)):
            self.remember(mutant)
            send(mutant)
            if number % A_TURN == 0:
                # A flood would be another test: nobody's own packets should be lost for it.
                await asyncio.sleep(0.002)
                self.check()
                if loop.time() > until:
                    return

    def remember(self, mutant: bytes) -> None:
        """It may be what breaks something."""
        self._latest.append(mutant)

    @property
    def failures(self) -> list[m.PortFailure]:
        return [
            notice.failure
            for side in self.sides
            for notice in side.notices
            if isinstance(notice, m.PortFailed)
        ]

    def check(self) -> None:
        assert not self._errors, f"{self._errors[0]} by one of {list(self._latest)}"
        assert m.PortFailure.BROKEN not in self.failures


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with two_planes(SETTINGS) as sides, Proxy() as proxy:
        stage = Stage(sides, proxy)
        yield stage
        stage.check()


def rtp(payload_type: int, payload: bytes, first: int = 0x80, marker: bool = False) -> bytes:
    return HEADER.pack(first, payload_type | marker << 7, 7, 1120, 99) + payload


RTP = [
    rtp(0, bytes(160)),
    rtp(0, bytes(160), marker=True),
    rtp(101, b"\x05\x0a\x01\x40", marker=True),
    rtp(101, b"\x05\x8a\x03\x20"),
    rtp(13, b"\x28"),
    rtp(0, b"\x00\x00\x00\x01" + bytes(160), first=0x81),
    rtp(0, b"\xbe\xde\x00\x01\x10\xff\x00\x00" + bytes(160), first=0x90),
    rtp(0, bytes(156) + b"\x00\x00\x00\x04", first=0xA0),
    rtp(8, bytes(80)),
]
RTCP = [
    b"\x80\xc8\x00\x06\x00\x00\x00\x63"
    + bytes(20)
    + b"\x81\xca\x00\x03\x00\x00\x00\x63\x01\x02ab\x00\x00\x00\x00",
    b"\x81\xc9\x00\x07\x00\x00\x00\x63\x00\x00\x00\x01" + bytes(20),
    b"\x80\xcf\x00\x0b\x00\x00\x00\x63\x07\x00\x00\x08"
    + bytes(32)
    + b"\x04\x00\x00\x02"
    + bytes(8),
    b"\x81\xcb\x00\x01\x00\x00\x00\x63",
    b"\x81\xcd\x00\x03\x00\x00\x00\x63\x00\x00\x00\x01\x00\x07\x00\x00",
]
DTLS = range(20, 64)
"""First octets of its packets (RFC 7983)."""
BINDING_REQUEST = b"\x00\x01"
BINDING_RESPONSE = b"\x01\x01"
SIGNATURE_OCTETS = 24 + 8
"""MESSAGE-INTEGRITY and FINGERPRINT."""


@BUDGET
async def test_rtp_of_the_far_end(stage: Stage, seconds: int, tmp_path: pathlib.Path) -> None:
    """To a port that forwards, mixes, records and listens."""
    stream, other = await stage.open(Kind.RTP), await stage.open(Kind.RTP, "T")
    far = stream.far.link
    await far.request(m.OpenSink("ear"))
    routes = [
        m.RouteTo("S", "T"),
        m.RouteTo("S", "ear"),
        m.RouteTo("T", "ear"),
        m.RouteTo("T", "S"),
    ]
    await far.request(m.SetRoutes("mix", routes))
    await far.request(m.StartListening("S"))
    await far.request(m.StartRecording("R", "S", str(tmp_path / "R")))
    await stage.spray(stream.crossing.forge_near, [*RTP, *RTCP, *stage.seen.packets], seconds)
    await far.request(m.StopRecording("R"))
    await other.plays()


@BUDGET
async def test_reports_of_the_far_end(stage: Stage, seconds: int) -> None:
    stream = await stage.open(Kind.RTP)
    await stage.spray(stream.rtcp.forge_near, [*RTCP, *stage.seen.packets], seconds)
    await stream.plays()
    await stream.plays_back()


@BUDGET
async def test_srtp_of_the_far_end(stage: Stage, seconds: int) -> None:
    stream = await stage.open(Kind.SRTP)
    await stage.spray(stream.crossing.forge_near, [*RTP, *RTCP, *stage.seen.packets], seconds)
    await stream.plays()


@BUDGET
@pytest.mark.parametrize("is_forged", [False, True], ids=["of strangers", "in the far end's name"])
async def test_whatever_comes_to_a_port_of_webrtc(
    stage: Stage, seconds: int, is_forged: bool
) -> None:
    """STUN, DTLS, SRTP, SRTCP, all of which it tells apart by the first octet."""
    stream = await stage.open(Kind.WEBRTC)
    corpus = [*RTP, *RTCP, CLIENT_HELLO, FATAL_ALERT, *stage.seen.packets]
    with stranger() as attacker:
        await stage.spray(
            stream.crossing.forge_near
            if is_forged
            else lambda mutant: attacker.sendto(mutant, stream.far_address),
            corpus,
            seconds,
        )
    assert not stage.failures
    await stream.plays()
    await stream.plays_back()


@BUDGET
async def test_authentic_stun_with_attributes_that_make_no_sense(
    stage: Stage, seconds: int
) -> None:
    """Of a far end that knows the passwords, and uses them badly."""
    stream = await stage.open(Kind.WEBRTC)
    password = stream.ends[1].pwd.encode()
    checks = [packet for packet in stage.seen.packets if packet[:2] == BINDING_REQUEST]
    attributes = [check[20:-SIGNATURE_OCTETS] for check in checks]

    def send(mutant: bytes) -> None:
        stream.crossing.forge_near(signed(checks[0], mutant, password))

    send(attributes[0])
    again = BINDING_RESPONSE, checks[0][8:20]
    async with asyncio.timeout(20):
        while [(p[:2], p[8:20]) for p in stage.seen_back.packets].count(again) < 2:
            await stream.plays(1)
    await stage.spray(send, attributes, seconds)


def signed(check: bytes, attributes: bytes, password: bytes) -> bytes:
    """A check with other attributes, and MESSAGE-INTEGRITY over them (RFC 8489 §14.5)."""
    attributes += bytes(-len(attributes) % 4)
    message = check[:2] + (len(attributes) + 24).to_bytes(2) + check[4:20] + attributes
    return message + b"\x00\x08\x00\x14" + hmac.digest(password, message, "sha1")


@BUDGET
@pytest.mark.parametrize("role", m.DtlsRole)
async def test_the_handshake_while_somebody_on_the_path_meddles_with_it(
    stage: Stage, seconds: int, role: m.DtlsRole
) -> None:
    """It may come to nothing, and says so; each port is closed and another one tries."""
    loop = asyncio.get_running_loop()
    until, number = loop.time() + seconds, 0
    await stage.open(Kind.WEBRTC)
    flights = [packet for packet in stage.seen.packets if packet[0] in DTLS]
    meddling = mutants(flights, 1)
    while loop.time() < until:
        number += 1
        stream = Stream(stage.sides, stage.proxy, Kind.WEBRTC, f"H{number}")
        await stream.prepare()
        await stream.connect(role)
        for _ in range(30):
            mutant = next(meddling)
            stage.remember(mutant)
            stream.crossing.forge_near(mutant)
            stream.crossing.forge_far(mutant)
            await asyncio.sleep(0.001)
        for side in stage.sides:
            await decided(side, stream.name)
            await side.link.request(m.ClosePort(stream.name))
        stage.check()


async def decided(side: Studio, port: m.PortName) -> None:
    async with asyncio.timeout(20):
        while True:
            for notice in side.notices:
                if isinstance(notice, m.PortConnected | m.PortFailed) and notice.port == port:
                    return
            await asyncio.sleep(0.01)
