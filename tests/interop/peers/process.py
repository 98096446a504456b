"""A child process of a test: owned, its output kept, ended by its own id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, cast

import pytest

from .feed import Feed, PeerError

END_TIMEOUT_S = 5.0
_FIRST_PORT, _PORTS = 10_000, 10_000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def require(program: str, package: str) -> str:
    """Return the program's path. Where it is missing: a failure on CI, a skipped test elsewhere."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    text = f"{program} is not installed: docker/install.sh peers, or apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def require_file(pattern: str, package: str) -> str:
    """Return the path of a library that programs load; where it is missing, as `require`."""
    for found in sorted(Path("/").glob(pattern.lstrip("/"))):
        return str(found)
    text = f"{pattern} is not there: docker/install.sh peers, or apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def own_share(first: int, ports: int) -> range:
    """Return those of a range of ports that this process of pytest-xdist may use."""
    share = ports // _WORKERS & ~3
    return range(first + _WORKER * share, first + (_WORKER + 1) * share)


_given: set[int] = set()


def free_port(ports: int = 1) -> int:
    """Return a port that nobody had a moment ago, for programs that can't bind port 0.

    Free for UDP and for TCP, as most programs take both, and given to nobody else meanwhile; so are
    as many behind it as are wanted, of which it is a multiple.
    It is none that the kernel gives out by itself: SIPp comes back to its own after registering.
    Each process of pytest-xdist has a share of its own: two may find the same port free at once.
    """
    own = own_share(_FIRST_PORT, _PORTS)
    if len(_given) > len(own) // 2:
        _given.clear()
    while True:
        first = random.choice(own[: len(own) - ports + 1]) // ports * ports
        every = range(first, first + ports)
        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        if (
            first in own
            and _given.isdisjoint(every)
            and not any(in_use(port, kind) for port in every for kind in kinds)
        ):
            _given.update(every)
            return first


def free_rtp_port() -> int:
    """Return an even port whose next three are free too: RTP and RTCP for two streams."""
    return free_port(4)


def in_use(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> bool:
    """Tell whether somebody has bound a port of 127.0.0.1 (or of every address)."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


class _Output(asyncio.SubprocessProtocol):
    def __init__(
        self, say: Callable[[str], None], end: Callable[[str], None], log: IO[bytes]
    ) -> None:
        self._say = say
        self._end = end
        self._log = log
        self._partial = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._log.write(data)
        self._log.flush()
        *complete, self._partial = (self._partial + data).split(b"\n")
        for line in complete:
            self._say(line.decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("its process ended")
        self._log.close()
        if not self.ended.done():
            self.ended.set_result(None)


class Process:
    """`async with Process(...)`: runs a program in a session of its own.

    On leaving, it is asked to end (SIGTERM), then made to.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        directory: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.lines: Feed[str] = Feed(name)
        """Standard output and standard error, line by line."""
        self.log = directory / f"{name}.log"
        self._arguments = [str(argument) for argument in arguments]
        self._directory = directory
        self._on_line = on_line
        self._user = user
        self._environment = {**os.environ, **(environment or {})}
        self._transport: asyncio.SubprocessTransport
        self._output: _Output

    async def __aenter__(self) -> Self:
        log = self.log.open("wb")
        transport, output = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Output(self._said, self.lines.end, log),
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._directory,
            env=self._environment,
            start_new_session=True,
            user=self._user,
        )
        self._transport, self._output = transport, output
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._transport.terminate()
            if not await self._ends_within(END_TIMEOUT_S):
                self.kill()
                if not await self._ends_within(END_TIMEOUT_S):
                    raise PeerError(f"{self.name} does not end, see {self.log}")
        finally:
            self._transport.close()

    def _said(self, line: str) -> None:
        self.lines.put(line)
        if self._on_line is not None:
            self._on_line(line)

    async def listening(
        self,
        port: int,
        kind: socket.SocketKind = socket.SOCK_DGRAM,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        """Wait until it, or somebody, has bound a port.

        Raises:
            PeerError: it has not in time, or it ended before.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not in_use(port, kind):  # a port says nothing when it is bound
                    if self.returncode is not None:
                        raise PeerError(f"{self.name} ended with {self.returncode}, see {self.log}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise PeerError(f"{self.name} does not listen on {port}, see {self.log}") from None

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its session."""
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._transport.get_returncode()

    def write(self, line: str) -> None:
        """Write one line to its standard input."""
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.write(line.encode() + b"\n")

    def kill(self) -> None:
        """End it without a word, as a power cut does."""
        # Its own session, so its forked workers go too and nobody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self, *, timeout_s: float = 30.0) -> int:
        """Wait until it ends by itself and return its exit code."""
        if not await self._ends_within(timeout_s):
            raise PeerError(f"{self.name} still runs after {timeout_s} s")
        code = self.returncode
        assert code is not None
        return code

    async def _ends_within(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._output.ended)
        except TimeoutError:
            return False
        return True
