"""A page's soft phone that reads as WSSoftPhone.js does, and breaks where that breaks.

What that script drops is dropped here, what it evaluates must be JavaScript, and what it takes for
granted is looked at without asking whether it is there: `JsError` is what its console would show.
`tests/unit/test_softphone.py` says how it reads, and where it is stricter than the script, which
reads the same frames by `make interop-vendor`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PATIENCE_S = 60.0
_LINE_ENDS = ("\n", "\r", "\u2028", "\u2029")
_LISTS = (
    *("stateSettings", "workModeSettings", "leaveReasonSettings", "transferSubItems"),
    *("transferIVRInfo", "transferAgentSkillInfo", "ivrButtonSettings"),
)
_TAKES_CALL = {
    "CallArrive": "onCallArrive",
    "DialBegin": "onDialBegin",
    "DialSucc": "onDialSucc",
    "ConsultStart": "onConsultStart",
    "ConsultSucc": "onConsultSucc",
    "ConsultFailed": "onConsultFailed",
    "ConsultOver": "onConsultOver",
}
_PLAIN = {
    "DevConnected": "onDevConnected",
    "DevDisconnected": "onDevDisconnected",
    "PrepareDialSucc": "onPrepareDialSucc",
    "IVRCheckReturn": "onIVRCheckReturn",
    "WaitCallOver": "onWaitCallOver",
    "InterceptSucc": "onInterceptSucc",
    "InterveneSucc": "onInterveneSucc",
    "ForceDropSucc": "onForceDropSucc",
    "WebSocketReplaced": "onWebSocketReplaced",
}


class JsError(Exception):
    """The script would have thrown."""


def member(value: Any, key: str) -> Any:
    """`value.key`: undefined, here None, where there is no such key; no value has none at all."""
    if value is None:
        raise JsError(f"TypeError: can't read {key} of undefined")
    return value.get(key) if isinstance(value, dict) else None


def evaluated(text: Any) -> Any:
    """`eval(text)`: what is no text is itself."""
    if not isinstance(text, str):
        return text
    if any(end in text for end in _LINE_ENDS):
        raise JsError("SyntaxError: a string is not terminated")
    if text.lstrip().startswith("{"):
        raise JsError("SyntaxError: eval takes that for a block")
    try:
        return json.loads(text)
    except ValueError as error:
        raise JsError(f"SyntaxError: {error}") from None


def text_of(value: Any, key: str) -> str:
    """A text, and nothing else: the script compares loosely, a host may not."""
    found = member(value, key)
    if not isinstance(found, str):
        raise JsError(f"{key} is no text: {found!r}")
    return found


def list_of(params: Any, key: str) -> list[Any]:
    """A list by `eval`: hosts go through it without asking whether it is one."""
    found = evaluated(member(params, key))
    if not isinstance(found, list):
        raise JsError(f"TypeError: {key} is no list: {found!r}")
    return found


@dataclass
class SoftPhone:
    """`new WSSoftPhone(attrs, eventHandler)`; its callbacks are in `heard`."""

    socket: aiohttp.ClientWebSocketResponse
    agent: str
    ins: str
    delegator_id: str = ""
    confirms: bool | None = None
    """What its host answers where another page has the agent; None: it has no such handler."""
    code: str = ""
    """`softPhoneCode`."""
    init_params: str = ""
    """`customInitParams`."""
    work_mode: str = ""
    """What the log-on asks for: the one of the last answer or event, or set after `Init`."""
    auto_answer: bool = False
    """`isAutoAnswer`."""
    state: int | None = None
    states: list[int] = field(default_factory=list)
    heard: list[tuple[str, Any]] = field(default_factory=list)
    """Callbacks of the host, in their order; with `tip` what its user reads."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Every event, as `onEvent` has it."""
    answers: list[tuple[str, str]] = field(default_factory=list)
    """Of every command its name and `errorCode`, as they came."""
    refusals: list[str] = field(default_factory=list)
    """Of those that were not taken, why."""
    settings: dict[str, Any] = field(default_factory=dict)
    co_infos: dict[str, Any] = field(default_factory=dict)
    queue: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None
    can_auto_answer: bool = False
    watch: Callable[[str, Any], None] = lambda name, value: None
    """Is told what is heard, as it is."""
    _read: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    # -- what it sends ----------------------------------------------------------------------------

    async def send(self, command: str, **params: Any) -> None:
        frame = {
            "command": command,
            "objectClass": "SPCommand",
            "delegatorId": self.delegator_id,
            "ins": self.ins,
            "params": params,
        }
        await self.socket.send_str(json.dumps(frame, ensure_ascii=False))

    async def do(self, command: str, **params: Any) -> None:
        """A command with `agentId`, as most have it."""
        await self.send(command, agentId=self.agent, **params)

    async def open(self) -> None:
        """What it sends when its socket is open."""
        await self.do("CheckWebSocket", agentName="", delegatorId=self.delegator_id)

    async def init(self) -> None:
        more = {"customInitParams": self.init_params} if self.init_params else {}
        await self.do("Init", agentName="", delegatorId=self.delegator_id, **more)

    async def logon(self) -> None:
        more = {"customInitParams": self.init_params} if self.init_params else {}
        await self.do(
            "Logon",
            agentName="",
            agentWorkMode=self.work_mode,
            softPhoneCode=self.code,
            **more,
        )

    # -- what it reads ----------------------------------------------------------------------------

    async def follow(self) -> None:
        async for message in self.socket:
            async with self._news:
                await self.take(message.data)
                self._news.notify_all()
        async with self._news:
            self.close_code = self.socket.close_code
            self._hear("onWSClose")
            self._news.notify_all()

    async def take(self, text: str) -> None:
        """A frame."""
        if not text.startswith("{"):
            return
        try:
            frame = json.loads(text)
        except ValueError as error:
            raise JsError(f"SyntaxError: {error}") from None
        await self._process(frame)

    def _hear(self, name: str, value: Any = None) -> None:
        self.heard.append((name, value))
        self.watch(name, value)

    async def _process(self, frame: dict[str, Any]) -> None:
        match frame.get("objectClass"):
            case "SPEvent":
                await self._process_event(frame)
            case "SPResponse":
                await self._process_response(frame)
            case None:
                self._hear("onTrace", frame)
            case other:
                self._hear("onTrace", f"unknow msg {other}")

    async def _process_response(self, frame: dict[str, Any]) -> None:
        command, code = frame.get("command"), frame.get("errorCode")
        self.answers.append((str(command), str(code)))
        if code != "Succ":
            self.refusals.append(str(frame.get("errorDesc")))
            self._hear("tip", f"{command}错误:{code}")
            self._hear("refused", frame)  # for tests; the script has no such callback
            return
        datas = frame.get("datas")
        match command:
            case "CheckWebSocket":
                await self._checked(bool(member(datas, "isWebSocketExists")))
            case "Init":
                self.delegator_id = text_of(datas, "delegatorId")
                self._hear("onInited", self.delegator_id)
                self._be(datas)
                self._show_state()
                self._keep_logon(frame.get("agentInfos"))
            case "Logon":
                self.delegator_id = text_of(datas, "delegatorId")
            case "SetFunctionSwitch":
                function, is_on = member(datas, "functionCode"), member(datas, "isOn")
                if not function or not is_on:
                    raise JsError("the script says nothing of it at all")
                if function == "KeepLogon":
                    self._hear("onFunctionSwitch", (function, True, is_on == "true"))
            case "WSHello":
                self._hear("onWSHello", member(datas, "stateTimeLength"))
            case _:
                self._hear("done", command)  # for tests, as above

    async def _checked(self, exists: bool) -> None:
        if exists and self.confirms is not None:
            self._hear("onConfirmReplaceWebSocket")
            if not self.confirms:
                return
        await self.init()

    def _keep_logon(self, infos: Any) -> None:
        can, keeps = member(infos, "canKeepLogon"), member(infos, "isKeepLogon")
        can = can == "true"
        self._hear("onFunctionSwitch", ("KeepLogon", can, can and keeps == "true"))

    def _be(self, infos: Any) -> None:
        """What it shows from now on."""
        state = text_of(infos, "agentState")
        self.state = 1 if state == "0" else int(state)
        self.work_mode = text_of(infos, "agentWorkMode")

    def _show_state(self) -> None:
        assert self.state is not None
        self.states.append(self.state)
        self._hear("onStateChange", self.state)

    async def _process_event(self, frame: dict[str, Any]) -> None:
        if (ins := text_of(frame, "ins")) != self.ins:
            self._hear("onTrace", f"Ins not match: {ins}")
            return
        name, infos = frame["event"], frame.get("agentInfos")
        failed = frame.get("errorCode"), frame.get("errorDesc")
        if name in _TAKES_CALL:
            before, self.co_infos = self.co_infos, frame.get("coInfos", {})
            if not self.co_infos and (before or name != "ConsultFailed"):
                raise JsError(f"no coInfos of {name}: the host looks at what is not there")
            self._hear(_TAKES_CALL[name], self.co_infos)
            if name == "CallArrive" and self.auto_answer and self.can_auto_answer:
                await self.do("AnswerCall")  # the script waits 200 ms first
        elif name in _PLAIN:
            self._hear(_PLAIN[name])
        else:
            await self._other(name, frame, infos, failed)
        self.events.append(frame)
        self._hear("onEvent", name)

    async def _other(self, name: str, frame: dict[str, Any], infos: Any, failed: Any) -> None:
        params = frame.get("params")
        match name:
            case "SettingsNotify":
                self.settings = {key: list_of(params, key) for key in _LISTS}
                self._hear("onNotifySettings", self.settings)
                self._hear("onStateChange", self.state)
            case "StateChange":
                self._be(infos)
                if self.state == 3:
                    self.co_infos = {}
                self._show_state()
            case "WorkModeChange":
                # It is in that state from then on, and shows its buttons, but tells nobody.
                self._be(infos)
                self._hear("onWorkModeChange", self.work_mode)
            case "LogonSucc":
                self._keep_logon(infos)
                self.can_auto_answer = member(infos, "isDigitalDevice") == "true"
                self._hear("onLogonSucc", self.ins)
            case "LogonFailed":
                self._hear("onLogonFailed", (self.ins, *failed))
            case "LogoffSucc":
                self._hear("onLogoffSucc", self.ins)
            case "DialFailed":
                self._hear("onDialFailed", failed[0])
            case "QueueChange":
                self.queue = list_of(params, "queueList")
                self._hear("onQueueChange", self.queue)
            case "RefreshAgentListSucc":
                given = member(params, "agentList")
                if not isinstance(given, str):
                    raise JsError("SyntaxError: ([object Object])")
                self._hear("onRefreshAgentListSucc", evaluated(f"[{given}]")[0])
            case "PrepareCallInnerSucc":
                await self.do("RefreshAgentList", agentListType="AGENTLISTTYPE_CALLINNER")
            case "PrepareMonitorSucc":
                await self.do("RefreshAgentList", agentListType="AGENTLISTTYPE_MONITOR")
            case "WrapupTick":
                self._hear("tip", f"话后完成倒计时:{member(params, 'tick')}")
            case "OneStepTransferFailed":
                self._hear("onOneStepTransferFailed", failed[0])
            case "MonitorControlSucc" | "MonitorControlFailed" | "MonitorContorled":
                self._hear("tip", f"{name} {member(params, 'destSPName')}")
            case _:
                self._hear("tip", name)

    # -- for tests --------------------------------------------------------------------------------

    async def until(self, name: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next callback of that name; those before it are read past."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            while True:
                while self._read < len(self.heard):
                    found, value = self.heard[self._read]
                    self._read += 1
                    if found == name and fits(value):
                        return value
                await self._news.wait()

    def read_past(self) -> None:
        """What was heard until now is not waited for any more."""
        self._read = len(self.heard)

    async def shows(self, state: int) -> None:
        """Until its page shows that state, from what was not read yet."""
        await self.until("onStateChange", lambda found: found == state)

    async def stands_at(self, *states: int) -> None:
        """Until its page shows one of those, if it does not already."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self.state in states)

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        await self.until("onEvent", lambda found: found == name)
        return next(each for each in reversed(self.events) if each["event"] == name)

    async def answered(self, count: int) -> None:
        """Until more commands have been answered than these."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(self.answers) > count)

    async def refused(self) -> tuple[str, str, str]:
        """The next command that was not taken: which, why, in which words."""
        frame = await self.until("refused")
        return frame["command"], frame["errorCode"], frame["errorDesc"]

    def buttons(self) -> list[int]:
        """Those of the state that it shows."""
        rows = self.settings["stateSettings"]
        return [
            each["id"]
            for row in rows
            if row["state"] == self.state
            for each in row["functions"]
            if each["enabled"]
        ]


@asynccontextmanager
async def soft_phone(
    url: str, agent: str, ins: str, *, tls: ssl.SSLContext | None = None, **attrs: Any
) -> AsyncIterator[SoftPhone]:
    """One whose socket is open, and that has sent what the script sends then."""
    headers = attrs.pop("headers", {})
    connector = aiohttp.TCPConnector(ssl=tls) if tls is not None else None
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, headers=headers, max_msg_size=0) as socket,
    ):
        phone = SoftPhone(socket, agent, ins, **attrs)
        async with asyncio.TaskGroup() as group:
            group.create_task(phone.follow())
            await phone.open()
            yield phone
            await socket.close()
