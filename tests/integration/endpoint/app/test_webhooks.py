"""Programs are told of events by HTTP: by a real endpoint, at a receiver that does all it may."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError
from standardwebhooks import Webhook

from endpoint.app import certificates
from endpoint.app.webhooks import WebhookRefused
from endpoint.app.webhooksettings import WebhookSettings
from endpoint.app.wiring import Endpoint
from endpoint.client import EndpointClient, RequestRefused
from endpoint.client.client import Frames
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import webhookmessages as webhooks

from .conftest import Desk, configuration
from .test_rest import snapshot
from .test_serve import line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]

PATIENCE_S = 60.0
EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "webhook.py"
TAKEN = 204


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["Webhook-Id"]

    @property
    def event(self) -> str:
        return self.headers["Webhook-Event"]

    @property
    def source(self) -> str:
        return self.headers["Webhook-Source"]

    @property
    def told(self) -> Any:
        return json.loads(self.body)


async def take(got: Got) -> int:
    return TAKEN


@dataclass
class Receiver:
    url: str = ""
    got: list[Got] = field(default_factory=list)
    answer: Callable[[Got], Awaitable[int]] = take
    taken: list[Got] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    at_once: int = 0
    most_at_once: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        got = Got(request.path, dict(request.headers), await request.read())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with self.news:
                self.got.append(got)
                self.news.notify_all()
            status = await self.answer(got)
        finally:
            self.at_once -= 1
        if 200 <= status < 300:
            async with self.news:
                self.taken.append(got)
                self.news.notify_all()
        headers = {"Location": "/elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers=headers)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(is_so)

    async def until_taken(self, event: str) -> Got:
        await self.until(lambda: any(each.event == event for each in self.taken))
        return next(each for each in self.taken if each.event == event)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/hooks/"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def telling(state: Path, receiver: Receiver, **settings: Any) -> AsyncIterator[Desk]:
    """An endpoint that may tell the receiver."""
    quick = {"allowed": [receiver.url], "first_pause_s": 0.02, "longest_pause_s": 0.1}
    async with Endpoint(configuration(state, webhooks=quick | settings)) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with (
            EndpointClient(url, endpoint.token, ssl_context=trust) as client,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        ):
            yield Desk(endpoint, client, http, trust)


async def called(client: EndpointClient, frames: Frames) -> list[wire.EventFrame]:
    """A call from 6002 to 6003 that is hung up: what a WebSocket is told of it."""
    made = await client.make_call("6002", "6003")
    seen: list[wire.EventFrame] = []
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames:
            assert isinstance(frame, wire.EventFrame)
            seen.append(frame)
            if frame.event == "Established":
                await client.clear("6002", made.call)
            if frame.event == "CallCleared":
                return seen
    raise AssertionError("the call did not end")


async def goes(client: EndpointClient, is_so: Callable[[webhooks.Webhook], bool]) -> None:
    """Wait until a webhook's state is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(await client.webhook("crm")):  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.02)


def crm(receiver: Receiver, **more: Any) -> webhooks.AddWebhook:
    return webhooks.AddWebhook("crm", f"{receiver.url}calls", **more)


