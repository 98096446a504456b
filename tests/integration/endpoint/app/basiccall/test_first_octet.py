"""With TLS and without on one port: by its first octet it is told which a connection is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from endpoint.app import certificates
from endpoint.app.config import load
from endpoint.app.guard import ConnectionGuard, GuardLimits
from endpoint.app.settings import Config
from endpoint.app.state import StateDirectory

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0


class Echo(asyncio.Protocol):
    """Says back what it hears, with whether it came by TLS."""

    def __init__(self, opened: list[asyncio.Transport]) -> None:
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened.append(transport)

    def data_received(self, data: bytes) -> None:
        how = b"tls " if self._transport.get_extra_info("ssl_object") else b"plain "
        self._transport.write(how + data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.ServerCertificate:
    state = StateDirectory(tmp_path_factory.mktemp("state"))
    state.prepared()
    config = Config.model_validate({"state": {"directory": state.path}})
    return certificates.provide(config, state, certificates.wall_clock())


@asynccontextmanager
async def listening(
    certificate: certificates.ServerCertificate,
    plain: Callable[[str], bool],
    header_timeout_s: float = PATIENCE_S,
) -> AsyncIterator[int]:
    opened: list[asyncio.Transport] = []
    async with ConnectionGuard(GuardLimits(10, 10, header_timeout_s)) as guard:
        factory = guard.around(
            lambda: Echo(opened), certificates.server_context(certificate), plain
        )
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
        for each in opened:
            each.abort()


async def said(port: int, octets: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """What comes back; nothing where it is cut off."""
    async with asyncio.timeout(PATIENCE_S):
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name
        )
        try:
            if octets:
                writer.write(octets)
            return await reader.read(100)
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_both_are_served_and_nothing_of_what_was_looked_at_is_lost(
    certificate: certificates.ServerCertificate,
) -> None:
    trust = certificates.client_context(certificate.authority)
    async with listening(certificate, lambda source: source == "127.0.0.1") as port:
        assert await said(port, b"GET /") == b"plain GET /"
        assert await said(port, b"GET /", trust) == b"tls GET /"


async def test_where_tls_is_a_must_nothing_else_is_read(
    certificate: certificates.ServerCertificate,
) -> None:
    trust = certificates.client_context(certificate.authority)
    async with listening(certificate, lambda source: False) as port:
        assert await said(port, b"GET /") == b""
        assert await said(port, b"GET /", trust) == b"tls GET /"


async def test_who_says_nothing_is_cut_off_and_who_leaves_leaves_nothing(
    certificate: certificates.ServerCertificate,
) -> None:
    async with listening(certificate, lambda source: True, header_timeout_s=0.1) as port:
        assert await said(port, b"") == b""
    async with listening(certificate, lambda source: True) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        assert await said(port, b"x") == b"plain x"


def test_the_table_of_parameters_is_read_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "agent-endpoint.toml"
    path.write_text('[basiccall]\nenabled = true\n\n[basiccall.system_param]\nSOFTPHONE = "1"\n')
    with pytest.raises(Exception, match=r"SOFTPHONE: no such parameter; expected one of"):
        load(path)
