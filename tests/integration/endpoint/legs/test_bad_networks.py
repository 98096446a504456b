"""F9 of whole calls: a phone or a browser whose signalling and audio come over a bad network."""

from __future__ import annotations

import asyncio
from typing import TypeVar, cast

import msgspec
import pytest

from endpoint.legs.base import Cause, LegReleased
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from endpoint.rig.impairment import Crossing, Impairment, Proxy
from tests.integration.endpoint.legs.conftest import Office
from tests.integration.endpoint.legs.phones import Answered, Ended, Phone, phone
from tests.integration.endpoint.media.stream import address_of, candidate

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

R = TypeVar("R", bound=m.Result)
GOOD = Impairment()
BAD = {
    "loss 10 %": Impairment(loss=0.1),
    "delay 300 ms": Impairment(delay_ms=300),
    "jitter 80 ms": Impairment(delay_ms=80, jitter_ms=80),
    "reorder 10 %": Impairment(reorder=0.1),
    "duplicates 5 %": Impairment(duplicate=0.05),
    "MTU 1200": Impairment(mtu=1200),
    "rate 64 kbit/s": Impairment(rate_kbit_s=64),
}


class BehindProxy:
    """A phone's media link whose ports lie behind a proxy, unknown to who uses it."""

    def __init__(self, link: LocalLink, proxy: Proxy) -> None:
        self._link = link
        self._proxy = proxy
        self._ways: dict[m.PortName, tuple[Crossing, Crossing]] = {}
        """Of RTP and RTCP."""

    def send(self, command: m.AnyCommand) -> None:
        self._link.send(command)

    async def request(self, command: m.Command[R]) -> R:
        match command:
            case m.OpenRtpPort(port):
                opened = await self._link.request(command)
                rtp = await self._proxy.cross((opened.host, opened.rtp_port))
                rtcp = await self._proxy.cross((opened.host, opened.rtcp_port))
                self._ways[port] = rtp, rtcp
                host, number = rtp.near_address
                seen = msgspec.structs.replace(
                    opened, host=host, rtp_port=number, rtcp_port=rtcp.near_address[1]
                )
                return cast("R", seen)
            case m.SetRemote(port, host, rtp_port, rtcp_port):
                rtp, rtcp = self._ways[port]
                rtp.far.end, rtcp.far.end = (host, rtp_port), (host, rtcp_port)
                host, number = rtp.far_address
                told = msgspec.structs.replace(
                    command, host=host, rtp_port=number, rtcp_port=rtcp.far_address[1]
                )
                return cast("R", await self._link.request(told))
            case m.OpenWebRtcPort(port):
                local = await self._link.request(command)
                way = await self._proxy.cross(address_of(local))
                self._ways[port] = way, way
                seen_at = [candidate(way.near_address)]
                return cast("R", msgspec.structs.replace(local, candidates=seen_at))
            case m.SetWebRtcRemote(port):
                way, _ = self._ways[port]
                way.far.end = address_of(command)
                told_of = [candidate(way.far_address)]
                told_remote = msgspec.structs.replace(command, candidates=told_of)
                return cast("R", await self._link.request(told_remote))
            case _:
                return await self._link.request(command)


async def register_behind(office: Office, bad: Phone, proxy: Proxy) -> None:
    """Over UDP, through the same network as its audio."""
    crossing = await proxy.cross(far=("127.0.0.1", office.udp_port))
    await bad.register(crossing.far_address[1])


@pytest.mark.parametrize("is_browser", [False, True], ids=["phone", "browser"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_f9_no_call_is_dropped_or_stays_deaf(
    office: Office, bad: Impairment, is_browser: bool
) -> None:
    """Set up, spoken in for three seconds, held to be good again, and ended by who hangs up."""
    callee = await office.phone("10086")
    async with Proxy(bad, seed=3) as proxy, phone("6001") as caller:
        caller.link = cast("LocalLink", BehindProxy(caller.link, proxy))
        if is_browser:
            await caller.register(office.udp_port, url=office.url)
        else:
            await register_behind(office, caller, proxy)
        a = await caller.dial("10086")
        b = await callee.rings()
        await b.pick_up()
        await a.take_answer((await a.until(Answered)).sdp)
        await office.operator.talk()
        await asyncio.sleep(3)
        proxy.change(GOOD)
        await a.hears("10086")
        await b.hears("6001")
        assert not [event for event in office.operator.log if isinstance(event, LegReleased)]
        a.session.bye()
        assert (await office.operator.saw(LegReleased)).cause is Cause.NORMAL
        await b.until(Ended)
        assert min(proxy.there.counts.delivered, proxy.back.counts.delivered) > 20
    await office.idle()
