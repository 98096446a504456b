"""Every command that there is, and every event: what each brings is what the document says.

One walk, for the document is one: `WRITE_DOCUMENTS=1 pytest` of this file writes it anew.
"""

from __future__ import annotations

import pytest

from endpoint.callcontrol.commands import GenerateDigits
from endpoint.gateways.basiccall.names import CommandName, Control, NotBuilt
from endpoint.legs.base import DeviceId
from tests.unit.endpoint.app.test_dialkeys import by_des

from .floor import Floor, calls, dials, hang_up, to_agent
from .office import ANNA
from .walkbook import compare

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HER, HIM = to_agent("6001"), to_agent("6002")
OUT = {"destSPType": "OUT", "destSPIns": "10087"}
SKILL = '{"skills": [{"skillCode": "1001", "skillLevel": "5"}]}'
TALK = {"a1": "c1", "c1": "a1"}


@pytest.fixture
def anna_inits_with() -> str:
    return SKILL


async def test_every_command_and_event_is_what_the_document_says(floor: Floor) -> None:
    await comes_to_work(floor)
    await asks_for_lists_and_modes(floor)
    await holds_and_consults(floor)
    await consults_outside(floor)
    await is_consulted_in_vain(floor)
    await dials_and_gives_up(floor)
    await transfers(floor)
    await sends_to_ivrs(floor)
    await calls_colleagues(floor)
    await supervises(floor)
    await is_offered_who_waits(floor)
    await asks_what_can_not_be(floor)
    await goes_home(floor)
    acts = {row.act.split()[0] for row in floor.book.rows}
    assert not {*CommandName} - acts, "no test has sent these"
    for event in (event for page in floor.pages.values() for event in page.events):
        assert {"agentState", "agentWorkMode"} <= event["agentInfos"].keys(), event["event"]
        for values in (event["agentInfos"], event["coInfos"], event["params"]):
            assert all(isinstance(value, str) for value in values.values()), event["event"]
    compare("acts", floor.book.acts())
    compare("refusals", floor.book.refusals())
    compare("events", floor.book.events())


async def comes_to_work(floor: Floor) -> None:
    anna = floor.pages["6001"]
    named = {"agentName": "", "delegatorId": anna.delegator_id}
    await floor.tap(anna, "CheckWebSocket", "SettingsNotify", **named)
    await floor.tap(anna, "Init", "SettingsNotify", **named, customInitParams=SKILL)
    for command in ("Logoff", "ResumeWork"):
        assert (await floor.refused(anna, command))[1].endswith("Failed(not_logged_on)`")
    logon = {"agentName": "", "agentWorkMode": "", "softPhoneCode": ""}
    _, event = await floor.refused(anna, "Logon", "Succ", **logon | {"agentWorkMode": "99"})
    assert event == "`LogonFailed(unknown_mode)`"
    await floor.tap(anna, "Logon", "WorkModeChange", **logon)
    await floor.tap(anna, "WSHello", helloInfo="", time="")
    for on in ("true", "false"):
        await floor.tap(anna, "SetFunctionSwitch", functionCode="KeepLogon", isOn=on)
    async with floor.office.page(confirms=True, delegator_id="") as second:

        async def comes() -> None:
            await second.until("onConfirmReplaceWebSocket")
            await anna.event("WebSocketReplaced")

        await floor.becomes("another page takes over", comes)
        await second.until("onNotifySettings")
        anna.delegator_id = second.delegator_id
    await floor.tap(anna, "Init", "SettingsNotify", **named | {"delegatorId": anna.delegator_id})


async def asks_for_lists_and_modes(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    for what in ("Dial", "CallInner", "Monitor"):
        for command in (f"Prepare{what}", f"CancelPrepare{what}"):
            await floor.tap(carl, command, "StateChange")
    for kind in ("CONSULT", "MONITOR"):
        listed = {"agentListType": f"AGENTLISTTYPE_{kind}"}
        await floor.tap(carl, "RefreshAgentList", "RefreshAgentListSucc", **listed)
    await floor.tap(anna, "SetWorkMode", "WorkModeChange", workMode="3")
    await floor.tap(anna, "SetWorkMode", "StateChange", workMode="6")
    await floor.tap(anna, "SetWorkMode", "StateChange", workMode="0")
    await floor.tap(anna, "Leave", "StateChange", leaveReason="0")
    await floor.tap(anna, "ResumeWork", "StateChange")
    await floor.tap(anna, "SendAgentMsg", "SendAgentMsgSucc", message="hello", **HIM)
    for kind, extra, brings in (
        ("2", "", "LeaveSucc"),
        ("3", "", "ResumeWorkSucc"),
        ("5", "3", "WorkModeChange"),
        ("5", "0", "WorkModeChange"),
    ):
        more = {"controlType": kind, "extraControlParam": extra, **HER}
        row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **more)
        assert brings in row.told["a1"]
        assert "MonitorContorled" in row.told["a1"]


