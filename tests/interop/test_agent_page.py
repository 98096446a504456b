"""The endpoint's own page in Chromium as an agent's desk, and as that of who supervises him."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.agents.logon import LogOn
from endpoint.agents.model import AgentId
from endpoint.agents.session import SetNotReady
from endpoint.app import certificates
from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import directorymessages as directory
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.endpoint_page import EndpointPage

pytestmark = pytest.mark.interop

ANNA, BERT = AgentId("1001"), AgentId("1002")
PASSWORD = "a-Night-in-Lisbon-7"
AGENTS = [
    directory.Agent("1001", "Anna", "Europe", wrap_up_s=3),
    directory.Agent("1002", "Bert <img src=x onerror=document.title=1>", "Europe"),
    directory.Agent("9001", "Mona", "Europe", "monitor", ["Europe"]),
]
SEAT, OTHER_SEAT = "6003", "6004"
PATIENCE_S = 30.0


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Its parameter is how long a token proves something, in seconds."""
    stations = {SEAT: 1400.0, OTHER_SEAT: 900.0, "6005": 700.0}
    settings = {
        "agents": {"wrap_up": "all"},
        "media": {"webrtc_ready": False},
        "tokens": {"access_s": getattr(request, "param", 900)},
    }
    async with Desk(tmp_path / "state", stations=stations, settings=settings) as endpoint:
        running = endpoint.endpoint
        trust = certificates.client_context(endpoint.ca_file)
        async with EndpointClient(running.url, running.token, ssl_context=trust) as client:
            passwords = {agent.id: PASSWORD for agent in AGENTS}
            brought = directory.DirectoryImport(agents=AGENTS, passwords=passwords)
            await client.bring_into_directory(brought)
            yield endpoint


async def token(desk: Desk, agent: str) -> str:
    trust = certificates.client_context(desk.ca_file)
    async with EndpointClient(desk.endpoint.url, "none", ssl_context=trust) as client:
        return (await client.log_in(agent, PASSWORD)).access_token


async def in_state(desk: Desk, state: str, agent: AgentId = ANNA) -> None:
    """Wait until the endpoint has an agent in a state."""
    roster, changed = desk.endpoint.roster, asyncio.Event()
    unwatch = roster.watch(lambda _: changed.set())
    async with asyncio.timeout(PATIENCE_S):
        while (standing := roster.standing(agent)) is None or standing.state != state:
            changed.clear()
            await changed.wait()
    unwatch()


async def log_on(page: EndpointPage, agent: str, seat: str) -> None:
    await page.until("!document.getElementById('agent').hidden")
    await page.run(
        "var form = document.getElementById('agent-form');"
        f"form.elements.agent.value = '{agent}'; form.elements.password.value = '{PASSWORD}';"
        f"form.elements.device.value = '{seat}'; form.elements['log-on'].click()"
    )


async def choose(page: EndpointPage, label: str, value: str) -> None:
    chooser = f"document.querySelector('#agent-acts select[aria-label=\"{label}\"]')"
    await page.until(f"{chooser} !== null")
    await page.run(f"{chooser}.value = '{value}'; {chooser}.dispatchEvent(new Event('change'))")


async def sign_in(page: EndpointPage, agent: str, password: str) -> None:
    await page.until("!document.getElementById('gate').hidden")
    await page.run(
        f"document.getElementById('gate-agent').value = '{agent}';"
        f"document.getElementById('gate-password').value = '{password}'"
    )
    await page.press("Sign in", within="#gate")


async def sign_in_by_token(page: EndpointPage, token: str) -> None:
    """From the top down: the button stands below all that is filled in."""
    await page.until("!document.getElementById('gate').hidden")
    shown = (
        "[...document.querySelectorAll('#gate :is(input, button)')].map(each => each.name || 'go')"
    )
    assert await page.run(shown) == ["agent", "password", "token", "go"]
    await page.run(
        "document.querySelector('#gate summary').click();"
        f"document.getElementById('token').value = '{token}'"
    )
    await page.press("Sign in", within="#gate")
    await page.until("document.getElementById('link').dataset.link === 'live'")


