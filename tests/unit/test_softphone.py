"""How the soft phone of the tests reads frames: as BasicCall's script does, and where stricter.

`make interop-vendor` has the script itself read the same frames.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.softphone import JsError, SoftPhone

pytestmark = pytest.mark.unit

INS = "6001"
LISTS = dict.fromkeys(
    (
        *("stateSettings", "workModeSettings", "leaveReasonSettings", "transferSubItems"),
        *("transferIVRInfo", "transferAgentSkillInfo", "ivrButtonSettings"),
    ),
    "[]",
)
KEEPS = {"canKeepLogon": "true", "isKeepLogon": "false"}
IDLE = {"agentState": "3", "agentWorkMode": "0"}
SWITCH = ("onFunctionSwitch", ("KeepLogon", True, False))
NO_SWITCH = ("onFunctionSwitch", ("KeepLogon", False, False))

Frame = dict[str, Any] | str


def response(command: str, **more: Any) -> dict[str, Any]:
    return {"objectClass": "SPResponse", "command": command, "errorCode": "Succ"} | more


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"objectClass": "SPEvent", "event": name, "ins": INS, "errorCode": ""} | more


def settings(**more: Any) -> dict[str, Any]:
    return event("SettingsNotify", params=LISTS | more)


@dataclass(frozen=True)
class Reading:
    """Frames, one after the other, and what the last of them brings."""

    name: str
    frames: tuple[Frame, ...]
    calls: tuple[tuple[str, Any], ...] = ()
    """Of the host; `onEvent` with the event's name."""
    sends: tuple[str, ...] = ()
    state: int | None = None
    """That is shown from then on."""
    breaks: bool = False
    """The script throws."""
    stricter: str = ""
    """Why the script takes it, and ours does not."""
    confirms: bool | None = None


def taken(name: str, *frames: Frame, **more: Any) -> Reading:
    return Reading(name, frames, **more)


def breaks(name: str, *frames: Frame) -> Reading:
    return Reading(name, frames, breaks=True)


def too_lax(name: str, why: str, *frames: Frame) -> Reading:
    return Reading(name, frames, stricter=why)


