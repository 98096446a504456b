"""dnsmasq: a real DNS server on loopback, that knows one zone and asks nobody."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from .process import Process, free_port, require


class Dnsmasq:
    """`async with Dnsmasq(directory, records)`: answers on `address`.

    Args:
        directory: for its log.
        records: its configuration lines, as `srv-host=_sip._tcp.example.com,a.example.com,5060`.
    """

    def __init__(self, directory: Path, records: Sequence[str]) -> None:
        self._directory = directory
        self._records = records
        self.port = free_port()
        self._stack = AsyncExitStack()
        self.process: Process

    @property
    def address(self) -> str:
        """`host:port`, over UDP and TCP."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        program = require("dnsmasq", "dnsmasq-base")
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "dnsmasq.conf"
        config.write_text("".join(f"{record}\n" for record in self._records))
        arguments: list[str | Path] = [program, "--keep-in-foreground", "--log-facility=-"]
        arguments += ["--log-queries", f"--conf-file={config}", "--no-resolv", "--no-hosts"]
        arguments += [f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces"]
        arguments += ["--pid-file="]
        if os.geteuid() == 0:
            arguments += ["--user=root"]  # else it becomes one that may not read our directory
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(arguments, directory=self._directory, name="dnsmasq")
            )
            await self.process.listening(self.port)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