@pytest.mark.parametrize("desk", [8], indirect=True)
async def test_an_agent_signs_in_by_its_password_and_stays_so_though_tokens_end(
    desk: Desk, tmp_path: Path
) -> None:
    roster = desk.endpoint.roster
    async with EndpointPage(tmp_path / "page", desk.endpoint.url, desk.endpoint.token) as page:
        await page.press("Sign out", within="header")
        await sign_in_by_token(page, desk.endpoint.token)
        await page.press("Sign out", within="header")
        await sign_in(page, "1001", "a-Night-in-Porto-8")
        await page.shows("#gate-fault", "password")
        await page.screenshot(tmp_path / "gate.png")
        await sign_in(page, "1001", PASSWORD)
        await page.until("document.getElementById('link').dataset.link === 'live'")
        await page.run("document.getElementById('agent-form').elements.device.value = '6003'")
        await page.press("Log on", within="#agent-form")
        await in_state(desk, "ready")

        before = await page.run("sessionStorage.getItem('token')")
        await page.until(f"sessionStorage.getItem('token') !== '{before}'")
        await page.reload()
        await roster.command(ANNA, SetNotReady("meal"), AgentId("9001"))
        await page.shows("#agent-text", "Meal")
        await page.until("document.getElementById('link').dataset.link === 'live'")

        after = await page.run("sessionStorage.getItem('token')")
        await page.press("Sign out", within="header")
        await page.until("!document.getElementById('gate').hidden")
        assert not await page.run("Object.keys(sessionStorage).length")
        await revoked(desk, str(after))


async def revoked(desk: Desk, token: str) -> None:
    """Wait until a token proves nothing any more."""
    trust = certificates.client_context(desk.ca_file)
    async with EndpointClient(desk.endpoint.url, token, ssl_context=trust) as client:
        for _ in range(600):
            try:
                await client.agents()
            except RequestRefused:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the token is good for ever")


async def test_an_agent_works_at_the_page_from_log_on_to_log_off(
    desk: Desk, tmp_path: Path
) -> None:
    mine = await token(desk, "1001")
    async with EndpointPage(tmp_path / "page", desk.endpoint.url, mine) as page:
        await page.until("!document.getElementById('agent').hidden")
        await desk.endpoint.roster.log_on(LogOn(agent=BERT, device=DeviceId(OTHER_SEAT)))
        await log_on(page, "1001", SEAT)
        await page.shows("#agent-title", f"Anna (1001) at {SEAT}")
        await in_state(desk, "ready")
        await page.shows("#agent-text", "ready")
        await page.shows("#agents .row", f"{AGENTS[1].name} · {OTHER_SEAT}")
        assert await page.run("document.querySelectorAll('#agents img').length") == 0
        assert await page.run("document.querySelectorAll('#agents button').length") == 0

        await choose(page, "Reason for not being ready", "meal")
        await in_state(desk, "notReady")
        await page.shows("#agent-text", "not ready")
        await page.shows("#agent-text", "Meal")
        await page.reload()
        await page.shows("#agent-text", "Meal")  # the session is its own again
        await page.press("Ready", within="#agent-acts")
        await in_state(desk, "ready")

        events = desk.endpoint.controller.subscribe()
        made = await desk.endpoint.controller.submit(MakeCall(DeviceId(SEAT), "6005"))
        await page.shows("#agent-text", "in a call")
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance((await anext(events)).event, Established):
                pass  # what nobody has answered needs no work after it
        await desk.endpoint.controller.submit(ClearConnection(DeviceId(SEAT), made.call))
        await page.shows("#agent-text", "s left")
        await page.screenshot(tmp_path / "agent.png")
        await page.press("Done", within="#agent-acts")
        await in_state(desk, "ready")
        await page.press("Log off", within="#agent-acts")
        await in_state(desk, "null")
        await page.until("!document.getElementById('agent-form').hidden")
        assert await page.text("#agent-fault") == ""


@pytest.mark.soak  # what is asked and told in it is tested by REST
async def test_another_page_takes_over_and_the_first_one_is_told(
    desk: Desk, tmp_path: Path
) -> None:
    mine = await token(desk, "1001")
    async with (
        EndpointPage(tmp_path / "one", desk.endpoint.url, mine) as one,
        EndpointPage(tmp_path / "two", desk.endpoint.url, mine) as two,
    ):
        await log_on(one, "1001", SEAT)
        await one.shows("#agent-title", "Anna")
        await log_on(two, "1001", SEAT)
        await two.shows("#agent-fault", "take over, or log off first")
        await two.run("document.getElementById('agent-form').elements.password.value = ''")
        await two.press("Take over", within="#agent-form")
        await two.shows("#agent-title", "Anna")
        await one.shows("#agent-fault", "Another page has this session now.")
        await in_state(desk, "ready")


async def test_a_monitor_forces_agents_of_its_department(desk: Desk, tmp_path: Path) -> None:
    await desk.endpoint.roster.log_on(LogOn(agent=BERT, device=DeviceId(OTHER_SEAT), ready=True))
    monas = await token(desk, "9001")
    async with EndpointPage(tmp_path / "page", desk.endpoint.url, monas) as page:
        await page.shows("#agents .row", "Bert")
        await page.press("Not ready", within="#agents")
        await in_state(desk, "notReady", BERT)
        await page.press("Ready", within="#agents")
        await in_state(desk, "ready", BERT)
        await page.screenshot(tmp_path / "monitor.png")
        await page.press("Log off", within="#agents")
        await in_state(desk, "null", BERT)
        await page.until("document.getElementById('agents').hidden")
