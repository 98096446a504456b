"""A day of a call centre, told as one: what each page is told and shows, who hears whom."""

from __future__ import annotations

import re

import pytest

from endpoint.callcontrol.commands import GenerateDigits
from endpoint.legs.base import DeviceId
from tests.softphone import SoftPhone

from .floor import Floor, dials, hang_up, to_agent
from .office import ANNA
from .walkbook import Row

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SKILL = '{"agentWrapupSeconds": 30, "skills": [{"skillCode": "1001", "skillLevel": "5"}]}'
HER, HIM = to_agent("6001"), to_agent("6002")
OUT = {"destSPType": "OUT", "destSPIns": "10087"}
CHECKED = {"SVN": "8888", "TRANSFERPREPARE_CHECKPASSWORD": "1", "CustomerID": "10086"}
TALK = {"a1": "c1", "c1": "a1"}
LISTENING = {**TALK, "a3": "a1 c1"}
TOGETHER = {"a1": "a3 c1", "a3": "a1 c1", "c1": "a1 a3"}
BUTTONS: dict[int, set[int]] = {
    1: {1, 36},
    3: {2, 3, 4, 33, 36, 37},
    5: {10, 42},
    6: {6, 7, 8, 9, 10, 37},
    7: {11},
    11: {14, 15, 16, 17},
    12: {18},
    14: {20, 21, 22, 41},
    15: {23},
    16: {39},
    17: {25, 26, 27, 28},
    18: {48},
    19: {31},
    20: {10},
    21: {48},
    23: {2, 34, 36},
    30: {10},
    31: {52},
    38: {10},
}
"""What a page shows in a state, as BasicCall has it; but at 23 who has left may log off too."""
SUPERVISES = {5, 68}


@pytest.fixture
def anna_inits_with() -> str:
    return SKILL


def all_are_shown(floor: Floor) -> None:
    """Every page shows the buttons of its state, and no others."""
    for ins, page in floor.pages.items():
        assert page.state is not None
        more = SUPERVISES if (ins, page.state) == ("6003", 3) else set()
        assert {*page.buttons()} == BUTTONS[page.state] | more, (ins, page.state)


def told(floor: Floor, row: Row, **expected: str) -> None:
    """What every page was told by an act: nobody anything else."""
    assert {page: " ".join(words) for page, words in row.told.items()} == expected, row.act
    all_are_shown(floor)


async def test_the_day_of_a_call_centre(floor: Floor) -> None:
    await an_agent_comes(floor)
    await a_customer_waits_and_is_answered(floor)
    await a_colleague_is_asked_and_takes_over(floor)
    await somebody_outside_is_asked_and_a_survey_made(floor)
    await a_password_is_checked(floor)
    await she_leaves_and_is_back(floor)
    await a_supervisor_listens(floor)
    await a_supervisor_logs_her_off(floor)


