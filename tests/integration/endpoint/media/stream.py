"""Two planes, and streams from one to the other over a bad network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum

from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings
from endpoint.rig.impairment import Address, Crossing, Impairment, Proxy
from tests.integration.endpoint.media.conftest import Studio
from tests.integration.endpoint.media.hearing import STAIRS, TONE
from tests.integration.endpoint.media.phone import PCMU

GOOD = Impairment()
DEAD = Impairment(blackhole=True)


class Kind(StrEnum):
    """How the audio goes."""

    RTP = "PCMU over RTP"
    WEBRTC = "PCMU over WebRTC"


CODECS = {Kind.RTP: PCMU, Kind.WEBRTC: PCMU}


@asynccontextmanager
async def two_planes(settings: MediaSettings) -> AsyncIterator[tuple[Studio, Studio]]:
    """Near and far, each with the players `tone` and `stairs`."""
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        sides = []
        for _ in range(2):
            side = Studio(await stack.enter_async_context(LocalLink(settings)))
            group.create_task(side.keep_notices())
            await side.link.request(m.OpenPlayer("tone", TONE))
            await side.link.request(m.OpenPlayer("stairs", STAIRS))
            sides.append(side)
        yield sides[0], sides[1]


class Stream:
    """A port of the same name in each of two planes, and the network between them."""

    crossing: Crossing

    def __init__(
        self, sides: tuple[Studio, Studio], proxy: Proxy, kind: Kind, name: m.PortName
    ) -> None:
        self.near, self.far = sides
        self.proxy = proxy
        self.name = name
        self._kind = kind

    async def open(self, *, rtp_timeout_s: float = 0.0) -> None:
        """Open both ports and tell each of the other; a WebRTC one connects, or not."""
        codecs = [CODECS[self._kind]]
        if self._kind is Kind.RTP:
            await self._open_rtp(codecs, rtp_timeout_s)
        else:
            await self._open_webrtc(codecs, rtp_timeout_s)

    async def play(self, player: m.PortName) -> None:
        """From near to far; returns when it arrives there."""
        await self.near.link.request(m.SetRoutes(self.name, [m.RouteTo(player, self.name)]))
        await self.plays()

    async def play_back(self, player: m.PortName) -> None:
        """From far to near."""
        await self.far.link.request(m.SetRoutes(self.name, [m.RouteTo(player, self.name)]))
        await self.plays_back()

    async def plays(self, packets: int = 5) -> None:
        """Wait until so many more have arrived."""
        await _receives(self.far, self.name, packets)

    async def plays_back(self, packets: int = 5) -> None:
        """The same from far to near."""
        await _receives(self.near, self.name, packets)

    async def _open_rtp(self, codecs: list[m.PayloadType], rtp_timeout_s: float) -> None:
        near, far = [
            await side.link.request(m.OpenRtpPort(self.name, rtp_timeout_s))
            for side in (self.near, self.far)
        ]
        self.crossing = rtp = await self.proxy.cross(
            (near.host, near.rtp_port), (far.host, far.rtp_port)
        )
        rtcp = await self.proxy.cross((near.host, near.rtcp_port), (far.host, far.rtcp_port))
        for side, seen, seen_rtcp in (
            (self.near, rtp.far_address, rtcp.far_address),
            (self.far, rtp.near_address, rtcp.near_address),
        ):
            await side.link.request(m.SetRemote(self.name, *seen, seen_rtcp[1], codecs, codecs))

    async def _open_webrtc(self, codecs: list[m.PayloadType], rtp_timeout_s: float) -> None:
        near, far = [
            await side.link.request(
                m.OpenWebRtcPort(self.name, side is self.near, rtp_timeout_s=rtp_timeout_s)
            )
            for side in (self.near, self.far)
        ]
        self.crossing = await self.proxy.cross(address_of(near), address_of(far))
        for side, other, seen, role in (
            (self.far, near, self.crossing.near_address, m.DtlsRole.CLIENT),
            (self.near, far, self.crossing.far_address, m.DtlsRole.SERVER),
        ):
            remote = m.SetWebRtcRemote(
                self.name,
                other.ufrag,
                other.pwd,
                other.fingerprints,
                role,
                codecs,
                codecs,
                candidates=[candidate(seen)],
            )
            await side.link.request(remote)


async def _receives(side: Studio, port: m.PortName, packets: int) -> None:
    before = (await side.statistics(port)).packets_received
    await side.until_counted(port, lambda c: c.packets_received >= before + packets)


def candidate(address: Address) -> str:
    """A host candidate, as `m.WebRtcAddress` has them."""
    return f"1 1 udp 2130706431 {address[0]} {address[1]} typ host"


def address_of(end: m.WebRtcAddress) -> Address:
    """Its first candidate's."""
    words = end.candidates[0].split()
    return words[4], int(words[5])