async def holds_and_consults(floor: Floor) -> None:
    anna, bert, _ = floor.pages.values()
    press = floor.press
    await calls(floor, anna)
    await press(anna, "Hold", 7, {}, c1="moh")
    await press(anna, "FetchHold", 6, {}, **TALK)
    consulting = {"a1": "a2", "a2": "a1", "c1": "moh"}
    await press(anna, "Consult", 11, HIM, **consulting)
    await press(anna, "ConsultSwap", 12, {}, a1="c1", c1="a1", a2="moh")
    await press(anna, "ConsultSwapBack", 11, {}, **consulting)
    await press(anna, "FinishConsult", 6, {}, **TALK)
    await floor.tap(anna, "FetchHold", "FetchHoldSucc")  # some pages do so then
    await press(anna, "Consult", 11, HIM, **consulting)
    all_three = {"a1": "a2 c1", "a2": "a1 c1", "c1": "a1 a2"}
    await press(anna, "ConsultConf", 21, {}, **all_three)
    await press(bert, "DropCall", 3, {}, **TALK)
    await press(anna, "Consult", 11, HIM, **consulting)
    await press(anna, "ConsultConf", 21, {}, **all_three)
    await press(anna, "DropConf", 19, {})
    await press(anna, "FinishWrapup", 3, {})
    await calls(floor, anna)
    await press(anna, "Consult", 11, HIM, **consulting)
    await press(anna, "ConsultTransfer", 19, {}, a2="c1", c1="a2")
    await press(bert, "DropCall", 3, {})
    await press(anna, "FinishWrapup", 3, {})


async def consults_outside(floor: Floor) -> None:
    anna = floor.pages["6001"]
    press = floor.press
    await calls(floor, anna)
    consulting = {"a1": "c2", "c2": "a1", "c1": "moh"}
    await press(anna, "Consult", 14, OUT, **consulting)
    await press(anna, "ConsultSwap", 15, {}, a1="c1", c1="a1", c2="moh")
    await press(anna, "ConsultSwapBack", 14, {}, **consulting)
    await press(anna, "FinishConsult", 6, {}, **TALK)
    await press(anna, "Consult", 14, OUT, **consulting)
    await press(anna, "ConsultConf", 22, {}, a1="c1 c2", c1="a1 c2", c2="a1 c1")

    async def leaves() -> None:
        await hang_up(floor, "10087")
        await anna.event("ConfOver")

    await floor.becomes("who was consulted hangs up", leaves, **TALK)
    await press(anna, "Consult", 14, OUT, **consulting)
    await press(anna, "ConsultTransfer", 19, {}, c1="c2", c2="c1")
    await hang_up(floor, "10086")
    await press(anna, "FinishWrapup", 3, {})


async def is_consulted_in_vain(floor: Floor) -> None:
    """Of Anna, whose telephone does not pick up by itself."""
    anna, bert, _ = floor.pages.values()
    press = floor.press
    await press(bert, "Dial", 6, {"phoneNum": "10087"}, a2="c2", c2="a2")
    await press(bert, "Consult", 10, HER, c2="moh")
    await press(bert, "CancelConsult", 6, {}, a2="c2", c2="a2")
    await press(bert, "Consult", 10, HER, c2="moh")

    async def declines() -> None:
        await anna.do("DropCall")
        await bert.event("ConsultFailed")
        await bert.shows(6)

    await floor.becomes("who is asked does not want to", declines, a2="c2", c2="a2")
    await press(bert, "DropCall", 3, {})


async def dials_and_gives_up(floor: Floor) -> None:
    anna, bert, _ = floor.pages.values()
    press = floor.press
    await press(anna, "PrepareDial", 8, {})
    await press(anna, "Dial", 6, {"phoneNum": "10087"}, a1="c2", c2="a1")
    await press(anna, "DropCall", 19, {})
    await press(anna, "FinishWrapup", 3, {})
    hidden = {"prefix": "100", "phoneNum": by_des("87"), "encryptMode": "3"}
    await press(anna, "EncryptDial", 6, hidden, a1="c2", c2="a1")
    await press(anna, "DropCall", 19, {})
    await press(anna, "FinishWrapup", 3, {})
    await floor.tap(bert, "Dial", "DialFailed", phoneNum="10099")
    await bert.shows(3)
    floor.told()


