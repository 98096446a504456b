"""What a command asks for, with its parameters read; who sent a bad one is told which and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from endpoint.agents.model import AgentId, SkillLevel
from endpoint.gateways.basiccall.coinfos import HIDDEN
from endpoint.gateways.basiccall.frames import BadFrame, SPCommand
from endpoint.gateways.basiccall.names import (
    CommandName,
    Control,
    Destination,
    ErrorCode,
    ListType,
)

_AGENT = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
_INTEGER = re.compile(r"-?[0-9]{1,6}", re.ASCII)
_LONGEST_WRAP_UP_S = 86_400
_TRUE = frozenset({"1", "true", "True"})
_FALSE = frozenset({"", "0", "false", "False"})
_OF_TRANSFERS = frozenset(
    {"agentId", "destType", "destIns", "SVN", "TRANSFERPREPARE_CHECKPASSWORD", HIDDEN}
)
"""Parameters that are no data of the call."""


@dataclass(frozen=True, slots=True)
class CheckWebSocket:
    """Whether another page has the agent."""

    agent: AgentId


@dataclass(frozen=True, slots=True)
class CustomInit:
    """What a session has instead of what the directory says."""

    wrap_up_s: float | None = None
    skills: tuple[SkillLevel, ...] | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """A page begins, or is loaded anew."""

    agent: AgentId
    name: str = ""
    custom: CustomInit = CustomInit()


@dataclass(frozen=True, slots=True)
class Logon:
    """An agent wants to work."""

    agent: AgentId
    name: str = ""
    mode: int | None = None
    code: str = field(default="", repr=False)
    """`softPhoneCode`: the agent's password."""
    custom: CustomInit = CustomInit()


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without parameters that matter."""

    name: CommandName


@dataclass(frozen=True, slots=True)
class SetWorkMode:
    """See the command."""

    mode: int


@dataclass(frozen=True, slots=True)
class Leave:
    """See the command."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """See the command; `EncryptDial` too."""

    number: str = field(repr=False)
    ani: str = ""
    encryption: str = ""
    """`1` hides the number from the page; `2` and `3` are sent encrypted, and hidden too."""
    prefix: str = ""
    """Dialled before it."""
    command: CommandName = CommandName.DIAL


@dataclass(frozen=True, slots=True)
class Consult:
    """See the command."""

    kind: Destination
    to: str


@dataclass(frozen=True, slots=True)
class CallInner:
    """See the command."""

    kind: Destination
    to: str


@dataclass(frozen=True, slots=True)
class MonitorAgent:
    """See the command."""

    kind: Destination
    to: str


@dataclass(frozen=True, slots=True)
class MonitorControl:
    """See the command."""

    to: str
    control: Control
    extra: str = ""


@dataclass(frozen=True, slots=True)
class RefreshAgentList:
    """See the command."""

    kind: ListType


@dataclass(frozen=True, slots=True)
class SendMessage:
    """See the command."""

    to: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneStepTransfer:
    """See the command."""

    kind: Destination
    to: str
    data: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class TransferToIvr:
    """See the command."""

    code: str
    checks_password: bool
    data: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SetFunctionSwitch:
    """See the command."""

    function: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Hello:
    """The page lives."""

    info: str = ""


Request = (
    CheckWebSocket
    | Init
    | Logon
    | Plain
    | SetWorkMode
    | Leave
    | Dial
    | Consult
    | CallInner
    | MonitorAgent
    | MonitorControl
    | RefreshAgentList
    | SendMessage
    | OneStepTransfer
    | TransferToIvr
    | SetFunctionSwitch
    | Hello
)
"""Everything that can be asked."""


def request_of(command: SPCommand) -> Request:
    """What a command asks for. Raises BadFrame, `ProcessFailed`, that names the parameter."""
    read = _READERS.get(command.name)
    if read is None:
        return Plain(command.name)
    return read(_Params(command))


@dataclass(frozen=True, slots=True)
class _Params:
    """A command's parameters, read one by one."""

    command: SPCommand

    def bad(self, key: str, expected: str) -> BadFrame:
        found = self.command.params.get(key)
        shown = "nothing" if not found else repr(found[:40])
        text = f"{key}: found {shown}, expected {expected}"
        return BadFrame(ErrorCode.PROCESS_FAILED, text, self.command.name)

    def text(self, key: str, most: int = 256) -> str:
        value = self.command.params.get(key, "").strip()
        if len(value) > most:
            raise self.bad(key, f"{most} characters at most")
        return value

    def agent(self, key: str = "agentId") -> AgentId:
        value = self.text(key)
        if not _AGENT.fullmatch(value):
            raise self.bad(key, "an agent's number as 1001")
        return AgentId(value)

    def needed(self, key: str, expected: str) -> str:
        value = self.text(key)
        if not value:
            raise self.bad(key, expected)
        return value

    def integer(self, key: str) -> int | None:
        value = self.text(key)
        if not value:
            return None
        if not _INTEGER.fullmatch(value):
            raise self.bad(key, "a number as 0")
        return int(value)

    def switch(self, key: str) -> bool:
        value = self.text(key)
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise self.bad(key, "true or false, 1 or 0")

    def destination(self, key: str, *allowed: Destination) -> Destination:
        value = self.text(key)
        for each in allowed:
            if value == each:
                return each
        raise self.bad(key, f"one of {', '.join(allowed)}")

    def data(self) -> dict[str, str]:
        """What else was sent: it goes with the call."""
        return {k: v for k, v in self.command.params.items() if k not in _OF_TRANSFERS}

    def custom(self) -> CustomInit:
        given = self.command.params.get("customInitParams", "")
        if not given:
            return CustomInit()
        try:
            found = msgspec.json.decode(given, type=_Custom)
        except (msgspec.DecodeError, RecursionError) as error:
            expected = '{"agentWrapupSeconds":10,"skills":[…]} as JSON'
            raise self.bad("customInitParams", f"{expected}; {str(error)[:120]}") from None
        skills = None
        if found.skills is not None:
            skills = tuple(self._level(each) for each in found.skills)
        return CustomInit(self._seconds(found.agent_wrapup_seconds), skills)

    def _seconds(self, given: float | str | None) -> float | None:
        if given is None or given == "":
            return None
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _LONGEST_WRAP_UP_S:
            raise self.bad("customInitParams", "agentWrapupSeconds from 0 to 86400")
        return seconds

    def _level(self, given: _Skill) -> SkillLevel:
        level = str(given.skill_level)
        if not re.fullmatch("[1-9]", level):
            raise self.bad("customInitParams", "each skillLevel from 1 to 9")
        if not _AGENT.fullmatch(code := str(given.skill_code)):
            raise self.bad("customInitParams", "each skillCode a code as 1001")
        return SkillLevel(code, int(level))


