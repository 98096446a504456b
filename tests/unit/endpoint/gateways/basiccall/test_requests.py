"""Parameters of commands: read as pages send them, or refused by their name."""

from __future__ import annotations

import json

import pytest

from endpoint.agents.model import SkillLevel
from endpoint.gateways.basiccall.frames import BadFrame, SPCommand
from endpoint.gateways.basiccall.names import CommandName as C
from endpoint.gateways.basiccall.names import Control, Destination, ErrorCode, ListType
from endpoint.gateways.basiccall.requests import (
    Consult,
    CustomInit,
    Dial,
    Init,
    Logon,
    MonitorControl,
    OneStepTransfer,
    Plain,
    RefreshAgentList,
    Request,
    SetFunctionSwitch,
    TransferToIvr,
    request_of,
)

pytestmark = pytest.mark.unit

CUSTOM = {
    "agentWrapupSeconds": 10,
    "skills": [{"skillCode": "1001", "skillLevel": "5"}, {"skillCode": 1002, "skillLevel": 1}],
}


def read(name: C, **params: str) -> Request:
    return request_of(SPCommand(name, "6002", "d", {"agentId": "888", **params}))


@pytest.mark.parametrize(
    ("name", "params", "request_"),
    [
        (C.HOLD, {}, Plain(C.HOLD)),
        (C.INIT, {"agentName": "Anna"}, Init("888", "Anna")),  # type: ignore[arg-type]
        (
            C.INIT,
            {"customInitParams": json.dumps(CUSTOM)},
            Init(
                "888",  # type: ignore[arg-type]
                custom=CustomInit(10.0, (SkillLevel("1001", 5), SkillLevel("1002", 1))),
            ),
        ),
        (
            C.LOGON,
            {"agentWorkMode": "3", "softPhoneCode": "secret"},
            Logon("888", mode=3, code="secret"),  # type: ignore[arg-type]
        ),
        (C.LOGON, {"agentWorkMode": "-1"}, Logon("888")),  # type: ignore[arg-type]
        (C.DIAL, {"phoneNum": "9138", "ani": "10000"}, Dial("9138", "10000")),
        (
            C.ENCRYPT_DIAL,
            {"prefix": "9", "phoneNum": "138", "encryptMode": "1"},
            Dial("138", encryption="1", prefix="9", command=C.ENCRYPT_DIAL),
        ),
        (
            C.CONSULT,
            {"destSPType": "OUT", "destSPIns": "9138"},
            Consult(Destination.OUTSIDE, "9138"),
        ),
        (
            C.MONITOR_CONTROL,
            {"destSPType": "AGT", "destSPIns": "888", "controlType": "5", "extraControlParam": "6"},
            MonitorControl("888", Control.WORK_MODE, "6"),
        ),
        (
            C.REFRESH_AGENT_LIST,
            {"agentListType": "AGENTLISTTYPE_CONSULT"},
            RefreshAgentList(ListType.CONSULT),
        ),
        (
            C.ONE_STEP_TRANSFER,
            {"destType": "SK", "destIns": "1002", "OrderID": "4711"},
            OneStepTransfer(Destination.SKILL, "1002", {"OrderID": "4711"}),
        ),
        (
            C.TRANSFER_TO_IVR,
            {"SVN": "8888", "TRANSFERPREPARE_CHECKPASSWORD": "1", "OrderID": "SVC_1"},
            TransferToIvr("8888", checks_password=True, data={"OrderID": "SVC_1"}),
        ),
        (
            C.TRANSFER_TO_IVR,
            {"SVN": "999", "TRANSFERPREPARE_CHECKPASSWORD": "false"},
            TransferToIvr("999", checks_password=False),
        ),
        (
            C.SET_FUNCTION_SWITCH,
            {"functionCode": "KeepLogon", "isOn": "true"},
            SetFunctionSwitch("KeepLogon", is_on=True),
        ),
    ],
)
def test_what_is_asked(name: C, params: dict[str, str], request_: Request) -> None:
    assert read(name, **params) == request_


@pytest.mark.parametrize(
    ("name", "params", "parameter"),
    [
        (C.INIT, {"agentId": ""}, "agentId"),
        (C.INIT, {"agentId": "a b"}, "agentId"),
        (C.INIT, {"agentName": "x" * 257}, "agentName"),
        (C.INIT, {"customInitParams": "{"}, "customInitParams"),
        (C.INIT, {"customInitParams": '{"agentWrapupSeconds":-1}'}, "agentWrapupSeconds"),
        (C.INIT, {"customInitParams": '{"agentWrapupSeconds":"soon"}'}, "agentWrapupSeconds"),
        (
            C.INIT,
            {"customInitParams": '{"skills":[{"skillCode":"1","skillLevel":"10"}]}'},
            "skillLevel",
        ),
        (C.INIT, {"customInitParams": '{"skills":[{"skillCode":""}]}'}, "skillCode"),
        (C.LOGON, {"agentWorkMode": "busy"}, "agentWorkMode"),
        (C.SET_WORK_MODE, {}, "workMode"),
        (C.DIAL, {}, "phoneNum"),
        (C.CONSULT, {"destSPType": "SK", "destSPIns": "1"}, "destSPType"),
        (C.CONSULT, {"destSPType": "AGT"}, "destSPIns"),
        (C.MONITOR_CONTROL, {"destSPIns": "1", "controlType": "6"}, "controlType"),
        (C.REFRESH_AGENT_LIST, {"agentListType": "ALL"}, "agentListType"),
        (C.TRANSFER_TO_IVR, {}, "SVN"),
        (C.SET_FUNCTION_SWITCH, {"isOn": "perhaps"}, "isOn"),
    ],
)
def test_a_bad_parameter_is_named(name: C, params: dict[str, str], parameter: str) -> None:
    with pytest.raises(BadFrame) as error:
        read(name, **params)
    assert error.value.code is ErrorCode.PROCESS_FAILED
    assert error.value.command == name
    assert parameter in str(error.value)
    assert "expected" in str(error.value)


def test_what_is_secret_is_in_no_representation() -> None:
    command = SPCommand(C.LOGON, "6002", "deleg", {"agentId": "888", "softPhoneCode": "pin-4711"})
    assert "deleg" not in repr(command)
    assert "pin-4711" not in repr((command, request_of(command)))
