"""What a page is told of the centre: buttons by state, right and mask; modes, reasons, places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.agents.directory import STANDARD_REASONS
from endpoint.agents.model import STANDARD_MODES, LeaveReason
from endpoint.callcontrol import transitions
from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.model import ConnectionState
from endpoint.gateways.basiccall.buttons import (
    LAYOUT,
    OF_SUPERVISORS_ALONE,
    buttons_of,
    state_settings,
)
from endpoint.gateways.basiccall.names import Function as F
from endpoint.gateways.basiccall.names import State as S
from endpoint.gateways.basiccall.parameters import (
    BadParameters,
    Parameters,
    TransferIvr,
    TransferSkill,
    parsed,
)
from endpoint.gateways.basiccall.settings import Reasons, UnknownReason, settings_notified

pytestmark = pytest.mark.unit

SEED = {
    "ONESTEPTRANSFERSUPPORT": "1",
    "AGENTTRANSFERSKILLINFO": "1002,(中文)紧急问题|1003,(英语)英语服务",
    "AGENTTRANSFERIVRINFO": "999,满意度|59006258,分销商主流程|8888,验证密码,1",
    "SOFTPHONELEAVEWORKMODESTATESYNC": "1",
    "SOFTPHONEMASKENABLED": "33,34",
    "SOFTPHONEMASKENABLED_RPN": "4,5,6,7,8,42,25,26,27",
}
REASONS = Reasons(STANDARD_REASONS)


def by_state(text: str) -> dict[int, list[int]]:
    rows: list[dict[str, Any]] = json.loads(text)
    assert all(each["enabled"] is True for row in rows for each in row["functions"])
    return {row["state"]: [each["id"] for each in row["functions"]] for row in rows}


def notified(ins: str = "6002", *, supervises: bool = False, **table: str) -> dict[str, Any]:
    found = settings_notified(ins, parsed(table), STANDARD_MODES, REASONS, supervises=supervises)
    assert all(isinstance(value, str) for value in found.values())
    return {key: json.loads(value) for key, value in found.items()}


def test_all_that_belongs_to_a_state_can_be_done_there() -> None:
    """Else a layout that call control does not bear would go unnoticed."""
    for state, buttons in LAYOUT.items():
        assert buttons_of(state, supervises=True) == buttons, state


def test_a_button_is_gone_where_call_control_allows_it_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talks = transitions.ALLOWED[ConnectionState.CONNECTED] - {CommandName.HOLD_CALL}
    monkeypatch.setitem(transitions.ALLOWED, ConnectionState.CONNECTED, talks)
    assert F.HOLD not in buttons_of(S.TALK, supervises=True)
    assert F.CONSULT in buttons_of(S.TALK, supervises=True)


def test_who_supervises_nobody_has_no_buttons_for_it() -> None:
    found = by_state(state_settings(supervises=False))
    assert not OF_SUPERVISORS_ALONE & {each for row in found.values() for each in row}
    assert F.MONITOR in by_state(state_settings(supervises=True))[S.IDLE]


def test_there_is_a_row_for_every_state() -> None:
    assert by_state(state_settings(supervises=True)).keys() == {int(state) for state in S}


@given(st.frozensets(st.sampled_from(F)))
def test_a_mask_hides_its_buttons_and_no_others(mask: frozenset[F]) -> None:
    whole = by_state(state_settings(supervises=True))
    masked = by_state(state_settings(supervises=True, mask=mask))
    assert masked == {
        state: [each for each in row if each not in mask] for state, row in whole.items()
    }


def test_the_masks_of_the_centre_and_of_remote_agents() -> None:
    office = by_state(json.dumps(notified(SOFTPHONEMASKENABLED="33,34")["stateSettings"]))
    assert not {33, 34} & {each for row in office.values() for each in row}
    assert 6 in office[S.TALK]
    remote = by_state(json.dumps(notified("RP_913800138000", supervises=True)["stateSettings"]))
    shown = {each for row in remote.values() for each in row}
    assert not {4, 5, 6, 7, 8, 42, 25, 26, 27} & shown
    assert {1, 2, 3, 10, 12, 31, 33, 34, 36} <= shown
    everything = notified("RP_913800138000", supervises=True, SOFTPHONEMASKENABLED_RPN="")
    assert everything["stateSettings"] == notified(supervises=True)["stateSettings"]


def test_the_menu_of_transfers_is_shown_where_the_centre_has_it() -> None:
    assert F.TRANSFER_MENU in buttons_of(S.TALK, supervises=False)
    off = notified(ONESTEPTRANSFERSUPPORT="0")["stateSettings"]
    assert 9 not in {each["id"] for row in off for each in row["functions"]}


def test_the_table_of_the_manual() -> None:
    assert parsed(SEED) == Parameters(
        one_step_transfer=True,
        skills=(TransferSkill("1002", "(中文)紧急问题"), TransferSkill("1003", "(英语)英语服务")),
        ivrs=(
            TransferIvr("999", "满意度"),
            TransferIvr("59006258", "分销商主流程"),
            TransferIvr("8888", "验证密码", checks_password=True),
        ),
        leave_mode_sync=True,
        mask=frozenset({33, 34}),
    )
    assert parsed({}).mask_remote == {4, 5, 6, 7, 8, 42, 25, 26, 27}


def test_every_mistake_of_a_table_is_told_by_its_key() -> None:
    with pytest.raises(BadParameters) as error:
        parsed(
            {
                "ONESTEPTRANSFERSUPPORT": "yes",
                "AGENTTRANSFERSKILLINFO": "1002",
                "AGENTTRANSFERIVRINFO": "8888,check,2",
                "SOFTPHONEMASKENABLED": "33;34",
                "SOFTPHONEMASK": "1",
            }
        )
    assert [each.partition(":")[0] for each in error.value.mistakes] == [
        "SOFTPHONEMASK",
        "ONESTEPTRANSFERSUPPORT",
        "AGENTTRANSFERSKILLINFO",
        "AGENTTRANSFERIVRINFO",
        "SOFTPHONEMASKENABLED",
    ]


def test_modes_reasons_and_places_to_transfer_to() -> None:
    found = notified(**SEED)
    assert found["workModeSettings"][0] == {
        "serviceWorkMode": 0,
        "serviceWorkModeName": "ready",
        "basicWorkMode": 0,
        "visible": 1,
        "bindSkillCode": "",
        "sortOrder": 1,
    }
    assert found["leaveReasonSettings"][1] == {
        "reasonId": 1,
        "reasonName": "Meeting",
        "visible": 1,
    }
    assert [each["type"] for each in found["transferSubItems"]] == [
        *("IVR", "Skill", "OutLine", "Agent")
    ]
    assert found["transferIVRInfo"][2] == {"svn": "8888", "name": "验证密码", "checkPassword": True}
    assert found["transferAgentSkillInfo"][0]["skillCode"] == "1002"


def test_reasons_have_numbers_of_their_own_or_those_that_basiccall_has() -> None:
    assert REASONS.code("2") == "meal"
    assert REASONS.number("meal") == "2"
    own = Reasons((LeaveReason("7", "Doctor"), LeaveReason("9", "Court")))
    assert own.code("9") == "9"
    assert own.code("") == ""
    assert own.code("0") == "", "the button says so where nobody has chosen"
    with pytest.raises(UnknownReason, match=r"leaveReason: found '8', expected one of 7, 9"):
        own.code("8")
    mixed = Reasons(tuple(LeaveReason(code, code) for code in ("4", "court", "dentist", "rest")))
    assert {code: mixed.number(code) for code in ("4", "court", "dentist", "rest")} == {
        "4": "4",
        "court": "5",
        "dentist": "6",
        "rest": "0",
    }
    assert Reasons((LeaveReason("0", "zero"), LeaveReason("rest", "Rest"))).number("rest") == "4"
