"""The endpoint as a process of its own, that can be killed and started again as it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

from endpoint.app.enrolment import add_extension
from endpoint.app.state import StateDirectory
from endpoint.callcontrol.model import CallRecord
from endpoint.client.client import EndpointClient
from endpoint.errors import StorageError
from endpoint.storage.calls import LARGEST_PAGE, StoredCallRecords
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions

from .peers.feed import PeerError
from .peers.process import Process, free_port

PROGRAM = (sys.executable, "-m", "endpoint")
PATIENCE_S = 60.0
STARTS = 20


class Serving:
    """`async with Serving(...) as serving`: `serve` runs; `kill` and `start` as often as wanted.

    Args:
        directory: its state, its file, its logs.
        extensions: numbers that may register, all with `password`.
        stations: device to the tone that it says.
        settings: more of the configuration, as environment variables say it.
        environment: more variables, of others.
    """

    password = "serving-4be1-7ZqKx4"

    def __init__(
        self,
        directory: Path,
        *,
        extensions: Sequence[str] = (),
        stations: Mapping[str, float] | None = None,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.state = StateDirectory(directory / "state")
        self.sip_port = free_port()
        self.tls_port = free_port()
        self.plain_port = free_port()
        """HTTP, without TLS."""
        self._directory = directory
        self._extensions = extensions
        tones = [
            {"device": device, "kind": "tone", "frequency_hz": tone_hz}
            for device, tone_hz in (stations or {}).items()
        ]
        told = {
            "STATE__DIRECTORY": str(self.state.path),
            "HTTP__PORT": free_port(),
            "HTTP__PLAIN_PORT": self.plain_port,
            "SIP__PORT": self.sip_port,
            "SIP__TLS_PORT": self.tls_port,
            "STATION": json.dumps(tones),
            "LOG__FORMAT": "json",
            "MEDIA__WEBRTC_READY": False,  # there are no browsers, see `Desk`
            **(settings or {}),
        }
        self._environment = {f"AGENT_ENDPOINT_{key}": str(value) for key, value in told.items()}
        self._environment |= {"XDG_CONFIG_HOME": str(directory), **(environment or {})}
        self._runs = AsyncExitStack()
        self._starts = 0
        self._is_up = False
        self.process: Process
        self.client: EndpointClient
        self.url: str
        """Where its HTTP is; the same after each start."""

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self.state.prepared()
        async with Database(self.database) as database:
            for number in self._extensions:
                await add_extension(
                    Extensions(database), "agent-endpoint", Extension(number), self.password
                )
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runs.aclose()

    @property
    def database(self) -> str:
        """Its URL."""
        return sqlite_url(self.state.database)

    @property
    def sip(self) -> str:
        """`host:port` over UDP and TCP."""
        return f"127.0.0.1:{self.sip_port}"

    @property
    def sip_tls(self) -> str:
        """The same over TLS."""
        return f"127.0.0.1:{self.tls_port}"

    async def start(self) -> None:
        """Start it, and wait until it serves.

        Where it gives up, as on a machine that is too busy for its processes to answer in time, it
        is started again, as whatever keeps services does.
        """
        for tries in range(STARTS):
            ready = await self._started()
            if ready["ok"]:
                break
            if ready["error"] not in ("failed", "storage") or tries == STARTS - 1:
                raise PeerError(ready["text"])
        self._is_up = True
        self.url = ready["plain"]
        token = self.state.stored_token() or ""
        self.client = await self._runs.enter_async_context(EndpointClient(ready["plain"], token))

    async def _started(self) -> Mapping[str, Any]:
        """What it says of how it began."""
        self._starts += 1
        self.process = await self._runs.enter_async_context(
            Process(
                [*PROGRAM, "serve", "--json"],
                directory=self._directory,
                name=f"serve-{self._starts}",
                environment=self._environment,
            )
        )
        line = await self.process.lines.next(
            lambda line: line.startswith('{"ok"'), "readiness line", timeout_s=PATIENCE_S
        )
        found: Mapping[str, Any] = json.loads(line)
        return found

    async def kill(self, *, whole: bool = False) -> set[int]:
        """Kill the control process alone, as the kernel does; return the ids of its children.

        Where it is killed whole they are killed with it, as by who kills a container.
        """
        children = children_of(self.process.pid)
        self._is_up = False
        os.kill(self.process.pid, signal.SIGKILL)
        for child in children if whole else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        await self.process.wait(timeout_s=PATIENCE_S)
        return children

    async def records(self) -> list[CallRecord]:
        """All records of calls, as they are in the database; what is on its way there is too."""
        if self._is_up:
            await emptied(self.state.unwritten_calls)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(StorageError):  # the machine is too busy to answer in time
                    async with Database(self.database) as database:
                        stored = StoredCallRecords(database)
                        page = await stored.search(limit=LARGEST_PAGE)
                        records = list(page.records)
                        while page.next:
                            page = await stored.search(limit=LARGEST_PAGE, after=page.next)
                            records += page.records
                        return records

    async def record(self, call: str) -> CallRecord:
        """The record of a call that is over, or will be: a phone hears of its end before."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for record in await self.records():
                    if record.call == call:
                        return record
                await asyncio.sleep(0.05)

    async def noted_nothing(self) -> None:
        """Wait until nothing is noted as open: a phone's answer to our BYE may be on its way."""
        for file in (self.state.open_calls, self.state.open_dialogs):
            await emptied(file)

    async def in_state(self, device: str, state: str) -> None:
        """Wait until a device's connection is in a state: if `connected`, to who is there too."""
        async with asyncio.timeout(PATIENCE_S):
            async with self.client.events() as frames:
                while not await self._is_in(device, state):
                    await anext(frames)

    async def registered(self, device: str) -> None:
        """Wait until a device is registered, here or at its server."""
        async with asyncio.timeout(PATIENCE_S):
            async with self.client.events() as frames:
                while not any(
                    one.device == device and one.registered
                    for one in await self.client.registrations()
                ):
                    await anext(frames)

    async def _is_in(self, device: str, state: str) -> bool:
        return any(
            party.device == device and party.state == state
            for call in await self.client.calls()
            for party in call.parties
            if state != "connected" or call.established_at is not None
        )


async def emptied(file: Path) -> None:
    """Wait until nothing is in a file."""
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(os.path.getsize, file):  # noqa: ASYNC110 - a file says nothing when it changes
            await asyncio.sleep(0.05)


def children_of(pid: int) -> set[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return set(map(int, text.split()))


async def gone(pids: set[int]) -> None:
    """Wait until processes have ended, that are no children of ours."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        for pid in pids:
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                ended = asyncio.Event()
                loop.add_reader(descriptor, ended.set)
                try:
                    await ended.wait()
                finally:
                    loop.remove_reader(descriptor)
                    os.close(descriptor)
