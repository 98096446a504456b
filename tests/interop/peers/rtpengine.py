"""rtpengine in user space with docker/rtpengine/rtpengine.conf: the media relay beside Kamailio."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from .feed import PeerError
from .process import Process, free_port, own_share, require

CONFIG = Path(__file__).parents[3] / "docker" / "rtpengine" / "rtpengine.conf"
READY_TIMEOUT_S = 20.0


class Rtpengine:
    """`async with Rtpengine(directory) as relay`: up when it answers a ping."""

    host = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._cookies = itertools.count(1)
        self._stack = AsyncExitStack()
        self.process: Process

    @property
    def control(self) -> str:
        """Its control socket, as Kamailio wants it named."""
        return f"udp:{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        program = require("rtpengine", "rtpengine-daemon")
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments = [program, f"--config-file={CONFIG}", f"--interface={self.host}"]
        arguments += [f"--listen-ng={self.host}:{self.port}", "--foreground", "--log-stderr"]
        # Two that run at once take the same ports.
        audio = own_share(30_000, 1000)
        arguments += [f"--port-min={audio[0]}", f"--port-max={audio[-1]}"]
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(arguments, directory=self._directory, name="rtpengine")
            )
            await self._answers_ping()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def calls(self) -> int:
        """Return how many calls it relays now."""
        answer = await self._ask(b"d7:command4:liste")
        found = re.search(rb"5:callsl(.*?)e6:result2:ok", answer)
        if found is None:
            raise PeerError(f"rtpengine lists no calls: {answer!r}")
        return len(re.findall(rb"\d+:", found[1]))

    async def _answers_ping(self) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while self.process.returncode is None:
                    with contextlib.suppress(OSError, TimeoutError):
                        if b"pong" in await self._ask(b"d7:command4:pinge"):
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PeerError(f"rtpengine does not answer, see {self.process.log}") from None
        raise PeerError(f"rtpengine ended, see {self.process.log}")

    async def _ask(self, question: bytes) -> bytes:
        """Send one bencoded command of its ng protocol; return the answer without its cookie."""
        # A cookie that it has seen is a repeated question to it, and gets the old answer.
        cookie = b"%d " % next(self._cookies)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.setblocking(False)
            await loop.sock_connect(control, (self.host, self.port))
            await loop.sock_sendall(control, cookie + question)
            async with asyncio.timeout(1.0):
                return (await loop.sock_recv(control, 65536)).removeprefix(cookie)