async def test_what_a_websocket_is_told_a_webhook_is_told(
    state_directory: Path, receiver: Receiver
) -> None:
    """Signed, in the same order, one at a time; some of it as it was asked for."""
    async with telling(state_directory, receiver) as desk, desk.client.events() as frames:
        await snapshot(frames)
        await desk.client.add_to_directory("agents", directory.Agent("1001"))
        issued = await desk.client.add_webhook(crm(receiver))
        of_one = webhooks.AddWebhook(
            "one", f"{receiver.url}one", ["Established", "CallCleared"], devices=["6003"]
        )
        await desk.client.add_webhook(of_one)
        logs_on = agents.LogOnAgent("6003", ready=True, keep_logged_on=True)
        await desk.client.log_on("1001", logs_on)
        seen = await called(desk.client, frames)
        paths = ("/hooks/calls", "/hooks/one")
        await receiver.until(
            lambda: (
                {each.path for each in receiver.taken if each.event == "CallCleared"} == {*paths}
            )
        )
        await receiver.until_taken("AgentBusy")
        own, other = ([each for each in receiver.taken if each.path == path] for path in paths)
        of_calls = [each for each in own if each.source == "events"]
        assert [(each.told["number"], each.event) for each in of_calls] == [
            (frame.number, frame.event) for frame in seen
        ]
        # Of its log what is told of the agent: its calls were told already.
        log = [each for each in own if each.source == "agents/1001"]
        assert [each.event for each in log][:3] == ["AgentLoggedOn", "AgentReady", "AgentBusy"]
        assert all(each.event.startswith("Agent") for each in log)
        numbers = [each.told["number"] for each in log]
        assert numbers == sorted(set(numbers))
        assert len(of_calls) + len(log) == len(own)
        for got, frame in zip(of_calls, seen, strict=True):
            assert got.told["type"] == "event"
            assert got.told["fields"] == frame.fields
            assert Webhook(issued.secret).verify(got.body, got.headers) == got.told
            assert got.headers["Webhook-Name"] == "crm"
            assert set(webhooks.HEADERS) <= set(got.headers)
        assert len({each.id for each in receiver.got}) == len(receiver.got)
        assert receiver.most_at_once <= 2  # one each
        # As an agent at 6003 is shown them.
        assert [(each.told["fields"]["device"], each.event) for each in other] == [
            (frame.fields["device"], frame.event)
            for frame in seen
            if frame.event in ("Established", "CallCleared")
        ]
        assert {device["device"] for each in other for device in each.told["devices"]} == {"6003"}
        await goes(desk.client, lambda state: state.waiting == 0)
        state = await desk.client.webhook("crm")
        assert state.taken >= len(own)
        assert (state.places[0].source, state.places[0].number) == ("events", seen[-1].number)
        assert [each.source for each in state.places[1:]] == ["agents/1001"]
        assert (state.failures, state.undelivered, state.enabled) == (0, [], True)
        await desk.client.remove_webhook("crm")
        # In the same moment: what is removed is not begun again by who was a moment too late.
        removed, enabled = await asyncio.gather(
            desk.endpoint.webhooks.remove("one"),
            desk.endpoint.webhooks.enable("one", enabled=True),
            return_exceptions=True,
        )
        assert removed is None
        assert isinstance(enabled, WebhookRefused)
        assert await desk.client.webhooks() == []
        told = len(receiver.got)
        await called(desk.client, frames)
        assert len(receiver.got) == told


async def test_who_fails_is_told_again_and_in_order(
    state_directory: Path, receiver: Receiver
) -> None:
    """Refusals, redirects, no answer in time: the same message again, and no later one before."""
    statuses = iter([500, 307, 404, 0])

    async def fail(got: Got) -> int:
        if (status := next(statuses, TAKEN)) == 0:
            await asyncio.sleep(PATIENCE_S)  # it is given up before
        return status

    receiver.answer = fail
    settings = {"timeout_s": 1.0}
    async with (
        telling(state_directory, receiver, **settings) as desk,
        desk.client.events() as frames,
    ):
        await snapshot(frames)
        issued = await desk.client.add_webhook(crm(receiver))
        seen = await called(desk.client, frames)  # nobody has waited
        await receiver.until_taken("CallCleared")
        first = receiver.got[:5]
        assert len({(each.id, each.body) for each in first}) == 1
        for each in first:
            Webhook(issued.secret).verify(each.body, each.headers)
        assert {each.path for each in receiver.got} == {"/hooks/calls"}  # no redirect is followed
        taken = {each.id: each for each in receiver.taken}.values()
        assert [each.told["number"] for each in taken] == [frame.number for frame in seen]
        await goes(desk.client, lambda state: state.failing == 0 and state.waiting == 0)
        state = await desk.client.webhook("crm")
        assert state.failures >= 4
        assert (state.last_failure, state.undelivered) == ("timed_out", [])


