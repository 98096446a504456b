"""A page of a CRM in Chromium, with the vendor's own scripts in it, and what its host is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.interop.peers.tab import Browser, Tab
from tests.softphone import JsError, SoftPhone
from tests.unit.test_softphone import Wire, callbacks

ORIGIN = "http://crm.localhost"
PATIENCE_S = 60.0
_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("SPCommand.js", "WSSoftPhone.js")
_HTML = "<!doctype html><meta charset=utf-8><title>CRM</title>"


def scripts_of(named: str) -> dict[str, str]:
    """The scripts by their names, from directories and files; changed only to be plain scripts.

    Raises FileNotFoundError where one of them is in none.
    """
    places = [Path(one).expanduser() for one in named.split()]
    files = [
        file for place in places for file in (place.rglob("*.js") if place.is_dir() else [place])
    ]
    found = {file.name: file for file in files if file.name in _SCRIPTS}
    for name in _SCRIPTS:
        if name not in found:
            raise FileNotFoundError(f"{name} is not in {named}")
    return {name: as_plain_script(found[name].read_text()) for name in _SCRIPTS}


def as_plain_script(module: str) -> str:
    """A module's text without its imports and exports: what it declares is global then."""
    without = re.sub(r"^import\b[^;'\"]*['\"][^'\"]+['\"];?", "", module, flags=re.M)
    without = re.sub(r"^export\s+default\s+\w+;?\s*$", "", without, flags=re.M)
    without = re.sub(r"^export\s*\{[^}]*\};?", "", without, flags=re.M)
    return re.sub(r"^export\s+(?=var|let|const|function|class)", "", without, flags=re.M)


@dataclass(frozen=True)
class Crm:
    """Where the pages come from, and the browser that shows them."""

    browser: Browser

    @asynccontextmanager
    async def page(self, confirms: bool | None = None, **attrs: Any) -> AsyncIterator[VendorPhone]:
        """`new WSSoftPhone(attrs, …)` in a tab, and `connectServer()`."""
        async with Tab(self.browser, f"{ORIGIN}/") as tab:
            phone = VendorPhone(tab, attrs, confirms)
            await phone.begin()
            yield phone

    @asynccontextmanager
    async def idle(
        self, agent: str, ins: str, uri: str, **attrs: Any
    ) -> AsyncIterator[VendorPhone]:
        """One whose agent is logged on."""
        async with self.page(agentId=agent, ins=ins, serverUri=uri, **attrs) as phone:
            await phone.until("onNotifySettings")
            await phone.press(1)
            assert await phone.until("onLogonSucc") == ins
            await phone.shows(3)
            yield phone


