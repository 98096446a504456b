"""The messages of RFC 4475 against the running server: as datagrams, and as WebSocket frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from signaling.server import SipServer, SipServerConfig
from signaling.sip.flow import Flow
from signaling.sip.message import Response, parse_message
from signaling.sip.stack import Direction
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.raw import RawClient, digest, md5_challenge
from tests.integration.signaling.stage import REALM, USERS, StaticCredentials
from tests.vectors.rfc4475_outcomes import NORMAL, ROWS, Row

pytestmark = pytest.mark.integration

NEVER_NORMAL = {400, 416, 420, 500, 501, 505, 513}
PASSWORD = "a secret of this test"
ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


class Wire:
    """A server, and all that it sends, wherever the Via has it go."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[tuple[Flow, Response]] = asyncio.Queue()
        self.server = SipServer(
            SipServerConfig(realm=REALM), StaticCredentials(), trace=self._trace
        )
        self.udp_port = self.ws_port = 0

    def _trace(self, direction: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if direction is Direction.SENT:
            message = parse_message(octets)
            assert isinstance(message, Response)
            self.sent.put_nowait((flow, message))

    async def final(self) -> Response:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                flow, message = await self.sent.get()
                assert flow.host == "127.0.0.1"  # never where a Via or a Contact points
                if message.status >= 200:
                    return message


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    async with wire.server:
        _, wire.udp_port = await wire.server.listen_udp("127.0.0.1", 0)
        _, wire.ws_port = await wire.server.listen_websocket("127.0.0.1", 0)
        yield wire


def check(row: Row, response: Response) -> None:
    allowed = row.final - NORMAL
    if row.final >= NORMAL and response.status not in NEVER_NORMAL:
        return
    assert response.status in allowed
    if response.status == 501:
        assert "INVITE" in (response.headers.get("Allow") or "")
    if response.status == 420:
        assert "nothingSupportsThis, nothingSupportsThisEither" in (
            response.headers.get("Unsupported") or ""
        )
    if response.status == 415:
        assert response.headers.get("Accept") == "application/sdp"


@ROW
async def test_as_a_datagram(row: Row, wire: Wire):
    async with RawClient(wire.udp_port) as client:
        client.send(row.octets)
        if row.final:
            check(row, await wire.final())
        assert await client.is_answered()
        final = await wire.final()
        assert final.call_id.startswith("ping-")  # and nothing else was sent
    assert wire.sent.empty()
    assert wire.server._registrar.users() == []


@ROW
async def test_as_a_websocket_frame(row: Row, wire: Wire):
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"ws://127.0.0.1:{wire.ws_port}/sip", protocols=("sip",))
        await socket.send_bytes(row.octets)
        if row.final:
            async with asyncio.timeout(PATIENCE_S):
                status = 0
                while status < 200:
                    answer = await socket.receive()
                    binary = isinstance(answer.data, bytes)
                    message = parse_message(answer.data if binary else answer.data.encode())
                    assert isinstance(message, Response)
                    status = message.status
            check(row, message)
            await wire.final()
        async with RawClient(wire.udp_port) as client:
            assert await client.is_answered()
        assert (await wire.final()).call_id.startswith("ping-")
        await socket.close()
    assert wire.server._registrar.users() == []


async def register(wire: Wire, name: str, username: str) -> Response:
    """Send a REGISTER of the RFC, be challenged, send it again with credentials."""
    octets = next(row.octets for row in ROWS if row.name == name)
    async with RawClient(wire.udp_port) as client:
        client.send(octets)
        challenged = await wire.final()
        assert challenged.status == 401
        value = digest(
            md5_challenge(challenged), "REGISTER", "sip:example.com", username, PASSWORD
        ).replace("\0", "\\\0")  # a NUL must be quoted
        head, _, rest = octets.partition(b"\r\n")
        again = b"\r\n".join([head, b"Authorization: " + value.encode(), rest])
        client.send(again.replace(b"branch=z9hG4bK", b"branch=z9hG4bKagain", 1))
        return await wire.final()


@pytest.mark.parametrize(
    ("name", "user", "contacts"),
    [
        ("escnull", "null-\0-null", ["sip:%00%00@host5.example.com", "sip:%00@host5.example.com"]),
        ("dblreq", "j.user", ["sip:j.user@host.example.com"]),
        ("cparam01", "watson", ["sip:+19725552222@gw1.example.net"]),
        ("cparam02", "watson", ["sip:+19725552222@gw1.example.net;unknownparam"]),
        ("regescrt", "user", ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]),
    ],
)
async def test_what_a_register_binds_with_credentials(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, name: str, user: str, contacts: list[str]
):
    monkeypatch.setitem(USERS, user, PASSWORD)
    response = await register(wire, name, user)
    assert response.status == 200
    assert [str(binding.contact.uri) for binding in wire.server.bindings(user)] == contacts
    assert [str(contact.uri) for contact in response.contacts] == contacts
