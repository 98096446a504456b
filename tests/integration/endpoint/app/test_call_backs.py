"""Call-backs by REST and by command: asked for, kept over a restart, withdrawn, counted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from endpoint.app import certificates
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import queuemessages as wire

from .conftest import configuration
from .test_serve import COMMAND

pytestmark = pytest.mark.integration

ORDERS = directory.QueueSettings(
    "orders", "Orders", [directory.SkillWanted("order")], call_back=True, priority=3
)


@asynccontextmanager
async def running(state: Path) -> AsyncIterator[tuple[Endpoint, EndpointClient]]:
    async with Endpoint(configuration(state)) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:
            yield endpoint, client


async def orders(client: EndpointClient) -> wire.Queue:
    (found,) = [each for each in await client.queues() if each.queue == "orders"]
    return found


async def command(endpoint: Endpoint, *arguments: str) -> tuple[int, Any]:
    state = str(endpoint.config.state.directory)
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "queues", *arguments, "--json"),
        env={**os.environ, "AGENT_ENDPOINT_STATE__DIRECTORY": state},
        stdout=asyncio.subprocess.PIPE,
    )
    shown, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(shown)


async def test_a_call_back_is_asked_for_kept_and_withdrawn_and_that_is_counted(
    tmp_path: Path,
) -> None:
    later = datetime.now(UTC) + timedelta(hours=5)
    async with running(tmp_path / "state") as (_, client):
        await client.add_to_directory("skills", directory.Skill("order"))
        await client.add_to_directory("queues", ORDERS)
        first = await client.ask_call_back("orders", "10001", not_before=later)
        assert (first.number, first.priority) == ("10001", 3)
        second = await client.ask_call_back("orders", "10002", priority=9)
        await client.withdraw_call_back("orders", second.call_back_id)
        with pytest.raises(RequestRefused) as refused:
            await client.withdraw_call_back("orders", second.call_back_id)
        assert (refused.value.status, refused.value.reason) == (404, "unknown_call_back")
    async with running(tmp_path / "state") as (endpoint, client):
        found = await orders(client)
        (waits,) = found.waiting
        assert (waits.call_back, waits.call_back_id) == (True, first.call_back_id)
        assert (waits.position, found.longest_s) == (0, 0)
        assert waits.not_before is not None
        assert abs((waits.not_before - later).total_seconds()) < 1
        assert found.today.outcomes == {"withdrawn": 1}
        code, told = await command(endpoint, "withdraw", "orders", "10001")
        assert (code, told["withdrawn"]) == (0, [first.call_back_id])
        code, told = await command(endpoint, "withdraw", "orders", "10001")
        assert (code, told["ok"]) == (1, False)
        assert (await orders(client)).today.outcomes == {"withdrawn": 2}
        at = later.isoformat()
        code, told = await command(endpoint, "call-back", "orders", "10003", "--not-before", at)
        assert (code, told["call_back"]["number"]) == (0, "10003")
        assert [each.caller for each in (await orders(client)).waiting] == ["10003"]


@pytest.mark.parametrize(
    ("queue", "body", "status", "word"),
    [
        ("gone", {"number": "10001"}, 404, "unknown_queue"),
        ("order", {"number": ""}, 400, "bad_field"),
        ("order", {"number": "+49 89 1"}, 400, "bad_number"),
        ("order", {"number": "anonymous"}, 400, "bad_number"),
        ("order", {"number": "1", "priority": 10}, 400, "bad_field"),
        ("order", {"number": "1", "not_before": "2026-11-30T15:00:00"}, 400, "bad_field"),
        ("order", {"number": "1", "not_before": "9999-12-31T23:59:59Z"}, 400, "bad_field"),
        ("order", {"number": "1", "not_before": "0001-01-01T00:00:00+14:00"}, 201, ""),
    ],
)
async def test_what_can_not_be_is_refused_in_words(
    tmp_path: Path, queue: str, body: dict[str, Any], status: int, word: str
) -> None:
    async with running(tmp_path / "state") as (endpoint, client):
        await client.add_to_directory("skills", directory.Skill("order"))
        url = f"https://localhost:{endpoint.http.port}/api/v1/queues/{queue}/call-backs"
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        trust = certificates.client_context(endpoint.certificate.authority)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, headers=headers, ssl=trust) as answer,
        ):
            said = await answer.json()
        assert (answer.status, said.get("error", "")) == (status, word)
