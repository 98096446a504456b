"""The configuration files of docker/compose.yaml are good: their programs read them and come up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .peers import kamailio as kamailio_peer
from .peers.coturn import Coturn
from .peers.kamailio import Kamailio
from .peers.process import require
from .peers.rtpengine import Rtpengine

pytestmark = pytest.mark.interop


def check_kamailio(**environment: str) -> subprocess.CompletedProcess[str]:
    program = require("kamailio", "kamailio kamailio-tls-modules kamailio-websocket-modules")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIP_")}
    return subprocess.run(
        [program, "-c", "-f", kamailio_peer.CONFIG],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_kamailio_accepts_the_file_with_and_without_rtpengine() -> None:
    for environment in ({}, {"RTPENGINE": "udp:127.0.0.1:2223"}):
        checked = check_kamailio(SIP_PASSWORD="x", **environment)
        assert checked.returncode == 0, checked.stderr


def test_kamailio_refuses_to_start_without_a_password() -> None:
    checked = check_kamailio()
    assert checked.returncode != 0
    assert "SIP_PASSWORD" in checked.stderr


async def test_kamailio_comes_up(kamailio: Kamailio) -> None:
    assert kamailio.process.returncode is None


async def test_rtpengine_comes_up(tmp_path: Path) -> None:
    async with Rtpengine(tmp_path) as relay:
        assert await relay.calls() == 0


async def test_coturn_tells_a_browser_its_address(tmp_path: Path) -> None:
    async with Coturn(tmp_path) as server:
        host, port, own_port = await server.reflexive_address()
        assert (host, port) == ("127.0.0.1", own_port)
