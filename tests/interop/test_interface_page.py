"""The document of the native interface, `/interface`, as Chromium draws it under our own policy."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from endpoint.gateways.native.asyncapi import asyncapi
from endpoint.gateways.native.openapi import openapi
from endpoint.gateways.native.operations import OPERATIONS

from .desk import Desk
from .peers.chromium import HEADLESS
from .peers.process import require

pytestmark = pytest.mark.interop

PATIENCE_S = 60.0


class Drawn(HTMLParser):
    """What a page shows: texts of elements, each below the nearest id; and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[tuple[str, str], list[str]] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if href := told.get("href"):
            self.links.append(href)
        place = told.get("id") or (self._open[-1][1] if self._open else "")
        if given := told.get("id"):
            self.ids.append(given)
        if tag not in ("meta", "link"):
            self._open.append((tag, place))
            self.texts.setdefault((place, tag), []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, text: str) -> None:
        for tag, place in self._open:
            self.texts[place, tag][-1] += text


async def opened(address: str) -> tuple[Drawn, str]:
    """The page once it is drawn, and what Chromium has to say about it."""
    program = require("chromium", "chromium")
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *HEADLESS,
            "--ignore-certificate-errors",
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--log-level=0",  # the page's console, where a policy says what it has refused
            "--virtual-time-budget=20000",
            "--dump-dom",
            address,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                page, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    drawn = Drawn()
    drawn.feed(page.decode())
    console = [line for line in said.decode().splitlines() if "CONSOLE" in line]
    return drawn, "\n".join(console)


async def test_the_interface_is_drawn_whole(tmp_path: Path) -> None:
    """Each operation, what webhooks and WebSockets are told, each message; every link leads."""
    async with Desk(tmp_path / "state") as desk:
        page, console = await opened(f"{desk.endpoint.url}interface")
    assert console == ""
    shown = page.texts["operations", "summary"]
    expected = [f"{each.method} {each.path}" for each in OPERATIONS.values()]
    assert len(shown) == len(expected)
    for each in expected:
        assert any(text.startswith(f"{each} ") for text in shown), each
    events = " ".join(page.texts["events", "summary"])
    for channel in asyncapi("")["channels"].values():
        assert channel["address"] in events
    assert "POST" in " ".join(page.texts["webhooks", "summary"])
    messages = {*openapi("")["components"]["schemas"], *asyncapi("")["components"]["schemas"]}
    assert messages <= {*page.ids}
    tags = {each.tag for each in OPERATIONS.values()}
    contents = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert {f"about-{tag}" for tag in tags} <= contents
    assert contents <= {*page.ids}
    whole = " ".join(text for texts in page.texts.values() for text in texts)
    assert "undefined" not in whole
    assert "[object Object]" not in whole
