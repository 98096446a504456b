"""What most commands need first: the configuration, and a client for the endpoint that runs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from endpoint.app.config import Loaded, load
from endpoint.app.settings import Config
from endpoint.app.state import Running, StateDirectory
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file; by default it is searched for."),
]


def running_client(config: Config) -> EndpointClient:
    """A client for the endpoint that runs with this configuration.

    Raises `EndpointUnreachable` where none does.
    """
    state = StateDirectory(config.state.directory).kept_for(config.tenant.name)
    configured = config.http.token
    token = configured.get_secret_value() if configured else state.stored_token()
    running = state.running()
    if token is None or running is None:
        raise EndpointUnreachable(
            f"no endpoint runs with state directory {state.path}; start one: agent-endpoint serve"
        )
    return client_of(running, token)


def client_of(running: Running, token: str) -> EndpointClient:
    """A client for an endpoint of which it is known where it is."""
    # Always with TLS: it may have died, and somebody else may listen where it was.
    trust = _pinned(running.certificate)
    return EndpointClient(running.url, token, ssl_context=trust)


def _pinned(leaf: str) -> ssl.SSLContext:
    """Trusts the holder of this very certificate's key, by whatever name it is reached."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=leaf)
    return context


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
            # Imported at use: all of an endpoint takes longer to load than most commands to run.
            from endpoint.app.wiring import Endpoint

            # One that runs needs no files of ours; one that starts is checked as `serve` is.
            checked = load(loaded.path, files=True)
            endpoint = await stack.enter_async_context(
                Endpoint(checked.config, origins=checked.origins)
            )
            client = await stack.enter_async_context(client_of(endpoint.running, endpoint.token))
            started = True
        yield client, started


@asynccontextmanager
async def answering_client(config: Config) -> AsyncIterator[EndpointClient | None]:
    """A client for the endpoint that runs; None where none does, and the database is to be asked.

    Raises `EndpointUnreachable` where one runs and does not answer: what is written beside it would
    count at its next start, and be said to count now.
    """
    async with AsyncExitStack() as stack:
        client: EndpointClient | None = None
        try:
            client = await stack.enter_async_context(running_client(config))
            await client.health()
        except EndpointUnreachable as error:
            state, client = StateDirectory(config.state.directory), None
            if state.is_held():
                raise EndpointUnreachable(
                    f"an endpoint runs with state directory {state.path} and does not answer "
                    f"({error}); nothing was changed: try again, or stop it"
                ) from error
        yield client
