"""Trunks by REST, by events and as the doctor sees them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoint.app import certificates
from endpoint.app.enrolment import add_extension
from endpoint.app.trunkcheck import findings
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire
from endpoint.storage.extensions import Extension

from .conftest import configuration

pytestmark = pytest.mark.integration

PASSWORD = "n0t-a-default-7Qx"


@pytest.fixture
def dead() -> Iterator[str]:
    """A port that is taken, so that nobody else comes to listen there, and never read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield f"sip:127.0.0.1:{hole.getsockname()[1]}"


async def test_a_trunk_is_told_and_asked_for(tmp_path: Path) -> None:
    """The far end of the one endpoint's trunk is the other endpoint."""
    async with Endpoint(configuration(tmp_path / "carrier")) as carrier:
        host, port = carrier.sip_address
        trunk = {
            "name": "carrier",
            "peers": [f"sip:{host}:{port}"],
            "numbers": ["+4930*"],
            "default_number": "+49301",
            "incoming": [{"match": "*", "to": "6002"}],
            "outgoing": [{"match": "0*"}],
        }
        config = configuration(tmp_path / "state", trunk=[trunk])
        async with Endpoint(config) as endpoint:
            for device in ("RP_0301", "RP_*1", "6009"):
                await add_extension(
                    endpoint.extensions, config.sip.realm, Extension(device), PASSWORD
                )
            context = certificates.client_context(endpoint.certificate.authority)
            url = f"https://localhost:{endpoint.http.port}"
            async with (
                EndpointClient(url, endpoint.token, ssl_context=context) as client,
                client.events(after=0) as frames,
            ):
                async with asyncio.timeout(20):
                    async for frame in frames:
                        if isinstance(frame, wire.EventFrame) and frame.event == "TrunkUp":
                            break
                assert frame.trunk == wire.Trunk(
                    "carrier", True, 0, None, [wire.TrunkPeer(f"{host}:{port}", "up", "")]
                )
                assert await client.trunks() == [frame.trunk]
                reached = {one.device: one.reachable for one in await client.devices()}
                assert [reached[one] for one in ("RP_0301", "RP_*1", "6009")] == [
                    True,
                    False,
                    False,
                ]
                accepted = await client.make_call("6002", "030123", calling_number="+4989")
                async with asyncio.timeout(20):
                    async for frame in frames:
                        if isinstance(frame, wire.EventFrame) and frame.event == "Failed":
                            break
                assert frame.fields["call"] == accepted.call
                assert frame.fields["cause"] == "caller_not_allowed"
                assert "+4989" in frame.fields["text"]
        assert await findings(config, config.trunk[0]) == []


async def test_the_doctor_says_what_is_wrong_with_a_trunk(tmp_path: Path, dead: str) -> None:
    config = configuration(
        tmp_path / "state",
        trunk=[
            {"name": "here", "peers": [dead]},
            {"name": "there", "peers": ["sip:carrier.example"]},
        ],
    )
    here, there = config.trunk
    (refused, silent) = await findings(config, here)
    assert not refused[0]
    assert "it has no incoming" in refused[1]
    assert silent[0]
    assert "no answer to OPTIONS" in silent[1]
    texts = [text for _, text, _ in await findings(config, there)]
    assert any("media is bound to 127.0.0.1" in text for text in texts)
    assert any("need a digest" in text for text in texts)
