"""What goes wrong between a page and its session: the log is lost, another page is faster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from endpoint.agents.eventlog import Entry
from endpoint.agents.events import LogOffCause
from endpoint.agents.model import AgentId
from endpoint.agents.session import LogOff
from endpoint.app.basiccall.connection import Connection
from endpoint.callcontrol.commands import AnswerCall
from endpoint.callcontrol.events import Delivered, Established
from endpoint.callcontrol.feed import EventsMissed
from endpoint.gateways.native import agentmessages as wire
from endpoint.legs.base import DeviceId

from .office import ANNA, PIN, Office

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PROXY = {"X-Forwarded-For": "198.51.100.7"}


def of_anna(office: Office, monkeypatch: pytest.MonkeyPatch, has_come: asyncio.Event) -> Connection:
    """Her page's; what it sends waits for its turn once `has_come` is set."""
    connection = office.endpoint.basiccall._centre.holders[AgentId(ANNA)]
    assert isinstance(connection, Connection)
    take = connection.take

    async def taken(text: str | bytes) -> bool:
        has_come.set()
        return await take(text)

    monkeypatch.setattr(connection, "take", taken)
    return connection


class LostLog:
    """An agent's log that is not to be had any more from when `lose` is called."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_lost = asyncio.Event()
        self._follow = office.endpoint.roster.follow
        monkeypatch.setattr(office.endpoint.roster, "follow", self._followed)

    def lose(self) -> None:
        self._is_lost.set()

    async def _followed(self, agent: AgentId, after: int) -> AsyncIterator[Entry]:
        if not self._is_lost.is_set():
            await self._is_lost.wait()
            raise EventsMissed(after + 1, after + 100)
        async for entry in self._follow(agent, after):
            yield entry


async def test_who_has_missed_that_another_client_has_the_session_is_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LostLog(office, monkeypatch)
    async with office.at_work() as page:
        await office.client.log_on(ANNA, wire.LogOnAgent("6001", password=PIN, take_over=True))
        log.lose()
        await page.until("onWebSocketReplaced")
        await page.do("Leave", leaveReason="0")
        assert (await page.refused())[:2] == ("Leave", "DelegatorIdNoMatch")


async def test_who_has_missed_its_log_off_is_told_and_may_log_on_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LostLog(office, monkeypatch)
    async with office.at_work() as page:
        await office.endpoint.roster.command(AgentId(ANNA), LogOff(LogOffCause.FORCED))
        log.lose()
        await page.until("onLogoffSucc")
        await page.shows(1)
        await page.logon()
        await page.shows(3)


async def test_who_has_missed_what_it_did_itself_sees_how_it_stands(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LostLog(office, monkeypatch)
    async with office.at_work() as page:
        await page.do("Leave", leaveReason="0")
        await page.do("SetWorkMode", workMode="3")
        await page.until("done", lambda command: command == "SetWorkMode")
        log.lose()
        await page.shows(23)
        assert await page.until("onWorkModeChange") == "3"
        await page.do("ResumeWork")
        await page.shows(3)


async def test_a_page_that_does_not_know_yet_that_it_was_replaced_stays_connected(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_come = asyncio.Event()
    async with office.at_work() as page:
        connection = of_anna(office, monkeypatch, has_come)
        async with connection._turn:
            await page.send("SetFunctionSwitch", functionCode="KeepLogon", isOn="true")
            await has_come.wait()
            wanted = wire.LogOnAgent("6001", password=PIN, take_over=True)
            await office.client.log_on(ANNA, wanted)
        assert (await page.refused())[:2] == ("SetFunctionSwitch", "ProcessFailed")
        await page.until("onWebSocketReplaced")
        await page.send("WSHello", helloInfo="x", time="now")
        await page.until("onWSHello")


async def test_who_gives_up_a_call_that_was_just_answered_keeps_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page, and what it was told, are later than the answer."""
    controller, called = office.endpoint.controller, DeviceId("6004")
    has_come = asyncio.Event()
    async with office.at_work() as page:
        connection = of_anna(office, monkeypatch, has_come)
        events = controller.subscribe()
        await page.do("CallInner", destSPType="EXT", destSPIns=called)
        await page.shows(25)
        async for numbered in events:
            if isinstance(numbered.event, Delivered) and numbered.event.device == called:
                break
        has_come.clear()
        async with connection._turn:
            await page.do("CancelCallInner")
            await has_come.wait()
            await controller.submit(AnswerCall(called))
            async for numbered in events:
                if isinstance(numbered.event, Established) and numbered.event.device == called:
                    break
        assert (await page.refused())[:2] == ("CancelCallInner", "ProcessFailed")
        await page.event("CallInnerSucc")
        await page.shows(26)


async def test_what_a_proxy_hands_on_is_not_believed(office: Office) -> None:
    async with office.page(headers=PROXY) as page:
        await page.until("onFunctionSwitch")
        await page.logon()
        assert (await page.until("onLogonFailed"))[1] == "wrong_password"
    async with aiohttp.ClientSession() as http:
        url = f"{office.url.replace('ws', 'http', 1)}/reloadSystemParam.do"
        pages = office.endpoint.basiccall.pages
        before = pages._settings
        pages._settings = before.model_copy(update={"reload_from_loopback": True})
        async with http.get(url, headers=PROXY) as answer:
            assert answer.status == 401
        pages._settings = before


async def test_no_text_tells_a_number_that_is_not_to_be_shown(office: Office) -> None:
    number = "13800138000"
    async with office.at_work() as page:
        await page.do("EncryptDial", phoneNum=number, encryptMode="1")
        failed = await page.event("DialFailed")
        assert failed["errorCode"] == "unknown_device"
        assert "138****8000" in failed["errorDesc"]
        await page.do("EncryptDial", phoneNum=number, encryptMode="1")
        assert number not in str(await page.refused())
        assert number not in json.dumps(page.events)


async def test_who_logs_on_in_a_mode_of_being_away_has_left(office: Office) -> None:
    async with office.page() as page:
        await page.until("onFunctionSwitch")
        page.work_mode = "6"
        await page.logon()
        await page.shows(23)
        assert await page.until("onWorkModeChange") == "6"
        await page.do("SetWorkMode", workMode="0")
        await page.shows(3)
