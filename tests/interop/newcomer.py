"""A page of the documents as a newcomer does it: each of its commands, in its order.

Blocks that begin with ```` ```sh ```` are typed; a block ```` ```text ```` behind one is what it
prints, where `…` is anything, and other lines may be between.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from .peers.process import free_port

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SERVES = re.compile(r"^(agent-endpoint serve[^&\n]*).*\n", re.MULTILINE)
PATIENCE_S = 120.0


class Newcomer:
    """Who types, in a shell of its own, at ports of its own. Opened by `newcomer`."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        """Where it is: a block may go elsewhere."""
        self.environment = dict(environment)
        self.said = ""
        """What the endpoints that it has started say of themselves."""
        self._served: list[Process] = []

    async def types(self, block: str) -> str:
        """What a block prints; it must come to its end. What it serves goes on."""
        printed = ""
        for number, part in enumerate(SERVES.split(block)):
            if number % 2:  # what SERVES has found stands between the others
                await self._serve(shlex.split(part))
            else:
                printed += await self._types(part)
        return printed

    async def _types(self, block: str) -> str:
        if not block.strip():
            return ""
        place = self.directory / ".place"
        process = await asyncio.create_subprocess_exec(
            "bash", "-e", "-c", f"{block}\npwd > {shlex.quote(str(place))}",
            cwd=self.directory, env=self.environment, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        self.directory = Path(place.read_text().strip())
        return output.decode()

    async def _serve(self, command: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.directory, env=self.environment, stdout=PIPE
        )
        self._served.append(process)
        assert process.stdout is not None
        line = b""
        async with asyncio.timeout(PATIENCE_S):
            while b"local CA" not in line:
                line = await process.stdout.readline()
                assert line, self.said
                self.said += line.decode()

    async def stop(self) -> None:
        """End what it serves."""
        for process in self._served:
            process.send_signal(signal.SIGTERM)
        for process in self._served:
            await process.communicate()


@asynccontextmanager
async def newcomer(directory: Path, **settings: str) -> AsyncIterator[Newcomer]:
    """In a new directory, where `docs` is; `settings` go over those of files."""
    program = directory / "bin/agent-endpoint"
    program.parent.mkdir()
    run = shlex.quote(sys.executable) + " -m endpoint"
    program.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    program.chmod(0o755)
    (directory / "docs").symlink_to(REPOSITORY / "docs")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    typing = Newcomer(
        directory,
        {
            **inherited,
            "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "200",
            "XDG_CONFIG_HOME": str(directory / "xdg"),
            "XDG_STATE_HOME": str(directory / "state"),
            "AGENT_ENDPOINT_HTTP__PORT": str(free_port()),
            "AGENT_ENDPOINT_HTTP__PLAIN_PORT": str(free_port()),
            "AGENT_ENDPOINT_SIP__PORT": str(free_port()),
            "AGENT_ENDPOINT_SIP__TLS_PORT": str(free_port()),
            **settings,
        },
    )
    try:
        yield typing
    finally:
        await typing.stop()


def steps(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each block of commands, and the lines that are said to be printed."""
    commands = ""
    for kind, text in BLOCK.findall(page.read_text()):
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
    pattern = ".*".join(map(re.escape, line.rstrip().split("…")))
    return any(re.fullmatch(pattern, each.rstrip()) for each in output.splitlines())