INIT = response(
    "Init", datas={"delegatorId": "d-1", "agentState": "0", "agentWorkMode": ""}, agentInfos=KEEPS
)
READINGS = [
    # -- what is no frame
    taken("text that is no object", "hello"),
    taken("an unknown class", {"objectClass": "SPOther"}),
    breaks("no JSON", "{"),
    # -- answers
    taken("refused", response("Dial", errorCode="ProcessFailed")),
    taken("no errorCode is none", {"objectClass": "SPResponse", "command": "Init"}),
    taken("nobody has the agent", response("CheckWebSocket", datas={}), sends=("Init",)),
    taken(
        "somebody has it, and the host is asked",
        response("CheckWebSocket", datas={"isWebSocketExists": True}),
        calls=(("onConfirmReplaceWebSocket", None),),
        confirms=False,
    ),
    taken(
        "a text is true, whatever it says",
        response("CheckWebSocket", datas={"isWebSocketExists": "false"}),
        calls=(("onConfirmReplaceWebSocket", None),),
        confirms=False,
    ),
    taken(
        "a host that is not asked",
        response("CheckWebSocket", datas={"isWebSocketExists": True}),
        sends=("Init",),
    ),
    breaks("no datas", response("CheckWebSocket")),
    taken("Init", INIT, calls=(("onInited", "d-1"), ("onStateChange", 1), SWITCH), state=1),
    taken(
        "Init of a session that goes on",
        INIT | {"datas": {"delegatorId": "d-1", **IDLE}, "agentInfos": {}},
        calls=(("onInited", "d-1"), ("onStateChange", 3), NO_SWITCH),
        state=3,
    ),
    taken(
        "true is no text",
        INIT | {"agentInfos": {"canKeepLogon": True}},
        calls=(("onInited", "d-1"), ("onStateChange", 1), NO_SWITCH),
        state=1,
    ),
    breaks("Init without agentInfos", {k: v for k, v in INIT.items() if k != "agentInfos"}),
    breaks("Init without datas", response("Init", agentInfos={})),
    too_lax(
        "Init without a state",
        "it shows `undefined`",
        INIT | {"datas": {"delegatorId": "d-1", "agentWorkMode": ""}},
    ),
    too_lax(
        "Init without a delegatorId",
        "it has none in any frame from then on",
        INIT | {"datas": {"agentState": "0", "agentWorkMode": ""}},
    ),
    taken(
        "Logon, and what is sent then",
        response("Logon", datas={"delegatorId": "d-2"}),
        event("PrepareMonitorSucc"),
        calls=(("onEvent", "PrepareMonitorSucc"),),
        sends=("RefreshAgentList",),
    ),
    breaks("Logon without datas", response("Logon")),
    too_lax("Logon without a delegatorId", "as at Init", response("Logon", datas={})),
    taken(
        "a switch",
        response("SetFunctionSwitch", datas={"functionCode": "KeepLogon", "isOn": "true"}),
        calls=(("onFunctionSwitch", ("KeepLogon", True, True)),),
    ),
    taken(
        "a switch that it does not know",
        response("SetFunctionSwitch", datas={"functionCode": "Other", "isOn": "true"}),
    ),
    too_lax("a switch of nothing", "it says nothing", response("SetFunctionSwitch")),
    taken("hello", response("WSHello", datas={}), calls=(("onWSHello", None),)),
    # -- settings
    taken(
        "settings",
        INIT,
        settings(),
        calls=(("onNotifySettings", None), ("onStateChange", 1), ("onEvent", "SettingsNotify")),
        state=1,
    ),
    taken(
        "a list that is one already",
        INIT,
        settings(stateSettings=[]),
        calls=(("onNotifySettings", None), ("onStateChange", 1), ("onEvent", "SettingsNotify")),
        state=1,
    ),
    breaks("settings without params", event("SettingsNotify")),
    breaks("a list that does not end", settings(stateSettings="[")),
    breaks("an object is a block to eval", settings(stateSettings='{"state": 3, "functions": []}')),
    too_lax(
        "a list is missing", "undefined; the host goes through it", settings(stateSettings=None)
    ),
    too_lax("an empty text", "undefined, as above", settings(transferSubItems="")),
    too_lax("a script", "it runs it", settings(transferSubItems="[].concat([])")),
    too_lax(
        "a line end in a text", "not so before ES2019", settings(transferSubItems='["\u2028"]')
    ),
    # -- states
    taken(
        "a state",
        event("StateChange", agentInfos=IDLE),
        calls=(("onStateChange", 3), ("onEvent", "StateChange")),
        state=3,
    ),
    taken(
        "logged off is 1",
        event("StateChange", agentInfos=IDLE | {"agentState": "0"}),
        calls=(("onStateChange", 1), ("onEvent", "StateChange")),
        state=1,
    ),
    taken(
        "a work mode brings its state too, and says nothing of it",
        event("WorkModeChange", agentInfos=IDLE),
        calls=(("onWorkModeChange", "0"), ("onEvent", "WorkModeChange")),
        state=3,
    ),
    breaks("a state without agentInfos", event("StateChange")),
    breaks("a work mode without agentInfos", event("WorkModeChange")),
    too_lax(
        "a state that is a number",
        "hosts compare as they like",
        event("StateChange", agentInfos=IDLE | {"agentState": 3}),
    ),
    too_lax(
        "a state without its work mode",
        "the next log-on has none",
        event("StateChange", agentInfos={"agentState": "3"}),
    ),
    # -- who it is for
    taken("of another device", event("LogoffSucc") | {"ins": "6002"}),
    too_lax("a device that is a number", "== makes it one", event("LogoffSucc") | {"ins": 6001}),
    # -- log on and off
    taken(
        "logged on",
        event("LogonSucc", agentInfos=IDLE | KEEPS),
        calls=(SWITCH, ("onLogonSucc", INS), ("onEvent", "LogonSucc")),
    ),
    breaks("logged on without agentInfos", event("LogonSucc")),
    taken(
        "not logged on",
        event("LogonFailed") | {"errorCode": "7", "errorDesc": "why"},
        calls=(("onLogonFailed", (INS, "7", "why")), ("onEvent", "LogonFailed")),
    ),
    taken(
        "logged off",
        event("LogoffSucc"),
        calls=(("onLogoffSucc", INS), ("onEvent", "LogoffSucc")),
    ),
    taken(
        "replaced",
        event("WebSocketReplaced"),
        calls=(("onWebSocketReplaced", None), ("onEvent", "WebSocketReplaced")),
    ),
    # -- calls
    *(
        taken(
            f"{name} takes what is told of the call",
            event(name, coInfos={"ANI": "10086"}),
            calls=((f"on{name}", {"ANI": "10086"}), ("onEvent", name)),
        )
        for name in (
            *("CallArrive", "DialBegin", "DialSucc", "ConsultStart", "ConsultSucc"),
            *("ConsultFailed", "ConsultOver"),
        )
    ),
    too_lax("a call of which nothing is told", "undefined to the host", event("CallArrive")),
    *(
        taken(f"{name} is told", event(name), calls=((f"on{name}", None), ("onEvent", name)))
        for name in (
            *("DevConnected", "DevDisconnected", "PrepareDialSucc", "IVRCheckReturn"),
            *("WaitCallOver", "InterceptSucc", "InterveneSucc", "ForceDropSucc"),
        )
    ),
    *(
        taken(
            f"{name} has a code",
            event(name) | {"errorCode": "busy"},
            calls=((f"on{name}", "busy"), ("onEvent", name)),
        )
        for name in ("DialFailed", "OneStepTransferFailed")
    ),
    *(
        taken(f"{name} is a tip", event(name), calls=(("onEvent", name),))
        for name in ("HoldSucc", "HoldFailed", "TransferSucc", "ConfOver", "PrepareCallInnerFailed")
    ),
    taken(
        "after PrepareCallInner it asks for a list",
        event("PrepareCallInnerSucc"),
        calls=(("onEvent", "PrepareCallInnerSucc"),),
        sends=("RefreshAgentList",),
    ),
    taken(
        "the wrap-up runs out",
        event("WrapupTick", params={"tick": "3"}),
        calls=(("onEvent", "WrapupTick"),),
    ),
    breaks("the wrap-up without params", event("WrapupTick")),
    *(
        breaks(f"{name} without params", event(name))
        for name in (
            "MonitorContorled",
            "MonitorControlSucc",
            "MonitorControlFailed",
            "QueueChange",
        )
    ),
    taken(
        "who waits",
        event("QueueChange", params={"queueList": '[{"ani": "10086"}]'}),
        calls=(("onQueueChange", [{"ani": "10086"}]), ("onEvent", "QueueChange")),
    ),
    too_lax("nobody said who waits", "undefined to the host", event("QueueChange", params={})),
    taken(
        "a list of agents is an object in a text",
        event("RefreshAgentListSucc", params={"agentList": '{"items": []}'}),
        calls=(("onRefreshAgentListSucc", {"items": []}), ("onEvent", "RefreshAgentListSucc")),
    ),
    breaks(
        "a list of agents that is an object",
        event("RefreshAgentListSucc", params={"agentList": {"items": []}}),
    ),
    too_lax("no list of agents", "undefined to the host", event("RefreshAgentListSucc", params={})),
]


