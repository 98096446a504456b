"""Two planes with a WebRTC port each, called `W`, that are each other's far end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec

from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings
from tests.integration.endpoint.media.conftest import Studio
from tests.integration.endpoint.media.phone import PCMU, Phone, events

CODECS = [PCMU, events(101)]
SETTINGS = MediaSettings(
    rtcp_interval_s=0.2, connect_timeout_s=10, consent_interval_s=0.1, consent_expiry_s=1.0
)


class Side(Studio):
    """A plane with a WebRTC port `W` and a plain one for a phone."""

    local: m.WebRtcAddress

    async def open(self, *, controlling: bool) -> None:
        """Open the port."""
        self.local = await self.link.request(m.OpenWebRtcPort("W", controlling))

    def remote(self, other: Side, role: m.DtlsRole, **changes: object) -> m.SetWebRtcRemote:
        """What the other side's description says to ours."""
        local = other.local
        described = m.SetWebRtcRemote(
            "W",
            local.ufrag,
            local.pwd,
            local.fingerprints,
            role,
            CODECS,
            CODECS,
            candidates=local.candidates,
        )
        return msgspec.structs.replace(described, **changes)

    async def restart(self, *, controlling: bool, new_association: bool = False) -> None:
        """Prepare; `local` is what the next description says."""
        restart = m.RestartIce("W", controlling, new_association=new_association)
        self.local = await self.link.request(restart)

    @property
    def web_address(self) -> tuple[str, int]:
        """The address of our host candidate."""
        words = self.local.candidates[0].split()
        return words[4], int(words[5])

    async def add_phone(self, phone: Phone) -> None:
        """A phone beside the port, both ways."""
        await self.connect(phone)
        pairs = [m.RouteTo("W", phone.name), m.RouteTo(phone.name, "W")]
        await self.link.request(m.SetRoutes("call", pairs))


@contextlib.asynccontextmanager
async def plane(settings: MediaSettings = SETTINGS) -> AsyncIterator[Side]:
    """A plane in this loop."""
    async with asyncio.TaskGroup() as group, LocalLink(settings) as link:
        side = Side(link)
        group.create_task(side.keep_notices())
        yield side


async def connect(
    a: Side, b: Side, role: m.DtlsRole = m.DtlsRole.CLIENT, *, times: int = 1, **changes: object
) -> None:
    """Tell each of the other, until both have been up `times`; `role` is the offerer's."""
    other = next(each for each in m.DtlsRole if each is not role)
    await b.link.request(b.remote(a, other, **changes))
    await a.link.request(a.remote(b, role, **changes))
    for side in (a, b):
        await side.until_notice(m.PortConnected, times)
