"""Each button moves audio: pages press them, and who hears whom is measured at every party."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.softphone import SoftPhone
from tests.unit.endpoint.app.test_dialkeys import by_des

from .floor import (
    MASKED,
    REMOTE,
    SLOW_REMOTE,
    Floor,
    calls,
    hang_up,
    picks_up,
    reload,
    to_agent,
)
from .office import ANNA, CARL, DORA

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


async def test_a_call_is_handed_on_with_what_is_known_of_it(floor: Floor) -> None:
    anna, bert = floor.pages["6001"], floor.pages["6002"]
    await calls(floor, anna)
    to_bert = {"destType": "AGT", "destIns": "6002", "OrderID": "4711"}
    await floor.press(anna, "OneStepTransfer", 19, to_bert, a2="c1", c1="a2")
    arrived = await bert.until("onCallArrive")
    assert (arrived["OrderID"], arrived["ANI"]) == ("4711", "10086")
    await bert.shows(6)
    out = {"destSPType": "OUT", "destSPIns": "10087"}
    await floor.press(bert, "Consult", 14, out, a2="c2", c2="a2", c1="moh")
    assert bert.buttons() == [22, 21, 20, 41]
    await floor.press(bert, "ConsultTransfer", 3, {}, c1="c2", c2="c1")


async def test_a_number_that_the_page_may_not_show_is_dialled(floor: Floor) -> None:
    """Hidden also from whom the call is handed on to; encrypted numbers are those of our keys."""
    anna, bert = floor.pages["6001"], floor.pages["6002"]
    hidden = {"prefix": "100", "phoneNum": by_des("87"), "encryptMode": "3"}
    await floor.press(anna, "EncryptDial", 6, hidden, a1="c2", c2="a1")
    on_to_bert = {"destType": "AGT", "destIns": "6002", "EncryptMode": ""}
    await floor.press(anna, "OneStepTransfer", 19, on_to_bert, a2="c2", c2="a2")
    arrived = await bert.until("onCallArrive")
    assert (arrived["ANI"], arrived["CN0_UserPhoneNum"]) == ("***87", "***87")
    assert re.search(r"\b10087\b", str([*anna.events, *bert.events])) is None
    await floor.press(bert, "DropCall", 3, {})


# -- an agent whose telephone is in the public network ---------------------------------------------


def all_buttons(page: SoftPhone) -> set[int]:
    return {each["id"] for row in page.settings["stateSettings"] for each in row["functions"]}


@pytest.fixture
async def remote(floor: Floor) -> AsyncIterator[SoftPhone]:
    """Carl's page: he works at his mobile phone today."""
    await floor.pages["6003"].do("Logoff")
    await floor.pages["6003"].until("onLogoffSucc")
    async with floor.office.at_work(CARL, REMOTE) as page:
        yield page


async def test_a_remote_agent_does_what_its_mask_leaves(floor: Floor, remote: SoftPhone) -> None:
    """All but the masked buttons is there, and works: dial, transfer, leave, write up."""
    assert not all_buttons(remote) & MASKED
    assert remote.buttons() == [2, 3, 33, 36, 37, 68]
    await floor.press(remote, "Dial", 6, {"phoneNum": "10086"}, c2="c1", c1="c2")
    assert remote.buttons() == [9, 10, 37]
    to_bert = {"destType": "AGT", "destIns": "6002", "OrderID": "4711"}
    await floor.press(remote, "OneStepTransfer", 3, to_bert, a2="c1", c1="a2")
    arrived = await floor.pages["6002"].until("onCallArrive")
    assert arrived["OrderID"] == "4711"
    await floor.press(floor.pages["6002"], "DropCall", 3, {})
    await remote.do("Leave", leaveReason="0")
    await remote.shows(23)
    assert remote.buttons() == [2, 34, 36]
    await remote.do("ResumeWork")
    await remote.shows(3)


