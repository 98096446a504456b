"""A supervisor at an agent in two calls; lists; what is so already when it is asked for."""

from __future__ import annotations

import pytest

from .office import BERT, CARL, DORA, Office

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_supervisor_hears_comes_in_and_drops_the_call_in_which_the_agent_talks(
    office: Office,
) -> None:
    async with (
        office.at_work() as page,
        office.at_work(BERT, "6002") as bert,
        office.at_work(CARL, "6003") as carl,
    ):
        await page.do("Dial", phoneNum="10086")
        await page.shows(6)
        await page.do("Consult", destSPType="AGT", destSPIns="6002")
        await page.shows(11)
        await bert.shows(20)
        await carl.do("MonitorAgent", destSPType="AGT", destSPIns="6001")
        await carl.shows(17)
        await carl.do("ForceDrop")
        await carl.event("ForceDropSucc")
        await page.shows(6)
        await bert.shows(3)
        await carl.shows(3)
        await page.do("Consult", destSPType="AGT", destSPIns="6002")
        await page.shows(11)
        await carl.do("MonitorAgent", destSPType="AGT", destSPIns="6001")
        await carl.shows(17)
        await carl.do("Intervence")
        await carl.shows(18)
        await carl.do("ForceDrop")  # whom it talks with then would stay
        assert (await carl.event("ForceDropFailed"))["errorCode"] == "invalid_state"
        await carl.do("Intercept")
        await carl.event("InterceptSucc")
        await page.shows(6)


async def test_what_is_so_already_is_told_when_it_is_asked_for(office: Office) -> None:
    async with office.at_work() as page:
        for command, event, params in (
            ("SetWorkMode", "SetWorkModeSucc", {"workMode": "0"}),
            ("ResumeWork", "ResumeWorkSucc", {}),
        ):
            await page.do(command, **params)
            assert (await page.event(event))["agentInfos"]["agentState"] == "3"
        await page.do("Leave", leaveReason="1")
        await page.shows(23)
        await page.do("Leave", leaveReason="1")
        await page.event("LeaveSucc")
        await page.do("ResumeWork")
        await page.shows(3)
        told = [each["event"] for each in page.events]
        assert told.count("LeaveSucc") == 2
        assert told.count("ResumeWorkSucc") == 2


async def test_an_ivr_that_there_is_not_asks_for_no_password(office: Office) -> None:
    async with office.at_work() as page:
        await page.do("Dial", phoneNum="10086")
        await page.shows(6)
        await page.do("TransferToIVR", SVN="111", TRANSFERPREPARE_CHECKPASSWORD="1")
        await page.event("TransferFailed")
        await page.send("WSHello", helloInfo="x", time="now")
        await page.until("onWSHello")
        assert page.state == 6
        await page.do("TransferToIVR", SVN="8888", TRANSFERPREPARE_CHECKPASSWORD="1")
        await page.shows(31)
        await page.do("CancelWait")
        await page.shows(6)
        assert "IVRCheckReturn" not in [each["event"] for each in page.events]


async def test_each_list_has_those_whom_it_is_for(office: Office) -> None:
    async with (
        office.at_work() as page,
        office.at_work(DORA, "6004"),
        office.at_work(CARL, "6003") as carl,
    ):
        await page.do("Dial", phoneNum="10086")
        await page.shows(6)
        everybody, his = {"6001": "6", "6004": "3"}, {"6001": "6"}
        telephones = {"10086": "1", "6002": "32"}
        for kind, agents, others in (
            ("CONSULT", everybody, telephones),
            ("TRANSFER", everybody, telephones),
            ("ALERTTRANSFER", everybody, telephones),
            ("CALLINNER", everybody, telephones),
            ("AGENTMSG", everybody, {}),
            ("MONITOR", his, {}),
            ("MONITORCONTROL", his, {}),
        ):
            await carl.do("RefreshAgentList", agentListType=f"AGENTLISTTYPE_{kind}")
            listed = await carl.until("onRefreshAgentListSucc")
            assert listed["agentListType"] == f"AGENTLISTTYPE_{kind}"
            rows = {each["ins"]: each for each in listed["items"]}
            states = {ins: row["state"] for ins, row in rows.items() if row["itemType"] == "1"}
            free = {ins: row["calst"] for ins, row in rows.items() if row["itemType"] == "0"}
            assert (states, free) == (agents, others), kind
