"""After many calls nothing is left: whole calls in virtual time, over a network in memory."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from endpoint.callcontrol.commands import ClearConnection, HoldCall, MakeCall, RetrieveCall
from endpoint.callcontrol.controller import CallController, ControllerSettings
from endpoint.callcontrol.events import CallCleared, Established, Event, Held, Retrieved
from endpoint.callcontrol.feed import Subscription
from endpoint.callcontrol.model import CallRecord
from endpoint.legs.base import DeviceId
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import LegSettings
from endpoint.media.link import LocalLink
from endpoint.media.settings import MediaSettings
from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials
from signaling.sip.uri import Uri
from signaling.transport.memory import MemoryNetwork
from signaling.user_agent import (
    Account,
    Ended,
    InviteSession,
    Registered,
    Reinvited,
    UserAgent,
    UserAgentConfig,
)
from tests.integration.signaling.stage import ANSWER, REALM, USERS, StaticCredentials

pytestmark = pytest.mark.scenario

AGENT, CUSTOMER = USERS
SERVER = Uri("sip", host="192.0.2.1", port=5060)
MEDIA = MediaSettings(rtp_port_low=28000, rtp_port_high=28399)
WARM_UP = 50
GROWTH = 1.05


class CountedRecords:
    """Keeps how many records were written, and nothing of them."""

    written = 0

    async def write(self, record: CallRecord) -> None:
        self.written += 1


async def pick_up_for_ever(agent: UserAgent, group: asyncio.TaskGroup) -> None:
    """A phone that answers everything, and takes every re-INVITE."""
    async for session in agent.invitations():
        session.ring()
        session.accept(ANSWER)
        group.create_task(_stay_in(session))


async def _stay_in(session: InviteSession) -> None:
    async for event in session.events():
        if isinstance(event, Reinvited):
            session.answer_reinvite(ANSWER)
        elif isinstance(event, Ended):
            return


async def told(events: Subscription, *kinds: type[Event]) -> None:
    """Wait until each kind was told, in this order."""
    for kind in kinds:
        async for numbered in events:
            if isinstance(numbered.event, kind):
                break


async def one_call(controller: CallController, events: Subscription) -> None:
    """Dial, hold, retrieve, hang up."""
    call = (await controller.submit(MakeCall(DeviceId(AGENT), CUSTOMER))).call
    await told(events, Established)
    await controller.submit(HoldCall(DeviceId(AGENT), call))
    await told(events, Held)
    await asyncio.sleep(2)  # of virtual time: music plays
    await controller.submit(RetrieveCall(DeviceId(AGENT), call))
    await told(events, Retrieved)
    await controller.submit(ClearConnection(DeviceId(AGENT), call))
    await told(events, CallCleared)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def forget(network: MemoryNetwork) -> None:
    """Leave only what lives: not what the network remembers, nor garbage that waits."""
    network.sent.clear()
    gc.collect()


def resident_pages() -> int:
    """What the process really uses: what the allocator keeps back for later is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1])


async def _quiet(exchange: LegExchange, *agents: UserAgent) -> None:
    """Until legs have ended and every transaction's last timer is over."""
    await exchange.wait_idle()
    await asyncio.sleep(64)  # of virtual time: timers of RFC 3261 last 32 s at most
    assert [agent.transaction_count for agent in agents] == [0] * len(agents)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("calls", [150, pytest.param(500, marks=pytest.mark.soak)])
async def test_calls_leave_no_task_socket_port_or_memory(calls: int):
    records = CountedRecords()
    network = MemoryNetwork(latency_s=0.01)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        enter = stack.enter_async_context
        server = await enter(
            SipServer(
                SipServerConfig(realm=REALM, user_agent=UserAgentConfig(random=Random(1))),
                StaticCredentials(),
            )
        )
        server.user_agent.attach(network.attach("net", SERVER.host, 5060, server.user_agent))
        media = await enter(LocalLink(MEDIA))
        exchange = await enter(
            LegExchange(server, media, settings=LegSettings(domain="test", media_timeout_s=0))
        )
        settings = ControllerSettings(history=64)
        controller = await enter(CallController(exchange, records, settings=settings))
        phones = []
        for number, user in enumerate(USERS):
            agent = await enter(UserAgent(UserAgentConfig(name=user, random=Random(user))))
            host = f"192.0.2.{number + 7}"
            agent.attach(network.attach(f"phone-{user}", host, 5060, agent))
            account = Account(
                user,
                Uri("sip", user, host="test"),
                DigestCredentials(user, password=USERS[user]),
                registrar=SERVER,
            )
            assert isinstance(await agent.register(account).outcome(), Registered)
            group.create_task(pick_up_for_ever(agent, group))
            phones.append(agent)
        everybody = (server.user_agent, *phones)
        events = controller.subscribe()
        gc.collect()
        gc.freeze()  # all that was there before need not be looked at again and again
        stack.callback(gc.unfreeze)
        for _ in range(WARM_UP):
            await one_call(controller, events)
            forget(network)
        await _quiet(exchange, *everybody)
        before = (len(asyncio.all_tasks()), descriptors())
        resident = resident_pages()

        for _ in range(calls - WARM_UP):
            await one_call(controller, events)
            forget(network)
        await _quiet(exchange, *everybody)
        after = (len(asyncio.all_tasks()), descriptors())

        assert after == before
        assert exchange.leg_count == 0
        assert "0 ports" in repr(exchange)
        assert controller.calls() == ()
        assert records.written == calls
        assert resident_pages() <= resident * GROWTH
        await stack.aclose()
