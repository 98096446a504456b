"""The keys of an identity provider, by HTTP: read, changed, away, slow; what a client is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from endpoint.app import certificates
from endpoint.app.wiring import Endpoint
from endpoint.client import EndpointClient, RequestRefused
from endpoint.gateways.native import directorymessages as directory
from tests.unit.endpoint.app.test_jwtcredentials import EC, OTHER_RSA, RSA, key_of, signed

from .conftest import configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


@dataclass
class Provider:
    """An identity provider's HTTP server, as far as keys go."""

    port: int = 0
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    asking: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    async def handle(self, _request: web.Request) -> web.Response:
        self.asking.set()
        await self.go.wait()
        return web.json_response({"keys": self.keys}, status=self.status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AsyncExitStack]:
        """While it is entered, or until what it yields is closed; each time at the same port."""
        app = web.Application()
        app.router.add_get("/keys", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await site.start()
            self.port = runner.addresses[0][1]
            yield stack


async def test_keys_come_change_stay_away_and_come_late(state_directory: Path) -> None:
    """Nobody is out for the provider's trouble whose key is known; who has another must wait."""
    provider = Provider(keys=[key_of(RSA, "r")])
    now = datetime.now(UTC).timestamp()
    moments = {"iat": now, "exp": now + 3600}
    first, second = signed(**moments), signed(OTHER_RSA, "new", **moments)
    third = signed(EC, "e", "ES256", **moments)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(provider.running())
        # Kept for no time at all: each request has them read.
        settings = {
            "issuer": "https://idp.example.com",
            "audience": "agent-endpoint",
            "jwks_url": provider.url,
            "refetch_s": 0.001,
            "cache_s": 0.001,
        }
        endpoint = await stack.enter_async_context(
            Endpoint(configuration(state_directory, jwt=settings))
        )
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        client = await stack.enter_async_context(
            EndpointClient(url, endpoint.token, ssl_context=trust)
        )
        await client.add_to_directory("agents", directory.Agent("1001"))

        async def told(token: str) -> str:
            async with EndpointClient(url, token, ssl_context=trust) as asking:
                try:
                    return str((await asking.identity()).agent)
                except RequestRefused as refused:
                    return f"{refused.status} {refused.reason}: {refused}"

        assert await told(first) == "1001"
        assert (await told(second)).startswith("401 unauthorised")
        # Both for a while, as providers change them; then the new one alone.
        provider.keys.append(key_of(OTHER_RSA, "new"))
        assert [await told(first), await told(second)] == ["1001", "1001"]
        provider.keys.pop(0)
        assert (await told(first)).startswith("401 unauthorised")
        assert await told(second) == "1001"
        # It fails, it is away: a known key does, and who has another is told that it is not he.
        unavailable = (
            "503 credentials_unavailable: the keys of JWTs can't be read now; ask again in 1 s, "
            "the endpoint's log says why"
        )
        with capture_logs() as logs:
            provider.status = 500
            assert await told(second) == "1001"
            assert await told(third) == unavailable
            assert f"{provider.url} answers 500" in reasons(logs)
            await running.aclose()
            assert await told(second) == "1001"
            assert await told(third) == unavailable
            assert any("Cannot connect" in reason for reason in reasons(logs))
        # It is back and slow: who has a known key does not wait for whom it knows nothing of.
        provider.status, provider.keys = 200, [key_of(EC, "e")]
        provider.go.clear()
        provider.asking.clear()
        await stack.enter_async_context(provider.running())
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            waiting = group.create_task(told(third))
            await provider.asking.wait()
            assert await told(second) == "1001"
            assert not waiting.done()
            provider.go.set()
            assert await waiting == "1001"


def reasons(logs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [each["reason"] for each in logs if each["event"] == "keys of JWTs can't be read"]
