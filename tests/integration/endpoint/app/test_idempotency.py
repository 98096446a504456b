"""A request that is made again with its `Idempotency-Key` is done once: also over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from endpoint.app import certificates
from endpoint.app.idempotency import Once, hashed
from endpoint.app.openstate import OpenState
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearConnection
from endpoint.callcontrol.events import CallCleared
from endpoint.callcontrol.model import CallId
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceId

from .conftest import Desk, configuration

pytestmark = pytest.mark.integration

DIAL = {"device": "6002", "destination": "6003"}
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


async def ask(desk: Desk, body: Any, key: str = KEY) -> tuple[int, dict[str, Any], str]:
    async with desk.http.post(
        f"{desk.url}/calls",
        data=msgspec.json.encode(body),
        headers={**desk.bearer, "Content-Type": "application/json", "Idempotency-Key": key},
    ) as answer:
        again = answer.headers.get("Idempotent-Replayed", "")
        return answer.status, msgspec.json.decode(await answer.read()), again


async def test_a_call_is_made_once(desk: Desk) -> None:
    first = await ask(desk, DIAL)
    again = await ask(desk, DIAL)
    assert first[0] == 202
    assert again == (*first[:2], "true")
    assert [call.call for call in await desk.client.calls()] == [first[1]["call"]]


async def test_many_at_once_make_one_call(desk: Desk) -> None:
    found = await asyncio.gather(*(ask(desk, DIAL) for _ in range(8)))
    assert {told["call"] for _, told, _ in found} == {
        call.call for call in await desk.client.calls()
    }
    assert sorted(again for _, _, again in found) == ["", *["true"] * 7]


async def test_a_key_is_for_one_body(desk: Desk) -> None:
    await ask(desk, DIAL)
    status, told, _ = await ask(desk, {**DIAL, "destination": "6004"})
    assert (status, told["error"]) == (422, "key_reused")


@pytest.mark.parametrize("key", ["", "two words", "x" * 129])
async def test_what_can_be_no_key_is_refused(desk: Desk, key: str) -> None:
    status, told, _ = await ask(desk, DIAL, key)
    assert (status, told["error"], told["field"]) == (400, "bad_key", "Idempotency-Key")
    assert await desk.client.calls() == []


async def test_what_was_refused_may_be_tried_again(desk: Desk) -> None:
    """6002 is in a call; when that is over, the same request has it dial."""
    call = (await desk.client.make_call("6002", "6003")).call
    assert (await ask(desk, DIAL))[0] == 409
    async with desk.client.events() as frames:
        await desk.client.end("6002", call)
        async for frame in frames:
            if isinstance(frame, wire.EventFrame) and frame.event == "CallCleared":
                break
    status, _, again = await ask(desk, DIAL)
    assert (status, again) == (202, "")


async def test_what_was_refused_by_its_rules_may_be_tried_again_too(desk: Desk) -> None:
    """Each of these is refused in another way: by the body, by the directory, by who asks."""

    async def add(body: Any, key: str) -> tuple[int, str]:
        async with desk.http.post(
            f"{desk.url}/directory/queues",
            json=body,
            headers={**desk.bearer, "Idempotency-Key": key},
        ) as answer:
            return answer.status, answer.headers.get("Idempotent-Replayed", "")

    wanted = {"code": "orders", "skills": [{"skill": "order"}]}
    assert await add(wanted, KEY) == (400, "")
    await desk.client.add_to_directory("skills", directory.Skill("order"))
    assert await add(wanted, KEY) == (201, "")
    assert await add(wanted, KEY) == (201, "true")
    assert await add({"code": 1}, "another") == (400, "")
    assert await add({"code": "repairs", "skills": [{"skill": "order"}]}, "another") == (201, "")


async def test_a_key_is_of_who_used_it(desk: Desk) -> None:
    issued = await desk.client.add_program("crm", ["calls:write"])
    first = await ask(desk, DIAL)
    other = Desk(desk.endpoint, desk.client, desk.http, desk.trust)
    async with desk.http.post(
        f"{other.url}/calls",
        data=msgspec.json.encode(DIAL),
        headers={
            "Authorization": f"Bearer {issued.access_token}",
            "Content-Type": "application/json",
            "Idempotency-Key": KEY,
        },
    ) as answer:
        assert answer.status == 409  # as 6002 is in the first one's call
    assert first[0] == 202


async def test_after_a_restart_it_is_not_done_again(state_directory: Path) -> None:
    config = configuration(state_directory, media={"webrtc_ready": False})
    async with Endpoint(config) as endpoint:
        first = await asked(endpoint)
        events = endpoint.controller.subscribe()
        await endpoint.controller.submit(
            ClearConnection(DeviceId("6002"), CallId(first[1]["call"]))
        )
        async for numbered in events:
            if isinstance(numbered.event, CallCleared):
                break
        assert await endpoint.journal.settled(60)
    async with Endpoint(config) as endpoint:
        assert await asked(endpoint) == (*first[:2], "true")
        assert not endpoint.controller.calls()


def noted(state_directory: Path) -> None:
    state_directory.mkdir(parents=True)
    body = msgspec.json.encode(DIAL)
    key = hashed("\0".join(("installation", "/api/v1/calls", KEY)).encode())
    with OpenState(state_directory / "idempotency.jsonl", Once).opened() as notes:
        notes.put(key, Once(datetime.now(UTC), hashed(body)))


async def test_what_was_begun_when_we_were_killed_is_not_done_again(state_directory: Path) -> None:
    noted(state_directory)
    async with Endpoint(configuration(state_directory, media={"webrtc_ready": False})) as endpoint:
        status, told, _ = await asked(endpoint)
        assert (status, told["error"]) == (409, "outcome_unknown")
        assert not endpoint.controller.calls()


async def asked(endpoint: Endpoint) -> tuple[int, dict[str, Any], str]:
    trust = certificates.client_context(endpoint.certificate.authority)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        return await ask(Desk(endpoint, None, http, trust), DIAL)  # type: ignore[arg-type]  # unused


@asynccontextmanager
async def breaks_the_first_answer(desk: Desk, token: str) -> AsyncIterator[EndpointClient]:
    """A client of the endpoint, through something that breaks the first answer."""
    answers = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        to_us = await asyncio.open_connection("127.0.0.1", desk.endpoint.http.plain_port)
        with closing(writer), closing(to_us[1]):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            to_us[1].write(head + await reader.readexactly(length))
            answer = await to_us[0].readuntil(b"}")
            answers += 1
            if answers > 1:
                writer.write(answer)
                await writer.drain()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with EndpointClient(f"http://127.0.0.1:{port}", token) as client:
            yield client
    assert answers


async def test_the_client_asks_again_where_the_connection_breaks(desk: Desk) -> None:
    """One call is made, and its name is told."""
    async with breaks_the_first_answer(desk, desk.endpoint.token) as client:
        made = await client.make_call("6002", "6003")
    assert [call.call for call in await desk.client.calls()] == [made.call]


async def test_the_client_asks_for_nothing_again_that_would_be_done_twice(desk: Desk) -> None:
    """A refresh token that is shown twice counts as stolen, and ends all that came of it."""
    password = "a-Night-in-Lisbon-7"
    await desk.client.bring_into_directory(
        directory.DirectoryImport(agents=[directory.Agent("1001")], passwords={"1001": password})
    )
    issued = await desk.client.log_in("1001", password)
    async with breaks_the_first_answer(desk, issued.access_token) as client:
        with pytest.raises(EndpointUnreachable):
            await client.refresh_token(issued.refresh_token)
        assert (await client.log_in("1001", password)).agent == "1001"
    async with desk.http.get(
        f"{desk.url}/identity", headers={"Authorization": f"Bearer {issued.access_token}"}
    ) as answer:
        assert answer.status == 200
