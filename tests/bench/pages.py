"""Agents at pages that were written for BasicCall, which say hello each second besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from endpoint.app.certificates import client_context
from tests.bench.desks import BACK, HELD, READY, Answered, Desk, Walk, agent_of, device_of
from tests.bench.office import Journal, Office, now
from tests.softphone import SoftPhone, soft_phone

HELLO_S: Final = 1.0


class PageDesk:
    """An agent with a page, which reads as BasicCall's script does."""

    def __init__(self, phone: SoftPhone, journal: Journal) -> None:
        self.device, self.journal = phone.ins, journal
        self._phone = phone

    async def call(self, other: Desk, length_s: float) -> list[Answered]:
        """See `Desk`."""
        do, walk = self._phone.do, Walk(self.journal, self.device, length_s)
        await walk.timed("call", do("Dial", phoneNum=other.device), "DialBegin")
        await other.journal.next("DevConnected", other.device, walk.began)
        await walk.at(HELD)
        await walk.timed("hold", do("Hold"), "HoldSucc")
        await walk.at(BACK)
        await walk.timed("fetch", do("FetchHold"), "FetchHoldSucc")
        await walk.at(READY)
        colleagues = do("RefreshAgentList", agentListType="AGENTLISTTYPE_CONSULT")
        await walk.timed("list", colleagues, "RefreshAgentListSucc")
        await walk.at(1)
        await walk.timed("drop", do("DropCall"), "DropCallSucc")
        await walk.timed("leave", do("Leave", leaveReason="0"), "LeaveSucc")
        await walk.timed("resume", do("ResumeWork"), "ResumeWorkSucc")
        return walk.answered

    async def say_hello(self, first_after_s: float, hello_ms: list[float]) -> None:
        """Each second, until it is cancelled. Raises TimeoutError where it is not answered."""
        loop = asyncio.get_running_loop()
        at = loop.time() + first_after_s
        while True:
            await asyncio.sleep(at - loop.time())
            sent = now()
            await self._phone.send("WSHello", helloInfo="", time="")
            told = await self.journal.next("onWSHello", self.device, sent)
            hello_ms.append(1000 * (told.at - sent))
            at += HELLO_S


class PageInterface:
    """A WebSocket for each agent, and nothing beside."""

    def __init__(self) -> None:
        self.sections = {"basiccall": {"enabled": True, "port": 0}}
        self.hello_ms: list[float] = []
        """How soon each was answered."""

    @asynccontextmanager
    async def desks(self, at: Office, count: int) -> AsyncIterator[Sequence[PageDesk]]:
        """See `Interface`."""
        url = f"{at.running.basiccall}?token={at.token}".replace("wss:", "ws:", 1)
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            desks: list[PageDesk] = []
            for number in range(count):
                desk = await stack.enter_async_context(_desk(url, number))
                desks.append(desk)
            hellos = [
                group.create_task(desk.say_hello(HELLO_S * number / count, self.hello_ms))
                for number, desk in enumerate(desks)
            ]
            yield desks
            for each in hellos:
                each.cancel()

    @asynccontextmanager
    async def secure_sockets(self, at: Office, count: int) -> AsyncIterator[None]:
        """See `Interface`: pages that leave the agent to the one before."""
        url, trust = f"{at.running.basiccall}?token={at.token}", client_context(at.authority)
        async with AsyncExitStack() as stack:
            for number in range(count):
                page = soft_phone(
                    url, agent_of(number), device_of(number), tls=trust, confirms=False
                )
                phone = await stack.enter_async_context(page)
                await phone.until("onConfirmReplaceWebSocket")
            yield


@asynccontextmanager
async def _desk(url: str, number: int) -> AsyncIterator[PageDesk]:
    """Logged on, and idle."""
    journal, device = Journal(), device_of(number)

    def watch(name: str, value: Any) -> None:
        if name in ("onEvent", "onWSHello"):
            journal.note(value if name == "onEvent" else name, device)

    async with soft_phone(url, agent_of(number), device, watch=watch) as phone:
        await phone.until("onInited")
        await phone.logon()
        await phone.shows(3)
        yield PageDesk(phone, journal)
