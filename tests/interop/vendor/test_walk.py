"""The vendor's own script through a day of a call centre: what its host is told, who hears whom."""

from __future__ import annotations

from typing import Any

import pytest

from endpoint.app.basiccall.settings import BasicCallSettings
from tests.integration.endpoint.app.basiccall.floor import MASKED, REMOTE, reload
from tests.integration.endpoint.app.basiccall.office import ANNA, BERT, CARL

from .conftest import Shop
from .phone import Crm, VendorPhone

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

SKILLED = {"agentWrapupSeconds": 30, "skills": [{"skillCode": "1001", "skillLevel": "5"}]}
TALK = {"a1": "c1", "c1": "a1"}


async def presses(shop: Shop, page: VendorPhone, button: int, state: int, **rows: str) -> None:
    """A button of the state: the state that it brings, and who hears whom then."""

    async def act() -> None:
        await page.press(button)
        await page.shows(state)

    await shop.becomes(f"button {button}", act, **rows)


async def does(
    shop: Shop, page: VendorPhone, state: int, method: str, *given: Any, **rows: str
) -> None:
    """A function of the script, as `presses`."""

    async def act() -> None:
        await page.call(method, *given)
        await page.shows(state)

    await shop.becomes(method, act, **rows)


async def answers(shop: Shop, page: VendorPhone, number: str = "6001") -> None:
    """A customer calls, and the page's button picks up."""
    await shop.calls_in(number)
    await page.until("onCallArrive")
    await page.shows(5)
    await presses(shop, page, 42, 6, **TALK)
    assert page.told("onDevConnected")


