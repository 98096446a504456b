"""An endpoint with agents, a supervisor and a customer, and pages that were made for BasicCall."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endpoint.agents.events import LogOffCause
from endpoint.agents.session import LogOff
from endpoint.app import certificates
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearCall
from endpoint.client.client import EndpointClient
from endpoint.errors import CommandRejected
from endpoint.gateways.native import directorymessages as directory
from tests.softphone import SoftPhone, soft_phone

TONES_HZ = {"6001": 350.0, "6002": 620.0, "6003": 890.0, "10086": 1250.0}
ANNA, BERT, CARL, DORA = "1001", "1002", "1003", "1004"
PIN = "a-Night-in-Lisbon-7"
"""Anna's `softPhoneCode`; to hash one costs time, so the others have none."""
PASSWORD_HASH = (
    "$scrypt$ln=4,r=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$2nqo/AD2uJkBGVoau9nLD7FIuwr23VNVZdT+EOaGT8g"
)
"""Of 4711, made cheaply."""
ORDERS = """
start = "note"
[node.note]
kind = "set"
values = { Wish = "orders" }
next = "wait"
[node.wait]
kind = "queue"
queue = "1001"
nobody = "end"
timeout = "end"
[node.end]
kind = "hangup"
"""
AGENTS = [
    directory.Agent(ANNA, "Anna", "1", wrap_up_s=30),
    directory.Agent(BERT, "Bert", "1", wrap_up_s=0),
    directory.Agent(CARL, "Carl", "2", role="monitor", supervises=["1"]),
    directory.Agent(DORA, "Dora", "2"),
]
PARAMETERS = {
    "AGENTTRANSFERIVRINFO": "999,Survey|8888,Password,1",
    "SOFTPHONELEAVEWORKMODESTATESYNC": "1",
}


def configuration(directory: Path, basiccall: dict[str, Any] | None = None, **more: Any) -> Config:
    """Stations that pick up by themselves, each with its tone."""
    (directory / "orders.toml").write_text(ORDERS)
    (directory / "passwords.toml").write_text(f'10086 = "{PASSWORD_HASH}"\n')
    return Config.model_validate(
        {
            "http": {"port": 0, "plain_port": 0},
            "sip": {"port": 0},
            "media": {"webrtc_ready": False},
            "agents": {"wrap_up": "all"},
            # One endpoint for all walks of a file, which take no time.
            "calls": {"dials_per_minute": 1_000_000},
            "state": {"directory": directory},
            "station": [
                {"device": device, "kind": "tone", "frequency_hz": tone_hz}
                for device, tone_hz in TONES_HZ.items()
            ],
            "agent": [{"device": "6004", "input": "tone:410"}],
            "ivr": [
                {"code": "999", "flow": "survey", "directory": directory},
                {"code": "900", "flow": str(directory / "orders.toml")},
                {"code": "8888", "flow": "password", "directory": directory},
            ],
            "basiccall": {
                "enabled": True,
                "port": 0,
                "system_param": PARAMETERS,
                **(basiccall or {}),
            },
            **more,
        }
    )


@dataclass(frozen=True)
class Office:
    """The endpoint, and pages at it."""

    endpoint: Endpoint
    client: EndpointClient
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.endpoint.basiccall.port}"

    @property
    def secure_url(self) -> str:
        return f"wss://localhost:{self.endpoint.basiccall.port}"

    def page(
        self, agent: str = ANNA, ins: str = "6001", *, path: str = "/", **attrs: Any
    ) -> AbstractAsyncContextManager[SoftPhone]:
        """That has sent CheckWebSocket."""
        return soft_phone(f"{self.url}{path}", agent, ins, **attrs)

    @asynccontextmanager
    async def at_work(
        self, agent: str = ANNA, ins: str = "6001", **attrs: Any
    ) -> AsyncIterator[SoftPhone]:
        """That is logged on, and idle."""
        work_mode = attrs.pop("work_mode", "")
        async with self.page(agent, ins, **attrs) as page:
            await page.until("onFunctionSwitch")  # the last of what Init brings
            page.work_mode = work_mode
            await page.logon()
            await page.until("onLogonSucc")
            await page.shows(3)
            yield page

    async def close(self) -> None:
        """Everybody goes home."""
        roster, changed = self.endpoint.roster, asyncio.Event()
        unwatch = roster.watch(lambda _: changed.set())
        for session in roster.sessions():
            for _, call, _ in self.endpoint.controller.whereabouts.connections_of(session.device):
                with suppress(CommandRejected):  # it is over meanwhile
                    await self.endpoint.controller.submit(ClearCall(session.device, call.id))
            with suppress(CommandRejected):
                await roster.command(session.agent, LogOff(LogOffCause.FORCED))
        while roster.sessions():
            await changed.wait()
            changed.clear()
        unwatch()


@asynccontextmanager
async def office_of(config: Config, *, passwords: bool = True) -> AsyncIterator[Office]:
    async with Endpoint(config) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:
            await client.bring_into_directory(
                directory.DirectoryImport(
                    agents=AGENTS,
                    skills=[directory.Skill("1001", "Orders")],
                    passwords={ANNA: PIN} if passwords else {},
                )
            )
            yield Office(endpoint, client, trust)
