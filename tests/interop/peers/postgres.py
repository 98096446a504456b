"""PostgreSQL: a cluster of its own, on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from .feed import PeerError
from .process import Process, free_port

USER = "agent_endpoint"
READY_TIMEOUT_S = 30.0


class Postgres:
    """`async with Postgres(directory) as database`: an empty database that takes connections.

    As root it runs as Debian's `postgres`, because PostgreSQL refuses root.
    """

    host = "127.0.0.1"
    password = "postgres-4be1"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._logs = directory
        self._user = "postgres" if os.geteuid() == 0 else None
        self._stack = AsyncExitStack()
        self._running = AsyncExitStack()
        self._home: Path
        self.process: Process

    @property
    def url(self) -> str:
        """As an operator writes it."""
        return f"postgresql://{USER}:{self.password}@{self.host}:{self.port}/postgres"

    async def __aenter__(self) -> Self:
        programs = _programs()
        self._logs.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            # Not below pytest's directory, which is closed to other users.
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
            secret = home / "secret"
            secret.write_text(self.password)
            if self._user is not None:
                shutil.chown(home, self._user)
                shutil.chown(secret, self._user)
            data = home / "data"
            async with Process(
                [
                    *(programs / "initdb", "--pgdata", data, "--username", USER),
                    *("--auth", "scram-sha-256", "--pwfile", secret),
                    *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
                ],
                directory=self._logs,
                name="initdb",
                user=self._user,
            ) as making:
                if await making.wait() != 0:
                    raise PeerError(f"initdb failed\n{making.log.read_text()}")
            self._home = home
            await self.start()
            stack.push_async_callback(self.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Let it take connections, again after `stop`."""
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(
                    [
                        *(_programs() / "postgres", "-D", self._home / "data"),
                        *("-p", str(self.port)),
                        *("-c", f"listen_addresses={self.host}"),
                        *("-c", f"unix_socket_directories={self._home}"),
                        *("-c", "fsync=off", "-c", "shared_buffers=16MB"),
                    ],
                    directory=self._logs,
                    name="postgres",
                    user=self._user,
                )
            )
            await self.process.lines.next(
                lambda line: "ready to accept connections" in line,
                "readiness line",
                timeout_s=READY_TIMEOUT_S,
            )
            self._running = stack.pop_all()

    async def stop(self) -> None:
        """End it; who is connected loses his connection (SIGINT: by SIGTERM it waits for him)."""
        os.kill(self.process.pid, signal.SIGINT)
        await self._running.aclose()


def _programs() -> Path:
    """Return the folder of the newest server programs, which Debian keeps out of PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2])
    )
    if folders:
        return folders[-1]
    text = "PostgreSQL is not installed: docker/install.sh peers, or apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
