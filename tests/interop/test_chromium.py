"""Chromium with JsSIP over WSS at our own server: tones found in the page, and at whom it calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    GenerateDigits,
    HoldCall,
    MakeCall,
    RetrieveCall,
)
from endpoint.callcontrol.events import (
    Delivered,
    DigitDetected,
    DigitsGenerated,
    Established,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.chromium import Chromium
from .peers.hearing import hear
from .peers.sipp import Sipp, register
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, COLLEAGUE, CUSTOMER = DeviceId("6001"), DeviceId("6002"), DeviceId("10086")
AGENT_HZ, COLLEAGUE_HZ, CUSTOMER_HZ = 1130, 1400, 1010


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent and colleague are extensions for browsers, the customer's is for a telephone."""
    http = {"port": 0, "plain_port": 0, "origins": [Chromium.origin]}
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, COLLEAGUE, CUSTOMER],
        webrtc=True,
        settings={"http": http},
    ) as endpoint:
        yield endpoint


def browser(desk: Desk, directory: Path, device: DeviceId, tone_hz: int) -> Chromium:
    return Chromium(
        directory / device, device, desk.endpoint.wss_url, password=desk.password, tone_hz=tone_hz
    )


@pytest.fixture
async def agent(desk: Desk, tmp_path: Path) -> AsyncIterator[Chromium]:
    async with browser(desk, tmp_path, AGENT, AGENT_HZ) as phone:
        await desk.event(DeviceRegistered, device=AGENT)
        yield phone


@pytest.fixture
async def colleague(desk: Desk, agent: Chromium, tmp_path: Path) -> AsyncIterator[Chromium]:
    async with browser(desk, tmp_path, COLLEAGUE, COLLEAGUE_HZ) as phone:
        await desk.event(DeviceRegistered, device=COLLEAGUE)
        yield phone


@pytest.fixture
async def customer(desk: Desk, agent: Chromium) -> AsyncIterator[Baresip]:
    async with desk.telephone(CUSTOMER, CUSTOMER_HZ) as phone:
        yield phone


async def test_the_page_calls_holds_retrieves_presses_keys_and_hangs_up(
    desk: Desk, agent: Chromium, customer: Baresip
) -> None:
    await agent.dial(CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await agent.established()
    await desk.event(Established, device=CUSTOMER)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    flow = await agent.flow()
    assert (flow.sends, flow.receives, flow.packets_lost) == ("PCMU", "PCMU", 0)

    assert await agent.hold()
    await desk.event(Held, device=AGENT)
    await hear({agent: set(), customer: MUSIC_HZ})

    assert await agent.resume()
    await desk.event(Retrieved, device=AGENT)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await agent.send_digits("159#")
    assert await customer.digits(4) == "159#"
    for digit in "159#":
        assert (await desk.event(DigitDetected, device=AGENT)).digits == digit
    assert await agent.hears_digits("7*", lambda: customer.send_digits("7*"))

    await agent.hang_up()
    await customer.closed()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_the_page_hears_a_phone_that_rings_with_early_media(
    desk: Desk, agent: Chromium, tmp_path: Path
) -> None:
    """By ICE and DTLS before its call is answered; the answer then says the same once more."""
    port = await register(tmp_path, desk.sip, user=CUSTOMER, password=desk.password)
    await desk.event(DeviceRegistered, device=CUSTOMER)
    async with Sipp(
        tmp_path,
        "uas_early",
        desk.sip,
        user=CUSTOMER,
        sip_port=port,
        talk_ms=4000,
        tone_hz=CUSTOMER_HZ,
        retransmits=False,
    ) as sipp:
        await agent.dial(CUSTOMER)
        assert (await desk.event(Delivered, device=CUSTOMER)).early_media
        await hear({agent: {CUSTOMER_HZ}})
        await agent.established()
        await desk.event(Established, device=CUSTOMER)
        await hear({agent: {CUSTOMER_HZ}})
        await agent.hang_up()
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_the_page_is_called_and_held_by_command(
    desk: Desk, agent: Chromium, customer: Baresip
) -> None:
    await customer.dial(AGENT)
    assert (await agent.ringing())["peer"] == CUSTOMER
    await agent.accept()
    await agent.established()
    await desk.event(Established, device=AGENT)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    flow = await agent.flow()
    assert (flow.sends, flow.receives, flow.packets_lost) == ("PCMU", "PCMU", 0)

    await desk.do(HoldCall(AGENT))
    await desk.event(Held, device=AGENT)
    await hear({agent: set(), customer: MUSIC_HZ})

    await desk.do(RetrieveCall(AGENT))
    await desk.event(Retrieved, device=AGENT)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await customer.hold()
    await desk.event(Held, device=CUSTOMER)
    await hear({agent: MUSIC_HZ, customer: set()})

    await customer.resume()
    await desk.event(Retrieved, device=CUSTOMER)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    async def press() -> None:
        await desk.do(GenerateDigits(CUSTOMER, "12#"))
        await desk.event(DigitsGenerated)

    assert await agent.hears_digits("12#", press)

    await customer.hang_up()
    assert (await agent.closed())["by"] == "remote"
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_a_command_rings_the_page_and_dials_for_it(
    desk: Desk, agent: Chromium, customer: Baresip
) -> None:
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await agent.ringing()
    await agent.accept()
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await desk.do(ClearConnection(AGENT))
    assert (await agent.closed())["by"] == "remote"
    await customer.closed()
    await desk.cleared()


async def test_the_page_begins_ice_anew(desk: Desk, agent: Chromium, customer: Baresip) -> None:
    await customer.dial(AGENT)
    await agent.ringing()
    await agent.accept()
    await desk.event(Established, device=AGENT)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    before = (await agent.flow()).ice_ufrag

    assert await agent.restart_ice()
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    assert (await agent.flow()).ice_ufrag != before

    await customer.hang_up()
    await desk.cleared()


async def test_a_page_that_closes_its_audio_ends_its_call(
    desk: Desk, agent: Chromium, customer: Baresip
) -> None:
    await agent.dial(CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await agent.connected()
    await agent.command("close")
    await customer.closed()
    assert (await agent.closed())["by"] == "remote"
    assert (await desk.cleared()).cause is Cause.MEDIA_TIMEOUT


async def test_two_pages_hear_each_other_in_opus(
    desk: Desk, agent: Chromium, colleague: Chromium
) -> None:
    await agent.dial(COLLEAGUE)
    await colleague.ringing()
    await colleague.accept()
    await agent.established()
    await desk.event(Established, device=COLLEAGUE)
    await hear({agent: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    for phone in (agent, colleague):
        flow = await phone.flow()
        assert (flow.sends, flow.receives, flow.packets_lost) == ("opus", "opus", 0)

    assert await colleague.hold()
    await desk.event(Held, device=COLLEAGUE)
    await hear({agent: MUSIC_HZ, colleague: set()})

    assert await colleague.resume()
    await desk.event(Retrieved, device=COLLEAGUE)
    await hear({agent: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})

    assert await colleague.hears_digits("42", lambda: agent.send_digits("42"))

    await colleague.hang_up()
    assert (await agent.closed())["by"] == "remote"
    await desk.cleared()
