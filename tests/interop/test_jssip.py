"""JsSIP over WSS at our own server: registers, makes, takes, holds and ends calls."""

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
    DigitDetected,
    DigitsGenerated,
    Established,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered

from .desk import Desk
from .peers.feed import PeerError
from .peers.hearing import hear
from .peers.jssip import JsSip
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
AGENT_HZ, CUSTOMER_HZ = 1130, 1010


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent 6001 is an extension for a browser; customer 10086 is a tone station."""
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT],
        stations={CUSTOMER: CUSTOMER_HZ},
        settings={"media": {"websocket_phones": "rtp"}},
    ) as endpoint:
        yield endpoint


def phone(desk: Desk, directory: Path, **settings: object) -> JsSip:
    return JsSip(
        directory / "browser",
        AGENT,
        desk.endpoint.wss_url,
        domain="localhost",
        **{
            "password": desk.password,
            "ca_file": desk.ca_file,
            "tone_hz": AGENT_HZ,
            **settings,
        },  # type: ignore[arg-type]
    )


@pytest.fixture
async def browser(desk: Desk, tmp_path: Path) -> AsyncIterator[JsSip]:
    async with phone(desk, tmp_path) as registered:
        await desk.event(DeviceRegistered, device=AGENT)
        yield registered


async def test_it_makes_a_call_holds_retrieves_presses_keys_and_ends_it(
    desk: Desk, browser: JsSip
) -> None:
    await browser.dial(CUSTOMER)
    await browser.established()
    await desk.event(Established, device=CUSTOMER)
    await hear({browser: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})

    assert await browser.hold()
    await desk.event(Held, device=AGENT)
    await hear({browser: set(), desk.ear(CUSTOMER): MUSIC_HZ})

    assert await browser.resume()
    await desk.event(Retrieved, device=AGENT)
    await hear({browser: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})

    await browser.send_digits("5")
    assert (await desk.event(DigitDetected, device=AGENT)).digits == "5"
    browser.party.send_digit("6")
    assert (await desk.event(DigitDetected, device=AGENT)).digits == "6"

    await browser.hang_up()
    await browser.closed()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_it_is_given_a_gruu_names_itself_so_and_is_reached_by_it(
    desk: Desk, browser: JsSip
) -> None:
    """It asks for outbound and a GRUU by itself; its Contact is then an address of ours."""
    (binding,) = desk.endpoint.server.bindings(AGENT)
    assert binding.instance is not None
    assert binding.reg_id == 1
    await browser.dial(CUSTOMER)
    await browser.established()
    await desk.event(Established, device=CUSTOMER)
    (session,) = desk.endpoint.server.user_agent.sessions()
    assert session.remote_target is not None
    assert desk.endpoint.server.resolve(session.remote_target) == (AGENT, binding.instance)
    await desk.do(HoldCall(CUSTOMER))
    assert (await browser.event("hold"))["by"] == "remote"
    await desk.do(ClearConnection(CUSTOMER))
    assert (await browser.closed())["by"] == "remote"


async def test_it_holds_and_retrieves_by_update(desk: Desk, browser: JsSip) -> None:
    """RFC 3311: what JsSIP does where it is told to."""
    await browser.dial(CUSTOMER)
    await browser.established()
    await desk.event(Established, device=CUSTOMER)
    assert await browser.hold(update=True)
    await desk.event(Held, device=AGENT)
    await hear({browser: set(), desk.ear(CUSTOMER): MUSIC_HZ})
    assert await browser.resume(update=True)
    await desk.event(Retrieved, device=AGENT)
    await hear({browser: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})
    await browser.hang_up()
    await desk.cleared()


async def test_it_takes_a_call_and_is_held_by_command(desk: Desk, browser: JsSip) -> None:
    await desk.do(MakeCall(CUSTOMER, AGENT))
    assert (await browser.ringing())["peer"] == CUSTOMER
    await browser.accept()
    await browser.established()
    await desk.event(Established, device=AGENT)
    await hear({browser: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})

    await desk.do(HoldCall(CUSTOMER))
    await desk.event(Held, device=CUSTOMER)
    assert (await browser.event("hold"))["by"] == "remote"
    await hear({browser: MUSIC_HZ, desk.ear(CUSTOMER): set()})

    await desk.do(RetrieveCall(CUSTOMER))
    await desk.event(Retrieved, device=CUSTOMER)
    assert (await browser.event("unhold"))["by"] == "remote"
    await hear({browser: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})

    await desk.do(GenerateDigits(CUSTOMER, "12#"))
    await desk.event(DigitsGenerated)
    assert await browser.party.digits_received(3) == "12#"

    await desk.do(ClearConnection(CUSTOMER))
    assert (await browser.closed())["by"] == "remote"
    await desk.cleared()


async def test_it_declines_a_call(desk: Desk, browser: JsSip) -> None:
    await desk.do(MakeCall(CUSTOMER, AGENT))
    await browser.ringing()
    await browser.command("reject", status=603)
    over = await desk.cleared()
    assert (over.cause, over.sip_status) == (Cause.DECLINED, 603)


async def test_it_gives_up_while_it_rings(tmp_path: Path) -> None:
    async with (
        Desk(tmp_path / "state", extensions=[AGENT, CUSTOMER]) as desk,
        phone(desk, tmp_path) as browser,
        JsSip(
            tmp_path / "other",
            CUSTOMER,
            desk.endpoint.wss_url,
            domain="localhost",
            password=desk.password,
            ca_file=desk.ca_file,
        ) as other,
    ):
        await browser.dial(CUSTOMER)
        await other.ringing()
        await browser.hang_up()
        await other.closed()
        assert (await desk.cleared()).cause is Cause.CANCELLED


async def test_a_call_to_nobody_is_404(desk: Desk, browser: JsSip) -> None:
    await browser.dial("9999")
    assert (await browser.closed())["status"] == 404


async def test_a_closed_page_is_gone_at_once(desk: Desk, browser: JsSip) -> None:
    await browser.command("drop")
    gone = await desk.event(DeviceUnregistered, device=AGENT)
    assert gone.cause is Cause.UNREACHABLE


async def test_it_takes_its_binding_back(desk: Desk, browser: JsSip) -> None:
    await browser.unregister()
    assert (await desk.event(DeviceUnregistered, device=AGENT)).cause is Cause.NORMAL


async def test_a_wrong_password_registers_nobody(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="401"):
        async with phone(desk, tmp_path, password="wrong"):
            pass


async def test_a_strange_page_is_refused(desk: Desk, tmp_path: Path) -> None:
    async with phone(desk, tmp_path, origin="https://evil.example", register=False) as browser:
        assert "403" in (await browser.event("socket_error"))["text"]
