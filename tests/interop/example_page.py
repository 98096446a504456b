"""docs/examples/wssoftphone: its two endpoints, its page in Chromium, and a day of its agents."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from endpoint.app import certificates
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import GenerateDigits
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import directorymessages as directory
from endpoint.legs.base import DeviceId
from tests.integration.endpoint.app.basiccall.floor import Floor, dials
from tests.integration.endpoint.app.basiccall.office import PASSWORD_HASH, Office

from .peers.process import free_port
from .peers.tab import Browser, Tab

EXAMPLE = Path(__file__).parents[2] / "docs/examples/wssoftphone"
PATIENCE_S = 60.0
AGENTS = [
    directory.Agent(
        "1001", "Anna", "sales", skills=[directory.SkillLevel("1001", 5)], wrap_up_s=20
    ),
    directory.Agent("1002", "Bert", "sales"),
    directory.Agent("1003", "Carl", role="monitor", supervises=["sales"]),
]
TALK = {"a1": "c1", "c1": "a1"}


def _config(name: str, place: Path, origin: str, own: int, other: int) -> Config:
    """One of the example's, at free ports, with its state elsewhere."""
    written: dict[str, Any] = tomllib.loads((EXAMPLE / f"{name}.toml").read_text())
    written["http"] |= {"port": 0, "plain_port": 0, "origins": [origin]}
    written["sip"] = written.get("sip", {}) | {"port": own, "tcp": False, "tls": False}
    written["media"] = written.get("media", {}) | {"webrtc_ready": False}
    written["state"] = {"directory": place / name}
    (trunk,) = written["trunk"]
    trunk["peers"] = [f"sip:127.0.0.1:{other}"]
    if "basiccall" in written:
        written["basiccall"]["port"] = 0
    for ivr in written.get("ivr", []):
        if ivr["flow"].endswith(".toml"):
            ivr["flow"] = str(EXAMPLE / ivr["flow"])
        if "directory" in ivr:
            ivr["directory"] = place
    return Config.model_validate(written)


