"""docs/first-queue.md as a newcomer does it: each command, in its order, with baresip for phone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .newcomer import REPOSITORY, newcomer, prints, steps
from .peers.baresip import Baresip
from .peers.hearing import hear

pytestmark = [pytest.mark.interop, pytest.mark.soak]

CUSTOMER_HZ = 1010


async def test_the_page_leads_from_nothing_to_a_call_that_rings(tmp_path: Path) -> None:
    phone: Baresip | None = None
    password = ""
    async with newcomer(tmp_path) as typing:
        server = f"127.0.0.1:{typing.environment['AGENT_ENDPOINT_SIP__PORT']}"
        try:
            for commands, expected in steps(REPOSITORY / "docs/first-queue.md"):
                if "1002 6002" in commands:
                    phone = Baresip(tmp_path / "phone", "6002", server, password=password)
                    await phone.__aenter__()
                if phone is not None and commands.startswith("agent-endpoint dial"):
                    dialling = asyncio.ensure_future(typing.types(commands))  # noqa: TID251 - awaited below
                    rang = await phone.ringing()
                    assert "7001" in str(rang)
                    await phone.accept()
                    await phone.established()
                    await hear({phone: {CUSTOMER_HZ}})
                    await phone.hang_up()
                    output = await dialling
                else:
                    output = await typing.types(commands)
                if "extension add" in commands:
                    password = output.partition("password ")[2].split()[0]
                for line in expected:
                    assert prints(output, line), (line, output)
        finally:
            if phone is not None:
                await phone.__aexit__()
    assert phone is not None
