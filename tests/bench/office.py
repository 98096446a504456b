"""An endpoint as people run it, `agent-endpoint serve` in its own process, a client, a crowd."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from endpoint.app.enrolment import add_extension
from endpoint.app.facts import database_url
from endpoint.app.settings import Config
from endpoint.app.state import Running, StateDirectory
from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient, Frames
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.agentmessages import AgentEventFrame
from endpoint.storage.database import Database
from endpoint.storage.extensions import Extension, Extensions
from tests.bench.crowd import Crowd, Members, crowd
from tests.bench.rtpload import Ground
from tests.bench.signalling import made
from tests.interop.peers.process import Process

PASSWORD: Final = "office-bench-4WqZx9"
PATIENCE_S = 20.0
COMMAND = (sys.executable, "-m", "endpoint", "serve", "--json")


def now() -> float:
    """By the clock of the kernel's time stamps."""
    return time.clock_gettime(time.CLOCK_REALTIME)


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when it came to the client."""

    at: float
    event: str
    device: str


class Journal:
    """All events, as a client gets them."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self._news = asyncio.Event()

    async def keep(self, frames: Frames | AgentFrames) -> None:
        """Until the endpoint stops."""
        async for frame in frames:
            if isinstance(frame, wire.EventFrame | AgentEventFrame):
                self.note(frame.event, str(frame.fields.get("device", "")))

    def note(self, event: str, device: str) -> None:
        """It came just now."""
        self.told.append(Told(now(), event, device))
        self._news.set()
        self._news = asyncio.Event()

    async def next(self, event: str, device: str, after: float) -> Told:
        """The first such event that came later. Raises TimeoutError."""
        read = len(self.told)
        while read and self.told[read - 1].at > after:
            read -= 1
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while read < len(self.told):
                    each = self.told[read]
                    read += 1
                    if (each.event, each.device) == (event, device):
                        return each
                await self._news.wait()


@dataclass(frozen=True, slots=True)
class Office:
    """An endpoint at work."""

    running: Running
    token: str
    authority: Path
    """Who vouches for its certificate."""
    client: EndpointClient
    journal: Journal
    crowd: Crowd
    pid: int
    """Of its control process."""
    media_pid: int


@asynccontextmanager
async def office(
    ground: Ground, folder: Path, members: Members, **more: object
) -> AsyncIterator[Office]:
    """The media process has a core to itself, as far as the control process lets it.

    `more` are further sections of its configuration.
    """
    settings: dict[str, Any] = {
        "http": {"port": 0, "plain_port": 0, "connections_per_source": 2000},
        "sip": {"port": 0, "limits": {"exempt": ["127.0.0.1/32"]}},
        "media": {"cpus": [ground.relay_core]},
        "calls": {"dials_per_minute": 1_000_000, "at_once": 1000, "drain_timeout_s": 1},
        "state": {"directory": str(made(folder) / "state")},
        "log": {"level": "warning"},
        "supervision": [{"supervisor": "*", "devices": ["*"]}],
        "pickup_group": [{"devices": ["*"]}],
        **more,
    }
    config = Config.model_validate(settings)
    state = StateDirectory(config.state.directory).prepared()
    async with Database(database_url(config, state)) as database:
        extensions = Extensions(database)
        for user in members.by_user:
            await add_extension(extensions, config.sip.realm, Extension(user), PASSWORD)
    async with Process(
        COMMAND, directory=folder, name="endpoint", environment=_environment(settings)
    ) as process:
        await process.lines.next(lambda line: line.startswith('{"ok":true'), "ready", timeout_s=60)
        running = state.running()
        assert running is not None
        async with (
            crowd(folder, running.sip_udp, PASSWORD, members) as opened,
            EndpointClient(running.plain_url, state.token()) as client,
            client.events() as frames,
            asyncio.TaskGroup() as group,
        ):
            journal = Journal()
            keeping = group.create_task(journal.keep(frames))
            yield Office(
                running,
                state.token(),
                state.tls / "ca.pem",
                client,
                journal,
                opened,
                process.pid,
                _only_child(process.pid),
            )
            keeping.cancel()


def _only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def _environment(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"AGENT_ENDPOINT_{section}".upper(): msgspec.json.encode(entries).decode()
        for section, entries in settings.items()
    }
