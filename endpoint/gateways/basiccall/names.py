"""BasicCall's words and numbers, as its page script has them.

Texts go over the wire as they stand here, misspelt ones too: `Intervence`, `MonitorContorled`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ErrorCode(StrEnum):
    """What a response says of its command."""

    SUCC = "Succ"
    UNKNOWN_COMMAND = "UnknownCommand"
    INVALID_INS = "InvalidIns"
    """The device is not the connection's own, or none of ours."""
    DELEGATOR_ID_NO_MATCH = "DelegatorIdNoMatch"
    """The session is another client's."""
    PROCESS_FAILED = "ProcessFailed"
    """It can't be done; the text says why."""


class CommandName(StrEnum):
    """What a client may send."""

    CHECK_WEB_SOCKET = "CheckWebSocket"
    INIT = "Init"
    LOGON = "Logon"
    LOGOFF = "Logoff"
    SET_FUNCTION_SWITCH = "SetFunctionSwitch"
    WS_HELLO = "WSHello"
    SET_WORK_MODE = "SetWorkMode"
    LEAVE = "Leave"
    RESUME_WORK = "ResumeWork"
    FINISH_WRAPUP = "FinishWrapup"
    PREPARE_DIAL = "PrepareDial"
    CANCEL_PREPARE_DIAL = "CancelPrepareDial"
    DIAL = "Dial"
    ENCRYPT_DIAL = "EncryptDial"
    CANCEL_DIAL = "CancelDial"
    ANSWER_CALL = "AnswerCall"
    DROP_CALL = "DropCall"
    HOLD = "Hold"
    FETCH_HOLD = "FetchHold"
    REFRESH_AGENT_LIST = "RefreshAgentList"
    CONSULT = "Consult"
    CANCEL_CONSULT = "CancelConsult"
    FINISH_CONSULT = "FinishConsult"
    CONSULT_TRANSFER = "ConsultTransfer"
    CONSULT_SWAP = "ConsultSwap"
    CONSULT_SWAP_BACK = "ConsultSwapBack"
    CONSULT_CONF = "ConsultConf"
    DROP_CONF = "DropConf"
    PREPARE_CALL_INNER = "PrepareCallInner"
    CANCEL_PREPARE_CALL_INNER = "CancelPrepareCallInner"
    CALL_INNER = "CallInner"
    CANCEL_CALL_INNER = "CancelCallInner"
    PREPARE_MONITOR = "PrepareMonitor"
    CANCEL_PREPARE_MONITOR = "CancelPrepareMonitor"
    MONITOR_AGENT = "MonitorAgent"
    FINISH_MONITOR = "FinishMonitor"
    MONITOR_CONTROL = "MonitorControl"
    INTERVENE = "Intervence"
    INTERCEPT = "Intercept"
    FORCE_DROP = "ForceDrop"
    ONE_STEP_TRANSFER = "OneStepTransfer"
    TRANSFER_TO_IVR = "TransferToIVR"
    CANCEL_WAIT = "CancelWait"
    SEND_AGENT_MSG = "SendAgentMsg"


class NotBuilt(StrEnum):
    """What pages call the functions of previews, campaigns and video: 43 to 47, 66 and 67.

    BasicCall's script sends nothing for those; its button does nothing.
    """

    CANCEL_PREVIEW = "CancelPreview"
    PREVIEW_DIAL = "PreviewDial"
    DELETE_PREVIEW = "DeletePreview"
    SKIP_DIAL = "SkipDial"
    FINISH_NON_REAL_TIME_WORK = "FinishNoneRealTimeWork"
    ANSWER_VIDEO = "AnswerVideoConf"
    FINISH_VIDEO = "FinishVideoConf"


