"""A whole endpoint on free ports of loopback, with two devices that need no phone."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from endpoint.app import certificates
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient

PASSWORD = "integration-desk-4WqZx9"


def configuration(directory: Path, **more: Any) -> Config:
    """Free ports, and stations 6002 and 6003 that pick up by themselves.

    What browsers need is loaded by the first one, if one comes: it takes a third of all the
    processor time that a media process takes to start, and most tests have none.
    """
    return Config.model_validate(
        {
            "http": {"port": 0, "plain_port": 0, **more.pop("http", {})},
            "sip": {"port": 0, **more.pop("sip", {})},
            "media": {"webrtc_ready": False, **more.pop("media", {})},
            "state": {"directory": directory},
            "station": [
                {"device": "6002", "kind": "tone"},
                {"device": "6003", "kind": "tone", "frequency_hz": 700},
            ],
            **more,
        }
    )


@dataclass(frozen=True)
class Desk:
    """An endpoint, and ways to talk to it."""

    endpoint: Endpoint
    client: EndpointClient
    http: aiohttp.ClientSession
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        """Of REST, with TLS."""
        return f"https://localhost:{self.endpoint.http.port}/api/v1"

    @property
    def bearer(self) -> dict[str, str]:
        """What opens it."""
        return {"Authorization": f"Bearer {self.endpoint.token}"}


@pytest.fixture
def state_directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def desk(state_directory: Path) -> AsyncIterator[Desk]:
    async with Endpoint(configuration(state_directory)) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with (
            EndpointClient(url, endpoint.token, ssl_context=trust) as client,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        ):
            yield Desk(endpoint, client, http, trust)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that every command finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("AGENT_ENDPOINT_STATE__DIRECTORY", str(tmp_path / "state"))
    return tmp_path
