"""linphone in long calls: session timers that either end refreshes; and call forwarding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Diverted, Established
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered
from signaling.sip.session_timer import Refresher

from .desk import Desk
from .peers.hearing import hear
from .peers.linphone import Linphone
from .peers.sipp import Sipp, register

pytestmark = pytest.mark.interop

AGENT, PEER, OTHER = DeviceId("6001"), DeviceId("7002"), DeviceId("7003")
AGENT_HZ = 1400
INTERVAL_S = 4
LONGER_THAN_THE_SESSION_MS = 3200
CHOICE = {Refresher.UAS: 1, Refresher.UAC: 2}
"""How its configuration says who refreshes."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Sessions live for four seconds here: 1,800 is the same, and longer."""
    async with Desk(
        tmp_path / "state",
        extensions=[PEER, OTHER],
        stations={AGENT: AGENT_HZ},
        settings={
            "sip": {"port": 0, "session_expires_s": INTERVAL_S, "minimum_session_expires_s": 3}
        },
    ) as endpoint:
        yield endpoint


def linphone(desk: Desk, directory: Path, refresher: Refresher | None = None) -> Linphone:
    timer = {
        "session_expires_enabled": 1,
        "session_expires_value": INTERVAL_S,
        "session_expires_min_value": 3,
    }
    if refresher is not None:
        timer["session_expires_refresher_value"] = CHOICE[refresher]
    return Linphone(
        directory / "linphone",
        PEER,
        desk.sip,
        password=desk.password,
        settings={} if refresher is None else timer,
    )


@pytest.mark.parametrize("refresher", Refresher)
async def test_it_calls_and_the_session_is_refreshed(
    desk: Desk, tmp_path: Path, refresher: Refresher
) -> None:
    async with linphone(desk, tmp_path, refresher) as phone:
        await phone.dial(AGENT)
        await desk.event(Established, device=AGENT)
        assert await phone.heard(ms=LONGER_THAN_THE_SESSION_MS) == {AGENT_HZ}
        await hear({desk.ear(AGENT): {phone.tone_hz}})
        await desk.do(ClearConnection(AGENT))
        assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize("refresher", Refresher)
async def test_it_is_called_and_the_session_is_refreshed(
    desk: Desk, tmp_path: Path, refresher: Refresher
) -> None:
    async with linphone(desk, tmp_path, refresher) as phone:
        await desk.do(MakeCall(AGENT, PEER))
        await phone.answer()
        await desk.event(Established, device=PEER)
        assert await phone.heard(ms=LONGER_THAN_THE_SESSION_MS) == {AGENT_HZ}
        await hear({desk.ear(AGENT): {phone.tone_hz}})
        await desk.do(ClearConnection(AGENT))
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_it_forwards_its_calls(desk: Desk, tmp_path: Path) -> None:
    """302, while it rings: another phone of ours answers in its place."""
    port = await register(tmp_path, desk.sip, user=OTHER, password=desk.password)
    await desk.event(DeviceRegistered, device=OTHER)
    async with (
        linphone(desk, tmp_path) as phone,
        Sipp(tmp_path, "uas", desk.sip, user=OTHER, sip_port=port) as answers,
    ):
        await desk.do(MakeCall(AGENT, PEER))
        await phone.line("Receiving new incoming call")
        phone.command(f"redirect all sip:{OTHER}@{desk.sip}")
        assert (await desk.event(Diverted, device=PEER)).diverted_to == OTHER
        await desk.event(Established, device=OTHER)
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await answers.finished()
        assert (await desk.cleared()).cause is Cause.NORMAL