async def an_agent_comes(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await anna.until("onNotifySettings")
    all_are_shown(floor)
    row = await floor.tap(anna, "Logon", "WorkModeChange", agentName="", agentWorkMode="0")
    told(floor, row, a1="LogonSucc =3 WorkModeChange")


async def a_customer_waits_and_is_answered(floor: Floor) -> None:
    anna = floor.pages["6001"]
    row = await floor.tap(anna, "Leave", "StateChange", leaveReason="2")
    told(floor, row, a1="LeaveSucc =23")

    async def waits() -> None:
        await dials(floor, "10086", "900")
        (shown,) = await anna.until("onQueueChange")
        assert (shown["phoneNum"], shown["sk"], shown["aid"]) == ("10086", "1001", "")

    row = await floor.becomes("a customer waits", waits, c1="moh")
    told(floor, row, a1="QueueChange")
    row = await floor.press(anna, "ResumeWork", 5, {})
    told(floor, row, a1="QueueChange ResumeWorkSucc =3 CallArrive =5")
    pops_up(anna, ANI="10086", DNIS="900", SK="1001", CN0_UserPhoneNum="10086", Wish="orders")
    assert anna.co_infos["COID"]
    assert anna.co_infos["17"] == "0"
    row = await floor.press(anna, "AnswerCall", 6, {}, **TALK)
    told(floor, row, a1="AnswerCallSucc =27 QueueChange DevConnected =6")
    assert anna.queue == []
    row = await floor.press(anna, "Hold", 7, {}, c1="moh")
    told(floor, row, a1="HoldSucc =7")
    row = await floor.press(anna, "FetchHold", 6, {}, **TALK)
    told(floor, row, a1="FetchHoldSucc =6")


def pops_up(page: SoftPhone, **expected: str) -> None:
    """What the page's host is told of a call."""
    assert page.co_infos.items() >= expected.items(), page.co_infos


async def a_colleague_is_asked_and_takes_over(floor: Floor) -> None:
    anna, bert, _ = floor.pages.values()
    asking = {"a1": "a2", "a2": "a1", "c1": "moh"}
    row = await floor.press(anna, "Consult", 11, HIM, **asking)
    asked = "CallArrive =5 DevConnected =20"
    told(floor, row, a1="ConsultStart =10 ConsultSucc =11", a2=asked)
    row = await floor.press(anna, "ConsultSwap", 12, {}, **TALK, a2="moh")
    told(floor, row, a1="ConsultSwapSucc =12", a2="=38")
    row = await floor.press(anna, "ConsultSwapBack", 11, {}, **asking)
    told(floor, row, a1="ConsultSwapBackSucc =11", a2="=20")
    row = await floor.press(anna, "ConsultConf", 21, {}, a1="a2 c1", a2="a1 c1", c1="a1 a2")
    told(floor, row, a1="ConsultConfSucc =21", a2="ConsultedOver =30")
    row = await floor.press(bert, "DropCall", 3, {}, **TALK)
    told(floor, row, a1="ConfOver =6", a2="DropCallSucc DevDisconnected =3")
    row = await floor.press(anna, "Consult", 11, HIM, **asking)
    told(floor, row, a1="ConsultStart =10 ConsultSucc =11", a2=asked)
    row = await floor.press(anna, "ConsultTransfer", 19, {}, a2="c1", c1="a2")
    told(
        floor,
        row,
        a1="ConsultTransferSucc DevDisconnected =19 WrapupTick",
        a2="ConsultedOver CallArrive DevConnected =6",
    )
    pops_up(bert, ANI="10086", SK="1001", Wish="orders")
    row = await floor.press(anna, "FinishWrapup", 3, {}, a2="c1", c1="a2")
    told(floor, row, a1="FinishWrapupSucc =3")


async def somebody_outside_is_asked_and_a_survey_made(floor: Floor) -> None:
    bert, call = floor.pages["6002"], floor.pages["6002"].co_infos["COID"]
    asking = {"a2": "c2", "c2": "a2", "c1": "moh"}
    talk = {"a2": "c1", "c1": "a2"}
    # BasicCall's script sends that too when the button for it, 8, is pressed.
    _, event = await floor.refused(bert, "PrepareCallInner", "Succ")
    assert event == "`PrepareCallInnerFailed(wrong_state)`"
    row = await floor.press(bert, "Consult", 14, OUT, **asking)
    told(floor, row, a2="ConsultStart =13 ConsultSucc =14")
    row = await floor.press(bert, "ConsultSwap", 15, {}, **talk, c2="moh")
    told(floor, row, a2="ConsultSwapSucc =15")
    row = await floor.press(bert, "ConsultSwapBack", 14, {}, **asking)
    told(floor, row, a2="ConsultSwapBackSucc =14")
    row = await floor.press(bert, "FinishConsult", 6, {}, **talk)
    told(floor, row, a2="FinishConsultSucc ConsultOver =7 FetchHoldSucc =6")
    row = await floor.press(bert, "TransferToIVR", 3, {"SVN": "999", "OrderID": "7"}, c1="ivr")
    told(floor, row, a2="TransferBegin =32 TransferSucc DevDisconnected =3")

    async def rates() -> None:
        await floor.carrier.controller.submit(GenerateDigits(DeviceId("10086"), "5"))
        events = floor.carrier.controller.subscribe(0)
        while floor.carrier.controller.calls():
            await anext(events)

    told(floor, await floor.becomes("the customer rates", rates))
    record = (await floor.office.client.record_of(call)).record
    assert record.data.items() >= {("SurveyScore", "5"), ("OrderID", "7"), ("Wish", "orders")}


async def calls_her(floor: Floor) -> None:
    anna = floor.pages["6001"]

    async def rings() -> None:
        await dials(floor, "10086", "6001")
        await anna.shows(5)

    row = await floor.becomes("the customer calls her", rings)
    told(floor, row, a1="CallArrive =5")
    row = await floor.press(anna, "AnswerCall", 6, {}, **TALK)
    told(floor, row, a1="AnswerCallSucc =27 DevConnected =6")


async def a_password_is_checked(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls_her(floor)
    row = await floor.press(anna, "TransferToIVR", 31, CHECKED, a1="moh", c1="ivr")
    told(floor, row, a1="TransferBegin =31")

    async def keys_in() -> None:
        await floor.carrier.controller.submit(GenerateDigits(DeviceId("10086"), "4711#"))
        await anna.shows(6)

    row = await floor.becomes("the customer keys in", keys_in, **TALK)
    told(floor, row, a1="IVRCheckReturn =6")
    (checked,) = [each for each in anna.events if each["event"] == "IVRCheckReturn"]
    assert checked["coInfos"]["PasswordCheck"] == "right"
    assert re.search(r"\b4711\b", str(anna.events)) is None
    row = await floor.press(anna, "DropCall", 19, {})
    told(floor, row, a1="DropCallSucc DevDisconnected =19 WrapupTick")
    row = await floor.press(anna, "FinishWrapup", 3, {})
    told(floor, row, a1="FinishWrapupSucc =3")


async def she_leaves_and_is_back(floor: Floor) -> None:
    anna = floor.pages["6001"]
    row = await floor.press(anna, "Leave", 23, {"leaveReason": "0"})
    told(floor, row, a1="LeaveSucc =23")
    row = await floor.press(anna, "ResumeWork", 3, {})
    told(floor, row, a1="ResumeWorkSucc =3")


async def a_supervisor_listens(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    await calls_her(floor)
    row = await floor.press(carl, "PrepareMonitor", 16, {}, **TALK)
    told(floor, row, a3="PrepareMonitorSucc =16 RefreshAgentListSucc")
    listed = next(value for name, value in carl.heard[::-1] if name == "onRefreshAgentListSucc")
    assert {each["ins"]: each["state"] for each in listed["items"]} == {"6001": "6", "6002": "3"}
    row = await floor.press(carl, "MonitorAgent", 17, HER, **LISTENING)
    told(floor, row, a3="MonitorBegin MonitorSucc =17")
    row = await floor.press(carl, "Intervence", 18, {}, **TOGETHER)
    told(floor, row, a3="InterveneSucc =18")
    row = await floor.press(carl, "DropConf", 3, {}, **TALK)
    told(floor, row, a3="FinishMonitorSucc DropConfSucc DevDisconnected =3")

    async def leaves() -> None:
        await hang_up(floor, "10086")
        await anna.shows(19)

    row = await floor.becomes("the customer hangs up", leaves)
    told(floor, row, a1="DevDisconnected =19 WrapupTick")
    row = await floor.press(anna, "FinishWrapup", 3, {})
    told(floor, row, a1="FinishWrapupSucc =3")


async def a_supervisor_logs_her_off(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    off = {"controlType": "1", "extraControlParam": "", **HER}
    row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **off)
    told(floor, row, a1="MonitorContorled LogoffSucc =0", a3="MonitorControlSucc")
    assert anna.state == 1
    assert (await floor.office.client.agent(ANNA)).state == "null"
