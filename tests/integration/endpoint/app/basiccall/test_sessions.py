"""Pages come, log on, are loaded anew, are replaced, and go: by the socket, at a real endpoint."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from endpoint.agents.attempts import Attempts
from endpoint.app.basiccall import listener
from endpoint.app.basiccall.connection import Connection
from endpoint.app.eventsocket import HEARTBEAT_S
from endpoint.callcontrol.commands import MakeCall
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory
from endpoint.legs.base import DeviceId
from tests.softphone import PATIENCE_S

from .office import AGENTS, ANNA, BERT, CARL, DORA, PIN, Office

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_an_agent_works_from_log_on_to_log_off(office: Office) -> None:
    async with office.page(path="/WSAgentServer_111/websocket") as page:
        assert await page.until("onInited") == page.delegator_id
        assert page.state == 1
        settings = await page.until("onNotifySettings")
        assert [each["serviceWorkMode"] for each in settings["workModeSettings"]] == [0, 3, 6]
        assert page.buttons() == [1, 36]
        await page.logon()
        assert await page.until("onLogonSucc") == "6001"
        await page.shows(3)
        assert await page.until("onWorkModeChange") == "0"
        assert page.buttons() == [2, 3, 4, 33, 36, 37]
        await page.do("Leave", leaveReason="2")
        await page.shows(23)
        assert (await office.client.agent(ANNA)).reason == "meal"
        await page.do("ResumeWork")
        await page.shows(3)
        await page.do("SetWorkMode", workMode=3)
        assert await page.until("onWorkModeChange") == "3"
        await page.do("Logoff")
        await page.until("onLogoffSucc")
        await page.shows(1)
        assert (await office.client.agent(ANNA)).state == "null"
        page.work_mode = "0"
        await page.logon()
        await page.shows(3)
        assert (await office.client.agent(ANNA)).state == "ready"


async def test_who_chooses_to_be_away_leaves_and_is_back_by_another_mode(office: Office) -> None:
    async with office.at_work() as page:
        await page.do("SetWorkMode", workMode="6")
        await page.shows(23)
        assert page.work_mode == "6"
        await page.do("SetWorkMode", workMode="0")
        await page.shows(3)
        assert (await office.client.agent(ANNA)).state == "ready"


async def test_a_mode_without_calls_can_be_left_and_resumed(office: Office) -> None:
    async with office.at_work(work_mode="3") as page:
        await page.do("Leave", leaveReason="0")
        await page.shows(23)
        await page.do("ResumeWork")
        await page.shows(3)


async def test_a_session_has_the_wrap_up_and_the_skills_that_its_page_says(
    office: Office,
) -> None:
    given = {"agentWrapupSeconds": 7, "skills": [{"skillCode": "1001", "skillLevel": "5"}]}
    async with office.at_work(init_params=json.dumps(given)):
        (session,) = office.endpoint.roster.sessions()
        assert session.wrap_up_s == 7
        assert [(each.skill, each.level) for each in session.skills] == [("1001", 5)]


async def test_a_page_that_is_loaded_anew_goes_on_where_it_was(office: Office) -> None:
    async with office.at_work() as page:
        await page.do("Leave", leaveReason="1")
        await page.shows(23)
        kept = page.delegator_id
    async with office.page(delegator_id=kept, confirms=False) as page:
        assert await page.until("onInited") == kept
        assert page.state == 23
        await page.until("onNotifySettings")
        await page.do("ResumeWork")
        await page.shows(3)


async def test_a_second_page_asks_and_takes_over_and_the_first_is_told(office: Office) -> None:
    async with office.at_work() as first, office.page(confirms=True) as second:
        await second.until("onConfirmReplaceWebSocket")
        await second.until("onInited")
        assert second.state == 3
        assert second.delegator_id != first.delegator_id
        await first.until("onWebSocketReplaced")
        await first.do("Leave", leaveReason="0")
        assert (await first.refused())[:2] == ("Leave", "DelegatorIdNoMatch")
        await second.do("Leave", leaveReason="0")
        await second.shows(23)
        await first.send("WSHello", helloInfo="x", time="now")
        await first.until("onWSHello")
        assert [name for name, _ in first.heard].count("onWebSocketReplaced") == 1
        assert 23 not in first.states


async def test_who_is_asked_and_says_no_replaces_nobody(office: Office) -> None:
    async with office.at_work() as first:
        async with office.page(confirms=False) as second:
            await second.until("onConfirmReplaceWebSocket")
        await first.send("WSHello", helloInfo="x", time="now")
        await first.until("onWSHello")
        assert "onWebSocketReplaced" not in [name for name, _ in first.heard]


async def test_the_native_interface_sees_the_agent_and_can_take_it_over(office: Office) -> None:
    async with office.at_work() as page:
        assert (await office.client.agent(ANNA)).device == "6001"
        wanted = wire.LogOnAgent("6001", password=PIN, take_over=True)
        await office.client.log_on(ANNA, wanted)
        await page.until("onWebSocketReplaced")
        assert (await office.client.agent(ANNA)).state == "ready"


async def test_a_supervisor_has_an_agent_do_things(office: Office) -> None:
    async with office.at_work() as page, office.at_work(CARL, "6003") as carl:
        assert {5, 68} <= set(carl.buttons())

        async def control(kind: str, extra: str = "") -> None:
            await carl.do(
                "MonitorControl",
                destSPType="AGT",
                destSPIns="6001",
                controlType=kind,
                extraControlParam=extra,
            )

        await control("2")
        told = await page.event("LeaveSucc")
        assert told["agentInfos"]["agentState"] == "23"
        await page.shows(23)
        await control("3")
        await page.shows(3)
        await control("5", "3")
        assert await page.until("onWorkModeChange", lambda mode: mode == "3")
        await control("5", "6")
        await page.shows(23)
        await control("5", "0")
        await page.shows(3)
        await control("5", "99")
        assert (await carl.refused())[1] == "ProcessFailed"
        await control("1")
        await page.until("onLogoffSucc")
        controlled = [each["params"] for each in page.events if each["event"] == "MonitorContorled"]
        kinds = [each["controlType"] for each in controlled]
        assert kinds == ["2", "3", "5", "5", "2", "5", "3", "1"]
        assert {each["destSPName"] for each in controlled} == {"Carl"}, "who has done it"
        done = [each["params"] for each in carl.events if each["event"] == "MonitorControlSucc"]
        assert {each["destSPName"] for each in done} == {"Anna"}, "whom it was about"
        await page.do("MonitorControl", destSPType="AGT", destSPIns="6003", controlType="1")
        assert (await page.refused())[1] == "ProcessFailed"
        assert (await office.client.agent(CARL)).state == "ready"


async def test_who_supervises_nobody_controls_nobody(office: Office) -> None:
    async with office.at_work() as page, office.at_work(BERT, "6002"):
        await page.do("MonitorControl", destSPType="AGT", destSPIns="6002", controlType="1")
        command, code, text = await page.refused()
        assert (command, code) == ("MonitorControl", "ProcessFailed")
        assert "does not supervise" in text
        await page.do("RefreshAgentList", agentListType="AGENTLISTTYPE_MONITOR")
        assert (await page.until("onRefreshAgentListSucc"))["items"] == []


async def test_lists_show_agents_and_free_telephones(office: Office) -> None:
    async with office.at_work() as page, office.at_work(BERT, "6002"):
        await page.do("RefreshAgentList", agentListType="AGENTLISTTYPE_CONSULT")
        found = await page.until("onRefreshAgentListSucc")
        assert found["agentListType"] == "AGENTLISTTYPE_CONSULT"
        agents = [each for each in found["items"] if each["itemType"] == "1"]
        assert agents == [
            {
                "state": "3",
                "itemType": "1",
                "ins": "6002",
                "workID": "1002",
                "agentName": "Bert",
                "workMode": "0",
                "leaveReason": None,
                "dept": "1",
                "extnum": None,
                "devowner": None,
                "calst": None,
                "dworkID": None,
            }
        ]
        extensions = [each["extnum"] for each in found["items"] if each["itemType"] == "0"]
        assert extensions == ["10086", "6003", "6004"]


async def test_an_agent_stays_logged_on_if_its_page_says_so(office: Office) -> None:
    async with office.at_work() as page:
        await page.send("SetFunctionSwitch", functionCode="KeepLogon", isOn="true")
        await page.until("onFunctionSwitch", lambda found: found == ("KeepLogon", True, True))
        kept = page.delegator_id
    async with office.page(delegator_id=kept) as page:
        await page.until("onInited")
        assert await page.until("onFunctionSwitch") == ("KeepLogon", True, True)
        await page.send("SetFunctionSwitch", functionCode="Recording", isOn="true")
        assert (await page.refused())[1] == "ProcessFailed"


async def test_a_kept_log_on_ends_too(strict_office: Office) -> None:
    """After `basiccall.keep_logon_s`, and not after `agents.grace_s`, which is longer here."""
    roster, changed = strict_office.endpoint.roster, asyncio.Event()
    async with strict_office.at_work(code=PIN) as page:
        await page.send("SetFunctionSwitch", functionCode="KeepLogon", isOn="true")
        await page.until("onFunctionSwitch", lambda found: found == ("KeepLogon", True, True))
        unwatch = roster.watch(lambda _: changed.set())
    async with asyncio.timeout(PATIENCE_S):
        while roster.sessions():
            await changed.wait()
            changed.clear()
    unwatch()


async def test_who_waits_is_shown_where_the_agent_serves(office: Office) -> None:
    skill = json.dumps({"skills": [{"skillCode": "1001"}]})
    async with (
        office.at_work(ins="6004", init_params=skill) as page,
        office.at_work(BERT, "6002") as bert,
    ):
        await page.do("Leave")
        await page.shows(23)
        customer, controller = DeviceId("10086"), office.endpoint.controller
        call = (await controller.submit(MakeCall(customer, "900"))).call
        (shown,) = await page.until("onQueueChange")
        waited_s = shown.pop("qtm")
        assert waited_s >= 0
        assert shown == {
            "mCOType": "",
            "level": 0,
            "cotype": 0,
            "ani": "10086",
            "aid": "",
            "isOut": "",
            "dnis": "900",
            "coid": call,
            "sk": "1001",
            "reserved": None,
            "tenantID": "default",
            "isValid": True,
            "keyStr": "",
            "iconKey": "",
            "phoneNum": "10086",
        }
        async with office.page(ins="6004", delegator_id=page.delegator_id) as again:
            (still,) = await again.until("onQueueChange")
            assert still["coid"] == call
            await again.do("ResumeWork")
            (rings,) = await again.until("onQueueChange")
            assert rings["aid"] == "Anna"
            await again.shows(5)
            await again.do("AnswerCall")
            await again.until("onQueueChange", lambda queue: queue == [])
            assert bert.queue == []
            await again.do("DropCall")
            await again.shows(19)
            assert again.co_infos["SK"] == "1001"


async def test_agents_send_each_other_messages(office: Office) -> None:
    async with office.at_work() as page, office.at_work(BERT, "6002") as bert:
        said = "</script>\u2028“hello”"
        await page.do("SendAgentMsg", destSPType="AGT", destSPIns="6002", message=said)
        await page.event("SendAgentMsgSucc")
        params = (await bert.event("AgentMsg"))["params"]
        assert params.pop("time")
        assert params == {"agentId": ANNA, "agentName": "Anna", "ins": "6001", "message": said}
        for other in (CARL, ANNA):
            await page.do("SendAgentMsg", destSPType="AGT", destSPIns=other, message="x")
            assert (await page.refused())[:2] == ("SendAgentMsg", "ProcessFailed")
            assert (await page.event("SendAgentMsgFailed"))["errorCode"] == "not_logged_on"
        for _ in range(60):
            await page.do("SendAgentMsg", destSPType="AGT", destSPIns="6002", message="x")
        told = await page.event("SendAgentMsgFailed")
        assert told["errorCode"] == "too_many_messages"


async def test_the_example_of_the_documents_runs(office: Office) -> None:
    example = Path(__file__).parents[5] / "docs" / "examples" / "softphone.py"
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, str(example), DORA, "6003", "10086", office.url),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        shown, _ = await running.communicate()
    lines = [line.split() for line in shown.decode().splitlines()]
    assert running.returncode == 0
    assert lines[-1] == ["StateChange", "state", "0"]
    states = [int(line[-1]) for line in lines if line[0] == "StateChange"]
    assert states == [3, 9, 6, 7, 6, 3, 0]


# -- who it is ------------------------------------------------------------------------------------


async def test_with_tls_and_without_on_one_port(office: Office) -> None:
    async with office.at_work():
        pass
    async with office.page(tls=None) as plain:
        await plain.until("onInited")
    url = f"{office.secure_url}/any/path"
    connector = aiohttp.TCPConnector(ssl=office.trust)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url) as socket,
        asyncio.timeout(PATIENCE_S),
    ):
        await socket.send_str("hello")
        answer = json.loads((await socket.receive()).data)
        assert answer["errorCode"] == "UnknownCommand"


async def test_who_has_proven_nothing_is_not_told_whom_an_agent_supervises(
    strict_office: Office,
) -> None:
    (carl,) = (each for each in AGENTS if each.id == CARL)
    given = directory.DirectoryImport(agents=[carl], passwords={CARL: PIN})
    await strict_office.client.bring_into_directory(given)
    async with strict_office.page(CARL, "6003", code=PIN) as page:
        infos = (await page.event("SettingsNotify"))["agentInfos"]
        assert (infos["isMonitor"], infos["monitorDepts"]) == ("false", "")
        page.state = 3
        assert {5, 68}.isdisjoint(page.buttons())
        await page.logon()
        assert (await page.event("LogonSucc"))["agentInfos"]["monitorDepts"] == "1"
        await page.shows(3)
        assert {5, 68} <= set(page.buttons())


async def test_a_password_is_needed_where_nobody_is_believed(strict_office: Office) -> None:
    async with strict_office.page() as page:
        await page.until("onInited")
        await page.logon()
        ins, code, text = await page.until("onLogonFailed")
        assert (ins, code) == ("6001", "wrong_password")
        assert "softPhoneCode" in text
        page.code = "guessed"
        await page.logon()
        assert (await page.until("onLogonFailed"))[1] == "wrong_password"
        page.code = PIN
        await page.logon()
        await page.shows(3)


async def test_by_a_password_a_page_takes_over_at_its_log_on(strict_office: Office) -> None:
    async with (
        strict_office.at_work(code=PIN) as first,
        strict_office.page(code=PIN, confirms=True) as second,
    ):
        await second.until("onConfirmReplaceWebSocket")
        await second.until("onInited")
        assert second.state == 1, "it has proven nothing yet"
        await second.logon()
        await second.shows(3)
        await first.until("onWebSocketReplaced")


async def test_a_token_in_the_address_proves_who_it_is(
    strict_office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    token = (await strict_office.client.log_in(ANNA, PIN)).access_token
    async with strict_office.at_work(path=f"/ws?token={token}") as page:
        kept = page.delegator_id
    async with strict_office.page(path=f"/ws?token={token}", delegator_id="old") as page:
        await page.until("onInited")
        assert page.state == 3, "the token is enough to have the session back"
        assert page.delegator_id != kept
    async with strict_office.page(BERT, "6002", path=f"/ws?token={token}") as other:
        command, code, text = await other.refused()
        assert (command, code) == ("Init", "ProcessFailed")
        assert "1002" in text
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with strict_office.page(path="/ws?token=guessed"):
            pass
    assert refused.value.status == 401
    logged = capsys.readouterr()
    assert token not in logged.out + logged.err
    assert "guessed" not in logged.out + logged.err


async def test_a_revoked_token_ends_its_page(strict_office: Office) -> None:
    token = await strict_office.client.log_in(ANNA, PIN)
    async with strict_office.at_work(path=f"/?token={token.access_token}") as page:
        await strict_office.endpoint.tokens.revoke_of(ANNA)
        await page.until("onWSClose")
        assert page.close_code == 4401


async def test_a_foreign_page_is_refused(office: Office) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with office.page(headers={"Origin": "https://evil.example"}):
            pass
    assert refused.value.status == 403


# -- what is wrong --------------------------------------------------------------------------------


async def test_each_wrong_frame_has_its_name(office: Office) -> None:
    async with office.at_work() as page:
        kept = page.delegator_id
        page.ins = "6002"
        await page.do("Leave")
        assert (await page.refused())[:2] == ("Leave", "InvalidIns")
        page.ins, page.delegator_id = "6001", "guessed"
        await page.do("Leave")
        assert (await page.refused())[:2] == ("Leave", "DelegatorIdNoMatch")
        page.delegator_id = kept
        await page.send("Leave", agentId=BERT)
        assert (await page.refused())[:2] == ("Leave", "ProcessFailed")
        await page.do("Dail")
        assert (await page.refused())[:2] == ("Dail", "UnknownCommand")
        await page.do("Leave", leaveReason="77")
        assert (await page.refused())[:2] == ("Leave", "ProcessFailed")
        await page.event("LeaveFailed")
        await page.socket.send_str("{")
        assert (await page.refused())[1] == "UnknownCommand"
        await page.do("SendAgentMsg", destSPType="AGT", destSPIns="6002")
        assert "message" in (await page.refused())[2]
        assert page.state == 3


async def test_nothing_is_done_before_init_and_nothing_at_no_device(office: Office) -> None:
    async with office.page(confirms=False, ins="4711") as page:
        assert (await page.refused())[:2] == ("Init", "InvalidIns")
        await page.logon()
        assert (await page.refused())[:2] == ("Logon", "DelegatorIdNoMatch")
    async with office.page("4711", "6002") as page:
        await page.until("onInited")
        await page.do("Dial", phoneNum="6003")
        assert (await page.refused())[:2] == ("Dial", "ProcessFailed")
        await page.logon()
        assert (await page.until("onLogonFailed"))[1] == "unknown_agent"


@pytest.mark.parametrize(
    "wrong", ["{", {}, {"command": "Dail"}, {"ins": "6002"}, {"delegatorId": "guessed"}]
)
async def test_who_sends_nonsense_for_long_is_let_go(office: Office, wrong: Any) -> None:
    """And comes to nothing more from there for a while, however often it connects anew."""
    office.endpoint.basiccall._wrong = Attempts(listener.WRONG_FRAMES)
    async with office.page() as page:
        await page.until("onInited")
        right = {"command": "Leave", "ins": page.ins, "delegatorId": page.delegator_id}
        frame = wrong if isinstance(wrong, str) else json.dumps(wrong and right | wrong)
        for _ in range(listener.WRONG_FRAMES):
            await page.socket.send_str(frame)
        await page.until("onWSClose")
        assert page.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert len(page.refusals) == listener.WRONG_FRAMES
    async with office.page() as page:
        await page.until("onInited")
        await page.socket.send_str(frame)
        await page.until("onWSClose")
        assert page.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
    office.endpoint.basiccall._wrong = Attempts(listener.WRONG_FRAMES)


async def test_who_does_not_read_what_it_is_told_is_let_go(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not pile up for as long as the page likes to say that it lives."""
    monkeypatch.setattr(listener, "SLOWEST_S", 0.5)
    async with office.page() as page:
        await page.until("onInited")
        assert page.socket._conn is not None
        transport = page.socket._conn.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        async with asyncio.timeout(HEARTBEAT_S):  # that would notice it after so long
            with suppress(ConnectionError):
                while office.endpoint.basiccall._sockets:
                    await page.do("WSHello", ignored="x" * 1000)
        transport.resume_reading()
        await page.until("onWSClose")


