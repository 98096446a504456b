"""From logs to what BasicCall's pages are told: each walk of its states, over a real roster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from endpoint.agents.events import LogOffCause
from endpoint.agents.model import STANDARD_MODES
from endpoint.agents.session import FinishWrapUp, LogOff, SetNotReady, SetReady, SetWorkMode
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.model import Participation
from endpoint.gateways.basiccall.names import CommandName as C
from endpoint.gateways.basiccall.names import State
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.exchange import FakeLeg
from tests.scenarios.basiccall import Page
from tests.scenarios.centre import ANNA, BERT, Centre, open_centre

pytestmark = pytest.mark.scenario

A, B = DeviceId("6001"), DeviceId("6002")


@pytest.fixture
async def centre() -> AsyncIterator[Centre]:
    async with open_centre(check=False) as centre:
        await centre.log_on()
        await centre.log_on(BERT, "6002")
        yield centre


@pytest.fixture
def anna(centre: Centre) -> Page:
    return Page(centre)


@pytest.fixture
def bert(centre: Centre) -> Page:
    return Page(centre, BERT)


async def submit(centre: Centre, command: do.Command) -> None:
    await centre.desk.controller.submit(command)


async def talking(centre: Centre, anna: Page) -> FakeLeg:
    """A customer calls Anna, who answers."""
    customer, station = await centre.desk.coming_in(called="6001")
    assert await anna.told() == ["CallArrive", "=5"]
    station.answer()
    assert await anna.told() == ["DevConnected", "=6"]
    return customer


async def consulting(centre: Centre, anna: Page, to: str = "6002") -> FakeLeg:
    """She asks somebody, who answers."""
    anna.ask(C.CONSULT)
    await centre.desk.consult("6001", to)
    station = await centre.desk.exchange.placed(to)
    station.ring()
    assert await anna.told() == ["ConsultStart", "=10" if to == "6002" else "=13"]
    station.answer()
    assert await anna.told() == ["ConsultSucc", "=11" if to == "6002" else "=14"]
    return station


async def test_a_call_comes_is_held_and_ends(centre: Centre, anna: Page) -> None:
    customer = await talking(centre, anna)
    await centre.desk.hold("6001")
    assert await anna.told() == ["HoldSucc", "=7"]
    await centre.desk.retrieve("6001")
    assert await anna.told() == ["FetchHoldSucc", "=6"]
    anna.ask(C.DROP_CALL)
    await centre.desk.clear("6001")
    assert await anna.told() == ["DropCallSucc", "DevDisconnected", "=19"]
    assert customer.is_over
    anna.ask(C.FINISH_WRAPUP)
    await centre.do(FinishWrapUp())
    assert await anna.told() == ["FinishWrapupSucc", "=3"]


async def test_the_customer_s_data_pops_up(centre: Centre, anna: Page) -> None:
    await centre.desk.coming_in(called="6001")
    await anna.told()
    infos = anna.events[0].call
    assert infos.items() >= {
        ("ANI", "10086"),
        ("DNIS", "6001"),
        ("17", "0"),
        ("CN0_UserPhoneNum", "10086"),
        ("tenantID", "acme"),
    }
    assert infos["IT"]


async def test_a_soft_device_is_answered_by_the_page(centre: Centre, anna: Page) -> None:
    await centre.desk.coming_in(called="6001")
    await anna.told()
    await centre.desk.answer("6001")
    anna.answered()
    assert await anna.told() == ["AnswerCallSucc", "=27", "DevConnected", "=6"]


async def test_who_is_not_answered_has_nothing_left_over(centre: Centre, anna: Page) -> None:
    customer, _ = await centre.desk.coming_in(called="6001")
    await anna.told()
    customer.hang_up()
    assert await anna.told() == ["DevDisconnected", "=3"]


async def test_a_number_is_asked_for_and_dialled(centre: Centre, anna: Page) -> None:
    anna.prepare(C.PREPARE_DIAL)
    assert await anna.told() == ["PrepareDialSucc", "=8"]
    anna.prepare(C.CANCEL_PREPARE_DIAL)
    assert await anna.told() == ["CancelPrepareDialSucc", "=3"]
    anna.prepare(C.PREPARE_DIAL)
    await anna.told()
    anna.ask(C.DIAL)
    far = await centre.desk.dialled()
    assert await anna.told() == ["DialBegin", "=9"]
    assert anna.events[0].call["17"] == "1"
    assert anna.events[0].call["CN0_UserPhoneNum"] == "10086"
    far.ring()
    far.answer()
    assert await anna.told() == ["DialSucc", "=6"]


async def test_a_dial_is_given_up_or_in_vain(centre: Centre, anna: Page) -> None:
    anna.ask(C.DIAL)
    await centre.desk.ringing()
    await anna.told()
    anna.ask(C.CANCEL_DIAL)
    await centre.desk.clear("6001")
    assert await anna.told() == ["CancelDialSucc", "DevDisconnected", "=3"]
    anna.ask(C.DIAL)
    far = await centre.desk.dialled()
    far.refuse(Cause.BUSY)
    assert await anna.told() == ["DialBegin", "=9", "DialFailed busy"]
    await asyncio.sleep(5)
    assert await anna.told() == ["DevDisconnected", "=3"]


async def test_the_page_s_own_states_are_refused_in_a_call(centre: Centre, anna: Page) -> None:
    """Its script asks for inner calls where it consults outside: that does no harm."""
    await talking(centre, anna)
    anna.prepare(C.PREPARE_CALL_INNER)
    assert await anna.told() == ["PrepareCallInnerFailed wrong_state"]
    anna.prepare(C.CANCEL_PREPARE_DIAL)
    assert await anna.told() == ["CancelPrepareDialFailed wrong_state"]
    assert anna.fold.state is State.TALK


async def test_a_colleague_is_consulted_swapped_and_left(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)
    await consulting(centre, anna)
    assert await bert.told() == ["CallArrive", "=5", "DevConnected", "=20"]
    anna.ask(C.CONSULT_SWAP)
    await centre.desk.alternate("6001")
    assert await anna.told() == ["ConsultSwapSucc", "=12"]
    assert await bert.told() == ["=38"]
    anna.ask(C.CONSULT_SWAP_BACK)
    await centre.desk.alternate("6001")
    assert await anna.told() == ["ConsultSwapBackSucc", "=11"]
    assert await bert.told() == ["=20"]
    anna.ask(C.FINISH_CONSULT)
    await centre.desk.reconnect("6001")
    assert await anna.told() == [
        *("FinishConsultSucc", "ConsultOver", "=7"),
        *("FetchHoldSucc", "=6"),
    ]
    assert anna.events[1].call["CN0_UserPhoneNum"] == "10086", "who is there again"
    assert await bert.told() == ["ConsultedOver", "DevDisconnected", "=3"]


async def test_a_consultation_is_given_up_or_in_vain(centre: Centre, anna: Page) -> None:
    await talking(centre, anna)
    anna.ask(C.CONSULT)
    await centre.desk.consult("6001", "6002")
    assert await anna.told() == ["ConsultStart", "=10"]
    assert anna.events[0].call["CN0_UserPhoneNum"] == "6002"
    anna.ask(C.CANCEL_CONSULT)
    await centre.desk.reconnect("6001")
    assert await anna.told() == [
        *("CancelConsultSucc", "ConsultOver", "=7"),
        *("FetchHoldSucc", "=6"),
    ]
    assert anna.events[1].call["CN0_UserPhoneNum"] == "10086", "the page has its data again"
    anna.ask(C.CONSULT)
    await centre.desk.consult("6001", "6002")
    (await centre.desk.exchange.placed("6002")).refuse(Cause.DECLINED)
    assert await anna.told() == ["ConsultStart", "=10", "ConsultFailed declined"]
    assert anna.events[2].call["CN0_UserPhoneNum"] == "10086"
    await asyncio.sleep(5)
    assert await anna.told() == ["=7", "FetchHoldSucc", "=6"]
    (refused,) = anna.fold.refuse(C.CONSULT, "invalid_state", "not now")
    assert refused.call["CN0_UserPhoneNum"] == "10086"


async def test_three_talk_and_the_conference_ends(centre: Centre, anna: Page, bert: Page) -> None:
    await talking(centre, anna)
    await consulting(centre, anna)
    await bert.told()
    anna.ask(C.CONSULT_CONF)
    await centre.desk.conference("6001")
    assert await anna.told() == ["ConsultConfSucc", "=21"]
    assert await bert.told() == ["ConsultedOver", "=30"]
    anna.ask(C.DROP_CONF)
    await submit(centre, do.ClearCall(A))
    assert await anna.told() == ["DropConfSucc", "DevDisconnected", "=19"]
    assert await bert.told() == ["DevDisconnected", "=3"]


async def test_a_conference_of_whom_one_has_left_is_a_call(centre: Centre, anna: Page) -> None:
    customer = await talking(centre, anna)
    await consulting(centre, anna, "10087")
    anna.ask(C.CONSULT_CONF)
    await centre.desk.conference("6001")
    assert await anna.told() == ["ConsultConfSucc", "=22"]
    assert Page(centre).fold.state is State.CALLOUT_CONF
    customer.hang_up()
    assert await anna.told() == ["ConfOver", "=6"]


async def test_a_call_is_transferred_to_who_was_consulted(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)
    await consulting(centre, anna)
    await bert.told()
    anna.ask(C.CONSULT_TRANSFER)
    await submit(centre, do.TransferCall(A))
    assert await anna.told() == ["ConsultTransferSucc", "DevDisconnected", "=19"]
    assert await bert.told() == ["ConsultedOver", "CallArrive", "DevConnected", "=6"]
    assert bert.events[1].call["CN0_UserPhoneNum"] == "10086"


async def test_somebody_outside_is_consulted(centre: Centre, anna: Page) -> None:
    await talking(centre, anna)
    far = await consulting(centre, anna, "10087")
    anna.ask(C.CONSULT_SWAP)
    await centre.desk.alternate("6001")
    assert await anna.told() == ["ConsultSwapSucc", "=15"]
    far.hang_up()
    assert await anna.told() == ["ConsultOver", "=6"]


async def test_the_customer_leaves_while_a_colleague_is_asked(centre: Centre, anna: Page) -> None:
    customer = await talking(centre, anna)
    await consulting(centre, anna)
    customer.hang_up()
    assert await anna.told() == ["=26"]
    await centre.desk.dial("6101", "6001")
    (await centre.desk.exchange.placed("6101")).answer()
    await asyncio.sleep(1)
    (await centre.desk.exchange.placed("6001")).ring()
    assert await anna.told() == ["CallArrive"], "nothing can be transferred to whom she has asked"
    assert anna.fold.state is Page(centre).fold.state is State.INNER_TALK


async def test_a_single_step_transfer_succeeds_or_not(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)
    anna.ask(C.ONE_STEP_TRANSFER)
    await submit(centre, do.AssociateData(A, {"OrderID": "4711"}))
    await centre.desk.transfer("6001", "6002")
    assert await anna.told() == ["OneStepTransferBegin", "=32"]
    station = await centre.desk.exchange.placed("6002")
    station.refuse(Cause.BUSY)
    assert await anna.told() == ["OneStepTransferFailed busy", "=6"]
    anna.ask(C.ONE_STEP_TRANSFER)
    await centre.desk.transfer("6001", "6002")
    station = await centre.desk.exchange.placed("6002")
    station.ring()
    assert (await bert.told())[-2:] == ["CallArrive", "=5"]
    (arrived,) = [event for event in bert.events if event.name == "CallArrive"]
    assert arrived.call.items() >= {("ANI", "10086"), ("OrderID", "4711"), ("17", "0")}
    station.answer()
    assert await anna.told() == [
        *("OneStepTransferBegin", "=32", "OneStepTransferSucc", "DevDisconnected", "=19")
    ]
    assert await bert.told() == ["DevConnected", "=6"]


async def test_a_call_goes_to_an_ivr_and_stays(centre: Centre, anna: Page) -> None:
    await talking(centre, anna)
    anna.ask(C.TRANSFER_TO_IVR)
    await centre.desk.transfer("6001", "999")
    (await centre.desk.exchange.placed("999")).answer()
    assert await anna.told() == [
        *("TransferBegin", "=32", "TransferSucc", "DevDisconnected", "=19")
    ]


async def test_a_customer_who_puts_us_aside_while_he_is_transferred_verifies_nothing(
    centre: Centre, anna: Page
) -> None:
    customer = await talking(centre, anna)
    anna.ask(C.TRANSFER_TO_IVR)
    await centre.desk.transfer("6001", "999")
    ivr = await centre.desk.exchange.placed("999")
    customer.hold()
    assert await anna.told() == ["TransferBegin", "=32"]
    ivr.refuse(Cause.BUSY)
    assert await anna.told() == ["TransferFailed busy", "=6"]


async def test_a_password_is_asked_for_and_the_customer_comes_back(
    centre: Centre, anna: Page
) -> None:
    customer = await talking(centre, anna)
    anna.ask(C.TRANSFER_TO_IVR)
    await submit(centre, do.LendCall(A, "999"))
    ivr = await centre.desk.exchange.placed("999")
    ivr.answer()
    assert await anna.told() == ["TransferBegin", "=31"]
    ivr.hang_up()
    assert await anna.told() == ["IVRCheckReturn", "=6"]
    anna.ask(C.TRANSFER_TO_IVR)
    await submit(centre, do.LendCall(A, "999"))
    (await centre.desk.exchange.placed("999")).answer()
    await anna.told()
    anna.ask(C.CANCEL_WAIT)
    await centre.desk.reconnect("6001")
    assert await anna.told() == ["CancelWaitSucc", "=6"]
    anna.ask(C.TRANSFER_TO_IVR)
    await submit(centre, do.LendCall(A, "999"))
    (await centre.desk.exchange.placed("999")).answer()
    await anna.told()
    customer.hang_up()
    assert await anna.told() == ["WaitCallOver", "DevDisconnected", "=19"]


async def test_an_ivr_that_was_never_there_has_asked_for_no_password(
    centre: Centre, anna: Page
) -> None:
    await talking(centre, anna)
    anna.ask(C.TRANSFER_TO_IVR)
    await submit(centre, do.LendCall(A, "999"))
    (await centre.desk.exchange.placed("999")).refuse(Cause.UNKNOWN_DEVICE)
    assert await anna.told() == ["TransferBegin", "=31", "TransferFailed unknown_device", "=6"]


async def test_colleagues_call_each_other(centre: Centre, anna: Page, bert: Page) -> None:
    anna.prepare(C.PREPARE_CALL_INNER)
    assert await anna.told() == ["PrepareCallInnerSucc", "=24"]
    anna.ask(C.CALL_INNER)
    station = await centre.desk.ringing("6001", "6002")
    assert await anna.told() == ["CallInnerBegin", "=25"]
    assert await bert.told() == ["CallArrive", "=5"]
    station.answer()
    assert await anna.told() == ["CallInnerSucc", "=26"]
    assert await bert.told() == ["DevConnected", "=26"]
    await centre.desk.hold("6001")
    assert await anna.told() == ["HoldSucc", "=41"]
    assert await bert.told() == ["=42"]


async def test_a_supervisor_listens_comes_in_and_takes_over(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)
    bert.prepare(C.PREPARE_MONITOR)
    assert await bert.told() == ["PrepareMonitorSucc", "=16"]
    bert.ask(C.MONITOR_AGENT)
    await submit(centre, do.JoinCall(B, A))
    station = await centre.desk.exchange.placed("6002")
    station.ring()
    station.answer()
    assert await bert.told() == ["MonitorBegin", "MonitorSucc", "=17"]
    assert await anna.told() == []
    bert.ask(C.INTERVENE)
    await submit(centre, do.JoinCall(B, A, Participation.ACTIVE))
    assert await bert.told() == ["InterveneSucc", "=18"]
    bert.ask(C.INTERCEPT)
    await submit(centre, do.InterceptCall(B, A))
    assert await bert.told() == ["InterceptSucc", "=6"]
    assert bert.events[0].call["ANI"] == "10086"
    assert await anna.told() == ["DevDisconnected", "=19"]


async def test_a_supervisor_ends_it_for_himself_or_for_all(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)

    async def listen() -> None:
        bert.ask(C.MONITOR_AGENT)
        await submit(centre, do.JoinCall(B, A))
        station = await centre.desk.exchange.placed("6002")
        station.ring()
        station.answer()
        assert (await bert.told())[-1] == "=17"

    await listen()
    bert.ask(C.FINISH_MONITOR)
    await centre.desk.clear("6002")
    assert await bert.told() == ["FinishMonitorSucc", "DevDisconnected", "=3"]
    await listen()
    call = centre.desk.call
    dropped = call.connection_of(A)
    assert dropped is not None
    bert.ask(C.FORCE_DROP)
    await submit(centre, do.ClearConnection(B, call.id, dropped.id))
    assert await bert.told() == ["ForceDropSucc", "DevDisconnected", "=3"]
    assert await anna.told() == ["DevDisconnected", "=19"]


async def test_a_page_that_is_loaded_anew_beside_a_supervisor_is_in_its_own_call(
    centre: Centre, anna: Page, bert: Page
) -> None:
    await talking(centre, anna)
    bert.ask(C.MONITOR_AGENT)
    await submit(centre, do.JoinCall(B, A, Participation.ACTIVE))
    station = await centre.desk.exchange.placed("6002")
    station.ring()
    station.answer()
    assert (await bert.told())[-1] == "=18"
    assert await anna.told() == []
    assert Page(centre).fold.state is State.TALK
    assert Page(centre, BERT).fold.state is State.INTERVENE_CONF


async def test_leave_and_back_by_oneself_and_by_a_supervisor(centre: Centre, anna: Page) -> None:
    anna.ask(C.LEAVE)
    await centre.do(SetNotReady("meal"))
    assert await anna.told() == ["LeaveSucc", "=23"]
    anna.ask(C.RESUME_WORK)
    await centre.do(SetReady())
    assert await anna.told() == ["ResumeWorkSucc", "=3"]
    await centre.do(SetNotReady(), by="1002")
    assert await anna.told() == ["MonitorContorled 2", "LeaveSucc", "=23"]
    await centre.do(SetReady(), by="1002")
    assert await anna.told() == ["MonitorContorled 3", "ResumeWorkSucc", "=3"]


async def test_what_a_supervisor_wants_for_after_a_call_is_told_once(
    centre: Centre, anna: Page, bert: Page
) -> None:
    """At once where it is to leave; when it has gone where it is to log off."""
    _, station = await centre.desk.coming_in(called="6002")
    station.answer()
    await bert.told()
    await centre.do(SetNotReady(), BERT, by="1001")
    assert await bert.told() == ["MonitorContorled 2"]
    await centre.desk.clear("6002")
    assert await bert.told() == ["DevDisconnected", "LeaveSucc", "=23"]
    await centre.do(SetReady(), BERT)
    _, station = await centre.desk.coming_in(called="6002")
    station.answer()
    await bert.told()
    await centre.do(LogOff(LogOffCause.FORCED), BERT, by="1001")
    assert await bert.told() == []
    await centre.desk.clear("6002")
    assert await bert.told() == ["DevDisconnected", "MonitorContorled 1", "LogoffSucc", "=0"]


async def test_a_supervisor_ends_the_wrap_up_by_one_thing(centre: Centre, anna: Page) -> None:
    for what, control, then in (
        (SetNotReady(), 2, ["LeaveSucc", "=23"]),
        (FinishWrapUp(), 4, ["=3"]),
    ):
        await talking(centre, anna)
        await centre.desk.clear("6001")
        assert (await anna.told())[-1] == "=19"
        await centre.do(what, by="1002")
        told = await anna.told()
        assert told == [f"MonitorContorled {control}", "FinishWrapupSucc", *then]
        await centre.do(SetReady())
        await anna.told()


async def test_a_work_mode_that_takes_no_calls_is_no_leave(centre: Centre, anna: Page) -> None:
    await centre.do(SetWorkMode(STANDARD_MODES[1]))
    assert await anna.told() == ["SetWorkModeSucc", "WorkModeChange"]
    assert anna.events[-1].agent.items() >= {("agentState", "3"), ("agentWorkMode", "3")}
    await centre.do(SetWorkMode(STANDARD_MODES[0]), by="1002")
    assert await anna.told() == ["MonitorContorled 5", "SetWorkModeSucc", "WorkModeChange"]


async def test_who_is_back_in_a_mode_without_calls_is_shown_so(centre: Centre, anna: Page) -> None:
    await centre.do(SetWorkMode(STANDARD_MODES[1]))
    await centre.do(SetNotReady("meal"))
    assert (await anna.told())[-2:] == ["LeaveSucc", "=23"]
    anna.ask(C.RESUME_WORK)
    await centre.do(SetReady(anyway=True))
    assert await anna.told() == ["ResumeWorkSucc", "=3"]


async def test_a_telephone_that_is_lost_is_shown(centre: Centre, anna: Page) -> None:
    await centre.telephone_goes()
    assert await anna.told() == ["=34"]


async def test_log_off_asked_and_forced(centre: Centre, anna: Page, bert: Page) -> None:
    await centre.roster.command(ANNA, LogOff())
    assert await anna.told() == ["LogoffSucc", "=0"]
    await centre.do(LogOff(LogOffCause.FORCED), BERT, by="1001")
    assert await bert.told() == ["MonitorContorled 1", "LogoffSucc", "=0"]


async def test_another_client_has_the_session(centre: Centre, anna: Page) -> None:
    await centre.log_on(take_over=True)
    assert await anna.told() == ["WebSocketReplaced"]


async def test_who_comes_later_finds_each_state_as_it_stands(
    centre: Centre, anna: Page, bert: Page
) -> None:
    """A page that is loaded anew in a call shows what the one before has shown."""

    def same() -> None:
        for page, agent in ((anna, ANNA), (bert, BERT)):
            assert Page(centre, agent).fold.state is page.fold.state

    await talking(centre, anna)
    same()
    await centre.desk.hold("6001")
    await anna.told()
    same()
    await centre.desk.retrieve("6001")
    await anna.told()
    await consulting(centre, anna)
    await bert.told()
    same()
    await centre.desk.alternate("6001")
    assert [await anna.told(), await bert.told()]
    same()
    await centre.desk.conference("6001")
    assert [await anna.told(), await bert.told()]
    same()
    await submit(centre, do.ClearCall(A))
    assert [await anna.told(), await bert.told()]
    same()