class _Skill(msgspec.Struct, rename="camel"):
    skill_code: str | int
    skill_level: str | int = "5"


class _Custom(msgspec.Struct, rename="camel"):
    agent_wrapup_seconds: float | str | None = None
    skills: list[_Skill] | None = None


def _init(p: _Params) -> Init:
    return Init(p.agent(), p.text("agentName"), p.custom())


def _logon(p: _Params) -> Logon:
    mode = p.integer("agentWorkMode")
    # A page that has not chosen sends the mode that is none.
    mode = None if mode == -1 else mode
    return Logon(p.agent(), p.text("agentName"), mode, p.text("softPhoneCode", 1024), p.custom())


def _work_mode(p: _Params) -> SetWorkMode:
    mode = p.integer("workMode")
    if mode is None:
        raise p.bad("workMode", "a number as 0")
    return SetWorkMode(mode)


def _dial(p: _Params) -> Dial:
    return Dial(p.needed("phoneNum", "a number to dial"), p.text("ani"))


def _encrypt_dial(p: _Params) -> Dial:
    # Encrypted it is as long as the key.
    number = p.text("phoneNum", 1024)
    if not number:
        raise p.bad("phoneNum", "a number to dial")
    mode, prefix = p.text("encryptMode"), p.text("prefix")
    return Dial(number, p.text("ani"), mode, prefix, CommandName.ENCRYPT_DIAL)


_AGT, _EXT, _OUT, _SK = Destination


def _consult(p: _Params) -> Consult:
    kind = p.destination("destSPType", _AGT, _EXT, _OUT)
    return Consult(kind, p.needed("destSPIns", "whom to ask"))


def _call_inner(p: _Params) -> CallInner:
    kind = p.destination("destSPType", _AGT, _EXT)
    return CallInner(kind, p.needed("destSPIns", "whom to call"))


def _monitor(p: _Params) -> MonitorAgent:
    kind = p.destination("destSPType", _AGT, _EXT)
    return MonitorAgent(kind, p.needed("destSPIns", "whom to listen to"))


def _control(p: _Params) -> MonitorControl:
    value = p.text("controlType")
    if value not in set(Control):
        raise p.bad("controlType", "1 to 5")
    to = p.needed("destSPIns", "an agent")
    return MonitorControl(to, Control(value), p.text("extraControlParam"))


def _list(p: _Params) -> RefreshAgentList:
    value = p.text("agentListType")
    if value not in set(ListType):
        raise p.bad("agentListType", f"one of {', '.join(ListType)}")
    return RefreshAgentList(ListType(value))


def _message(p: _Params) -> SendMessage:
    p.destination("destSPType", _AGT)
    text = p.text("message", 1000)
    if not text:
        raise p.bad("message", "a text")
    return SendMessage(p.needed("destSPIns", "an agent"), text)


def _one_step(p: _Params) -> OneStepTransfer:
    kind = p.destination("destType", *Destination)
    return OneStepTransfer(kind, p.needed("destIns", "whom to send the call to"), p.data())


def _to_ivr(p: _Params) -> TransferToIvr:
    code = p.needed("SVN", "an IVR's code as 999")
    return TransferToIvr(code, p.switch("TRANSFERPREPARE_CHECKPASSWORD"), p.data())


_READERS: dict[CommandName, Callable[[_Params], Request]] = {
    CommandName.CHECK_WEB_SOCKET: lambda p: CheckWebSocket(p.agent()),
    CommandName.INIT: _init,
    CommandName.LOGON: _logon,
    CommandName.SET_WORK_MODE: _work_mode,
    CommandName.LEAVE: lambda p: Leave(p.text("leaveReason")),
    CommandName.DIAL: _dial,
    CommandName.ENCRYPT_DIAL: _encrypt_dial,
    CommandName.CONSULT: _consult,
    CommandName.CALL_INNER: _call_inner,
    CommandName.MONITOR_AGENT: _monitor,
    CommandName.MONITOR_CONTROL: _control,
    CommandName.REFRESH_AGENT_LIST: _list,
    CommandName.SEND_AGENT_MSG: _message,
    CommandName.ONE_STEP_TRANSFER: _one_step,
    CommandName.TRANSFER_TO_IVR: _to_ivr,
    CommandName.SET_FUNCTION_SWITCH: lambda p: SetFunctionSwitch(
        p.text("functionCode"), p.switch("isOn")
    ),
    CommandName.WS_HELLO: lambda p: Hello(p.text("helloInfo")),
}