@asynccontextmanager
async def _pages(beside: Mapping[str, str]) -> AsyncIterator[str]:
    """Serve the example as its README says, with these scripts beside it; yield its origin."""

    async def file(request: web.Request) -> web.StreamResponse:
        name = request.path.lstrip("/") or "index.html"
        if name in beside:
            return web.Response(text=beside[name], content_type="text/javascript")
        if not (EXAMPLE / name).is_file():
            raise web.HTTPNotFound
        return web.FileResponse(EXAMPLE / name)

    app = web.Application()
    app.add_routes([web.get("/{name:.*}", file)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Page:
    """An agent's, as its user has it: buttons, a state, what is asked."""

    tab: Tab
    floor: Floor

    async def until(self, predicate: str) -> None:
        await self.tab.until(predicate, timeout_s=PATIENCE_S)

    async def connect(self) -> None:
        await self.tab.run("document.getElementById('connect').click()")
        await self.press(1)
        await self.shows(3)

    async def press(self, button: int) -> None:
        """As soon as it can be."""
        found = f"document.querySelector('#groups button[data-id=\"{button}\"]')"
        await self.until(f"!{found}.disabled")
        await self.tab.run(f"{found}.click()")

    async def choose(self, row: str, act: str) -> None:
        """What is asked, by the row and what is on its button; no row: below."""
        place = "#ask-rows li" if row else "#ask-acts"
        found = (
            f"[...document.querySelectorAll('{place}')]"
            f".find(one => one.textContent.includes({json.dumps(row)}))"
            f"?.querySelectorAll('button')"
        )
        named = f"[...({found} ?? [])].find(one => one.textContent === {json.dumps(act)})"
        await self.until(f"document.getElementById('ask').open && Boolean({named})")
        await self.tab.run(f"{named}.click()")

    async def types(self, text: str) -> None:
        """Into what is asked."""
        await self.until("document.getElementById('ask').open")
        await self.tab.run(f"document.getElementById('ask-field').value = {json.dumps(text)}")

    async def shows(self, state: int) -> None:
        await self.until(f"document.getElementById('agent').dataset.state === '{state}'")

    async def buttons(self) -> set[int]:
        """Those that can be pressed."""
        enabled = "[...document.querySelectorAll('#groups button:enabled')]"
        return set(map(int, await self.tab.run(f"{enabled}.map(one => one.dataset.id)")))

    async def does(self, button: int, state: int, **rows: str) -> None:
        """Press one, and see who hears whom in the state that it brings."""

        async def act() -> None:
            await self.press(button)
            await self.shows(state)

        await self.floor.becomes(f"button {button}", act, **rows)


@asynccontextmanager
async def _office(config: Config, place: Path) -> AsyncIterator[Office]:
    """With the agents of the README."""
    (place / "passwords.toml").write_text(f'10086 = "{PASSWORD_HASH}"\n')
    async with Endpoint(config) as centre:
        trust = certificates.client_context(centre.certificate.authority)
        async with EndpointClient(centre.url, centre.token, ssl_context=trust) as client:
            skills = [directory.Skill("1001", "Orders")]
            brought = directory.DirectoryImport(agents=AGENTS, skills=skills)
            await client.bring_into_directory(brought)
            yield Office(centre, client, trust)


async def a_day_at_the_page(place: Path, script: str, beside: Mapping[str, str]) -> None:
    """Log on, calls of a customer, and each kind of thing that the page asks its user."""
    ours, theirs = free_port(), free_port()
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(_pages(beside))
        outside = _config("outside", place, origin, theirs, ours)
        carrier = await stack.enter_async_context(Endpoint(outside))
        centre = _config("centre", place, origin, ours, theirs)
        office = await stack.enter_async_context(_office(centre, place))
        floor = Floor(office, carrier)
        browser = await stack.enter_async_context(Browser(place / "chromium"))
        pages = []
        for agent, ins in (("1001", "6001"), ("1002", "6002"), ("1003", "6003")):
            address = f"{origin}/?agentId={agent}&ins={ins}&serverUri={office.url}/"
            tab = await stack.enter_async_context(Tab(browser, address))
            pages.append(Page(tab, floor))
            await pages[-1].until("document.body.dataset.ready === 'yes'")
            assert await tab.text("#script") == script
        await _works(floor, *pages)
        async with Tab(browser, address) as tab:
            await _takes_over(Page(tab, floor), pages[-1])


async def _works(floor: Floor, anna: Page, bert: Page, carl: Page) -> None:
    assert await anna.buttons() == set()
    for page in (anna, bert, carl):
        await page.connect()
    assert await anna.buttons() == {2, 3, 4, 33, 36, 37}
    assert await carl.buttons() == {2, 3, 4, 5, 33, 36, 37, 68}

    async def a_customer_waits() -> None:
        await anna.press(33)
        await anna.choose("", "Cancel")
        await anna.press(36)
        await anna.choose("outbound", "Choose")
        await dials(floor, "10086", "900")
        await anna.tab.shows("#queue", "10086")

    await floor.becomes("a customer waits", a_customer_waits, c1="moh")
    await anna.press(36)
    await anna.choose("ready", "Choose")
    await anna.shows(5)
    assert await anna.tab.text("#number") == "10086"
    await anna.tab.shows("#co-infos", "1001")
    assert await anna.buttons() == {42, 10}
    await anna.does(42, 6, **TALK)
    await anna.does(6, 7, c1="moh")
    assert await anna.buttons() == {11}
    await anna.does(11, 6, **TALK)

    async def consults() -> None:
        await anna.press(7)
        await anna.choose("Bert", "Consult")
        await bert.press(42)
        await anna.shows(11)

    await floor.becomes("a colleague is asked", consults, a1="a2", a2="a1", c1="moh")
    await anna.does(17, 21, a1="a2 c1", a2="a1 c1", c1="a1 a2")
    await anna.does(48, 19)
    await anna.does(31, 3)

    async def dials_outside() -> None:
        await anna.press(3)
        await anna.types("10086")
        await anna.choose("", "Dial")
        await anna.shows(6)

    await floor.becomes("a number is dialled", dials_outside, **TALK)
    await anna.press(9)
    await anna.choose("Password", "Transfer")
    await anna.shows(31)

    async def keys_in() -> None:
        await floor.carrier.controller.submit(GenerateDigits(DeviceId("10086"), "4711#"))
        await anna.shows(6)

    await floor.becomes("the customer is back", keys_in, **TALK)
    await anna.tab.run(
        "var data = document.getElementById('data'); data.elements.key.value = 'OrderID';"
        "data.elements.value.value = '4711'; data.requestSubmit()"
    )

    async def hands_over() -> None:
        await anna.press(9)
        await anna.choose("A colleague", "Choose…")
        await anna.choose("Bert", "Transfer")
        await bert.press(42)
        await bert.shows(6)

    await floor.becomes("it is handed over", hands_over, a2="c1", c1="a2")
    await bert.tab.shows("#co-infos", "4711")

    async def listens() -> None:
        await carl.press(5)
        await carl.choose("Bert", "Listen")
        await carl.shows(17)

    await floor.becomes("a supervisor listens", listens, a2="c1", c1="a2", a3="a2 c1")
    await carl.does(27, 18, a2="c1 a3", c1="a2 a3", a3="a2 c1")
    await carl.does(48, 3, a2="c1", c1="a2")
    await bert.tab.reload()
    await bert.shows(6)
    await bert.does(10, 3)
    await carl.press(37)
    await carl.types("lunch?")
    await carl.choose("Bert", "Send")
    await bert.tab.shows("#tip", "Carl: lunch?")
    await bert.press(33)
    await bert.choose("Meal", "Leave")
    await bert.shows(23)
    await carl.press(68)
    await carl.choose("Bert", "Log off")
    await bert.shows(1)
    assert await bert.buttons() == {1, 36}


async def _takes_over(second: Page, first: Page) -> None:
    """Another page of the same agent asks, takes over, and is back when its connection was lost."""
    await second.until("document.body.dataset.ready === 'yes'")
    await second.tab.run("document.getElementById('connect').click()")
    await second.choose("", "Replace")
    await second.shows(3)
    await first.tab.shows("#tip", "taken over")
    assert await first.buttons() == set()
    await second.tab.run("phone.ws.close()")
    await second.until("document.getElementById('link').dataset.link === 'lost'")
    assert await second.buttons() == set()
    await second.until("document.getElementById('link').dataset.link === 'live'")
    await second.press(2)
    await second.shows(1)
