"""Pages are loaded anew, lose their socket, go on at another address, are replaced: in a call.

The page goes on where it was, and whoever talks hears nothing of it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.softphone import SoftPhone, soft_phone

from .floor import Floor, calls, hang_up, to_agent
from .office import ANNA, BERT, CARL

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HER, HIM = to_agent("6001"), to_agent("6002")
TALK = {"a1": "c1", "c1": "a1"}
AWAY_S = 0.6
"""How long a page is gone: long enough for a gap to be heard."""


def cut(page: SoftPhone) -> None:
    """Its socket is reset: no closing handshake."""
    connection = page.socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def back(page: SoftPhone, before: SoftPhone) -> None:
    """A page that was loaded anew shows what the one before has shown, and knows the customer."""
    assert await page.until("onInited") == before.delegator_id
    await page.until("onNotifySettings")
    assert page.state == before.state
    assert page.buttons() == before.buttons()
    (notified,) = [each for each in page.events if each["event"] == "SettingsNotify"]
    assert notified["coInfos"]["COID"]
    if before.co_infos:
        assert notified["coInfos"]["COID"] == before.co_infos["COID"]


async def test_a_page_is_loaded_anew_in_a_call(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls(floor, anna)
    async with AsyncExitStack() as pages:
        async with floor.no_gap("6001", "10086"):
            await anna.socket.close()
            await asyncio.sleep(AWAY_S)
            again = floor.office.page(delegator_id=anna.delegator_id, confirms=False)
            page = await pages.enter_async_context(again)
            await back(page, anna)
        await floor.press(page, "Hold", 7, {}, c1="moh")
        await floor.press(page, "FetchHold", 6, {}, **TALK)


async def test_a_lost_socket_is_one_more_way_to_serveruri2_in_a_call(floor: Floor) -> None:
    """Its first address answers no more: it goes on at the second."""
    anna, listener = floor.pages["6001"], floor.office.endpoint.basiccall
    await calls(floor, anna)
    async with AsyncExitStack() as pages:
        async with floor.no_gap("6001", "10086"):
            cut(anna)
            await anna.until("onWSClose")
            await asyncio.sleep(AWAY_S)
            second = f"ws://127.0.0.1:{listener.second_port}/"
            again = soft_phone(second, ANNA, "6001", delegator_id=anna.delegator_id)
            page = await pages.enter_async_context(again)
            await back(page, anna)
        await floor.press(page, "Hold", 7, {}, c1="moh")
        await floor.press(page, "FetchHold", 6, {}, **TALK)


async def test_another_page_takes_over_in_a_call(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls(floor, anna)
    async with floor.office.page(confirms=True) as second:
        async with floor.no_gap("6001", "10086"):
            await second.until("onConfirmReplaceWebSocket")
            await second.until("onInited")
            await anna.until("onWebSocketReplaced")
            await asyncio.sleep(AWAY_S)
        assert second.state == 6
        await floor.refused(anna, "Hold", "DelegatorIdNoMatch")
        await floor.press(second, "Hold", 7, {}, c1="moh")
        await floor.press(second, "FetchHold", 6, {}, **TALK)
        assert [name for name, _ in anna.heard].count("onWebSocketReplaced") == 1


async def test_two_pages_that_take_over_at_once_are_one_in_the_end(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls(floor, anna)
    async with (
        floor.office.page(confirms=False) as left,
        floor.office.page(confirms=False) as right,
    ):
        pages = anna, left, right
        for page in (left, right):
            await page.until("onConfirmReplaceWebSocket")
        await asyncio.gather(left.init(), right.init())
        for page in pages:
            await page.send("WSHello", helloInfo="", time="")
            await page.until("onWSHello")
        before = [len(page.answers) for page in pages]
        for page, count in zip(pages, before, strict=True):
            await page.do("RefreshAgentList", agentListType="AGENTLISTTYPE_CONSULT")
            await page.answered(count)
        codes = sorted(page.answers[-1][1] for page in pages)
        assert codes == ["DelegatorIdNoMatch", "DelegatorIdNoMatch", "Succ"]
        (owner,) = [page for page in pages if page.answers[-1][1] == "Succ"]
        for page in pages:
            told = [name for name, _ in page.heard if name in ("onInited", "onWebSocketReplaced")]
            assert told[-1] == ("onInited" if page is owner else "onWebSocketReplaced")
        await floor.press(owner, "Hold", 7, {}, c1="moh")


async def test_what_happens_while_a_page_is_gone_is_so_when_it_is_back(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls(floor, anna)
    cut(anna)
    await anna.until("onWSClose")
    await hang_up(floor, "10086")
    await asyncio.sleep(AWAY_S)
    async with floor.office.page(delegator_id=anna.delegator_id) as page:
        await page.until("onNotifySettings")
        assert (page.state, page.buttons()) == (19, [31])
        await floor.press(page, "FinishWrapup", 3, {})


async def test_a_page_is_loaded_anew_while_several_talk(floor: Floor) -> None:
    """Of each the state is what it was: who has brought them together, and who was brought."""
    anna, bert, carl = floor.pages.values()
    await calls(floor, anna)

    async def same() -> None:
        for agent, page in ((ANNA, anna), (BERT, bert), (CARL, carl)):
            if page.state == 3:
                continue
            page.read_past()
            await page.open()
            await page.until("onInited")
            kept = page.states[-2:]
            assert kept[0] == kept[1], agent

    asking = {"a1": "a2", "a2": "a1", "c1": "moh"}
    await floor.press(anna, "Consult", 11, HIM, **asking)
    await same()
    await floor.press(anna, "ConsultSwap", 12, {}, **TALK, a2="moh")
    await same()
    await floor.press(anna, "ConsultConf", 21, {}, a1="a2 c1", a2="a1 c1", c1="a1 a2")
    await same()
    await floor.press(bert, "DropCall", 3, {}, **TALK)
    await same()
    out = {"destSPType": "OUT", "destSPIns": "10087"}
    await floor.press(anna, "Consult", 14, out, a1="c2", c2="a1", c1="moh")
    await same()
    together = {"a1": "c1 c2", "c1": "a1 c2", "c2": "a1 c1"}
    await floor.press(anna, "ConsultConf", 22, {}, **together)
    await same()
    await floor.press(
        carl, "MonitorAgent", 17, HER, a1="c1 c2", c1="a1 c2", c2="a1 c1", a3="a1 c1 c2"
    )
    await same()
    await floor.press(carl, "FinishMonitor", 3, {}, a1="c1 c2", c1="a1 c2", c2="a1 c1")
    await floor.press(anna, "DropConf", 19, {})
