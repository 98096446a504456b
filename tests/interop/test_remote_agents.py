"""Remote agents: `RP_` and a number is a device whose station is that telephone, by a trunk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    ConferenceCall,
    ConsultationCall,
    HoldCall,
    MakeCall,
    RetrieveCall,
)
from endpoint.callcontrol.events import (
    CallCleared,
    Conferenced,
    Established,
    Failed,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered
from endpoint.legs.remote import TELEPHONE as KEPT

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.sound import MUSIC_HZ, PROGRESS_HZ, RATE_HZ, Samples, tones_in

pytestmark = pytest.mark.interop

REMOTE, COLLEAGUE, CALLER = DeviceId("RP_13800138000"), DeviceId("6002"), DeviceId("6009")
TELEPHONE = "13800138000"
REMOTE_HZ, CALLER_HZ, COLLEAGUE_HZ = 1400, 1010, 1800


def telephone(directory: Path) -> Baresip:
    """The agent's own: it knows nobody and is registered nowhere."""
    return Baresip(
        directory / "telephone",
        TELEPHONE,
        "127.0.0.1:9",
        password="unused",
        tone_hz=REMOTE_HZ,
        register=False,
        outbound=False,
    )


@pytest.fixture
async def phone(tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(tmp_path) as started:
        yield started


def trunk_to(phone: Baresip) -> dict[str, Any]:
    return {
        "name": "carrier",
        "peers": [f"sip:127.0.0.1:{phone.sip_port}"],
        "outgoing": [{"match": "1*"}],
        "default_number": "+4930100",
        "options_interval_s": 0,
    }


@pytest.fixture
async def desk(kamailio: Kamailio, phone: Baresip, tmp_path: Path) -> AsyncIterator[Desk]:
    """The remote agent is registered at Kamailio over WSS; a colleague is a tone of ours."""
    account = {
        "device": REMOTE,
        "server": kamailio.wss_url,
        "domain": kamailio.address,
        "password": kamailio.password,
        "ca": str(kamailio.ca_file),
        "expires_s": 60,
        "media": "rtp",
    }
    async with Desk(
        tmp_path / "state",
        stations={COLLEAGUE: COLLEAGUE_HZ},
        settings={"account": [account], "trunk": [trunk_to(phone)]},
    ) as started:
        await started.event(DeviceRegistered, device=REMOTE)
        yield started


@pytest.fixture
async def caller(kamailio: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "caller",
        CALLER,
        kamailio.address,
        password=kamailio.password,
        tone_hz=CALLER_HZ,
    ) as started:
        yield started


async def test_a_call_to_a_remote_agent_is_bridged_to_his_telephone_and_he_may_do_all_with_it(
    desk: Desk, phone: Baresip, caller: Baresip
) -> None:
    """Though the telephone can neither hold nor confer by what it was asked: the audio is here."""
    await caller.dial(REMOTE)
    await phone.ringing()
    await phone.accept()
    await caller.established()
    call = (await desk.event(Established, device=REMOTE)).call
    await hear({phone: {CALLER_HZ}, caller: {REMOTE_HZ}})

    await desk.do(HoldCall(REMOTE))
    await desk.event(Held, device=REMOTE)
    await hear({phone: set(), caller: MUSIC_HZ})
    await desk.do(RetrieveCall(REMOTE))
    await desk.event(Retrieved, device=REMOTE)
    await hear({phone: {CALLER_HZ}, caller: {REMOTE_HZ}})

    await desk.do(ConsultationCall(REMOTE, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    colleague = desk.ear(COLLEAGUE)
    await hear({phone: {COLLEAGUE_HZ}, colleague: {REMOTE_HZ}, caller: MUSIC_HZ})
    await desk.do(ConferenceCall(REMOTE))
    await desk.event(Conferenced, device=COLLEAGUE)
    await hear(
        {
            phone: {CALLER_HZ, COLLEAGUE_HZ},
            colleague: {CALLER_HZ, REMOTE_HZ},
            caller: {REMOTE_HZ, COLLEAGUE_HZ},
        }
    )
    await phone.hang_up()
    await desk.do(ClearConnection(COLLEAGUE, call))
    await desk.event(CallCleared, call=call)
    await caller.closed()


async def test_a_remote_agent_dials_by_his_own_account(
    desk: Desk, phone: Baresip, caller: Baresip
) -> None:
    await desk.do(MakeCall(REMOTE, CALLER))
    await phone.ringing()
    await phone.accept()
    await caller.ringing()
    await caller.accept()
    await desk.event(Established, device=CALLER)
    await hear({phone: {CALLER_HZ}, caller: {REMOTE_HZ}})
    await caller.hang_up()
    await phone.closed()


async def test_nobody_dials_out_by_the_name_of_a_remote_agent_that_we_do_not_know(
    desk: Desk, phone: Baresip
) -> None:
    await desk.do(MakeCall(COLLEAGUE, "RP_13900139000"))
    failed = await desk.event(Failed, device=DeviceId("RP_13900139000"))
    assert (failed.cause, failed.text) == (
        Cause.UNKNOWN_DEVICE,
        "nobody knows RP_13900139000",
    )


@pytest.fixture
async def keeping(phone: Baresip, tmp_path: Path) -> AsyncIterator[Desk]:
    """The remote agent is an extension, whose telephone stays up between calls."""
    async with Desk(
        tmp_path / "state",
        extensions=[REMOTE],
        stations={COLLEAGUE: COLLEAGUE_HZ},
        settings={
            "trunk": [trunk_to(phone)],
            "calls": {"keep_up_devices": {REMOTE: 600}},
        },
    ) as started:
        yield started


async def test_a_remote_agent_is_registered_at_the_sip_server_of_another_endpoint(
    phone: Baresip, tmp_path: Path
) -> None:
    """The embedded one: a call to him there comes here by WebRTC over WSS, and to his telephone."""
    async with AsyncExitStack() as lives:
        there = await lives.enter_async_context(
            Desk(
                tmp_path / "there",
                extensions=[REMOTE],
                webrtc=True,
                stations={CALLER: CALLER_HZ},
                settings={"media": {"port_first": 40_000, "port_last": 42_000}},
            )
        )
        account = {
            "device": REMOTE,
            "server": there.endpoint.wss_url,
            "password": there.password,
            "ca": str(there.ca_file),
        }
        desk = await lives.enter_async_context(
            Desk(
                tmp_path / "here",
                stations={COLLEAGUE: COLLEAGUE_HZ},
                webrtc=True,
                settings={"account": [account], "trunk": [trunk_to(phone)]},
            )
        )
        await there.event(DeviceRegistered, device=REMOTE)
        caller, colleague = there.ear(CALLER), desk.ear(COLLEAGUE)
        await there.do(MakeCall(CALLER, REMOTE))
        await phone.ringing()
        await phone.accept()
        await there.event(Established, device=REMOTE)
        await hear({phone: {CALLER_HZ}, caller: {REMOTE_HZ}})

        await desk.do(ConsultationCall(REMOTE, COLLEAGUE))
        await desk.event(Established, device=COLLEAGUE)
        await hear({phone: {COLLEAGUE_HZ}, colleague: {REMOTE_HZ}, caller: MUSIC_HZ})
        await desk.do(ClearConnection(COLLEAGUE))
        await desk.event(Retrieved, device=REMOTE)
        await hear({phone: {CALLER_HZ}, caller: {REMOTE_HZ}})
        await phone.hang_up()
        await there.cleared()


def windows(samples: Samples) -> list[set[int]]:
    """The tones in each 40 ms."""
    size = RATE_HZ // 25
    return [tones_in(samples[at : at + size]) for at in range(0, samples.size - size + 1, size)]


async def test_a_telephone_that_stays_up_is_rung_once_for_many_calls(
    keeping: Desk, phone: Baresip
) -> None:
    """Calls to the remote agent and by him, until he hangs up, and then it rings again."""
    desk, colleague = keeping, keeping.ear(COLLEAGUE)
    call = (await desk.do(MakeCall(COLLEAGUE, REMOTE))).call
    await phone.ringing()
    await phone.accept()
    await desk.event(DeviceRegistered, device=REMOTE, server=KEPT)
    await hear({phone: {COLLEAGUE_HZ}, colleague: {REMOTE_HZ}})
    await desk.do(ClearConnection(COLLEAGUE, call))
    await desk.cleared(call=call)
    await hear({phone: set()})
    assert (await phone.listen()).size  # silence is sent: nothing on the way gives it up

    assert {PROGRESS_HZ} not in windows(phone.recorded())
    call = (await desk.do(MakeCall(COLLEAGUE, REMOTE))).call
    await desk.event(Established, device=REMOTE)
    await hear({phone: {COLLEAGUE_HZ}, colleague: {REMOTE_HZ}})
    assert {PROGRESS_HZ} in windows(phone.recorded())
    await desk.do(ClearConnection(REMOTE, call))
    await desk.cleared(call=call)

    call = (await desk.do(MakeCall(REMOTE, COLLEAGUE))).call
    await desk.event(Established, device=COLLEAGUE)
    await hear({phone: {COLLEAGUE_HZ}, colleague: {REMOTE_HZ}})
    await phone.hang_up()
    await desk.event(DeviceUnregistered, device=REMOTE, server=KEPT)
    await desk.cleared(call=call)

    call = (await desk.do(MakeCall(COLLEAGUE, REMOTE))).call
    await phone.ringing()
    await phone.accept()
    await desk.event(Established, device=REMOTE)
    await desk.do(ClearConnection(REMOTE, call))
    await desk.cleared(call=call)
    await desk.endpoint.drain()
    await phone.closed()