async def test_a_remote_agent_without_a_mask_does_all(floor: Floor, remote: SoftPhone) -> None:
    """The mask is emptied while we run; from the next Init on each button is there."""
    endpoint, anna = floor.office.endpoint, floor.pages["6001"]
    table = {**endpoint.config.basiccall.system_param, "SOFTPHONEMASKENABLED_RPN": ""}
    written = endpoint.config.basiccall.model_copy(update={"system_param": table})
    endpoint.reread = lambda: endpoint.config.model_copy(update={"basiccall": written})
    await reload(endpoint)
    await remote.init()
    await remote.until("onNotifySettings")
    assert all_buttons(remote) >= MASKED
    press, him = floor.press, {"destSPType": "AGT", "destSPIns": "6002"}
    await press(remote, "CallInner", 26, him, c2="a2", a2="c2")
    await press(remote, "DropCall", 3, {})
    await press(remote, "Dial", 6, {"phoneNum": "10086"}, c2="c1", c1="c2")
    await press(remote, "Hold", 7, {}, c1="moh")
    await press(remote, "FetchHold", 6, {}, c2="c1", c1="c2")
    await press(remote, "Consult", 11, him, c2="a2", a2="c2", c1="moh")
    await press(remote, "ConsultSwap", 12, {}, c2="c1", c1="c2", a2="moh")
    await press(remote, "ConsultSwapBack", 11, {}, c2="a2", a2="c2", c1="moh")
    all_three = {"c2": "a2 c1", "a2": "c1 c2", "c1": "a2 c2"}
    await press(remote, "ConsultConf", 21, {}, **all_three)
    await press(remote, "DropConf", 3, {})
    await press(remote, "Dial", 6, {"phoneNum": "10086"}, c2="c1", c1="c2")
    await press(remote, "Consult", 13, {"destSPType": "OUT", "destSPIns": "10088"}, c1="moh")

    async def answers() -> None:
        await picks_up(floor)
        await remote.shows(14)

    await floor.becomes("he picks up", answers, c2="c3", c3="c2", c1="moh")
    await press(remote, "ConsultTransfer", 3, {}, c1="c3", c3="c1")
    await hang_up(floor, "10086")
    await calls(floor, anna)
    her = {"destSPType": "AGT", "destSPIns": "6001"}
    await press(remote, "MonitorAgent", 17, her, a1="c1", c1="a1", c2="a1 c1")
    await press(remote, "Intervence", 18, {}, a1="c1 c2", c1="a1 c2", c2="a1 c1")
    await press(remote, "DropConf", 3, {}, a1="c1", c1="a1")
    await press(remote, "MonitorAgent", 17, her, a1="c1", c1="a1", c2="a1 c1")
    await press(remote, "Intercept", 6, {}, c1="c2", c2="c1")
    await anna.shows(19)
    await press(remote, "DropCall", 3, {})
    await press(anna, "FinishWrapup", 3, {})
    await calls(floor, anna)
    await press(remote, "MonitorAgent", 17, her, a1="c1", c1="a1", c2="a1 c1")
    await press(remote, "ForceDrop", 3, {})
    await anna.shows(19)
    await answers_at_its_telephone(floor)


async def test_a_masked_button_is_hidden_and_its_command_is_done(floor: Floor) -> None:
    """Leave and back, as the manual masks them; and hold in a call."""
    endpoint, anna = floor.office.endpoint, floor.pages["6001"]
    table = {**endpoint.config.basiccall.system_param, "SOFTPHONEMASKENABLED": "33,34,6"}
    written = endpoint.config.basiccall.model_copy(update={"system_param": table})
    endpoint.reread = lambda: endpoint.config.model_copy(update={"basiccall": written})
    assert anna.buttons() == [2, 3, 4, 33, 36, 37]
    await reload(endpoint)
    await anna.init()
    await anna.until("onNotifySettings")
    assert not all_buttons(anna) & {33, 34, 6}
    assert anna.buttons() == [2, 3, 4, 36, 37]
    await floor.press(anna, "Leave", 23, {"leaveReason": "0"})
    assert anna.buttons() == [2, 36]
    await floor.press(anna, "ResumeWork", 3, {})
    await calls(floor, anna)
    assert anna.buttons() == [7, 8, 9, 10, 37]
    await floor.press(anna, "Hold", 7, {}, c1="moh")


async def answers_at_its_telephone(floor: Floor) -> None:
    """The button asks that to pick up by itself, and else the agent does."""
    bert = floor.pages["6002"]
    async with floor.office.at_work(DORA, SLOW_REMOTE) as dora:
        await bert.do("CallInner", destSPType="AGT", destSPIns=DORA)
        await dora.shows(5)
        assert dora.buttons() == [42, 10]
        await dora.do("AnswerCall")
        await dora.shows(27)

        async def picked_up() -> None:
            await picks_up(floor)
            await dora.shows(26)

        await floor.becomes("it is picked up", picked_up, a2="c3", c3="a2")
        await floor.press(bert, "DropCall", 3, {})