@asynccontextmanager
async def crm_of(directory: Path) -> AsyncIterator[Crm]:
    """Its pages are served, and Chromium is there to show them."""
    given = scripts_of(os.environ["VENDOR_SCRIPT"])

    async def own(request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE / request.path.lstrip("/"))

    async def theirs(request: web.Request) -> web.Response:
        text = given[request.path.lstrip("/")]
        return web.Response(text=text, content_type="text/javascript")

    async def index(_: web.Request) -> web.Response:
        names = ("before.js", *_SCRIPTS, "after.js")
        scripts = "".join(f"<script src=/{name}></script>" for name in names)
        return web.Response(text=_HTML + scripts, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", index)])
    app.add_routes([web.get(f"/{name}", own) for name in ("before.js", "after.js")])
    app.add_routes([web.get(f"/{name}", theirs) for name in _SCRIPTS])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        host = ORIGIN.removeprefix("http://")
        rules = f"--host-resolver-rules=MAP {host}:80 127.0.0.1:{port}"
        async with Browser(directory, [rules]) as browser:
            yield Crm(browser)
    finally:
        await runner.cleanup()


@dataclass
class VendorPhone:
    """The script's object is `phone` in the page; what its host is told is read in order."""

    tab: Tab
    attrs: dict[str, Any]
    confirms: bool | None
    events: list[dict[str, Any]] = field(default_factory=list)
    """As `onEvent` has them."""
    heard: list[tuple[str, Any]] = field(default_factory=list)
    """Callbacks of the host, in their order."""
    _read: int = 0

    async def begin(self) -> None:
        """Make the soft phone, and connect."""
        await self.tab.until("window.begin !== undefined")
        attrs, confirms = json.dumps(self.attrs), json.dumps(self.confirms)
        await self.tab.run(f"begin({attrs}, {confirms})")

    async def anew(self) -> None:
        """Load the page anew; it has kept its `delegatorId`, as the manual asks."""
        kept = await self.get("delegatorId")
        await self.tab.reload()
        self.attrs |= {"delegatorId": kept}
        await self.begin()

    async def get(self, attribute: str) -> Any:
        """One of the object's attributes."""
        return await self.tab.run(f"phone.{attribute}")

    async def call(self, method: str, *given: Any) -> Any:
        """One of the script's functions."""
        arguments = ", ".join(json.dumps(each) for each in given)
        return await self.tab.run(f"phone.{method}({arguments})")

    async def press(self, button: int) -> None:
        """A button, which must be one that can be pressed."""
        buttons = await self.buttons()
        assert button in buttons, f"{button} is not among {buttons}"
        await self.call("callSPFunction", button)

    async def buttons(self) -> list[int]:
        """Those that can be pressed."""
        return [int(each) for each in await self.tab.run("enabled()")]

    async def until(self, name: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next callback of that name; those before it are read past.

        Raises JsError where the script has thrown.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    while self._read < len(self.heard):
                        found, value = self.heard[self._read]
                        self._read += 1
                        if found == "error":
                            raise JsError(value)
                        if found == name and fits(value):
                            return value
                    await self._pull()
        except TimeoutError:
            lately = "\n".join(f"{each} {value}" for each, value in self.heard[-20:])
            raise AssertionError(f"no {name} came to {self.attrs['agentId']}:\n{lately}") from None

    async def _pull(self) -> None:
        for name, values in await self.tab.run("pull(1000)") or []:
            if name == "onEvent":
                self.events.append(values[0])
            self.heard.append((name, values[0] if len(values) == 1 else tuple(values)))

    async def shows(self, state: int) -> None:
        """Until its page shows that state, from what was not read yet."""
        await self.until("onStateChange", lambda found: found == str(state))

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        found: dict[str, Any] = await self.until("onEvent", lambda each: each["event"] == name)
        return found

    async def tip(self, text: str) -> None:
        """Until its user reads that."""
        await self.until("onShowTip", lambda found: text in found)

    def told(self, *among: str) -> list[str]:
        """The callbacks of those names so far, in their order."""
        return [name for name, _ in self.heard if name in among]

    async def reads_as_ours(self) -> None:
        """All frames so far, read by the soft phone of the tests: the same callbacks, in order."""
        await self._pull()
        phone = SoftPhone(Wire(), self.attrs["agentId"], self.attrs["ins"])  # type: ignore[arg-type]
        for name, text in self.heard:
            if name == "frame":
                await phone.take(text)
        listed = [
            (name, value if isinstance(value, tuple) else (value,)) for name, value in self.heard
        ]
        own = [(name, list(values)) for name, values in listed if name not in _NOT_BY_FRAMES]
        assert callbacks(as_heard(own)) == callbacks(phone.heard)


_NOT_BY_FRAMES = ("frame", "onWSOpen", "onWSClose", "onPrepareCallOutSucc")


def as_heard(noted: list[tuple[str, list[Any]]]) -> list[tuple[str, Any]]:
    """What the page noted, as the soft phone of the tests has it."""
    found: list[tuple[str, Any]] = []
    value: Any
    for name, values in noted:
        value = values[0] if len(values) == 1 else tuple(values) or None
        if name == "onEvent":
            value = values[0]["event"]
        elif name == "onStateChange":
            value = None if value is None else int(value)
        found.append(("tip" if name == "onShowTip" else name, value))
    return found
