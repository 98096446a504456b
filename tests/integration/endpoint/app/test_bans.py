"""Why a phone is not listened to, as the operator sees it, and how that is mended."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from endpoint.app.context import running_client
from endpoint.app.enrolment import add_extension
from endpoint.app.exitcodes import ExitCode
from endpoint.app.wiring import Endpoint
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.storage.extensions import Extension
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import REALM

from .conftest import PASSWORD, configuration
from .test_serve import COMMAND

pytestmark = pytest.mark.integration

GUESSER = "127.0.0.2"


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    config = configuration(tmp_path / "state", sip={"realm": REALM})
    async with Endpoint(config) as endpoint:
        await add_extension(endpoint.extensions, REALM, Extension("6001"), PASSWORD)
        yield endpoint


async def guess_until_banned(endpoint: Endpoint) -> None:
    _, port = endpoint.sip_address
    async with RawClient(port, GUESSER) as guesser:
        for number in range(10):
            await guesser.authorised("REGISTER", "6001", f"word{number}")


async def command(endpoint: Endpoint, *arguments: str) -> tuple[int, Any]:
    code, shown = await said(endpoint, *arguments, "--json")
    return code, json.loads(shown) if shown else None


async def said(endpoint: Endpoint, *arguments: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "AGENT_ENDPOINT_STATE__DIRECTORY": str(endpoint.config.state.directory),
    }
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, env=environment
    )
    shown, _ = await process.communicate()
    return process.returncode or 0, shown.decode()


async def test_a_ban_is_told_once_as_an_event(endpoint):
    async with running_client(endpoint.config) as client, client.events() as frames:
        await anext(frames)
        await guess_until_banned(endpoint)
        async with asyncio.timeout(20):
            async for frame in frames:
                if isinstance(frame, wire.EventFrame) and frame.event == "SourceBanned":
                    break
    assert frame.fields == {"source": GUESSER, "device": "6001", "failures": 10, "for_s": 300.0}
    assert [device.device for device in frame.devices] == ["6001"]


async def test_a_ban_is_seen_and_lifted_over_rest(endpoint):
    async with running_client(endpoint.config) as client:
        assert await client.bans() == []
        await guess_until_banned(endpoint)
        (ban,) = await client.bans()
        assert (ban.source, ban.user, ban.failures) == (GUESSER, "6001", 10)
        assert 0 < ban.left_s <= 300
        await client.lift_ban(GUESSER)
        assert await client.bans() == []
        with pytest.raises(RequestRefused, match="no such source"):
            await client.lift_ban(GUESSER)
        with pytest.raises(RequestRefused, match="no such source"):
            await client.lift_ban("2001:db8::/64")


async def test_a_ban_is_seen_and_lifted_by_command(endpoint):
    await guess_until_banned(endpoint)
    code, shown = await command(endpoint, "bans", "list")
    assert (code, [ban["source"] for ban in shown["bans"]]) == (ExitCode.OK, [GUESSER])
    assert (await command(endpoint, "bans", "lift", GUESSER))[0] == ExitCode.OK
    assert (await command(endpoint, "bans", "lift", GUESSER))[0] == ExitCode.FAILED
    assert (await command(endpoint, "bans", "list"))[1]["bans"] == []


@pytest.mark.parametrize("asked", ["status", "doctor"])
async def test_who_looks_why_a_phone_is_silent_is_told_of_the_ban(endpoint, asked):
    assert "banned" not in (await said(endpoint, asked))[1]
    await guess_until_banned(endpoint)
    _, text = await said(endpoint, asked)
    words = " ".join(text.split())
    assert re.search(rf"{GUESSER} is banned until \d\d:\d\d:\d\d: 10 wrong passwords came", words)
    assert "the last for 6001" in words
    assert f"agent-endpoint bans lift {GUESSER}" in words
