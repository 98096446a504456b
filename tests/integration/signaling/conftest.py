from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from tests.integration.signaling.stage import Stage


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "::1").configure_cert(context)
    return context


@pytest.fixture
def trusting_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def stage(
    server_context: ssl.SSLContext, trusting_context: ssl.SSLContext
) -> AsyncIterator[Stage]:
    async with Stage(server_context, trusting_context) as stage:
        yield stage


@pytest.fixture
def ipv6_loopback() -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
    return "::1"
