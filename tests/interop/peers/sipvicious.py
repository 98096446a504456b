"""sipvicious: the tools that strangers try first, svmap, svwar and svcrack."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .feed import PeerError
from .process import Process, free_port, require

PATIENCE_S = 60.0


async def run(
    directory: Path, tool: str, server: str, *arguments: str, source: str, patience_s: float = 60.0
) -> Sequence[str]:
    """Run a tool to its end from a source address; return what it said, line by line.

    Raises:
        PeerError: it did not end, or broke.
    """
    host, _, port = server.rpartition(":")
    beside = Path(sys.executable).parent / f"sipvicious_{tool}"
    program = beside if beside.exists() else require(f"sipvicious_{tool}", "sipvicious")
    # A port of its own: by default all of them take 5060, and what is left there for another.
    here = ("-b", source, "-x", source, "-P", str(free_port()))
    command = [program, "-p", port, *here, *arguments, host]
    said: list[str] = []
    async with Process(command, directory=directory, name=tool, on_line=said.append) as process:
        await process.wait(timeout_s=patience_s)
    if any("Traceback" in line for line in said):
        raise PeerError("\n".join([f"{tool} broke", *said]))
    return said
