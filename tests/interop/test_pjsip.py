"""Accounts whose calls are PJSIP's, at our own registrar and at Kamailio, with telephones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    ConferenceCall,
    ConsultationCall,
    GenerateDigits,
    HoldCall,
    MakeCall,
    RetrieveCall,
    SingleStepTransfer,
    TransferCall,
)
from endpoint.callcontrol.events import (
    CallCleared,
    Conferenced,
    ConnectionCleared,
    Delivered,
    DigitDetected,
    DigitsGenerated,
    Established,
    Failed,
    FarEndHold,
    Held,
    Retrieved,
    Transferred,
)
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    LineFull,
    TrunkUp,
)

from .desk import Desk
from .peers.baresip import Baresip
from .peers.endpoint_page import EndpointPage
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.linphone import Linphone
from .peers.pjsip import need_pjsip
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, COLLEAGUE, CUSTOMER, THIRD = (DeviceId(n) for n in ("6001", "6002", "6009", "6008"))
AGENT_HZ, COLLEAGUE_HZ, CUSTOMER_HZ, THIRD_HZ = 1400, 590, 1010, 1800
OFTEN = {"dials_per_minute": 1_000_000}
VISITOR, VISITOR_HZ, PAGE_HZ = DeviceId("6007"), 2300, 1130


@dataclass(frozen=True, slots=True)
class Server:
    """Where the account is registered."""

    address: str
    tcp: str
    """The same over TCP."""
    password: str


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    need_pjsip()
    if request.param == "kamailio":
        async with Kamailio(tmp_path / "kamailio") as kamailio:
            yield Server(kamailio.address, kamailio.address, kamailio.password)
        return
    numbers = [AGENT, CUSTOMER, THIRD]
    async with Desk(tmp_path / "server", extensions=numbers, settings={"calls": OFTEN}) as desk:
        yield Server(desk.sip, desk.sip_tcp, desk.password)


def at(*names: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", names, indirect=True)


def in_soak(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.soak)


at_kamailio, at_our_registrar = at("kamailio"), at("embedded")


def office(
    server: Server, directory: Path, stations: dict[str, float] | None = None, /, **account: Any
) -> Desk:
    """The agent is a tone; her account's calls are PJSIP's. Colleagues are tones too."""
    return Desk(
        directory,
        stations=stations or {AGENT: AGENT_HZ, COLLEAGUE: COLLEAGUE_HZ, VISITOR: VISITOR_HZ},
        settings={
            "calls": OFTEN,
            "account": [
                {
                    "device": AGENT,
                    "server": f"sip:{server.address}",
                    "domain": server.address,
                    "password": server.password,
                    "expires_s": 60,
                    "media_engine": "pjsip",
                    **account,
                }
            ],
        },
    )


@pytest.fixture
async def desk(server: Server, tmp_path: Path) -> AsyncIterator[Desk]:
    async with office(server, tmp_path / "office") as started:
        await started.event(DeviceRegistered, device=AGENT)
        yield started


def telephone(server: Server, directory: Path, user: str, tone_hz: int, **more: Any) -> Baresip:
    return Baresip(
        directory / f"phone-{user}",
        user,
        server.address,
        password=server.password,
        tone_hz=tone_hz,
        **more,
    )


@pytest.fixture
async def customer(server: Server, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(server, tmp_path, CUSTOMER, CUSTOMER_HZ) as phone:
        yield phone


@pytest.fixture
async def third(server: Server, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(server, tmp_path, THIRD, THIRD_HZ) as phone:
        yield phone


def linphone(server: Server, directory: Path, user: str, tone_hz: int) -> Linphone:
    return Linphone(
        directory / f"phone-{user}", user, server.address, password=server.password, tone_hz=tone_hz
    )


async def established(desk: Desk, customer: Baresip) -> None:
    """The agent has called the customer."""
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await desk.event(Delivered, device=CUSTOMER)
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)


async def talking(desk: Desk, customer: Baresip) -> None:
    """… and they hear each other."""
    await established(desk, customer)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})


def process_of(desk: Desk, name: str = AGENT) -> int:
    (pid,) = [
        line.pid
        for line in desk.endpoint.exchange.pjsip.lines()
        if line.label == name and line.pid is not None
    ]
    return pid


@at("embedded", in_soak("kamailio"))
async def test_pjsip_dials_holds_sends_and_hears_digits_and_hangs_up(
    desk: Desk, customer: Baresip
) -> None:
    await talking(desk, customer)

    await desk.do(HoldCall(AGENT))
    held = await desk.event(FarEndHold)
    assert (held.held, held.sip_status) == (True, 200)
    await hear({desk.ear(AGENT): set(), customer: MUSIC_HZ})
    await desk.do(RetrieveCall(AGENT))
    await desk.event(Retrieved, device=AGENT)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await customer.hold()
    await desk.event(Held, device=CUSTOMER)
    await hear({desk.ear(AGENT): MUSIC_HZ})
    await customer.resume()
    await desk.event(Retrieved, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await desk.do(GenerateDigits(AGENT, "159#"))
    assert (await desk.event(DigitsGenerated)).digits == "159#"
    assert await customer.digits(4) == "159#"
    await customer.send_digits("42")
    for digit in "42":
        await desk.event(DigitDetected, device=CUSTOMER, digits=digit)

    await desk.do(ClearConnection(AGENT))
    await customer.closed()
    assert (await desk.cleared()).cause is Cause.NORMAL


@at("kamailio", in_soak("embedded"))
async def test_pjsip_is_called_over_tcp_confers_and_is_hung_up_on(
    server: Server, customer: Baresip, tmp_path: Path
) -> None:
    by_tcp = f"sip:{server.tcp};transport=tcp"
    async with office(server, tmp_path / "office", server=by_tcp) as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        await customer.dial(AGENT)
        call = (await desk.event(Established, device=AGENT)).call
        await customer.established()
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ConsultationCall(AGENT, COLLEAGUE))
        await desk.event(Established, device=COLLEAGUE)
        await hear({desk.ear(COLLEAGUE): {AGENT_HZ}, customer: MUSIC_HZ})
        await desk.do(ConferenceCall(AGENT))
        await desk.event(Conferenced, device=COLLEAGUE)
        await hear(
            {
                desk.ear(AGENT): {CUSTOMER_HZ, COLLEAGUE_HZ},
                desk.ear(COLLEAGUE): {CUSTOMER_HZ, AGENT_HZ},
                customer: {AGENT_HZ, COLLEAGUE_HZ},
            }
        )
        await customer.hang_up()
        await desk.event(ConnectionCleared, call=call, device=CUSTOMER)


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
@at_our_registrar
async def test_a_process_that_is_killed_or_hangs_ends_its_calls_and_no_others(
    desk: Desk, customer: Baresip, fatal: signal.Signals, record_property: Any
) -> None:
    clock = asyncio.get_running_loop().time
    await established(desk, customer)
    other = (await desk.do(MakeCall(COLLEAGUE, VISITOR))).call
    await desk.event(Established, call=other, device=VISITOR)

    began = clock()
    os.kill(process_of(desk), fatal)
    gone = await desk.event(DeviceUnregistered, device=AGENT)
    ended = await desk.event(CallCleared)
    assert gone.cause is ended.cause is Cause.MEDIA_LOST
    assert ended.call != other
    await desk.event(DeviceRegistered, device=AGENT)
    took_s = clock() - began
    record_property("works_again_after_s", f"{took_s:.1f}")
    sys.stdout.write(f"{fatal.name}: works again after {took_s:.1f} s\n")

    await customer.hang_up()
    await customer.closed()
    await talking(desk, customer)
    await hear({desk.ear(COLLEAGUE): {VISITOR_HZ}, desk.ear(VISITOR): {COLLEAGUE_HZ}})
    await customer.hang_up()
    assert (await desk.event(CallCleared)).call not in (other, ended.call)


FAR_HZ = {"9001": 590, "9002": 1010, "9003": 1130, "9004": 1400}
NEAR_HZ = {"7001": 1010, "7002": 1130, "7003": 1400, "7004": 590}
FIFTH = DeviceId("7005")


async def test_four_calls_at_once_hear_their_own_and_a_fifth_is_refused(tmp_path: Path) -> None:
    """The account is a trunk's, so many devices share its process."""
    need_pjsip()
    pairs = dict(zip(NEAR_HZ, FAR_HZ, strict=True))
    async with Desk(
        tmp_path / "server", extensions=[AGENT], stations={**FAR_HZ, VISITOR: VISITOR_HZ}
    ) as server:
        account = {
            "device": AGENT,
            "server": f"sip:{server.sip}",
            "password": server.password,
            "media_engine": "pjsip",
        }
        trunk = {
            "name": "public",
            "account": AGENT,
            "outgoing": [{"match": "9*"}],
            "incoming": [{"match": AGENT, "to": "7001"}],
            "default_number": AGENT,
        }
        async with Desk(
            tmp_path / "office",
            stations={**NEAR_HZ, FIFTH: 1800},
            settings={"account": [account], "trunk": [trunk]},
        ) as desk:
            await desk.event(TrunkUp, trunk="public")
            for near, far in pairs.items():
                await desk.do(MakeCall(DeviceId(near), DeviceId(far)))
                await desk.event(Established, device=far)
            await hear(
                {desk.ear(near): {FAR_HZ[far]} for near, far in pairs.items()}
                | {server.ear(far): {NEAR_HZ[near]} for near, far in pairs.items()}
            )

            await server.do(MakeCall(VISITOR, AGENT))
            refused = await server.event(Failed, device=AGENT)
            assert (refused.cause, refused.sip_status) == (Cause.BUSY, 486)
            full = await desk.event(LineFull)
            assert (full.line, full.most_calls) == ("public", 4)

            await desk.do(MakeCall(FIFTH, DeviceId("9009")))
            assert (await desk.event(Failed)).cause is Cause.TRUNK_FULL


