"""F10: a path that is lost for a while or for good, and an end that moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from endpoint.media import messages as m
from endpoint.media.link import MediaSettings
from endpoint.rig.impairment import Impairment, Proxy
from tests.integration.endpoint.media.stream import (
    CODECS,
    DEAD,
    GOOD,
    PROTECTIONS,
    Kind,
    Stream,
    two_planes,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

TENTH = MediaSettings(
    consent_interval_s=0.5,
    consent_expiry_s=3.0,
    latch_other_port_s=0.1,
    latch_other_host_s=0.3,
    rtcp_interval_s=0.5,
)
"""Ten times as fast as RFC 7675 has it."""
REAL = MediaSettings()


class Call:
    """A stream that is up, with audio both ways, beside one that no path disturbs."""

    def __init__(self, stream: Stream, beside: Stream) -> None:
        self.stream = stream
        self._beside = beside

    async def lose_path(self, lasts_s: float) -> None:
        self.stream.proxy.change(DEAD)
        await asyncio.sleep(lasts_s)
        self.stream.proxy.change(GOOD)

    async def goes_on(self) -> None:
        """Audio both ways."""
        await self.stream.plays()
        await self.stream.plays_back()

    @property
    def failures(self) -> list[m.PortFailed]:
        return [
            notice
            for side in (self.stream.near, self.stream.far)
            for notice in side.notices
            if isinstance(notice, m.PortFailed)
        ]

    async def sent(self) -> int:
        """Packets of audio that the near end has sent."""
        return (await self.stream.near.statistics("S")).packets_sent

    @property
    def time(self) -> int:
        """Packets of 20 ms, by the clock of the plane that sends them."""
        return self._beside.proxy.there.counts.received

    async def wait(self, packets: float) -> None:
        until = self.time + packets
        while self.time < until:
            await self._beside.plays(1)


@asynccontextmanager
async def call(kind: Kind, settings: MediaSettings = TENTH) -> AsyncIterator[Call]:
    async with two_planes(settings) as sides, Proxy() as proxy, Proxy() as other:
        stream = Stream(sides, proxy, kind, "S")
        await stream.open(rtp_timeout_s=settings.consent_expiry_s / 3)
        await stream.play("tone")
        await stream.play_back("tone")
        beside = Stream(sides, other, Kind.RTP, "beside")
        await beside.open()
        await beside.play("tone")
        yield Call(stream, beside)


def lost(seconds: float, settings: MediaSettings) -> float:
    """So much of the 30 s of RFC 7675, as the settings have it."""
    return seconds * settings.consent_expiry_s / 30


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (TENTH, 5),
        pytest.param(REAL, 5, marks=pytest.mark.soak),
        # The last consent is up to 6 s old, and the next check up to 2.5 s away: 21 s are safe.
        pytest.param(REAL, 21, marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("kind", PROTECTIONS)
async def test_f10_a_path_that_comes_back_carries_the_call_on(
    kind: Kind, settings: MediaSettings, seconds: float
) -> None:
    async with call(kind, settings) as up:
        await up.lose_path(lost(seconds, settings))
        await up.goes_on()
        await up.wait(50 * lost(10, settings))
        assert not up.failures


@pytest.mark.parametrize("settings", [TENTH, pytest.param(REAL, marks=pytest.mark.soak)])
async def test_f10_without_consent_sending_stops_and_it_is_told_why(
    settings: MediaSettings,
) -> None:
    """At both ends, after 30 s by RFC 7675, and before 35."""
    async with call(Kind.WEBRTC, settings) as up:
        sent_before = await up.sent()
        up.stream.proxy.change(DEAD)
        await up.wait(50 * lost(20, settings))
        # The last consent may be as old as one check's interval.
        assert not up.failures
        for side in (up.stream.near, up.stream.far):
            assert await side.until_notice(m.PortFailed) == [
                m.PortFailed("S", m.PortFailure.CONSENT_LOST)
            ]
        sent = await up.sent()
        assert sent - sent_before <= 50 * lost(35, settings)
        up.stream.proxy.change(GOOD)
        await up.wait(30)
        assert await up.sent() == sent


async def test_f10_consent_may_be_long_on_its_way() -> None:
    """Longer than what ICE first waits for a response, half a second: by satellite it is."""
    async with call(Kind.WEBRTC) as up:
        up.stream.proxy.change(Impairment(delay_ms=330))
        await up.wait(50 * 2 * TENTH.consent_expiry_s)
        assert not up.failures
        await up.goes_on()


@pytest.mark.parametrize("kind", PROTECTIONS)
async def test_f10_silence_is_told_and_is_not_the_end_of_a_port(kind: Kind) -> None:
    async with call(kind) as up:
        up.stream.proxy.change(DEAD)
        for side in (up.stream.near, up.stream.far):
            assert (await side.until_notice(m.MediaTimedOut))[0] == m.MediaTimedOut("S")
        up.stream.proxy.change(GOOD)
        await up.goes_on()
        assert not up.failures


async def test_f10_a_plain_end_that_moves_is_believed_when_its_signalling_says_so() -> None:
    """Until then its packets are a stranger's, and ours go to where it was."""
    async with call(Kind.RTP) as up:
        stream = up.stream
        before = await stream.far.statistics("S")
        await stream.crossing.move_near()
        await up.wait(30)
        after = await stream.far.statistics("S")
        # What was under way may have come yet.
        assert after.packets_received - before.packets_received <= 3
        assert after.remote == before.remote
        host, port = stream.crossing.near_address
        codecs = [CODECS[Kind.RTP]]
        moved = m.SetRemote("S", host, port, port + 1, codecs, codecs)
        await stream.far.link.request(moved)
        await up.goes_on()
        assert (await stream.far.statistics("S")).remote == f"{host}:{port}"


async def test_f10_an_end_that_moves_is_heard_from_where_ice_has_proven_it() -> None:
    """It asks for consent from there; what is sent to its old place ends with the old consent."""
    async with call(Kind.WEBRTC) as up:
        stream = up.stream
        await stream.crossing.move_near()
        await stream.plays()
        assert await stream.far.until_notice(m.PortFailed) == [
            m.PortFailed("S", m.PortFailure.CONSENT_LOST)
        ]
