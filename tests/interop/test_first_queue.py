"""docs/first-queue.md as a newcomer does it: each command, in its order, with baresip for phone."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.process import free_port

pytestmark = [pytest.mark.interop, pytest.mark.soak]

PAGE = Path(__file__).parents[2] / "docs/first-queue.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE_S = 120.0
CUSTOMER_HZ = 1010


@dataclass(frozen=True)
class Newcomer:
    """Who types, in a shell of its own."""

    directory: Path
    environment: dict[str, str]

    async def types(self, block: str) -> str:
        """What a block prints; it must come to its end."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-e", "-c", block, cwd=self.directory, env=self.environment,
            stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


def steps() -> Iterator[tuple[str, list[str]]]:
    """Each block of commands, and the lines that are said to be printed."""
    commands = ""
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            if commands:
                yield commands, []
            commands = text
        else:
            yield commands, text.splitlines()
            commands = ""
    if commands:
        yield commands, []


def prints(output: str, line: str) -> bool:
    """Whether a line is there; `…` is anything."""
    pattern = ".*".join(map(re.escape, line.split("…")))
    return any(re.fullmatch(pattern, each.rstrip()) for each in output.splitlines())


async def test_the_page_leads_from_nothing_to_a_call_that_rings(tmp_path: Path) -> None:
    sip_port = free_port()
    program = tmp_path / "bin/agent-endpoint"
    program.parent.mkdir()
    run = shlex.quote(sys.executable) + " -c 'from endpoint.app.cli import main; main()'"
    program.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    program.chmod(0o755)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    newcomer = Newcomer(
        tmp_path,
        {
            **inherited,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PAGE.parents[1]),
            "COLUMNS": "200",
            "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
            "AGENT_ENDPOINT_STATE__DIRECTORY": str(tmp_path / "state"),
            "AGENT_ENDPOINT_HTTP__PORT": str(free_port()),
            "AGENT_ENDPOINT_HTTP__PLAIN_PORT": str(free_port()),
            "AGENT_ENDPOINT_SIP__PORT": str(sip_port),
            "AGENT_ENDPOINT_SIP__TLS_PORT": str(free_port()),
        },
    )
    served: asyncio.subprocess.Process | None = None
    phone: Baresip | None = None
    password = ""
    try:
        for commands, expected in steps():
            if commands.startswith("agent-endpoint serve"):
                served = await asyncio.create_subprocess_exec(
                    program, "serve", cwd=newcomer.directory, env=newcomer.environment, stdout=PIPE
                )
                assert served.stdout is not None
                async with asyncio.timeout(PATIENCE_S):
                    while b"page and REST" not in await served.stdout.readline():
                        pass
                continue
            if "1002 6002" in commands:
                phone = Baresip(
                    tmp_path / "phone", "6002", f"127.0.0.1:{sip_port}", password=password
                )
                await phone.__aenter__()
            if phone is not None and commands.startswith("agent-endpoint dial"):
                dialling = asyncio.ensure_future(newcomer.types(commands))  # noqa: TID251 - awaited below
                rang = await phone.ringing()
                assert "7001" in str(rang)
                await phone.accept()
                await phone.established()
                await hear({phone: {CUSTOMER_HZ}})
                await phone.hang_up()
                output = await dialling
            else:
                output = await newcomer.types(commands)
            newcomer = Newcomer(inside(tmp_path), newcomer.environment)
            if "extension add" in commands:
                password = output.partition("password ")[2].split()[0]
            for line in expected:
                assert prints(output, line), (line, output)
    finally:
        if phone is not None:
            await phone.__aexit__()
        if served is not None:
            served.send_signal(signal.SIGTERM)
            await served.communicate()
    assert phone is not None


def inside(directory: Path) -> Path:
    """Where the first block has gone."""
    return directory / "first-queue"
