"""Commands about a call say what became of them: in plain words, and by their exit status."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app.context import running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.wiring import Endpoint, add_extension
from endpoint.gateways.native import messages as wire
from endpoint.storage.extensions import Extension
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import REALM

from .conftest import PASSWORD, configuration
from .test_serve import COMMAND, PATIENCE_S

pytestmark = pytest.mark.integration


async def said(endpoint: Endpoint, *arguments: str) -> tuple[int, str]:
    """Exit status of a command, and all that a person reads of it."""
    state = str(endpoint.config.state.directory)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "AGENT_ENDPOINT_STATE__DIRECTORY": state, "COLUMNS": "80"},
    )
    async with asyncio.timeout(PATIENCE_S):
        shown, complaint = await process.communicate()
    return process.returncode or 0, " ".join((shown + complaint).decode().split())


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    stations = [{"device": device, "kind": "tone"} for device in ("6002", "6003", "6004")]
    async with Endpoint(
        configuration(tmp_path / "state", station=stations, sip={"realm": REALM})
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def call(endpoint: Endpoint) -> AsyncIterator[str]:
    """6002 talks with 6003."""
    async with running_client(endpoint.config) as client, client.events() as frames:
        async with asyncio.timeout(PATIENCE_S):
            await anext(frames)  # from now on
            accepted = await client.make_call("6002", "6003")
            async for frame in frames:
                if isinstance(frame, wire.EventFrame) and frame.event == "Established":
                    break
        yield accepted.call


async def test_what_was_done_is_said_in_plain_words(endpoint: Endpoint, call: str) -> None:
    steps = {
        ("hold", "6002"): "✔ 6002 holds its call with 6003",
        ("retrieve", "6002"): "✔ 6002 talks with 6003 again",
        ("press", "6002", "12#"): "✔ 3 digits were sent to 6003",
        ("hang-up", "6002"): "✔ 6002 has left the call",
    }
    for command, expected in steps.items():
        assert await said(endpoint, *command) == (ExitCode.OK, expected)


async def test_what_can_not_be_done_says_what_can(endpoint: Endpoint, call: str) -> None:
    await said(endpoint, "hold", "6002")
    expected = "✘ 6002 can't: to this call it is 'hold', and can hang-up, retrieve, transfer"
    assert await said(endpoint, "press", "6002", "1") == (ExitCode.CALL_FAILED, expected)
    told = json.loads((await said(endpoint, "hold", "6002", "--json"))[1])
    assert (told["ok"], told["reason"]) == (False, "invalid_state")


async def test_a_transfer_ends_when_somebody_has_answered(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "transfer", "6002", "6004")
    assert code == ExitCode.OK
    assert text.startswith("6004 is being called")
    assert text.endswith("✔ 6004 has taken the place of 6002")


async def test_a_transfer_that_failed_says_why(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "transfer", "6002", "6999")
    assert code == ExitCode.CALL_FAILED
    assert "✘ 6999 did not take the call: unknown device (404 nobody knows 6999)" in text
    code, text = await said(endpoint, "transfer", "6002", "6999", "--json")
    told = json.loads(text)
    assert (told["ok"], told["event"], told["call"]) == (False, "TransferFailed", call)


async def test_what_does_not_come_in_time_is_no_success(endpoint: Endpoint, call: str) -> None:
    """The phone of 6005 says nothing."""
    await add_extension(endpoint.extensions, REALM, Extension("6005"), PASSWORD)
    _, port = endpoint.sip_address
    async with RawClient(port) as phone:
        assert (await phone.authorised("REGISTER", "6005", PASSWORD)).status == 200
        code, text = await said(endpoint, "transfer", "6002", "6005", "--wait", "0.1")
    assert code == ExitCode.CALL_FAILED
    assert "nothing has come of it in 0.1 s" in text
