"""Chromium, driven by its DevTools protocol: a process, and its tabs, each a page of its own."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import aiohttp

from .chromium import HEADLESS
from .feed import PeerError
from .process import Process, require

START_TIMEOUT_S = 20.0
UNTIL = """
window.until = async (predicate, ms) => {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (predicate()) return true;
    await new Promise(soon => setTimeout(soon, 20));
  }
  return false;
};
"""
"""What `Tab.until` waits with; it is prepared in every page."""
_PROMPTED = "DevTools listening on ws://"
_IN_FRONT = (
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
"""No tab is slower for not being the one that is looked at."""


class Browser:
    """`async with Browser(...) as browser`: Chromium runs, with no page of ours yet.

    Args:
        directory: for its log.
        arguments: more of its command line.
    """

    def __init__(self, directory: Path, arguments: Sequence[str] = ()) -> None:
        self.directory = directory
        self._arguments = arguments
        self._http: aiohttp.ClientSession
        self._host = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        program = require("chromium", "chromium")
        self.directory.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            profile = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
            arguments = [
                *HEADLESS,
                *_IN_FRONT,
                *self._arguments,
                "--remote-debugging-port=0",
                "--window-size=1280,800",
                f"--user-data-dir={profile}",
                "about:blank",
            ]
            process = await stack.enter_async_context(
                Process([program, *arguments], directory=self.directory, name="chromium")
            )
            line = await process.lines.next(
                lambda said: _PROMPTED in said, "address", timeout_s=START_TIMEOUT_S
            )
            self._host = line.partition(_PROMPTED)[2].partition("/")[0]
            self._http = await stack.enter_async_context(aiohttp.ClientSession())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a tab, and what drives it."""
        async with self._http.put(f"http://{self._host}/json/new?about:blank") as answer:
            place = await answer.json()
        async with self._http.ws_connect(place["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield socket


class Tab:
    """`async with Tab(browser, url) as tab`: it shows that page.

    Args:
        browser: whose tab it is.
        url: of the page.
        prepared: a script that runs in each of its pages before theirs.
    """

    def __init__(self, browser: Browser, url: str, prepared: str = "") -> None:
        self._browser = browser
        self._url = url
        self._prepared = prepared
        self._ids = itertools.count(1)
        self._socket: aiohttp.ClientWebSocketResponse
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._socket = await stack.enter_async_context(self._browser.socket())
            await self._command("Page.enable")
            await self._command(
                "Page.addScriptToEvaluateOnNewDocument", source=UNTIL + self._prepared
            )
            await self._command("Page.navigate", url=self._url)
            await self.loaded()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def loaded(self) -> None:
        """Wait until the page is what its user would call loaded."""
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def reload(self) -> None:
        """Load the page anew, as F5 does."""
        await self.run("window.isOld = true")
        await self._command("Page.reload")
        await self.until("!window.isOld")
        await self.loaded()

    async def text(self, selector: str) -> str:
        """Return what is written there."""
        return str(await self.run(f"document.querySelector('{selector}').textContent"))

    async def shows(self, selector: str, text: str) -> None:
        """Wait until something that a selector finds has this text in it."""
        await self.until(
            f"[...document.querySelectorAll('{selector}')]"
            f".some(one => one.textContent.includes('{text}'))"
        )

    async def screenshot(self, path: Path, width: int = 1280, height: int = 800) -> None:
        """Write a picture of the page as PNG, as a window of that size shows it."""
        await self._command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        taken = await self._command("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))

    async def until(self, predicate: str, *, timeout_s: float = 15.0) -> None:
        """Wait until an expression is true in the page, which may be loading meanwhile.

        Raises:
            PeerError: it was not in time; the text holds what the page shows.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.run(
                    f"window.until ? until(() => {predicate}, 1000)"
                    ": new Promise(soon => setTimeout(soon, 20))"
                ):
                    pass
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise PeerError(f"the page never was so: {predicate}\n{shown}") from None

    async def run(self, script: str) -> Any:
        """Return what an expression, or its promise, comes to; None where the page went away.

        Raises:
            PeerError: it threw.
        """
        answer = await self._command(
            "Runtime.evaluate",
            may_fail=True,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise PeerError(f"the page threw: {answer['exceptionDetails']}")
        return answer.get("result", {}).get("value")

    async def _command(
        self, method: str, *, may_fail: bool = False, **arguments: object
    ) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_str(
            json.dumps({"id": number, "method": method, "params": arguments})
        )
        async for message in self._socket:
            told = json.loads(message.data)
            if told.get("id") == number:
                if "error" in told and not may_fail:
                    raise PeerError(f"{method}: {told['error']['message']}")
                return dict(told.get("result", {}))
        raise PeerError(f"Chromium is gone, see {self._browser.directory}")
