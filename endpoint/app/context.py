"""What most commands need first: the configuration, and a client for the endpoint that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from endpoint.app import certificates
from endpoint.app.config import Loaded
from endpoint.app.settings import Config
from endpoint.app.state import StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file; by default it is searched for."),
]


def running_client(config: Config) -> EndpointClient:
    """A client for the endpoint that runs with this configuration.

    Raises `EndpointUnreachable` where there was never one: it has no token yet.
    """
    state = StateDirectory(config.state.directory)
    configured = config.http.token
    token = configured.get_secret_value() if configured else state.stored_token()
    if token is None:
        raise EndpointUnreachable(
            f"no endpoint has run with state directory {state.path}; start one: "
            "agent-endpoint serve"
        )
    running = state.running()
    if running is not None and running.plain_url:
        return EndpointClient(running.plain_url, token)
    authority = None if config.http.certificate else state.tls / "ca.pem"
    if authority is not None and not authority.is_file():
        raise EndpointUnreachable(f"no endpoint has run with state directory {state.path}")
    url = running.url if running else f"https://{config.http_host}:{config.http.port}"
    return EndpointClient(url, token, ssl_context=certificates.client_context(authority))


def own_client(endpoint: Endpoint) -> EndpointClient:
    """A client for an endpoint in this process."""
    if endpoint.running.plain_url:
        return EndpointClient(endpoint.running.plain_url, endpoint.token)
    trust = certificates.client_context(endpoint.certificate.authority)
    return EndpointClient(endpoint.url, endpoint.token, ssl_context=trust)


@asynccontextmanager
async def running_or_own(loaded: Loaded) -> AsyncIterator[tuple[EndpointClient, bool]]:
    """A client for the endpoint that runs; one is started where none does.

    Yields the client, and whether the endpoint is ours and ends with the command.
    """
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(running_client(loaded.config))
            await client.health()
            started = False
        except EndpointUnreachable:
            endpoint = await stack.enter_async_context(
                Endpoint(loaded.config, origins=loaded.origins)
            )
            client = await stack.enter_async_context(own_client(endpoint))
            started = True
        yield client, started
