"""Strangers with the usual tools: sipvicious scans and guesses, SIPp floods; phones go on."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established, Failed
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import REALM

from .desk import Desk
from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.process import Process, require
from .peers.sipp import SCENARIOS, Sipp, register
from .peers.sipvicious import run

pytestmark = pytest.mark.interop

AGENT, PHONE = DeviceId("6001"), DeviceId("6002")
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
SCANNED = "6000-6099"
FLOOD_PER_SECOND = 2000
"""Messages."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk(
        tmp_path / "state",
        extensions=[PHONE],
        stations={AGENT: 1400},
        settings={
            "sip": {"port": 0, "realm": REALM},
            "calls": {"dials_per_minute": 1_000_000},
        },
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def phone(desk: Desk, tmp_path: Path) -> AsyncIterator[Baresip]:
    """Registered from the very address that the attackers come from."""
    async with Baresip(
        tmp_path / "phone", PHONE, desk.sip, password=desk.password, tone_hz=1010, answer="auto"
    ) as phone:
        await desk.event(DeviceRegistered, device=PHONE)
        yield phone


async def talk(desk: Desk) -> None:
    """A call comes about and is cleared."""
    call = (await desk.do(MakeCall(AGENT, PHONE))).call
    await desk.event(Established, call=call)
    await desk.do(ClearConnection(AGENT, call))
    await desk.cleared(call=call)


async def registers_from_elsewhere(desk: Desk) -> int:
    async with RawClient(int(desk.sip.rpartition(":")[2]), ELSEWHERE) as client:
        return (await client.authorised("REGISTER", PHONE, desk.password)).status


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
async def test_s3_svwar_finds_no_user(desk: Desk, tmp_path: Path, method: str) -> None:
    said = await run(
        tmp_path, "svwar", desk.sip, "-e", SCANNED, "-m", method, "--force", source=HERE
    )
    assert any("found nothing" in line for line in said), said
    assert not any(line.startswith("| ") and PHONE in line for line in said), said
    assert desk.endpoint.controller.calls() == ()


async def test_svmap_is_told_our_name_and_no_more(desk: Desk, tmp_path: Path) -> None:
    said = await run(tmp_path, "svmap", desk.sip, source=HERE)
    assert [line for line in said if "agent-endpoint" in line], said


@pytest.mark.parametrize("words", [100, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_s4_svcrack_finds_no_password_and_is_dropped(
    desk: Desk, phone: Baresip, tmp_path: Path, words: int
) -> None:
    """The right one is among its words. The phone that is there already is unharmed."""
    dictionary = tmp_path / "words"
    guesses = [f"word{number}" for number in range(words)]
    guesses.insert(words // 2, desk.password)
    dictionary.write_text("\n".join(guesses))
    options = ("-u", PHONE, "-d", str(dictionary), "--maximumtime", "1")
    said = await run(tmp_path, "svcrack", desk.sip, *options, source=HERE)
    assert not any(desk.password in line for line in said), said
    (ban,) = desk.endpoint.server.bans()
    assert (ban.source, ban.user, ban.failures) == (HERE, PHONE, 10)
    await talk(desk)
    assert await registers_from_elsewhere(desk) == 200


async def test_s12_a_telephone_that_dials_too_often_is_refused(tmp_path: Path) -> None:
    """SIPp is let dial twice a minute."""
    async with Desk(
        tmp_path / "state",
        extensions=[PHONE],
        stations={AGENT: 1400},
        settings={"calls": {"dials_per_minute": 2}},
    ) as desk:
        port = await register(tmp_path, desk.sip, user=PHONE, password=desk.password)

        def dials(scenario: str, number: int) -> Sipp:
            return Sipp(
                tmp_path / str(number),
                scenario,
                desk.sip,
                user=PHONE,
                password=desk.password,
                target=AGENT,
                sip_port=port,
                talk_ms=200,
                status=403,
            )

        for number in range(2):
            async with dials("uac", number) as sipp:
                await sipp.finished()
            await desk.cleared()
        async with dials("uac_refused", 3) as sipp:
            await sipp.finished()
        failed = await desk.event(Failed, device=PHONE)
        assert (failed.cause, failed.sip_status) == (Cause.DIAL_LIMIT, None)


async def flooded(desk: Desk, directory: Path, seconds: int) -> Process:
    """SIPp, from a port a call: REGISTER, OPTIONS, INVITE, SUBSCRIBE."""
    calls = FLOOD_PER_SECOND // 4
    return Process(
        [
            *(require("sipp", "sip-tester"), desk.sip, "-sf", SCENARIOS / "flood.xml"),
            *("-i", HERE, "-s", AGENT, "-t", "un", "-nr", "-nostdin", "-max_socket", "2000"),
            *("-r", str(calls), "-m", str(calls * seconds)),
        ],
        directory=directory,
        name="flood",
    )


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
async def test_s7_calls_come_about_in_a_flood(
    desk: Desk, phone: Baresip, tmp_path: Path, seconds: int
) -> None:
    """2,000 messages a second from the phone's own address; 99 of 100 calls are set up."""
    await talk(desk)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls, failed = 0, 0
    while calls < 2:  # a slow machine may need another flood
        async with await flooded(desk, tmp_path, seconds) as flood:
            while flood.returncode is None:
                calls += 1
                try:
                    await talk(desk)
                except PeerError:
                    failed += 1
                    for call in desk.endpoint.controller.calls():
                        await desk.do(ClearConnection(AGENT, call.id))
                        await desk.cleared(call=call.id)
    assert failed <= calls / 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
    agent = desk.endpoint.server.user_agent
    assert agent.guard.bans(agent.now()) == []
    # Nothing of it is kept: the source is a stranger's no more than before, and may register.
    assert await registers_from_elsewhere(desk) == 200
    await register(tmp_path, desk.sip, user=PHONE, password=desk.password)