async def test_what_nobody_takes_is_put_aside_and_told_later(
    state_directory: Path, receiver: Receiver
) -> None:
    """Bounded; it survives a restart, and is told when that is asked for."""

    async def fail(got: Got) -> int:
        return 503

    settings = {"give_up_s": 0.01, "most_undelivered": 2}
    only = ["Delivered", "Established", "CallCleared"]
    async with (
        telling(state_directory, receiver, **settings) as desk,
        desk.client.events() as frames,
    ):
        await snapshot(frames)
        await desk.client.add_webhook(crm(receiver, events=only))
        receiver.answer = fail
        seen = await called(desk.client, frames)
        told = [frame.number for frame in seen if frame.event in only]
        await goes(desk.client, lambda state: state.waiting == 0)
        state = await desk.client.webhook("crm")
        assert [each.event for each in state.undelivered] == [
            frame.event for frame in seen if frame.event in only
        ][-2:]
        assert {each.failure for each in state.undelivered} == {"status_503"}
        assert state.forgotten == len(told) - 2
    receiver.got.clear()
    receiver.answer = take
    async with telling(state_directory, receiver, **settings) as desk:
        # What happened since is lost but for what is true now, and that is said.
        missed = await receiver.until_taken("snapshot")
        assert missed.told["missed"]
        assert missed.told["calls"] == []
        again = await desk.client.webhook("crm")
        assert [each.id for each in again.undelivered] == [each.id for each in state.undelivered]
        assert await desk.client.retry_webhook("crm") == 2
        await goes(desk.client, lambda state: not state.undelivered)
        late = [each for each in receiver.taken if each.event != "snapshot"]
        assert [each.id for each in late] == [each.id for each in state.undelivered]
        assert [each.told["number"] for each in late] == told[-2:]
    async with telling(state_directory, receiver) as desk:
        assert (await desk.client.webhook("crm")).undelivered == []


async def test_logs_of_agents_are_told_whole_over_restarts(
    state_directory: Path, receiver: Receiver
) -> None:
    """The receiver is away; what happened meanwhile is told after a restart, once and in order."""

    async def fail(got: Got) -> int:
        return 500

    async with telling(state_directory, receiver) as desk:
        client = desk.client
        for agent in ("1001", "1002"):
            await client.add_to_directory("agents", directory.Agent(agent))
        await client.add_webhook(crm(receiver, agents=["1001"]))
        await client.log_on("1001", agents.LogOnAgent("6002", ready=True, keep_logged_on=True))
        await receiver.until_taken("AgentReady")
        await client.log_on("1002", agents.LogOnAgent("6003", keep_logged_on=True))
        receiver.answer = fail
        await client.set_not_ready("1001", "")
        await receiver.until(lambda: receiver.got[-1].event == "AgentNotReady")
        await client.set_ready("1001")
        await client.log_off("1001")
    receiver.answer = take
    async with telling(state_directory, receiver) as desk:
        await receiver.until_taken("AgentLoggedOff")
        first = [each for each in receiver.taken if each.path == "/hooks/calls"]
        assert {each.source for each in first} == {"agents/1001"}
        told = list({each.id: each for each in first}.values())
        assert [(each.told["number"], each.event) for each in told] == [
            (1, "AgentLoggedOn"),
            (2, "AgentReady"),
            (3, "AgentNotReady"),
            (4, "AgentReady"),
            (5, "AgentLoggedOff"),
        ]
        tries = [each.id for each in receiver.got if each.told["number"] == 3]
        assert len(tries) > 1
        assert len(set(tries)) == 1
        await goes(desk.client, lambda state: state.waiting == 0)
        # Disabled, it is told nothing; afterwards what has happened.
        await desk.client.enable_webhook("crm", enabled=False)
        with pytest.raises(RequestRefused, match="disabled"):
            await desk.client.retry_webhook("crm")
        await desk.client.log_on("1001", agents.LogOnAgent("6002", keep_logged_on=True))
        assert (await desk.client.webhook("crm")).waiting == 2
        assert receiver.taken[-1].event == "AgentLoggedOff"
        await desk.client.enable_webhook("crm")
        await receiver.until(lambda: receiver.taken[-1].told["number"] == 7)


