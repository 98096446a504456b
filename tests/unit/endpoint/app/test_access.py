"""The bearer token and the origins: what is let in, and what a refusal says."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from endpoint.agents.identity import INSTALLATION, Identity, of_agent
from endpoint.agents.model import Agent, AgentId
from endpoint.app.access import (
    WRONG_TOKEN_WINDOW_S,
    WRONG_TOKENS,
    Access,
    identity_of,
    own_origins,
)

pytestmark = pytest.mark.unit

TOKEN = "a-token-of-enough-characters"
OURS = "https://localhost:8443"


@pytest.fixture
def access() -> Access:
    return Access(TOKEN, [OURS, "https://crm.example.com"])


async def passed(request: web.Request) -> web.StreamResponse:
    return web.Response(text="passed")


async def ask(access: Access, path: str, method: str = "GET", **headers: str) -> web.StreamResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await access.middleware(make_mocked_request(method, path, headers=named), passed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer  {TOKEN}"},
        {"Sec_WebSocket_Protocol": f"agent-endpoint.v1, bearer.{TOKEN}"},
    ],
)
async def test_the_token_opens_the_interface(access: Access, headers: dict[str, str]) -> None:
    assert (await ask(access, "/api/v1/calls", **headers)).status == 200


async def test_whoever_asks_is_known_to_what_answers() -> None:
    """By the installation's token a machine that may do all; by another whoever that one is of."""
    agent = of_agent(Agent(AgentId("1001")))
    seen: list[Identity] = []

    class One:
        async def identify(self, token: str) -> Identity | None:
            return agent if token == "of-1001" else None

        def resembles(self, token: str) -> bool:
            return token.startswith("of-")

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(identity_of(request))
        return web.Response()

    access = Access(TOKEN, [], [One()])
    for token in (TOKEN, "of-1001", "of-nobody"):
        request = make_mocked_request(
            "GET", "/api/v1/calls", headers={"Authorization": f"Bearer {token}"}
        )
        await access.middleware(request, handler)
    assert seen == [INSTALLATION, agent]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Cookie": f"token={TOKEN}"},
        {"Sec_WebSocket_Protocol": TOKEN},
    ],
)
async def test_anything_else_is_401(access: Access, headers: dict[str, str]) -> None:
    answer = await ask(access, "/api/v1/calls", **headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_who_guesses_must_wait(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right token too, or guessing on would still find it."""
    clock = 1000.0
    monkeypatch.setattr("endpoint.app.access.monotonic", lambda: clock)
    for _ in range(WRONG_TOKENS):
        answer = await ask(access, "/api/v1/calls", Authorization="Bearer wrong")
        assert answer.status == 401
    answer = await ask(access, "/api/v1/calls", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) <= WRONG_TOKEN_WINDOW_S
    assert (await ask(access, "/")).status == 200
    assert (await ask(access, "/api/v1/calls")).status == 401
    clock += WRONG_TOKEN_WINDOW_S
    answer = await ask(access, "/api/v1/calls", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200


async def test_a_token_that_is_over_is_no_guess() -> None:
    """Whoever sits behind the same address must not wait for a page that has not renewed it."""

    class AllOver:
        async def identify(self, token: str) -> Identity | None:
            return None

        def resembles(self, token: str) -> bool:
            return token.startswith("over-")

    access = Access(TOKEN, [], [AllOver()])
    for _ in range(WRONG_TOKENS + 1):
        answer = await ask(access, "/api/v1/calls", Authorization="Bearer over-1")
        assert answer.status == 401
    assert (await ask(access, "/api/v1/calls", Authorization=f"Bearer {TOKEN}")).status == 200


async def test_forgetting_the_token_is_no_guess(access: Access) -> None:
    for _ in range(WRONG_TOKENS + 1):
        assert (await ask(access, "/api/v1/calls")).status == 401
    answer = await ask(access, "/api/v1/calls", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200


async def test_a_token_in_the_url_opens_nothing(access: Access) -> None:
    answer = await ask(access, f"/api/v1/calls?token={TOKEN}&access_token={TOKEN}")
    assert answer.status == 401


async def test_the_page_itself_needs_no_token(access: Access) -> None:
    assert (await ask(access, "/")).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://localhost:8443",
        "https://localhost:8443.evil.example",
        "https://crm.example.com.evil.example",
        "https://crm.example.com:444",
        "HTTPS://CRM.EXAMPLE.COM",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/calls", "/api/v1/events", "/sip", "/"])
async def test_a_foreign_origin_is_refused_with_the_token_too(
    access: Access, path: str, origin: str
) -> None:
    answer = await ask(access, path, Origin=origin, Authorization=f"Bearer {TOKEN}")
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_refused_origin_is_told_what_would_admit_it(access: Access) -> None:
    answer = await ask(access, "/sip", Origin="https://new.example")
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)
    told = json.loads(answer.body)
    assert told["error"] == "origin_refused"
    assert """AGENT_ENDPOINT_HTTP__ORIGINS='["https://new.example"]'""" in told["text"]


async def test_what_is_no_origin_is_not_repeated(access: Access) -> None:
    answer = await ask(access, "/sip", Origin="<script>alert(1)</script>")
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)
    assert b"script" not in answer.body


async def test_an_admitted_origin_may_ask_before_it_asks(access: Access) -> None:
    answer = await ask(access, "/api/v1/calls", "OPTIONS", Origin="https://crm.example.com")
    assert answer.status == 204
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert allowed == "Authorization, Content-Type, Delegator-Id, Idempotency-Key, If-Match"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_our_own_page_has_an_origin_for_each_name() -> None:
    assert own_origins(["localhost", "::1", "Phone.Example.com"], "https", 8443) == [
        "https://localhost:8443",
        "https://[::1]:8443",
        "https://phone.example.com:8443",
    ]
    assert own_origins(["localhost"], "https", 443) == ["https://localhost"]
