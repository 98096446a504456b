"""How commands find the endpoint that runs, and whom they show the token to."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from endpoint.app.context import running_client
from endpoint.app.state import Running, StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.client.errors import EndpointUnreachable

from .conftest import configuration

pytestmark = pytest.mark.integration


async def test_an_operators_certificate_for_another_name_will_do(tmp_path: Path) -> None:
    """It is for phone.example.com; commands reach it as localhost, without plain HTTP."""
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    issued = trustme.CA().issue_cert("phone.example.com")
    issued.private_key_pem.write_to_path(str(key))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(certificate), append=True)
    http = {"plain": False, "certificate": certificate, "key": key}
    config = configuration(tmp_path / "state", http=http)
    async with Endpoint(config), running_client(config) as client:
        assert (await client.health()).ok


async def test_who_took_the_port_of_an_endpoint_that_died_sees_no_token(tmp_path: Path) -> None:
    """After kill -9 its `running.json` is still there; any user may listen where it was."""
    seen: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            seen.append(await reader.read(4096))

    config = configuration(tmp_path / "state")
    async with Endpoint(config) as endpoint:
        certificate = endpoint.running.certificate
    thief = await asyncio.start_server(take, "127.0.0.1", 0)
    async with thief:
        port = thief.sockets[0].getsockname()[1]
        url, plain = f"https://localhost:{port}/", f"http://127.0.0.1:{port}"
        gone = Running(os.getpid(), url, plain, "", "", certificate)
        state = StateDirectory(config.state.directory)
        token = state.token()
        with state.announced(gone):
            async with running_client(config) as client:
                with pytest.raises(EndpointUnreachable):
                    await client.health()
    assert seen
    assert token.encode() not in b"".join(seen)
