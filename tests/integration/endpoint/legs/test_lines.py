"""An agent's extension at an outside sipWsServer: here the embedded one of another office."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    LegAnswered,
    LegOffered,
    LegReleased,
    LegRole,
    Side,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings
from endpoint.legs.station import FileStation
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from tests.integration.endpoint.legs.conftest import MEDIA, Office, open_office
from tests.integration.endpoint.legs.phones import PASSWORD, TONES_HZ, Ended, hears

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

AGENT = DeviceId("6001")
STATION = FileStation(
    AGENT, cadence=(m.Segment(frequencies_hz=[TONES_HZ[AGENT]], duration_ms=1000),)
)


def account(
    office: Office, *, over: str, password: str = PASSWORD, trusting: bool = True
) -> AccountSettings:
    """6001's account at the server of an office."""
    servers = {
        "udp": f"sip:127.0.0.1:{office.udp_port}",
        "ws": office.url,
        "wss": office.wss_url,
        "nowhere": "ws://127.0.0.1:1/sip",
    }
    context = ssl.create_default_context()
    if trusting:
        office.authority.configure_trust(context)
    return AccountSettings(
        device=AGENT,
        uri="sip:6001@127.0.0.1",
        server=servers[over],
        username="6001",
        password=password,
        ssl_context=context,
    )


@pytest.fixture
async def agents() -> AsyncIterator[Office]:
    """The office of the agents, whose phones are files; it has accounts at the other `office`."""
    async with (
        LocalLink(MEDIA) as link,
        open_office(LegSettings(domain="127.0.0.1"), link, stations=[STATION]) as opened,
    ):
        opened.operator.is_joining = False
        yield opened


@pytest.mark.parametrize("over", ["udp", "ws", "wss"])
async def test_an_agent_calls_and_is_called_through_its_account(
    office: Office, agents: Office, over: str
) -> None:
    agents.exchange.register(account(office, over=over))
    registered = await agents.operator.saw(DeviceRegistered)
    assert (registered.device, registered.server) == (AGENT, "127.0.0.1")
    assert (await office.operator.saw(DeviceRegistered)).device == AGENT

    customer = await office.phone("10086")
    line = agents.operator.place("10086", AGENT)
    there = await customer.rings()
    await there.pick_up()
    assert await agents.operator.saw(LegAnswered) == LegAnswered(line)
    station = agents.operator.place(AGENT, "10086", LegRole.STATION)
    assert await agents.operator.saw(LegAnswered) == LegAnswered(station)
    agents.operator.join_interactions(line, station)
    await there.hears("6001")
    there.session.bye()
    released = await agents.operator.saw(LegReleased)
    assert (released.leg, released.cause, released.released_by) == (
        line,
        Cause.NORMAL,
        Side.DEVICE,
    )
    await office.idle()

    calling = await customer.dial(AGENT)
    offered = await agents.operator.saw(LegOffered)
    assert (offered.calling, offered.called, offered.role) == ("10086", AGENT, LegRole.LINE)
    agents.exchange.release(offered.leg, Cause.BUSY)
    assert (await calling.until(Ended)).status == 486

    agents.exchange.unregister(AGENT)
    gone = await agents.operator.saw(DeviceUnregistered)
    assert (gone.device, gone.cause) == (AGENT, Cause.NORMAL)
    assert (await office.operator.saw(DeviceUnregistered)).device == AGENT


async def test_what_a_station_hears_can_be_read(office: Office, agents: Office) -> None:
    customer = await agents.phone("10086")
    station = agents.operator.place(AGENT, "10086", LegRole.STATION)
    await agents.operator.saw(LegAnswered)
    line = agents.operator.place("10086", AGENT)
    there = await customer.rings()
    await there.pick_up()
    assert await agents.operator.saw(LegAnswered) == LegAnswered(line)
    agents.operator.join_interactions(line, station)
    await there.hears("6001")
    await hears(agents.link, f"{station}.2", {"10086"})  # its mouth was opened first
    assert (await agents.exchange.read_heard(station)).samples


async def test_a_wrong_password_is_told_and_calls_fail_for_it(
    office: Office, agents: Office
) -> None:
    agents.exchange.register(account(office, over="ws", password="wrong"))
    failed = await agents.operator.saw(DeviceUnregistered)
    assert (failed.device, failed.cause) == (AGENT, Cause.UNAUTHORISED)
    agents.operator.place("10086", AGENT)
    released = await agents.operator.saw(LegReleased)
    assert released.cause is Cause.UNAUTHORISED


async def test_a_server_that_is_not_there_is_unreachable(office: Office, agents: Office) -> None:
    agents.exchange.register(account(office, over="nowhere"))
    failed = await agents.operator.saw(DeviceUnregistered)
    assert (failed.device, failed.cause) == (AGENT, Cause.UNREACHABLE)
    agents.operator.place("10086", AGENT)
    assert (await agents.operator.saw(LegReleased)).cause is Cause.UNREACHABLE


async def test_a_server_whose_certificate_is_foreign_is_not_spoken_to(
    office: Office, agents: Office
) -> None:
    agents.exchange.register(account(office, over="wss", trusting=False))
    failed = await agents.operator.saw(DeviceUnregistered)
    assert (failed.device, failed.cause) == (AGENT, Cause.CERTIFICATE_REFUSED)
    agents.operator.place("10086", AGENT)
    released = await agents.operator.saw(LegReleased)
    assert released.cause is Cause.CERTIFICATE_REFUSED
