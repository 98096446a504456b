"""A TLS connection costs little memory, and takes what is larger than its buffer all the same."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Iterator

import pytest
import trustme

from endpoint.app.tlsbuffers import BUFFER_BYTES, shrink_tls_buffers

pytestmark = pytest.mark.integration

LARGE = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    size = sslproto.SSLProtocol.max_size  # fails where asyncio has it no more
    yield
    sslproto.SSLProtocol.max_size = size


async def test_a_megabyte_comes_and_goes_through_a_small_buffer() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(theirs)
    buffers: list[int] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = writer.transport._ssl_protocol  # type: ignore[attr-defined]
        buffers.append(len(protocol._ssl_buffer))
        writer.write(await reader.readexactly(len(LARGE)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    shrink_tls_buffers()
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=ours)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
        )
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        writer.close()
        await writer.wait_closed()
    assert buffers == [BUFFER_BYTES]
