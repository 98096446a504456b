"""SIP of a call as ladder and capture file: read by tshark, and sent on by HEP as to Homer."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

from endpoint.app import certificates
from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.callcontrol.model import CallId
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.legs.base import DeviceId, DeviceRegistered
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.hep import format_hep
from signaling.sip.trace import TracedMessage

from .desk import Desk
from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.process import Process, free_port, require

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")


PROBE = TracedMessage(
    1.0,
    True,
    Flow(TransportKind.UDP, "192.0.2.1", 5060),
    b"OPTIONS sip:probe@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:probe@192.0.2.1>\r\nCall-ID: probe\r\n"
    b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
)


class CaptureServer:
    """sngrep, which takes HEP as Homer does: `async with CaptureServer(...) as server`."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.captured = directory / "captured.pcap"
        self._directory = directory
        self._process: Process

    async def __aenter__(self) -> Self:
        # Its listener ends at once where it is faster than the program that starts it.
        for _ in range(5):
            self._process = Process(
                [
                    require("sngrep", "sngrep"),
                    *("-F", "-N", "-q", "-L", f"udp:127.0.0.1:{self.port}"),
                    *("-O", str(self.captured)),
                ],
                directory=self._directory,
                name="sngrep",
            )
            await self._process.__aenter__()
            await self._process.listening(self.port)
            with socket.socket(type=socket.SOCK_DGRAM) as probing:
                packet = format_hep(PROBE, capture_id=1, password="hep")
                probing.sendto(packet, ("127.0.0.1", self.port))
            try:
                await self.has_captured(b"OPTIONS sip:probe", 1, within_s=2)
            except TimeoutError:
                await self._process.__aexit__()
            else:
                return self
        raise PeerError("sngrep reads nothing of what it is sent")

    async def __aexit__(self, *_: object) -> None:
        await self._process.__aexit__()

    async def has_captured(self, octets: bytes, times: int, *, within_s: float = 20) -> None:
        """Wait until that is in its file, so often: what it has not read when it ends is lost."""
        async with asyncio.timeout(within_s):
            while True:  # a file says nothing when it grows
                if self.captured.read_bytes().count(octets) >= times:
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk(tmp_path / "state", extensions=[CUSTOMER], stations={AGENT: 1400}) as endpoint:
        yield endpoint


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[EndpointClient]:
    trust = certificates.client_context(desk.endpoint.certificate.authority)
    async with EndpointClient(desk.endpoint.url, desk.endpoint.token, ssl_context=trust) as client:
        yield client


async def tshark(path: Path) -> list[tuple[str, str]]:
    """What Wireshark finds in a file: method or status and method, and the Call-ID."""
    fields = "sip.Method", "sip.Status-Code", "sip.CSeq.method", "sip.Call-ID"
    process = await asyncio.create_subprocess_exec(
        require("tshark", "tshark"),
        *("-r", str(path), "-Y", "sip", "-T", "json"),
        *(f"-e{field}" for field in fields),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    packets = [packet["_source"]["layers"] for packet in json.loads(out)]
    return [
        (
            " ".join((*packet.get("sip.Status-Code", ()), packet["sip.CSeq.method"][0])),
            packet["sip.Call-ID"][0],
        )
        for packet in packets
    ]


async def call_and_hang_up(desk: Desk, directory: Path) -> CallId:
    """The agent calls baresip and hangs up again."""
    async with Baresip(
        directory / "customer", CUSTOMER, desk.sip, password=desk.password, tone_hz=1010
    ) as phone:
        await desk.event(DeviceRegistered, device=CUSTOMER)
        accepted = await desk.do(MakeCall(AGENT, CUSTOMER))
        await phone.ringing()
        await phone.accept()
        await desk.event(Established, device=CUSTOMER)
        await desk.do(ClearConnection(AGENT))
        await desk.cleared()
        await phone.closed()
    assert accepted.call is not None
    return accepted.call


def said(label: str) -> str:
    """A label of the ladder as tshark's fields say it."""
    label = label.partition(" [")[0]
    return f"{label[:3]} {label[label.index('(') + 1 : -1]}" if "(" in label else label


async def test_a_call_that_is_over_is_drawn_and_read_by_wireshark(
    desk: Desk, client: EndpointClient, tmp_path: Path
) -> None:
    call = await call_and_hang_up(desk, tmp_path)
    (listed,) = (await client.traces()).traces
    assert listed.parties == [CUSTOMER]
    trace = await client.trace(call)
    assert trace.messages == (await client.trace(listed.call)).messages
    assert {message.party for message in trace.messages} == {CUSTOMER}
    labels = [said(message.label) for message in trace.messages]
    assert labels[0] == "INVITE"
    assert labels[-2:] == ["BYE", "200 BYE"]

    ladder = (await client.trace_as(call, "text")).decode().splitlines()
    assert ladder[0].split() == [CUSTOMER, "endpoint"]
    assert len(ladder) == 1 + len(labels)
    assert (await client.trace_as(call, "svg")).startswith(b"<svg ")

    capture = tmp_path / "call.pcapng"
    capture.write_bytes(await client.trace_as(call, "pcapng"))
    assert [what for what, _ in await tshark(capture)] == labels


async def test_a_capture_server_is_told_all_without_the_secrets(tmp_path: Path) -> None:
    async with CaptureServer(tmp_path) as server:
        capture = {"server": f"127.0.0.1:{server.port}", "id": 77, "password": "hep"}
        async with Desk(
            tmp_path / "state",
            extensions=[CUSTOMER],
            stations={AGENT: 1400},
            settings={"sip": {"port": 0, "capture": capture}},
        ) as desk:
            trust = certificates.client_context(desk.endpoint.certificate.authority)
            call = await call_and_hang_up(desk, tmp_path)
            async with EndpointClient(
                desk.endpoint.url, desk.endpoint.token, ssl_context=trust
            ) as client:
                trace = await client.trace(call)
            await server.has_captured(b" BYE\r\n", 2)
    packets = await tshark(server.captured)
    assert {what for what, _ in packets} >= {"REGISTER", "401 REGISTER", "200 REGISTER"}
    in_call = {id for what, id in packets if what == "INVITE"}
    assert [what for what, id in packets if id in in_call] == [
        said(message.label) for message in trace.messages
    ]
    written = server.captured.read_bytes()
    assert b'response="x' in written
    assert not re.search(rb'response="[0-9a-f]', written)


async def test_what_is_not_kept_is_said(client: EndpointClient) -> None:
    with pytest.raises(RequestRefused, match="no SIP of such a call is kept"):
        await client.trace("nobody-1")
    with pytest.raises(RequestRefused, match="expected one of json, text, svg, pcapng"):
        await client.trace_as("nobody-1", "pdf")
