"""`serve` whose log nobody reads: calls are answered, and what was not read is told later."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from endpoint.app.state import StateDirectory
from endpoint.client.client import EndpointClient

from .test_serve import PATIENCE_S, ended, line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]
_PIPE_BYTES = 4096


@pytest.fixture
def full() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A pipe that is full before anybody logs: where to read, where to write."""
    ends = os.pipe()
    with open(ends[0], "rb", 0) as reader, open(ends[1], "wb", 0) as writer:
        _fill(writer.fileno())
        yield reader, writer


def _fill(writing: int) -> None:
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * _PIPE_BYTES)
    os.set_blocking(writing, True)


async def calls(client: EndpointClient) -> None:
    """One is answered and ends."""
    async with client.events() as frames, asyncio.timeout(PATIENCE_S):
        await anext(frames)
        accepted = await client.make_call("6002", "6003")
        while getattr(await anext(frames), "event", "") != "Established":
            pass
        await client.end("6002", accepted.call or "")
        while getattr(await anext(frames), "event", "") != "CallCleared":
            pass


async def test_calls_are_answered_though_nobody_reads_the_log_or_it_is_closed(
    surroundings: dict[str, str], full: tuple[BinaryIO, BinaryIO]
) -> None:
    reader, writer = full
    surroundings["AGENT_ENDPOINT_LOG__LEVEL"] = "debug"
    async with started(surroundings, "serve", "--json", errors=writer.fileno()) as serve:
        writer.close()
        ready = await line(serve)
        token = StateDirectory(Path(ready["token"]).parent).stored_token()
        async with EndpointClient(ready["plain"], token or "") as client:
            await calls(client)
            read = await asyncio.to_thread(reader.read, _PIPE_BYTES)
            while not read.lstrip(b".").count(b"\n"):
                read += await asyncio.to_thread(reader.read, _PIPE_BYTES)
            first, *_ = read.lstrip(b".").splitlines()
            assert "event" in json.loads(first)
            reader.close()
            await calls(client)
        serve.send_signal(signal.SIGTERM)
        assert await ended(serve) == 0
