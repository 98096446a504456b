"""F1: the outside sipWsServer is killed in a call and comes back; the call does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import CallCleared, ConnectionCleared, Established
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered
from signaling.sip.uri import Uri
from signaling.user_agent import LivenessSettings, PeerDown, PeerUp, UserAgent

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.sound import RATE_HZ, longest_gap_ms
from .test_kamailio import outside

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010
GAP_MS = 60
"""More than this of silence is a gap."""
OUTAGES = 6


@asynccontextmanager
async def talking(
    kamailio: Kamailio, directory: Path, **account: object
) -> AsyncIterator[tuple[Desk, Baresip]]:
    """The agent, by its account over WSS, talks with the customer."""
    async with (
        outside(kamailio, kamailio.wss_url, directory / "state", **account) as desk,
        Baresip(
            directory / "customer",
            CUSTOMER,
            kamailio.address,
            password=kamailio.password,
            tone_hz=CUSTOMER_HZ,
        ) as customer,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device=CUSTOMER)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        yield desk, customer


async def outage(kamailio: Kamailio, desk: Desk, customer: Baresip, seconds: float) -> None:
    """Kill it, and start it after so long; the customer hears the agent all the time.

    The machine's own gaps are no fault of ours, and are not in each of several outages.
    """
    for _ in range(OUTAGES):
        if await gap_in_outage_ms(kamailio, desk, customer, seconds) <= GAP_MS:
            return
    raise AssertionError(f"the customer heard a gap in each of {OUTAGES} outages")


async def gap_in_outage_ms(
    kamailio: Kamailio, desk: Desk, customer: Baresip, seconds: float
) -> int:
    """For how long the customer did not hear the agent, in one outage."""
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(customer.listen(ms=int(1000 * (seconds + 4))))
        kamailio.kill()
        lost = await desk.event(DeviceUnregistered, device=AGENT)
        assert lost.cause is Cause.UNREACHABLE
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}})
        await asyncio.sleep(seconds)  # the outage itself
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}})
        await kamailio.start_again()
        await desk.event(DeviceRegistered, device=AGENT, timeout_s=45)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}})
    heard = listening.result()
    assert heard.size >= seconds * RATE_HZ
    return longest_gap_ms(heard, AGENT_HZ)


async def test_f1_a_server_that_is_killed_for_3_s_in_a_call_and_then_the_agent_hangs_up(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    async with talking(kamailio, tmp_path) as (desk, customer):
        await outage(kamailio, desk, customer, 3)
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL
    order = [
        type(event)
        for event in desk.told
        if isinstance(event, DeviceRegistered | DeviceUnregistered | Established | CallCleared)
    ]
    assert order[0] is DeviceRegistered
    assert order[-3:] == [DeviceUnregistered, DeviceRegistered, CallCleared]
    assert ConnectionCleared in {type(event) for event in desk.told}


async def test_f1_a_server_that_is_killed_for_3_s_in_a_call_and_then_the_customer_hangs_up(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    """Our address in the call is a GRUU: it leads to the new connection too."""
    async with talking(kamailio, tmp_path, gruu=True) as (desk, customer):
        await outage(kamailio, desk, customer, 3)
        await customer.hang_up()
        assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.soak
async def test_f1_a_server_that_is_killed_for_30_s_in_a_call(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    async with talking(kamailio, tmp_path) as (desk, customer):
        await outage(kamailio, desk, customer, 30)
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_a_server_that_is_watched_goes_and_comes_back(kamailio: Kamailio) -> None:
    """By OPTIONS over UDP; an ICMP error tells it at once, silence after a while."""
    settings = LivenessSettings(interval_s=0.5, retry_s=0.1, timeout_s=0.5)
    async with UserAgent() as agent, asyncio.timeout(30):
        await agent.listen_udp("127.0.0.1", 0)
        watch = agent.watch(
            Uri("sip", host=kamailio.host, port=kamailio.sip_port), settings=settings
        )
        assert await anext(watch.events()) == PeerUp(200)
        kamailio.kill()
        assert isinstance(await anext(watch.events()), PeerDown)
        await kamailio.start_again()
        assert await anext(watch.events()) == PeerUp(200)
