from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from endpoint.legs.base import DeviceId
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings
from endpoint.legs.station import FileStation
from endpoint.media.link import LocalLink, MediaLink
from endpoint.media.settings import MediaSettings
from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import ha1
from tests.integration.endpoint.legs.operator import Operator
from tests.integration.endpoint.legs.phones import PASSWORD, REALM, WAIT_S, Phone, phone

USERS = ("6001", "6002", "10086", "10087")
MEDIA = MediaSettings(rtp_port_low=26000, rtp_port_high=27999, rtcp_interval_s=1.0)


class Passwords:
    """The test's users, all with one password."""

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        if username not in USERS:
            return []
        return [
            (algorithm, ha1(username, realm, PASSWORD, algorithm))
            for algorithm in ("SHA-256", "MD5")
        ]


async def extension(device: DeviceId) -> DeviceId | None:
    return device if device in USERS else None


@dataclass
class Office:
    """Our sipWsServer with an exchange, an operator, and phones that come and go."""

    exchange: LegExchange
    operator: Operator
    link: MediaLink
    udp_port: int
    url: str
    wss_url: str
    authority: trustme.CA
    """Has signed what is shown at `wss_url`."""
    _stack: AsyncExitStack
    phones: dict[str, Phone] = field(default_factory=dict)

    async def phone(
        self, user: str, *, websocket: bool = False, key: str = "", trickles: bool = False
    ) -> Phone:
        """A phone, switched on and registered."""
        made = await self._stack.enter_async_context(phone(user, trickles=trickles))
        await made.register(self.udp_port, url=self.url if websocket else None)
        self.phones[key or user] = made
        return made

    async def idle(self) -> None:
        """Until every leg is gone."""
        async with asyncio.timeout(WAIT_S):
            await self.exchange.wait_idle()


@asynccontextmanager
async def open_office(
    settings: LegSettings,
    link: MediaLink,
    *,
    accounts: Sequence[AccountSettings] = (),
    stations: Sequence[FileStation] = (),
) -> AsyncIterator[Office]:
    server = SipServer(SipServerConfig(realm=REALM), Passwords())
    async with server, AsyncExitStack() as stack:
        _, udp_port = await server.listen_udp("127.0.0.1", 0)
        _, ws_port = await server.listen_websocket("127.0.0.1", 0)
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        _, wss_port = await server.listen_websocket("127.0.0.1", 0, ssl_context=context)
        exchange = LegExchange(
            server,
            link,
            settings=settings,
            accounts=accounts,
            stations=stations,
            extension=extension,
        )
        operator = Operator(exchange)
        async with asyncio.TaskGroup() as tasks, exchange:
            tasks.create_task(operator.run())
            yield Office(
                exchange,
                operator,
                link,
                udp_port,
                f"ws://127.0.0.1:{ws_port}/sip",
                f"wss://127.0.0.1:{wss_port}/sip",
                authority,
                stack,
            )
            await stack.aclose()


@pytest.fixture
def leg_settings() -> LegSettings:
    """Overridden by classes that need other waits."""
    return LegSettings(domain="127.0.0.1")


@pytest.fixture
async def office(leg_settings: LegSettings) -> AsyncIterator[Office]:
    async with LocalLink(MEDIA) as link, open_office(leg_settings, link) as opened:
        yield opened
