"""What is asked by the OpenAPI document, and against it, by a program that we did not write."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from .test_serve import line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]

TOKEN = "schemathesis-4WqZx9-0123"
SETTINGS = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = "import schemathesis.cli; schemathesis.cli.schemathesis()"
NOT_HTTP = (
    *("--exclude-path-regex", "/events$"),  # WebSockets
    # It makes no bodies of application/trickle-ice-sdpfrag.
    *("--exclude-operation-id", "patch_devices_device_media_media"),
)


async def asked(surroundings: dict[str, str], directory: Path, *options: str) -> tuple[int, str]:
    """How many cases were tried, and what it says where one failed."""
    surroundings |= {
        "AGENT_ENDPOINT_HTTP__TOKEN": TOKEN,
        # It shows wrong tokens to each operation.
        "AGENT_ENDPOINT_HTTP__WRONG_TOKENS_PER_MINUTE": "1000000",
        "AGENT_ENDPOINT_MEDIA__WEBRTC_READY": "false",
    }
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        url = f"{ready['plain']}/api/v1/openapi.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCHEMATHESIS),
            *("--config-file", SETTINGS, "run", url, "--checks", "all", "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
            # A password costs time, and more on a machine that is busy.
            *("--request-timeout", "60"),
            *NOT_HTTP,
            *options,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=directory,
            env=surroundings,
        )
        said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said[-20_000:]
    found = re.search(r"(\d+) generated", said)
    assert found is not None, said
    return int(found[1]), said


async def test_s22_every_operation_keeps_to_its_document(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    """No 5xx, no other status, no other body than it says; nothing without a token."""
    count, said = await asked(
        surroundings, tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--seed", "8"
    )
    assert count >= 90, said


@pytest.mark.soak
async def test_s22_two_thousand_cases(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Boundaries of each field, and requests that follow from the answers of others, too."""
    count, said = await asked(surroundings, tmp_path, "--max-examples", "20", "--seed", "8")
    assert count >= 2000, said
