"""Texts that are no text are replaced where they are kept or sent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import endpoint
from endpoint import plaintext
from endpoint.ivr.webhook import taken

pytestmark = pytest.mark.unit

STRANGE = "a\0b\udce4c\ud800d"
CLEAN = "a\ufffdb\ufffdc\ufffdd"


class Named(msgspec.Struct, tag=True, rename="camel"):
    calling_name: str
    data: dict[str, str]


def test_what_is_no_text_is_replaced_in_all_of_a_value() -> None:
    given = {STRANGE: [STRANGE, (STRANGE, 1, None, b"\0")]}
    assert plaintext.cleaned(given) == {CLEAN: [CLEAN, [CLEAN, 1, None, b"\0"]]}
    assert plaintext.clean("J\xf6rg \u2028\U0001f600") == "J\xf6rg \u2028\U0001f600"


def test_a_message_is_json_whatever_is_in_it() -> None:
    told = plaintext.encode(Named(STRANGE, {STRANGE: "x"}))
    assert msgspec.json.decode(told) == {
        "type": "Named",
        "callingName": CLEAN,
        "data": {CLEAN: "x"},
    }


def test_what_a_webhook_answers_a_flow_is_text() -> None:
    """It goes into the call's data: no client could be told of the call any more."""
    assert taken(b'{"name":"a\\ud800\\u0000"}', {"name": "who"}) == {"who": "a\ufffd\ufffd"}


def test_whoever_keeps_or_sends_json_has_it_made_here() -> None:
    """`msgspec.json.encode` raises for lone surrogates, in the middle of somebody's call."""
    top = Path(endpoint.__file__).parent
    rooms = ("agents", "app", "callcontrol", "gateways", "ivr", "legs", "storage")
    modules = [path for room in rooms for path in (top / room).rglob("*.py")]
    assert len(modules) > 100
    assert [path.name for path in modules if "msgspec.json.encode(" in path.read_text()] == []
