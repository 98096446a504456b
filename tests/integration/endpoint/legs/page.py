"""A page of the test: WebRTC audio in a media plane of its own, and offers for our sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.legs.base import DeviceId
from endpoint.legs.browser import BrowserSession, BrowserStations
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from endpoint.media.settings import MediaSettings
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.negotiation import BROWSER_CODECS
from tests.integration.endpoint.legs.phones import TONES_HZ, WAIT_S, hears

N = TypeVar("N", bound=m.Notice)


class Page:
    """A browser's page that stands for a device, and says its tone."""

    def __init__(self, user: str, link: LocalLink) -> None:
        self.user = user
        self.link = link
        self.audio = AudioEnd(link, "page", Protection.WEBRTC)
        self.audio.codecs = BROWSER_CODECS
        self.rewrite: Callable[[bytes], bytes] = lambda sdp: sdp
        """What becomes of its offers on their way."""
        self.reread: Callable[[bytes], bytes] = lambda sdp: sdp
        """What becomes of our answers on theirs."""
        self.session: BrowserSession
        self._sent: SessionDescription

    async def open(self) -> None:
        """Take the microphone: a tone."""
        tone = m.Segment([TONES_HZ[self.user]], 1000)
        await self.audio.open(controlling=True)
        await self.link.request(m.OpenPlayer(port="tone", cadence=[tone]))
        await self.link.request(m.StartListening(port="page"))
        await self.link.request(m.SetRoutes(group="page", routes=[m.RouteTo("tone", "page")]))

    def offer(self, direction: Direction = Direction.SENDRECV) -> bytes:
        self._sent = self.audio.offer(direction)
        return self.rewrite(self._sent.serialise())

    async def take_answer(self, answer: bytes) -> None:
        await self.audio.agree(self.audio.accept(self._sent, self.reread(answer)))

    async def begin(self, stations: BrowserStations) -> None:
        """Become the device's telephone."""
        self.session, answer = await stations.open(DeviceId(self.user), self.offer())
        await self.take_answer(answer)

    async def offer_again(
        self, stations: BrowserStations, direction: Direction = Direction.SENDRECV
    ) -> None:
        await self.take_answer(await stations.renew(self.session, self.offer(direction)))

    @property
    def described(self) -> SessionDescription:
        """What it offered last, as it was meant."""
        return self._sent

    async def hears(self, *expected: str) -> None:
        """Wait until exactly this is heard."""
        await hears(self.link, "page", set(expected))

    async def notice(self, kind: type[N]) -> N:
        """Wait for what its own plane says; what came before is passed over."""
        async with asyncio.timeout(WAIT_S):
            async for notice in self.link.notices():
                if isinstance(notice, kind):
                    return notice
        raise AssertionError(f"no {kind.__name__}")


@asynccontextmanager
async def page(user: str) -> AsyncIterator[Page]:
    """A page with its microphone open."""
    async with LocalLink(MediaSettings(rtp_port_low=24000, rtp_port_high=25999)) as link:
        opened = Page(user, link)
        await opened.open()
        yield opened
