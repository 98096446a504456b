"""Chromium's own RTCPeerConnection and our media plane, with nothing but SDP between them."""

from __future__ import annotations

import asyncio
import math
import re
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from endpoint.audio.tones import Segment
from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, WorkerLost
from signaling.sdp.negotiation import BROWSER_CODECS, DEFAULT_CODECS, G722

from .peers.chromium import Chromium
from .peers.feed import Feed
from .peers.hearing import hear
from .peers.sound import RATE_HZ, Samples, tones_in

pytestmark = pytest.mark.interop

PAGE_HZ, OUR_HZ = 1130, 1010
OUR_LEVEL_DBOV = -12.0
PAGE_PEAK = 8000.0
G711 = ("PCMU", "telephone-event")
ALL_CODECS = (*BROWSER_CODECS, G722)

Told = TypeVar("Told", bound=m.Notice)


class OurEnd(AudioEnd):
    """A WebRTC port that says a tone; hears as the peers do."""

    def __init__(self, link: LocalLink) -> None:
        super().__init__(link, "W", Protection.WEBRTC)
        self.codecs = DEFAULT_CODECS
        self.link = link
        self.notices: Feed[m.Notice | WorkerLost] = Feed("media plane")

    async def start(self, *, controlling: bool) -> None:
        tone = Segment((OUR_HZ,), 2000, OUR_LEVEL_DBOV)
        await self.link.request(m.OpenPlayer("tone", (tone,)))
        await self.open(controlling=controlling)
        await self.link.request(m.SetRoutes("call", [m.RouteTo("tone", "W")]))
        await self.link.request(m.StartListening("W"))

    async def notice(self, kind: type[Told]) -> Told:
        found = await self.notices.next(lambda n: isinstance(n, kind), kind.__name__)
        assert isinstance(found, kind)
        return found

    async def window(self, ms: int) -> tuple[Samples, int]:
        """The next `ms`, and samples a second."""
        await asyncio.sleep(0.2 + ms / 1000)  # the window itself
        heard = await self.link.request(m.ReadHeard("W", ms))
        return np.frombuffer(heard.samples, "<i2"), heard.sample_rate_hz

    async def heard(self, *, ms: int = 400) -> set[int]:
        samples, rate_hz = await self.window(ms)
        return tones_in(samples[:: rate_hz // RATE_HZ])

    async def level(self) -> float:
        samples, _ = await self.window(400)
        return float(np.sqrt(2 * np.mean(samples.astype(float) ** 2)))


@pytest.fixture
async def ours() -> AsyncIterator[OurEnd]:
    async with asyncio.TaskGroup() as group, LocalLink() as link:
        end = OurEnd(link)

        async def keep() -> None:
            async for notice in link.notices():
                end.notices.put(notice)

        group.create_task(keep())
        yield end


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium(tmp_path / "page", "page", tone_hz=PAGE_HZ) as chromium:
        yield chromium


async def page_offers(page: Chromium, ours: OurEnd, offer: str) -> None:
    await ours.start(controlling=False)
    await answer(page, ours, offer)
    await ours.notice(m.PortConnected)
    await page.connected()


async def answer(page: Chromium, ours: OurEnd, offer: str) -> None:
    answer, agreed = await ours.answer(offer.encode())
    await ours.agree(agreed)
    await page.take_answer(answer.serialise().decode())


async def we_offer(page: Chromium, ours: OurEnd) -> None:
    await ours.start(controlling=True)
    offer = ours.offer()
    answer = await page.take_offer(offer.serialise().decode())
    await ours.agree(ours.accept(offer, answer.encode()))
    await ours.notice(m.PortConnected)
    await page.connected()


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "G722", "opus"])
async def test_each_codec_both_ways_at_the_right_level(
    page: Chromium, ours: OurEnd, encoding: str
) -> None:
    ours.codecs = ALL_CODECS
    await page_offers(page, ours, await page.offer((encoding, "telephone-event")))
    await hear({page: {OUR_HZ}, ours: {PAGE_HZ}})
    flow = await page.flow()
    assert (flow.sends, flow.receives) == (encoding, encoding)
    assert flow.packets_lost == 0
    counted = await ours.link.request(m.ReadStatistics("W"))
    assert counted.packets_lost == counted.packets_refused == counted.packets_foreign == 0

    our_peak = 32768 * 10 ** (OUR_LEVEL_DBOV / 20) * math.sqrt(2)
    for listener, peak in ((page, our_peak), (ours, PAGE_PEAK)):
        # A busy machine may conceal a frame in one of the windows.
        heard = statistics.median([await listener.level() for _ in range(3)])
        assert abs(20 * math.log10(heard / peak)) < 0.5

    await page.press("159#")
    assert [(await ours.notice(m.DigitReceived)).digit for _ in range(4)] == list("159#")
    press = m.SendDigits("W", "7*", duration_ms=250)
    assert await page.hears_digits("7*", lambda: ours.link.request(press))


async def test_we_offer_and_the_page_shakes_hands_first(page: Chromium, ours: OurEnd) -> None:
    await we_offer(page, ours)
    await hear({page: {OUR_HZ}, ours: {PAGE_HZ}})
    assert (await page.flow()).dtls_role == "client"


@pytest.mark.parametrize(("wish", "role"), [("active", "client"), ("passive", "server")])
async def test_the_page_offers_to_be_one_end_of_dtls_alone(
    page: Chromium, ours: OurEnd, wish: str, role: str
) -> None:
    offer = await page.offer(G711)
    await page_offers(page, ours, offer.replace("a=setup:actpass", f"a=setup:{wish}"))
    await hear({page: {OUR_HZ}, ours: {PAGE_HZ}})
    assert (await page.flow()).dtls_role == role


async def test_a_page_without_a_microphone_hides_its_addresses(
    tmp_path: Path, ours: OurEnd
) -> None:
    async with Chromium(tmp_path / "page", "page", tone_hz=None) as page:
        offer = await page.offer(G711)
        assert ".local " in offer
        assert "127.0.0.1" not in offer.partition("a=candidate")[2]
        await page_offers(page, ours, offer)
        await hear({page: {OUR_HZ}})


async def test_the_page_begins_ice_anew_and_nothing_is_lost(page: Chromium, ours: OurEnd) -> None:
    await page_offers(page, ours, await page.offer(G711))
    await hear({page: {OUR_HZ}, ours: {PAGE_HZ}})
    before = (await page.flow()).ice_ufrag
    await answer(page, ours, await page.offer(restart=True))
    await ours.notice(m.PortConnected)
    await hear({page: {OUR_HZ}, ours: {PAGE_HZ}})
    flow = await page.flow()
    assert flow.ice_ufrag != before
    assert flow.packets_lost == 0
    counted = await ours.link.request(m.ReadStatistics("W"))
    assert counted.packets_lost == counted.packets_refused == 0


async def test_a_page_that_closes_its_connection_is_told(page: Chromium, ours: OurEnd) -> None:
    await page_offers(page, ours, await page.offer(G711))
    await page.command("close")
    assert (await ours.notice(m.PortFailed)).failure is m.PortFailure.CLOSED


async def test_a_page_with_another_certificate_is_refused(page: Chromium, ours: OurEnd) -> None:
    offer = await page.offer(G711)
    await ours.start(controlling=False)
    await answer(page, ours, re.sub(r"(a=fingerprint:sha-256 )..:..", r"\g<1>00:00", offer))
    assert (await ours.notice(m.PortFailed)).failure is m.PortFailure.WRONG_FINGERPRINT
