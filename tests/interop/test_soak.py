"""Long: many real calls, and registrations that are kept over several lifetimes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import CallCleared, Established
from endpoint.legs.base import DeviceId, DeviceRegistered, DeviceUnregistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.hearing import hear
from .peers.jssip import JsSip
from .peers.kamailio import Kamailio

pytestmark = pytest.mark.soak

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010
CALLS = 100
LIFETIME_S = 60


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_hundred_calls_leave_nothing_behind(tmp_path: Path) -> None:
    async with (
        Desk(
            tmp_path / "state",
            extensions=[CUSTOMER],
            stations={AGENT: AGENT_HZ},
            settings={"calls": {"dials_per_minute": 1_000_000}},
        ) as desk,
        Baresip(
            tmp_path / "customer",
            CUSTOMER,
            desk.sip,
            password=desk.password,
            tone_hz=CUSTOMER_HZ,
            answer="auto",
        ) as customer,
    ):
        before = 0
        for number in range(CALLS):
            await desk.do(MakeCall(AGENT, CUSTOMER))
            await desk.event(Established, device=CUSTOMER)
            if number in (0, CALLS - 1):
                await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
            await customer.closed()
            await desk.cleared()
            await desk.endpoint.exchange.wait_idle()
            before = before or descriptors()
        assert descriptors() == before


async def test_an_account_at_kamailio_stays_registered(kamailio: Kamailio, tmp_path: Path) -> None:
    account = {
        "device": AGENT,
        "server": kamailio.wss_url,
        "domain": kamailio.address,
        "password": kamailio.password,
        "ca": str(kamailio.ca_file),
        "expires_s": LIFETIME_S,
    }
    async with Desk(
        tmp_path / "state", stations={AGENT: AGENT_HZ}, settings={"account": [account]}
    ) as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        with pytest.raises(PeerError, match="no DeviceUnregistered"):
            await desk.event(DeviceUnregistered, timeout_s=2.5 * LIFETIME_S)
        async with Baresip(
            tmp_path / "customer", "6002", kamailio.address, password=kamailio.password
        ) as customer:
            await customer.dial(AGENT)
            await customer.established()
            await customer.hang_up()
            await desk.cleared()


@pytest.mark.parametrize("jssip_calls", [True, False])
async def test_a_call_of_jssip_outlives_its_session(tmp_path: Path, jssip_calls: bool) -> None:
    """It asks for 90 s, and as the called one refreshes by UPDATE what we ask for."""
    async with Desk(
        tmp_path / "state",
        extensions=[CUSTOMER],
        stations={AGENT: AGENT_HZ},
        settings={
            "sip": {"port": 0, "session_expires_s": 90},
            "media": {"websocket_phones": "rtp"},
        },
    ) as desk:
        phone = JsSip(
            tmp_path / "browser",
            CUSTOMER,
            desk.endpoint.wss_url,
            domain="localhost",
            password=desk.password,
            ca_file=desk.ca_file,
            tone_hz=CUSTOMER_HZ,
        )
        async with phone as browser:
            await desk.event(DeviceRegistered, device=CUSTOMER)
            if jssip_calls:
                await browser.dial(AGENT)
            else:
                await desk.do(MakeCall(AGENT, CUSTOMER))
                await browser.ringing()
                await browser.accept()
            await desk.event(Established)
            with pytest.raises(PeerError, match="no CallCleared"):
                await desk.event(CallCleared, timeout_s=100)
            await hear({desk.ear(AGENT): {CUSTOMER_HZ}, browser: {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
            await desk.cleared()