@at_kamailio
async def test_pjsip_is_transferred_by_its_far_end_for_a_refer_can_not_be_refused(
    desk: Desk, customer: Baresip, third: Baresip
) -> None:
    process = process_of(desk)
    for accepts in (False, True):
        await customer.dial(AGENT)
        await customer.established()
        await desk.event(Established, device=AGENT)
        await customer.transfer(THIRD)
        await third.ringing()
        if accepts:
            await third.accept()
            await customer.closed()
            await hear({desk.ear(AGENT): {THIRD_HZ}, third: {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
        else:
            await third.hang_up()  # and the customer of itself, when it is told
        await third.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL
    assert process_of(desk) == process


@at_kamailio
async def test_pjsip_refers_its_far_end_and_is_told_what_comes_of_it(
    server: Server, customer: Baresip, third: Baresip, tmp_path: Path
) -> None:
    async with office(server, tmp_path / "office", transfer="refer") as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        await established(desk, customer)
        await desk.do(SingleStepTransfer(AGENT, THIRD))
        await third.ringing()
        await third.accept()
        done = await desk.event(Transferred, device=AGENT)
        assert done.transferred_to == THIRD
        await desk.cleared()
        await hear({third: {CUSTOMER_HZ}, customer: {THIRD_HZ}})


@at_kamailio
async def test_pjsip_refers_pjsip_to_a_telephone_for_its_own_place(
    server: Server, tmp_path: Path
) -> None:
    """Consulted and transferred (Replaces): PJSIP asks, PJSIP is asked, linphone is called."""
    async with (
        office(server, tmp_path / "office", transfer="refer") as desk,
        office(server, tmp_path / "other", {CUSTOMER: CUSTOMER_HZ}, device=CUSTOMER) as other,
        linphone(server, tmp_path, THIRD, THIRD_HZ) as third,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await other.event(DeviceRegistered, device=CUSTOMER)
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await desk.event(Established, device=CUSTOMER)
        await desk.do(ConsultationCall(AGENT, THIRD))
        await third.answer()
        await desk.event(Established, device=THIRD)
        await hear({other.ear(CUSTOMER): MUSIC_HZ, third: {AGENT_HZ}})
        await desk.do(TransferCall(AGENT))
        done = await desk.event(Transferred, device=AGENT)
        assert done.transferred_to == THIRD
        await hear({other.ear(CUSTOMER): {THIRD_HZ}, third: {CUSTOMER_HZ}})


@at_kamailio
async def test_pjsip_and_a_browser_hear_each_other(
    server: Server, customer: Baresip, tmp_path: Path
) -> None:
    """The agent's telephone is the page, in Chromium."""
    async with AsyncExitStack() as lives:
        desk = await lives.enter_async_context(
            office(server, tmp_path / "office", {COLLEAGUE: COLLEAGUE_HZ})
        )
        await desk.event(DeviceRegistered, device=AGENT)
        page = await lives.enter_async_context(
            EndpointPage(tmp_path / "page", desk.endpoint.url, desk.endpoint.token, tone_hz=PAGE_HZ)
        )
        await page.use(AGENT)
        await page.state("ready")
        await desk.event(DeviceRegistered, device=AGENT, server="browser")
        await customer.dial(AGENT)
        await page.press("Answer")
        await page.state("talking")
        await desk.event(Established, device=AGENT)
        await hear({page: {CUSTOMER_HZ}, customer: {PAGE_HZ}})
        await page.press("Hold")
        await desk.event(Held, device=AGENT)
        await hear({page: set(), customer: MUSIC_HZ})
        await customer.hang_up()
        await desk.cleared()


@pytest.mark.soak
@pytest.mark.timeout(0)
@at_our_registrar
async def test_a_hundred_calls_after_each_other_and_none_hangs(
    desk: Desk, server: Server, tmp_path: Path
) -> None:
    async with telephone(server, tmp_path, CUSTOMER, CUSTOMER_HZ, answer="auto") as customer:
        process = process_of(desk)
        for number in range(100):
            await desk.do(MakeCall(AGENT, CUSTOMER))
            call = (await desk.event(Established, device=CUSTOMER)).call
            if number % 10 == 0:
                await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
            if number % 2:
                await customer.hang_up()
            else:
                await desk.do(ClearConnection(AGENT))
            assert (await desk.event(CallCleared, call=call)).cause is Cause.NORMAL
        assert process_of(desk) == process
