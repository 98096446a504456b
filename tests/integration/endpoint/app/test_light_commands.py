"""Commands that only ask an endpoint, or read settings, load no endpoint: that takes two seconds.

All run one after the other in one process, so the last one would show what any of them loaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from .conftest import Desk

pytestmark = pytest.mark.integration

HEAVY = {
    "aioice",
    "aiortc",
    "aiosqlite",
    "alembic",
    "av",
    "cryptography",
    "dns",
    "endpoint.agents.roster",
    "endpoint.app.doctor",
    "endpoint.app.wiring",
    "endpoint.callcontrol.controller",
    "endpoint.client.audio",
    "endpoint.legs.leg",
    "endpoint.media.plane",
    "endpoint.storage.database",
    "numpy",
    "prometheus_client",
    "signaling",
    "sounddevice",
    "sqlalchemy",
    "trustme",
    "uvloop",
}
COMMANDS = [
    ["--help"],
    ["dial", "--help"],
    ["config", "check"],
    ["config", "show"],
    ["token"],
    ["status"],
    ["calls", "list"],
    ["bans", "list"],
    ["webhooks", "list"],
    ["recordings", "list"],
    ["ivr", "status"],
    ["ivr", "schema"],
    ["plan", "list"],
    ["plan", "test", "6003", "--from", "6002"],
    ["dial", "6003", "--from", "6002", "--detach"],
    ["quality", "6002"],
    ["trace"],
    ["hold", "6002"],
    ["hang-up", "6002"],
]
SCRIPT = """
import json, sys
from endpoint.app.cli import app
told = []
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as error:
        told.append([words, error.code, sorted(set(json.loads(sys.argv[2])) & set(sys.modules))])
print(json.dumps(told))
"""


async def test_a_command_that_asks_loads_no_endpoint(desk: Desk, state_directory: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if "AGENT_ENDPOINT" not in name},
        "AGENT_ENDPOINT_STATE__DIRECTORY": str(state_directory),
        "XDG_CONFIG_HOME": str(state_directory),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, json.dumps(COMMANDS), json.dumps(sorted(HEAVY))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (out.decode(), err.decode())
    told = json.loads(out.splitlines()[-1])
    loaded = {module for _, _, modules in told for module in modules}
    assert not loaded, "import what needs these in the function that uses it"
    assert told == [[words, 0, []] for words in COMMANDS], (out.decode(), err.decode())