async def test_the_day_of_an_agent(shop: Shop, crm: Crm) -> None:
    waits: dict[str, Any] = {
        "agentId": ANNA,
        "ins": "6001",
        "customInitParams": SKILLED,
        "saveLocalLog": True,
    }
    async with (
        crm.page(serverUri=shop.uri, **waits) as anna,
        crm.idle(BERT, "6002", shop.uri) as bert,
        crm.idle(CARL, "6003", shop.uri) as carl,
    ):
        # -- log on: first nobody, then in a mode in which no calls are offered
        await anna.until("onInited")
        assert await anna.get("delegatorId")
        await anna.until("onNotifySettings")
        assert await anna.buttons() == [1, 36]
        await anna.call("setWorkMode", "3")
        assert await anna.until("onWorkModeChange") == "3"
        await anna.press(1)
        assert await anna.until("onFunctionSwitch") == ("KeepLogon", True, False)
        assert await anna.until("onLogonSucc") == "6001"
        await anna.shows(3)
        assert await anna.until("onWorkModeChange") == "3"
        assert await anna.call("getCurWorkModeName") != "未知模式"

        # -- an inbound call is queued, with music
        async def calls() -> None:
            await shop.calls_in("900")
            waiting = await anna.until("onQueueChange", lambda found: found)
            assert [(each["ani"], each["sk"]) for each in waiting] == [("10086", "1001")]

        await shop.becomes("a call waits", calls, c1="moh")

        # -- it is offered, popped up, answered
        await anna.call("setWorkMode", "0")
        arrived = await anna.until("onCallArrive")
        assert (arrived["ANI"], arrived["SK"], arrived["17"]) == ("10086", "1001", "0")
        assert arrived == await anna.call("getCoInfos")
        await anna.shows(5)
        assert await anna.buttons() == [42, 10]
        await presses(shop, anna, 42, 6, **TALK)
        assert anna.told("onDevConnected")
        # -- hold
        await presses(shop, anna, 6, 7, c1="moh")
        await presses(shop, anna, 11, 6, **TALK)
        # -- an internal consultation, swapped, and three-way
        await anna.press(7)
        listed = await anna.until("onRefreshAgentListSucc")
        assert listed["agentListType"] == "AGENTLISTTYPE_CONSULT"
        assert "6002" in [each["ins"] for each in listed["items"]]
        asks = {"a1": "a2", "a2": "a1", "c1": "moh"}
        await does(shop, anna, 11, "consult", "AGT", "6002", **asks)
        assert anna.told("onConsultStart", "onConsultSucc") == ["onConsultStart", "onConsultSucc"]
        assert (await anna.call("getCoInfos"))["CN0_UserPhoneNum"] == "6002"
        await bert.shows(20)
        await presses(shop, anna, 16, 12, a2="moh", **TALK)
        await presses(shop, anna, 18, 11, **asks)
        await presses(shop, anna, 17, 21, a1="a2 c1", a2="a1 c1", c1="a1 a2")
        await presses(shop, anna, 48, 19)
        await anna.tip("话后完成倒计时:")
        await presses(shop, anna, 31, 3)
        await bert.shows(3)
        assert await anna.call("getCoInfos") == {}
        # -- transfer, and wrap-up
        await answers(shop, anna)
        await anna.press(7)
        await anna.until("onRefreshAgentListSucc")
        await does(shop, anna, 11, "consult", "AGT", "6002", **asks)
        await presses(shop, anna, 15, 19, a2="c1", c1="a2")
        await presses(shop, anna, 31, 3, a2="c1", c1="a2")
        # -- an external consultation: the script asks for an inner call by it, too
        await bert.shows(6)
        await bert.press(8)
        await bert.until("onPrepareCallOutSucc")
        await bert.tip("内呼准备失败")
        asks_outside = {"a2": "c2", "c2": "a2", "c1": "moh"}
        await does(shop, bert, 14, "callout", "10087", **asks_outside)
        await presses(shop, bert, 20, 15, a2="c1", c1="a2", c2="moh")
        await presses(shop, bert, 23, 14, **asks_outside)
        await presses(shop, bert, 22, 6, a2="c1", c1="a2")
        assert "onConsultOver" in bert.told("onConsultOver")
        assert (await bert.call("getCoInfos"))["CN0_UserPhoneNum"] == "10086"
        # -- the survey of an IVR, with what goes with the call
        await bert.call("setCOInfo", "OrderID", "SVC_1234567")
        await bert.call("transferToIVR", {"svn": "999", "checkPassword": False})
        await bert.tip("转接成功")
        await bert.shows(3)
        (call,) = shop.office.endpoint.controller.calls()
        assert {each.number for each in call.connections if each.is_live} == {"10086", "999"}
        assert call.data["OrderID"] == "SVC_1234567"
        await shop.hangs_up("10086")
        # -- a password is checked
        await answers(shop, anna)
        await anna.call("transferToIVR", {"svn": "8888", "checkPassword": True, "params": {}})
        await anna.shows(31)
        assert await anna.buttons() == [52]

        async def keys_in() -> None:
            await shop.keys("4711#")
            await anna.until("onIVRCheckReturn")
            await anna.shows(6)

        await shop.becomes("the password", keys_in, **TALK)
        (checked,) = [each for each in anna.events if each["event"] == "IVRCheckReturn"]
        assert checked["coInfos"]["PasswordCheck"] == "right"
        # -- monitor: listen, come in; then the call ends
        await carl.press(5)
        await carl.shows(16)
        listed = await carl.until("onRefreshAgentListSucc")
        assert "6001" in [each["ins"] for each in listed["items"]]
        await does(shop, carl, 17, "monitorAgent", "AGT", "6001", a3="a1 c1", **TALK)
        await presses(shop, carl, 27, 18, a1="c1 a3", c1="a1 a3", a3="a1 c1")
        assert "onInterveneSucc" in carl.told("onInterveneSucc")
        await presses(shop, carl, 48, 3, **TALK)
        await presses(shop, anna, 10, 19)
        assert "onDevDisconnected" in anna.told("onDevDisconnected")
        await presses(shop, anna, 31, 3)
        # -- leave, and resume
        await anna.call("leave", "2")
        await anna.shows(23)
        names = {
            str(each["reasonId"]): each["reasonName"]
            for each in await anna.get("leaveReasonSettings")
        }
        assert await anna.call("getCurStateName") == f"state 23({names['2']})"
        await presses(shop, anna, 34, 3)
        # -- forced to log off
        await carl.press(68)
        listed = await carl.until("onRefreshAgentListSucc")
        assert listed["agentListType"] == "AGENTLISTTYPE_MONITORCONTROL"
        await carl.call("monitorControl", "1", "6001", "0")
        await anna.tip("强制签出")
        await anna.until("onLogoffSucc")
        await anna.shows(1)
        await carl.tip("强制签出成功")
        assert await anna.buttons() == [1, 36]
        # -- what the soft phone of the tests makes of all that
        anna.heard.remove(("onWorkModeChange", "3"))  # the first: it was the page's own
        for page in (anna, bert, carl):
            await page.reads_as_ours()
        # -- the log that it keeps in the browser
        assert "onStateChange(6)" in await anna.tab.run("phone.Logger.getTextLogs()")