async def transfers(floor: Floor) -> None:
    anna, bert, _ = floor.pages.values()
    press = floor.press
    await calls(floor, anna)
    away = {"destType": "EXT", "destIns": "6009"}
    await floor.tap(anna, "OneStepTransfer", "OneStepTransferFailed", **away)
    await anna.shows(6)
    to_bert = {"destType": "AGT", "destIns": "6002", "OrderID": "4711"}
    await press(anna, "OneStepTransfer", 19, to_bert, a2="c1", c1="a2")
    assert bert.co_infos.items() >= {("OrderID", "4711"), ("ANI", "10086"), ("17", "0")}
    out = {"destType": "OUT", "destIns": "10087"}
    await press(bert, "OneStepTransfer", 3, out, c1="c2", c2="c1")
    await hang_up(floor, "10086")
    await press(anna, "FinishWrapup", 3, {})


async def sends_to_ivrs(floor: Floor) -> None:
    anna, customer = floor.pages["6001"], DeviceId("10086")
    press, checked = floor.press, {"SVN": "8888", "TRANSFERPREPARE_CHECKPASSWORD": "1"}
    await calls(floor, anna)
    await press(anna, "TransferToIVR", 31, checked, a1="moh", c1="ivr")
    await press(anna, "CancelWait", 6, {}, **TALK)
    await press(anna, "TransferToIVR", 31, checked, a1="moh", c1="ivr")

    async def keys_in() -> None:
        await floor.carrier.controller.submit(GenerateDigits(customer, "4711#"))
        await anna.until("onIVRCheckReturn")
        await anna.shows(6)

    await floor.becomes("the IVR has ended", keys_in, **TALK)
    await press(anna, "TransferToIVR", 31, checked, a1="moh", c1="ivr")

    async def leaves() -> None:
        await hang_up(floor, "10086")
        await anna.until("onWaitCallOver")
        await anna.shows(19)

    await floor.becomes("a customer hangs up at the IVR", leaves)
    await press(anna, "FinishWrapup", 3, {})
    await calls(floor, anna)
    await press(anna, "TransferToIVR", 19, {"SVN": "999"}, c1="ivr")
    await hang_up(floor, "10086")
    await press(anna, "FinishWrapup", 3, {})


async def calls_colleagues(floor: Floor) -> None:
    anna, bert, _ = floor.pages.values()
    press = floor.press
    await press(anna, "CallInner", 26, HIM, a1="a2", a2="a1")
    await press(anna, "Hold", 41, {}, a2="moh")
    await press(anna, "FetchHold", 26, {}, a1="a2", a2="a1")
    await press(bert, "DropCall", 3, {})
    await press(bert, "CallInner", 25, HER)
    await press(bert, "CancelCallInner", 3, {})
    await press(bert, "CallInner", 25, HER)

    async def declines() -> None:
        await anna.do("DropCall")
        await bert.event("CallInnerFailed")
        await bert.shows(3)

    await floor.becomes("who is called does not want to", declines)
    await press(bert, "Dial", 9, {"phoneNum": "6001"})
    await press(bert, "CancelDial", 3, {})


async def supervises(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    press = floor.press
    await calls(floor, anna)
    listening = {"a1": "c1", "c1": "a1", "a3": "a1 c1"}
    all_three = {"a1": "a3 c1", "c1": "a1 a3", "a3": "a1 c1"}
    await press(carl, "MonitorAgent", 17, HER, **listening)
    await press(carl, "FinishMonitor", 3, {}, **TALK)
    await press(carl, "MonitorAgent", 17, HER, **listening)
    await press(carl, "Intervence", 18, {}, **all_three)
    await press(carl, "DropConf", 3, {}, **TALK)
    await press(carl, "MonitorAgent", 17, HER, **listening)
    await press(carl, "Intercept", 6, {}, a3="c1", c1="a3")
    await press(carl, "DropCall", 3, {})
    more = {"controlType": "4", "extraControlParam": "", **HER}
    row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **more)
    assert row.told["a1"] == ("MonitorContorled", "FinishWrapupSucc", "=3")
    await calls(floor, anna)
    await press(carl, "MonitorAgent", 17, HER, **listening)
    await press(carl, "ForceDrop", 3, {})
    await press(anna, "FinishWrapup", 3, {})
    await calls(floor, anna)
    more = {"controlType": "2", "extraControlParam": "", **HER}
    row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **more)
    assert row.told["a1"] == ("MonitorContorled",)
    await press(anna, "DropCall", 19, {})
    row = await press(anna, "FinishWrapup", 23, {})
    assert row.told["a1"] == ("FinishWrapupSucc", "LeaveSucc", "=23")
    await floor.tap(anna, "ResumeWork", "StateChange")


