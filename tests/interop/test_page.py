"""The endpoint's own page in Chromium as 6001's telephone: tones in it and at the customer."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.events import DigitsGenerated, Established, Held, Retrieved
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.endpoint_page import EndpointPage
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
AGENT_HZ, CUSTOMER_HZ = 1130, 1010


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk(tmp_path / "state", extensions=[AGENT, CUSTOMER]) as endpoint:
        yield endpoint


def opened(desk: Desk, directory: Path, tone_hz: int | None = AGENT_HZ) -> EndpointPage:
    return EndpointPage(directory, desk.endpoint.url, desk.endpoint.token, tone_hz=tone_hz)


@pytest.fixture
async def page(desk: Desk, tmp_path: Path) -> AsyncIterator[EndpointPage]:
    """The page, that is 6001's telephone."""
    async with opened(desk, tmp_path / "page") as shown:
        await shown.use(AGENT)
        await shown.state("ready")
        await desk.event(DeviceRegistered, device=AGENT, server="browser")
        yield shown


@pytest.fixture
async def customer(desk: Desk, page: EndpointPage, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password, tone_hz=CUSTOMER_HZ
    ) as phone:
        await desk.event(DeviceRegistered, device=CUSTOMER)
        yield phone


async def test_the_page_is_called_holds_retrieves_presses_keys_and_is_hung_up_on(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    assert await page.heard() == set()
    await customer.dial(AGENT)
    await page.state("ringing")
    assert await page.text("#phone-title") == "10086 calls 6001"
    await page.press("Answer")
    await page.state("talking")
    await desk.event(Established, device=AGENT)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.press("Hold")
    await desk.event(Held, device=AGENT)
    await hear({page: set(), customer: MUSIC_HZ})
    await page.press("Retrieve")
    await desk.event(Retrieved, device=AGENT)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.press("Mute")
    await hear({page: {CUSTOMER_HZ}, customer: set()})
    await page.press("Mute")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.type_digits(AGENT, "159#")
    await desk.event(DigitsGenerated)
    assert await customer.digits(4) == "159#"

    await customer.hang_up()
    await page.state("ready")
    assert await page.heard() == set()


async def test_the_page_calls_and_hangs_up(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    assert await page.run("document.getElementById('dial-device').value") == AGENT
    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.press("Hang up")
    await customer.closed()
    await page.state("ready")


async def test_the_call_goes_on_through_an_ice_restart_and_a_reload(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    before = await page.ice()
    await page.lose_its_way()
    await page.until(f"connection.localDescription.sdp.includes('{before}') === false")
    await page.state("talking")
    assert await page.ice() != before
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.reload()
    await page.state("talking")
    await desk.event(DeviceRegistered, device=AGENT, server="browser")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.press("Hang up")
    await customer.closed()


async def test_the_telephone_comes_back_when_the_media_process_was_lost(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    assert desk.endpoint.media.pid is not None
    os.kill(desk.endpoint.media.pid, signal.SIGKILL)
    await desk.event(DeviceUnregistered, device=AGENT, cause=Cause.MEDIA_LOST)
    await desk.event(DeviceRegistered, device=AGENT, server="browser")
    await page.state("ready")
    await customer.dial(AGENT)
    await page.press("Answer")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})


async def test_another_page_takes_over(desk: Desk, page: EndpointPage, tmp_path: Path) -> None:
    async with opened(desk, tmp_path / "other") as other:
        await other.use(AGENT)
        await other.state("ready")
        await page.state("off")
        await page.fault("Another page")
        await other.press("Stop")
        await desk.event(DeviceUnregistered, device=AGENT, server="browser")


async def test_a_refused_microphone_is_told(desk: Desk, tmp_path: Path) -> None:
    async with opened(desk, tmp_path / "page", tone_hz=None) as page:
        await page.use(AGENT)
        await page.fault("microphone was refused")
