"""Agents log on by REST, work, and read their log by the WebSocket: with a real endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import hdrs

from endpoint.app import certificates
from endpoint.app.wiring import Endpoint
from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native.messages import API

from .conftest import Desk, configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
ANNAS, BERTS = "a-Night-in-Lisbon-7", "a-Day-in-Porto-8"
AGENTS = [
    directory.Agent("1001", "Anna", "Europe", wrap_up_s=0.3),
    directory.Agent("1002", "Bert", "Europe", devices=["6003"]),
    directory.Agent("1003", "Carl", "Asia"),
]


@pytest.fixture
async def client(desk: Desk) -> EndpointClient:
    await desk.client.bring_into_directory(
        directory.DirectoryImport(agents=AGENTS, passwords={"1001": ANNAS, "1002": BERTS})
    )
    return desk.client


async def until(frames: AgentFrames, event: str) -> wire.AgentEventFrame:
    """The next event of that name."""
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames:
            if isinstance(frame, wire.AgentEventFrame) and frame.event == event:
                return frame
    raise AssertionError(f"{event} did not come")


async def first(frames: AgentFrames) -> wire.AgentSnapshot:
    async with asyncio.timeout(PATIENCE_S):
        frame = await anext(frames)
    assert isinstance(frame, wire.AgentSnapshot)
    return frame


async def log_on(client: EndpointClient, **more: Any) -> wire.AgentLoggedOn:
    return await client.log_on("1001", wire.LogOnAgent("6002", password=ANNAS, **more))


async def test_an_agent_works_from_log_on_to_log_off(client: EndpointClient) -> None:
    logged_on = await log_on(client, ready=True)
    agent, owner = logged_on.agent, logged_on.delegator_id
    assert (agent.state, agent.device, agent.number) == ("ready", "6002", 2)
    assert agent.commands == ["log-off", "not-ready", "work-mode"]
    async with client.agent_events("1001", owner, after=0) as frames:
        assert (await first(frames)).agent.state == "ready"
        assert (await until(frames, "AgentReady")).number == 2
        assert await client.set_not_ready("1001", "meal", owner) == 3
        left = await until(frames, "AgentNotReady")
        assert left.fields["reason"] == "meal"
        assert left.fields["by"] is None
        assert await client.set_ready("1001", owner) == 4
        call = (await client.make_call("6002", "6003")).call
        busy = await until(frames, "AgentBusy")
        assert busy.agent.pending == wire.PendingState(True, "", False)
        established = await until(frames, "Established")
        assert established.call is not None
        assert established.call.call == call
        await client.clear("6002", call)
        await until(frames, "CallCleared")
        assert await client.set_work_mode("1001", 3, owner)
        await until(frames, "WorkModeChanged")
        await client.log_off("1001", owner)
        gone = await until(frames, "AgentLoggedOff")
        assert gone.fields["cause"] == "asked"
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
    assert (await client.agent("1001")).state == "null"
    assert [agent.agent for agent in await client.agents()] == ["1001", "1002", "1003"]


REFUSALS: list[tuple[str, dict[str, Any], int, str]] = [
    ("4711", {"device": "6002", "password": "x"}, 404, "unknown_agent"),
    ("1001", {"device": "6002", "password": "x"}, 403, "wrong_password"),
    ("1001", {"device": "9999"}, 404, "unknown_device"),
    ("1002", {"device": "6002"}, 403, "device_not_allowed"),
    ("1001", {"device": "6002", "mode": 99}, 400, "unknown_mode"),
    ("1001", {"device": "6002", "reason": "golf"}, 400, "unknown_reason"),
    ("1001", {"device": "6 2"}, 400, "bad_field"),
    ("1001", {"device": "6002", "readyy": True}, 400, "bad_field"),
]


async def test_each_refusal_of_a_log_on_has_its_word_and_status(
    client: EndpointClient, desk: Desk
) -> None:
    found = []
    for agent, wanted, _, _ in REFUSALS:
        url = f"{desk.url}/agents/{agent}/log-on"
        async with desk.http.post(url, json=wanted, headers=desk.bearer) as answer:
            found.append((agent, wanted, answer.status, (await answer.json())["error"]))
    assert found == REFUSALS


async def test_nobody_sits_at_an_ivr(state_directory: Path) -> None:
    survey = {"code": "999", "flow": "survey"}
    async with Endpoint(configuration(state_directory, ivr=[survey])) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:
            await client.add_to_directory("agents", directory.Agent("1001"))
            with pytest.raises(RequestRefused) as refused:
                await client.log_on("1001", wire.LogOnAgent("999"))
    assert (refused.value.reason, refused.value.status) == ("unknown_device", 404)


async def test_how_long_an_agent_was_what_is_added_up(client: EndpointClient) -> None:
    logged_on = await log_on(client, ready=True)
    await client.set_not_ready("1001", "meal", logged_on.delegator_id)
    await client.set_ready("1001", logged_on.delegator_id)
    found = await client.agent_times("1001")
    spent = {(each.state, each.reason): each for each in found.spent}
    assert spent.keys() == {("ready", ""), ("notReady", "meal")}
    assert spent["ready", ""].times == 2
    whole = sum(each.seconds for each in found.spent)
    assert 0 < whole <= (found.until - found.since).total_seconds()
    assert (await client.agent_times("1001", until="2026-11-01T00:00:00Z")).spent == []
    with pytest.raises(RequestRefused) as refused:
        await client.agent_times("1001", since="yesterday")
    assert refused.value.refused.field == "since"


async def test_who_is_in_the_way_is_named(client: EndpointClient) -> None:
    await log_on(client)
    with pytest.raises(RequestRefused) as here:
        await log_on(client)
    assert (here.value.reason, here.value.refused.device) == ("logged_on_here", "6002")
    with pytest.raises(RequestRefused) as taken:
        await client.log_on("1003", wire.LogOnAgent("6002"))
    assert (taken.value.status, taken.value.refused.agent) == (409, "1001")


async def test_what_nobody_who_has_the_session_asks_is_a_supervisors(
    client: EndpointClient,
) -> None:
    logged_on = await log_on(client, ready=True, keep_logged_on=True)
    number = await client.set_not_ready("1001", "meeting")
    async with client.agent_events("1001", after=number - 1) as frames:
        await first(frames)
        assert (await until(frames, "AgentNotReady")).fields["by"] == "installation"
        await client.log_off("1001")
        assert (await until(frames, "AgentLoggedOff")).fields["cause"] == "forced"
    with pytest.raises(RequestRefused) as dead:
        await client.set_ready("1001", logged_on.delegator_id)
    assert (dead.value.status, dead.value.reason) == (403, "not_owner")


async def test_who_is_replaced_is_told_so_and_closed(client: EndpointClient) -> None:
    one = await log_on(client)
    async with client.agent_events("1001", one.delegator_id) as frames:
        await first(frames)
        two = await log_on(client, take_over=True)
        replaced = await until(frames, "OwnerReplaced")
        assert replaced.agent.device == "6002"
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
    async with client.agent_events("1001", two.delegator_id, after=replaced.number) as frames:
        assert (await first(frames)).agent.is_owned
        await client.set_ready("1001", two.delegator_id)
        await until(frames, "AgentReady")


async def test_a_browser_shows_what_it_has_by_subprotocols(
    client: EndpointClient, desk: Desk
) -> None:
    logged_on = await log_on(client)
    offered = (
        "agent-endpoint.v1",
        f"bearer.{desk.endpoint.token}",
        f"delegator.{logged_on.delegator_id}",
    )
    url = f"{desk.url}/agents/1001/events"
    async with desk.http.ws_connect(url, protocols=offered) as socket:
        assert socket.protocol == "agent-endpoint.v1"
        assert msgspec.json.decode(await socket.receive_str())["agent"]["is_owned"]
    offered = (*offered[:2], "delegator.guessed")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await desk.http.ws_connect(url, protocols=offered)
    assert refused.value.status == 403


async def test_events_from_a_number_come_once_and_in_order_after_a_lost_socket(
    client: EndpointClient,
) -> None:
    owner = (await log_on(client, ready=True)).delegator_id
    seen: list[int] = []
    for _ in range(4):
        async with client.agent_events("1001", owner, after=len(seen)) as frames:
            await first(frames)
            wanted = await client.set_not_ready("1001", "meal", owner)
            wanted = await client.set_ready("1001", owner)
            while len(seen) < wanted - 1:
                frame = await anext(frames)
                assert isinstance(frame, wire.AgentEventFrame)
                seen.append(frame.number)
    assert seen == list(range(1, len(seen) + 1))


async def test_an_agent_needs_its_session_for_itself_and_has_nothing_to_say_of_others(
    client: EndpointClient, desk: Desk
) -> None:
    token = (await client.log_in("1001", ANNAS)).access_token
    annas = {hdrs.AUTHORIZATION: f"Bearer {token}"}

    async def ask(path: str, **more: Any) -> tuple[int, str]:
        async with desk.http.post(f"{desk.url}/agents/{path}", **more) as answer:
            return answer.status, (await answer.json()).get("error", "")

    device = {"device": "6002"}
    assert await ask("1001/log-on", json=device, headers=annas) == (200, "")
    assert await ask("1001/ready", headers=annas) == (403, "not_owner")
    taken = {**device, "take_over": True}
    async with desk.http.post(
        f"{desk.url}/agents/1001/log-on", json=taken, headers=annas
    ) as answer:
        owner = {wire.DELEGATOR_HEADER: (await answer.json())["delegator_id"]}
    assert await ask("1001/ready", headers=annas | owner) == (200, "")
    other = await client.log_on("1002", wire.LogOnAgent("6003", keep_logged_on=True))
    theirs = {wire.DELEGATOR_HEADER: other.delegator_id}
    for word in ("ready", "log-off", "finish-wrap-up"):
        assert await ask(f"1002/{word}", headers=annas | theirs) == (403, "not_permitted")
    async with desk.http.get(f"{desk.url}/agents", headers=annas) as answer:
        shown = (await answer.json())["agents"]
    assert [agent["agent"] for agent in shown] == ["1001", "1002"], "its department"


async def test_a_monitor_sees_no_more_of_an_agent_who_goes_to_another_department(
    client: EndpointClient, desk: Desk
) -> None:
    chief = directory.Agent("1900", role="monitor", supervises=["Europe"])
    await client.bring_into_directory(
        directory.DirectoryImport(agents=[chief], passwords={"1900": BERTS})
    )
    await log_on(client, ready=True)
    token = (await client.log_in("1900", BERTS)).access_token
    async with desk.http.ws_connect(
        f"{desk.url}/agents/1001/events", headers={hdrs.AUTHORIZATION: f"Bearer {token}"}
    ) as socket:
        async with asyncio.timeout(PATIENCE_S):
            assert (await socket.receive_json())["type"] == "snapshot"
            await client.set_not_ready("1001", "meal")
            assert (await socket.receive_json())["event"] == "AgentNotReady"
            await client.change_in_directory("agents", "1001", {"department": "Asia"})
            await client.set_ready("1001")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1008


async def test_a_client_knows_why_its_events_have_ended(client: EndpointClient, desk: Desk) -> None:
    issued = await client.add_program("soon-over", ["calls:read", "agents:read"])
    async with (
        EndpointClient(
            desk.url.removesuffix(API), issued.access_token, ssl_context=desk.trust
        ) as program,
        program.events() as events,
        program.agent_events("1001") as frames,
        asyncio.timeout(PATIENCE_S),
    ):
        await anext(events)
        await first(frames)
        assert (events.close_code, frames.close_code) == (None, None)
        await client.revoke_token(issued.token)
        for each in (events, frames):
            with pytest.raises(StopAsyncIteration):
                await anext(each)
        assert (events.close_code, frames.close_code) == (4401, 4401)