async def test_the_day_of_a_remote_agent(shop: Shop, crm: Crm) -> None:
    """With the mask as it is by default, and without one."""
    endpoint = shop.office.endpoint
    async with crm.idle(BERT, "6002", shop.uri) as bert:
        async with crm.idle(CARL, REMOTE, shop.uri) as carl:
            all_buttons = {
                each["id"] for row in await carl.get("stateSettings") for each in row["functions"]
            }
            assert not all_buttons & MASKED
            await carl.press(3)
            await carl.until("onPrepareDialSucc")
            await does(shop, carl, 6, "dial", "10086", c2="c1", c1="c2")
            assert carl.told("onDialBegin", "onDialSucc") == ["onDialBegin", "onDialSucc"]
            to_bert = {"destType": "AGT", "destIns": "6002", "params": {"OrderID": "4711"}}
            await does(shop, carl, 3, "oneStepTransfer", to_bert, a2="c1", c1="a2")
            assert (await bert.until("onCallArrive"))["OrderID"] == "4711"
            await bert.shows(6)
            await presses(shop, bert, 10, 3)
            await carl.press(33)
            await carl.shows(23)
            await carl.press(34)
            await carl.shows(3)
            await carl.press(2)
            await carl.until("onLogoffSucc")
        without = BasicCallSettings.model_validate(
            endpoint.config.basiccall.model_dump()
            | {
                "system_param": {
                    **endpoint.config.basiccall.system_param,
                    "SOFTPHONEMASKENABLED_RPN": "",
                }
            }
        )
        endpoint.reread = lambda: endpoint.config.model_copy(update={"basiccall": without})
        await reload(endpoint)
        async with (
            crm.idle(CARL, REMOTE, shop.uri) as carl,
            crm.idle(ANNA, "6001", shop.uri) as anna,
        ):
            await carl.press(4)
            await carl.until("onRefreshAgentListSucc")
            await does(shop, carl, 26, "callInner", "AGT", "6002", c2="a2", a2="c2")
            await bert.shows(26)
            await presses(shop, carl, 10, 3)
            await bert.shows(3)
            await carl.press(3)
            await carl.until("onPrepareDialSucc")
            pair = {"c2": "c1", "c1": "c2"}
            await does(shop, carl, 6, "dial", "10086", **pair)
            await presses(shop, carl, 6, 7, c1="moh")
            await presses(shop, carl, 11, 6, **pair)
            asks = {"c2": "a2", "a2": "c2", "c1": "moh"}
            await does(shop, carl, 11, "consult", "AGT", "6002", **asks)
            await presses(shop, carl, 16, 12, a2="moh", **pair)
            await presses(shop, carl, 18, 11, **asks)
            await presses(shop, carl, 17, 21, c2="a2 c1", a2="c1 c2", c1="a2 c2")
            await presses(shop, carl, 48, 3)
            await bert.shows(3)
            await answers(shop, anna)
            await carl.press(5)
            await carl.until("onRefreshAgentListSucc")
            await does(shop, carl, 17, "monitorAgent", "AGT", "6001", c2="a1 c1", **TALK)
            await presses(shop, carl, 27, 18, a1="c1 c2", c1="a1 c2", c2="a1 c1")
            await presses(shop, carl, 48, 3, **TALK)
            await does(shop, carl, 17, "monitorAgent", "AGT", "6001", c2="a1 c1", **TALK)
            await presses(shop, carl, 26, 6, **pair)
            assert "onInterceptSucc" in carl.told("onInterceptSucc")
            await anna.shows(19)
            await presses(shop, carl, 10, 3)
        endpoint.reread = lambda: endpoint.config
        await reload(endpoint)