async def test_a_page_that_asks_without_end_holds_up_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has sent waits its turn, behind what others ask."""
    done: list[str] = []
    took = Connection.take

    async def take(self: Connection, text: str | bytes) -> bool:
        done.append(self.ins)
        return await took(self, text)

    async with office.at_work() as page, office.at_work(BERT, "6002") as other:
        monkeypatch.setattr(Connection, "take", take)
        assert page.socket._conn is not None
        transport, burst = page.socket._conn.transport, bytearray()
        assert transport is not None
        with monkeypatch.context() as held_back:
            held_back.setattr(transport, "write", burst.extend)
            for _ in range(200):
                await page.do("RefreshAgentList", agentListType="AGENTLISTTYPE_CONSULT")
        transport.write(burst)
        await other.send("WSHello", helloInfo="", time="")
        await other.until("onWSHello")
        assert done.index("6002") < 100


async def test_ids_can_not_be_guessed_for_long(strict_office: Office) -> None:
    wanted = wire.LogOnAgent("6002", keep_logged_on=True)
    await strict_office.client.log_on(DORA, wanted)
    for number in range(10):
        async with strict_office.page(DORA, "6002", delegator_id=f"guess-{number}") as guesser:
            await guesser.until("onInited")
            assert guesser.state == 1
    async with strict_office.page(DORA, "6002", delegator_id="guess") as guesser:
        command, code, text = await guesser.refused()
        assert (command, code) == ("Init", "ProcessFailed")
        assert "too many" in text


async def test_the_listener_says_goodbye(office: Office) -> None:
    async with office.at_work() as page:
        await office.endpoint.basiccall.__aexit__(None, None, None)
        await page.until("onWSClose")
        assert page.close_code == aiohttp.WSCloseCode.GOING_AWAY
