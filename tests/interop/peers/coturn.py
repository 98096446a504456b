"""coturn with docker/coturn/turnserver.conf: STUN and TURN."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from .feed import PeerError
from .process import Process, free_port, require

CONFIG = Path(__file__).parents[3] / "docker" / "coturn" / "turnserver.conf"
READY_TIMEOUT_S = 20.0

_MAGIC = 0x2112A442
_BINDING_REQUEST = struct.pack("!HHI", 0x0001, 0, _MAGIC) + b"agentendpt01"
_BINDING_RESPONSE = 0x0101
_XOR_MAPPED_ADDRESS = 0x0020


class Coturn:
    """`async with Coturn(directory) as server`: up when it answers a STUN binding request."""

    host = "127.0.0.1"
    secret = "turn-5d1e"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("turnserver", "coturn")
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments: list[str | Path] = [program, "-c", CONFIG, "--allow-loopback-peers"]
        arguments += [f"--listening-port={self.port}", f"--static-auth-secret={self.secret}"]
        arguments += [
            f"--userdb={self._directory / 'turndb'}",
            f"--pidfile={self._directory / 'pid'}",
        ]
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(arguments, directory=self._directory, name="coturn")
            )
            await self._answers_binding()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def reflexive_address(self) -> tuple[str, int, int]:
        """Ask it by STUN (RFC 8489): the address and port that it saw, and the port asked from."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            await loop.sock_connect(client, (self.host, self.port))
            await loop.sock_sendall(client, _BINDING_REQUEST)
            async with asyncio.timeout(0.5):
                answer = await loop.sock_recv(client, 2048)
            own_port = int(client.getsockname()[1])
        kind, length, _ = struct.unpack_from("!HHI", answer)
        if kind != _BINDING_RESPONSE:
            raise PeerError(f"coturn answers a binding request with {kind:#x}")
        at = 20
        while at < 20 + length:
            attribute, size = struct.unpack_from("!HH", answer, at)
            if attribute == _XOR_MAPPED_ADDRESS:
                _, port, address = struct.unpack_from("!HHI", answer, at + 4)
                text = socket.inet_ntoa(struct.pack("!I", address ^ _MAGIC))
                return text, port ^ (_MAGIC >> 16), own_port
            at += 4 + (size + 3 & ~3)
        raise PeerError("coturn's answer holds no XOR-MAPPED-ADDRESS")

    async def _answers_binding(self) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while self.process.returncode is None:
                    with contextlib.suppress(OSError, TimeoutError):
                        await self.reflexive_address()
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PeerError(f"coturn does not answer, see {self.process.log}") from None
        raise PeerError(f"coturn ended, see {self.process.log}")
