"""How a page names whom it wants, and what it is told where he can't be had."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection
from endpoint.callcontrol.model import ConnectionState
from endpoint.legs.base import DeviceId
from tests.softphone import SoftPhone
from tests.virtual_endpoint import have_it_in_this_loop

from .floor import Floor, calls, hang_up, open_floor, to_agent

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HIS_NUMBER = "1002"
"""Bert's; and the code of a skill, whose flow puts calls into a queue."""
TALK = {"a1": "c1", "c1": "a1"}


@pytest.fixture
async def floor(
    one_clock: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Floor]:
    have_it_in_this_loop(monkeypatch)
    directory = tmp_path / "office"
    ivr = [
        {"code": HIS_NUMBER, "flow": str(directory / "orders.toml")},
        {"code": "999", "flow": "survey", "directory": directory},
    ]
    skill = '{"skills": [{"skillCode": "1001"}]}'
    # Sooner than who waits for an event gives it up.
    calls = {"answer_timeout_s": 20, "dials_per_minute": 1_000_000}
    async with open_floor(tmp_path, anna=skill, ivr=ivr, calls=calls) as floor:
        anna = floor.pages["6001"]
        await anna.logon()
        await anna.shows(3)
        yield floor


def passed_on(page: SoftPhone, event: str) -> tuple[str, str]:
    """Where the call went, as the last event says that tells so."""
    infos = [each for each in page.events if each["event"] == event][-1]["coInfos"]
    assert infos["CN0_UserPhoneNum"] == "10086", "what else is known of it is told too"
    return infos["CCIVR_TRANSFERTYPE"], infos["CCIVR_TRANSFERDEST"]


async def test_a_transfer_says_where_the_call_went(floor: Floor) -> None:
    """An agent is meant by his number too, where a skill has that as its code."""
    anna, bert, carl = floor.pages.values()
    press = floor.press

    async def again() -> None:
        await hang_up(floor, "10086")
        await bert.stands_at(3)
        await press(anna, "FinishWrapup", 3, {})
        await calls(floor, anna)

    await calls(floor, anna)
    by_number = {"destType": "AGT", "destIns": HIS_NUMBER}
    await press(anna, "OneStepTransfer", 19, by_number, a2="c1", c1="a2")
    assert passed_on(anna, "OneStepTransferSucc") == ("AGT", "6002")
    await again()
    to_skill = {"destType": "SK", "destIns": HIS_NUMBER}
    await press(anna, "OneStepTransfer", 19, to_skill, c1="moh")
    assert passed_on(anna, "OneStepTransferSucc") == ("IVR", HIS_NUMBER)
    await again()
    out = {"destType": "OUT", "destIns": "10087"}
    await press(anna, "OneStepTransfer", 19, out, c1="c2", c2="c1")
    assert passed_on(anna, "OneStepTransferSucc") == ("OUT", "10087")
    await again()
    await press(anna, "TransferToIVR", 19, {"SVN": "999"}, c1="ivr")
    assert passed_on(anna, "TransferSucc") == ("IVR", "999")
    await again()
    await carl.do("Logoff")  # so his telephone is one where nobody works
    await carl.until("onLogoffSucc")
    extension = {"destSPType": "EXT", "destSPIns": "6003"}
    await press(anna, "Consult", 11, extension, a1="a3", a3="a1", c1="moh")
    await press(anna, "ConsultTransfer", 19, {}, a3="c1", c1="a3")
    assert passed_on(anna, "ConsultTransferSucc") == ("EXT", "6003")


async def test_a_number_in_a_call_that_shows_none_is_not_told_either(floor: Floor) -> None:
    anna = floor.pages["6001"]
    hidden = {"phoneNum": "10086", "encryptMode": "1"}
    await floor.press(anna, "EncryptDial", 6, hidden, **TALK)
    out = {"destType": "OUT", "destIns": "10087"}
    await floor.press(anna, "OneStepTransfer", 19, out, c1="c2", c2="c1")
    assert re.search(r"\b10086\b", str(anna.events)) is None
    (told,) = [each for each in anna.events if each["event"] == "OneStepTransferSucc"]
    assert told["coInfos"]["CCIVR_TRANSFERDEST"] == "***87"


async def test_telephones_are_called_and_heard_as_extensions(floor: Floor) -> None:
    anna, _, carl = floor.pages.values()
    extension = {"destSPType": "EXT", "destSPIns": "6002"}
    await floor.press(anna, "CallInner", 26, extension, a1="a2", a2="a1")
    hers = {"destSPType": "EXT", "destSPIns": "6001"}
    await floor.press(carl, "MonitorAgent", 17, hers, a1="a2", a2="a1", a3="a1 a2")
    await floor.press(carl, "FinishMonitor", 3, {}, a1="a2", a2="a1")


async def test_why_nobody_came_is_told_by_its_word(floor: Floor) -> None:
    """Of a dial, an inner call and a consultation; then there is no call, or the first."""
    bert = floor.pages["6002"]
    slow, controller = DeviceId("10088"), floor.carrier.controller

    async def declines() -> None:
        async for _ in controller.subscribe():
            for _, call, own in controller.whereabouts.connections_of(slow):
                if own.state is ConnectionState.ALERTING:
                    await controller.submit(ClearConnection(slow, call.id))
                    return

    async def dials_in_vain(code: str) -> None:
        await bert.do("Dial", phoneNum=slow)
        assert (await bert.event("DialFailed"))["errorCode"] == code
        await bert.shows(3)

    await asyncio.gather(dials_in_vain("declined"), declines())
    await dials_in_vain("no_answer")
    await bert.do("CallInner", **to_agent("6001"))
    assert (await bert.event("CallInnerFailed"))["errorCode"] == "no_answer"
    await bert.shows(3)
    await floor.press(bert, "Dial", 6, {"phoneNum": "10087"}, a2="c2", c2="a2")
    await bert.do("Consult", **to_agent("6001"))
    failed = await bert.event("ConsultFailed")
    assert (failed["errorCode"], failed["coInfos"]["CN0_UserPhoneNum"]) == ("no_answer", "10087")
    await bert.shows(6)
    await floor.becomes("and on", lambda: asyncio.sleep(0), a2="c2", c2="a2")
