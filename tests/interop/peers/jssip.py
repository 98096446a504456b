"""JsSIP in node: the SIP stack that browsers run, over WebSocket; its media is a `ToneParty`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from .driven import DrivenJsSip, Event
from .feed import PeerError
from .process import Process, require
from .tone_party import ToneParty

PACKAGE = Path(__file__).parents[1] / "jssip"


def require_package() -> None:
    """Fail where what tests/interop/jssip needs from npm is missing."""
    if not (PACKAGE / "node_modules").is_dir():
        pytest.fail("tests/interop/jssip has no node_modules: run make peers")


async def bundle(directory: Path, *names: str, arguments: Sequence[str] = ()) -> Path:
    """Make of each script of the page one file without `require`; return where they are."""
    require_package()
    made = directory / "bundled"
    async with Process(
        [
            PACKAGE / "node_modules" / ".bin" / "esbuild",
            *(PACKAGE / "page" / name for name in names),
            "--bundle",
            f"--outdir={made}",
            *arguments,
        ],
        directory=directory,
        name="esbuild",
    ) as bundler:
        if await bundler.wait() != 0:
            raise PeerError(f"the page can't be bundled\n{bundler.log.read_text()}")
    return made


class JsSip(DrivenJsSip):
    """`async with JsSip(...) as phone`: registered on entry unless told otherwise.

    Args:
        directory: for its log.
        user: user part of its address.
        url: `wss://host:port/path`.
        domain: host part of its address.
        password: for the server's digest.
        ca_file: whom to trust on WSS.
        tone_hz: what its tone party says.
        origin: the page it claims to come from.
    """

    def __init__(
        self,
        directory: Path,
        user: str,
        url: str,
        *,
        domain: str,
        password: str,
        ca_file: Path | None = None,
        tone_hz: int = 1130,
        register: bool = True,
        origin: str | None = None,
    ) -> None:
        super().__init__(user, domain)
        self.party = ToneParty(tone_hz)
        self._directory = directory
        self._register = register
        self._settings = {
            "url": url,
            "uri": f"sip:{user}@{domain}",
            "password": password,
            "ca": None if ca_file is None else str(ca_file),
            "origin": origin,
            "media": {"host": self.party.host, "port": self.party.port},
        }
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("node", "nodejs")
        require_package()
        self._directory.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.party)
            self.process = Process(
                [program, PACKAGE / "peer.js", json.dumps(self._settings)],
                directory=self._directory,
                name=f"jssip-{self.user}",
                on_line=lambda line: self._said(line) if line.startswith("{") else None,
            )
            await stack.enter_async_context(self.process)
            await self.event("ready")
            await self.command("start")
            if self._register:
                await self.event("connected")
                await self.register()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send_digits(self, digits: str) -> None:
        """Send DTMF as INFO, JsSIP's default."""
        await self.command("dtmf", digits=digits, transport="INFO")

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms` that its party receives."""
        return await self.party.heard(ms=ms)

    async def _write(self, text: str) -> None:
        self.process.write(text)

    def _told(self, event: Event) -> None:
        if event["event"] == "remote_sdp":
            self.party.follow(event["sdp"])
        super()._told(event)