class EventName(StrEnum):
    """What a client is told."""

    SETTINGS_NOTIFY = "SettingsNotify"
    AGENT_MESSAGE = "AgentMsg"
    """Of another agent. BasicCall's script names none; it hands each event to its page."""
    SEND_AGENT_MESSAGE_SUCC = "SendAgentMsgSucc"
    SEND_AGENT_MESSAGE_FAILED = "SendAgentMsgFailed"
    STATE_CHANGE = "StateChange"
    WORK_MODE_CHANGE = "WorkModeChange"
    QUEUE_CHANGE = "QueueChange"
    LOGON_SUCC = "LogonSucc"
    LOGON_FAILED = "LogonFailed"
    LOGOFF_SUCC = "LogoffSucc"
    LOGOFF_FAILED = "LogoffFailed"
    WEB_SOCKET_REPLACED = "WebSocketReplaced"
    SET_WORK_MODE_SUCC = "SetWorkModeSucc"
    SET_WORK_MODE_FAILED = "SetWorkModeFailed"
    LEAVE_SUCC = "LeaveSucc"
    LEAVE_FAILED = "LeaveFailed"
    RESUME_WORK_SUCC = "ResumeWorkSucc"
    RESUME_WORK_FAILED = "ResumeWorkFailed"
    WRAPUP_TICK = "WrapupTick"
    FINISH_WRAPUP_SUCC = "FinishWrapupSucc"
    FINISH_WRAPUP_FAILED = "FinishWrapupFailed"
    CALL_ARRIVE = "CallArrive"
    DEV_CONNECTED = "DevConnected"
    DEV_DISCONNECTED = "DevDisconnected"
    ANSWER_CALL_SUCC = "AnswerCallSucc"
    ANSWER_CALL_FAILED = "AnswerCallFailed"
    PREPARE_DIAL_SUCC = "PrepareDialSucc"
    PREPARE_DIAL_FAILED = "PrepareDialFailed"
    CANCEL_PREPARE_DIAL_SUCC = "CancelPrepareDialSucc"
    CANCEL_PREPARE_DIAL_FAILED = "CancelPrepareDialFailed"
    DIAL_BEGIN = "DialBegin"
    DIAL_SUCC = "DialSucc"
    DIAL_FAILED = "DialFailed"
    CANCEL_DIAL_SUCC = "CancelDialSucc"
    CANCEL_DIAL_FAILED = "CancelDialFailed"
    DROP_CALL_SUCC = "DropCallSucc"
    DROP_CALL_FAILED = "DropCallFailed"
    HOLD_SUCC = "HoldSucc"
    HOLD_FAILED = "HoldFailed"
    FETCH_HOLD_SUCC = "FetchHoldSucc"
    FETCH_HOLD_FAILED = "FetchHoldFailed"
    REFRESH_AGENT_LIST_SUCC = "RefreshAgentListSucc"
    CONSULT_START = "ConsultStart"
    CONSULT_SUCC = "ConsultSucc"
    CONSULT_FAILED = "ConsultFailed"
    CONSULT_OVER = "ConsultOver"
    CANCEL_CONSULT_SUCC = "CancelConsultSucc"
    CANCEL_CONSULT_FAILED = "CancelConsultFailed"
    FINISH_CONSULT_SUCC = "FinishConsultSucc"
    FINISH_CONSULT_FAILED = "FinishConsultFailed"
    CONSULT_TRANSFER_SUCC = "ConsultTransferSucc"
    CONSULT_TRANSFER_FAILED = "ConsultTransferFailed"
    CONSULT_SWAP_SUCC = "ConsultSwapSucc"
    CONSULT_SWAP_FAILED = "ConsultSwapFailed"
    CONSULT_SWAP_BACK_SUCC = "ConsultSwapBackSucc"
    CONSULT_SWAP_BACK_FAILED = "ConsultSwapBackFailed"
    CONSULT_CONF_SUCC = "ConsultConfSucc"
    CONSULT_CONF_FAILED = "ConsultConfFailed"
    CONSULTED_OVER = "ConsultedOver"
    CONF_OVER = "ConfOver"
    DROP_CONF_SUCC = "DropConfSucc"
    DROP_CONF_FAILED = "DropConfFailed"
    PREPARE_CALL_INNER_SUCC = "PrepareCallInnerSucc"
    PREPARE_CALL_INNER_FAILED = "PrepareCallInnerFailed"
    CANCEL_PREPARE_CALL_INNER_SUCC = "CancelPrepareCallInnerSucc"
    CANCEL_PREPARE_CALL_INNER_FAILED = "CancelPrepareCallInnerFailed"
    CALL_INNER_BEGIN = "CallInnerBegin"
    CALL_INNER_SUCC = "CallInnerSucc"
    CALL_INNER_FAILED = "CallInnerFailed"
    CANCEL_CALL_INNER_SUCC = "CancelCallInnerSucc"
    CANCEL_CALL_INNER_FAILED = "CancelCallInnerFailed"
    PREPARE_MONITOR_SUCC = "PrepareMonitorSucc"
    PREPARE_MONITOR_FAILED = "PrepareMonitorFailed"
    CANCEL_PREPARE_MONITOR_SUCC = "CancelPrepareMonitorSucc"
    CANCEL_PREPARE_MONITOR_FAILED = "CancelPrepareMonitorFailed"
    MONITOR_BEGIN = "MonitorBegin"
    MONITOR_SUCC = "MonitorSucc"
    MONITOR_FAILED = "MonitorFailed"
    FINISH_MONITOR_SUCC = "FinishMonitorSucc"
    FINISH_MONITOR_FAILED = "FinishMonitorFailed"
    MONITOR_CONTROL_SUCC = "MonitorControlSucc"
    MONITOR_CONTROL_FAILED = "MonitorControlFailed"
    MONITOR_CONTROLED = "MonitorContorled"
    INTERVENE_SUCC = "InterveneSucc"
    INTERVENE_FAILED = "InterveneFailed"
    INTERCEPT_SUCC = "InterceptSucc"
    INTERCEPT_FAILED = "InterceptFailed"
    FORCE_DROP_SUCC = "ForceDropSucc"
    FORCE_DROP_FAILED = "ForceDropFailed"
    ONE_STEP_TRANSFER_BEGIN = "OneStepTransferBegin"
    ONE_STEP_TRANSFER_SUCC = "OneStepTransferSucc"
    ONE_STEP_TRANSFER_FAILED = "OneStepTransferFailed"
    TRANSFER_BEGIN = "TransferBegin"
    TRANSFER_SUCC = "TransferSucc"
    TRANSFER_FAILED = "TransferFailed"
    IVR_CHECK_RETURN = "IVRCheckReturn"
    WAIT_CALL_OVER = "WaitCallOver"
    CANCEL_WAIT_SUCC = "CancelWaitSucc"
    CANCEL_WAIT_FAILED = "CancelWaitFailed"


