"""The messages of RFC 4475 against the running server: as datagrams, and as WebSocket frames.

Their source is trusted here, so each is judged for what it is; the registrar asks all the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from signaling.server import SipServer, SipServerConfig
from signaling.sip.flow import Flow
from signaling.sip.message import Response, parse_message
from signaling.sip.stack import Direction
from signaling.user_agent import UserAgentConfig
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.raw import RawClient, digest, md5_challenge
from tests.integration.signaling.stage import REALM, USERS, StaticCredentials
from tests.vectors.rfc4475_outcomes import NORMAL, ROWS, Row

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

NEVER_NORMAL = {400, 416, 420, 500, 501, 505, 513}
PASSWORD = "a secret of this test"
ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@dataclass
class Reply:
    """An answer as it is on the wire: one to a broken request repeats what it may of it."""

    octets: bytes
    status: int

    @classmethod
    def read(cls, octets: bytes) -> Reply:
        start = re.match(rb"SIP/2\.0 (\d{3}) ", octets)
        assert start is not None
        return cls(octets, int(start[1]))

    def header(self, name: str) -> str:
        found = re.search(rb"\r\n%s: *([^\r]*)\r\n" % name.encode(), self.octets)
        return found[1].decode() if found else ""

    @property
    def message(self) -> Response:
        message = parse_message(self.octets)
        assert isinstance(message, Response)
        return message

    @property
    def is_of_the_ping(self) -> bool:
        return self.header("Call-ID").startswith("ping-")


class Wire:
    """A server, and all that it sends, wherever the Via has it go."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Reply] = asyncio.Queue()
        self.server = SipServer(
            SipServerConfig(realm=REALM, user_agent=UserAgentConfig(trusted_peers=("127.0.0.1",))),
            StaticCredentials(),
            trace=self._trace,
        )
        self.udp_port = self.ws_port = 0

    def _trace(self, direction: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if direction is Direction.SENT:
            assert flow.host == "127.0.0.1"  # never where a Via or a Contact points
            self.sent.put_nowait(Reply.read(octets))

    async def decline_all(self) -> None:
        async for session in self.server.invitations():
            session.reject(486)

    async def final(self) -> Reply:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                reply = await self.sent.get()
                if reply.status >= 200:
                    return reply


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    async with wire.server:
        _, wire.udp_port = await wire.server.listen_udp("127.0.0.1", 0)
        _, wire.ws_port = await wire.server.listen_websocket("127.0.0.1", 0)
        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(wire.decline_all())
            yield wire
            busy.cancel()


def check(row: Row, reply: Reply) -> None:
    if row.final >= NORMAL and reply.status not in NEVER_NORMAL:
        return
    assert reply.status in row.final
    if reply.status == 501:
        assert "INVITE" in reply.header("Allow")
    if reply.status == 420:
        refused = "nothingSupportsThis, nothingSupportsThisEither"
        assert refused in reply.header("Unsupported")
    if row.name == "invut":
        assert reply.header("Accept") == "application/sdp"


@ROW
async def test_as_a_datagram(row: Row, wire: Wire):
    async with RawClient(wire.udp_port) as client:
        client.send(row.octets)
        if row.final:
            check(row, await wire.final())
        assert await client.is_answered()
        assert (await wire.final()).is_of_the_ping  # and nothing else was sent
    assert wire.sent.empty()
    assert wire.server._registrar.users() == []


@ROW
async def test_as_a_websocket_frame(row: Row, wire: Wire):
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"ws://127.0.0.1:{wire.ws_port}/sip", protocols=("sip",))
        await socket.send_bytes(row.octets)
        if row.final:
            sent = await wire.final()
            check(row, sent)
            async with asyncio.timeout(PATIENCE_S):
                frame = None
                while frame != sent.octets:  # a 100 may come before it
                    data = (await socket.receive()).data
                    frame = data if isinstance(data, bytes) else data.encode()
        async with RawClient(wire.udp_port) as client:
            assert await client.is_answered()
        assert (await wire.final()).is_of_the_ping
        await socket.close()
    assert wire.server._registrar.users() == []


async def register(wire: Wire, name: str, username: str) -> Reply:
    """Send a REGISTER of the RFC, be challenged, send it again with credentials."""
    octets = next(row.octets for row in ROWS if row.name == name)
    async with RawClient(wire.udp_port) as client:
        client.send(octets)
        challenged = await wire.final()
        assert challenged.status == 401
        value = digest(
            md5_challenge(challenged.message), "REGISTER", "sip:example.com", username, PASSWORD
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
    assert [str(contact.uri) for contact in response.message.contacts] == contacts