async def is_offered_who_waits(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await floor.tap(anna, "Leave", "StateChange", leaveReason="0")

    async def waits() -> None:
        await dials(floor, "10086", "900")
        await anna.event("QueueChange")

    await floor.becomes("a customer waits in a queue", waits, c1="moh")
    await floor.press(anna, "ResumeWork", 5, {})
    await floor.press(anna, "AnswerCall", 6, {}, **TALK)

    async def leaves() -> None:
        await hang_up(floor, "10086")
        await anna.shows(19)

    await floor.becomes("the customer hangs up", leaves)
    await floor.press(anna, "FinishWrapup", 3, {})


async def asks_what_can_not_be(floor: Floor) -> None:
    """Every command that needs something which is not so; and those that there is nothing for."""
    anna, bert, carl = floor.pages.values()
    refused = floor.refused
    for command in NotBuilt:
        why, event = await refused(anna, command)
        assert (event, "not built" in why) == ("–", True)
    await refused(anna, "Dail", "UnknownCommand")
    for command in (
        *("FinishWrapup", "CancelDial", "AnswerCall", "DropCall", "Hold", "FetchHold"),
        *("CancelConsult", "FinishConsult", "ConsultTransfer", "ConsultSwap", "ConsultSwapBack"),
        *("ConsultConf", "DropConf", "CancelCallInner", "FinishMonitor", "Intervence"),
        *("Intercept", "ForceDrop", "CancelWait"),
    ):
        await refused(carl, command)
    for what in ("Dial", "CallInner", "Monitor"):
        await refused(carl, f"CancelPrepare{what}", "Succ")
    await refused(carl, "MonitorAgent", **HER)
    await refused(anna, "MonitorControl", controlType="1", **to_agent("6003"))
    await refused(anna, "Consult", **HIM)
    await refused(anna, "OneStepTransfer", destType="AGT", destIns="6002")
    await refused(anna, "TransferToIVR", SVN="999")
    await refused(anna, "SendAgentMsg", message="hello", **HER)
    await refused(anna, "SetWorkMode", workMode="99")
    await refused(anna, "Leave", leaveReason="77")
    await refused(anna, "RefreshAgentList", agentListType="")
    await refused(anna, "SetFunctionSwitch", functionCode="Recording", isOn="true")
    await calls(floor, anna)
    for what in ("Dial", "CallInner", "Monitor"):
        await refused(anna, f"Prepare{what}", "Succ")
    for command in (
        *("CancelDial", "CancelCallInner", "CancelConsult", "FinishConsult", "CancelWait"),
        *("DropConf", "FinishMonitor"),
    ):
        await refused(anna, command)
    for command in ("Intervence", "Intercept", "ForceDrop"):
        await refused(carl, command)  # he has listened to her before
    await refused(bert, "MonitorAgent", **HER)  # he supervises nobody
    for control in Control:
        extra = {"controlType": control, "extraControlParam": "0"}
        await refused(bert, "MonitorControl", **extra, **HER)
    await floor.becomes("nothing of that was done", nothing, **TALK)
    await refused(anna, "Dial", phoneNum="10087")
    await refused(anna, "EncryptDial", phoneNum="10087", encryptMode="2")
    await refused(anna, "CallInner", **HIM)
    await floor.tap(anna, "TransferToIVR", "TransferFailed", SVN="111")
    await anna.shows(6)
    await floor.press(anna, "DropCall", 19, {})
    await floor.press(anna, "FinishWrapup", 3, {})


async def nothing() -> None:
    pass


async def goes_home(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    more = {"controlType": "1", "extraControlParam": "", **HER}
    row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **more)
    assert row.told["a1"] == ("MonitorContorled", "LogoffSucc", "=0")
    logon = {"agentName": "", "agentWorkMode": "0", "softPhoneCode": ""}
    await floor.tap(anna, "Logon", "WorkModeChange", **logon)
    await calls(floor, anna)
    row = await floor.tap(carl, "MonitorControl", "MonitorControlSucc", **more)
    assert "a1" not in row.told, "it is done when the call is over"
    row = await floor.press(anna, "DropCall", 1, {})
    assert row.told["a1"][-3:] == ("MonitorContorled", "LogoffSucc", "=0")
    assert (await floor.office.client.agent(ANNA)).state == "null"
    await floor.press(carl, "Logoff", 1, {})