UNTOLD = {
    "SetWorkModeOfflineSucc": "before the log-on the page keeps its mode, and says it there",
    "DialAccepted": "`DialBegin` says so",
    "DialDenied": "`DialFailed` says so, and why",
    "RefreshMonitorAgentListSucc": "`RefreshAgentListSucc` has every list, by its type",
    "RefreshConsultAgentListSucc": "likewise",
    "RefreshCallInnerAgentListSucc": "likewise",
    "RefreshMsgAgentListSucc": "likewise",
    "HBSucc": "`WSHello` is answered",
    "HBFailed": "likewise",
}
"""What the script has a name for, and nothing brings: why."""


class State(IntEnum):
    """What an agent's page shows."""

    NULL = 0
    INITIAL = 1
    """Connected, and not logged on."""
    INITIAL_PHONE = 2
    IDLE = 3
    PLAYS_WORKER_ID = 4
    RINGING = 5
    TALK = 6
    HOLD = 7
    DIAL_INPUT = 8
    """The page asks for a number."""
    DIALING = 9
    HOLD_CONSULT_RINGING = 10
    HOLD_CONSULT = 11
    TALK_CONSULT_HOLD = 12
    HOLD_CALLING = 13
    """As 10, of somebody outside."""
    HOLD_TALK = 14
    TALK_HOLD = 15
    MONITOR_SELECT = 16
    MONITORING = 17
    INTERVENE_CONF = 18
    WRAPUP = 19
    CONSULTED = 20
    CONSULT_CONF = 21
    CALLOUT_CONF = 22
    LEAVE = 23
    INNER_SELECT = 24
    INNER_ALERTING = 25
    INNER_TALK = 26
    WAIT_RINGING = 27
    """It was answered by the page; the telephone is about to be."""
    PREVIEW_TASK = 28
    NON_REAL_TIME_WORK = 29
    SLAVE_CONF = 30
    IVR_VERIFY = 31
    ONE_STEP_TRANSFERRING = 32
    COUPLE_CONSULT = 33
    NO_DEVICE_ONLINE = 34
    HOLD_CONSULT_IN_CONF = 35
    CONSULT_SWAPPING = 36
    CONSULT_SWAPPING_BACK = 37
    CONSULTED_HOLD = 38
    HOLD_TALK_SWAPPING = 39
    TALK_HOLD_SWAPPING_BACK = 40
    INNER_HOLD = 41
    INNER_HELD = 42
    TRANSFERRED_DIALING = 43
    ALERT_TRANSFER = 44
    DIALER_WAITING = 45
    DIAL_WAIT_ALERT_BACK = 46
    DIAL_ALERT_BACK = 47
    INNER_WAIT_ALERT_BACK = 48
    INNER_ALERT_BACK = 49
    CONSULT_QUEUE = 50
    VIDEO_WAIT_ANSWER = 51
    VIDEO_ANSWERED = 52
    VIDEO_IN_CONF = 53