async def test_an_agent_dials_what_it_may_wherever_it_works(floor: Floor) -> None:
    """Its call rights are rules of the dial plan: for the agent, not for the telephone."""
    anna, bert, _ = floor.pages.values()
    endpoint = floor.office.endpoint
    rule = {"name": "local", "pattern": "1*", "action": "refuse", "text": "Local calls only."}
    async with aiohttp.ClientSession(endpoint.running.plain_url) as http:
        bearer = {"Authorization": f"Bearer {endpoint.token}"}
        wanted = rule | {"callers": [f"agent:{ANNA}"]}
        async with http.post("/api/v1/plan/rules", json=wanted, headers=bearer) as answer:
            assert answer.status == 201, await answer.text()
    await anna.do("Dial", phoneNum="10087")
    failed = await anna.event("DialFailed")
    assert failed["errorCode"] == "number_refused"
    assert failed["errorDesc"].endswith("Local calls only.")
    await floor.press(bert, "Dial", 6, {"phoneNum": "10087"}, a2="c2", c2="a2")
    await floor.press(bert, "DropCall", 3, {})
    await bert.do("Logoff")
    await bert.until("onLogoffSucc")
    async with floor.office.at_work(ANNA, "6002") as moved:
        await moved.do("Dial", phoneNum="10087")
        await moved.event("DialFailed")


async def test_a_supervisor_whose_telephone_rings_gives_up(floor: Floor) -> None:
    """His own is called before he listens; he is still choosing, for all that his page shows."""
    bert = floor.pages["6002"]
    await floor.press(bert, "Dial", 6, {"phoneNum": "10087"}, a2="c2", c2="a2")
    async with floor.office.at_work(CARL, SLOW_REMOTE) as carl:
        await carl.do("MonitorAgent", **to_agent("6002"))
        await carl.shows(16)
        await carl.do("CancelPrepareMonitor")
        assert (await carl.event("MonitorFailed"))["errorCode"] == "normal"
        await carl.shows(3)
        assert ("done", "CancelPrepareMonitor") in carl.heard
    await floor.press(bert, "DropCall", 3, {})


async def test_a_page_shows_how_long_its_state_has_lasted(floor: Floor) -> None:
    """Each for itself: who puts a call aside begins anew."""
    anna = floor.pages["6001"]

    async def shown() -> str:
        await anna.send("WSHello", helloInfo="", time="")
        lasted = await anna.until("onWSHello")
        assert isinstance(lasted, str)
        return lasted

    await calls(floor, anna)
    await asyncio.sleep(61)
    assert (await shown()).startswith("00:01:0")
    await floor.press(anna, "Hold", 7, {}, c1="moh")
    await asyncio.sleep(5)
    assert await shown() == "00:00:05"


async def test_what_can_not_be_done_is_said_and_the_call_goes_on(floor: Floor) -> None:
    anna = floor.pages["6001"]
    await calls(floor, anna)
    refused = {
        "Dial": {"phoneNum": "10087"},
        "ConsultSwap": {},
        "CancelWait": {},
        "Intervence": {},
        "PrepareCallInner": {},
        "OneStepTransfer": {"destType": "SK", "destIns": "1002"},
        "EncryptDial": {"phoneNum": "10087", "encryptMode": "2"},
    }
    for command, params in refused.items():
        await anna.do(command, **params)
    await anna.send("WSHello", helloInfo="", time="")
    await anna.until("onWSHello")
    codes = {
        found["command"]: found["errorCode"] for name, found in anna.heard if name == "refused"
    }
    assert codes == dict.fromkeys([*refused.keys() - {"PrepareCallInner"}], "ProcessFailed")
    told = [each["event"] for each in anna.events if each["event"].endswith("Failed")]
    assert told == [
        *("DialFailed", "ConsultSwapFailed", "CancelWaitFailed", "InterveneFailed"),
        *("PrepareCallInnerFailed", "OneStepTransferFailed", "DialFailed"),
    ]
    assert anna.state == 6
    await floor.becomes("and on", lambda: asyncio.sleep(0), a1="c1", c1="a1")
