"""Telephones that we did not write watch our devices, and send texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app import certificates
from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.legs.base import DeviceId, DeviceRegistered, TextReceived

from .desk import Desk
from .peers.baresip import Baresip
from .peers.sipp import Sipp

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, WATCHER = DeviceId("6001"), DeviceId("10086"), DeviceId("7002")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """6001 is a tone station; 10086 and 7002 are extensions."""
    async with Desk(
        tmp_path / "state", extensions=[CUSTOMER, WATCHER], stations={AGENT: 1400}
    ) as endpoint:
        yield endpoint


def watcher(desk: Desk, directory: Path, **settings: object) -> Baresip:
    return Baresip(directory / "watcher", WATCHER, desk.sip, password=desk.password, **settings)  # type: ignore[arg-type]


async def test_baresip_watches_presence(desk: Desk, tmp_path: Path) -> None:
    contacts = f'"Customer" <sip:{CUSTOMER}@{desk.sip}>;presence=p2p\n'
    async with watcher(desk, tmp_path, modules=("contact", "presence"), contacts=contacts) as phone:
        await phone.process.lines.next(lambda line: "closed" in line.lower(), "closed")
        async with Baresip(tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password):
            await desk.event(DeviceRegistered, device=CUSTOMER)
            await phone.process.lines.next(lambda line: "<basic>open" in line, "open")
        await phone.process.lines.next(lambda line: "<basic>closed" in line, "closed again")


async def test_baresip_asks_whether_messages_wait(desk: Desk, tmp_path: Path) -> None:
    async with watcher(desk, tmp_path, modules=("mwi",), account=";mwi=yes") as phone:
        await phone.process.lines.next(lambda line: "Messages-Waiting: no" in line, "summary")


async def test_baresip_sends_a_text_to_baresip(desk: Desk, tmp_path: Path) -> None:
    contacts = f'"Customer" <sip:{CUSTOMER}@{desk.sip}>\n'
    async with (
        watcher(desk, tmp_path, modules=("contact",), contacts=contacts) as sender,
        Baresip(tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password) as receiver,
    ):
        await desk.event(DeviceRegistered, device=CUSTOMER)
        await sender.command("message", "good morning")  # to its current contact
        await receiver.process.lines.next(lambda line: "good morning" in line, "text")
        told = await desk.event(TextReceived, device=CUSTOMER)
        assert (told.sender, told.text, told.sip_status) == (WATCHER, "good morning", 200)


async def test_sipp_watches_the_calls_of_a_device_with_baresip(desk: Desk, tmp_path: Path) -> None:
    """SIPp is told of a call that is confirmed, of its end, and of the end of its subscription."""
    async with (
        Baresip(tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password, answer="auto"),
        Sipp(
            tmp_path,
            "uac_subscribes",
            desk.sip,
            user=WATCHER,
            password=desk.password,
            target=AGENT,
        ) as sipp,
    ):
        await desk.event(DeviceRegistered, device=CUSTOMER)
        async with asyncio.timeout(10):
            while desk.endpoint.server.watcher_count == 0:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.01)
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await desk.event(Established, device=CUSTOMER)
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    assert desk.endpoint.server.watcher_count == 0


async def test_a_client_sends_a_text_to_baresip(desk: Desk, tmp_path: Path) -> None:
    trust = certificates.client_context(desk.ca_file)
    async with (
        Baresip(tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password) as receiver,
        EndpointClient(desk.endpoint.url, desk.endpoint.token, ssl_context=trust) as client,
    ):
        await desk.event(DeviceRegistered, device=CUSTOMER)
        sent = await client.send_text(CUSTOMER, AGENT, "good evening")
        assert (sent.delivered, sent.sip_status) == (True, 200)
        await receiver.process.lines.next(lambda line: "good evening" in line, "text")
        assert (await client.send_text(AGENT, CUSTOMER, "nobody home")).sip_status == 480
        for device, sender, text, status in (
            (CUSTOMER, "6999", "x", 404),
            ("6999", CUSTOMER, "x", 404),
            (CUSTOMER, AGENT, "\u4f60" * 500, 413),
            (CUSTOMER, AGENT, "", 400),
        ):
            with pytest.raises(RequestRefused) as refused:
                await client.send_text(device, sender, text)
            assert refused.value.status == status
