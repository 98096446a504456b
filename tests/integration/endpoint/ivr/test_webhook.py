"""Webhooks of flows, at a server that answers as it should, and in all other ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from endpoint.ivr import model as ivr
from endpoint.ivr import webhook
from endpoint.ivr.interpreter import begin, step
from endpoint.ivr.model import AskWebhook
from endpoint.ivr.reading import read

pytestmark = pytest.mark.integration


async def answered(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/right":
            told = await request.json()
            return web.json_response({"tier": told["OrderID"], "n": 2.5, "vip": True, "x": [1]})
        case "/slow":
            await asyncio.sleep(30)
        case "/drip":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        case "/status":
            return web.json_response({"tier": "gold"}, status=500)
        case "/elsewhere":
            raise web.HTTPFound("/right")
        case "/large":
            return web.json_response({"tier": "gold", "x": "x" * webhook.LARGEST})
        case "/long":
            return web.json_response({"tier": "x" * (webhook.LONGEST_TEXT + 1)})
        case "/list":
            return web.json_response(["gold"])
        case "/text":
            return web.Response(text="gold")
        case "/deep":
            return web.Response(text="[" * 50_000)
        case "/field":
            return web.json_response({"tier": None})
        case _:
            pass
    return web.json_response({})


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path}", answered)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def ask(url: str, *, timeout_s: float = 10.0, **answers: str) -> dict[str, str]:
    async with aiohttp.ClientSession() as session:
        within = (url[: url.index("/", 8) + 1],)
        asked = AskWebhook(1, url, {"OrderID": "4711"}, answers, timeout_s, within)
        return await webhook.ask(session, asked)


async def test_fields_become_variables(server: str) -> None:
    assert await ask(f"{server}/right", tier="Tier", n="N", vip="Vip") == {
        "Tier": "4711",
        "N": "2.5",
        "Vip": "true",
    }
    assert await ask(f"{server}/text") == {}


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("slow", "timed_out"),
        ("drip", "timed_out"),
        ("status", "status_500"),
        ("elsewhere", "status_302"),
        ("large", "too_large"),
        ("long", "no_field"),
        ("list", "no_object"),
        ("text", "no_object"),
        ("deep", "no_object"),
        ("field", "no_field"),
        ("none", "no_field"),
    ],
)
async def test_an_answer_that_is_no_use_is_a_word(server: str, path: str, word: str) -> None:
    # Those that end by the time are given little of it.
    timeout_s = 0.3 if word == "timed_out" else 10.0
    with pytest.raises(webhook.WebhookFailed, match=f"^{word}$"):
        await ask(f"{server}/{path}", timeout_s=timeout_s, tier="Tier")


@pytest.mark.parametrize("caller", ["../right", "..", "../x?", "x/../../right", "%2e%2e/right"])
async def test_what_a_caller_says_leads_to_no_other_address(server: str, caller: str) -> None:
    """As who he is, which From says: it is one part of the address, and stays within it."""
    text = f"""
start = "ask"
webhooks = ["{server}/ivr/"]
[node.ask]
kind = "webhook"
url = "{server}/ivr/{{caller}}/orders"
answers = {{ tier = "tier" }}
next = "end"
on_failure = "end"
[node.end]
kind = "hangup"
"""
    flow = read(text, "flow.toml", lambda _: None)
    _, actions = step(begin(flow, {"caller": caller}), ivr.Begun(), 0.0)
    (asked,) = [each for each in actions if isinstance(each, AskWebhook)]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(webhook.WebhookFailed) as failed:
            await webhook.ask(session, replace(asked, body={"OrderID": "4711"}))
    # There is nothing below /ivr/ that answers; what is beside it would.
    assert str(failed.value) == ("not_allowed" if caller == ".." else "status_404")


async def test_where_nobody_answers_it_is_unreachable() -> None:
    for url in ("http://127.0.0.1:9/", "http://no.such.name.invalid/", "http://[/"):
        with pytest.raises(webhook.WebhookFailed, match=r"^unreachable$"):
            await ask(url, tier="Tier")