@dataclass
class Wire:
    """A socket without a server."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    async def send_str(self, text: str) -> None:
        self.sent.append(json.loads(text))


def text_of_frame(frame: Frame) -> str:
    return frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)


OF_TESTS = ("tip", "onTrace", "refused", "done")
"""What is no callback of the host, or not a word that it acts on."""


def callbacks(heard: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    silent = ("onNotifySettings", "onWSHello")  # the newer script's hosts are given nothing
    return tuple(
        (name, None if name in silent else value) for name, value in heard if name not in OF_TESTS
    )


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.name)
async def test_it_reads_as_the_script_does(reading: Reading) -> None:
    wire = Wire()
    phone = SoftPhone(wire, "1001", INS, confirms=reading.confirms)  # type: ignore[arg-type]
    *before, last = map(text_of_frame, reading.frames)
    for text in before:
        await phone.take(text)
    phone.heard.clear()
    wire.sent.clear()
    if reading.breaks or reading.stricter:
        with pytest.raises(JsError):
            await phone.take(last)
        return
    await phone.take(last)
    assert callbacks(phone.heard) == reading.calls
    assert tuple(each["command"] for each in wire.sent) == reading.sends
    assert phone.state == reading.state


async def test_what_it_logs_on_with_is_what_it_was_told_last() -> None:
    wire = Wire()
    phone = SoftPhone(wire, "1001", INS)  # type: ignore[arg-type]
    await phone.take(text_of_frame(INIT | {"datas": INIT["datas"] | {"agentWorkMode": "3"}}))
    await phone.logon()
    await phone.take(text_of_frame(event("StateChange", agentInfos=IDLE)))
    await phone.logon()
    assert [each["params"]["agentWorkMode"] for each in wire.sent] == ["3", "0"]


async def test_it_picks_up_by_itself_only_where_the_device_can() -> None:
    wire = Wire()
    phone = SoftPhone(wire, "1001", INS, auto_answer=True)  # type: ignore[arg-type]
    call = event("CallArrive", coInfos={"ANI": "10086"})
    for digital in ("false", "true"):
        infos = IDLE | {"isDigitalDevice": digital}
        await phone.take(text_of_frame(event("LogonSucc", agentInfos=infos)))
        await phone.take(text_of_frame(call))
        assert bool(wire.sent) is (digital == "true")


async def test_an_idle_agent_has_no_call() -> None:
    phone = SoftPhone(Wire(), "1001", INS)  # type: ignore[arg-type]
    await phone.take(text_of_frame(event("CallArrive", coInfos={"ANI": "10086"})))
    again = INIT | {"datas": {"delegatorId": "d-1", **IDLE}}
    await phone.take(text_of_frame(again))
    assert phone.co_infos, "an answer to Init clears nothing"
    await phone.take(text_of_frame(event("StateChange", agentInfos=IDLE)))
    assert phone.co_infos == {}
