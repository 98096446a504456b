"""A plane, and phones that are connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaLink, MediaSettings, WorkerLost
from tests.integration.endpoint.media.phone import Phone

N = TypeVar("N")
SETTINGS = MediaSettings(
    latch_other_port_s=0.1, latch_other_host_s=0.6, rtcp_interval_s=0.2, quality_window_s=0.5
)


class Studio:
    """A plane in this loop, with what tests say of it in few words."""

    def __init__(self, link: MediaLink) -> None:
        self.link = link
        self.addresses: dict[str, m.RtpAddress] = {}
        self.notices: list[m.Notice | WorkerLost] = []
        self._noticed = asyncio.Event()

    async def connect(
        self, phone: Phone, *, talks: bool = True, timeout_s: float = 0.0, **port: bool
    ) -> None:
        """Open a port for a phone and tell each of the other; `port`: more of `OpenRtpPort`."""
        address = await self.link.request(m.OpenRtpPort(phone.name, timeout_s, **port))
        self.addresses[phone.name] = address
        await self.link.request(phone.remote(phone.name))
        if talks:
            phone.talk_to(address)

    async def route(self, *pairs: str, gain_db: float = 0.0) -> None:
        """Who is heard by whom: `AB` is A to B, `mB` is the music to B."""
        names = {"m": "music"}
        routes = [m.RouteTo(names.get(p[0], p[0]), names.get(p[1], p[1]), gain_db) for p in pairs]
        await self.link.request(m.SetRoutes("call", routes))

    async def statistics(self, port: str) -> m.Statistics:
        """Of a port."""
        return await self.link.request(m.ReadStatistics(port))

    async def until_counted(self, port: str, is_so: Callable[[m.Statistics], bool]) -> m.Statistics:
        """Wait until the counts of a port say so."""
        async with asyncio.timeout(20):
            while True:
                counted = await self.statistics(port)
                if is_so(counted):
                    return counted
                await asyncio.sleep(0.01)

    def to(self, port: str) -> tuple[str, int]:
        """Where a port listens."""
        return self.addresses[port].host, self.addresses[port].rtp_port

    async def until_notice(self, kind: type[N], count: int = 1) -> list[N]:
        """Wait until so many notices of a kind have come, and return them."""
        async with asyncio.timeout(20):
            while True:
                found: list[N] = [n for n in self.notices if isinstance(n, kind)]
                if len(found) >= count:
                    return found
                self._noticed.clear()
                await self._noticed.wait()

    async def keep_notices(self) -> None:
        """Until the link closes."""
        async for notice in self.link.notices():
            self.notices.append(notice)
            self._noticed.set()


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with asyncio.TaskGroup() as group, LocalLink(SETTINGS) as link:
        studio = Studio(link)
        group.create_task(studio.keep_notices())
        await link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
        yield studio


PhoneMaker = Callable[..., Awaitable[Phone]]


@pytest.fixture
async def phone() -> AsyncIterator[PhoneMaker]:
    """Makes phones that are closed after the test."""
    async with AsyncExitStack() as phones:

        async def make(name: str, *codecs: m.PayloadType, host: str = "127.0.0.1") -> Phone:
            made = Phone(name, host=host, codecs=codecs) if codecs else Phone(name, host=host)
            return await phones.enter_async_context(made)

        yield make


Talking = tuple[Phone, Phone]


@pytest.fixture
async def talking(studio: Studio, phone: PhoneMaker) -> Talking:
    """A and B, who hear each other."""
    a, b = await phone("A"), await phone("B")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    return a, b