async def test_only_addresses_that_are_allowed_are_told(
    state_directory: Path, receiver: Receiver
) -> None:
    port = receiver.url.split(":")[2].partition("/")[0]
    async with telling(state_directory, receiver, most=1) as desk:
        for url in (
            "http://169.254.169.254/latest/meta-data/",
            f"http://127.0.0.1:{port}/other/",
            f"http://127.0.0.1:{port}/hooks/../other/",
            f"http://127.0.0.1:{port}/hooks/%2e%2e/other/",
            f"http://127.0.0.1:{port}@198.51.100.1/hooks/",
            f"http://localhost:{port}/hooks/",
            f"https://127.0.0.1:{port}/hooks/",
            "file:///etc/passwd",
            "//127.0.0.1/hooks/",
            "http://[/hooks/",
        ):
            with pytest.raises(RequestRefused, match="webhooks") as refused:
                await desk.client.add_webhook(webhooks.AddWebhook("crm", url))
            assert (refused.value.reason, refused.value.refused.field) == ("bad_field", "$.url")
            assert receiver.url in refused.value.refused.expected
        with pytest.raises(RequestRefused, match="no event has the name Establish"):
            await desk.client.add_webhook(crm(receiver, events=["Establish"]))
        assert receiver.got == []
        await desk.client.add_webhook(crm(receiver))
        with pytest.raises(RequestRefused, match="there is a webhook crm"):
            await desk.client.add_webhook(crm(receiver))
        with pytest.raises(RequestRefused, match="as webhooks"):
            await desk.client.add_webhook(webhooks.AddWebhook("second", receiver.url))
        tested = await desk.client.test_webhook("crm")
        assert (tested.taken, receiver.got[-1].told["type"]) == (True, "test")
        for ask in (desk.client.webhook, desk.client.remove_webhook, desk.client.test_webhook):
            with pytest.raises(RequestRefused, match="there is no webhook none"):
                await ask("none")
    # Allowed no longer: it is told nothing, though it was added when it was.
    told = len(receiver.got)
    async with telling(state_directory, receiver, allowed=[f"{receiver.url}other/"]) as desk:
        tested = await desk.client.test_webhook("crm")
        assert (tested.taken, tested.failure) == (False, "not_allowed")
        assert len(receiver.got) == told


@pytest.mark.parametrize(
    "prefix", ["http://crm.example.com/hooks/", "https://crm.example.com", "ftp://x/", "crm", ""]
)
def test_a_beginning_that_would_allow_too_much_is_a_mistake(prefix: str) -> None:
    with pytest.raises(ValidationError, match="expected http"):
        WebhookSettings(allowed=[prefix])
    assert WebhookSettings(allowed=["https://crm.example.com/", "http://[::1]:80/"])


async def test_the_commands_and_the_example_of_the_document(
    surroundings: dict[str, str],
) -> None:
    """A receiver as docs/webhooks.md has it: what is not signed by the secret it does not take."""
    free = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = str(free.sockets[0].getsockname()[1])
    free.close()
    await free.wait_closed()
    allowed = f"http://127.0.0.1:{port}/hooks/"
    surroundings |= {"AGENT_ENDPOINT_WEBHOOKS__ALLOWED": json.dumps([allowed])}

    async def run(*words: str) -> Any:
        async with started(surroundings, "webhooks", *words, "--json") as command:
            return await line(command)

    async with started(surroundings, "serve", "--json") as serve:
        await line(serve)
        added = await run("add", "crm", f"{allowed}calls", "--event", "Established")
        assert added["secret"].startswith("whsec_")
        assert (await run("test", "crm"))["text"] == "crm did not take it: unreachable"
        example = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), added["secret"], port, stdout=PIPE
        )
        try:
            assert example.stdout is not None
            async with asyncio.timeout(PATIENCE_S):
                while not (await run("test", "crm"))["ok"]:
                    pass
                assert await example.stdout.readline() == b"test - test\n"
                unsigned = f"{allowed}calls"
                async with aiohttp.ClientSession() as http, http.post(unsigned) as answer:
                    assert answer.status == 401
                dial = ("dial", "6003", "--from", "6002", "--detach", "--json")
                async with started(surroundings, *dial) as command:
                    assert (await line(command))["established"]
                words = (await example.stdout.readline()).split()
                assert (words[0], words[2]) == (b"events", b"Established")
        finally:
            example.terminate()
            await example.wait()
        (shown,) = (await run("list"))["webhooks"]
        assert (shown["name"], shown["enabled"], shown["last_failure"]) == (
            "crm",
            True,
            "unreachable",
        )
        assert added["secret"] not in json.dumps(shown)
        for word in ("disable", "enable", "retry", "remove"):
            assert (await run(word, "crm"))["ok"]
        assert (await run("list"))["webhooks"] == []
        assert (await run("remove", "crm"))["text"] == "there is no webhook crm"
