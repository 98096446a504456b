"""TLS of the program: old versions and weak ciphers are refused, whoever is the client (S25).

The client is OpenSSL's own, for Python's refuses to be so weak.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app.wiring import Endpoint
from tests.integration.endpoint.app.conftest import configuration

pytestmark = pytest.mark.integration

WEAK = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
PATIENCE_S = 20.0


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with Endpoint(configuration(tmp_path / "state")) as endpoint:
        yield endpoint


@pytest.fixture(params=["SIP", "HTTPS"])
def address(endpoint: Endpoint, request: pytest.FixtureRequest) -> str:
    if request.param == "SIP":
        return endpoint.running.sip_tls
    return f"127.0.0.1:{endpoint.http.port}"


async def handshake(address: str, *options: str, keys: bytes = b"") -> str:
    """What OpenSSL says of a connection; `Cipher is (NONE)` where there is none."""
    program = shutil.which("openssl")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        *(program, "s_client", "-connect", address, *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate(keys)
    return said.decode(errors="replace")


def is_refused(said: str) -> bool:
    return "Cipher is (NONE)" in said or "Cipher    : 0000" in said


@pytest.mark.parametrize(
    "options",
    [
        ["-tls1", "-cipher", WEAK],
        ["-tls1_1", "-cipher", WEAK],
        ["-tls1_2", "-cipher", "NULL:eNULL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"],
    ],
    ids=["TLS 1.0", "TLS 1.1", "no cipher", "no certificate", "no forward secrecy", "SHA-1"],
)
async def test_s25_what_is_old_or_weak_is_refused(address: str, options: list[str]) -> None:
    assert is_refused(await handshake(address, *options))


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_s25_what_is_of_today_is_taken(address: str, version: str) -> None:
    assert not is_refused(await handshake(address, version))


async def test_s25_a_client_may_not_negotiate_anew(address: str) -> None:
    said = await handshake(address, "-tls1_2", keys=b"R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said
