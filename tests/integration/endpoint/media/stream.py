"""Two planes, and streams from one to the other over a bad network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum

from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings, WorkerLink
from endpoint.rig.impairment import Address, Crossing, Impairment, Proxy
from tests.integration.endpoint.media.conftest import Studio
from tests.integration.endpoint.media.hearing import STAIRS, TONE
from tests.integration.endpoint.media.phone import PCMU

GOOD = Impairment()
DEAD = Impairment(blackhole=True)


class Kind(StrEnum):
    """How the audio goes."""

    RTP = "PCMU over RTP"
    SRTP = "PCMU over SRTP"
    """With keys from SDP."""
    WEBRTC = "PCMU over WebRTC"
    OPUS = "Opus over WebRTC"


OPUS = m.PayloadType(111, "OPUS", 48000, 2, "minptime=10;useinbandfec=1")
CODECS = {Kind.RTP: PCMU, Kind.SRTP: PCMU, Kind.WEBRTC: PCMU, Kind.OPUS: OPUS}
PROTECTIONS = (Kind.RTP, Kind.SRTP, Kind.WEBRTC)
"""For what is the same with every codec."""
PROFILE = m.SrtpProfile.AES_CM_128_HMAC_SHA1_80
KEYS = [m.SrtpKey(PROFILE, bytes([octet]) * PROFILE.master_size) for octet in (1, 2)]


@asynccontextmanager
async def two_planes(
    settings: MediaSettings, link: type[LocalLink | WorkerLink] = LocalLink
) -> AsyncIterator[tuple[Studio, Studio]]:
    """Near and far, each with the players `tone` and `stairs`."""
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        sides = []
        for _ in range(2):
            side = Studio(await stack.enter_async_context(link(settings)))
            group.create_task(side.keep_notices())
            await side.link.request(m.OpenPlayer("tone", TONE))
            await side.link.request(m.OpenPlayer("stairs", STAIRS))
            sides.append(side)
        yield sides[0], sides[1]


class Stream:
    """A port of the same name in each of two planes, and the network between them."""

    crossing: Crossing
    rtcp: Crossing
    """Of a stream without WebRTC."""
    ends: list[m.WebRtcAddress]
    """What near and far say of themselves, with WebRTC."""
    near_address: Address
    """Where the near port itself listens, which nobody but the proxy was told."""
    far_address: Address

    def __init__(
        self, sides: tuple[Studio, Studio], proxy: Proxy, kind: Kind, name: m.PortName
    ) -> None:
        self.near, self.far = sides
        self.proxy = proxy
        self.name = name
        self._kind = kind
        self._codecs = [CODECS[kind]]
        self._is_webrtc = kind in (Kind.WEBRTC, Kind.OPUS)

    async def open(self, *, rtp_timeout_s: float = 0.0) -> None:
        """Open both ports and tell each of the other; a WebRTC one connects, or not."""
        await self.prepare(rtp_timeout_s=rtp_timeout_s)
        await self.connect()

    async def prepare(self, *, rtp_timeout_s: float = 0.0) -> None:
        """Open both ports."""
        if self._is_webrtc:
            self.ends = [
                await side.link.request(
                    m.OpenWebRtcPort(self.name, side is self.near, rtp_timeout_s=rtp_timeout_s)
                )
                for side in (self.near, self.far)
            ]
            self.near_address, self.far_address = map(address_of, self.ends)
        else:
            near, far = [
                await side.link.request(m.OpenRtpPort(self.name, rtp_timeout_s))
                for side in (self.near, self.far)
            ]
            self.near_address = near.host, near.rtp_port
            self.far_address = far.host, far.rtp_port
            self.rtcp = await self.proxy.cross(
                (near.host, near.rtcp_port), (far.host, far.rtcp_port)
            )
        self.crossing = await self.proxy.cross(self.near_address, self.far_address)

    async def connect(self, role: m.DtlsRole = m.DtlsRole.SERVER) -> None:
        """Tell each of the other; `role` is the near end's."""
        if self._is_webrtc:
            near, far = self.ends
            (other_role,) = set(m.DtlsRole) - {role}
            await self._connect_webrtc(self.far, near, self.crossing.near_address, other_role)
            await self._connect_webrtc(self.near, far, self.crossing.far_address, role)
        else:
            ours, theirs = KEYS
            await self._connect_rtp(
                self.near, self.crossing.far_address, self.rtcp.far_address, [ours, theirs]
            )
            await self._connect_rtp(
                self.far, self.crossing.near_address, self.rtcp.near_address, [theirs, ours]
            )

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

    async def _connect_rtp(
        self, side: Studio, seen: Address, seen_rtcp: Address, keys: list[m.SrtpKey]
    ) -> None:
        srtp = m.SrtpKeys(*keys) if self._kind is Kind.SRTP else None
        remote = m.SetRemote(self.name, *seen, seen_rtcp[1], self._codecs, self._codecs, srtp=srtp)
        await side.link.request(remote)

    async def _connect_webrtc(
        self, side: Studio, other: m.WebRtcAddress, seen: Address, role: m.DtlsRole
    ) -> None:
        remote = m.SetWebRtcRemote(
            self.name,
            other.ufrag,
            other.pwd,
            other.fingerprints,
            role,
            self._codecs,
            self._codecs,
            candidates=[candidate(seen)],
        )
        await side.link.request(remote)


async def _receives(side: Studio, port: m.PortName, packets: int) -> None:
    before = (await side.statistics(port)).packets_received
    await side.until_counted(port, lambda c: c.packets_received >= before + packets)


def candidate(address: Address) -> str:
    """A host candidate, as `m.WebRtcAddress` has them."""
    return f"1 1 udp 2130706431 {address[0]} {address[1]} typ host"


def address_of(end: m.WebRtcAddress | m.SetWebRtcRemote) -> Address:
    """Its first candidate's."""
    words = end.candidates[0].split()
    return words[4], int(words[5])