async def test_pages_that_come_back_and_take_over_in_a_call(shop: Shop, crm: Crm) -> None:
    """Loaded anew, replaced, and at `serverUri2` when the first address is gone."""
    attrs: dict[str, Any] = {"agentId": ANNA, "ins": "6001"}
    async with crm.idle(ANNA, "6001", shop.uri) as anna:
        await answers(shop, anna)
        await anna.anew()
        await anna.until("onInited")
        await anna.shows(6)
        await presses(shop, anna, 6, 7, c1="moh")
        async with crm.page(confirms=True, serverUri=shop.uri, **attrs) as second:
            await second.until("onConfirmReplaceWebSocket")
            await second.shows(7)
            await second.until("onNotifySettings")
            await anna.until("onWebSocketReplaced")
            await presses(shop, second, 11, 6, **TALK)
            kept = await second.get("delegatorId")
    other = f"ws://127.0.0.1:{shop.office.endpoint.basiccall.second_port}/"
    dead: dict[str, Any] = {
        "serverUri": "ws://127.0.0.1:9/",
        "serverUri2": other,
        "delegatorId": kept,
    }
    async with crm.page(**dead, **attrs) as third:
        await third.until("onWSConnectFailed")
        await third.call("connectServer")
        await third.shows(6)
        await third.until("onNotifySettings")
        await presses(shop, third, 6, 7, c1="moh")


async def test_a_page_that_picks_up_by_itself(shop: Shop, crm: Crm) -> None:
    async with crm.idle(ANNA, "6001", shop.uri, isAutoAnswer=True) as anna:

        async def calls() -> None:
            await shop.calls_in("6001")
            await anna.shows(6)

        await shop.becomes("it picks up", calls, **TALK)
        assert anna.told("onCallArrive", "onDevConnected") == ["onCallArrive", "onDevConnected"]


async def test_what_else_there_is_to_press(shop: Shop, crm: Crm) -> None:
    """Each function of the script that no day above has: what its host is told of it."""
    async with (
        crm.idle(ANNA, "6001", shop.uri) as anna,
        crm.idle(BERT, "6002", shop.uri) as bert,
        crm.idle(CARL, "6003", shop.uri) as carl,
    ):
        await anna.call("wsHello", "here")
        await anna.until("onWSHello")
        await anna.call("setFunctionSwitch", "KeepLogon", True)
        assert await anna.until("onFunctionSwitch") == ("KeepLogon", True, True)
        for button, brings, back in ((3, 8, 38), (4, 24, 40)):
            await anna.press(button)
            await anna.shows(brings)
            await anna.press(back)
            await anna.shows(3)
        for method, kind in (
            ("refreshTransferAgentList", "TRANSFER"),
            ("agentMsg", "AGENTMSG"),
            ("refreshCallInnerAgentList", "CALLINNER"),
        ):
            await anna.call(method)
            listed = await anna.until("onRefreshAgentListSucc")
            assert listed["agentListType"] == f"AGENTLISTTYPE_{kind}"
        await anna.call("dial", "7777")
        await anna.until("onDialFailed")
        await anna.call("cancelDial")
        await anna.shows(3)
        hidden = {"a1": "c2", "c2": "a1"}
        await does(shop, anna, 6, "encryptDial", "100", "87", "1", **hidden)
        assert "10087" not in str(await anna.call("getCoInfos"))
        await anna.call("oneStepTransfer", {"destType": "AGT", "destIns": "nobody"})
        await anna.until("onOneStepTransferFailed")
        await does(shop, carl, 17, "monitorControl", "0", "6001", "", a3="a1 c2", **hidden)
        await presses(shop, carl, 26, 6, a3="c2", c2="a3")
        await anna.shows(19)
        await carl.press(10)
        await carl.shows(3)
        controls = (("4", "", 3), ("2", "", 23), ("3", "", 3), ("5", "6", 23), ("5", "0", 3))
        for control, extra, state in controls:
            await carl.call("monitorControl", control, "6001", extra)
            await anna.shows(state)
            await carl.event("MonitorControlSucc")
        await answers(shop, anna)
        await does(shop, carl, 17, "monitorAgent", "AGT", "6001", a3="a1 c1", **TALK)
        await presses(shop, carl, 25, 3)
        assert "onForceDropSucc" in carl.told("onForceDropSucc")
        await anna.shows(19)
        await bert.press(2)
        await bert.until("onLogoffSucc")
        await bert.call("close")
        await bert.until("onWSClose")
    unknown: dict[str, Any] = {"agentId": "4711", "ins": "6002", "serverUri": shop.uri}
    async with crm.page(**unknown) as nobody:
        await nobody.until("onInited")
        await nobody.call("logon")
        ins, code, text = await nobody.until("onLogonFailed")
        assert ins == "6002"
        assert code
        assert "4711" in text