class Function(IntEnum):
    """A button."""

    NONE = 0
    LOGON = 1
    LOGOFF = 2
    DIAL = 3
    CALL_INNER = 4
    MONITOR = 5
    HOLD = 6
    CONSULT = 7
    CALL_OUT = 8
    TRANSFER_MENU = 9
    DROP_CALL = 10
    FETCH_HOLD = 11
    CANCEL_DIAL = 12
    CANCEL_CONSULT = 13
    FINISH_CONSULT = 14
    CONSULT_TRANSFER = 15
    CONSULT_SWAP = 16
    CONSULT_CONF = 17
    CONSULT_SWAP_BACK = 18
    CANCEL_CALL_OUT = 19
    CALL_OUT_SWAP = 20
    CALL_OUT_TRANSFER = 21
    FINISH_CALL_OUT = 22
    CALL_OUT_SWAP_BACK = 23
    CANCEL_MONITOR = 24
    FORCE_DROP = 25
    INTERCEPT = 26
    INTERVENE = 27
    FINISH_MONITOR = 28
    FINISH_WRAPUP = 31
    LEAVE = 33
    RESUME_WORK = 34
    CANCEL_CALL_INNER = 35
    WORK_MODE = 36
    AGENT_MESSAGE = 37
    CANCEL_PREPARE_DIAL = 38
    CANCEL_PREPARE_MONITOR = 39
    CANCEL_PREPARE_CALL_INNER = 40
    CALL_OUT_CONF = 41
    ANSWER = 42
    DROP_CONF = 48
    LEAVE_CONF = 49
    CANCEL_WAIT = 52
    MONITOR_CONTROL = 68


class ListType(StrEnum):
    """Of whom a list is asked for, by what it is for."""

    MONITOR = "AGENTLISTTYPE_MONITOR"
    CONSULT = "AGENTLISTTYPE_CONSULT"
    CALL_INNER = "AGENTLISTTYPE_CALLINNER"
    AGENT_MESSAGE = "AGENTLISTTYPE_AGENTMSG"
    TRANSFER = "AGENTLISTTYPE_TRANSFER"
    ALERT_TRANSFER = "AGENTLISTTYPE_ALERTTRANSFER"
    MONITOR_CONTROL = "AGENTLISTTYPE_MONITORCONTROL"


class Destination(StrEnum):
    """What a number means."""

    AGENT = "AGT"
    EXTENSION = "EXT"
    OUTSIDE = "OUT"
    SKILL = "SK"


IVR = "IVR"
"""What a call was sent to that no page names so: `TransferToIVR` has a code, and skills are one."""


class Control(StrEnum):
    """What a supervisor makes an agent do."""

    LOG_OFF = "1"
    LEAVE = "2"
    RESUME = "3"
    FINISH_WRAPUP = "4"
    WORK_MODE = "5"


KEEP_LOGON = "KeepLogon"
"""The one switch that there is."""
REMOTE = "RP_"
"""How the number of a remote agent's telephone begins as a device."""
