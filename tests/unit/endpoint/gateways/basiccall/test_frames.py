"""What comes from a page is a command or a named error; what goes to it is as its script reads."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.gateways.basiccall.frames import (
    BadFrame,
    SPCommand,
    SPEvent,
    SPResponse,
    decode,
    dumped,
)
from endpoint.gateways.basiccall.names import CommandName, ErrorCode, EventName
from endpoint.gateways.basiccall.requests import Dial, request_of

pytestmark = pytest.mark.unit

DIAL = {
    "command": "Dial",
    "objectClass": "SPCommand",
    "delegatorId": "d",
    "ins": "6002",
    "params": {"agentId": "888", "phoneNum": "913800138000"},
}


def refused(**changes: Any) -> BadFrame:
    frame = {**DIAL, **changes}
    text = json.dumps({key: value for key, value in frame.items() if value is not ...})
    with pytest.raises(BadFrame) as error:
        decode(text)
    return error.value


def test_a_command_as_the_script_sends_it() -> None:
    command = decode(json.dumps(DIAL))
    params = {"agentId": "888", "phoneNum": "913800138000"}
    assert command == SPCommand(CommandName.DIAL, "6002", "d", params)
    assert request_of(command) == Dial("913800138000")


def test_numbers_booleans_and_nulls_are_texts() -> None:
    frame = {**DIAL, "params": {"a": 3, "b": True, "c": None, "d": {"e": [1]}}}
    assert decode(json.dumps(frame)).params == {"a": "3", "b": "true", "c": "", "d": '{"e":[1]}'}


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"command": "Dail"}, ErrorCode.UNKNOWN_COMMAND, "'Dail'"),
        ({"command": ...}, ErrorCode.UNKNOWN_COMMAND, "command"),
        ({"command": 3}, ErrorCode.UNKNOWN_COMMAND, "command"),
        ({"objectClass": "SPEvent"}, ErrorCode.UNKNOWN_COMMAND, "objectClass"),
        ({"ins": ""}, ErrorCode.INVALID_INS, "ins"),
        ({"ins": 6002}, ErrorCode.INVALID_INS, "ins"),
        ({"ins": ...}, ErrorCode.INVALID_INS, "ins"),
        ({"delegatorId": 7}, ErrorCode.DELEGATOR_ID_NO_MATCH, "delegatorId"),
        ({"params": [1]}, ErrorCode.PROCESS_FAILED, "params"),
        ({"params": {str(n): "" for n in range(129)}}, ErrorCode.PROCESS_FAILED, "129"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], code: ErrorCode, word: str) -> None:
    error = refused(**changes)
    assert error.code is code
    assert word in str(error)


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "null", "3", "{", '{"a":NaN}', "[" * 100_000, '"' + "\ud800" + '"']
)
def test_what_is_no_object_is_an_unknown_command(text: str) -> None:
    with pytest.raises(BadFrame) as error:
        decode(text)
    assert error.value.code is ErrorCode.UNKNOWN_COMMAND


LETTERS = st.text("aZ09é-\u2028\0 {}", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([0.5, 1e400, -0.0]) | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=6,
)
FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "command": st.sampled_from([*CommandName]) | JSON,
        "objectClass": st.just("SPCommand") | JSON,
        "ins": st.just("6002") | JSON,
        "delegatorId": st.just("d") | JSON,
        "params": st.dictionaries(
            st.sampled_from(
                [
                    *("agentId", "phoneNum", "workMode", "leaveReason", "destSPType", "destSPIns"),
                    *("controlType", "agentListType", "destType", "destIns", "SVN", "isOn"),
                    *("customInitParams", "agentWorkMode", "TRANSFERPREPARE_CHECKPASSWORD"),
                ]
            ),
            JSON | st.sampled_from(["1001", "AGT", "EXT", "1", '{"skills":[{"skillCode":"1"}]}']),
        )
        | JSON,
    },
)


@given(FRAMES)
def test_no_frame_of_strangers_ends_otherwise_than_in_a_request_or_a_named_error(
    frame: dict[str, Any],
) -> None:
    with suppress(BadFrame):
        assert request_of(decode(json.dumps(frame))) is not None


@given(st.binary(max_size=200) | LETTERS)
def test_neither_does_what_is_no_frame_at_all(octets: str | bytes) -> None:
    with pytest.raises(BadFrame):
        decode(octets)


def test_a_response_has_all_keys_in_their_order() -> None:
    text = SPResponse("Init", datas={"delegatorId": "d"}).encode()
    assert text == (
        '{"objectClass":"SPResponse","command":"Init","errorCode":"Succ","errorDesc":"",'
        '"datas":{"delegatorId":"d"},"agentInfos":{}}'
    )


def test_an_event_has_all_keys_in_their_order() -> None:
    event = SPEvent(EventName.STATE_CHANGE, {"agentState": "3"})
    assert event.encode("6002") == (
        '{"objectClass":"SPEvent","event":"StateChange","ins":"6002","errorCode":"",'
        '"errorDesc":"","agentInfos":{"agentState":"3"},"coInfos":{},"params":{}}'
    )


def test_free_is_a_boolean_for_the_text_false_counts_as_true() -> None:
    assert (
        '"isWebSocketExists":false' in SPResponse("", datas={"isWebSocketExists": False}).encode()
    )


@given(st.text('a\n\r\u2028\u2029"\\<é'))
def test_what_is_evaluated_has_no_line_end_of_javascript(text: str) -> None:
    found = dumped([text])
    assert not {"\n", "\r", "\u2028", "\u2029"} & set(found)
    assert json.loads(found) == [text]
