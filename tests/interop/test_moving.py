"""docs/moving.md and docs/reference/basiccall.md: each command of theirs, in its order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.softphone import soft_phone

from .newcomer import REPOSITORY, Newcomer, newcomer, prints, steps
from .peers.process import free_port

pytestmark = pytest.mark.interop

_EXAMPLE = re.compile(r"^(python \S*softphone\.py [0-9 ]+)$", re.MULTILINE)


async def does(typing: Newcomer, commands: str, expected: list[str]) -> None:
    """Type a block, at the ports that are free, and see what is said to come of it."""
    port, plain = (
        typing.environment[f"AGENT_ENDPOINT_{name}_PORT"] for name in ("BASICCALL_", "HTTP__PLAIN")
    )
    ours = commands.replace(":8887", f":{port}").replace(":8080", f":{plain}")
    output = await typing.types(_EXAMPLE.sub(rf"\1 ws://127.0.0.1:{port}/", ours))
    for line in expected:
        assert prints(output, line), (line, output)


@pytest.mark.soak
async def test_what_stood_in_basiccalls_database_is_set_up_here(tmp_path: Path) -> None:
    port = free_port()
    async with newcomer(tmp_path, AGENT_ENDPOINT_BASICCALL__PORT=str(port)) as typing:
        for commands, expected in steps(REPOSITORY / "docs/moving.md"):
            await does(typing, commands, expected)
        assert f"wss://localhost:{port}/" in typing.said
        assert "warning" not in typing.said


async def test_the_reference_is_followed(tmp_path: Path) -> None:
    """Another page has its command done while the soft phone's page is there."""
    page, port = REPOSITORY / "docs/reference/basiccall.md", free_port()
    async with newcomer(tmp_path, AGENT_ENDPOINT_BASICCALL__PORT=str(port)) as typing:
        for commands, expected in steps(page):
            if "$DELEGATOR_ID" not in commands:
                await does(typing, commands, expected)
                continue
            async with soft_phone(f"ws://127.0.0.1:{port}/", "888", "6002") as phone:
                await phone.until("onInited")
                await phone.logon()
                await phone.shows(3)
                typing.environment |= {
                    "TOKEN": (await typing.types("agent-endpoint token")).strip(),
                    "DELEGATOR_ID": phone.delegator_id,
                }
                await does(typing, commands, expected)
                await phone.shows(6)
        for command in re.findall(r"`(openssl [^`]+)`", page.read_text()):
            assert "KEY" in await typing.types(f"{command} && cat key.pem")
