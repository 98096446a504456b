"""A TCP connection that falls silent: nothing comes, and nobody says that it is over."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class TcpProxy:
    """`async with TcpProxy(port) as proxy`: what is said to `proxy.port` goes to that port.

    As through a network that is lost: neither end is sent a FIN or an RST.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server: asyncio.Server
        self._crossings: list[_Crossing] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._cross, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def fall_silent(self) -> None:
        """Let nothing more through on connections that are there; new ones are as ever."""
        for crossing in self._crossings:
            crossing.passes.clear()

    def cut(self) -> None:
        """Reset every connection that is there."""
        for crossing in self._crossings:
            crossing.cut()
        self._crossings.clear()

    async def _cross(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        with closing(near_writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            with closing(far_writer):
                crossing = _Crossing(near_writer, far_writer)
                self._crossings.append(crossing)
                async with asyncio.TaskGroup() as group:
                    group.create_task(crossing.carry(near_reader, far_writer))
                    group.create_task(crossing.carry(far_reader, near_writer))


class _Crossing:
    """One connection, both ways."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.passes = asyncio.Event()
        self.passes.set()
        self._writers = writers

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                await self.passes.wait()
                writer.write(chunk)
                await writer.drain()
        await self.passes.wait()  # a silent network tells nobody of an end either
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self.passes.set()
